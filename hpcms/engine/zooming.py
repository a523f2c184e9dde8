"""Localisation: solve one region again, alone, from its stored drive and history, and keep its micro fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hpcms.bridge.average import Average
from hpcms.contracts import Arrays, FineModel
from hpcms.engine.build import fine_model
from hpcms.engine.running import how_of, job_of
from hpcms.engine.tasks import owned
from hpcms.errors import BadInput
from hpcms.store.run import OpenedRun, open_run


def zoom(rundir: Path | str, region: int, step: int, out: Path | str | None = None) -> dict[str, Any]:
    """For every fine model: answers of the region at ``step``, beside the stored ones, and its state in an .npz file.

    ``differences``: of each answer to the stored one, relative to the largest stored value; ``difference``: the worst.
    Tangents have a tolerance of their own, and start from other guesses here.
    """
    rundir = Path(rundir)
    job, opened = job_of(rundir, how_of(rundir)), open_run(rundir)
    last = opened.head.step
    if not 1 <= step <= last:
        raise BadInput(f"step {step} is not there", f"the run has steps 1 to {last}")
    folder = Path(out) if out is not None else rundir / "zoom"
    folder.mkdir(parents=True, exist_ok=True)
    models = {}
    for name in sorted({spec.fine for spec in job.coarse.values() if spec.fine}):
        models[name] = _solve(opened, name, fine_model(job, name), region, step, job.seed, folder)
    return {"rundir": str(rundir), "region": region, "step": step, "models": models}


def _solve(
    opened: OpenedRun, name: str, model: FineModel, region: int, step: int, seed: int, folder: Path
) -> dict[str, Any]:  # fmt: skip
    stored = {key: opened.read(f"sites/{name}/{key}", step) for key in (*model.drives, *model.answers)}
    count = len(next(iter(stored.values())))
    if not 0 <= region < count:
        raise BadInput(f"region {region} is not there", f"the run has regions 0 to {count - 1}")
    one = {key: value[region : region + 1] for key, value in stored.items()}
    drive: Arrays = {key: one[key] for key in model.drives}
    history = owned(opened.history(name, step - 1, region))
    answers, state, outcomes = model.solve(owned(drive), history, np.array([seed], dtype=np.uint64))
    gap = float(Average(model.pairing).energy_gap(drive, answers)[0])
    differences = {
        k: float(np.max(np.abs(answers[k] - one[k]))) / (float(np.max(np.abs(one[k]))) or 1.0) for k in model.answers
    }
    state = getattr(model, "fields", dict)(state)
    path = folder / f"{name}-region{region}-step{step}.npz"
    np.savez_compressed(path, **{f"state_{k}": v[0] for k, v in state.items()}, **{k: v[0] for k, v in answers.items()})
    return {
        "ok": outcomes[0].ok, "reason": outcomes[0].reason, "iterations": outcomes[0].iterations,
        "linear_iterations": outcomes[0].linear_iterations, "drive": {k: v[0].tolist() for k, v in drive.items()},
        "answers": {k: answers[k][0].tolist() for k in model.answers}, "energy_gap": gap,
        "difference": max(differences.values()), "differences": differences, "file": str(path),
    }  # fmt: skip

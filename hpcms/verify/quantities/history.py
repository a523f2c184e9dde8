"""What the fine scale remembers: energy over a closed cycle, and the same bits after kills and changes of workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpcms.contracts import Array
from hpcms.engine import resume
from hpcms.errors import NumericalFailure
from hpcms.store.run import OpenedRun, open_run
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

PATIENCE = 600.0  # s for a run in its own process


def over_steps(run: OpenedRun, fine: str, name: str) -> Array:
    """(steps + 1, S, ...) an answer or drive at all sites; zero before the first step."""
    values = np.array([run.read(f"sites/{fine}/{name}", n) for n in range(1, run.head.step + 1)])
    return np.concatenate([np.zeros_like(values[:1]), values])


def work_increments(run: OpenedRun, fine: str) -> Array:
    """(steps, S) J/m3: the stress at the end of a step on the strain increment of the step."""
    strain, stress = over_steps(run, fine, "strain"), over_steps(run, fine, "stress")
    work: Array = np.einsum("nsi,nsi->ns", stress[1:], np.diff(strain, axis=0))
    return work


def energy_balance(context: Context, fine: str = "creep") -> float:
    """Largest |work - change of stored energy - dissipation| of a step, over the largest work of a step, by site."""
    done = context.run
    work = work_increments(done, fine)
    stored, lost = np.diff(over_steps(done, fine, "energy"), axis=0), over_steps(done, fine, "dissipation")[1:]
    return float((np.abs(work - stored - lost).max(axis=0) / np.abs(work).max(axis=0)).max())


def cycle_work_over_dissipation(context: Context, start: float, end: float, fine: str = "creep") -> list[float]:
    """Work of the macro stress over a closed strain cycle between two times (s) over the micro dissipation, by site."""
    done = context.run
    t = np.array([meta["t"] for meta in done.steps()])[1:]
    inside = (t > start + 1e-9) & (t <= end + 1e-9)
    work, lost = work_increments(done, fine)[inside].sum(axis=0), over_steps(done, fine, "dissipation")[1:][inside]
    found: list[float] = (work / lost.sum(axis=0)).tolist()
    return found


def dissipated_share(context: Context, fine: str = "creep") -> float:
    """Dissipation of the whole run over the largest energy stored: near zero if nothing were to creep."""
    stored, lost = over_steps(context.run, fine, "energy"), over_steps(context.run, fine, "dissipation")
    return float(lost.sum(axis=0).min() / stored.max())


def killed_run(context: Context, crash: str) -> Path:
    """The folder that the job leaves when its process dies at a crash point of the store, ``point@step``."""
    made: Path = context.once(f"killed {crash}", lambda: _killed_run(context, crash))
    return made


def _killed_run(context: Context, crash: str) -> Path:
    out = context.folder("killed") / crash
    how = {"size": context.job.size, "out": str(out), "overrides": dict(context.overrides)}
    code = "import json, sys; from hpcms.engine import run; run(sys.argv[1], **json.loads(sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(context.job.path), json.dumps(how)],
        env={**os.environ, "HPCMS_CRASH_AT": crash}, timeout=PATIENCE, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        raise NumericalFailure(f"the run was to die at {crash}, but it went through")
    if done.returncode != -9:
        raise NumericalFailure(f"the run died of something else: {done.stderr.decode()[-300:]}")
    return out


@further_runs
def differing_after_kill(context: Context, crashes: Sequence[str]) -> float:
    """Runs whose final hash differs from the undisturbed one after a kill and a resumption."""
    wanted = context.run.head.state_hash
    differing = 0
    for crash in crashes:
        out = context.folder("resumed") / crash
        shutil.copytree(killed_run(context, crash), out)
        differing += resume(out, on="inline").state_hash != wanted
    return float(differing)


@further_runs
def incomplete_views(context: Context, crashes: Sequence[str]) -> float:
    """Killed runs in which a reader sees anything else than whole steps: a wrong last one, or damage in a step."""
    bad = 0
    for crash in crashes:
        step = int(crash.partition("@")[2])
        opened = open_run(killed_run(context, crash))
        whole = not opened.verify() and {m["step"] for m in opened.steps()} == set(range(opened.head.step + 1))
        bad += not (whole and opened.head.step in (step - 1, step))
    return float(bad)


class WorkerKiller:
    """Progress of a run that kills one of its workers after a step, and remembers which."""

    def __init__(self, out: Path, after: int) -> None:
        self.out, self.after, self.killed = out, after, ""

    def step(self, done: float, total: float, text: str, eta: float | None) -> None:
        """Called after each commit."""
        opened = open_run(self.out)
        if opened.head.step == self.after:
            self.killed = next(r.worker for r in reversed(opened.records()) if r.kind == "fine")
            os.kill(int(self.killed.rpartition(":")[2]), signal.SIGKILL)

    def note(self, text: str) -> None:
        """Nothing to do."""


@further_runs
def differing_after_kill_and_worker_loss(context: Context, crash: str, on: str, step: int) -> float:
    """1 where the final hash differs although the run was killed, resumed on ``on``, and lost a worker behind ``step``.

    0 where it is the same bits; an error where no worker was lost.
    """
    out = context.folder("resumed") / f"{crash} {on} loss".replace(":", "")
    shutil.copytree(killed_run(context, crash), out)
    killer = WorkerKiller(out, step)
    state_hash = resume(out, on=on, progress=killer).state_hash
    fine = [r for r in open_run(out).records() if r.kind == "fine"]
    later = {r.worker for r in fine if int(r.key.split("/")[2].split(".")[0]) > step + 1}
    if not killer.killed or killer.killed in later:
        raise NumericalFailure(f"no worker was lost behind step {step}")
    return float(state_hash != context.run.head.state_hash)


QUANTITIES = {
    "energy_balance": energy_balance,
    "cycle_work_over_dissipation": cycle_work_over_dissipation,
    "dissipated_share": dissipated_share,
    "differing_after_kill": differing_after_kill,
    "incomplete_views": incomplete_views,
    "differing_after_kill_and_worker_loss": differing_after_kill_and_worker_loss,
}

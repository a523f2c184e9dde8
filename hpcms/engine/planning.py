"""What a run will cost, told before it starts, and refused where it does not fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcms.cluster import cores, default_workers
from hpcms.cluster.profile import read
from hpcms.engine.build import Problem, build
from hpcms.errors import BadInput, ResourceFailure
from hpcms.job import Job, load_job, located
from hpcms.plan.speed import speed

SWEEPS = 6.0  # rounds of asking and telling that a step of the footing takes in the mean
PROCESS = 300 * 2**20  # bytes of a Python with the compiled kernels and no regions
START = 0.9  # CPU seconds in which a process loads its compiled kernels
COMMIT = 400e6  # bytes of state that one core compresses, hashes and writes in a second
CROWD = 4  # local workers a core: more of them time out while they start
COPIES = 3  # of the state at once: the committed one, the last trial, the one that is being solved


@dataclass(frozen=True)
class Plan:
    """What a run will cost."""

    figures: dict[str, Any]

    def json(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return self.figures

    def table(self) -> list[tuple[str, str]]:
        """Name and value of each figure, for people."""
        names = {
            "core_hours": "core-hours",
            "critical_path_s": "critical path (s)",
            "fine_solves": "fine solves at a time",
            "wall_s": "wall time (s)",
        }
        size = {"memory_bytes": "memory (MB)", "store_bytes": "store (MB)"}
        rows = []
        for key, value in self.figures.items():
            text = f"{value / 1e6:.0f}" if key in size else f"{value:.3g}" if isinstance(value, float) else str(value)
            if key == "core_hours" and self.figures.get("at_most"):
                text += ", at most: as if every region were solved; --simulate finds out how many are"
            if key != "at_most":
                rows.append((size.get(key, names.get(key, key)), text))
        return rows


def plan(
    job: Path | str,
    *,
    size: str | None = None,
    on: str = "local",
    plugins: bool = False,
    overrides: Mapping[str, object] | None = None,
    calibrate: bool = False,
) -> Plan:
    """Tasks, memory, files, core-hours and critical path of a job; refused where ``on`` has too little memory.

    ``calibrate``: measure how fast this machine is (the first time this compiles kernels); else the costs of the fine
    models are taken as they are.
    """
    problem = built(load_job(Path(job), size=size, overrides=overrides, plugins=plugins))
    figures = estimate(problem, on, pace=speed() if calibrate else 1.0)
    refuse(figures, on)
    return Plan({"job": str(job), "size": size, **figures})


def built(job: Job, rows: Mapping[str, int] | None = None) -> Problem:
    """The problem of a job (``rows``: see ``build``); what is wrong with it is told with the place in the file."""
    try:
        return build(job, rows)
    except BadInput as error:
        raise located(job, error) from error


def room(on: str) -> tuple[int, int]:
    """Workers of an executor, and bytes of memory of the machines that they run on."""
    import psutil

    kind, colon, detail = on.partition(":")
    if kind not in ("inline", "local", "slurm") or (colon and not (detail.isdigit() if kind == "local" else detail)):
        raise BadInput(f"unknown executor {on!r}", hint="choose one of: inline, local, local:N, slurm, slurm:PROFILE")
    here = int(psutil.virtual_memory().total)
    if kind == "slurm":
        profile = read(detail)
        return profile.workers, math.ceil(profile.workers / profile.processes) * profile.memory
    if kind == "inline":
        return 1, here
    return (int(detail) if colon else default_workers()), here


def refuse(figures: dict[str, Any], on: str) -> None:
    """Stop before anything is started: more workers than fine solves or than cores can bear, regions beyond the memory."""
    workers, most = figures["workers"], figures["fine_solves"]
    if workers > most and not ours_to_choose(on):
        raise BadInput(
            f"{workers} workers for {most} fine solves at a time: {workers - most} would never work",
            f"ask for at most {most}, or refine the job",
        )
    if on.startswith("local") and workers > CROWD * cores():
        raise BadInput(
            f"{workers} workers on {cores()} cores would only wait for each other",
            f"ask for at most {CROWD * cores()}, or for nodes: --on slurm:PROFILE",
        )
    need, have = figures["memory_bytes"], room(on)[1]
    if need > have:
        where = "the jobs of this SLURM profile have" if on.startswith("slurm") else "this machine has"
        raise ResourceFailure(
            f"the job needs about {need / 1e9:.1f} GB of memory, {where} {have / 1e9:.1f} GB",
            hint="choose a smaller --size, or a cluster with more workers: --on slurm:PROFILE",
        )


def ours_to_choose(on: str) -> bool:
    """Whether the number of workers was left open."""
    return on in ("inline", "local")


def estimate(problem: Problem, on: str, sweeps: float = SWEEPS, sample: int = 4, pace: float = 1.0) -> dict[str, Any]:
    """Tasks, seconds, bytes and files of a run; ``sweeps`` is the mean of a step, ``pace`` as ``plan.speed`` tells.

    Tasks are what the trace records: a beginning for each batch, a solve for each batch and sweep, a coarse solve for each sweep,
    a commit for each batch and step, and one of the driver. The cost of a fine solve comes from the model for a sample of
    regions; a model that is ``solved_once`` costs nothing afterwards. Committing the state of all regions is work too,
    and so is loading the kernels.
    """
    steps, work, slowest, state, batches, files, largest = len(problem.plan.times), 0.0, 0.0, 0.0, 0, 0, 0.0
    workers = room(on)[0]
    processes = 1 if on == "inline" else workers + 1
    keep = problem.job.coupling.keep
    kept = min(max(keep, 2), steps + 1) if keep else steps + 1
    for part in problem.parts.values():
        count, rows = part.batches[-1][1], max(hi - lo for lo, hi in part.batches)
        picked = np.unique(np.linspace(0, count - 1, min(sample, count)).astype(int))
        regions = part.source.cut(part.source.labels(), picked, part.offsets[picked])
        cost, begun = part.model.cost(regions), part.model.begin(regions)
        each = sum(a.nbytes for a in begun.values()) / len(picked)
        state, largest = state + each * count, max(largest, each * rows)
        solves = 1.0 if getattr(part.model, "solved_once", False) else sweeps * steps
        work += float(cost.mean()) * count * solves
        slowest = max(slowest, float(cost.max()) * solves * rows)
        batches += len(part.batches)
        files += len(part.batches) * kept * len(begun)
    work = (work + state * (steps + 1) / COMMIT + START * workers) / pace
    slowest /= pace
    return {
        "steps": steps,
        "regions": max((p.batches[-1][1] for p in problem.parts.values()), default=0),
        "fine_solves": sum(p.batches[-1][1] for p in problem.parts.values()),
        "tasks": round(steps * sweeps * (batches + 1)) + (steps + 1) * (batches + 1) + batches,
        "workers": workers,
        "at_most": any(getattr(part.model, "at_most", False) for part in problem.parts.values()),
        "core_hours": work / 3600, "critical_path_s": slowest, "wall_s": max(work / workers, slowest),
        "memory_bytes": math.ceil(processes * PROCESS + COPIES * (state + workers * largest)),
        "store_bytes": math.ceil(state * kept), "files": files,
    }  # fmt: skip

"""How close each coupling scheme comes to the critical path, and what it costs. One table, and last one JSON line.

    t_over_lb1_history, t_over_lb1_no_history   simulated clocks, real numerics: 64 layered cells of a bar, one worker a cell,
                                                lognormal cost with sigma 1; time over LB1 (strain path known beforehand)
    t_over_lb1_ice                              the same of the footing in two dimensions: 48 windows of a tomogram, 16^3 voxels
                                                of creeping ice; other windows and other costs for each of two seeds
    extra_work                                  work over that of ``condensed``, less one, same runs
    efficiency_16                               max(T1 / P, span) / T_P with 16 regions a worker on 10^4 simulated workers
    efficiency_million                          the same with 10^6 regions, a scheduler of 1,000 tasks a second and messages of 1 ms
                                                (--full only): one queue, and an agent for each node of 64 workers
    wall_ratio                                  real: wall time of the footing on 2 workers over that of ``nested``
    saved_solves                                fine solves saved by the level choice (another script fills it)

Every figure has median, min and max over the seeds, for the speculative scheme at the top and for all under "schemes".
All schemes run to the same tolerance; work that did not count in the end is counted here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpcms import coupling
from hpcms.engine.build import Problem
from hpcms.engine.planning import built
from hpcms.job import load_job
from hpcms.plan.cells import Cells
from hpcms.plan.machine import Costs, Machine, lognormal
from hpcms.plan.replay import known_path
from hpcms.plan.simulate import Simulation
from hpcms.plan.study import Study, history, no_history

ROOT = Path(__file__).parents[2]
SCHEMES = {
    "nested": ("nested", True),
    "condensed": ("condensed", False),
    "condensed+extrapolation": ("condensed", True),
    "alternating": ("alternating", True),
    "barrier_free": ("barrier_free", True),
    "speculative": ("speculative", True),
}
Table = dict[str, dict[str, list[float]]]  # scheme -> figure -> by seed
FOOTING = {
    "domain.elements": [4, 3], "time.steps": 4, "microstructure.coarsen": 4, "microstructure.window": 8, "coupling.batch": 4,
}  # fmt: skip


def spread(values: list[float]) -> dict[str, float]:
    """Median, min and max."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def one_worker_a_cell(study: Study, name: str, seeds: int, table: Table) -> None:
    """T / LB1 and the work over that of condensed."""
    for seed in range(seeds):
        drawn = study.with_seed(seed)
        runs = {label: drawn.run(scheme, extrapolate=ext) for label, (scheme, ext) in SCHEMES.items()}
        lb1 = drawn.known(runs["nested"]).lb1
        end = runs["nested"].ends[-1]["displacement"]
        for label, run in runs.items():
            add(table, label, f"t_over_lb1_{name}", run.time / lb1)
            add(table, label, f"extra_work_{name}", run.work / runs["condensed"].work - 1)
            off = np.abs(run.ends[-1]["displacement"] - end).max() / np.abs(end).max()
            add(table, label, "difference", float(off))


def at_rest(problem: Problem) -> dict[str, Cells]:
    """All regions of a job, one a batch."""
    found = {}
    for name, part in problem.parts.items():
        regions = part.source.cut(part.source.labels(), np.arange(len(part.batches)), part.offsets)
        found[name] = Cells(name, part.model, part.batches, part.model.begin(regions))
    return found


def ice(seeds: int, table: Table) -> None:
    """T / LB1 of cells in space, one worker a cell."""
    for seed in range(seeds):
        overrides = {**FOOTING, "time.steps": 12, "coupling.batch": 1, "microstructure.seed": seed}
        job = load_job(ROOT / "jobs/snow_footing.toml", overrides=overrides)
        counts = {name: len(part.batches) for name, part in built(job).parts.items()}
        costs = Costs({name: lognormal(count, 1.0, seed) for name, count in counts.items()}, coarse=0.1)
        machine, lb1, end = Machine(max(counts.values())), 0.0, np.zeros(0)
        for label in ("nested", "condensed+extrapolation", "barrier_free", "speculative"):
            (scheme, ext), problem = SCHEMES[label], built(job)
            tolerance = problem.plan.tolerance
            run = Simulation(
                problem.coarse, at_rest(problem), problem.plan.times, coupling.find(scheme), machine, costs, tolerance,
                seed=seed, extrapolate=ext,
            ).run()  # fmt: skip
            if label == "nested":
                lb1 = known_path(at_rest(problem), run.path, costs, machine.workers, tolerance).lb1
                end = run.ends[-1]["displacement"]
            add(table, label, "t_over_lb1_ice", run.time / lb1)
            add(
                table,
                label,
                "difference_ice",
                float(np.abs(run.ends[-1]["displacement"] - end).max() / np.abs(end).max()),
            )


def many_workers(workers: int, table: Table, seeds: int, schemes: list[str]) -> None:
    """The efficiency with 16 regions a worker."""
    machine = Machine(workers, tick=0.1, ahead=0.1)
    for seed in range(seeds):
        study = replace(history(2).with_seed(seed), elements=8 * workers, group=4)  # four regions a task
        for label in schemes:
            scheme, ext = SCHEMES[label]
            add(table, label, "efficiency_16", study.run(scheme, extrapolate=ext, machine=machine).efficiency)


def a_million(table: Table, schemes: list[str]) -> None:
    """10^6 regions on 62,500 workers, with one queue for all and with one a node."""
    workers = 62_500
    study = replace(history(2), elements=8 * workers, group=4)
    for agents in (1, workers // 64):
        machine = Machine(workers, latency=1e-3, bandwidth=1e9, dispatch=1e3, agents=agents, tick=0.1, ahead=0.1)
        for label in schemes:
            scheme, ext = SCHEMES[label]
            run = study.run(scheme, extrapolate=ext, machine=machine)
            add(table, label, "efficiency_million" if agents > 1 else "efficiency_million_one_queue", run.efficiency)


def real_walls(table: Table, rounds: int, overrides: dict[str, Any]) -> None:
    """The footing on 2 local workers, schemes in turns."""
    for label in ("nested", "condensed+extrapolation", "barrier_free", "speculative"):
        footing(SCHEMES[label][0], overrides | {"time.steps": 1})  # compile, warm the caches
    for _ in range(rounds):
        base = 0.0
        for label in ("nested", "condensed+extrapolation", "barrier_free", "speculative"):
            wall = footing(SCHEMES[label][0], overrides)
            base = base or wall
            add(table, label, "wall_ratio", wall / base)


def footing(scheme: str, overrides: dict[str, Any]) -> float:
    """Seconds from the first task to the last of a run of the footing."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"{k}={json.dumps(v)}" for k, v in {**overrides, "coupling.scheme": scheme}.items()]
        command = [sys.executable, "-m", "hpcms.cli", "run", str(ROOT / "jobs/snow_footing.toml"), "--on", "local:2", "--json",
                   "--out", f"{folder}/run", *(x for s in settings for x in ("--set", s))]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        records = [json.loads(line) for line in (Path(folder) / "run" / "trace.jsonl").read_text().splitlines()]
        tasks = [r for r in records if "start" in r and "end" in r]
        return float(max(r["end"] for r in tasks) - min(r["start"] for r in tasks))


def add(table: Table, scheme: str, figure: str, value: float) -> None:
    """One more value of a figure."""
    table.setdefault(scheme, {}).setdefault(figure, []).append(float(value))


def show(table: Table) -> None:
    """The table for people: medians, and the range in brackets."""
    figures = ["t_over_lb1_history", "t_over_lb1_no_history", "t_over_lb1_ice", "extra_work_history",
               "extra_work_no_history", "efficiency_16", "wall_ratio", "difference", "difference_ice"]  # fmt: skip
    print(f"{'':24}" + "".join(f"{f:>26}" for f in figures))
    for label, found in table.items():
        cells = []
        for f in figures:
            s = spread(found[f]) if f in found else None
            cells.append(f"{s['median']:8.3g} [{s['min']:7.3g},{s['max']:7.3g}]" if s else "-")
        print(f"{label:24}" + "".join(f"{c:>26}" for c in cells))


def figures_of(found: dict[str, list[float]]) -> dict[str, Any]:
    """The keys of the JSON line for one scheme."""
    keys = {
        "t_over_lb1_history": "t_over_lb1_history", "t_over_lb1_no_history": "t_over_lb1_no_history",
        "t_over_lb1_ice": "t_over_lb1_ice",
        "extra_work": "extra_work_history", "extra_work_no_history": "extra_work_no_history",
        "efficiency_16": "efficiency_16", "efficiency_million": "efficiency_million",
        "efficiency_million_one_queue": "efficiency_million_one_queue", "wall_ratio": "wall_ratio", "difference": "difference",
        "difference_ice": "difference_ice",
    }  # fmt: skip
    return {key: spread(found[f]) if f in found else None for key, f in keys.items()} | {"saved_solves": None}


def timed(what: str, work: Callable[[], None]) -> None:
    """Says how long a part of the benchmark took."""
    began = time.monotonic()
    work()
    print(f"# {what}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the JSON line only")
    parser.add_argument("--full", action="store_true", help="more seeds and rounds, the footing at its full size")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--no-wall", action="store_true", help="leave out the real runs")
    given = parser.parse_args()
    table: Table = {}
    seeds = 30 if given.full else given.seeds
    timed("history", lambda: one_worker_a_cell(history(), "history", seeds, table))
    timed("no history", lambda: one_worker_a_cell(no_history(), "no_history", seeds, table))
    timed("ice", lambda: ice(2, table))
    few = ["nested", "condensed+extrapolation", "speculative"]
    timed("10^4 workers", lambda: many_workers(10**4, table, 3 if given.full else 1, few))
    if given.full:
        timed("10^6 regions", lambda: a_million(table, ["condensed+extrapolation", "speculative"]))
    if not given.no_wall:
        size: dict[str, Any] = {} if given.full else FOOTING
        timed("footing", lambda: real_walls(table, 3 if given.full else 2, size))
    if not given.json:
        show(table)
    schemes = {label: figures_of(found) for label, found in table.items()}
    print(json.dumps({**schemes["speculative"], "schemes": schemes, "clocks": "simulated, but for wall_ratio"}))


if __name__ == "__main__":
    main()

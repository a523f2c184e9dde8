"""What `hpcms plan` predicts beside what the run then takes, at three sizes of the footing: core-hours, memory, files.

    python scripts/bench/plan.py [--json] [--full]

Every run is a process of its own, with its kernels compiled before. ``--full`` takes cells of 20^3 for the largest size
(minutes). The goal: within 30 %.

Then the footing on 1 and 2 local workers beside `hpcms plan --simulate --here` of the same, in every scheme: the time from the
first task to the last, as it is and over the work of the same run. The goal: within 10 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
JOB = ROOT / "jobs" / "snow_footing.toml"
HPCMS = [sys.executable, "-m", "hpcms.cli"]
SIZES = {
    "small": ("domain.elements=[2, 2]", "time.steps=4", "microstructure.coarsen=4", "microstructure.window=6"),
    "middle": ("domain.elements=[4, 3]", "time.steps=6", "microstructure.coarsen=4", "microstructure.window=6"),
    "large": ("domain.elements=[6, 4]", "time.steps=6", "microstructure.coarsen=4", "microstructure.window=8"),
}
SCHEMES = ("nested", "condensed", "barrier_free", "speculative")
FULL = ("domain.elements=[6, 4]", "time.steps=12", "microstructure.coarsen=2", "microstructure.window=10")


def told(command: str, settings: tuple[str, ...], *more: str, on: str = "inline") -> dict[str, Any]:
    """The object that `hpcms plan` or `hpcms run` prints."""
    words = [word for setting in settings for word in ("--set", setting)]
    line = [*HPCMS, command, str(JOB), "--size", "node", "--on", on, "--json", *words, *more]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=1800)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(name: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """Planned over measured."""
    planned = told("plan", settings, "--calibrate")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = told("run", settings, "--out", str(out))
        files = len(list((out / "state.zarr").glob("fine_*/*/c.*")))
    hours = run["work_s"] / 3600
    return {
        "name": name, "regions": planned["regions"], "core_hours": hours, "memory_bytes": run["peak_memory_bytes"],
        "core_hours_ratio": planned["core_hours"] / hours,
        "memory_ratio": planned["memory_bytes"] / run["peak_memory_bytes"],
        "files_ratio": planned["files"] / files,
    }  # fmt: skip


def calibrate(scheme: str, workers: int, rounds: int) -> dict[str, Any]:
    """Simulated over real seconds from the first task to the last; medians of runs in turns.

    The speed of a shared machine changes from one run to the next, so both times are also taken over the CPU seconds that the
    tasks of the same run used (``work``): what is left is what the simulated clocks are right or wrong by.
    """
    settings = (*SIZES["large"], f'coupling.scheme="{scheme}"')
    walls: dict[str, list[float]] = {"simulated": [], "real": []}
    work: dict[str, list[float]] = {"simulated": [], "real": []}
    for _ in range(rounds):
        seen = told("plan", settings, "--simulate", str(workers), "--here")["simulated"]
        walls["simulated"].append(seen["wall_s"])
        work["simulated"].append(seen["work_s"])
        with tempfile.TemporaryDirectory() as folder:
            run = told("run", settings, "--out", f"{folder}/run", on=f"local:{workers}")
        walls["real"].append(run["lower_bound_s"] / run["efficiency"])
        work["real"].append(run["work_s"])
    simulated, real = (statistics.median(walls[k]) for k in ("simulated", "real"))
    at_equal_work = [statistics.median(w / t for w, t in zip(walls[k], work[k], strict=True)) for k in walls]
    return {
        "scheme": scheme, "workers": workers, "simulated_s": simulated, "real_s": real, "ratio": simulated / real,
        "at_equal_work": at_equal_work[0] / at_equal_work[1],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    told("run", SIZES["small"], "--out", tempfile.mkdtemp())  # compiles the kernels
    rows = [compare(n, FULL if options.full and n == "large" else s) for n, s in SIZES.items()]
    print(f"{'size':8} {'regions':>8} {'core-h':>10} {'planned/measured: core-h':>25} {'memory':>8} {'files':>8}")
    for r in rows:
        print(f"{r['name']:8} {r['regions']:8} {r['core_hours']:10.5f} {r['core_hours_ratio']:25.2f}"
              f" {r['memory_ratio']:8.2f} {r['files_ratio']:8.2f}")  # fmt: skip
    clocks = [calibrate(s, p, 3 if options.full else 1) for s in SCHEMES for p in (1, 2)]
    print(f"\n{'scheme':14} {'workers':>8} {'simulated s':>12} {'real s':>8} {'ratio':>6} {'at equal work':>14}")
    for c in clocks:
        print(f"{c['scheme']:14} {c['workers']:8} {c['simulated_s']:12.2f} {c['real_s']:8.2f} {c['ratio']:6.2f}"
              f" {c['at_equal_work']:14.2f}")  # fmt: skip
    if options.json:
        print(json.dumps({"sizes": rows, "simulated": clocks}))


if __name__ == "__main__":
    main()

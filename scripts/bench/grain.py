"""What the scheduler costs beside the work: 100,000 regions of known cost in tasks of 0.1 s, on local workers.

    python scripts/bench/grain.py [--json] [--full]

The physics is a loop that burns a given CPU time a region, so the work is known. Overhead: CPU seconds of the driver, of the
scheduler's process and of the workers beside the work, over those of the work, less what the same processes take while nothing
is asked of them (the wall clock of a shared machine says little). Goal: at most 5 %. ``agents``: each worker keeps a queue of
its own. Without ``--full`` a tenth of the regions.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from hpcms.cluster import open_executor
from hpcms.cluster.agents import Agents
from hpcms.cluster.remote import RemoteExecutor
from hpcms.engine.exchange import batches
from hpcms.verify.quantities import scaling

REGIONS, TASK, IDLE = 100_000, 0.1, 3.0


def burn(rows: int, each: float) -> float:
    """CPU seconds spent on ``rows`` regions."""
    return scaling.burn(rows * each)


def sweep(regions: int, rows: int, each: float, agents: bool) -> dict[str, Any]:
    """All regions once."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_executor("local:2", None, Path(folder), agents=agents) as executor,
    ):
        remote = executor.inner if isinstance(executor, Agents) else executor
        assert isinstance(remote, RemoteExecutor)
        hub = psutil.Process(remote._hub.process.pid)
        processes = [psutil.Process(), hub, *hub.children(recursive=True)]
        executor.results([executor.submit(burn, 1, 0.0, key=f"warm/{i}") for i in range(8)], 60.0)
        idle, began = scaling.spent(processes), time.monotonic()
        time.sleep(IDLE)
        idle = (scaling.spent(processes) - idle) / (time.monotonic() - began)  # CPU seconds a second
        before, began = scaling.spent(processes), time.monotonic()
        cut = batches(regions, rows)
        refs = [executor.submit(burn, hi - lo, each, key=f"fine/{lo}") for lo, hi in cut]
        work = sum(executor.results(refs, 3600.0))
        wall = time.monotonic() - began
        extra = scaling.spent(processes) - before - work - idle * wall
    return {
        "regions": regions, "tasks": len(cut), "agents": agents, "task_s": work / len(cut), "work_s": work, "wall_s": wall,
        "idle_share": idle, "overhead": extra / work, "ms_per_task": 1e3 * extra / len(cut),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    regions = REGIONS if options.full else REGIONS // 10
    rows = [sweep(regions, r, TASK / 100, a) for r in (10, 100, 1000) for a in (False, True)]
    print(
        f"{'agents':>6} {'task (s)':>9} {'tasks':>7} {'work (s)':>9} {'wall (s)':>9} {'ms a task':>10} {'overhead':>9}"
    )
    for r in rows:
        print(f"{r['agents']!s:>6} {r['task_s']:9.3f} {r['tasks']:7} {r['work_s']:9.1f} {r['wall_s']:9.1f} {r['ms_per_task']:10.2f}"
              f" {r['overhead']:9.2%}")  # fmt: skip
    if options.json:
        print(json.dumps({"sweeps": rows}))


if __name__ == "__main__":
    main()

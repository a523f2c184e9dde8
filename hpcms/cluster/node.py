"""Worker processes under their nannies, on whatever machine this runs. SLURM jobs start it as a module."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dask.config
from distributed import Nanny
from distributed.security import Security

from hpcms.cluster import jobs
from hpcms.cluster.environment import THREAD_VARIABLES

# Tasks run in a thread that is not the first, where glibc maps the memory of every larger array anew and clears it page by
# page: 15 % of the time of small cells. With these it is kept for the next array, as in the first thread of a process.
ALLOCATOR = {"MALLOC_ARENA_MAX": 1, "MALLOC_MMAP_THRESHOLD_": 2**25, "MALLOC_TRIM_THRESHOLD_": 2**27}
CONFIG: dict[str, Any] = {
    "distributed.scheduler.worker-ttl": "5 minutes",  # the last resort; guard.py notices a hung process much earlier
    "distributed.scheduler.work-stealing": True,
    "distributed.scheduler.worker-saturation": 1.1,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    # What ticks while nothing happens takes CPU time from the tasks on the same cores.
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.worker.memory.pause": False,  # a paused worker waits for ever; a killed one is started again
    "distributed.comm.timeouts.connect": "60s",
    "distributed.comm.timeouts.tcp": "60s",
    "distributed.nanny.pre-spawn-environ": {**dict.fromkeys(THREAD_VARIABLES, 1), **ALLOCATOR},
    "distributed.worker.preload": ["hpcms.cluster.guard"],
    "distributed.nanny.preload": ["hpcms.cluster.guard"],
    "distributed.deploy.lost-worker-timeout": "10s",  # time for a nanny to start anew; then the job is replaced
}
FAREWELL = 1.0  # s from SIGTERM to the end


def security(tls: dict[str, str]) -> Security:
    """The certificates of the run; nothing unencrypted is accepted."""
    parts = [(role, part) for role in ("scheduler", "worker", "client") for part in ("cert", "key")]
    roles = {f"tls_{role}_{part}": tls[part] for role, part in parts}
    return Security(tls_ca_file=tls["ca"], require_encryption=True, **roles)


async def nannies(names: Iterable[str], scheduler: str, tls: dict[str, str], memory: int, scratch: str,
                  **place: Any) -> list[Nanny]:  # fmt: skip
    """Start one worker process of one thread for each name; ``memory`` in bytes each, ``place``: host or interface."""
    started: list[Nanny] = await asyncio.gather(
        *(
            Nanny(
                scheduler,
                name=name,
                nthreads=1,
                memory_limit=memory,
                local_directory=scratch,
                dashboard=False,
                dashboard_address="127.0.0.1:0",
                security=security(tls),
                death_timeout=60,
                **place,
            )
            for name in names
        )
    )
    return started


async def main(settings: dict[str, Any], name: str) -> None:
    """The workers of one SLURM job, until the scheduler or SLURM ends them."""
    loop = asyncio.get_running_loop()
    running: list[Nanny] = []

    def leave() -> None:
        """The workers have the signal too, and need the moment to write that they leave in good order."""
        for nanny in running:
            nanny.close_gracefully()  # starts no new worker, which would be killed at the task that it has just begun
        loop.call_later(FAREWELL, os._exit, 128 + signal.SIGTERM)

    loop.add_signal_handler(signal.SIGTERM, leave)
    dask.config.set(CONFIG)
    count = int(settings["processes"])
    names = jobs.names(name, count)
    with tempfile.TemporaryDirectory(prefix="hpcms-", dir=settings["scratch"] or None) as scratch:
        memory, place = int(settings["memory"]) // count, settings["place"]
        running += await nannies(names, settings["scheduler"], settings["tls"], memory, scratch, **place)
        await asyncio.gather(*(n.finished() for n in running))


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]))

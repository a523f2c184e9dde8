"""The process beside the driver that holds the scheduler and, on one machine, the nannies of the workers.

It is a process of its own because a coarse solve in the driver may hold the interpreter lock for minutes, during
which no heartbeat would be answered. The driver talks to it by lines of JSON: settings and orders come on stdin,
events go out on stdout, among them a tick every few seconds. When stdin ends the driver is gone, and so is all this.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import dask.config
import psutil
from distributed import Nanny, Scheduler
from distributed.security import Security
from distributed.system import MEMORY_LIMIT

from hpcms.cluster.blame import BlamingScheduler, Headcount
from hpcms.cluster.environment import cores

TICK = 2.0  # seconds between two signs of life

CONFIG: dict[str, Any] = {
    "distributed.scheduler.worker-ttl": "5 minutes",  # the last resort; guard.py notices a hung process much earlier
    "distributed.scheduler.work-stealing": True,
    "distributed.scheduler.worker-saturation": 1.1,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.memory.pause": False,  # a paused worker waits for ever; a killed one is started again
    "distributed.comm.timeouts.connect": "60s",
    "distributed.comm.timeouts.tcp": "60s",
    "distributed.worker.preload": ["hpcms.cluster.guard"],
    "distributed.nanny.preload": ["hpcms.cluster.guard"],
    "distributed.deploy.lost-worker-timeout": "2s",  # then a cancelled job is replaced
}


def security(tls: dict[str, str] | None) -> Security:
    """The certificates of the run, or an open connection (on the loopback only) where there are none."""
    if tls is None:
        return Security()
    parts = [(role, part) for role in ("scheduler", "worker", "client") for part in ("cert", "key")]
    roles = {f"tls_{role}_{part}": tls[part] for role, part in parts}
    return Security(tls_ca_file=tls["ca"], require_encryption=True, **roles)


class Voice:
    """Writes events for the driver; whatever else this process prints goes to the log."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def __call__(self, **event: Any) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._out.write(json.dumps(event) + "\n")


def listen(loop: asyncio.AbstractEventLoop, order: Callable[[dict[str, Any]], None], gone: Callable[[], None]) -> None:
    """Hand the driver's lines to the loop, then its end. ``gone`` runs in this thread: the loop may be stuck."""
    for line in sys.stdin:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(order, json.loads(line))
    gone()


async def serve_local(settings: dict[str, Any], say: Voice, scheduler: Scheduler, close: asyncio.Event) -> None:
    """Keep n workers on this machine until ``close``; a nanny that gave up is replaced."""
    number = int(settings["workers"])
    scratch = Path(settings["scratch"])
    options: dict[str, Any] = {
        "nthreads": 1,
        "host": "127.0.0.1",
        "memory_limit": MEMORY_LIMIT // max(number, cores()),
        "local_directory": str(scratch),
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
        "security": scheduler.security,
    }

    async def start(index: int) -> Nanny:
        nanny: Nanny = await Nanny(scheduler.address, name=f"local-{index}", **options)
        return nanny

    nannies = list(await asyncio.gather(*(start(i) for i in range(number))))
    say(ready=scheduler.address)
    while not close.is_set():
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(close.wait(), TICK)
        for index, nanny in enumerate(nannies):
            if not close.is_set() and nanny.status.name in ("failed", "closed"):
                nannies[index] = await start(index)


def end(scratch: str) -> NoReturn:
    """Leave at once and take all children along: there is nothing here that is worth a farewell."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=5)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


async def main() -> None:
    """Serve until the driver says so or is gone."""
    say = Voice()
    settings = json.loads(sys.stdin.readline())
    dask.config.set(CONFIG)
    close = asyncio.Event()
    journal = Path(settings["journal"])
    headcount = Headcount(say)
    protection = security(settings["tls"])
    scheduler_options: dict[str, Any] = {
        "journal": journal,
        "say": say,
        "deaths": int(settings["deaths"]),
        "security": protection,
        "protocol": "tls://" if settings["tls"] else "tcp://",
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
        "plugins": [headcount],
    }

    def order(message: dict[str, Any]) -> None:
        if message.get("close"):
            close.set()
        if "limit" in message:
            limits.update({message["limit"][0]: int(message["limit"][1])})

    async def tick() -> None:
        while True:
            say(tick=True)
            await asyncio.sleep(TICK)

    limits: dict[str, int] = {}
    ears = (asyncio.get_running_loop(), order, lambda: end(settings["scratch"]))
    threading.Thread(target=listen, args=ears, daemon=True).start()
    ticking = asyncio.create_task(tick())
    async with BlamingScheduler(host="127.0.0.1", port=0, limits=limits, **scheduler_options) as scheduler:
        await serve_local(settings, say, scheduler, close)
        ticking.cancel()
        end(settings["scratch"])


if __name__ == "__main__":
    asyncio.run(main())

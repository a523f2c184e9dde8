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
from distributed.system import MEMORY_LIMIT

from hpcms.cluster import jobs
from hpcms.cluster.blame import BlamingScheduler, Headcount
from hpcms.cluster.environment import cores
from hpcms.cluster.node import CONFIG, nannies, security

TICK = 2.0  # seconds between two signs of life
FAILED_STARTS = 4  # in a row: then something is wrong for good


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


async def serve_local(settings: dict[str, Any], options: dict[str, Any], say: Voice, close: asyncio.Event) -> None:
    """Keep n workers on this machine until ``close``."""
    number, tls, scratch = int(settings["workers"]), settings["tls"], settings["scratch"]
    memory = MEMORY_LIMIT // max(number, cores())
    async with BlamingScheduler(host="127.0.0.1", port=0, **options) as scheduler:

        async def keep(name: str) -> None:
            """One worker: a nanny that does not start, or that gives up, is replaced."""
            failures = 0
            while not close.is_set():
                try:
                    [nanny] = await nannies([name], scheduler.address, tls, memory, scratch, host="127.0.0.1")
                except Exception as error:  # its process was killed while it started, or the machine is slow
                    failures += 1
                    if failures == FAILED_STARTS:
                        raise
                    print(f"worker {name} did not start: {error}", flush=True)
                    continue
                failures = 0
                while not close.is_set() and nanny.status.name not in ("failed", "closed"):
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(close.wait(), TICK)

        say(ready=scheduler.address)
        await asyncio.gather(*(keep(f"local-{i}") for i in range(number)))
        finish(settings)


async def serve_slurm(settings: dict[str, Any], options: dict[str, Any], say: Voice, close: asyncio.Event) -> None:
    """Keep n workers in SLURM jobs until ``close``."""
    from hpcms.cluster import slurm

    async with slurm.cluster(settings, options, say) as made:
        say(ready=made.scheduler_address)
        keeping = asyncio.create_task(slurm.keep(made, settings, say))
        await close.wait()
        keeping.cancel()
        finish(settings)


def finish(settings: dict[str, Any]) -> NoReturn:
    """Leave at once and take all children and jobs along: there is nothing here that is worth a farewell."""
    if slurm := sys.modules.get("hpcms.cluster.slurm"):
        with contextlib.suppress(Exception):  # without SLURM, the jobs end by themselves when they miss us
            jobs.cancel(slurm.submitted)
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=5)
    for folder in (settings["scratch"], settings["folder"]):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


async def main() -> None:
    """Serve until the driver says so or is gone."""
    say = Voice()
    settings = json.loads(sys.stdin.readline())
    os.environ.update(settings["variables"])
    dask.config.set(CONFIG)
    close = asyncio.Event()
    limits: dict[str, int] = {}
    options: dict[str, Any] = {
        "journal": Path(settings["folder"]),
        "say": say,
        "deaths": int(settings["deaths"]),
        "limits": limits,
        "security": security(settings["tls"]),
        "protocol": "tls://",
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
        "plugins": [Headcount(say)],
    }

    def order(message: dict[str, Any]) -> None:
        if message.get("close"):
            close.set()
        if "limit" in message:
            limits[message["limit"][0]] = int(message["limit"][1])

    async def tick() -> None:
        while True:
            say(tick=True)
            await asyncio.sleep(TICK)

    ears = (asyncio.get_running_loop(), order, lambda: finish(settings))
    threading.Thread(target=listen, args=ears, daemon=True).start()
    ticking = asyncio.create_task(tick())
    serve = serve_slurm if settings["kind"] == "slurm" else serve_local
    try:
        await serve(settings, options, say, close)
    except Exception as error:
        say(failed=f"{type(error).__name__}: {error}")
        raise
    finally:
        ticking.cancel()


if __name__ == "__main__":
    asyncio.run(main())

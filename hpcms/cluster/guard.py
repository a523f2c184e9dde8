"""Preloaded by dask into each nanny and each worker: notices a hung worker, and lets no worker outlive its nanny."""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import signal
import threading
from pathlib import Path

import psutil
from distributed import Nanny, Worker
from tornado.ioloop import PeriodicCallback

from hpcms.cluster import journal

JOURNAL = "HPCMS_JOURNAL"  # environment variable: the folder of the journals
HUNG_AFTER = "HPCMS_HUNG_AFTER"  # environment variable: seconds without a sign of life
LOOKS = 10  # a worker that did not move from one look to the next, so often in a row, is hung

_PR_SET_PDEATHSIG = 1
log = logging.getLogger("distributed.hpcms")


def dask_setup(service: Nanny | Worker) -> None:
    """Called by dask in the process of the nanny or of the worker."""
    if isinstance(service, Nanny):
        threading.Thread(target=watch, args=(service,), name="guard", daemon=True).start()
        return
    # The kernel kills us when the nanny's process dies, even while we are stopped or deep in a kernel.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if folder := os.environ.get(JOURNAL):
        journal.open_here(Path(folder), service.address)
    signal.signal(signal.SIGTERM, leave)
    beats = itertools.count(1)
    PeriodicCallback(lambda: journal.beat(next(beats)), period() * 500).start()


def period() -> float:
    """Seconds from one look to the next."""
    return float(os.environ.get(HUNG_AFTER, "30")) / LOOKS


def leave(*_: object) -> None:
    """An orderly end from outside (a cancelled or preempted job) is no fault of the running task."""
    journal.end()
    os._exit(128 + signal.SIGTERM)


def watch(nanny: Nanny) -> None:
    """Kill the worker of ``nanny`` when neither its event loop nor its CPU time moves.

    Looks are counted, not seconds: when the whole machine was suspended, we were too. A worker that computes
    without giving up the interpreter lock uses CPU time and is left alone.
    """
    pause = threading.Event()
    folder = Path(os.environ.get(JOURNAL, os.devnull))
    before: object = None
    still = 0
    while not pause.wait(period()) and nanny.status.name not in ("closed", "failed"):
        now = look(nanny, folder)
        still = still + 1 if now is not None and now == before else 0
        before = now
        if still >= LOOKS and isinstance(now, tuple):
            log.warning("worker %s hung for %g s: killed", nanny.worker_address, still * period())
            os.kill(now[0], signal.SIGKILL)
            still = 0


def look(nanny: Nanny, folder: Path) -> tuple[int, int, float] | None:
    """(pid, beats, CPU seconds) of the worker process of ``nanny``, None while there is none."""
    pid, address = nanny.pid, nanny.worker_address
    if not pid or not address:
        return None
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return pid, journal.beats(folder, address), float(times.user + times.system)

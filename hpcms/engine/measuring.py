"""What a task costs on this machine beside its work: measured with tasks of known length, on real workers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from hpcms.cluster import cores, open_executor
from hpcms.contracts import Executor, Ref
from hpcms.engine.dialogue import WAITING
from hpcms.plan.machine import Machine

ROUNDS, MANY = 20, 100
SPAN = 0.02  # CPU s of a task beside which others are sent
PATIENCE = 60.0  # s
BLOCK = bytes(2**18)  # hashed in a fraction of a millisecond


class Said:
    """A result of which the driver gets a word, as of a fine task."""

    def to_driver(self) -> str:
        return "done"


def spin(seconds: float) -> Said:
    """Use a core for so many CPU seconds; without the interpreter's lock, as kernels do."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        hashlib.sha256(BLOCK)
    return Said()


def here(machine: Machine) -> Machine:
    """``machine`` with this one's times for messages and tasks; where it has no more workers than this one has cores, they
    share these with the driver. Takes about ten seconds.

    Tasks are sent together, and one whenever one has come, as schemes without a barrier do. CPU time beyond theirs is for
    messages; wall time that this does not explain is what a worker waits between two tasks.
    """
    there = cores()
    workers = min(machine.workers, there)
    with (
        tempfile.TemporaryDirectory(prefix="hpcms-measured-") as folder,
        open_executor("local", workers, Path(folder)) as executor,
    ):
        flow = functools.partial(_flow, executor, itertools.count())
        flow(MANY, 0.0, MANY)
        alone = statistics.median(flow(1, 0.0, 1)[0] for _ in range(ROUNDS))
        together = [flow(MANY, 0.0, MANY) for _ in range(3)]
        beside = [flow(MANY, SPAN, 2 * workers + WAITING) for _ in range(3)]
    dispatch, link = (statistics.median(values) / MANY for values in zip(*together, strict=True))
    wall, used = (statistics.median(values) / MANY for values in zip(*beside, strict=True))
    crowd = max((workers + 1) / there - 1.0, 0.0)  # as ``SimulatedExecutor`` shares cores
    return dataclasses.replace(
        machine, latency=alone / 2, dispatch=1 / dispatch, link=link, turn=max(used - SPAN - link, 0.0),
        overhead=max((wall - (used - SPAN) * crowd) * workers - SPAN, 0.0), cores=there if machine.workers <= there else 0,
    )  # fmt: skip


def _flow(executor: Executor, serial: Iterator[int], count: int, seconds: float, at_once: int) -> tuple[float, float]:
    """Seconds from the first word to the last answer of ``count`` tasks, and CPU seconds of all processes.

    Results are taken as they come; those of tasks that were sent together, together.
    """
    began, used = time.perf_counter(), _used()
    left, waiting, ended = count, list[Ref](), list[Ref]()
    while left or waiting:
        new = min(at_once - len(waiting), left) if at_once < count else left
        waiting += [executor.submit(spin, seconds, key=f"spin/{next(serial)}") for _ in range(new)]
        left -= new
        ended += executor.done(waiting, PATIENCE)
        back = {ref.key for ref in ended}
        waiting = [ref for ref in waiting if ref.key not in back]
        if at_once < count or not waiting:
            executor.results(ended, PATIENCE)
            executor.release(ended)
            ended = []
    return time.perf_counter() - began, _used() - used


def _used() -> float:
    """CPU seconds so far of this process and its children."""
    own, total = psutil.Process(), 0.0
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            spent = process.cpu_times()
            total += spent.user + spent.system
    return total

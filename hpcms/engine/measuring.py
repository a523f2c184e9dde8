"""What a task costs on this machine beside its work: measured with tasks that do nothing, on real workers."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hpcms.cluster import cores, open_executor
from hpcms.contracts import Executor
from hpcms.plan.machine import Machine

ROUNDS, MANY = 20, 100
SPAN = 0.02  # s of a task beside which the next one is sent
PATIENCE = 60.0  # s


def spin(seconds: float) -> float:
    """Keep a core busy for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


def here(machine: Machine) -> Machine:
    """``machine`` with this one's times for messages and tasks; where it has no more workers than this one has cores, they
    share these with the driver. Takes about ten seconds.
    """
    there = cores()
    workers = min(machine.workers, there)
    with (
        tempfile.TemporaryDirectory(prefix="hpcms-measured-") as folder,
        open_executor("local", workers, Path(folder)) as executor,
    ):
        turn = functools.partial(_turn, executor, itertools.count())
        turn(MANY, 0.0)
        alone = statistics.median(turn(1, 0.0) for _ in range(ROUNDS))
        idle = statistics.median(turn(MANY, 0.0) for _ in range(3)) / MANY
        row = 12 * workers
        beside = statistics.median(turn(row, SPAN) for _ in range(3)) - alone - row * SPAN / workers
    return dataclasses.replace(
        machine, latency=alone / 2, dispatch=1 / idle, overhead=max(beside / (row / workers), 0.0),
        cores=there if machine.workers <= there else 0,
    )  # fmt: skip


def _turn(executor: Executor, serial: Iterator[int], count: int, seconds: float) -> float:
    """Seconds from the first word to the last answer."""
    began = time.perf_counter()
    refs = [executor.submit(spin, seconds, key=f"spin/{next(serial)}") for _ in range(count)]
    waiting = list(refs)
    while waiting:
        done = {ref.key for ref in executor.done(waiting, PATIENCE)}
        waiting = [ref for ref in waiting if ref.key not in done]
    executor.results(refs, PATIENCE)
    took = time.perf_counter() - began
    executor.release(refs)
    return took

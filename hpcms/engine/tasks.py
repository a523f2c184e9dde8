"""The functions that run on workers. Each is pure: it may run twice, anywhere, and gives the same bits."""

from __future__ import annotations

import dataclasses
import functools
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hpcms import memory
from hpcms.contracts import Array, Arrays, FineModel, Outcome, TaskRecord
from hpcms.problem.regions import Source
from hpcms.store import commit


@dataclass(frozen=True)
class Committed:
    """The state of a batch in the committed step of ``sink``."""

    sink: commit.Sink
    model: str
    batch: int


@dataclass(frozen=True)
class Solved:
    """What a fine task leaves on its worker; the state stays there."""

    answers: Arrays
    state: Arrays
    outcomes: list[Outcome]
    record: TaskRecord

    def to_driver(self) -> tuple[Arrays, list[Outcome], TaskRecord]:
        return self.answers, self.outcomes, self.record


@dataclass(frozen=True)
class Written:
    """What a task that writes leaves: the files, for the commit."""

    entries: list[commit.Entry]
    record: TaskRecord

    def to_driver(self) -> tuple[list[commit.Entry], TaskRecord]:
        return self.entries, self.record


def owned(arrays: Arrays) -> Arrays:
    """The same arrays, writable, aligned and contiguous; copied only where they are not.

    What came over the wire is read-only, and numba compiles other code for it: other vector instructions, other bits.
    """
    return {name: np.require(value, requirements=["C", "A", "W"]) for name, value in arrays.items()}


def nbytes(arrays: Arrays) -> int:
    """Bytes of all arrays."""
    return sum(a.nbytes for a in arrays.values())


def measured(
    key: str, kind: str, inputs: tuple[str, ...], work: Callable[[], Any], clock: Callable[[], float] = time.time,
    used: Callable[[], float] = time.process_time,
) -> tuple[Any, TaskRecord]:  # fmt: skip
    """Run ``work`` and record it. ``used``: CPU seconds, before and after."""
    start, cpu = clock(), used()
    result = work()
    record = TaskRecord(
        key=key, kind=kind, worker=f"{socket.gethostname()}:{os.getpid()}", start=start, end=clock(),
        cpu_s=used() - cpu, inputs=inputs, peak_memory=memory.peak(),
    )  # fmt: skip
    return result, record


def read_labels(source: Source) -> Array:
    """The segmented image of a source."""
    return source.labels()


def begin(key: str, model: FineModel, source: Source, labels: Array, ids: Array, offsets: Array) -> Solved:
    """The state at rest of a batch."""
    image = np.require(labels, requirements=["C", "A", "W"])
    state, record = measured(key, "begin", (), lambda: model.begin(source.cut(image, ids, offsets)))
    return Solved({}, state, [], dataclasses.replace(record, bytes_out=nbytes(state)))


def solve(
    key: str,
    inputs: tuple[str, ...],
    model: FineModel,
    history: Committed | Solved,
    trial: Solved | None,
    drive: Arrays,
    seeds: Array,
    verb: str = "solve",
) -> Solved:
    """Solve a batch from its ``history``: committed, or a trial of the step before where that is not committed yet.

    The last ``trial`` of the same step lends its guesses only. ``verb``: "solve" where the model has it not.
    """
    start = recalled(history)
    guesses = {g: trial.state[g] for g in model.guesses} if trial is not None else {}
    given, before = owned(drive), owned({**start, **guesses})
    work_on = getattr(model, verb, model.solve)
    solved = functools.partial(work_on, given, before, seeds)
    # A worker has one thread for its kernels; what others do meanwhile is messages.
    (answers, state, outcomes), record = measured(key, "fine", inputs, solved, used=time.thread_time)
    work = np.array([max(o.linear_iterations, 1) for o in outcomes], dtype=float)
    record = dataclasses.replace(
        record,
        bytes_in=nbytes(drive),
        bytes_out=nbytes(answers),
        costs=tuple(record.cpu_s * work / work.sum()) if len(work) else (),
    )
    return Solved(answers, state, _finite(answers, outcomes), record)


def _finite(answers: Arrays, outcomes: list[Outcome]) -> list[Outcome]:
    """NaN and inf stop here: the outcome of such a region is a failure, whatever the model said."""
    for name, value in answers.items():
        good = [bool(np.isfinite(row).all()) for row in value]
        outcomes = [
            o if g else Outcome(False, f"answer {name!r} is not finite: shorten the step", o.iterations)
            for o, g in zip(outcomes, good, strict=True)
        ]
    return outcomes


def write(
    key: str, inputs: tuple[str, ...], sink: commit.Sink, model: str, batch: int, rows: tuple[int, int],
    solved: Solved | Committed,
) -> Written:  # fmt: skip
    """Write the state of a batch to the step that is about to be committed; it may be that of the step before."""
    state = recalled(solved)
    Held.of(sink).keep(sink.step, model, batch, state)
    return Written(*measured(key, "commit", inputs, lambda: commit.write_fine(sink, model, batch, rows, state)))


def recalled(history: Committed | Solved) -> Arrays:
    """The state of a batch. A committed one is what the store holds, so a lost worker costs no more than one step: the process
    that wrote it still has it in memory; any other one reads the file, once.
    """
    if isinstance(history, Solved):
        return history.state
    held, step = Held.of(history.sink), history.sink.step
    state = held.get(step, history.model, history.batch)
    if state is None:
        state = commit.read_fine(history.sink, history.model, history.batch)
        held.keep(step, history.model, history.batch, state)
    return state


class Held:
    """The committed states that this process has in memory: of each batch the newest, of one run."""

    _run: ClassVar[tuple[str, str]] = ("", "")
    _own: ClassVar[Held]

    def __init__(self) -> None:
        self._states: dict[tuple[str, int], tuple[int, Arrays]] = {}
        self._step = 0

    @classmethod
    def of(cls, sink: commit.Sink) -> Held:
        """Those of the run of ``sink``; those of any other one are forgotten."""
        if cls._run != (sink.root, sink.driver):
            cls._run, cls._own = (sink.root, sink.driver), cls()
        return cls._own

    def get(self, step: int, model: str, batch: int) -> Arrays | None:
        held, state = self._states.get((model, batch), (-1, None))
        return state if held == step else None

    def keep(self, step: int, model: str, batch: int, state: Arrays) -> None:
        """With a new step goes what is older than the one before it: another worker has that batch now."""
        if step > self._step:
            self._step = step
            self._states = {at: held for at, held in self._states.items() if held[0] >= step - 1}
        self._states[model, batch] = step, state

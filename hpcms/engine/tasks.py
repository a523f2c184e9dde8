"""The functions that run on workers. Each is pure: it may run twice, anywhere, and gives the same bits."""

from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcms import memory
from hpcms.contracts import Array, Arrays, FineModel, Outcome, TaskRecord
from hpcms.problem.regions import Source
from hpcms.store import commit


@dataclass(frozen=True)
class Solved:
    """What a fine task leaves on its worker; only answers, outcomes and the record travel."""

    answers: Arrays
    state: Arrays
    outcomes: list[Outcome]
    record: TaskRecord


def owned(arrays: Arrays) -> Arrays:
    """The same arrays, writable, aligned and contiguous; copied only where they are not.

    What came over the wire is read-only, and numba compiles other code for it: other vector instructions, other bits.
    """
    return {name: np.require(value, requirements=["C", "A", "W"]) for name, value in arrays.items()}


def nbytes(arrays: Arrays) -> int:
    """Bytes of all arrays."""
    return sum(a.nbytes for a in arrays.values())


def measured(
    key: str, kind: str, inputs: tuple[str, ...], work: Callable[[], Any], clock: Callable[[], float] = time.time
) -> tuple[Any, TaskRecord]:
    """Run ``work`` and record it."""
    start, cpu = clock(), time.process_time()
    result = work()
    record = TaskRecord(
        key=key, kind=kind, worker=f"{socket.gethostname()}:{os.getpid()}", start=start, end=clock(),
        cpu_s=time.process_time() - cpu, inputs=inputs, peak_memory=memory.peak(),
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
    history: Arrays | Solved,
    trial: Solved | None,
    drive: Arrays,
    seeds: Array,
    verb: str = "solve",
) -> Solved:
    """Solve a batch from its committed ``history``, or from a trial of the step before where that is not committed yet.

    The last ``trial`` of the same step lends its guesses only. ``verb``: "solve" where the model has it not.
    """
    start = history.state if isinstance(history, Solved) else history
    guesses = {g: trial.state[g] for g in model.guesses} if trial is not None else {}
    given, before = owned(drive), owned({**start, **guesses})
    work_on = getattr(model, verb, model.solve)
    (answers, state, outcomes), record = measured(key, "fine", inputs, lambda: work_on(given, before, seeds))
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


def take(solved: Solved) -> tuple[Arrays, list[Outcome], TaskRecord]:
    """The part of a result that travels."""
    return solved.answers, solved.outcomes, solved.record


def write(
    key: str, inputs: tuple[str, ...], sink: commit.Sink, model: str, batch: int, rows: tuple[int, int],
    solved: Solved | Arrays,
) -> tuple[list[commit.Entry], TaskRecord]:  # fmt: skip
    """Write the state of a batch to the step that is about to be committed; it may be that of the step before."""
    state = solved.state if isinstance(solved, Solved) else solved
    written_by(sink)[model, batch] = state
    return measured(key, "commit", inputs, lambda: commit.write_fine(sink, model, batch, rows, state))


def recall(sink: commit.Sink, model: str, batch: int) -> Arrays:
    """The committed state of a batch: the history that the next step starts from.

    The process that wrote it still has it in memory; any other one reads the file.
    """
    kept = written_by(sink).pop((model, batch), None)
    return commit.read_fine(sink, model, batch) if kept is None else kept


_written: dict[tuple[str, str, int], dict[tuple[str, int], Arrays]] = {}


def written_by(sink: commit.Sink) -> dict[tuple[str, int], Arrays]:
    """What this process has written to the step of ``sink`` and still holds, by model and batch. Other steps are forgotten."""
    step = (sink.root, sink.driver, sink.step)
    if step not in _written:
        _written.clear()
    return _written.setdefault(step, {})

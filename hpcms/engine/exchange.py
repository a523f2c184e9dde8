"""The traffic between the run loop and the fine tasks: batches out, answers in, state kept where it was made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpcms.bridge.average import Average
from hpcms.contracts import Array, Arrays, Executor, FineModel, FineRequest, Outcome, Ref, TaskRecord
from hpcms.engine import placement, tasks
from hpcms.errors import DeadlineExceeded
from hpcms.problem.regions import Source
from hpcms.store.commit import Entry, Sink

POLL = 1.0  # seconds between looks at the stop watch


@dataclass(frozen=True)
class Trial:
    """A solve of one batch: where its result is, and the name of the task."""

    ref: Ref
    key: str


@dataclass(frozen=True)
class Sent:
    """One batch of a request on its way. ``take``: the part of the result that travels."""

    request: FineRequest
    batch: int
    trial: Trial
    take: Ref
    drive: Arrays


@dataclass
class Part:
    """One fine model, its regions 0..S-1 in batches of fixed rows, and the address of their state."""

    name: str
    model: FineModel
    source: Source
    offsets: Array
    batches: list[tuple[int, int]]
    bridge: Average
    labels: Ref | None = None
    history: list[Ref] = field(default_factory=list)  # by batch: committed state
    places: list[str] = field(default_factory=list)  # by batch: the worker that is to have it next
    trials: dict[int, dict[int, Trial]] = field(default_factory=dict)  # by step and batch: the last solve that was told


def batches(count: int, size: int) -> list[tuple[int, int]]:
    """Rows [lo, hi) of each batch. They depend on the job only, not on the workers: a batch is a file on disk too."""
    return [(lo, min(lo + size, count)) for lo in range(0, count, size)]


def commit_key(step: int) -> str:
    """The task in which the driver makes a step final; the next one starts after it."""
    return f"commit/{step}"


class Exchange:
    """Submits fine tasks, waits with a deadline, keeps the last told state of every batch where it was made.

    ``flight``: what is on its way, by the key of what will come back. ``open``: the step that is not committed yet.
    """

    def __init__(
        self, executor: Executor, parts: dict[str, Part], seed: int, deadline: float, check: Callable[[], None]
    ) -> None:
        self.executor, self.parts, self.seed, self.deadline, self.check = executor, parts, seed, deadline, check
        self.records: list[TaskRecord] = []
        self.flight: dict[str, Sent] = {}
        self.open = 0

    def begin(self) -> None:
        """Start all regions at rest."""
        for part in self.parts.values():
            part.labels = self.executor.submit(tasks.read_labels, part.source, key=f"labels/{part.name}")
            part.trials = {0: {}}
            for b, (lo, hi) in enumerate(part.batches):
                key = f"begin/{part.name}/0/{b}"
                ids = np.arange(lo, hi, dtype=np.int64)
                args = (key, part.model, part.source, part.labels, ids, part.offsets[lo:hi])
                part.trials[0][b] = Trial(self.executor.submit(tasks.begin, *args, key=key), key)

    def seeds(self, name: str, step: int, lo: int, hi: int) -> Array:
        """(R,) one seed a region, from its identity alone."""
        level = sorted(self.parts).index(name)
        keys = [np.random.SeedSequence(self.seed, spawn_key=(level, region, step)) for region in range(lo, hi)]
        return np.array([k.generate_state(1, np.uint64)[0] for k in keys], dtype=np.uint64)

    def send(self, request: FineRequest, tag: str, after: tuple[str, ...]) -> list[Sent]:
        """Ask for all batches of a request. ``tag`` makes the keys unique; ``after``: tasks that it came from."""
        part, sent, at = self.parts[request.model], [], 0
        drive = part.bridge.lift(request.drive)
        own = part.trials.get(request.step, {})
        for b in request.batches.tolist():
            lo, hi = part.batches[b]
            piece, at = {k: v[at : at + hi - lo] for k, v in drive.items()}, at + hi - lo
            key, last = f"fine/{part.name}/{tag}/{b}", own.get(b)
            base = part.trials.get(self.open, {}).get(b) if request.step > self.open else None
            start = base.key if base is not None else commit_key(self.open - 1)
            inputs = (*after, start, *((last.key,) if last is not None else ()))
            history, trial = base.ref if base else part.history[b], last.ref if last else None
            seeds = self.seeds(part.name, request.step, lo, hi)
            args = (key, inputs, part.model, history, trial, piece, seeds, request.verb)
            ref = self.executor.submit(tasks.solve, *args, key=key)
            take = self.executor.submit(tasks.take, ref, key=f"take/{key}")
            sent.append(Sent(request, b, Trial(ref, key), take, piece))
            self.flight[take.key] = sent[-1]
        return sent

    def arrived(self, wait: bool) -> list[Sent]:
        """What has come back since; ``wait``: until something has."""
        refs = [s.take for s in self.flight.values()]
        if not refs:
            return []
        if wait:
            self._await_one(refs)
        try:
            done = self.executor.done(refs, timeout=0.0)
        except DeadlineExceeded:
            return []
        return [self.flight[ref.key] for ref in done]

    def collect(self, sent: list[Sent]) -> list[tuple[Arrays, list[Outcome]]]:
        """Answers and outcomes of these batches, in their order."""
        pieces = self._results([s.take for s in sent])
        self.records += [record for _, _, record in pieces]
        for s in sent:
            self.flight.pop(s.take.key, None)
        return [(answers, outcomes) for answers, outcomes, _ in pieces]

    def keep(self, sent: Sent, told: bool) -> None:
        """The state of a batch is that of the last answer told; others are forgotten."""
        trials = self.parts[sent.request.model].trials.setdefault(sent.request.step, {})
        gone = trials.get(sent.batch) if told else sent.trial
        if told:
            trials[sent.batch] = sent.trial
        if gone is not None:
            self.executor.release([gone.ref])

    def _await_one(self, refs: list[Ref]) -> None:
        """Returns when one is done; looks at the stop watch, gives up when nothing moves."""
        began = time.monotonic()
        while True:
            self.check()
            try:
                self.executor.done(refs, timeout=POLL)
                return
            except DeadlineExceeded:
                if time.monotonic() - began > self.deadline:
                    late = f"no task finished within {self.deadline:.0f} s; waiting for {refs[0].key}"
                    raise DeadlineExceeded(late) from None

    def _results(self, refs: list[Ref]) -> list[Any]:
        """All results in the order of ``refs``; looks at the stop watch, gives up when nothing moves."""
        waiting, moved = list(refs), time.monotonic()
        while waiting:
            self.check()
            try:
                finished = {id(r) for r in self.executor.done(waiting, timeout=POLL)}
            except DeadlineExceeded:
                finished = set()
            if finished:
                waiting, moved = [r for r in waiting if id(r) not in finished], time.monotonic()
            elif time.monotonic() - moved > self.deadline:
                raise DeadlineExceeded(f"no task finished within {self.deadline:.0f} s; waiting for {waiting[0].key}")
        results = self.executor.results(refs, timeout=self.deadline)
        self.executor.release(refs)
        return results

    def reject(self) -> None:
        """Forget the trials of a step that is not accepted, and what was ahead of it."""
        gone = [ref for s in self.flight.values() for ref in (s.take, s.trial.ref)]
        self.flight = {}
        for part in self.parts.values():
            gone += [trial.ref for trials in part.trials.values() for trial in trials.values()]
            part.trials = {}
        self.executor.release(gone)

    def ids(self, name: str) -> Array:
        """(S,) the regions of a model."""
        return np.arange(self.parts[name].batches[-1][1], dtype=np.int64)

    def write(self, sink: Sink, step: int) -> tuple[list[Entry], tuple[str, ...]]:
        """Every batch writes its own chunk; one that was not asked in this step writes what it was before.

        What was written, and the names of the tasks.
        """
        refs = []
        for n, part in self.parts.items():
            trials = part.trials.get(step, {})
            for b, rows in enumerate(part.batches):
                trial, key = trials.get(b), f"commit/{n}/{step}/{b}"
                inputs = (trial.key,) if trial else ()
                state = trial.ref if trial else part.history[b]
                refs.append(self.executor.submit(tasks.write, key, inputs, sink, n, b, rows, state, key=key))
        pieces = self._results(refs)
        self.records += [record for _, record in pieces]
        self._place(iter(record for _, record in pieces))
        return [entry for entries, _ in pieces for entry in entries], tuple(record.key for _, record in pieces)

    def _place(self, written: Iterator[TaskRecord]) -> None:
        """Each batch stays with the worker that wrote it, or moves to one that had less to do in this step."""
        seconds = placement.loads(self.records)
        workers = sorted({r.worker for r in self.records if r.kind != "coarse"})
        for name, part in self.parts.items():
            places = [next(written).worker for _ in part.batches]
            costs = [seconds.get((name, b), 0.0) for b in range(len(places))]
            equal = [1.0] * len(places)  # before the first step nobody knows
            part.places = placement.balanced(costs if any(costs) else equal, places, workers)

    def recall(self, sink: Sink) -> None:
        """After a commit: the history is what the store holds, so lost workers cost no more than one step.

        It is asked of the worker that wrote it, which need not read it, or of a less busy one.
        """
        for part in self.parts.values():
            old = part.trials.pop(sink.step, {})
            self.executor.release([*part.history, *(trial.ref for trial in old.values())])
            part.history = [
                self.executor.submit(
                    tasks.recall, sink, part.name, b, key=f"recall/{part.name}/{sink.step}/{b}", near=place
                )
                for b, place in enumerate(part.places or [""] * len(part.batches))
            ]
        self.open = sink.step + 1

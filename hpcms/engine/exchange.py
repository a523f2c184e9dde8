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
    """One batch of a request on its way."""

    request: FineRequest
    batch: int
    trial: Trial
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

    ``flight``: what is on its way, by the key of its task. ``last``: the last committed step.
    """

    def __init__(
        self, executor: Executor, parts: dict[str, Part], seed: int, deadline: float, check: Callable[[], None]
    ) -> None:
        self.executor, self.parts, self.seed, self.deadline, self.check = executor, parts, seed, deadline, check
        self.records: list[TaskRecord] = []
        self.flight: dict[str, Sent] = {}
        self.last: Sink | None = None
        self.workers: list[str] = []  # that had a task in the step before
        self.writing: list[Ref] = []
        self.begun: list[Ref] = []  # whose records are not taken yet

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
            self.begun += [trial.ref for trial in part.trials[0].values()]

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
        for i, b in enumerate(request.batches.tolist()):
            lo, hi = part.batches[b]
            piece, at = {k: v[at : at + hi - lo] for k, v in drive.items()}, at + hi - lo
            key, last = f"fine/{part.name}/{tag}/{b}", own.get(b)
            history, start = self._state(part, b, request.step - 1)
            inputs = (*after, start, *((last.key,) if last is not None else ()))
            seeds = self.seeds(part.name, request.step, lo, hi)
            near = self._place_of(part, b)
            if self.workers and request.workers:
                near = self.workers[request.workers[i] % len(self.workers)]
            args = (key, inputs, part.model, history, last.ref if last else None, piece, seeds, request.verb)
            ref = self.executor.submit(tasks.solve, *args, key=key, near=near)
            sent.append(Sent(request, b, Trial(ref, key), piece))
            self.flight[key] = sent[-1]
        return sent

    def _place_of(self, part: Part, batch: int) -> str:
        """The worker that is to have a batch next, if that is known."""
        return part.places[batch] if part.places else ""

    def _state(self, part: Part, batch: int, step: int) -> tuple[Ref | tasks.Committed, str]:
        """What a batch remembers of ``step``: its last trial since the last commit, or what that holds; and from which task."""
        committed = self.last.step if self.last else -1
        for at in range(step, committed, -1):
            trial = part.trials.get(at, {}).get(batch)
            if trial is not None:
                return trial.ref, trial.key
        assert self.last is not None
        return tasks.Committed(self.last, part.name, batch), commit_key(committed)

    def arrived(self, wait: bool) -> list[Sent]:
        """What has come back since; ``wait``: until something has."""
        refs = [s.trial.ref for s in self.flight.values()]
        if not refs:
            return []
        if wait:
            self._await_one(refs)
        return [self.flight[ref.key] for ref in self._done(refs)]

    def _done(self, refs: list[Ref]) -> list[Ref]:
        """Those of ``refs`` that are done now."""
        try:
            return self.executor.done(refs, timeout=0.0)
        except DeadlineExceeded:
            return []

    def collect(self, sent: list[Sent]) -> list[tuple[Arrays, list[Outcome]]]:
        """Answers and outcomes of these batches, in their order."""
        pieces = self._results([s.trial.ref for s in sent], self.deadline)
        self.records += [record for _, _, record in pieces]
        for s, (_, _, record) in zip(sent, pieces, strict=True):
            self.flight.pop(s.trial.key, None)
            if places := self.parts[s.request.model].places:
                places[s.batch] = record.worker
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

    def _results(self, refs: list[Ref], patience: float) -> list[Any]:
        """All results in the order of ``refs``; looks at the stop watch, gives up when nothing moves for ``patience`` s."""
        waiting, moved = list(refs), time.monotonic()
        while waiting:
            self.check()
            try:
                finished = {id(r) for r in self.executor.done(waiting, timeout=POLL)}
            except DeadlineExceeded:
                finished = set()
            if finished:
                waiting, moved = [r for r in waiting if id(r) not in finished], time.monotonic()
            elif time.monotonic() - moved > patience:
                raise DeadlineExceeded(f"no task finished within {patience:.0f} s; waiting for {waiting[0].key}")
        return self.executor.results(refs, timeout=self.deadline)

    def reject(self) -> None:
        """Forget the trials of a step that is not accepted, and what was ahead of it; the one before is committed."""
        gone = [s.trial.ref for s in self.flight.values()]
        self.flight = {}
        for part in self.parts.values():
            gone += [trial.ref for trials in part.trials.values() for trial in trials.values()]
            part.trials = {}
        self.executor.release(gone)

    def ids(self, name: str) -> Array:
        """(S,) the regions of a model."""
        return np.arange(self.parts[name].batches[-1][1], dtype=np.int64)

    def write(self, sink: Sink) -> None:
        """Every batch begins to write its own chunk; one that was not asked in this step writes what it was before."""
        self.writing = []
        for n, part in self.parts.items():
            for b, rows in enumerate(part.batches):
                key, near = f"commit/{n}/{sink.step}/{b}", self._place_of(part, b)
                state, before = self._state(part, b, sink.step)
                args = (key, (before,), sink, n, b, rows, state)
                self.writing.append(self.executor.submit(tasks.write, *args, key=key, near=near))

    def written(self, patience: float) -> tuple[list[Entry], tuple[str, ...]] | None:
        """What ``write`` has written and the names of the tasks; None where that is not done yet.

        ``patience``: seconds without any task done until a wait ends with an error; 0: there is no wait.
        """
        if not patience and len(self._done(self.writing)) < len(self.writing):
            return None
        pieces = self._results(self.writing, patience or self.deadline)
        self.executor.release(self.writing)
        self.records += [record for _, _, record in self._results(self.begun, self.deadline)] if self.begun else []
        self.records += [record for _, record in pieces]
        self.writing, self.begun = [], []
        self._place(iter(record for _, record in pieces))
        return [entry for entries, _ in pieces for entry in entries], tuple(record.key for _, record in pieces)

    def _place(self, written: Iterator[TaskRecord]) -> None:
        """Each batch stays with the worker that wrote it, or moves to one that had less to do in this step."""
        seconds = placement.loads(self.records)
        self.workers = sorted({r.worker for r in self.records if r.kind != "coarse"})
        for name, part in self.parts.items():
            places = [next(written).worker for _ in part.batches]
            costs = [seconds.get((name, b), 0.0) for b in range(len(places))]
            equal = [1.0] * len(places)  # before the first step nobody knows
            part.places = placement.balanced(costs if any(costs) else equal, places, self.workers)

    def commit(self, sink: Sink) -> None:
        """A step is committed: what its batches remember is what the store holds."""
        self.last = sink
        for part in self.parts.values():
            for step in [step for step in part.trials if step <= sink.step]:
                self.executor.release([trial.ref for trial in part.trials.pop(step).values()])

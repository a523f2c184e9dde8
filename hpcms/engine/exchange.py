"""The traffic between the run loop and the fine tasks: batches out, answers in, state kept where it was made."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpcms.bridge.average import Average
from hpcms.contracts import Array, Arrays, Executor, FineModel, Outcome, Ref, TaskRecord
from hpcms.engine import tasks
from hpcms.errors import DeadlineExceeded
from hpcms.problem.regions import Source
from hpcms.store.commit import Entry, Sink

POLL = 1.0  # seconds between looks at the stop watch


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
    trial: list[Ref] = field(default_factory=list)  # by batch: last solve of this step
    trial_keys: list[str] = field(default_factory=list)


def batches(count: int, size: int) -> list[tuple[int, int]]:
    """Rows [lo, hi) of each batch. They depend on the job only, not on the workers: a batch is a file on disk too."""
    return [(lo, min(lo + size, count)) for lo in range(0, count, size)]


class Exchange:
    """Submits fine tasks, waits with a deadline, hands answers back in batch order."""

    def __init__(
        self, executor: Executor, parts: dict[str, Part], seed: int, deadline: float, check: Callable[[], None]
    ) -> None:
        self.executor, self.parts, self.seed, self.deadline, self.check = executor, parts, seed, deadline, check
        self.records: list[TaskRecord] = []

    def begin(self) -> None:
        """Start all regions at rest."""
        for part in self.parts.values():
            part.labels = self.executor.submit(tasks.read_labels, part.source, key=f"labels/{part.name}")
            part.trial, part.trial_keys = [], []
            for b, (lo, hi) in enumerate(part.batches):
                key = f"begin/{part.name}/0/{b}"
                ids = np.arange(lo, hi, dtype=np.int64)
                args = (key, part.model, part.source, part.labels, ids, part.offsets[lo:hi])
                part.trial.append(self.executor.submit(tasks.begin, *args, key=key))
                part.trial_keys.append(key)

    def seeds(self, name: str, step: int, lo: int, hi: int) -> Array:
        """(R,) one seed a region, from its identity alone."""
        level = sorted(self.parts).index(name)
        keys = [np.random.SeedSequence(self.seed, spawn_key=(level, region, step)) for region in range(lo, hi)]
        return np.array([k.generate_state(1, np.uint64)[0] for k in keys], dtype=np.uint64)

    def submit(self, name: str, drive: Arrays, step: int, tag: str, after: tuple[str, ...]) -> None:
        """Ask model ``name`` under ``drive`` (leading axis S). ``tag`` makes the keys unique: step.attempt.sweep."""
        part = self.parts[name]
        old, old_keys = part.trial, part.trial_keys
        part.trial, part.trial_keys = [], []
        for b, (lo, hi) in enumerate(part.batches):
            key = f"fine/{name}/{tag}/{b}"
            inputs = after + ((old_keys[b],) if old else ())
            trial = old[b] if old else None
            piece = {k: v[lo:hi] for k, v in drive.items()}
            args = (key, inputs, part.model, part.history[b], trial, piece, self.seeds(name, step, lo, hi))
            part.trial.append(self.executor.submit(tasks.solve, *args, key=key))
            part.trial_keys.append(key)
        self.executor.release(old)

    def collect(self, name: str) -> tuple[Arrays, list[Outcome]]:
        """Answers of all sites in order, and their outcomes."""
        part = self.parts[name]
        takes = [
            self.executor.submit(tasks.take, ref, key=f"take/{key}")
            for ref, key in zip(part.trial, part.trial_keys, strict=True)
        ]
        pieces = self._results(takes)
        self.records += [record for _, _, record in pieces]
        answers = {k: np.concatenate([p[0][k] for p in pieces]) for k in part.model.answers}
        return answers, [o for p in pieces for o in p[1]]

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
        """Forget the trials of a step that is not accepted."""
        for part in self.parts.values():
            self.executor.release(part.trial)
            part.trial, part.trial_keys = [], []

    def ids(self, name: str) -> Array:
        """(S,) the regions of a model."""
        return np.arange(self.parts[name].batches[-1][1], dtype=np.int64)

    def write(self, sink: Sink, step: int) -> list[Entry]:
        """Every batch writes its own chunk."""
        refs = [
            self.executor.submit(
                tasks.write, f"commit/{n}/{step}/{b}", (self.parts[n].trial_keys[b],), sink, n, b, rows,
                self.parts[n].trial[b], key=f"commit/{n}/{step}/{b}",
            )
            for n in self.parts
            for b, rows in enumerate(self.parts[n].batches)
        ]  # fmt: skip
        pieces = self._results(refs)
        self.records += [record for _, record in pieces]
        return [entry for entries, _ in pieces for entry in entries]

    def recall(self, sink: Sink) -> None:
        """After a commit: the history is what the store holds, so lost workers cost no more than one step."""
        for part in self.parts.values():
            self.executor.release(part.history + part.trial)
            part.history = [
                self.executor.submit(tasks.recall, sink, part.name, b, key=f"recall/{part.name}/{sink.step}/{b}")
                for b in range(len(part.batches))
            ]
            part.trial, part.trial_keys = [], []

"""One attempt at one step: what the scheme asks for goes out, what comes back is told, coarse solves run meanwhile.

Fine tasks go to the workers, the coarse solve runs in the driver: both are alive at once wherever the scheme lets them. A scheme
with a barrier is told the answers of a request together; the others one by one, in the order in which they come. That order is
recorded; with ``recorded`` answers are told as they were in an earlier run, whatever comes first this time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from hpcms.contracts import Arrays, CoarseModel, CoarseRequest, FineRequest, Outcome, Step
from hpcms.engine import tasks
from hpcms.engine.exchange import Exchange, Sent
from hpcms.stepping import StepRejected

WAITING = 2  # tasks that wait at the workers, beside one for each: none waits for the driver, wherever its state is


class Progress(Protocol):
    """Where a run tells how far it is."""

    def step(self, done: float, total: float, text: str, eta: float | None) -> None: ...

    def note(self, text: str) -> None: ...


class Host(Protocol):
    """What a dialogue needs of the run."""

    progress: Progress

    coarse: CoarseModel
    exchange: Exchange
    steps: dict[int, Step]
    rejections: int
    recorded: Iterator[list[Any]] | None

    @property
    def workers(self) -> int:
        """Those that a scheme may count on."""
        ...

    def settle(self, patience: float = 0.0) -> None:
        """Commit the step before if it is written; ``patience``: wait for that, so long without any sign."""
        ...


class Dialogue:
    """``order``: groups of [step, model, serial, batch], told between two looks at what the scheme asks for."""

    def __init__(self, host: Host, scheme: Any, attempt: int) -> None:
        self.host, self.scheme, self.attempt = host, scheme, attempt
        self.exchange = host.exchange
        self.counts: dict[str, Any] = {}
        self.notes: dict[str, set[str]] = {}
        self.order: list[list[Any]] = []
        self.open = min(host.steps)
        self.after: dict[int, tuple[str, ...]] = {}  # by step: the coarse task that its iterate comes from
        self.recorded = iter(next(host.recorded)) if host.recorded is not None else None

    def run(self) -> None:
        """Until the scheme is done."""
        while not self.scheme.done:
            self.host.settle()
            barrier = self.scheme.barrier
            requests = self.scheme.ask(None if barrier else self._room())
            sweep = len(self.scheme.sweeps)
            sent = [s for r in requests if isinstance(r, FineRequest) for s in self._send(r, sweep)]
            coarse = [r for r in requests if isinstance(r, CoarseRequest)]
            for request in coarse:
                self._coarse(request, sweep)
            if barrier:
                self._tell_together(sent)
            elif not self.scheme.done:
                self._tell_each(self._next(not coarse))
        if self.scheme.failed:
            raise StepRejected(self.scheme.failed)

    def _room(self) -> int:
        """How many tasks may be sent: one a worker, and others to wait there where batches outnumber the workers.

        Where they do not, what waited would be work ahead that holds up the open step.
        """
        workers, parts = self.host.workers, self.exchange.parts.values()
        batches = max((len(part.batches) for part in parts), default=0)
        waiting = min(workers + WAITING, max(batches - workers, 1))
        return max(workers + waiting - len(self.exchange.flight), 0)

    def _name(self, request: FineRequest | CoarseRequest, sweep: int) -> str:
        """What makes the tasks of a request unique in the run: step.attempt.sweep, or step.aREJECTIONS-serial."""
        if len(request.key) == (4 if isinstance(request, FineRequest) else 3):
            return f"{request.step}.a{self.host.rejections}-{request.key[-1]}"
        fallen = f"b{request.key[0]}" if hasattr(self.scheme, "meta") else ""  # a scheme without barrier that fell back
        return f"{request.step}.{self.attempt}.{sweep}{fallen}"

    def _send(self, request: FineRequest, sweep: int) -> list[Sent]:
        # What starts from the store needs no task of the step before: else a lost worker would cost all steps since the first.
        self.host.settle(self.exchange.deadline)
        after = self.after.get(request.step, self.after.get(request.step - 1, ()))
        return self.exchange.send(request, self._name(request, sweep), after)

    def _coarse(self, request: CoarseRequest, sweep: int) -> None:
        step = self.host.steps[request.step]
        if request.previous is not None:
            step = dataclasses.replace(step, previous=request.previous)
        key = f"coarse/{self._name(request, sweep)}"
        trials = (self.exchange.parts[name].trials.get(request.step, {}) for name in request.answers)
        inputs = tuple(trial.key for found in trials for _, trial in sorted(found.items()))
        work, clock = self.host.coarse.advance, self.exchange.executor.clock
        advance, record = tasks.measured(key, "coarse", inputs, lambda: work(request.u, request.answers, step), clock)
        self.exchange.records.append(dataclasses.replace(record, bytes_in=advance.bytes))
        self.after[request.step] = (key,)
        self.scheme.tell(request.key, advance)

    # ------------------------------------------------------------------ telling

    def _tell_together(self, sent: list[Sent]) -> None:
        """A barrier: all answers, model by model."""
        by_model: dict[str, list[Sent]] = {}
        for s in sent:
            by_model.setdefault(s.request.model, []).append(s)
        for name, group in by_model.items():
            pieces = self.exchange.collect(group)
            outcomes = [o for _, found in pieces for o in found]
            self._count(name, outcomes, fail=True)
            answers = {k: np.concatenate([p[k] for p, _ in pieces]) for k in pieces[0][0]}
            self._check(name, group[0].request.drive, answers, group)
            request = group[0].request
            told = self.scheme.tell(request.key, self.exchange.parts[name].bridge.restrict(answers), request.batches)
            for s in group:
                self.exchange.keep(s, told)

    def _next(self, wait: bool) -> list[Sent]:
        """What to tell now: what has come, or what was told here in the recorded order."""
        if self.recorded is None:
            return self.exchange.arrived(wait)
        wanted = next(self.recorded)
        here = {(s.request.step, s.request.model, s.request.key[3], s.batch): s for s in self.exchange.flight.values()}
        return [here[tuple(name)] for name in wanted]

    def _tell_each(self, sent: list[Sent]) -> None:
        self.order.append([[s.request.step, s.request.model, s.request.key[-1], s.batch] for s in sent])
        if not sent:
            return
        for s, (answers, outcomes) in zip(sent, self.exchange.collect(sent), strict=True):
            name, batches = s.request.model, np.array([s.batch])
            good = self._count(name, outcomes, fail=s.request.step == self.open)
            if not good:  # a step ahead may fail; it is asked again when its turn comes
                self.scheme.forget(s.request.key, batches)
                self.exchange.keep(s, False)
                continue
            self._check(name, s.drive, answers, [s])
            told = self.scheme.tell(s.request.key, self.exchange.parts[name].bridge.restrict(answers), batches)
            self.exchange.keep(s, told)

    def _count(self, name: str, outcomes: list[Outcome], fail: bool) -> bool:
        """Adds the iterations to the counts of the step; a failed region rejects it where ``fail``."""
        count = self.counts.setdefault(name, {"newton": 0, "linear": 0, "solves": 0, "asked": 0, "energy_gap": 0.0})
        count["asked"] += len(outcomes)
        count["newton"] += sum(o.iterations for o in outcomes)
        count["linear"] += sum(o.linear_iterations for o in outcomes)
        count["solves"] += sum(o.solves for o in outcomes)
        failed = [r for r, o in enumerate(outcomes) if not o.ok]
        if failed and fail:
            raise StepRejected(
                f"{len(failed)} of {len(outcomes)} regions of {name} failed, first region {failed[0]}: "
                f"{outcomes[failed[0]].reason}"
            )
        for note in sorted({o.note for o in outcomes if o.note}):
            self.host.progress.note(f"{name}: {note}")
            self.notes.setdefault(name, set()).add(note)
        return not failed

    def _check(self, name: str, drive: Arrays, answers: Arrays, group: list[Sent]) -> None:
        part = self.exchange.parts[name]
        ids = np.concatenate([np.arange(*part.batches[s.batch], dtype=np.int64) for s in group])
        kept = {k: v for k, v in answers.items() if k in part.model.answers}
        gap = part.bridge.check(part.bridge.lift(drive), kept, ids)
        self.counts[name]["energy_gap"] = max(self.counts[name]["energy_gap"], gap)

"""The run loop: step by step, sweep by sweep, commit by commit. It knows no physics and no cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hpcms.contracts import Arrays, CoarseModel, Step
from hpcms.coupling import look_at, talk_with
from hpcms.engine import tasks
from hpcms.engine.dialogue import Dialogue, Progress
from hpcms.engine.exchange import Exchange, commit_key
from hpcms.engine.stop import StopWatch
from hpcms.errors import HpcmsError
from hpcms.stepping import StepRejected, StepSize, rate
from hpcms.store.commit import RunStore, Sink

LEAVING = 20.0  # seconds to commit what was accepted before a run ends early


@dataclass(frozen=True)
class Plan:
    """Planned times (s), the smallest step (s), the scheme and its limits."""

    times: tuple[float, ...]
    min_step: float
    scheme: type[Any]
    tolerance: float
    max_sweeps: int


@dataclass(frozen=True)
class Accepted:
    """An accepted step on its way into the store."""

    sink: Sink
    t: float
    u: Arrays
    arrays: dict[str, Arrays]
    meta: dict[str, Any]


@dataclass
class Loop:
    """One run. ``u`` is the coarse state at ``t``, the time of accepted step ``index``.

    The workers write an accepted step while the coarse model begins the next one; it is committed when all is written, at the
    latest before fine tasks of the next one are sent.
    """

    coarse: CoarseModel
    exchange: Exchange
    store: RunStore
    plan: Plan
    stop: StopWatch
    progress: Progress
    keep: int = 0
    u: Arrays = field(default_factory=dict)
    rate: Arrays = field(default_factory=dict)
    t: float = 0.0
    index: int = 0
    dt: float = 0.0  # the last accepted step size within the planned interval; 0: take the whole interval
    longest: float = 0.0
    before: Any = None  # the scheme of the last accepted step, with what it has done ahead
    steps: dict[int, Step] = field(default_factory=dict)  # the open one and the one after it
    notes: dict[str, list[str]] = field(default_factory=dict)  # what fine models said of the last attempt
    orders: list[list[Any]] = field(default_factory=list)  # by attempt: what was told when
    replay: Iterator[list[list[Any]]] | None = None  # by step: the orders of an earlier run
    recorded: Iterator[list[Any]] | None = None  # those of this step, by attempt
    rejections: int = 0
    repeated_workers: int = 0
    began: tuple[float, float] = (0.0, 0.0)  # when ``run`` did, and at which time of the model
    accepted: Accepted | None = None  # the accepted step that is not committed yet

    @property
    def workers(self) -> int:
        """Those of the executor, or of the run that is repeated."""
        return self.repeated_workers or self.exchange.executor.workers

    def start(self) -> None:
        """Commit step 0: the coarse state at time zero and all regions at rest."""
        self.u = self.coarse.begin()
        self.exchange.begin()
        self._accept(0, 0.0, {}, {"sweeps": [], "dt": 0.0, "fine": {}, "cut": 0.0})

    def resume(self) -> None:
        """Take up the last committed step."""
        head = self.store.head
        self.index, self.t = head.step, head.t
        meta = self.store.meta(head.step)
        self.dt = float(meta["cut"])
        begin = self.coarse.begin()
        self.u = {name: self.store.read(f"coarse/{name}", head.step) for name in begin}
        if head.step > 0:
            before = {name: self.store.read(f"coarse/{name}", head.step - 1) for name in begin}
            self.rate = rate(before, self.u, float(meta["dt"]))
        self.exchange.commit(self.store.sink(head.step))

    def run(self) -> None:
        """All steps to the end of the plan."""
        self.began = time.monotonic(), self.t
        try:
            while self.t < self.plan.times[-1] * (1 - 1e-12):
                self.stop.before_step(self.longest)
                started = time.monotonic()
                self._step()
                self.longest = max(self.longest, time.monotonic() - started)
            self.settle(self.exchange.deadline)
        except HpcmsError:
            self.exchange.check = lambda: None  # whatever the reason to leave is, what was accepted is worth a moment
            with contextlib.suppress(HpcmsError):
                self.settle(LEAVING)
            raise

    def _tell(self, step: Accepted) -> None:
        """Step and time left; what is told is committed."""
        (began, t0), end, sweeps = self.began, self.plan.times[-1], step.meta["sweeps"]
        left = (end - step.t) * (time.monotonic() - began) / max(step.t - t0, 1e-300)
        residual = f", residual {sweeps[-1]['residual']:.1e}" if sweeps else ""
        text = f"step {step.sink.step}: t = {step.t:.4g} s, {len(sweeps)} sweeps{residual}"
        self.progress.step(step.t, end, text, left)

    def _step(self) -> None:
        """One accepted step; halve it while it is rejected."""
        size, attempt = StepSize.within(self.plan.times, self.t, self.dt), 0
        self.orders = []
        self.recorded = iter(next(self.replay)) if self.replay is not None else None
        while True:
            step = Step(self.index + 1, size.end, size.dt, self.u, self.rate)
            try:
                scheme, fine = self._attempt(step, attempt)
                break
            except StepRejected as error:
                self.settle(self.exchange.deadline)
                self.exchange.reject()
                self.progress.note(f"step {step.index} rejected at dt = {step.dt:.4g} s: {error}")
                attempt, self.rejections = attempt + 1, self.rejections + 1
                size.halve(self.plan.min_step, step.index, error)
        self.u, self.rate = scheme.u, rate(self.u, scheme.u, step.dt)
        arrays = {
            name: {**scheme.drives[name], **{a: given[a] for a in self.exchange.parts[name].model.answers}}
            for name, given in scheme.answers.items()
        }
        said = {"notes": self.notes, **self._meta(scheme)}
        meta = {"sweeps": scheme.sweeps, "dt": step.dt, "fine": fine, "cut": size.next, **said}
        self._accept(step.index, step.t, arrays, meta)
        self.dt = size.next

    def _attempt(self, step: Step, attempt: int) -> tuple[Any, dict[str, Any]]:
        """Ask and tell until the scheme is done."""
        talk = talk_with(
            {n: p.model for n, p in self.exchange.parts.items()}, self.plan.tolerance, self.plan.max_sweeps,
            {n: p.batches for n, p in self.exchange.parts.items()}, workers=self.workers,
        )  # fmt: skip
        self.steps = {step.index: step}
        look = look_at(self.coarse, step, self._following)
        dialogue = Dialogue(self, self.plan.scheme.begin(look, talk, self.before), attempt)
        self.before = None  # what was ahead of a step that fails is lost with it
        try:
            dialogue.run()
        finally:
            self.orders.append(dialogue.order)
        self.before = dialogue.scheme
        self.notes = {name: sorted(told) for name, told in dialogue.notes.items()}
        return dialogue.scheme, dialogue.counts

    def _following(self, step: Step, u: Arrays) -> Step | None:
        """The step after ``step``, if that ends with ``u`` and is accepted."""
        later = [t for t in self.plan.times if t > step.t * (1 + 1e-12)]
        if not later or step.t not in self.plan.times:
            return None
        after = Step(step.index + 1, later[0], later[0] - step.t, u, rate(step.previous, u, step.dt))
        self.steps[after.index] = after
        return after

    def _meta(self, scheme: Any) -> dict[str, Any]:
        """What a scheme says of its step; the order in which it was told, where that matters."""
        said = getattr(scheme, "meta", None)
        return {"scheme": said, "order": {"workers": self.workers, "told": self.orders}} if said else {}

    def _accept(self, index: int, t: float, arrays: dict[str, Arrays], meta: dict[str, Any]) -> None:
        """The workers begin to write the step, and the next one may begin."""
        self.settle(self.exchange.deadline)
        self.index, self.t = index, t
        meta = {**meta, "summary": self.coarse.summary(self.u, Step(index, t, meta["dt"], self.u))}
        self.accepted = Accepted(self.store.sink(index), t, self.u, arrays, meta)
        self.exchange.write(self.accepted.sink)

    def settle(self, patience: float = 0.0) -> None:
        """Commit the accepted step if it is written; ``patience``: wait for that, so long without any sign."""
        found = self.exchange.written(patience) if self.accepted is not None else None
        if self.accepted is None or found is None:
            return
        (entries, keys), step, self.accepted = found, self.accepted, None
        work, clock, index = self.store.commit, self.exchange.executor.clock, step.sink.step
        given = (index, step.t, step.u, step.arrays, entries, step.meta)
        _, record = tasks.measured(commit_key(index), "commit", keys, lambda: work(*given), clock)
        self.store.append_records([*self.exchange.records, record])
        self.exchange.records = []
        self.exchange.commit(step.sink)
        if index:
            self._tell(step)

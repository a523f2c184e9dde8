"""The run loop: step by step, sweep by sweep, commit by commit. It knows no physics and no cluster."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from hpcms.contracts import Arrays, CoarseModel, CoarseRequest, FineRequest, Outcome, Scheme, Step
from hpcms.engine import tasks
from hpcms.engine.exchange import Exchange
from hpcms.engine.stop import StopWatch
from hpcms.errors import NumericalFailure
from hpcms.store.commit import RunStore


class Progress(Protocol):
    """Where a run tells how far it is."""

    def step(self, done: float, total: float, text: str, eta: float | None) -> None: ...

    def note(self, text: str) -> None: ...


class StepRejected(NumericalFailure):
    """This step did not work with this step size."""


@dataclass(frozen=True)
class Plan:
    """Planned times (s), the smallest step (s), the scheme and its limits."""

    times: tuple[float, ...]
    min_step: float
    scheme: type[Any]
    tolerance: float
    max_sweeps: int


@dataclass
class Loop:
    """One run. ``u`` is the coarse state at ``t``, the time of committed step ``index``."""

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

    def start(self) -> None:
        """Commit step 0: the coarse state at time zero and all regions at rest."""
        self.u = self.coarse.begin()
        self.exchange.begin()
        self._commit(0, 0.0, {}, {"sweeps": [], "dt": 0.0, "fine": {}, "cut": 0.0})

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
        self.exchange.recall(self.store.sink(head.step))

    def run(self) -> None:
        """All steps to the end of the plan."""
        end = self.plan.times[-1]
        began, t0 = time.monotonic(), self.t
        while self.t < end * (1 - 1e-12):
            self.stop.before_step(self.longest)
            started = time.monotonic()
            self._step()
            self.longest = max(self.longest, time.monotonic() - started)
            rate = (time.monotonic() - began) / max(self.t - t0, 1e-300)
            self.progress.step(self.t, end, self._text(), (end - self.t) * rate)

    def _text(self) -> str:
        meta = self.store.meta(self.index)
        sweeps = meta["sweeps"]
        residual = f", residual {sweeps[-1]['residual']:.1e}" if sweeps else ""
        return f"step {self.index}: t = {self.t:.4g} s, {len(sweeps)} sweeps{residual}"

    def _step(self) -> None:
        """One accepted step; halve it while it is rejected."""
        target = next(t for t in self.plan.times if t > self.t * (1 + 1e-12))
        whole = target - self.t
        dt, attempt = min(self.dt or whole, whole), 0
        if whole - dt < 1e-9 * whole:
            dt = whole
        while True:
            step = Step(self.index + 1, target if dt == whole else self.t + dt, dt, self.u, self.rate)
            try:
                scheme, fine = self._attempt(step, attempt)
                break
            except StepRejected as error:
                self.exchange.reject()
                self.progress.note(f"step {step.index} rejected at dt = {dt:.4g} s: {error}")
                dt, attempt = dt / 2, attempt + 1
                if dt < self.plan.min_step:
                    raise NumericalFailure(
                        f"step {step.index} fails down to the smallest step of {self.plan.min_step:.4g} s: {error}",
                        hint="lower time.min_step, loosen coupling.tolerance, or look at the region with `hpcms zoom`",
                    ) from error
        self.u, self.rate = scheme.u, rate(self.u, scheme.u, dt)
        cut = 0.0 if step.t == target else 2 * dt  # try a longer one next, within the same planned interval
        arrays = {name: {**scheme.drives[name], **scheme.answers[name]} for name in scheme.answers}
        self._commit(step.index, step.t, arrays, {"sweeps": scheme.sweeps, "dt": dt, "fine": fine, "cut": cut})
        self.dt = cut

    def _attempt(self, step: Step, attempt: int) -> tuple[Any, dict[str, Any]]:
        """Ask and tell until the scheme is done."""
        scheme = self.plan.scheme(
            u=self.coarse.predict(step), sites=lambda u: self.coarse.sites(u, step),
            tolerance=self.plan.tolerance, max_sweeps=self.plan.max_sweeps,
        )  # fmt: skip
        counts: dict[str, Any] = {}
        after: tuple[str, ...] = ()
        while not scheme.done:
            tag = f"{step.index}.{attempt}.{len(scheme.sweeps)}"
            requests = scheme.ask()
            drives = {}
            for r in requests:
                if isinstance(r, FineRequest):
                    drives[r.model] = self.exchange.parts[r.model].bridge.lift(r.drive)
                    self.exchange.submit(r.model, drives[r.model], step.index, tag, after)
            for r in requests:
                if isinstance(r, FineRequest):
                    scheme.tell(r.key, self._answers(r.model, drives[r.model], counts))
                else:
                    after = self._coarse(scheme, r, step, tag)
        if scheme.failed:
            raise StepRejected(scheme.failed)
        return scheme, counts

    def _answers(self, name: str, drive: Arrays, counts: dict[str, Any]) -> Arrays:
        part = self.exchange.parts[name]
        answers, outcomes = self.exchange.collect(name)
        failed = [r for r, o in enumerate(outcomes) if not o.ok]
        count = counts.setdefault(name, {"newton": 0, "linear": 0, "solves": 0, "energy_gap": 0.0})
        tally(count, outcomes)
        for note in sorted({o.note for o in outcomes if o.note}):
            self.progress.note(f"{name}: {note}")
        if failed:
            raise StepRejected(
                f"{len(failed)} of {len(outcomes)} regions of {name} failed, first region {failed[0]}: "
                f"{outcomes[failed[0]].reason}"
            )
        gap = part.bridge.check(drive, answers, self.exchange.ids(name))
        count["energy_gap"] = max(count["energy_gap"], gap)
        return part.bridge.restrict(answers)

    def _coarse(self, scheme: Scheme, request: CoarseRequest, step: Step, tag: str) -> tuple[str, ...]:
        key = f"coarse/{tag}"
        inputs = tuple(k for name in request.answers for k in self.exchange.parts[name].trial_keys)
        advance, record = tasks.measured(
            key, "coarse", inputs, lambda: self.coarse.advance(request.u, request.answers, step)
        )
        self.exchange.records.append(dataclasses.replace(record, bytes_in=advance.bytes))
        scheme.tell(request.key, advance)
        return (key,)

    def _commit(self, index: int, t: float, arrays: dict[str, Arrays], meta: dict[str, Any]) -> None:
        sink = self.store.sink(index)
        entries = self.exchange.write(sink, index)
        summary = self.coarse.summary(self.u, Step(index, t, meta["dt"], self.u))
        self.store.commit(index, t, self.u, arrays, entries, {**meta, "summary": summary})
        self.store.append_records(self.exchange.records)
        self.exchange.records = []
        self.exchange.recall(sink)
        self.index, self.t = index, t


def rate(before: Arrays, after: Arrays, dt: float) -> Arrays:
    """Change per second of the coarse state over a step."""
    return {name: (after[name] - before[name]) / dt for name in after}


def tally(counts: dict[str, Any], outcomes: list[Outcome]) -> None:
    """Add the iterations of a sweep to the counts of a step."""
    counts["newton"] += sum(o.iterations for o in outcomes)
    counts["linear"] += sum(o.linear_iterations for o in outcomes)
    counts["solves"] += sum(o.solves for o in outcomes)

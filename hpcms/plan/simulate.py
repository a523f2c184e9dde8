"""A run on a machine that is not there: real numerics, simulated clocks.

Each fine task and each coarse solve is really computed at the simulated moment at which it starts, from what is known then;
its end comes after what it costs (``machine``). So the order of arrival acts on the iterates as it would in a real run, which
no replay of a trace can do. All figures of it are simulated ones.

The span is the longest chain of tasks in which each used a result of the one before it (the region's last state, the coarse
iterate, the records that a coarse solve saw).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpcms.contracts import Advance, Array, Arrays, CoarseModel, CoarseRequest, FineRequest, Outcome, Step
from hpcms.coupling import look_at, talk_with
from hpcms.plan.cells import Cells
from hpcms.plan.machine import Costs, Machine
from hpcms.stepping import SHARE, StepRejected, StepSize, rate

MOST_EVENTS = 10**8


@dataclass
class Simulated:
    """Seconds; ``workers`` is P. ``path``: by step and model, the drives; ``ends``: by step, the coarse state.

    ``times``: ends of the accepted steps; ``rejected``: what a step was halved for.

    ``lb0`` = max(fine work / P, the slowest batch's work, the coarse work); ``span`` is LB2. ``wasted``: work of records ahead that
    did not count in the end; ``waits``: worker seconds without a task, by cause. ``order``: what was told, step by step.
    """

    time: float
    workers: int
    work: float
    coarse: float
    span: float
    lb0: float
    tasks: int
    iterations: int
    sweeps: int
    ahead: int
    kept: int
    coarse_ahead: int
    fallbacks: int
    wait: dict[str, float]
    path: list[dict[str, Arrays]]
    ends: list[Arrays]
    times: list[float]
    rejected: list[str]
    order: list[list[Any]]

    @property
    def efficiency(self) -> float:
        """max(T1 / P, span) over the time."""
        return max(self.work / self.workers, self.span) / self.time if self.time > 0 else 1.0


@dataclass
class _Sent:
    """A request on its way; ``open``: batches that are not back yet; ``attempt``: what asked, void if that was rejected."""

    request: FineRequest
    rows: Array
    answers: Arrays
    state: Arrays
    outcomes: list[Outcome]
    costs: Array  # (batches,)
    firsts: Array  # (batches + 1,) where each batch begins in ``rows``
    depth: Array  # (batches,) end of the longest chain that leads to it
    bad: Array  # (batches,) whether a region failed
    size: float  # bytes of a batch's answers
    open: int
    attempt: int


@dataclass
class Simulation:
    """One run of ``scheme`` over ``times``; rejected steps are halved as in a run, down to ``min_step`` (None: as in a job)."""

    coarse: CoarseModel
    cells: Mapping[str, Cells]
    times: Sequence[float]
    scheme: type[Any]
    machine: Machine
    costs: Costs
    tolerance: float = 1e-6
    max_sweeps: int = 30
    min_step: float | None = None
    seed: int = 0
    extrapolate: bool = True
    now: float = 0.0
    busy: int = 0
    work: float = 0.0
    coarse_work: float = 0.0
    tasks: int = 0
    iterations: int = 0
    deepest: float = 0.0
    wait: dict[str, float] = field(default_factory=lambda: {"coarse": 0.0, "imbalance": 0.0})
    order: list[list[Any]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    _events: list[tuple[float, int, str, Any]] = field(default_factory=list)
    _pending: list[tuple[float, int, _Sent, int]] = field(default_factory=list)
    _serial: int = 0
    _coarse_runs: bool = False
    _driver: float = 0.0
    _u_depth: dict[int, float] = field(default_factory=dict)
    _told_depth: dict[int, float] = field(default_factory=dict)

    def run(self) -> Simulated:
        """All steps."""
        rng = np.random.default_rng(self.seed)
        self._draw = lambda n: np.exp(self.costs.jitter * rng.standard_normal(n) - self.costs.jitter**2 / 2)
        self._chain = {m: np.zeros(len(c.starts)) for m, c in self.cells.items()}
        self._sums = {m: np.zeros(len(c.starts)) for m, c in self.cells.items()}
        self._servers = [0.0] * max(self.machine.agents, 1)
        models = {m: c.model for m, c in self.cells.items()}
        by_batch = {m: np.add.reduceat(self.costs.fine[m], c.starts) for m, c in self.cells.items()}
        talk = talk_with(
            models, self.tolerance, self.max_sweeps, {m: c.batches for m, c in self.cells.items()}, by_batch
        )
        u, size, before = self.coarse.begin(), StepSize.within(self.times, 0.0), None
        speed: Arrays = {}
        ends, accepted, path = [u], [0.0], []
        total = {"sweeps": 0, "ahead": 0, "ahead_kept": 0, "coarse_ahead": 0, "fallback": 0}
        while True:
            step = Step(len(ends), size.end, size.dt, u, speed if self.extrapolate else {})
            scheme = self.scheme.begin(look_at(self.coarse, step, self._following), talk, before)
            before = None  # what was ahead of a step that fails is lost with it
            try:
                self._step(scheme, step)
            except StepRejected as error:
                self._reject(step, error)
                size.halve(self.min_step or self.times[-1] / len(self.times) / SHARE, step.index, error)
                continue
            before, u, speed = scheme, scheme.u, rate(u, scheme.u, step.dt)
            self._u_depth[step.index + 1] = max(self._u_depth.get(step.index + 1, 0.0), self._u_depth[step.index])
            for c in self.cells.values():
                c.commit()
            ends.append(u)
            accepted.append(step.t)
            path.append({m: {**d} for m, d in scheme.drives.items()})
            total["sweeps"] += len(scheme.sweeps)
            for name, value in getattr(scheme, "meta", {}).items():
                total[name] += bool(value) if name == "fallback" else value
            if step.t >= self.times[-1]:
                break
            size = StepSize.within(self.times, step.t, size.next)
        fine = self.work - self.coarse_work  # the driver is beside the workers
        lb0 = max(fine / self.machine.workers, self.coarse_work, *(s.max() for s in self._sums.values()))
        return Simulated(
            self.now, self.machine.workers, self.work, self.coarse_work, self.deepest, float(lb0), self.tasks,
            self.iterations, total["sweeps"], total["ahead"], total["ahead_kept"], total["coarse_ahead"],
            total["fallback"], self.wait, path, ends, accepted, self.rejected, self.order,
        )  # fmt: skip

    def _following(self, step: Step, u: Arrays) -> Step | None:
        """The step after ``step``, if that ends with ``u`` and is accepted."""
        later = [t for t in self.times if t > step.t * (1 + 1e-12)]
        if not later or step.t not in self.times:
            return None
        speed = rate(step.previous, u, step.dt) if self.extrapolate else {}
        after = Step(step.index + 1, later[0], later[0] - step.t, u, speed)
        self._steps[after.index] = after
        return after

    def _step(self, scheme: Any, step: Step) -> None:
        self._steps = {step.index: step}
        self._u_depth.setdefault(step.index, self._u_depth.get(step.index - 1, 0.0))
        self.order.append([])
        for _ in range(MOST_EVENTS):
            if scheme.done:
                break
            for request in scheme.ask(self._room()):
                if isinstance(request, CoarseRequest):
                    self._start_coarse(request)
                else:
                    self._submit(request)
            if not self._events and not scheme.done:
                raise RuntimeError("the scheme waits for nothing")
            self._next(scheme)
        if scheme.failed:
            raise StepRejected(scheme.failed)

    def _reject(self, step: Step, error: StepRejected) -> None:
        """What waits is dropped; what runs goes on to its end, but nobody is told."""
        self.rejected.append(f"step {step.index} at dt = {step.dt:.4g} s: {error}")
        self._pending, self._coarse_runs = [], False
        for c in self.cells.values():
            c.reject()

    def _room(self) -> int:
        """Batches that the scheme may hand out now."""
        m = self.machine
        return max(m.workers + int(m.ahead * m.workers) - self.busy - len(self._pending), 0)

    # ------------------------------------------------------------------ starting

    def _start_coarse(self, request: CoarseRequest) -> None:
        step = self._steps[request.step]
        if request.previous is not None:
            step = Step(step.index, step.t, step.dt, request.previous, step.rate)
        advance = self.coarse.advance(request.u, request.answers, step)
        cost = self.costs.coarse * float(self._draw(1)[0])
        below = self._u_depth.get(request.step - 1, 0.0)
        depth = cost + max(self._told_depth.get(request.step, 0.0), self._u_depth.get(request.step, 0.0), below)
        self.deepest = max(self.deepest, depth)
        self.work, self.coarse_work, self._coarse_runs = self.work + cost, self.coarse_work + cost, True
        self._driver = max(self.now, self._driver) + cost  # one at a time, also where nobody waits for it any more
        self._push(self._driver, "coarse", (request, advance, depth, len(self.rejected)))

    def _push(self, time: float, kind: str, what: Any) -> None:
        self._serial += 1
        heapq.heappush(self._events, (time, self._serial, kind, what))

    def _submit(self, request: FineRequest) -> None:
        """Compute all batches of a request now; they start as workers are free, the longest first."""
        cells = self.cells[request.model]
        rows, answers, state, outcomes = cells.solve(request)
        iterations = np.array([o.iterations for o in outcomes])
        firsts = np.concatenate([[0], np.cumsum(cells.sizes[request.batches])])
        costs = np.add.reduceat(self.costs.of(request.model, rows, iterations), firsts[:-1]) + self.costs.batch
        costs = costs * self._draw(len(costs))
        self.iterations += int(iterations.sum())
        known = self._u_depth.setdefault(request.step, self._u_depth.get(request.step - 1, 0.0))
        depth = np.maximum(self._chain[request.model][request.batches], known) + costs
        bad = np.logical_or.reduceat(np.array([not o.ok for o in outcomes]), firsts[:-1])
        size = sum(v.nbytes for v in answers.values()) / len(costs)
        sent = _Sent(
            request, rows, answers, state, outcomes, costs, firsts, depth, bad, size, len(costs), len(self.rejected)
        )
        self.tasks += len(costs)
        for k in np.argsort(-costs, kind="stable").tolist():
            self._serial += 1
            heapq.heappush(self._pending, (-float(costs[k]), self._serial, sent, k))
        self._fill()

    def _fill(self) -> None:
        """Free workers take what is pending."""
        while self._pending and self.busy < self.machine.workers:
            _, _, sent, k = heapq.heappop(self._pending)
            self.busy += 1
            m = self.machine
            agent = self._serial % len(self._servers)
            self._servers[agent] = begun = max(self.now, self._servers[agent]) + 1.0 / m.dispatch
            end = begun + 2 * m.latency + sent.size / m.bandwidth + float(sent.costs[k])
            self._push(end, "fine", (sent, k))

    # ------------------------------------------------------------------ ending

    def _next(self, scheme: Any) -> None:
        """The next end of a task, and what else ends before the driver looks again."""
        until = self._events[0][0] + self.machine.tick
        ended: dict[int, tuple[_Sent, list[int]]] = {}
        while self._events and self._events[0][0] <= until:
            time, _, kind, what = heapq.heappop(self._events)
            idle = (self.machine.workers - self.busy) * (time - self.now)
            self.wait["coarse" if self._coarse_runs and not self._pending else "imbalance"] += idle
            self.now = time
            if kind == "coarse":
                if what[-1] < len(self.rejected):
                    continue
                self._coarse_runs = False
                self._tell_all(scheme, ended)
                self._tell_coarse(scheme, *what[:-1])
                return
            sent, k = what
            self.busy -= 1
            sent.open -= 1
            cost = float(sent.costs[k])  # what nobody waits for in the end does not count
            self.work, self.deepest = self.work + cost, max(self.deepest, float(sent.depth[k]))
            self._sums[sent.request.model][sent.request.batches[k]] += cost
            self._fill()
            if sent.attempt < len(self.rejected):
                continue
            ended.setdefault(id(sent), (sent, []))[1].append(k)
        self._tell_all(scheme, ended)

    def _tell_all(self, scheme: Any, ended: dict[int, tuple[_Sent, list[int]]]) -> None:
        for sent, which in ended.values():
            if not scheme.barrier:
                self._tell_fine(scheme, sent, np.array(sorted(which)))
            elif sent.open == 0:
                self._tell_fine(scheme, sent, np.arange(len(sent.costs)))

    def _tell_coarse(self, scheme: Any, request: CoarseRequest, advance: Advance, depth: float) -> None:
        if scheme.tell(request.key, advance):
            self.order[-1].append(list(request.key))
            self._u_depth[request.step] = max(self._u_depth.get(request.step, 0.0), depth)

    def _tell_fine(self, scheme: Any, sent: _Sent, which: Array) -> None:
        request = sent.request
        which = self._sound(scheme, sent, which)
        batches = request.batches[which]
        if not len(which):
            return
        where = np.concatenate([np.arange(sent.firsts[k], sent.firsts[k + 1]) for k in which])
        if not scheme.tell(request.key, {n: v[where] for n, v in sent.answers.items()}, batches):
            return
        self.order[-1].append([*request.key, "all" if scheme.barrier else batches.tolist()])
        self.cells[request.model].keep(request.step, sent.rows[where], {n: v[where] for n, v in sent.state.items()})
        self._chain[request.model][batches] = sent.depth[which]
        deepest = float(sent.depth[which].max())
        self._told_depth[request.step] = max(self._told_depth.get(request.step, 0.0), deepest)

    def _sound(self, scheme: Any, sent: _Sent, which: Array) -> Array:
        """The batches that did not fail. One that did rejects its step; a step ahead may fail, and is asked again."""
        bad = sent.bad[which]
        if not bad.any():
            return which
        cells = self.cells[sent.request.model]
        if sent.request.step == cells.open:
            r = next(r for r, o in zip(sent.rows, sent.outcomes, strict=True) if not o.ok)
            raise StepRejected(f"{cells.name}: region {r}: {next(o.reason for o in sent.outcomes if not o.ok)}")
        scheme.forget(sent.request.key, sent.request.batches[which[bad]])
        return which[~bad]

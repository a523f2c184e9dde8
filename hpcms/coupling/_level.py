"""One time step in the works: the iterate of the coarse model, the records of the fine ones, and who has to run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hpcms.contracts import Array, Arrays, Look
from hpcms.coupling._foretold import Told, foretell
from hpcms.coupling._records import SHARE, Records

PATIENCE = 3  # rounds without a smaller update
FAR = 0.1  # relative error of a record that says nothing of its own
LEFT = 3.0  # relative error that an iteration leaves, over the square of the one before
WILD = 0.1  # an update of more than this share of what the step has moved so far
TINY = 1e-300


@dataclass
class Level:
    """One time step in the works. ``origin``: by model, the versions of the step before from which records have to start.

    ``ratio``, ``lag``: by model and batch, the error and the lag at u over their share; ``error``: summed, likewise.
    """

    look: Look
    u: Arrays
    records: dict[str, Records]
    origin: dict[str, Array]
    drives: dict[str, Arrays] = field(default_factory=dict)
    ratio: dict[str, Array] = field(default_factory=dict)
    lag: dict[str, Array] = field(default_factory=dict)
    error: float = np.inf
    queue: dict[str, list[int]] = field(default_factory=dict)
    tries: dict[str, Array] = field(default_factory=dict)
    verb: str = "iterate"
    change: float = np.inf  # the smallest of the last round: of the paired answers in a coarse update, relative
    smallest: float = np.inf  # that of this round, which lasts until as many records are told as there are batches
    round: int = 0
    waited: int = 0
    updates: int = 0
    residual: float = np.inf  # of the last coarse solve
    tried: int = 0  # coarse solves since the records were those of the step before
    told: int = 0
    busy: Counter[int] = field(default_factory=Counter)  # by worker: batches that it has
    rests: bool = False  # whether the step starts from rest
    update: Arrays = field(default_factory=dict)  # the last one of u

    @property
    def running(self) -> int:
        return sum(r.count_running for r in self.records.values())

    @property
    def new(self) -> int:
        return sum(r.count_new for r in self.records.values())

    @property
    def complete(self) -> bool:
        return all(r.complete for r in self.records.values())

    def returned(self, model: str, batches: Array) -> None:
        """The workers of these have done with them."""
        self.busy.subtract(self.records[model].worker[batches].tolist())

    def stale(self, model: str) -> Array:
        """(B,) batches whose record did not start from the final state of the step before."""
        r = self.records[model]
        return (r.version > 0) & (r.base != self.origin[model]) if r.memory else np.zeros(r.rows.count, bool)

    def worth(self, tolerance: float, ample: bool) -> float:
        """The ratio above which a batch runs again. The drives still move by the errors of the records that are on their way, or,
        where places are not ``ample``, still to be asked for; what those will leave is of second order, and to be better than
        that would be in vain."""
        out = 0.0
        for m, r in self.records.items():
            unsure = r.running if ample else r.running | np.isinf(self.ratio[m])
            out = max(out, float(self.ratio[m][unsure].max(initial=0.0)))
        share = SHARE * tolerance
        return max(1.0, LEFT * min(out * share, FAR) ** 2 / share)

    def judge(self, tolerance: float) -> None:
        """The errors of all records at u."""
        self.drives = self.look.sites(self.u)
        self.error = 0.0
        for m, r in self.records.items():
            share = SHARE * tolerance * max(r.size(), TINY)
            with np.errstate(over="ignore"):
                errors, lags = r.estimate(self.drives[m]) / share, r.lag(self.drives[m]) / share
                self.ratio[m] = r.rows.largest(errors)
                self.lag[m] = np.where(self.stale(m), np.inf, r.rows.largest(lags))
                whole = float(np.sqrt(np.mean(np.maximum(errors, lags) ** 2)))
            self.error = max(self.error, np.inf if np.isinf(self.lag[m] + self.ratio[m]).any() else whole)

    def damped(self, u: Arrays) -> Arrays:
        """u, or a part of the update that leads there from the iterate of this level.

        Where a large update d goes back over the last one, d0, and beyond, the iterates swing away from the root. The secant of
        the update between both ends, d0 at one and d at the other, has its root at |d0| / (|d0| + |d|) of the way that d points.
        Small ones swing as the records come in, and settle by themselves.
        """
        d = {name: value - self.u[name] for name, value in u.items()}
        back = sum(_share(d[name], before, before) for name, before in self.update.items())
        far = max((_share(d[name], d[name], before) for name, before in self.update.items()), default=0.0)
        whole = max((_share(v, v, self.u[n] - self.look.previous.get(n, 0.0)) for n, v in d.items()), default=0.0)
        part = 1.0 / (1.0 + far**0.5) if back < 0 and far > 1 and whole > WILD**2 else 1.0
        self.update = {name: part * value for name, value in d.items()}
        return {name: self.u[name] + value for name, value in self.update.items()} if part < 1 else dict(u)

    def progress(self, change: float, tolerance: float) -> bool:
        """Whether the coarse updates still get smaller, round by round."""
        self.smallest = min(self.smallest, change)
        count = sum(r.rows.count for r in self.records.values())
        if self.told - self.round >= count or not self.running:
            worse = self.smallest >= self.change and self.smallest > tolerance
            self.waited = self.waited + 1 if worse else 0
            self.change, self.smallest, self.round = self.smallest, np.inf, self.told
        return self.waited < PATIENCE and bool(np.isfinite(change))

    def moved(self, before: dict[str, Arrays]) -> float:
        """Relative change of the paired answers between two drives; the largest over the models."""
        worst = 0.0
        for m, r in self.records.items():
            if r.pair is not None:
                new, old = r.at(self.drives[m])[r.pair[1]], before[m][r.pair[1]]
                worst = max(worst, float(np.linalg.norm(new - old)) / (float(np.linalg.norm(new)) + TINY))
        return worst

    def inherit(self, below: Level, told: Mapping[str, Sequence[Told]]) -> None:
        """Batches without a record of their own yet: the law of the step before, where that has not changed, or what the ends
        of the steps before foretell."""
        remembers = any(r.memory and r.pair is not None for r in self.records.values())
        starts = self.look.sites(dict(self.look.previous)) if self.look.previous and remembers else {}
        for m, r in self.records.items():
            old = below.records[m]
            rows = r.rows.rows(np.flatnonzero((r.version == 0) & ~r.running))
            r.kappa[rows], r.span[rows] = old.kappa[rows], old.span[rows]
            if r.memory:
                r.power[rows] = old.power[rows]
                if r.pair is not None and m in starts:
                    r.start = starts[m][r.pair[0]]
                continue
            r.known[rows], r.error0[rows] = old.known[rows], old.error0[rows]
            r.quartic[rows] = old.quartic[rows]
            r.bend = r.bend or {name: np.zeros_like(value) for name, value in old.bend.items()}
            for name in old.bend:
                r.bend[name][rows] = old.bend[name][rows]
            r.suppose(rows, old.drive, old.answers)
        self.retell(told)

    def retell(self, told: Mapping[str, Sequence[Told]]) -> None:
        """What the ends of the steps before foretell for those who remember and were not asked yet, now that u is another one."""
        drives = self.look.sites(self.u)
        for m, r in self.records.items():
            rows = r.rows.rows(np.flatnonzero((r.version == 0) & ~r.running))
            if not (r.memory and len(rows) and told[m][-1].answers):
                continue
            if r.pair is None or len(told[m]) < 2:
                r.suppose(rows, drives[m], told[m][-1].answers)
            else:
                r.suppose(rows, *foretell(r.pair, told[m], self.look.dt, drives[m].get("temperature"), r.faster))

    @property
    def turns(self) -> bool:
        """Whether this step goes against the last one: then nothing can be extrapolated from it."""
        turn = 0.0
        for name, rate in self.look.rate.items():
            turn += _share(self.u[name] - self.look.previous[name], rate, rate)
        return bool(self.look.rate) and turn < 0

    def begin_at(self, rest: Mapping[str, Arrays]) -> None:
        """This step starts from the drives ``rest``, by model, where these are none."""
        for m, r in self.records.items():
            if r.memory and r.pair is not None and m in rest and not rest[m][r.pair[0]].any():
                r.start, r.rests, self.rests = rest[m][r.pair[0]], True, True
                r.power[:] = True

    def end(self, model: str) -> Told:
        """Where this step ends, as far as is known."""
        return Told(self.look.dt, self.drives[model], self.records[model].at(self.drives[model]))


def _share(a: Array, b: Array, of: Array) -> float:
    """a . b over |of|^2."""
    return float(np.vdot(a, b)) / (float(np.vdot(of, of)) + TINY)

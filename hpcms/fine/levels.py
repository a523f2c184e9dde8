"""Fine solves only where they are called for: elsewhere the cell's own elastic answer, or that of a similar region.

    linear     stress = C0 strain, C0 the tangent of the cell at rest (solved once for each different cell)
    surrogate  stress = stress_s + A_s (strain - strain_s) of a region s with a similar drive and history
    fine       the fine model

A region is asked for as soon as its linear stress is above ``stress`` (von Mises), and from then on: its history is real.
With ``anchors``, the most loaded regions below that are solved as well, in blocks, until the true error of the linear
answer is below ``error`` in a whole block; so the threshold finds itself. With ``similar``, regions whose strains, now
and at the end of the step before, differ by less than this share of the largest strain are one group, and one of it is
solved. Two indicators ask for a fine solve of the region itself wherever homogenisation is in doubt: the scale ratio
l |grad eps| / |eps| above ``scale_ratio``, and a tangent whose ``monitor.ellipticity`` is below ``ellipticity``. They are
named in the answer ``flags``, and in the report. All of this follows from the committed state and the drive, so it is the
same for any number of workers and after a resumption.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from hpcms.contracts import Array, Arrays, FineModel, Outcome, Regions, Unit
from hpcms.errors import BadInput, NumericalFailure
from hpcms.monitor import budget
from hpcms.monitor.choice import FINE, LINEAR, SURROGATE, Thresholds, bit, choose
from hpcms.monitor.ellipticity import ellipticity
from hpcms.monitor.groups import group
from hpcms.monitor.indicators import equivalent

CHEAP = Outcome(True, "linear: below the threshold", solves=0)
SHARED = Outcome(True, "from a similar region", solves=0)
AT_REST = {"strain": (6,), "temperature": (), "dt": ()}
ANSWERS = ("stress", "tangent", "work", "energy", "density", "tangent_temperature", "dissipation", "creep_rate")
HERE = ("linear", "surrogate", "fine")
TOLD = ("level", "flags", "expected_error", "measured_error")
UNKNOWN = -1.0  # an error that nobody has estimated or measured
OWN = ("rest_tangent", "rest_density", "asked", "last_strain", "leader", "influence", "allowed")
STAY = 3.0  # radii within which a region stays with the one that answers for it
REFERENCE = 263.15  # K, of the tangent at rest: elasticity does not depend on it


@dataclass(frozen=True)
class Goal:
    """The displacement of the node nearest to ``at``: its ``component`` is to be right within ``tolerance``."""

    at: Annotated[tuple[float, float], Unit("m")]
    component: Literal["x", "y"]
    tolerance: Annotated[float, Unit("m", above=0)]


@dataclass(frozen=True)
class Levels:
    """``fine``: the fine model. ``stress``: von Mises stress of the linear answer from which on it is asked.

    ``anchors``: regions of a block that is solved as a spot check, 0: none. ``error``: largest relative error of a
    linear stress. ``similar``: 0: every region for itself. ``goal``: regions below ``stress`` are asked in the order of
    what their error does to it, and only as far as it needs; the anchors measure that error. ``length``: edge of a cell.
    ``scale_ratio``, ``ellipticity``: thresholds of the indicators that name the regions which homogenisation does not serve.
    """

    fine: str
    stress: Annotated[float, Unit("Pa", least=0)]
    anchors: Annotated[int, Unit("", least=0, most=10**6)] = 0
    error: Annotated[float, Unit("", above=0, most=1)] = 0.01
    similar: Annotated[float, Unit("", least=0, most=0.5)] = 0.0
    goal: Goal | None = None
    length: Annotated[float, Unit("m", above=0)] | None = None
    scale_ratio: Annotated[float, Unit("", above=0)] | None = None
    ellipticity: Annotated[float, Unit("", least=-1, most=1)] | None = None

    def __post_init__(self) -> None:
        if (self.length is None) != (self.scale_ratio is None):
            raise BadInput("scale_ratio and length belong together", 'length: edge of a cell, such as length = "1 mm"')

    def bind(self, fine: FineModel) -> Chosen:
        """The model that runs."""
        return Chosen(self, fine)


@dataclass(frozen=True, eq=False)
class Chosen:
    """State: that of the fine model, and ``rest_tangent`` (R, 6, 6) Pa, ``rest_density`` (R,) kg/m3, ``asked`` (R,)
    uint8, regions that have had a fine answer, ``last_strain`` (R, 6), ``leader`` (R,) who was solved for a region, -1:
    nobody. The answer ``level``: 1 linear, 2 similar, 3 fine. ``flags``: bits of the indicators above their thresholds, as
    ``monitor.choice.bit`` says. ``expected_error`` of the answer, and ``measured_error`` of the linear answer of a spot check:
    relative to the stress, -1 where nobody knows.
    """

    params: Levels
    inner: FineModel
    influence: Array | None = None  # (S,) of all regions on the goal, over its tolerance

    at_most: ClassVar[bool] = True  # what ``cost`` says: how many regions are asked depends on the load

    def __post_init__(self) -> None:
        other = [name for name in self.inner.drives if name not in AT_REST]
        if other or self.inner.pairing != ("strain", "stress") or set(self.inner.answers) - set(ANSWERS):
            raise BadInput(f"levels: {self.params.fine!r} is no solid", "a model of strain, temperature and dt")

    @property
    def drives(self) -> tuple[str, ...]:
        return (*self.inner.drives, *(("strain_slope",) if self.params.scale_ratio is not None else ()))

    @property
    def answers(self) -> tuple[str, ...]:
        return (*self.inner.answers, *TOLD)

    @property
    def guesses(self) -> tuple[str, ...]:
        return (*self.inner.guesses, "leader")

    @property
    def pairing(self) -> tuple[str, str] | None:
        return self.inner.pairing

    def begin(self, regions: Regions) -> Arrays:
        """All regions at rest, with the tangents of their cells."""
        state, R = self.inner.begin(regions), len(regions)
        cells = [image.tobytes() for image in regions.phases]
        first = {cell: row for row, cell in reversed(list(enumerate(cells)))}
        rows = np.array(sorted(first.values()), np.int64)
        drive: Arrays = {
            name: np.zeros((len(rows), *shape)) for name, shape in AT_REST.items() if name in self.inner.drives
        }
        if "temperature" in drive:
            drive["temperature"] += REFERENCE
        part = {name: value[rows] for name, value in state.items()}
        found, _, ends = self.inner.solve(drive, part, np.zeros(len(rows), np.uint64))
        bad = [end.reason for end in ends if not end.ok]
        if bad:
            raise NumericalFailure(f"levels: a cell of {self.params.fine!r} has no elastic answer: {bad[0]}")
        place = np.searchsorted(rows, [first[cell] for cell in cells])
        density = found.get("density", np.zeros(len(rows)))
        own = {"rest_tangent": found["tangent"][place], "rest_density": density[place]}
        none: Arrays = {"asked": np.zeros(R, np.uint8), "last_strain": np.zeros((R, 6)), "leader": np.full(R, -1)}
        if self.influence is not None:
            none["influence"] = self.influence[regions.ids]
            none["allowed"] = np.full(R, 1 / len(self.influence))
        return {**state, **own, **none}

    def towards(self, influence: Array) -> Chosen:
        """The same with the ``influence`` (S,) of all regions on the goal, m/Pa."""
        assert self.params.goal is not None
        return replace(self, influence=influence / self.params.goal.tolerance)

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers, new state and outcomes."""
        strain = drive["strain"]
        answers = self._linear(strain, state)
        new = {name: value.copy() for name, value in state.items()}
        new["last_strain"] = strain.copy()
        outcomes = [CHEAP] * len(seeds)
        load = equivalent(answers["stress"])
        flags = self._flags(load, drive)
        answers["flags"] = flags.astype(float)
        asked = (state["asked"] > 0) | (flags > 0)
        rest = drive, state, seeds, answers, new, outcomes
        self._fine(np.flatnonzero(asked), *rest)
        check = self._by_goal if "influence" in state else self._by_error
        check(np.flatnonzero(~asked), load, *rest)
        self._look_at_tangents(*rest)
        return answers, new, outcomes

    def _flags(self, load: Array, drive: Arrays) -> Array:
        """(R,) bits of what is above its threshold before anything is solved."""
        params, seen = self.params, {"stress": load}
        if params.scale_ratio is not None and params.length is not None:
            seen["scale_ratio"] = params.length * drive["strain_slope"]
        return choose(seen, Thresholds(stress=params.stress, scale_ratio=params.scale_ratio), HERE, LINEAR).passed

    def _look_at_tangents(self, drive: Arrays, state: Arrays, seeds: Array, *rest: Any) -> None:
        """Flags the regions whose tangent is about to localise; what had it from a similar region is solved itself."""
        answers: Arrays = rest[0]
        if self.params.ellipticity is None:
            return
        lost = self._localising(np.flatnonzero(answers["level"] >= SURROGATE), answers)
        shared = lost[answers["level"][lost] == SURROGATE]
        self._fine(shared, drive, state, seeds, *rest, alone=True)
        lost = np.concatenate([np.setdiff1d(lost, shared), self._localising(shared, answers)])
        answers["flags"][lost] += bit("ellipticity")

    def _localising(self, rows: Array, answers: Arrays) -> Array:
        """Those of ``rows`` whose tangents are below the threshold, or no numbers."""
        return rows[~(ellipticity(answers["tangent"][rows]).least >= self.params.ellipticity)]

    def _by_error(self, below: Array, load: Array, *rest: Any) -> None:
        """Spot checks from the most loaded region of ``below`` down, until a whole block is within ``error``."""
        answers, outcomes = rest[3], rest[5]
        below = below[np.argsort(-load[below], kind="stable")] if self.params.anchors else below[:0]
        linear, known = answers["stress"].copy(), np.zeros(len(load), bool)
        for lo in range(0, len(below), max(self.params.anchors, 1)):
            block = np.sort(below[lo : lo + self.params.anchors])
            self._fine(block, *rest)
            known[block] = True
            self._measure(block, linear, answers)
            if np.all(answers["measured_error"][block] <= self.params.error):
                break
        self._expect(below[~known[below]], load, known, answers)
        if len(below) > self.params.anchors and known[below].all():
            off = f"the linear level is off: all {len(below)} regions below the threshold had to be solved"
            outcomes[below[0]] = replace(outcomes[below[0]], note=off)

    @staticmethod
    def _measure(rows: Array, linear: Array, answers: Arrays) -> None:
        """What the ``linear`` stresses (R, 6) of spot checks are wrong by."""
        size = np.maximum(np.linalg.norm(linear[rows], axis=1), 1e-300)
        answers["measured_error"][rows] = np.linalg.norm(answers["stress"][rows] - linear[rows], axis=1) / size

    @staticmethod
    def _expect(rows: Array, load: Array, known: Array, answers: Arrays) -> None:
        """The errors that the spot checks ``known`` let expect of less loaded regions."""
        if known.any():
            found = budget.envelope(load[rows], load[known], answers["measured_error"][known])
            answers["expected_error"][rows] = np.where(np.isfinite(found), found, UNKNOWN)

    def _by_goal(self, below: Array, load: Array, *rest: Any) -> None:
        """Asks for the regions of ``below`` that the goal needs.

        Anchors over the whole range of loads measure the error of the linear answer; the others are expected to have that
        of the next anchor above (``budget.envelope``), and those that then are in doubt get anchors of their own.
        """
        state, answers = rest[1], rest[3]
        linear, allowed = answers["stress"].copy(), float(state["allowed"].sum())
        todo, known = below, np.zeros(len(load), bool)
        while len(todo):
            todo = todo[np.argsort(load[todo], kind="stable")]
            count = min(max(self.params.anchors, 2), len(todo))
            block = np.sort(todo[np.unique(np.linspace(0, len(todo) - 1, count).astype(int))])
            self._fine(block, *rest)
            known[block] = True
            self._measure(block, linear, answers)
            below = below[~known[below]]
            gap = np.linalg.norm(answers["stress"] - linear, axis=1)
            expected = budget.envelope(load[below], load[known], gap[known])
            left = np.stack([state["influence"][below] * expected, np.zeros(len(below))], axis=1)
            todo = below[budget.spend(left, np.array([0.0, 1.0]), allowed).level == 1]
        self._expect(below, load, known, answers)

    def _linear(self, strain: Array, state: Arrays) -> Arrays:
        """The answers of cells that have never left the elastic range."""
        stress = np.einsum("rij,rj->ri", state["rest_tangent"], strain)
        work = (stress * strain).sum(axis=1)
        found = {
            "stress": stress, "tangent": state["rest_tangent"].copy(), "work": work, "energy": work / 2,
            "density": state["rest_density"].copy(), "tangent_temperature": np.zeros_like(stress),
            "dissipation": np.zeros_like(work), "creep_rate": np.zeros_like(stress),
            "level": np.full(len(strain), float(LINEAR)), "flags": np.zeros(len(strain)),
            "expected_error": np.full(len(strain), UNKNOWN), "measured_error": np.full(len(strain), UNKNOWN),
        }  # fmt: skip
        return {name: found[name] for name in self.answers}

    def _fine(
        self, rows: Array, drive: Arrays, state: Arrays, seeds: Array, answers: Arrays, new: Arrays, ends: list[Outcome],
        *, alone: bool = False,
    ) -> None:  # fmt: skip
        """Asks the fine model for ``rows``, or for one of each group of them, and writes what it says into place.

        ``alone``: each for itself.
        """
        if not len(rows):
            return
        strain = drive["strain"]
        leader = rows if alone else self._leaders(rows, strain, state, answers["flags"])
        solved, source = np.unique(leader, return_inverse=True)
        new["leader"][rows] = leader
        part = {name: value[solved] for name, value in state.items() if name not in OWN}
        given = {name: drive[name][solved] for name in self.inner.drives}
        found, after, outcomes = self.inner.solve(given, part, seeds[solved])
        for name, value in after.items():
            new[name][rows] = value[source]
        new["asked"][rows] = 1
        for name, value in found.items():
            answers[name][rows] = value[source]
        own = solved[source] == rows
        answers["level"][rows] = np.where(own, float(FINE), float(SURROGATE))
        self._shift(rows[~own], strain[rows[~own]] - strain[solved[source]][~own], strain, answers)
        for row, s, real in zip(rows.tolist(), source.tolist(), own.tolist(), strict=True):
            ends[row] = outcomes[s] if real or not outcomes[s].ok else SHARED

    def _leaders(self, rows: Array, strain: Array, state: Arrays, flags: Array) -> Array:
        """(n,) the region that is solved for each of ``rows``; one without separation of scales is solved itself.

        A region stays with the one it had before as long as both are near, so groups do not change while a step
        converges; the others are grouped anew.
        """
        leader = rows.copy()
        radius = self.params.similar * float(np.linalg.norm(strain, axis=1).max())
        apart = flags[rows].astype(int) & (bit("scale_ratio") | bit("ellipticity")) > 0
        if radius == 0:
            return leader
        path = np.concatenate([strain, state["last_strain"]], axis=1)
        before = state["leader"][rows]
        kept = np.isin(before, rows[~apart]) & ~apart
        kept &= np.linalg.norm(path[rows] - path[np.where(kept, before, rows)], axis=1) <= STAY * radius
        kept &= np.isin(before, rows[kept & (before == rows)])  # a leader that leads itself
        leader[kept] = before[kept]
        free = np.flatnonzero(~kept & ~apart)
        if len(free):
            groups = group(path[rows[free]], radius)
            leader[free] = rows[free][groups.chosen[groups.label]]
        return leader

    @staticmethod
    def _shift(rows: Array, away: Array, strain: Array, answers: Arrays) -> None:
        """The records of similar regions at the own strain of ``rows``."""
        step = np.einsum("rij,rj->ri", answers["tangent"][rows], away)
        if "energy" in answers:
            answers["energy"][rows] += ((answers["stress"][rows] + step / 2) * away).sum(axis=1)
        answers["stress"][rows] += step
        answers["work"][rows] = (answers["stress"][rows] * strain[rows]).sum(axis=1)

    def cost(self, regions: Regions) -> Array:
        """Seconds: as if all were asked."""
        return self.inner.cost(regions)


MODEL = Levels

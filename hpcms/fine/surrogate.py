"""A surrogate of linear cells: tangents learned from the volume fractions of the regions, with the cell to fall back on.

    flux = T drive,    T learned between the bounds of Voigt and Reuss (``monitor.between``), so symmetric and definite

In a batch the first regions are solved by the fine model; a Gaussian process (``monitor.gaussian``) learns from them and
answers for the others. A region whose predicted error is above ``limit``, or whose fractions lie outside the hull of
what was taught, is solved by the fine model, and taught. What a region got it keeps: its tangent is state, so a run that
is resumed, or has other workers, has the same bits. Batches learn on their own: make them large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from hpcms import bounds
from hpcms.contracts import Array, Arrays, FineModel, Outcome, Regions, Unit
from hpcms.errors import BadInput
from hpcms.monitor import learner
from hpcms.monitor.choice import FINE, SURROGATE, bit

KNOWN = ("fraction", "conductivity", "youngs_modulus", "poisson_ratio", "density", "heat_capacity")
DERIVED = ("work", "energy", "capacity", "density", "tangent", "tangent_temperature", "dissipation", "creep_rate")
LEAST = 1e-9  # of the upper bound: what a cell with voids has at least
TOLD = ("level", "flags", "expected_error", "measured_error")
UNKNOWN = -1.0  # an error that was not measured
EVALUATED = Outcome(True, "evaluated: this region's tangent is known", solves=0)


@dataclass(frozen=True)
class Surrogate:
    """``fine``: the fine model that teaches, and answers where the surrogate is not sure.

    ``limit``: the largest predicted error of a tangent that is trusted, relative. ``lessons``: regions of a batch that
    are solved before anything is predicted. ``checks``: answers of a batch, those trusted least, that are solved after all to
    measure their true error; above ``limit`` learning goes on. ``isotropic``: the cells are known to be, so Hashin and
    Shtrikman bound the conductivity.
    """

    fine: str
    limit: Annotated[float, Unit("", above=0, most=0.1)] = 0.005
    lessons: Annotated[int, Unit("", least=3, most=1000)] = 8
    checks: Annotated[int, Unit("", least=0, most=1000)] = 2
    isotropic: bool = False

    def bind(self, fine: FineModel) -> Learned:
        """The model that runs. Raises ``BadInput`` where ``fine`` is not linear."""
        return Learned(self, fine)


@dataclass(frozen=True)
class Learned:
    """State: that of the fine model, and ``fraction`` (R, P), ``known`` (R, d, d), the tangent without sign, and
    ``status`` (R,) uint8: 0 nothing known, 2 learned, 3 solved. The answer ``level`` says the same. ``expected_error`` and
    ``measured_error`` of the tangent, relative, -1 where it was not measured, and ``flags``, bits of why a region was solved (as
    ``monitor.choice.bit`` says: error above the limit, outside of the hull), are state and answers.
    """

    params: Surrogate
    inner: Any  # a FineModel of phases, as ``__post_init__`` makes sure

    def __post_init__(self) -> None:
        phases = getattr(self.inner, "phases", None)
        if not isinstance(phases, dict) or self.inner.pairing not in (("gradient", "flux"), ("strain", "stress")):
            raise BadInput(
                f"surrogate: {self.params.fine!r} is no cell of phases", "conduction, laminate or elastic solid"
            )
        for name, phase in phases.items():
            other = [key for key, value in vars(phase).items() if key not in KNOWN and value]
            if other:
                text = f"surrogate: {self.params.fine!r} is not linear and isotropic: phase {name!r} has {other[0]}"
                hint = "the fractions of such phases do not tell the tangent of a cell; ask it directly"
                raise BadInput(text, hint)
        unknown = [name for name in self.inner.answers if name not in (*DERIVED, self._flux)]
        if unknown or bool(getattr(self.inner, "plane", "")):
            what = f"answers {unknown[0]}" if unknown else "solves plane drives only"
            raise BadInput(f"surrogate: {self.params.fine!r} {what}", "it stands in for whole linear tangents")

    @property
    def drives(self) -> tuple[str, ...]:
        return self.inner.drives

    @property
    def answers(self) -> tuple[str, ...]:
        return (*self.inner.answers, *TOLD)

    @property
    def guesses(self) -> tuple[str, ...]:
        return (*self.inner.guesses, "known", "status", *TOLD[1:])

    @property
    def pairing(self) -> tuple[str, str] | None:
        return self.inner.pairing

    @property
    def _flux(self) -> str:
        return self.inner.pairing[1] if self.inner.pairing else ""

    @property
    def _conducts(self) -> bool:
        return self._flux == "flux"

    def begin(self, regions: Regions) -> Arrays:
        """The fine model at rest, nothing known."""
        phases: dict[str, Any] = self.inner.phases
        fraction, d = np.zeros((len(regions), len(phases))), 3 if self._conducts else 6
        if regions.phases.size:
            for label, name in enumerate(regions.names):
                fraction[:, list(phases).index(name)] += (regions.phases == label).mean(axis=(1, 2, 3))
        else:
            fraction[:] = [phase.fraction for phase in phases.values()]
        known, status = np.zeros((len(regions), d, d)), np.zeros(len(regions), np.uint8)
        none = {"flags": np.zeros(len(regions)), "expected_error": np.zeros(len(regions))}
        own = {"fraction": fraction, "known": known, "status": status, "measured_error": np.full(len(regions), UNKNOWN)}
        return {**self.inner.begin(regions), **own, **none}

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers, new state and outcomes; only regions of which nothing is known yet cost anything."""
        new = {name: value.copy() for name, value in state.items()}
        outcomes = [EVALUATED] * len(seeds)
        if not state["status"].all():
            outcomes = self._learn(drive, new, seeds)
        return self._answer(drive, new), new, outcomes

    def _learn(self, drive: Arrays, state: Arrays, seeds: Array) -> list[Outcome]:
        """Fills ``known`` and ``status``."""
        outcomes, sign = [EVALUATED] * len(seeds), -1.0 if self._conducts else 1.0

        def ask(rows: Array) -> tuple[Array, Array]:
            part = {name: value[rows] for name, value in state.items()}
            found, after, ends = self.inner.solve({k: v[rows] for k, v in drive.items()}, part, seeds[rows])
            for name, value in after.items():
                state[name][rows] = value
            for row, end in zip(rows.tolist(), ends, strict=True):
                outcomes[row] = end
            return sign * found["tangent"], np.array([end.ok for end in ends])

        lower, upper = self.bounds(state["fraction"])
        features = state["fraction"][:, 1:]
        task = learner.Task(features, lower, upper, self.params.limit, self.params.lessons, self.params.checks)
        done = learner.answer(task, ask, state["status"] == FINE, state["known"])
        cheap = ~done.taught & np.isfinite(done.error)
        state["known"][done.taught] = done.tensors[done.taught]
        state["known"][cheap] = self._isotropic(done.tensors[cheap], state["fraction"][cheap])
        state["status"][done.taught], state["status"][cheap] = FINE, SURROGATE
        state["expected_error"][cheap | done.taught] = done.error[cheap | done.taught]
        seen = done.measured >= 0
        state["measured_error"][seen] = done.measured[seen]
        wrong = done.measured > self.params.limit
        state["flags"] = np.maximum(state["flags"], bit("surrogate_error") * wrong + bit("outside") * done.beyond)
        learned = Outcome(True, "learned from other regions", solves=0)
        outcomes = [learned if c else o for c, o in zip(cheap, outcomes, strict=True)]
        return [replace(o, note=done.off) for o in outcomes] if done.off else outcomes

    def bounds(self, fraction: Array) -> tuple[Array, Array]:
        """(R, d, d) Reuss and Voigt, from the tensors of the phases (P, d, d) and the ``fraction`` (R, P) of each."""
        C = self._tensors()
        upper = np.einsum("rp,pij->rij", fraction, C)
        stiff = C.any(axis=(1, 2))
        inverse = np.zeros_like(C)
        inverse[stiff] = np.linalg.inv(C[stiff])
        lower = LEAST * upper
        whole = ~(fraction[:, ~stiff] > 0).any(axis=1)
        lower[whole] = np.linalg.inv(np.einsum("rp,pij->rij", fraction[whole], inverse))
        return lower, upper

    def _tensors(self) -> Array:
        phases = list(self.inner.phases.values())
        if self._conducts:
            return np.array([phase.conductivity * np.eye(3) for phase in phases])
        one, unit = np.array([1.0, 1, 1, 0, 0, 0]), np.eye(6)
        found = []
        for phase in phases:
            E, nu = phase.youngs_modulus, phase.poisson_ratio
            found.append(E / (1 + nu) * (unit + nu / (1 - 2 * nu) * np.outer(one, one)))
        return np.array(found)

    def _isotropic(self, K: Array, fraction: Array) -> Array:
        """Conductivities of isotropic cells, brought between the bounds of Hashin and Shtrikman."""
        if not (self.params.isotropic and self._conducts and len(K)):
            return K
        k = np.array([phase.conductivity for phase in self.inner.phases.values()])
        limits = [bounds.conductivity(k, f / f.sum()) for f in fraction]
        value, frame = np.linalg.eigh(K)
        value = np.clip(value.T, [b.lower for b in limits], [b.upper for b in limits]).T
        return np.asarray(np.einsum("rik,rk,rjk->rij", frame, value, frame))

    def _answer(self, drive: Arrays, state: Arrays) -> Arrays:
        """All answers from the tangents, exact in energy; densities by the fractions."""
        given, T = drive[self.inner.pairing[0]], state["known"]
        T = -T if self._conducts else T
        flux = np.einsum("rij,rj->ri", T, given)
        work = (flux * given).sum(axis=1)
        phases = list(self.inner.phases.values())
        mass = np.array([getattr(phase, "density", 0.0) for phase in phases])
        heat = np.array([getattr(phase, "heat_capacity", 0.0) for phase in phases])
        zero, fraction = np.zeros_like(flux), state["fraction"]
        found = {
            self._flux: flux, "tangent": T, "work": work, "energy": work / 2, "density": fraction @ mass,
            "capacity": fraction @ (mass * heat), "dissipation": np.zeros_like(work), "creep_rate": zero,
            "tangent_temperature": zero.copy(), "level": state["status"].astype(float),
            **{name: state[name].copy() for name in TOLD[1:]},
        }  # fmt: skip
        return {name: found[name] for name in self.answers}

    def cost(self, regions: Regions) -> Array:
        """Seconds: the first lessons of a batch cost what a fine solve costs, the others 20 us."""
        count = 3 * self.params.lessons + self.params.checks
        share = min(1.0, count / max(len(regions), 1))
        return np.asarray(share * self.inner.cost(regions) + 2e-5)


MODEL = Surrogate

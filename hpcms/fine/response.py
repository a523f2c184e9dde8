"""The smallest fine model: an affine response m = c u + m0 in closed form, to try out couplings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions


@dataclass(frozen=True)
class Response:
    """Drive ``value`` (R, 1); answers ``response`` (R, 1), ``tangent`` (R, 1, 1), ``work`` (R,) = m u."""

    c: float
    offset: float = 0.0

    drives: ClassVar[tuple[str, ...]] = ("value",)
    answers: ClassVar[tuple[str, ...]] = ("response", "tangent", "work")
    guesses: ClassVar[tuple[str, ...]] = ()
    memory: ClassVar[bool] = False  # the answers depend on nothing before
    pairing: ClassVar[tuple[str, str] | None] = ("value", "response")

    def begin(self, regions: Regions) -> Arrays:
        """The last value, which nothing depends on."""
        return {"value": np.zeros((len(regions), 1))}

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Closed form, so it cannot fail."""
        u = np.asarray(drive["value"], dtype=float)
        m = self.c * u + self.offset
        answers = {"response": m, "tangent": np.full((len(u), 1, 1), self.c), "work": (m * u)[:, 0]}
        return answers, {"value": u.copy()}, [Outcome(True, "closed form")] * len(u)

    def iterate(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """The answer is exact at once: nothing is left to iterate."""
        return self.solve(drive, state, seeds)

    def cost(self, regions: Regions) -> Array:
        """Seconds."""
        return np.full(len(regions), 1e-6)


MODEL = Response

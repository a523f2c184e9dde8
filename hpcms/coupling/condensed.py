"""Condensed: one Newton loop over both scales. A fine task makes a Newton iteration or few and condenses itself.

    repeat:  (sigma, A, error) = iterate(drives(u));  residual, u+ = coarse(u, sigma, A)
    until    residual <= tolerance and the summed error of the records <= ``SHARE`` tolerance

with sigma = sigma_bar - D K^-1 rho the stress that the linearised micro problem gives at the drive. Its fixed point is that of
the nested scheme, and near it the loop converges quadratically in both scales at once.

Far from it: updates that overshoot are cut as in ``nested``; ``PATIENCE`` coarse updates without a decrease, and the fine
models are solved to convergence for the rest of the step.

Source: N. Lange, G. Huetter, B. Kiefer, Comput. Methods Appl. Mech. Eng. 382 (2021) 113886.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hpcms.contracts import Advance, Arrays, Talk
from hpcms.coupling._level import PATIENCE
from hpcms.coupling._records import SHARE
from hpcms.coupling._search import Search
from hpcms.coupling.nested import Nested


def summed_error(answers: Mapping[str, Arrays], talk: Talk) -> float:
    """The largest, over the fine models, of |errors| / |paired answer|, both as norms over all sites."""
    worst = 0.0
    for model, given in answers.items():
        pair = talk.pairing.get(model)
        if "error" in given and pair is not None:
            size = float(np.linalg.norm(given[pair[1]]))
            lag = given.get("lag", 0.0) if model in talk.memory else 0.0
            error = float(np.linalg.norm(np.maximum(given["error"], lag)))
            worst = max(worst, error / size if size > 0 else (0.0 if error == 0 else np.inf))
    return worst


@dataclass
class Condensed(Nested):
    """See ``hpcms.contracts.Scheme``."""

    verb: str = "iterate"
    _least: float = float("inf")
    _waited: int = 0

    needs: ClassVar[tuple[str, ...]] = ("tangent", "iterate")

    def _merit(self, step: Advance) -> float:
        return max(step.residual, summed_error(self.answers, self.talk) / SHARE)

    def _next(self, step: Advance) -> None:
        """As nested; where the merit does not fall, the fine models are solved to convergence from now on.

        They are finished where the coarse model is: all that is missing are their own errors.
        """
        merit = self._merit(step)
        self._waited = 0 if merit < self._least else self._waited + 1
        self._least = min(self._least, merit)
        if self.verb != "solve":
            self.verb = "finish" if step.residual <= self.talk.tolerance else "iterate"
        if self._waited >= PATIENCE:
            self.verb, self._waited, self._search = "solve", 0, Search()  # what was found with poorer answers is void
        self.u = self._search.next(self.u, step, summed_error(self.answers, self.talk))


SCHEME = Condensed

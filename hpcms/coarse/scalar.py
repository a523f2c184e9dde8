"""The smallest dialogue of two scales: at every site, u = b - A m(u), with m(u) from a fine model.

With m = c u the answer is u = b / (1 + A c). A single pass from u = b gives b - A c b instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcms.coarse.field import Answers, Balance, Values, asked, need, norm
from hpcms.contracts import Array, Arrays, Step
from hpcms.problem.mesh import Mesh


@dataclass(frozen=True)
class Scalar:
    """``newton``: use the tangent of the fine model; otherwise the plain fixed-point iteration (Picard)."""

    b: float
    A: float
    newton: bool = True

    def bind(
        self, mesh: Mesh, name: str = "scalar", fine: str | None = None, sites: Sequence[Any] = ()
    ) -> ScalarAtSites:
        """One equation a site."""
        return ScalarAtSites(self, len(mesh.sites), name, asked(fine, name))


class ScalarAtSites:
    """See ``field.Bound``."""

    unknown = "value"
    reads: tuple[str, ...] = ()

    def __init__(self, scalar: Scalar, count: int, name: str, fine: str) -> None:
        self.scalar, self.name, self.fine, self.shape = scalar, name, fine, (count,)
        self.fixed = np.zeros(0, dtype=np.int64)

    def begin(self) -> Array:
        return np.full(self.shape, self.scalar.b)

    def predict(self, step: Step) -> Array:
        return np.array(step.previous[self.unknown], dtype=float)

    def constrain(self, value: Array, step: Step) -> Array:
        return np.array(value, dtype=float)

    def sites(self, values: Values, step: Step) -> Arrays:
        return {"value": np.asarray(values[self.unknown])[:, None]}

    def residual(self, values: Values, answers: Answers, step: Step) -> Balance:
        (response,) = need(answers, self.fine, ("response",), self.name)
        u, given, back = np.asarray(values[self.unknown]), np.full(self.shape, self.scalar.b), response[:, 0]
        return Balance(u - given + self.scalar.A * back, norm(u, given, self.scalar.A * back))

    def jacobian(self, other: str, values: Values, answers: Answers, step: Step) -> Any:
        import scipy.sparse as sp

        slope = np.zeros(self.shape)
        if self.scalar.newton:
            slope = need(answers, self.fine, ("tangent",), self.name)[0][:, 0, 0]
        return sp.diags_array(1.0 + self.scalar.A * slope).tocsr()

    def summary(self, values: Values, step: Step) -> dict[str, float]:
        """Mean of u over the sites."""
        return {"mean_value": float(np.mean(values[self.unknown]))}


FIELD = Scalar

"""A mass on a spring, pushed by a given force and by the force of a fluid: m a + k d = f + p. Backward Euler.

With the field ``fluid`` (p = -m_a a) it is the smallest example of fluid and structure: solving one after the other
shrinks the error by m_a / m in a sweep, as soon as the step is short against the spring; see P. Causin, J. F. Gerbeau,
F. Nobile, Comput. Methods Appl. Mech. Eng. 194 (2005) 4506-4527.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from hpcms.coarse.field import Answers, Balance, Values, norm
from hpcms.contracts import Array, Arrays, Step, Unit
from hpcms.problem.mesh import Mesh


@dataclass(frozen=True)
class Structure:
    """It starts at rest."""

    mass: Annotated[float, Unit("kg", above=0)]
    force: Annotated[float, Unit("N")]
    stiffness: Annotated[float, Unit("N/m", least=0)] = 0.0

    def bind(
        self, mesh: Mesh, name: str = "structure", fine: str | None = None, sites: Sequence[Any] = ()
    ) -> StructureAlone:
        """One body, whatever the mesh."""
        return StructureAlone(self, name)


class StructureAlone:
    """See ``field.Bound``. The unknown is (d, v, a): displacement m, velocity m/s, acceleration m/s2.

    All three equations are in N, so that one norm fits them: (m/dt^2)(d - d' - dt v), (m/dt)(v - v' - dt a), balance.
    """

    unknown, fine, shape = "motion", None, (3,)
    reads: tuple[str, ...] = ("force",)

    def __init__(self, structure: Structure, name: str) -> None:
        self.structure, self.name = structure, name
        self.fixed = np.zeros(0, dtype=np.int64)

    def begin(self) -> Array:
        return np.zeros(3)

    def predict(self, step: Step) -> Array:
        """The same acceleration as before, with the motion that follows from it."""
        d, v, a = step.previous[self.unknown]
        v = v + step.dt * a
        return np.array([d + step.dt * v, v, a])

    def constrain(self, value: Array, step: Step) -> Array:
        return np.array(value, dtype=float)

    def sites(self, values: Values, step: Step) -> Arrays:
        return {}

    def residual(self, values: Values, answers: Answers, step: Step) -> Balance:
        s, dt = self.structure, step.dt
        d, v, a = values[self.unknown]
        d0, v0, _ = step.previous[self.unknown]
        given = s.force + (float(values["force"][0]) if "force" in values else 0.0)
        moved, sped = s.mass / dt**2 * (d - d0 - dt * v), s.mass / dt * (v - v0 - dt * a)
        r = np.array([moved, sped, s.mass * a + s.stiffness * d - given])
        return Balance(r, norm(np.array([s.mass * a, s.stiffness * d, given])))

    def jacobian(self, other: str, values: Values, answers: Answers, step: Step) -> Any:
        import scipy.sparse as sp

        s, dt = self.structure, step.dt
        if other == "force":
            return sp.csr_matrix(np.array([[0.0], [0.0], [-1.0]]))
        rows, columns = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 0, 2])
        m = s.mass
        data = np.array([m / dt**2, -m / dt, m / dt, -m, s.stiffness, m])
        return sp.csr_matrix((data, (rows, columns)), shape=(3, 3))

    def summary(self, values: Values, step: Step) -> dict[str, float]:
        """Acceleration, m/s2, and displacement, m."""
        d, _, a = values[self.unknown]
        return {"acceleration": float(a), "displacement": float(d)}


FIELD = Structure

"""The added mass of a fluid that moves with a structure: it pushes back with p = -m_a a. See ``structure``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from hpcms.coarse.field import Answers, Balance, Values, norm
from hpcms.contracts import Array, Arrays, Step, Unit
from hpcms.problem.mesh import Mesh


@dataclass(frozen=True)
class Fluid:
    """Without a structure the force stays zero."""

    added_mass: Annotated[float, Unit("kg", least=0)]

    def bind(self, mesh: Mesh, name: str = "fluid", fine: str | None = None, sites: Sequence[Any] = ()) -> FluidAlone:
        """One force, whatever the mesh."""
        return FluidAlone(self, name)


class FluidAlone:
    """See ``field.Bound``. The unknown is the force on the structure, N."""

    unknown, fine, shape = "force", None, (1,)
    reads: tuple[str, ...] = ("motion",)

    def __init__(self, fluid: Fluid, name: str) -> None:
        self.fluid, self.name = fluid, name
        self.fixed = np.zeros(0, dtype=np.int64)

    def begin(self) -> Array:
        return np.zeros(1)

    def predict(self, step: Step) -> Array:
        return np.array(step.previous[self.unknown], dtype=float)

    def constrain(self, value: Array, step: Step) -> Array:
        return np.array(value, dtype=float)

    def sites(self, values: Values, step: Step) -> Arrays:
        return {}

    def residual(self, values: Values, answers: Answers, step: Step) -> Balance:
        p = np.asarray(values[self.unknown])
        inertia = self.fluid.added_mass * np.asarray(values["motion"])[2:] if "motion" in values else np.zeros(1)
        return Balance(p + inertia, norm(p, inertia))

    def jacobian(self, other: str, values: Values, answers: Answers, step: Step) -> Any:
        import scipy.sparse as sp

        if other == "motion":
            return sp.csr_matrix((np.array([self.fluid.added_mass]), ([0], [2])), shape=(1, 3))
        return sp.csr_matrix(np.ones((1, 1)))

    def summary(self, values: Values, step: Step) -> dict[str, float]:
        """Force of the fluid on the structure, N."""
        return {"fluid_force": float(values[self.unknown][0])}


FIELD = Fluid

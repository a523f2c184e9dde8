"""Linear elasticity, isotropic or of any symmetry: sigma = C : (eps - eps*), energy 1/2 sigma : (eps - eps*).

eps* is the stress-free strain that every law may have: eigenstrain and thermal expansion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from hpcms.contracts import Array, Unit
from hpcms.errors import BadInput
from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.laws._base import DISSIPATION, ENERGY, TANGENT, Law, Six, bunge, hooke, rotation

Matrix = tuple[Six, Six, Six, Six, Six, Six]


@jit
def update(w: Array, parameters: Array) -> None:
    """parameters: 36 stiffnesses by rows. See ``laws``."""
    for i in range(w.shape[0]):
        v = w[i]
        _linear(v, parameters)
        r = TANGENT
        for a in range(6):
            for b in range(a, 6):
                c = parameters[6 * a + b]
                for lane in range(LANES):
                    v[r * LANES + lane] = c
                r += 1


@jit
def _linear(v: Any, C: Any) -> None:
    """Strains -> stresses and energies of one line."""
    for lane in range(LANES):
        a, b, c = v[lane], v[lane + LANES], v[lane + 2 * LANES]
        d, e, f = v[lane + 3 * LANES], v[lane + 4 * LANES], v[lane + 5 * LANES]
        p = C[0] * a + C[1] * b + C[2] * c + C[3] * d + C[4] * e + C[5] * f
        q = C[6] * a + C[7] * b + C[8] * c + C[9] * d + C[10] * e + C[11] * f
        r = C[12] * a + C[13] * b + C[14] * c + C[15] * d + C[16] * e + C[17] * f
        s = C[18] * a + C[19] * b + C[20] * c + C[21] * d + C[22] * e + C[23] * f
        t = C[24] * a + C[25] * b + C[26] * c + C[27] * d + C[28] * e + C[29] * f
        u = C[30] * a + C[31] * b + C[32] * c + C[33] * d + C[34] * e + C[35] * f
        v[lane], v[lane + LANES], v[lane + 2 * LANES] = p, q, r
        v[lane + 3 * LANES], v[lane + 4 * LANES], v[lane + 5 * LANES] = s, t, u
        v[lane + ENERGY * LANES] = 0.5 * (p * a + q * b + r * c + s * d + t * e + u * f)
        v[lane + DISSIPATION * LANES] = 0.0


@dataclass(frozen=True, kw_only=True)
class Elastic(Law):
    """Young's modulus and Poisson's ratio, or the 6 x 6 ``stiffness`` (Mandel) of a crystal in ``orientation``.

    ``orientation``: Bunge's angles in degrees. Without stiffness the phase is void.
    """

    youngs_modulus: Annotated[float, Unit("Pa", least=0)] | None = None
    poisson_ratio: Annotated[float, Unit("", above=-1, below=0.5)] = 0.3
    stiffness: Annotated[Matrix, Unit("Pa")] | None = None
    orientation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    law: Literal["elastic"] = "elastic"

    update: ClassVar[Any] = staticmethod(update)

    def __post_init__(self) -> None:
        if (self.youngs_modulus is None) == (self.stiffness is None):
            raise BadInput("elastic: give either youngs_modulus or stiffness", 'for example youngs_modulus = "70 GPa"')
        if self.stiffness is not None:
            C = np.array(self.stiffness)
            if np.abs(C - C.T).max() > 1e-9 * np.abs(C).max() or not np.linalg.eigvalsh(C).min() > 0.0:
                raise BadInput("elastic: the stiffness must be symmetric and positive definite")

    @property
    def void(self) -> bool:
        return self.youngs_modulus == 0.0

    @property
    def matrix(self) -> Array:
        """(6, 6) Mandel stiffness in the frame of the cell."""
        if self.stiffness is None:
            E, nu = self.youngs_modulus or 0.0, self.poisson_ratio
            return hooke(E / (3.0 * (1.0 - 2.0 * nu)), E / (1.0 + nu))
        Q, C = rotation(bunge(self.orientation)), np.array(self.stiffness)
        turned: Array = Q @ (0.5 * (C + C.T)) @ Q.T
        return turned

    def parameters(self, dt: float, temperature: float) -> Array:
        return self.matrix.reshape(-1)

    def plain(self, strain: Array, history: Array, dt: float, temperature: float) -> tuple[Array, ...]:
        C = self.matrix
        stress = strain @ C
        return (
            stress,
            np.tile(C, (len(strain), 1, 1)),
            history,
            0.5 * (stress * strain).sum(axis=1),
            np.zeros(len(strain)),
        )


LAW = Elastic

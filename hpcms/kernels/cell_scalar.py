"""Effective conductivity of a voxel cell from the solutions for unit gradients, with the energy of the micro fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array, Outcome
from hpcms.kernels.cell_scalar_frame import Spacing
from hpcms.kernels.cell_scalar_periodic import PeriodicCell
from hpcms.kernels.cell_scalar_walls import WalledCell


@dataclass(frozen=True)
class Effective:
    """``conductivity``: (3, 3) mean flux by unit gradient; ``energy``: (3, 3) mean of grad T_i . k grad T_j.

    What belongs to gradients that were not asked for is NaN. ``outcomes``: by axis asked for.
    """

    conductivity: Array
    energy: Array
    outcomes: tuple[Outcome, ...]


def effective(
    phase: Array,
    k: Array,
    spacing: Spacing,
    tolerance: float,
    limit: int = 2000,
    axes: Sequence[int] = (0, 1, 2),
    boundary: str = "periodic",
    single: bool = True,
) -> Effective:
    """Solve the unit gradients along ``axes``. ``phase``: (nx, ny, nz) uint8; ``k``: (P,) conductivities, W/(m K).

    Stops when the true residual is below ``tolerance`` times the load, or after ``limit`` iterations with an
    outcome that says so. ``boundary``: "periodic", "displacement" or "traction" (see ``cell_scalar_walls``).
    """
    periodic = boundary == "periodic"
    cell = PeriodicCell(phase, k, spacing, single) if periodic else WalledCell(phase, k, spacing, boundary)
    found = [cell.solve(axis, tolerance, limit) for axis in axes]
    solved = list(zip(axes, found, strict=True))
    volume = float(phase.size * np.prod(spacing))
    mean = float(np.bincount(phase.ravel(), minlength=k.size) @ k) / phase.size * np.eye(3)
    loads = [cell.load(axis) for axis in range(3)]
    F = np.array([[cell.inner(loads[i], i, u.u, j) for j, u in solved] for i in range(3)]) / volume
    R = np.array([[cell.inner(v.u, i, u.r, j) for j, u in solved] for i, v in solved]) / volume
    P = F[list(axes)].T  # u_i . f_j
    Q = -(P + R + (P + R).T) / 2  # work of solution i on the stiffness times solution j: A u_j = -f_j - r_j
    C = _balance(P, Q)
    K, B = np.full((2, 3, 3), np.nan)
    K[:, axes] = mean[:, axes] + F @ C
    B[np.ix_(axes, axes)] = mean[np.ix_(axes, axes)] + C.T @ P + P.T @ C + C.T @ Q @ C
    return Effective(K, B, tuple(one.outcome for one in found))


def fluctuation(
    phase: Array, k: Array, spacing: Spacing, gradient: Array, tolerance: float, limit: int = 2000
) -> Array:
    """(nx, ny, nz) periodic part (K) of the temperature at the lower corners of the voxels under ``gradient`` (K/m)."""
    cell = PeriodicCell(phase, k, spacing)
    total = np.zeros(phase.shape)
    for axis in np.flatnonzero(gradient):
        total += gradient[axis] * cell.everywhere(cell.solve(int(axis), tolerance, limit), int(axis))
    return total


def _balance(P: Array, Q: Array) -> Array:
    """The combinations ``C`` of the solutions that make each residual orthogonal to all of them: ``Q C = -P``.

    Conjugate gradients do so for each load alone; across loads it holds only to the tolerance of the iteration.
    Solutions that vanish (layers seen along) drop out.
    """
    norm = np.sqrt(np.clip(np.diag(Q), 0, None))
    inverse = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)[:, None]
    unit = inverse * Q * inverse.T
    C: Array = -inverse * (np.linalg.pinv(unit, rcond=1e-13, hermitian=True) @ (inverse * P))
    return C

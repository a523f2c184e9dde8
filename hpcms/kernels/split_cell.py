"""A homogeneous elastic cell with a flat crack between two layers of voxels: its nodes are doubled, the faces come apart.

Unknowns are the displacement u of the whole grid and the jump j on the doubled nodes (upper face u + j, lower face u). In u
alone the stiffness is that of the homogeneous cell, whose inverse is known (``green_vector``); j is scaled by its diagonal.
A node is doubled where all voxel faces around it are cut, so the rim of the crack stays closed.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.cell_points import PointCell, conjugate
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_damage import damaged_forces
from hpcms.kernels.krylov import norm

ENGINEERING = np.array([1.0, 1.0, 1.0, 2.0**0.5, 2.0**0.5, 2.0**0.5])  # Mandel strain -> 11 22 33 and twice the shears
ROUNDING = 1e-13  # nodal forces below this share of the moduli count as zero: a load that the crack does not feel


class SplitCell:
    """``cut``: (nx, ny) bool, the voxel faces normal to z that are cut in the middle of the cell; voxels are unit cubes."""

    def __init__(self, cut: Array, nz: int, lam: float, mu: float) -> None:
        nx, ny = cut.shape
        self.cell = cell = PointCell(np.zeros((nx, ny, nz), np.uint8), np.ones((nx, ny, nz), bool), (1.0, 1.0, 1.0))
        inside = cut & np.roll(cut, 1, 0) & np.roll(cut, 1, 1) & np.roll(cut, (1, 1), (0, 1))
        self.below = np.flatnonzero(inside) * nz + nz // 2  # node numbers of the lower face
        double = np.arange(cell.nodes + 1)  # the nodes that the voxels above the crack see
        double[self.below] = cell.nodes + 1 + np.arange(self.below.size)
        above = (cell.voxels % nz == nz // 2)[:, None, :] & (np.arange(8) % 2 == 0)[:, None]
        self.conn = np.where(above, double[cell.conn.astype(np.int64)], cell.conn.astype(np.int64)).astype(np.uint64)
        self.moduli = np.stack([cell.by_lane([lam + 2.0 * mu / 3.0]), cell.by_lane([2.0 * mu])], axis=1)
        self.ones = cell.points() + 1.0
        self.green = GreenVector(cell.shape, cell.spacing).set_moduli(lam, mu)
        self.soft = 9.0 / (4.0 * (lam + 4.0 * mu))  # a node of four voxels: 4 (lam + 2 mu + 2 mu) / 9

    def _multiply(self, x: Array, strain: Array) -> tuple[Array, Array]:
        """Forces on u and j (3, nodes + 1 + doubled) and the mean stress, Mandel."""
        n = self.cell.nodes + 1
        w, f, total = x.copy(), np.empty_like(x), np.zeros(6)
        w[:, n:] += x[:, self.below]
        damaged_forces(w, self.conn, strain * ENGINEERING, self.ones, self.ones, self.moduli, self.cell.geo, f, total)
        f[:, n - 1] = 0.0
        f[:, self.below] += f[:, n:]
        return f, total * ENGINEERING / self.cell.volume

    def _inverse(self, r: Array) -> Array:
        out, n = self.soft * r, self.cell.nodes + 1
        z = self.cell.collect(r[:, :n])
        out[:, :n] = self.cell.spread(self.green(z, np.empty_like(z)))
        return out

    def solve(self, strain: Array, tolerance: float, limit: int = 2000) -> tuple[Array, float]:
        """Mean stress (6,) for a mean strain (Mandel), and the relative residual, which the caller checks."""
        rest = np.zeros((3, self.cell.nodes + 1 + self.below.size))
        r = -self._multiply(rest, strain)[0]
        size = max(norm(r.reshape(-1)), ROUNDING / tolerance * float(self.moduli.max()) * norm(strain))
        x = conjugate(lambda p: self._multiply(p, np.zeros(6))[0], self._inverse, r, 0.9 * tolerance * size, limit).x
        f, stress = self._multiply(x, strain)
        return stress, norm(f.reshape(-1)) / size

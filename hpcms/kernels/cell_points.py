"""A periodic cell as a list of hexahedra with data at Gauss points, and conjugate gradients on fields over its nodes.

Fields are (components, nodes + 1): the last column belongs to the spare node of ``elements`` and is kept at zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.elements import blocks_of, corners
from hpcms.kernels.hex8_points import LANES, geometry
from hpcms.kernels.krylov import advance, direct, dot

Operator = Callable[[Array], Array]


class PointCell:
    """phase: (nx, ny, nz) index of the phase; loaded: bool, the voxels that count; spacing in m.

    ``voxels``: (blocks, LANES) flat index, -1 for fillers; ``phase``: (blocks,); ``conn``: see ``hex8_points``.
    """

    def __init__(self, phase: Array, loaded: Array, spacing: tuple[float, float, float]) -> None:
        self.shape, self.spacing, self.geo = phase.shape, spacing, geometry(spacing)
        self.voxels, self.phase = blocks_of(phase, loaded)
        self.conn = corners(self.voxels, phase.shape, phase.shape, phase.size)
        self.nodes, self.voxel = phase.size, float(np.prod(spacing))
        self.volume = self.voxel * phase.size

    def by_lane(self, values: list[float]) -> Array:
        """(blocks, LANES) a number of each phase, 0 for fillers."""
        return np.where(self.voxels < 0, 0.0, np.array(values)[self.phase][:, None])

    def points(self) -> Array:
        """(blocks, 8 * LANES) zeros, one number a Gauss point."""
        return np.zeros((len(self.voxels), 8 * LANES))

    def field(self, components: int) -> Array:
        return np.zeros((components, self.nodes + 1))

    def spread(self, values: Array) -> Array:
        """(components, nx, ny, nz) -> a field."""
        out = self.field(len(values))
        out[:, :-1] = values.reshape(len(values), -1)
        return out

    def collect(self, field: Array) -> Array:
        """A field -> (components, nx, ny, nz)."""
        return np.ascontiguousarray(field[:, :-1]).reshape(-1, *self.shape)


class Solved(NamedTuple):
    """``x``; iterations; False where the operator is not positive along a direction: ``x`` is what came before it."""

    x: Array
    iterations: int
    positive: bool


def conjugate(operator: Operator, precondition: Operator, r: Array, goal: float, limit: int) -> Solved:
    """Conjugate gradients for K x = r from zero until |r| <= ``goal``; r is used up.

    Where p.Kp <= 0 in the first step, the direction p itself is the answer: it still goes downhill.
    """
    x, p, old = np.zeros_like(r), np.zeros_like(r), 1.0
    flat = r.reshape(-1)
    size = float(np.sqrt(dot(flat, flat)))
    for iteration in range(limit):
        if size <= goal:
            return Solved(x, iteration, True)
        z = precondition(r)
        rz = dot(flat, z.reshape(-1))
        direct(z.reshape(-1), rz / old, p.reshape(-1))
        old = rz
        q = operator(p)
        pq = dot(p.reshape(-1), q.reshape(-1))
        if not (pq > 0.0 and np.isfinite(rz)):
            return Solved(p if iteration == 0 else x, iteration, False)
        size = float(np.sqrt(advance(rz / pq, p.reshape(-1), q.reshape(-1), x.reshape(-1), flat)))
    return Solved(x, limit, True)

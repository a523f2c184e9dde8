"""Plane meshes for drawing: deformed nodes, triangles, and where the sites go when the mesh moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.tri import Triangulation

from hpcms.contracts import Array
from hpcms.report.data import Geometry


@dataclass(frozen=True)
class Deformed:
    """A plane mesh with nodes moved by (N, 2) m ``motion``, which is the displacement times ``magnification``."""

    geometry: Geometry
    motion: Array
    magnification: float

    @property
    def points(self) -> Array:
        """(N, 2) m, the moved nodes."""
        return self.geometry.points + self.motion

    @property
    def outlines(self) -> Array:
        """(C, 4, 2) corners of each moved cell."""
        found: Array = self.points[self.geometry.cells]
        return found

    def follow(self, sites: Array) -> Array:
        """(S, 2) m where the material at ``sites`` has gone."""
        owner = owners(self.geometry, sites)
        corners = self.geometry.cells[owner]
        moved = np.einsum("sk,skd->sd", shape_values(self.geometry.points[corners], sites), self.motion[corners])
        return np.asarray(sites + moved)

    def surface(self, x: Array) -> Array:
        """(n, 2) m where the points of the top at ``x`` (n,) m have gone."""
        level = self.geometry.points[:, 1]
        top = np.flatnonzero(level >= level.max() - 1e-6 * np.ptp(level))
        top = top[np.argsort(self.geometry.points[top, 0])]
        moved = [np.interp(x, self.geometry.points[top, 0], self.points[top, axis]) for axis in (0, 1)]
        return np.column_stack(moved)

    def triangles(self, values: Array) -> tuple[Triangulation, Array]:
        """A triangulation of the moved mesh, and (N + C,) ``values`` on its corners.

        The middle of a cell takes the mean of its corners, as the bilinear element has it, so no diagonal is favoured.
        """
        middle = values[self.geometry.cells].mean(axis=1)
        return _fans(self.points, self.geometry.cells), np.concatenate([values, middle])


def _fans(points: Array, cells: Array) -> Triangulation:
    """Four triangles a cell around its middle; triangle k belongs to cell k modulo C."""
    middles = np.arange(len(points), len(points) + len(cells))
    corners = [np.column_stack([cells[:, i], cells[:, (i + 1) % 4], middles]) for i in range(4)]
    x, y = np.vstack([points, points[cells].mean(axis=1)]).T
    return Triangulation(x, y, np.concatenate(corners))


def owners(geometry: Geometry, sites: Array) -> Array:
    """(S,) the cell that each site lies in; in a plane domain or an interval."""
    if geometry.dimension == 2:
        finder = _fans(geometry.points, geometry.cells).get_trifinder()
        return np.maximum(np.asarray(finder(sites[:, 0], sites[:, 1]), dtype=np.int64), 0) % len(geometry.cells)
    ends = geometry.points[geometry.cells, 0]
    order = np.argsort(ends.min(axis=1))
    inner = np.searchsorted(ends.min(axis=1)[order], sites[:, 0], side="right") - 1
    return np.asarray(order[np.clip(inner, 0, len(order) - 1)])


def deform(geometry: Geometry, displacement: Array | None) -> Deformed:
    """The mesh moved so that it can be seen: a round magnification brings the motion to at most 8 % of its size."""
    if displacement is None:
        return Deformed(geometry, np.zeros_like(geometry.points), 1.0)
    size = float(np.ptp(geometry.points, axis=0).max())
    largest = float(np.abs(displacement).max(initial=0.0))
    steps = [m * 10.0**e for e in range(7) for m in (1.0, 2.0, 5.0)]
    magnification = max([m for m in steps if m * largest <= 0.08 * size], default=1.0) if largest > 0 else 1.0
    return Deformed(geometry, magnification * displacement, magnification)


_SIGNS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=float)


def shape_values(corners: Array, sites: Array) -> Array:
    """(S, 4) bilinear shape functions of the cells with ``corners`` (S, 4, 2) at ``sites`` (S, 2).

    Newton's method on x(xi) = site; exact at once for a rectangle.
    """
    xi = np.zeros_like(sites)
    for _ in range(12):
        factors = 1.0 + xi[:, None, :] * _SIGNS  # (S, 4, 2)
        slopes = 0.25 * _SIGNS * factors[:, :, ::-1]  # dN/dxi
        miss = sites - np.einsum("sk,skd->sd", 0.25 * factors.prod(axis=2), corners)
        jacobian = np.einsum("skd,ske->sde", corners, slopes)
        xi = xi + np.linalg.solve(jacobian, miss[:, :, None])[:, :, 0]
    return np.asarray(0.25 * (1.0 + xi[:, None, :] * _SIGNS).prod(axis=2))

"""The domain as a mesh: nodes, cells, named sides, and the Gauss points at which fine models are asked.

Cells and reference elements come from scikit-fem. Sites are counted cell by cell: site = cell * points a cell + point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import BadInput

Kind = Literal["rectangle", "plate_with_hole", "interval", "points"]
Limits = tuple[float, float] | None

# side: (axis that is constant along it, at the low or the high end, outward normal)
SIDES = {
    "left": (0, 0, (-1.0, 0.0)),
    "right": (0, -1, (1.0, 0.0)),
    "bottom": (1, 0, (0.0, -1.0)),
    "top": (1, -1, (0.0, 1.0)),
}


@dataclass(frozen=True)
class Domain:
    """``size``: edges in m. ``elements``: cells along each edge, or, for ``points``, the number of material points.

    ``grading``: ratio of the largest to the smallest cell along each edge (default 1). Along x of a rectangle the
    smallest cells are in the middle, along y they are at the top; on an interval they are at the left end. A ratio
    below 1 turns it round. A plate with a hole of ``radius`` is the quarter x, y >= 0 of a plate, the hole around the
    origin, ``size`` its outer edges; cells are counted around the hole and away from it, the smallest are at the hole.
    """

    kind: Kind
    size: tuple[float, ...] = ()
    elements: tuple[int, ...] = (1,)
    grading: tuple[float, ...] = ()
    radius: float = 0.0


@dataclass(frozen=True, eq=False)
class Mesh:
    """``nodes``: (N, d) m. ``cells``: (C, 4) counter-clockwise, (C, 2), or (0, 4) for material points.

    ``sites``: (S, d) m, Gauss points. ``site_cell``: (S,). ``weights``: (S,) m^d, they sum to the volume.
    ``fem``: the scikit-fem mesh (None for points); ``rule``: Gauss points and weights of the reference cell.
    """

    domain: Domain
    nodes: Array
    cells: Array
    sites: Array
    site_cell: Array
    weights: Array
    fem: Any
    rule: tuple[Array, Array] | None

    @property
    def dimension(self) -> int:
        """0: material points, 1: an interval, 2: a plane domain."""
        return {"points": 0, "interval": 1}.get(self.domain.kind, 2)

    def normal(self, side: str) -> Array:
        """(d,) outward unit normal of a side."""
        self._axis(side)
        return np.array(SIDES[side][2][: self.dimension])

    def on(self, side: str, between: Limits = None) -> Array:
        """Nodes of a side in ascending order, or of its part with ``between`` (m, along the side)."""
        axis, end = self._axis(side)
        edge = np.sort(np.unique(self.nodes[:, axis]))[end]
        nodes = np.flatnonzero(self.nodes[:, axis] == edge)
        if between is None:
            return nodes
        low, high = self._limits(side, between)
        along = self.nodes[nodes, 1 - axis]
        slack = 1e-9 * max(self.domain.size)
        part: Array = nodes[(along >= low - slack) & (along <= high + slack)]
        return part

    def share(self, side: str, between: Limits = None) -> Array:
        """(N,) integral of each node's shape function over the side or its part, exact also where it ends in a cell."""
        nodes = self.on(side)
        share = np.zeros(len(self.nodes))
        if self.dimension == 1:
            share[nodes] = 1.0
            return share
        axis, _ = self._axis(side)
        nodes = nodes[np.argsort(self.nodes[nodes, 1 - axis])]
        x = self.nodes[nodes, 1 - axis]
        low, high = self._limits(side, between) if between else (x[0], x[-1])
        a, b = np.clip(low, x[:-1], x[1:]), np.clip(high, x[:-1], x[1:])
        length, middle = b - a, (a + b) / 2  # a shape function is linear on a cell, so the midpoint rule is exact
        right = (middle - x[:-1]) / np.diff(x)
        np.add.at(share, nodes[:-1], length * (1 - right))
        np.add.at(share, nodes[1:], length * right)
        return share

    def _axis(self, side: str) -> tuple[int, int]:
        known = [name for name, (axis, _, _) in SIDES.items() if axis < self.dimension]
        if side not in known:
            raise BadInput(f"the {self.domain.kind} has no side {side!r}", f"there are: {', '.join(known) or 'none'}")
        return SIDES[side][:2]

    def _limits(self, side: str, between: tuple[float, float]) -> tuple[float, float]:
        low, high = between
        if self.dimension != 2:
            raise BadInput(f"side {side!r} is a point and has no part", "leave out `between`")
        length = self.domain.size[1 - SIDES[side][0]]
        if not -1e-9 * length <= low < high <= (1 + 1e-9) * length:
            message = f"between = [{low:g}, {high:g}] is no part of side {side!r}"
            raise BadInput(message, f"it goes from 0 to {length:g} m")
        return low, high


def build_mesh(domain: Domain) -> Mesh:
    """The mesh of a domain. Raises ``BadInput`` where the domain makes no sense."""
    import skfem

    _check(domain)
    if domain.kind == "points":
        n = domain.elements[0]
        where, none = np.arange(n, dtype=float)[:, None], np.zeros((0, 4), dtype=np.int64)
        return Mesh(domain, where, none, where, np.arange(n), np.ones(n), None, None)
    grading = domain.grading or (1.0,) * len(domain.size)
    x = _graded(
        domain.size[0], domain.elements[0], grading[0], "interval" if domain.kind == "interval" else "rectangle"
    )
    point = (1 + np.array([-1.0, 1.0]) / np.sqrt(3)) / 2  # two Gauss points of [0, 1]
    if domain.kind == "interval":
        fem: Any = skfem.MeshLine(x)
        rule = (point[None, :], np.full(2, 0.5))
        element: Any = skfem.ElementLineP1()
    else:
        if domain.kind == "plate_with_hole":
            fem = skfem.MeshQuad(*_around_hole(domain, grading))
        else:
            y = _graded(domain.size[1], domain.elements[1], grading[1], "depth")
            grid = skfem.MeshQuad.init_tensor(x, y)
            fem = skfem.MeshQuad(grid.p, grid.t[[0, 3, 2, 1]])  # counter-clockwise
        # points counter-clockwise, like the nodes of a cell
        rule = (point[np.array([[0, 1, 1, 0], [0, 0, 1, 1]])], np.full(4, 0.25))
        element = skfem.ElementQuad1()
    basis = skfem.Basis(fem, element, quadrature=rule)
    sites = np.moveaxis(np.asarray(basis.global_coordinates()), 0, -1).reshape(-1, len(domain.size))
    weights = np.ascontiguousarray(basis.dx).reshape(-1)
    cells = np.ascontiguousarray(fem.t.T).astype(np.int64)
    site_cell = np.repeat(np.arange(len(cells)), len(rule[1]))
    return Mesh(domain, np.ascontiguousarray(fem.p.T), cells, sites, site_cell, weights, fem, rule)


def _around_hole(domain: Domain, grading: tuple[float, ...]) -> tuple[Array, Array]:
    """(2, N) nodes and (4, C) counter-clockwise cells between a quarter circle and the two far edges of a rectangle.

    Half of the rays end on the right edge, half on the top, so the corner is a node. ``grading``: of the angles, largest
    to smallest from the x axis on, and of the lengths along a ray.
    """
    width, height = domain.size
    around, out = domain.elements
    angle = _graded(np.pi / 2, around, grading[0], "depth")
    inner = domain.radius * np.array([np.cos(angle), np.sin(angle)])
    i = np.arange(around + 1) / around
    outer = np.array([width * np.minimum(1.0, 2 * (1 - i)), height * np.minimum(1.0, 2 * i)])
    s = _graded(1.0, out, grading[1], "interval")
    nodes = inner[:, None] + s[:, None] * (outer - inner)[:, None]  # (2, out + 1, around + 1)
    nodes[:, -1] = outer  # to the last bit: sides are found by their coordinates
    nodes[0, :, -1] = nodes[1, :, 0] = 0.0
    n = np.arange(nodes[0].size).reshape(out + 1, around + 1)
    cells = np.stack([n[:-1, :-1], n[1:, :-1], n[1:, 1:], n[:-1, 1:]]).reshape(4, -1)
    return nodes.reshape(2, -1), cells


def _graded(length: float, n: int, ratio: float, where: str) -> Array:
    """(n + 1,) node positions; cell sizes form a geometric series."""
    i = np.arange(n, dtype=float)
    # distance from the place of the smallest cells, scaled to [0, 1]
    distance = {"interval": i, "depth": n - 1 - i, "rectangle": np.abs(i - (n - 1) / 2)}[where]
    distance = (distance - distance.min()) / max(float(np.ptp(distance)), 1.0)
    h = ratio**distance
    x: Array = np.concatenate([[0.0], np.cumsum(h)]) * (length / h.sum())
    x[-1] = length
    return x


def _check(domain: Domain) -> None:
    edges = {"rectangle": 2, "plate_with_hole": 2, "interval": 1, "points": 0}.get(domain.kind)
    if edges is None:
        raise BadInput(f"unknown kind of domain {domain.kind!r}", f"there are: {', '.join(get_args(Kind))}")
    problems = []
    if domain.kind == "plate_with_hole":
        if domain.elements[0] % 2:
            problems.append(f"domain.elements: an even number around the hole (got {domain.elements[0]})")
        if not 0 < domain.radius < min(domain.size, default=0.0):
            problems.append(f"domain.radius: must be > 0 and smaller than the plate (got {domain.radius:g})")
    if len(domain.size) != edges:
        problems.append(f"domain.size: {domain.kind} needs {edges} lengths (got {len(domain.size)})")
    if len(domain.elements) != max(edges, 1):
        problems.append(f"domain.elements: {domain.kind} needs {max(edges, 1)} numbers (got {len(domain.elements)})")
    if domain.grading and len(domain.grading) != edges:
        problems.append(f"domain.grading: {domain.kind} needs {edges} ratios (got {len(domain.grading)})")
    if not all(np.isfinite(s) and s > 0 for s in domain.size):
        problems.append(f"domain.size: must be > 0 (got {list(domain.size)})")
    if not all(n >= 1 for n in domain.elements):
        problems.append(f"domain.elements: must be >= 1 (got {list(domain.elements)})")
    if not all(np.isfinite(g) and g > 0 for g in domain.grading):
        problems.append(f"domain.grading: must be > 0 (got {list(domain.grading)})")
    if problems:
        raise BadInput("; ".join(problems), problems=tuple(problems))

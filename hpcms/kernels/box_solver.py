"""The iterations of ``box_elastic`` in one precision, for load cases or cells of one shape; one thread or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.box_elastic import Contrast, forces, remain, update
from hpcms.kernels.box_green import Cells, Green, Support, ahead, along_waves, displacements
from hpcms.kernels.box_rows import along_rows, coefficients
from hpcms.kernels.box_waves import axis, wave_numbers, weights
from hpcms.kernels.crew import Crew
from hpcms.kernels.green_vector import axis_symbol, inverse_symbol

Triple = tuple[int, int, int]
SINGLE = 1e-5  # the smallest reduction of a residual that single precision is asked for
TRANSFORM = 0.5  # work of the transforms of a plane, over that of the nodes of the fullest one
ROWS = 32  # nodes along x from which on recursions beat waves


class Box:
    """The box solver in one precision, for cells of one shape (or load cases of one cell).

    ``shape``: nodes of the ring along each axis; ``moduli``: Lame moduli of the reference; ``label`` (images, ex, ey, ez) into
    ``table`` (P, 2), Lame moduli less those of the reference; ``extent``: of the voxels that differ. ``other``: the solver of the
    same cells in another precision.
    """

    def __init__(self, shape: Triple, nodes: Triple, mirrored: bool, spacing: Array, moduli: tuple[float, float],
                 label: Array, extent: Array, table: Array, kind: Any, crew: Crew | None = None,
                 other: Box | None = None) -> None:  # fmt: skip
        axes = [axis(n, b, mirrored, kind) for n, b in zip(shape, nodes, strict=True)]
        self.kind, self.crew, self.mirrored = np.dtype(kind), crew or Crew(1), mirrored
        self.contrast = Contrast(label, extent, table.astype(kind), spacing)
        self.support = support_of(extent, nodes, (axes[0].centre, axes[1].centre, axes[2].centre))
        X, Y, Z = (axis_symbol(2.0 * np.pi / n * wave_numbers(n), h) for n, h in zip(shape, spacing, strict=True))
        wx, wy, wz = (weights(n, mirrored) for n in shape)
        volume, blocks = float(np.prod(spacing)), 1 if mirrored else 2
        share = (wz[:, None] * wy).reshape(-1)
        self.sides, self.pairs = (blocks * wz.size, blocks * wy.size), (wz.size, wy.size)
        self.rows: Array | None = None
        inverse = np.zeros((6, 1, 1), kind)
        long = 8 * shape[0] * spacing[0] >= max(shape[1] * spacing[1], shape[2] * spacing[2])
        if not mirrored and shape[0] >= ROWS and long:
            if other is None:
                self.table = np.empty((33, share.size)), np.zeros(share.size, np.int64)
                coefficients(Y, Z, spacing[0], *moduli, shape[0], nodes[0], share / volume, *self.table)
            else:
                self.table = other.table
            rows, warm = self.table
            self.rows, self.warm, self.ring = self._blocks(rows.astype(kind)), self._blocks(warm), shape[0]
            stiff = np.array([moduli[0] + 2.0 * moduli[1], moduli[1], moduli[1]])
            self.line = stiff * volume / spacing[0] ** 2 / share[0]
            self.constant = np.flatnonzero(self._blocks(np.arange(share.size)) == 0)
        else:
            inverse = np.empty((6, X.shape[1], *self.pairs))
            inverse_symbol(X, Z, Y, *moduli, 0.0, 1.0 / volume, inverse)
            # forces add up to zero but for rounding; as soft as the longest wave, the constant mode lets it decay, not grow
            inverse[:3, 0, 0, 0] = inverse[:3].max() or 1.0 / (volume * moduli[1])
            inverse = self._blocks(inverse.reshape(6, X.shape[1], -1) * wx[:, None] * share)
        self.green = Green(axes[0], axes[1], axes[2], inverse.astype(kind, copy=False))
        self.nodes, self.length = nodes, int(self.support.start[-1])
        filled = np.diff(self.support.start) / 3
        work = np.cumsum(filled + TRANSFORM * filled.max(initial=0.0))
        shares = np.linspace(0.0, work[-1] if len(work) else 0.0, self.crew.size + 1)
        self.inner = np.searchsorted(
            work, shares[1:-1]
        )  # where the planes of one thread end and those of the next begin

    def _blocks(self, a: Array) -> Array:
        """What belongs to pairs of waves, (..., pairs), repeated for all blocks."""
        repeat = [side // n for side, n in zip(self.sides, self.pairs, strict=True)]
        whole = np.tile(a.reshape(*a.shape[:-1], *self.pairs), repeat)
        return whole.reshape(*a.shape[:-1], -1)

    def run(self, kernel: Any, tasks: Array, *rest: Any) -> None:
        """The kernel on all tasks; several threads share them, each task is done by one."""
        self.crew.run(lambda part: kernel(part, *rest), np.array_split(tasks, self.crew.size))

    def tasks(self, active: Array, length: int) -> Array:
        """(tasks, 3): cells cut into as many stretches as there are threads, of planes by the nodes on them."""
        shared = len(active) < 4 * self.crew.size
        edges = np.linspace(0, length, (self.crew.size if shared else 1) + 1).astype(np.int64)
        if shared and length == self.nodes[0]:
            edges[1:-1] = self.inner
        cuts = [(m, a, b) for m in active for a, b in pairwise(edges)]
        return np.array(cuts, np.int64).reshape(-1, 3)

    def invert(self, active: Array, v: Array, cells: Cells, W: Array) -> None:
        """W <- waves of the displacements K0^-1 v."""
        self.run(ahead, self.tasks(active, self.nodes[0]), v, self.support, self.green, cells, W)
        flat = W.reshape(*W.shape[:3], -1)
        tasks = self.tasks(active, flat.shape[3])
        if self.rows is None:
            self.run(along_waves, tasks, flat, self.green, cells)
        else:
            self.run(along_rows, tasks, flat, self.rows, self.warm, self.line, self.ring, self.constant)

    def preconditioned(self, v: Array, cells: Cells, W: Array) -> None:
        """v <- K0^-1 v on the support: the transforms and the Green operator of an iteration, and nothing else."""
        active = np.arange(len(v))
        self.invert(active, v, cells, W)
        self.run(displacements, self.tasks(active, self.nodes[0]), W, self.support, self.green, cells, v)

    def waves(self, count: int) -> Array:
        return np.empty((count, self.nodes[0], 3, *self.sides), self.kind)

    def dense(self, v: Array) -> Array:
        """(3, bx, by, bz) a vector at the nodes of the box."""
        out = np.zeros((3, *self.nodes))
        for x, j in np.ndindex(*self.nodes[:2]):
            at, first, last = self.support.rows[x, j]
            start, size = self.support.start[x], (self.support.start[x + 1] - self.support.start[x]) // 3
            for c in range(3):
                out[c, x, j, first:last] = v[start + c * size + at :][: last - first]
        return out

    def residual(self, strain: Array, s: Array, cells: Cells, moved: bool, r: Array) -> tuple[Array, Array, Array]:
        """r <- -(s + D (u + strain . x)); its lengths, (R, 6) integrals of the stress of D and (R,) work u.(s + D ...)."""
        R, bx = len(s), self.nodes[0]
        active, W = np.arange(R), self.waves(R if moved else 1)
        sums, totals = np.zeros((R, bx, 3)), np.zeros((R, bx, 6))
        if moved:
            self.invert(active, s, cells, W)
        planes = self.tasks(active, bx)
        self.run(forces, planes, W, moved, self.support, self.green, cells, self.contrast, strain, s, r, sums, totals)
        self.run(remain, planes, self.support, cells, s, r, sums)
        gamma, delta, square = sums.sum(axis=1).T
        return np.sqrt(square), totals.sum(axis=1), gamma + delta

    def length_of(self, r: Array, cells: Cells) -> Array:
        """Lengths of vectors."""
        sums, planes = np.zeros((len(r), self.nodes[0], 3)), self.tasks(np.arange(len(r)), self.nodes[0])
        self.run(remain, planes, self.support, cells, np.zeros_like(r), r, sums)
        return np.sqrt(sums[:, :, 2].sum(axis=1))

    def conjugate(self, r: Array, s: Array, cells: Cells, goal: Array, limit: int) -> Array:
        """Iterations from s = 0 until the length of each r is at most its goal; their numbers."""
        R, bx = r.shape[0], self.nodes[0]
        w, q, d, W, still = np.zeros_like(r), np.zeros_like(r), np.zeros_like(r), self.waves(R), np.zeros((R, 6))
        sums, totals = np.zeros((R, bx, 3)), np.zeros((R, bx, 6))
        alpha, beta, last, steps = np.ones(R), np.zeros(R), np.ones(R), np.zeros(R, np.int64)
        active = np.flatnonzero(goal < np.inf)
        for iteration in range(limit):
            if active.size == 0:
                return steps
            self.invert(active, r, cells, W)
            planes = self.tasks(active, bx)
            self.run(forces, planes, W, True, self.support, self.green, cells, self.contrast, still, r, w, sums, totals)
            gamma, delta, _ = sums[active].sum(axis=1).T
            beta[active] = gamma / last[active] if iteration > 0 else 0.0
            curvature = gamma + delta - beta[active] * gamma / alpha[active]
            good = (curvature > 0.0) & (gamma > 0.0) & np.isfinite(gamma)
            active, gamma, curvature = active[good], gamma[good], curvature[good]
            planes = planes if good.all() else self.tasks(active, bx)
            alpha[active], last[active] = gamma / curvature, gamma
            self.run(update, planes, alpha, beta, self.support, cells, w, q, d, s, r, sums)
            steps[active] += 1
            active = active[np.sqrt(sums[active, :, 2].sum(axis=1)) > goal[active]]
        return steps


Residual = tuple[
    Array, Array, Array
]  # by load: length of the residual, integral of the contrast stress, work of the residual
CLOSER = (1.0, 0.3, 0.1)  # shares of the goal that are aimed at one after the other


class Solved(NamedTuple):
    """By load: (R, 6) integral of the contrast stress, (R,) work of the residual u.f, iterations, relative residual (at most),
    length of the load, (R, n) forces s."""

    total: Array
    gap: Array
    iterations: Array
    residual: Array
    size: Array
    forces: Array


def refined(box: Callable[[Any], Box], kinds: Sequence[Any], cells: Cells, E: Array, least: Array, tolerance: float,
            maximum: int) -> Solved:  # fmt: skip
    """Loads E (R, 6) to ``tolerance`` times their residual, or ``least`` (R,), in the precisions ``kinds`` one after another.

    The residual is that of double precision. A last step along the fluctuation itself leaves no work in the residual, so
    Hill-Mandel holds to rounding; where that lifts the residual above the goal, a closer one is aimed at.
    """
    exact, R = box(np.dtype(float)), len(E)
    s, r = np.zeros((R, exact.length)), np.zeros((R, exact.length))
    first, rest, _ = exact.residual(E, s, cells, False, r)
    goal = np.maximum(tolerance * first, least)
    now = first, rest, np.zeros(R)
    steps = np.zeros(R, np.int64)
    for closer in CLOSER:
        steps, (size, total, gap) = _approach(box, kinds, cells, E, closer * goal, maximum, s, r, steps, now)
        stiff = gap - (E * (total - rest)).sum(axis=1)
        share = np.where(stiff > 0, -gap / np.where(stiff > 0, stiff, 1.0), 0.0)
        total, gap = total + share[:, None] * (total - rest), gap + share * stiff
        s *= (1.0 + share)[:, None]
        length = (1.0 + share) * size + np.abs(share) * first
        if (length > goal).any() and steps.any():  # a bound; the length itself
            load = np.empty_like(r)
            exact.residual(E, np.zeros_like(s), cells, False, load)
            r = (1.0 + share)[:, None] * r - share[:, None] * load
            length = exact.length_of(r, cells)
        if (length <= goal).all() or steps.max() >= maximum:
            break
        now = length, total, gap
    return Solved(total, gap, steps, tolerance * length / np.where(goal > 0, goal, 1.0), first, s)


def _approach(box: Callable[[Any], Box], kinds: Sequence[Any], cells: Cells, E: Array, goal: Array, maximum: int, s: Array,
              r: Array, steps: Array, now: Residual) -> tuple[Array, Residual]:  # fmt: skip
    """Advances s and its residual r in place until all are at most ``goal``; a precision that no longer halves is given up."""
    exact, left = box(np.dtype(float)), list(kinds)
    size, total, gap = now
    while left and (size > goal).any() and steps.max() < maximum:
        kind, todo = left[0], size > goal
        unit = np.where(todo, size, 1.0)
        aim = np.where(todo, np.maximum(0.9 * goal / unit, SINGLE if kind.itemsize == 4 else 0.0), np.inf)
        scaled = (r / unit[:, None]).astype(kind)
        change = np.zeros_like(scaled)
        steps = steps + box(kind).conjugate(scaled, change, cells, aim, maximum - int(steps.max()))
        del scaled
        if np.isfinite(change).all():
            s += unit[:, None] * change
            before = size
            size, total, gap = exact.residual(E, s, cells, True, r)
            if not (size <= before).all():  # what has diverged in this precision is taken back
                s -= np.where(size <= before, 0.0, unit)[:, None] * change
                size, total, gap = exact.residual(E, s, cells, True, r)
            better = (size < 0.5 * before)[todo]
            if (better | (size <= goal)[todo]).all() or (kind.itemsize == 8 and better.any()):
                continue
        left.pop(0)
    return steps, (size, total, gap)


def support_of(extent: Array, nodes: Triple, centres: Triple) -> Support:
    """The nodes of the voxels in ``extent`` (ex, ey, 2)."""
    (ex, ey, _), (bx, by, bz) = extent.shape, nodes
    first, last = np.full((bx, by), bz), np.zeros((bx, by), np.int64)
    some = extent[:, :, 1] > extent[:, :, 0]
    low, high = np.where(some, extent[:, :, 0], bz), np.where(some, extent[:, :, 1] + 1, 0)
    low, high = np.where(high > bz, 0, low), np.minimum(high, bz)
    for a in (0, 1):
        for b in (0, 1):
            at = np.ix_((np.arange(ex) + a) % bx, (np.arange(ey) + b) % by)
            first[at], last[at] = np.minimum(first[at], low), np.maximum(last[at], high)
    count = np.maximum(last - first, 0)
    first = np.where(count > 0, first, 0)
    rows = np.stack([np.cumsum(count, axis=1) - count, first, first + count], axis=2).astype(np.int64)
    start = np.concatenate([[0], 3 * np.cumsum(count.sum(axis=1))]).astype(np.int64)
    far_y = np.abs(np.arange(by) - centres[1]) + 1
    far_z = np.maximum(np.abs(first - centres[2]), np.abs(first + count - 1 - centres[2])) + 1
    reach = [np.where(count > 0, far, 0).max(axis=1) for far in (far_y, far_z)]
    return Support(start, rows, np.stack(reach, axis=1).astype(np.int64))


def extents(other: Array) -> Array:
    """(ex, ey, 2) int64: first and one past the last voxel of each row along z that is marked."""
    first = np.argmax(other, axis=2)
    last = other.shape[2] - np.argmax(other[:, :, ::-1], axis=2)
    return np.stack([first, np.where(other.any(axis=2), last, first)], axis=2).astype(np.int64)

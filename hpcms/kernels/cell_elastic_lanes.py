"""Elastic voxel cells of one shape under mean strains, ``SIDE`` loads of any cells side by side (``hex8_lanes``).

Conjugate gradients on all nodes of the cells with the preconditioner of ``green_lanes``. They run in single precision from the
true residual of double precision, which is then computed anew, as often as needed. What comes out for a load of a cell has
the same bits whatever is solved beside it: the reference follows from the moduli alone, and no operation takes numbers of two
loads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import green_lanes, jit, lanes
from hpcms.kernels.green_lanes import Green
from hpcms.kernels.hex8_lanes import SIDE, forces

SINGLE = 1e-5  # the smallest reduction of a residual that single precision is asked for at a time
HURRY = 0.9  # share of the wanted residual aimed at, as the residual of single precision drifts
ROUNDING = 1e-13  # nodal forces below this share of the stress count as zero
STALLED = 0.5
FLAT = 1e-7  # a direction whose stiffness is below this share of the reference's is not followed: rounding
AT_ONCE = 1 << 12  # voxels of one load that a kernel goes through in a call, so that calls cost little


class Loads(NamedTuple):
    """By load: (R, 6) mean stress in Pa, Mandel; (R,) iterations; (R,) true residual by that of the uniform strain."""

    stress: Array
    iterations: Array
    residual: Array


def reference(moduli: Array) -> tuple[float, float]:
    """Lame moduli between those (P, 2) that carry load; of their ratio alone does the path of conjugate gradients depend."""
    solid = moduli[moduli[:, 1] > 0]
    if not len(solid):
        return 0.0, 1.0
    bulk, mu = solid[:, 0] + solid[:, 1] / 1.5, solid[:, 1]
    K, G = (float(np.sqrt(x.max() * x.min())) for x in (bulk, mu))
    return K - G / 1.5, G


class Problem(NamedTuple):
    """Cells in one precision: Lame fields ``lam``, ``mu`` (G, nx, ny, nz * SIDE), ``spacing`` (3,), the preconditioner."""

    lam: Array
    mu: Array
    spacing: Array
    green: Green


def solve(phases: Array, images: Array, moduli: Array, strains: Array, spacing: tuple[float, float, float],
          tolerance: float, limit: int, single: bool = True) -> Loads:  # fmt: skip
    """Mean strains (R, 6), Mandel, of the cells ``phases[images]``, images (R,), with Lame ``moduli`` (P, 2) in Pa.

    A load that stalls ends with a residual above ``tolerance``.
    """
    found = Loads(np.zeros((len(images), 6)), np.zeros(len(images), np.int64), np.zeros(len(images)))
    most = SIDE * max(1, AT_ONCE // phases[0].size)
    for start in range(0, len(images), most):
        part = slice(start, start + most)
        for whole, own in zip(found, _some(phases, images[part], moduli, strains[part], spacing, tolerance, limit, single),
                              strict=True):  # fmt: skip
            whole[part] = own
    return found


def _some(phases: Array, images: Array, moduli: Array, strains: Array, spacing: tuple[float, float, float],
          tolerance: float, limit: int, single: bool) -> Loads:  # fmt: skip
    """``solve`` for loads that the kernels go through together; places that are left over have no strain."""
    R, (nx, ny, nz) = len(images), phases.shape[1:]
    G = -(-R // SIDE)
    unit, h = float(np.abs(moduli).max()) or 1.0, np.array(spacing) / min(spacing)
    side = np.r_[images, np.full(G * SIDE - R, images[-1])].reshape(G, SIDE)
    label = np.ascontiguousarray(np.moveaxis(phases[side], 1, -1)).reshape(G, nx, ny, nz * SIDE)
    strain = np.zeros((G * SIDE, 6))
    strain[:R] = strains
    lam, mu = (np.ascontiguousarray(column / unit)[label] for column in moduli.T)
    kind = np.dtype(np.float32 if single else np.float64)
    lam0, mu0 = reference(moduli)
    g = green_lanes.green((nx, ny, nz), h, lam0 / unit, mu0 / unit, kind)
    volume = float(np.prod(h)) * nx * ny * nz
    least = ROUNDING * np.sqrt((strain**2).sum(axis=1)) * volume / float(h.max()) / np.sqrt(3.0 * nx * ny * nz)
    exact = Problem(lam, mu, h, g)
    quick = Problem(lam.astype(kind), mu.astype(kind), h.astype(kind), g) if single else exact
    columns = np.ascontiguousarray(strain.reshape(G, SIDE, 6).swapaxes(1, 2))
    total, iterations, ratio = _refine(exact, quick, columns, least.reshape(G, SIDE), tolerance, limit)
    stress = total.swapaxes(1, 2).reshape(-1, 6) * (unit / volume)
    return Loads(stress[:R], iterations.reshape(-1)[:R], ratio.reshape(-1)[:R])


def _refine(exact: Problem, quick: Problem, strain: Array, least: Array, tolerance: float,
            limit: int) -> tuple[Array, Array, Array]:  # fmt: skip
    """Passes of ``quick`` between true residuals: (G, 6, SIDE) integral of the stress, (G, SIDE) iterations and residuals."""
    G, nx, ny, width = exact.lam.shape
    shape, single = (G, nx, ny, 3, width), quick.lam.dtype.itemsize == 4
    u, r = np.zeros(shape), np.empty(shape)
    total, iterations, now = np.zeros((G, 6, SIDE)), np.zeros((G, SIDE), np.int64), np.zeros((G, SIDE))
    before, groups = np.full((G, SIDE), np.inf), np.arange(G)
    size = None
    while True:
        total[groups] = 0.0
        forces(groups, u, exact.lam, exact.mu, exact.spacing, strain, r, total)
        lengths(groups, r, now)
        if size is None:
            size = np.where(now > least, now, 0.0)
        goal = tolerance * size
        wanted = (now > goal) & (size > 0) & (now < STALLED * before) & (iterations < limit)
        before = np.where(wanted, now, before)
        groups = np.flatnonzero(wanted.any(axis=1))
        if groups.size == 0:
            return total, iterations, np.where(size > 0, now / np.where(size > 0, size, 1.0), 0.0)
        share = np.where(
            wanted, np.maximum(HURRY * goal / np.where(wanted, now, 1.0), SINGLE if single else 0.0), np.inf
        )
        _iterate(groups, quick, r, now, share, limit, u, iterations)


def _iterate(groups: Array, on: Problem, residual: Array, norm: Array, share: Array, limit: int, u: Array,
             iterations: Array) -> None:  # fmt: skip
    """Adds to u what lowers each residual to its ``share`` of ``norm``; a load with an infinite one stays as it is."""
    (G, nx, ny, _, width), kind = residual.shape, on.lam.dtype
    x, r, p, q = (np.zeros(residual.shape, kind) for _ in range(4))
    planes = (G, nx, ny * 3 * width)
    W = np.empty(planes, kind)
    active = np.isfinite(share)
    factor = np.where(active, -1.0 / np.where(active, norm, 1.0), 0.0)
    add_scaled(groups, factor, residual, r)
    rz, pq, rr, old, size = np.zeros((5, G, SIDE))
    while groups.size:
        green_lanes.transform(groups, r.reshape(planes), on.green, 0, W)
        green_lanes.invert(groups, W, on.green, rz)
        beta = np.where((old > 0) & active, rz / np.where(old > 0, old, 1.0), 0.0)
        size = rz + beta * beta * size  # p . K0 p, as r is orthogonal to the last p
        old[...] = rz
        green_lanes.transform(groups, W, on.green, 1, q.reshape(planes))
        green_lanes.directions(groups, q, beta.astype(kind), p)
        forces(groups, p, on.lam, on.mu, on.spacing, None, q, None)
        products(groups, p, q, pq)
        active &= pq > FLAT * size
        alpha = np.where(active, rz / np.where(active, pq, 1.0), 0.0)
        iterations += active
        advance(groups, alpha.astype(kind), p, q, x, r, rr)
        active &= (rr > share * share) & (iterations < limit)
        groups = groups[active[groups].any(axis=1)]
    add_scaled(np.arange(G), np.where(np.isfinite(share), norm, 0.0), x, u)


@jit
def products(groups: Array, a: Array, b: Array, out: Array) -> None:
    """``out`` (G, SIDE) <- a . b of each load."""
    for m in groups:
        lanes.dots(a[m].reshape(-1), b[m].reshape(-1), SIDE, out[m])


@jit
def lengths(groups: Array, a: Array, out: Array) -> None:
    """``out`` (G, SIDE) <- length of each load's a."""
    for m in groups:
        lanes.dots(a[m].reshape(-1), a[m].reshape(-1), SIDE, out[m])
        for c in range(SIDE):
            out[m, c] = np.sqrt(out[m, c])


@jit
def advance(groups: Array, alpha: Array, p: Array, q: Array, x: Array, r: Array, rr: Array) -> None:
    """``x += alpha p``, ``r -= alpha q``, ``rr`` (G, SIDE) <- r . r; alpha: (G, SIDE)."""
    for m in groups:
        lanes.advance(alpha[m], p[m].reshape(-1), q[m].reshape(-1), x[m].reshape(-1), r[m].reshape(-1), rr[m])


@jit
def add_scaled(groups: Array, factor: Array, a: Array, b: Array) -> None:
    """``b += factor a``; factor: (G, SIDE)."""
    for m in groups:
        x, y = a[m].reshape(-1, SIDE), b[m].reshape(-1, SIDE)
        for n in range(x.shape[0]):
            for c in range(SIDE):
                y[n, c] += factor[m, c] * x[n, c]

"""Numbers that tell where a cheap answer, or homogenisation itself, stops to be right. One value a region, vectorised.

    scale ratio     l |grad eps| / |eps|            small: the drive is uniform over a cell
    adiabaticity    a^2 / (hbar v dF)               large: a quantum system follows its lowest state
    linear error    kappa |eps - eps0|^2 / 2        of an affine record, see ``design``
    equivalent      sqrt(3/2 s : s)                 of a Mandel stress (R. von Mises 1913)

The last passage of a level crossing is exact: P = exp(-2 pi a^2 / (hbar v dF)); a: half the gap, v: speed, dF: difference
of the slopes (L. D. Landau, C. Zener 1932), so P = 1/2 at ln 2 / (2 pi) = 0.110318.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, KDTree, QhullError

from hpcms.contracts import Array

HBAR = 1.054571817e-34  # J s, exact in the SI
FLOOR = 1e-3  # of the largest drive: below it a region is at rest, and a ratio to its own drive says nothing
BLOCK = 100_000  # regions at once: bounds the memory


def gradients(positions: Array, values: Array, neighbours: int = 0) -> Array:
    """(R, m, d) derivative of ``values`` (R, m) by position, by least squares over the nearest regions.

    ``positions``: (R, d) m. Linear functions are exact. ``neighbours`` defaults to 4 d. Regions that lie in a line or
    plane have no derivative across it (the least one is taken).
    """
    R, d = positions.shape
    count = min(neighbours or 4 * d, R - 1)
    found = np.zeros((R, values.shape[1], d))
    if count < 1:
        return found
    tree = KDTree(positions)
    for lo in range(0, R, BLOCK):
        own = slice(lo, min(lo + BLOCK, R))
        _, near = tree.query(positions[own], count + 1)
        away = positions[near] - positions[own, None]  # (B, k, d)
        normal = np.einsum("rki,rkj->rij", away, away)
        right = np.einsum("rki,rkm->rim", away, values[near] - values[own, None])
        found[own] = np.einsum("rij,rjm->rmi", np.linalg.pinv(normal, rcond=1e-9, hermitian=True), right)
    return found


def scale_ratio(positions: Array, values: Array, length: Array | float) -> Array:
    """(R,) l |grad eps| / |eps| for cells of edge ``length`` (m) under the drives ``values`` (R, m)."""
    size = np.linalg.norm(values, axis=1)
    slope = np.linalg.norm(gradients(positions, values), axis=(1, 2))
    floor = FLOOR * float(size.max(initial=0.0))
    return np.divide(length * slope, np.maximum(size, floor), out=np.zeros_like(size), where=slope > 0)


def wave_ratio(length: float, gradient: Array, curvature: Array) -> Array:
    """(R,) l / L with L = |grad u| / |grad^2 u|, where both derivatives are known."""
    size = np.maximum(np.abs(gradient), FLOOR * float(np.abs(gradient).max(initial=0.0)))
    return np.divide(length * np.abs(curvature), size, out=np.zeros_like(size), where=size > 0)


def adiabaticity(half_gap: Array, speed: Array, slope: Array) -> Array:
    """(R,) a^2 / (hbar v dF); J, m/s, N (or J, 1/s, J for a crossing in time). Infinite where nothing moves."""
    rate = HBAR * np.abs(speed) * np.abs(slope)
    return np.divide(np.square(half_gap), rate, out=np.full(np.shape(rate), np.inf), where=rate > 0)


def passage(adiabatic: Array) -> Array:
    """(R,) probability to leave the lowest state at a crossing of this adiabaticity."""
    return np.asarray(np.exp(-2 * np.pi * np.asarray(adiabatic)))


def equivalent(stress: Array) -> Array:
    """(R,) von Mises stress of Mandel stresses (R, 6)."""
    deviator = stress.copy()
    deviator[:, :3] -= stress[:, :3].mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(1.5 * (deviator**2).sum(axis=1)))


def linear_error(drive: Array, recorded: Array, kappa: Array | float) -> Array:
    """(R,) predicted error of an affine record taken at ``recorded`` (R, m) when asked at ``drive``."""
    return np.asarray(0.5 * kappa * ((drive - recorded) ** 2).sum(axis=1))


def corners(points: Array) -> Array:
    """Rows of ``points`` (N, F) that span their convex hull; where it has no volume, the ends of each feature."""
    free = np.flatnonzero(np.ptp(points, axis=0) > 0)
    if 2 <= len(free) <= 4 and len(points) > len(free):
        try:
            return np.sort(ConvexHull(points[:, free]).vertices).astype(np.int64)
        except QhullError:
            pass
    return np.unique(np.concatenate([points.argmin(axis=0), points.argmax(axis=0)]))


def outside(points: Array, training: Array, slack: float = 1e-9) -> Array:
    """(R,) how far ``points`` (R, F) are outside the convex hull of ``training`` (N, F), in ranges of the training set.

    Zero or less: inside. With more than four features, or training points that span no volume, the box around them
    takes the place of the hull. Without training points everything is outside.
    """
    if not len(training):
        return np.full(len(points), np.inf)
    low, width = training.min(axis=0), np.ptp(training, axis=0)
    constant = width == 0
    unit = np.where(constant, np.maximum(np.abs(low), 1.0), width)
    x, known = (points - low) / unit, (training - low) / unit
    beyond = np.maximum(-x, x - np.where(constant, 0.0, 1.0)).max(axis=1) - slack
    free = np.flatnonzero(~constant)
    if 2 <= len(free) <= 4 and len(known) > len(free):
        try:
            faces = ConvexHull(known[:, free]).equations
        except QhullError:  # flat: the box is all there is
            return np.asarray(beyond)
        beyond = np.maximum(beyond, (x[:, free] @ faces[:, :-1].T + faces[:, -1]).max(axis=1) - slack)
    return np.asarray(beyond)

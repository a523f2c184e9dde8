"""Effective conductivity of a periodic voxel cell: trilinear elements, conjugate gradients, Green preconditioner.

With a reference coefficient k0 the stiffness is ``A0 + D``, and ``D`` acts only where the coefficient differs from k0.
The unknown is the source ``s = A0 u``; it obeys ``s + D (u + gradient . x) = 0`` with ``u = A0^+ s``, so all vectors
live in the box of nodes around those voxels and nothing is approximated outside. Conjugate gradients preconditioned
by A0 do not depend on the size of k0. Sources: Zeman et al. 2010 (conjugate gradients with the Green operator),
Schneider, Merkert, Kabel 2017 (Green operator of trilinear elements).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array, Outcome
from hpcms.kernels import green_scalar, hex8_scalar
from hpcms.kernels.vectors import advance, directions, dot

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Frame:
    """A cell turned and rolled so that the voxels that differ from the reference fill a box at the origin.

    ``order``: axes of the image that became x y z; ``start``: origin of the box in the turned image; ``contrast``:
    (ex, ey, ez) coefficient less ``reference``; ``spacing`` in m and ``shape`` are the turned ones.
    """

    reference: float
    order: Triple
    start: Triple
    shape: Triple
    spacing: tuple[float, float, float]
    contrast: Array

    @property
    def box(self) -> Triple:
        """Nodes of the box: one more than voxels, unless the box goes around the cell."""
        x, y, z = (min(voxels + 1, n) for voxels, n in zip(self.contrast.shape, self.shape, strict=True))
        return x, y, z


@dataclass(frozen=True)
class Fluctuation:
    """The solution for a unit gradient: ``u`` (K) and the true residual ``r`` (W) at the nodes of the box."""

    u: Array
    r: Array
    outcome: Outcome


@dataclass(frozen=True)
class Effective:
    """``conductivity``: (3, 3) mean flux by unit gradient; ``energy``: (3, 3) mean of grad T_i . k grad T_j.

    Rows and columns of axes that were not asked for are NaN. ``outcomes``: by axis asked for.
    """

    conductivity: Array
    energy: Array
    outcomes: tuple[Outcome, ...]


def effective(
    phase: Array,
    k: Array,
    spacing: tuple[float, float, float],
    tolerance: float,
    limit: int = 2000,
    axes: Sequence[int] = (0, 1, 2),
) -> Effective:
    """Solve the unit gradients along ``axes``. ``phase``: (nx, ny, nz) uint8; ``k``: (P,) conductivities, W/(m K).

    Stops when the true residual is below ``tolerance`` times the load, or after ``limit`` iterations with an
    outcome that says so.
    """
    frame = framed(phase, k, spacing)
    place = [frame.order.index(axis) for axis in axes]
    solver = Solver(frame)
    loads = np.array([solver.load(axis) for axis in place]).reshape(len(place), -1)
    found = [solver.solve(axis, tolerance, limit) for axis in place]
    u, r = (np.array([getattr(one, part).ravel() for one in found]) for part in ("u", "r"))
    volume = float(np.prod(frame.shape) * np.prod(spacing))
    mean = float(np.bincount(phase.ravel(), minlength=k.size) @ k) / phase.size * np.eye(len(place))
    P, R = _gram(u, loads) / volume, _gram(u, r) / volume  # u_m . f_j, u_m . r_j
    C, Q = _balance(P, -P - R)
    K, B = np.full((2, 3, 3), np.nan)
    K[np.ix_(axes, axes)] = mean + P.T @ C
    B[np.ix_(axes, axes)] = mean + C.T @ P + P.T @ C + C.T @ Q @ C
    return Effective(K, B, tuple(one.outcome for one in found))


def _gram(x: Array, y: Array) -> Array:
    return np.array([[dot(a, b) for b in y] for a in x])


def _balance(P: Array, Q: Array) -> tuple[Array, Array]:
    """The combinations ``C`` of the solutions that make each residual orthogonal to all of them: ``Q C = -P``.

    Conjugate gradients do so for each load alone; across loads it holds only to the tolerance of the iteration.
    ``Q``: work of solution i on the stiffness times solution j. Solutions that vanish (layers seen along) drop out.
    """
    Q = (Q + Q.T) / 2
    norm = np.sqrt(np.clip(np.diag(Q), 0, None))
    inverse = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    unit = inverse[:, None] * Q * inverse
    return -inverse[:, None] * (np.linalg.pinv(unit, rcond=1e-13, hermitian=True) @ (inverse[:, None] * P)), Q


class Solver:
    """The work space of one cell, used for all its loads."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.extent = hex8_scalar.extents(frame.contrast)
        self.weights = hex8_scalar.weights(frame.spacing)
        self.green = green_scalar.prepare(frame.shape, frame.box, frame.spacing)

    def _contrast(self, u: Array, gradient: Array, out: Array) -> None:
        """``out += D (u + gradient . x)``."""
        jump = gradient * np.array(self.frame.spacing)
        hex8_scalar.apply(u, self.frame.contrast, self.extent, self.weights, jump, out)

    def load(self, axis: int) -> Array:
        """``D x`` of a unit gradient along ``axis``: the force (W) that drives the fluctuation."""
        f = np.zeros(self.frame.box)
        self._contrast(np.zeros(self.frame.box), np.eye(3)[axis], f)
        return f

    def temperature(self, s: Array) -> Array:
        """``u = A0^+ s`` at the nodes of the box."""
        u = np.empty(self.frame.box)
        self.green.solve(s / self.frame.reference, u)
        return u

    def solve(self, axis: int, tolerance: float, limit: int) -> Fluctuation:
        """Conjugate gradients from zero, started anew if the recomputed residual disagrees with the recursion."""
        gradient = np.eye(3)[axis]
        r = -self.load(axis)
        s, size, iterations, ratio = np.zeros_like(r), np.sqrt(dot(r.ravel(), r.ravel())), 0, 0.0
        while True:
            target = tolerance * size
            iterations += self._iterate(s, r, target, limit - iterations)
            u = self.temperature(s)
            r[:] = -s
            w = np.zeros_like(r)
            self._contrast(u, gradient, w)
            r -= w
            previous, ratio = ratio, np.sqrt(dot(r.ravel(), r.ravel())) / size if size > 0 else 0.0
            if ratio <= tolerance or iterations >= limit or ratio >= 0.5 * previous > 0:
                return Fluctuation(u, r, _outcome(ratio, tolerance, iterations, limit))

    def _iterate(self, s: Array, r: Array, target: float, limit: int) -> int:
        """Advance ``s`` and ``r`` until ``|r| <= target``; returns the number of iterations."""
        k0 = self.frame.reference
        p, q0, q = np.zeros_like(r), np.zeros_like(r), np.empty_like(r)
        fs, fr, fp, fq0, fq = (x.reshape(-1) for x in (s, r, p, q0, q))
        rr, rz, n = dot(fr, fr), 1.0, 0
        still = np.zeros(3)
        while rr > target * target and n < limit:
            self.green.solve(r, q)
            previous, rz = rz, dot(fr, fq) / k0
            directions(fq, fr, rz / previous if n else 0.0, fp, fq0, fq)
            self._contrast(p, still, q)
            curvature = dot(fp, fq)
            if not curvature > 0:  # rounding has used up the residual: let the caller recompute it
                break
            rr = advance(rz / curvature, fq0, fq, fs, fr)
            n += 1
        return n


def _outcome(ratio: float, tolerance: float, iterations: int, limit: int) -> Outcome:
    if ratio <= tolerance:
        return Outcome(True, "converged", 1, iterations, float(ratio))
    advice = "raise max_iterations" if iterations >= limit else "loosen the tolerance: rounding limits this contrast"
    reason = f"relative residual {ratio:.2e} after {iterations} iterations, wanted {tolerance:.2e}; {advice}"
    return Outcome(False, reason, 1, iterations, float(ratio))


def framed(phase: Array, k: Array, spacing: tuple[float, float, float]) -> Frame:
    """Choose the reference coefficient that leaves the smallest box; turn and roll the cell so that the box is first.

    The longest axis becomes z, the direction of the vectorised loops. Without a phase that conducts nothing is solved.
    """
    first, second, third = (int(axis) for axis in np.argsort(phase.shape, kind="stable"))
    order = (first, second, third)
    phase = np.ascontiguousarray(phase.transpose(order))
    counts = np.bincount(phase.ravel(), minlength=k.size)
    choices = []
    for value in np.unique(k[(counts > 0) & (k > 0)]):
        other = (k != value)[phase]
        spans = [_span(other.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        choices.append(
            (int(np.prod([length for _, length in spans])), -int(counts[k == value].sum()), float(value), spans)
        )
    nothing = (0, 0, 1.0, [(0, 1)] * 3)
    _, _, k0, ((x, ex), (y, ey), (z, ez)) = min(choices, default=nothing)
    nx, ny, nz = phase.shape
    hx, hy, hz = (spacing[axis] for axis in order)
    box = np.ix_((x + np.arange(ex)) % nx, (y + np.arange(ey)) % ny, (z + np.arange(ez)) % nz)
    contrast = (k - k0 if choices else np.zeros_like(k))[phase[box]]
    return Frame(k0, order, (x, y, z), (nx, ny, nz), (hx, hy, hz), contrast)


def _span(used: Array) -> tuple[int, int]:
    """Start and length of the shortest stretch of a ring that holds all places in use; at least one place."""
    places = np.flatnonzero(used)
    if places.size == 0:
        return 0, 1
    gaps = np.diff(np.append(places, places[0] + used.size))
    widest = int(np.argmax(gaps))
    return int(places[(widest + 1) % places.size]), int(used.size - gaps[widest] + 1)

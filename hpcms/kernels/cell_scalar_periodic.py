"""One periodic voxel cell under a unit temperature gradient: trilinear elements, conjugate gradients, Green operator.

With a reference coefficient k0 the stiffness is ``A0 + D``, and ``D`` acts only where the coefficient differs from k0.
The unknown is the source ``s = A0 u``; it obeys ``s + D (u + gradient . x) = 0`` with ``u = A0^+ s``, so all vectors
live in the box of nodes around those voxels and nothing is approximated outside. Conjugate gradients preconditioned
by A0 do not depend on the size of k0. Sources: Zeman et al. 2010 (conjugate gradients with the Green operator),
Schneider, Merkert, Kabel 2017 (Green operator of trilinear elements).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array, Outcome
from hpcms.kernels import green_scalar, hex8_scalar
from hpcms.kernels.vectors import advance, directions, dot

Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]
_ROUNDING = 1e-14  # nodal loads below this share of what one voxel gives are sums that cancel


@dataclass(frozen=True)
class Fluctuation:
    """A solution for a unit gradient: ``u`` (K) and the true residual ``r`` (W), flat, node by node."""

    u: Array
    r: Array
    outcome: Outcome


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
    spacing: Spacing
    contrast: Array

    @property
    def box(self) -> Triple:
        """Nodes of the box: one more than voxels, unless the box goes around the cell."""
        x, y, z = (min(voxels + 1, n) for voxels, n in zip(self.contrast.shape, self.shape, strict=True))
        return x, y, z

    def back(self, u: Array) -> Array:
        """A field on all nodes of the turned cell, in the order of the image."""
        image: Array = np.roll(u, self.start, axis=(0, 1, 2)).transpose(np.argsort(self.order))
        return image


class PeriodicCell:
    """A cell with its work space, used for all its loads. ``k``: (P,) conductivity of each label in ``phase``."""

    def __init__(self, phase: Array, k: Array, spacing: Spacing) -> None:
        self.frame = frame = framed(phase, k, spacing)
        self.extent = hex8_scalar.extents(frame.contrast)
        self.weights = hex8_scalar.weights(frame.spacing)
        self.green = green_scalar.prepare(frame.shape, frame.box, frame.spacing, frame.reference)

    def load(self, axis: int) -> Array:
        """``D x`` of the unit gradient along ``axis`` of the image: forces (W), flat, node by node."""
        return self._contrast(np.zeros(self.frame.box), self._jump(axis)).ravel()

    def solve(self, axis: int, tolerance: float, limit: int) -> Fluctuation:
        """Conjugate gradients from zero for the unit gradient along ``axis`` of the image.

        They stop on their own residual; then it is recomputed, and they start anew from there if that is too large.
        """
        jump = self._jump(axis)
        s, u = np.zeros(self.frame.box), np.zeros(self.frame.box)
        r = -self._contrast(u, jump)
        size = size_of_load(r, self.frame.contrast, self.weights, jump)
        iterations, ratio, previous = 0, 0.0, np.inf
        while size > 0:
            iterations += self._iterate(s, r, tolerance * size, limit - iterations)
            self.green.solve(s, u)
            r[:] = self.residual(s, u, jump)
            ratio = norm(r) / size
            if ratio <= tolerance or iterations >= limit or not ratio < 0.5 * previous:
                break
            previous = ratio
        return Fluctuation(u.ravel(), r.ravel(), outcome(ratio, tolerance, iterations, limit))

    def residual(self, s: Array, u: Array, jump: Array) -> Array:
        """``-s - D (u + gradient . x)`` (W) at the nodes of the box."""
        r = self._contrast(u, jump)
        r += s
        np.negative(r, out=r)
        return r

    def everywhere(self, found: Fluctuation, axis: int) -> Array:
        """(nx, ny, nz) the fluctuation (K) at all nodes of the image, the lower corners of its voxels."""
        frame = self.frame
        u, r = (x.reshape(frame.box) for x in (found.u, found.r))
        padded, out = np.zeros(frame.shape), np.empty(frame.shape)
        padded[tuple(slice(n) for n in frame.box)] = -r - self._contrast(u, self._jump(axis))
        green_scalar.prepare(frame.shape, frame.shape, frame.spacing, frame.reference).solve(padded, out)
        return frame.back(out)

    def _jump(self, axis: int) -> Array:
        """(3,) temperature step from voxel to voxel of the unit gradient along ``axis`` of the image."""
        place = self.frame.order.index(axis)
        jump: Array = np.eye(3)[place] * self.frame.spacing[place]
        return jump

    def _contrast(self, u: Array, jump: Array) -> Array:
        """``D (u + gradient . x)``."""
        out = np.zeros(self.frame.box)
        hex8_scalar.apply(u, self.frame.contrast, self.extent, self.weights, jump, out)
        return out

    def _iterate(self, s: Array, r: Array, target: float, limit: int) -> int:
        """Advance ``s`` and ``r`` until ``|r| <= target``; returns the number of iterations."""
        p, q0, q, still = np.zeros_like(r), np.zeros_like(r), np.empty_like(r), np.zeros(3)
        fs, fr, fp, fq0, fq = (x.reshape(-1) for x in (s, r, p, q0, q))
        rr, rz, n = dot(fr, fr), 1.0, 0
        while rr > target * target and n < limit:
            self.green.solve(r, q)
            previous, rz = rz, dot(fr, fq)
            directions(fq, fr, rz / previous if n else 0.0, fp, fq0, fq)
            hex8_scalar.apply(p, self.frame.contrast, self.extent, self.weights, still, q)
            curvature = dot(fp, fq)
            if not curvature > 0:  # rounding has used up the residual: let the caller recompute it
                break
            rr = advance(rz / curvature, fq0, fq, fs, fr)
            n += 1
        return n


def norm(r: Array) -> float:
    return float(np.sqrt(dot(r.ravel(), r.ravel())))


def size_of_load(load: Array, k: Array, weights: Array, jump: Array) -> float:
    """Norm of the load (W); zero if all of it is rounding, as for layers seen along."""
    voxel = float(np.abs(k).max()) * 4 * float(np.abs(weights[:3] * jump).max())
    size = norm(load)
    return size if size > _ROUNDING * voxel * np.sqrt(load.size) else 0.0


def outcome(ratio: float, tolerance: float, iterations: int, limit: int) -> Outcome:
    """How the iteration ended, with what to do where it failed. ``ratio``: true residual by load."""
    if ratio <= tolerance:
        return Outcome(True, "converged", 1, iterations, ratio)
    advice = "raise max_iterations" if iterations >= limit else "loosen the tolerance: rounding limits this contrast"
    reason = f"relative residual {ratio:.2e} after {iterations} iterations, wanted {tolerance:.2e}; {advice}"
    return Outcome(False, reason, 1, iterations, ratio)


def framed(phase: Array, k: Array, spacing: Spacing) -> Frame:
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
        lines = other.any(axis=2)
        spans = [_span(used) for used in (lines.any(axis=1), lines.any(axis=0), other.any(axis=(0, 1)))]
        voxels = int(np.prod([length for _, length in spans]))
        choices.append((voxels, -int(counts[k == value].sum()), float(value), spans))
    nothing = (0, 0, 1.0, [(0, 1)] * 3)
    _, _, k0, ((x, ex), (y, ey), (z, ez)) = min(choices, default=nothing)
    nx, ny, nz = phase.shape
    hx, hy, hz = (spacing[axis] for axis in order)
    box = np.ix_((x + np.arange(ex)) % nx, (y + np.arange(ey)) % ny, (z + np.arange(ez)) % nz)
    contrast = np.ascontiguousarray((k - k0 if choices else np.zeros_like(k))[phase[box]])
    return Frame(k0, order, (x, y, z), (nx, ny, nz), (hx, hy, hz), contrast)


def _span(used: Array) -> tuple[int, int]:
    """Start and length of the shortest stretch of a ring that holds all places in use; at least one place."""
    places = np.flatnonzero(used)
    if places.size == 0:
        return 0, 1
    gaps = np.diff(np.append(places, places[0] + used.size))
    widest = int(np.argmax(gaps))
    return int(places[(widest + 1) % places.size]), int(used.size - gaps[widest] + 1)

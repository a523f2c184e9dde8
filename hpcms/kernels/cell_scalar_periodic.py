"""One periodic voxel cell under a unit temperature gradient: trilinear elements, conjugate gradients, Green operator.

With a reference coefficient k0 the stiffness is ``A0 + D``, and ``D`` acts only where the coefficient differs from k0.
The unknown is the source ``s = A0 u``; it obeys ``s + D (u + gradient . x) = 0`` with ``u = A0^+ s``, so all vectors
live in the box of nodes around those voxels and nothing is approximated outside. Conjugate gradients preconditioned
by A0 do not depend on the size of k0. Sources: Zeman et al. 2010 (conjugate gradients with the Green operator),
Schneider, Merkert, Kabel 2017 (Green operator of trilinear elements).

A cell mirrored along its three axes is solved on one octant: under a gradient along one axis the fluctuation is odd along
it and even along the others. Nodes on the mirror planes then hold what the octant itself contributes (``green_mirror``).

The iteration may run in single precision. Its residual is then replaced again and again by that of double precision, the
directions are kept where that changes little (van der Vorst, Ye 2000), and where it no longer helps, double precision takes over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcms.contracts import Array, Outcome
from hpcms.kernels import green_mirror, green_scalar, hex8_scalar
from hpcms.kernels.cell_scalar_frame import Spacing, framed
from hpcms.kernels.outcomes import outcome
from hpcms.kernels.vectors import advance, directions, dot, level

_ROUNDING = 1e-14  # nodal loads below this share of what one voxel gives are sums that cancel
_SINGLE = 1e-4  # reduction of the residual that single precision is asked for at a time
_DRIFT = 0.1  # share of the true residual that a replaced one may miss before directions are given up
_LARGE = 1 << 14
_FLAT = 100  # a direction whose stiffness by that of A0 is below so many units of rounding is not followed
_HURRY = 0.9  # share of the wanted residual aimed at in single precision, whose own residual drifts


@dataclass(frozen=True)
class Fluctuation:
    """A solution for a unit gradient: ``u`` (K) and the true residual ``r`` (W), flat, node by node."""

    u: Array
    r: Array
    outcome: Outcome


class _Krylov:
    """Work space of conjugate gradients in one precision, in units of ``scale``; ``rz``: of the last step, at first zero."""

    def __init__(self, box: tuple[int, int, int], kind: Any) -> None:
        self.kind, self.rz, self.scale, self.r = kind, 0.0, 1.0, np.zeros(box, kind)
        self.p, self.q0, self.q = np.zeros(box, kind), np.zeros(box, kind), np.empty(box, kind)

    def rescale(self, scale: float) -> None:
        """Go on in units of ``scale``."""
        ratio = self.scale / scale
        self.p *= self.kind(ratio)
        self.q0 *= self.kind(ratio)
        self.rz, self.scale = self.rz * ratio**2, scale


class PeriodicCell:
    """A cell with its work space, used for all its loads. ``k``: (P,) conductivity of each label in ``phase``.

    ``single``: iterate in single precision as far as it goes; ``octant``: use the mirror symmetry where there is one.
    ``large``: nodes of a box from which on single precision gains something.
    """

    def __init__(self, phase: Array, k: Array, spacing: Spacing, single: bool = True, octant: bool = True,
                 large: int = _LARGE) -> None:  # fmt: skip
        self.frame = frame = framed(phase, k, spacing, octant)
        self.copies = 8 if frame.octant else 1
        self.kinds = (np.float32, np.float64) if single and np.prod(frame.box) > large else (np.float64,)
        self.extent, weights = hex8_scalar.extents(frame.contrast), hex8_scalar.weights(frame.spacing)
        self.stencil = {kind: (frame.contrast.astype(kind), weights.astype(kind)) for kind in {*self.kinds, np.float64}}
        self.greens: dict[tuple[int, Any], Any] = {}

    def inner(self, a: Array, axis: int, b: Array, other: int) -> float:
        """``a . b`` over the whole cell, of a field for the gradient along ``axis`` and one for ``other``."""
        return self.copies * dot(a, b) if axis == other or self.copies == 1 else 0.0

    def load(self, axis: int) -> Array:
        """``D x`` of the unit gradient along ``axis`` of the image: forces (W), flat, node by node."""
        return self._contrast(np.zeros(self.frame.box), self._place(axis), 1.0).ravel()

    def solve(self, axis: int, tolerance: float, limit: int) -> Fluctuation:
        """Conjugate gradients from zero for the unit gradient along ``axis`` of the image.

        They stop on their own residual; then it is recomputed, and they go on from there if that is too large.
        """
        place, box = self._place(axis), self.frame.box
        s, u = np.zeros(box), np.zeros(box)
        r = -self._contrast(u, place, 1.0)
        jump = np.eye(3)[place] * self.frame.spacing[place]
        size = self._norm(r, place) if size_of_load(r, *self.stencil[np.float64], jump) > 0 else 0.0
        spaces, iterations, ratio, previous = list(self.kinds), 0, 1.0 if size > 0 else 0.0, np.inf
        work = _Krylov(box, spaces[0])
        while size > 0:
            iterations += self._iterate(place, work, s, r, tolerance / ratio, limit - iterations)
            self._green(place, np.float64).solve(s, u)
            r = -s - self._contrast(u, place, 1.0)
            ratio = self._norm(r, place) / size
            if ratio <= tolerance or iterations >= limit or not np.isfinite(ratio):
                break
            if not ratio < 0.5 * previous:
                spaces.pop(0)
                if not spaces:
                    break
                work = _Krylov(box, spaces[0])
            previous = ratio
        return Fluctuation(u.ravel(), r.ravel(), outcome(ratio, tolerance, iterations, limit))

    def everywhere(self, found: Fluctuation, axis: int) -> Array:
        """(nx, ny, nz) the fluctuation (K) at all nodes of the image, the lower corners of its voxels; not of an octant."""
        frame, place = self.frame, self._place(axis)
        u, r = (x.reshape(frame.box) for x in (found.u, found.r))
        padded, out = np.zeros(frame.shape), np.empty(frame.shape)
        padded[tuple(slice(n) for n in frame.box)] = -r - self._contrast(u, place, 1.0)
        green_scalar.prepare(frame.shape, frame.shape, frame.spacing, frame.reference).solve(padded, out)
        return frame.back(out)

    def _place(self, axis: int) -> int:
        """The axis of the turned cell that is ``axis`` of the image."""
        return self.frame.order.index(axis)

    def _green(self, place: int, kind: Any) -> Any:
        """The inverse of ``A0`` on fields for the gradient along ``place``, in one precision."""
        frame = self.frame
        key = (place if frame.octant else 0, kind)
        if key not in self.greens:
            common = (frame.shape, frame.box, frame.spacing, frame.reference)
            self.greens[key] = (
                green_mirror.prepare(*common, place, kind) if frame.octant else green_scalar.prepare(*common, kind)
            )
        return self.greens[key]

    def _contrast(self, u: Array, place: int, gradient: float, out: Array | None = None) -> Array:
        """``out + D (u + gradient . x)`` for a gradient along ``place``, in the precision of ``u``."""
        kind, jump = u.dtype.type, np.zeros(3, u.dtype)
        jump[place] = gradient * self.frame.spacing[place]
        out = np.zeros(self.frame.box, kind) if out is None else out
        k, weights = self.stencil[kind]
        hex8_scalar.apply(u, k, self.extent, weights, jump, out)
        if self.frame.octant:  # what the mirror planes that hold u at zero take
            planes = np.moveaxis(out, place, 0)
            planes[0] = 0
            planes[self.frame.shape[place] // 2 :] = 0
        return out

    def _norm(self, r: Array, place: int) -> float:
        """Length of the nodal forces of the whole cell; on a mirror plane the nodal force is twice what the octant holds."""
        if not self.frame.octant:
            return norm(r)
        full = r.copy()
        for axis in {0, 1, 2} - {place}:
            planes = np.moveaxis(full, axis, 0)
            planes[0] *= np.sqrt(2)
            planes[self.frame.shape[axis] // 2 :] *= np.sqrt(2)
        return float(np.sqrt(8)) * norm(full)

    def _iterate(self, place: int, work: _Krylov, s: Array, r: Array, share: float, limit: int) -> int:
        """Advance ``s`` until ``|r|`` has gone down to ``share`` of what it is; returns the number of iterations.

        ``r`` is used up; its scale is taken out, so that single precision cannot run out of range.
        """
        single, p, q0, q = work.kind is np.float32, work.p, work.q0, work.q
        scale = norm(r)
        if norm(r - work.scale * work.r) > _DRIFT * scale:
            work.rz = 0.0  # start anew
        r = work.r = (r / scale).astype(work.kind)
        work.rescale(scale)
        t, green = np.zeros_like(r), self._green(place, work.kind)
        target = max(_HURRY * share, _SINGLE) if single else share
        ft, fr, fp, fq0, fq = (x.reshape(-1) for x in (t, r, p, q0, q))
        rr, size, n = 1.0, 0.0, 0
        while rr > target * target and n < limit:
            if not self.frame.octant:
                level(fr)  # sources add up to nothing; a sum left by rounding would grow with every step
            green.solve(r, q)
            previous, work.rz = work.rz, dot(fr, fq)
            beta = work.rz / previous if previous > 0 else 0.0
            size = work.rz + beta * beta * size  # p . A0 p, as r is orthogonal to the last p
            directions(fq, fr, beta, fp, fq0, fq)
            self._contrast(p, place, 0.0, q)
            curvature = dot(fp, fq)
            if not curvature > _FLAT * np.finfo(work.kind).eps * size:  # rounding has used up the residual, or nothing
                # holds p: the caller recomputes the residual
                work.rz = 0.0
                break
            rr = advance(work.rz / curvature, fq0, fq, ft, fr)
            n += 1
        s += scale * t.astype(np.float64)
        if not self.frame.octant:
            s -= s.mean()
        return n


def norm(r: Array) -> float:
    return float(np.sqrt(dot(r.ravel(), r.ravel())))


def size_of_load(load: Array, k: Array, weights: Array, jump: Array) -> float:
    """Norm of the load (W); zero if all of it is rounding, as for layers seen along."""
    voxel = float(np.abs(k).max()) * 4 * float(np.abs(weights[:3] * jump).max())
    size = norm(load)
    return size if size > _ROUNDING * voxel * np.sqrt(load.size) else 0.0

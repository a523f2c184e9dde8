"""A voxel cell with walls under a unit temperature gradient: prescribed boundary temperature, or uniform boundary flux.

The nodes of the body are those of a periodic grid with one more layer of void along each axis, so the periodic Green
operator still preconditions. ``displacement``: the boundary nodes follow the mean gradient. ``traction``: the flux
through the boundary is that of a uniform one, found such that the mean gradient is the given one; this is the
fluctuation that does no work against the boundary fluxes of the three uniform gradients. Both obey Hill and Mandel.
An axis of one voxel stays periodic, so a flat image is a plane problem.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import green_scalar, hex8_conductor, hex8_scalar
from hpcms.kernels.cell_scalar_frame import Spacing
from hpcms.kernels.cell_scalar_periodic import Fluctuation, norm, size_of_load
from hpcms.kernels.outcomes import outcome
from hpcms.kernels.vectors import advance, dot


class WalledCell:
    """A cell with its work space. ``k``: (P,) or (P, 3, 3) conductivity of each label in ``phase``; ``boundary``: see above."""

    def __init__(self, phase: Array, k: Array, spacing: Spacing, boundary: str) -> None:
        nx, ny, nz = (n + 1 if n > 1 else 1 for n in phase.shape)
        self.label, self.tensors = np.zeros((0, 0, 0), np.int64), np.zeros((0, 6))
        if k.ndim == 3:
            pad = [(0, nodes - n) for nodes, n in zip((nx, ny, nz), phase.shape, strict=True)]
            self.label = np.ascontiguousarray(np.pad(phase, pad, constant_values=len(k)), np.int64)
            rows = np.array([[tensor[a, b] for a, b in hex8_conductor.ORDER] for tensor in k])
            self.tensors = np.concatenate([rows, np.zeros((1, 6))])  # the last one is the layer of void
            k = np.trace(k, axis1=1, axis2=2) / 3
        self.k, self.spacing, self.nodes = np.ascontiguousarray(k[phase]), spacing, (nx, ny, nz)
        self.extent, self.weights = hex8_scalar.extents(self.k), hex8_scalar.weights(spacing)
        reference = float(k[k > 0].mean()) if (k > 0).any() else 1.0
        self.green = green_scalar.prepare(self.nodes, self.nodes, spacing, reference)
        self.free = np.ones(self.nodes, bool)
        self.uniform = np.zeros((0, self.free.size))
        if boundary == "displacement":
            for axis in self._walled():
                np.moveaxis(self.free, axis, 0)[[0, -1]] = False
        else:
            self._release()

    def inner(self, a: Array, axis: int, b: Array, other: int) -> float:
        """``a . b``, whatever gradients the two fields belong to."""
        return dot(a, b)

    def load(self, axis: int) -> Array:
        """Forces (W) of the unit gradient along ``axis``, flat, node by node."""
        return self._forces(np.zeros(self.nodes), np.eye(3)[axis] * self.spacing[axis]).ravel()

    def solve(self, axis: int, tolerance: float, limit: int) -> Fluctuation:
        """Conjugate gradients from zero among the admissible fluctuations, for the unit gradient along ``axis``."""
        jump = np.eye(3)[axis] * self.spacing[axis]
        u = np.zeros(self.nodes)
        r = self._balanced(-self._forces(u, jump))
        size = size_of_load(r, self.k, self.weights, jump)
        iterations, ratio, previous = 0, 0.0, np.inf
        while size > 0:
            iterations += self._iterate(u, r, tolerance * size, limit - iterations)
            r[:] = self._balanced(-self._forces(u, jump))
            ratio = norm(r) / size
            if ratio <= tolerance or iterations >= limit or not ratio < 0.5 * previous:
                break
            previous = ratio
        return Fluctuation(u.ravel(), r.ravel(), outcome(ratio, tolerance, iterations, limit))

    def _walled(self) -> list[int]:
        """Axes that end in walls."""
        return [axis for axis, n in enumerate(self.nodes) if n > 1]

    def _release(self) -> None:
        """Prepare the projections that keep the fluctuation free of a mean gradient."""
        body, still = np.ones_like(self.k), np.zeros(self.nodes)
        extent = hex8_scalar.extents(body)
        uniform = np.zeros((len(self._walled()), *self.nodes))
        flexible = np.zeros_like(uniform)
        for axis, force, answer in zip(self._walled(), uniform, flexible, strict=True):
            jump = np.eye(3)[axis] * self.spacing[axis]
            hex8_scalar.apply(still, body, extent, self.weights, jump, force)
            self.green.solve(force, answer)
        self.uniform, flat = (rows.reshape(len(rows), self.free.size) for rows in (uniform, flexible))
        self.flexible = np.linalg.solve(self.uniform @ flat.T, flat)
        self.plain = np.linalg.solve(self.uniform @ self.uniform.T, self.uniform)

    def _forces(self, u: Array, jump: Array) -> Array:
        out, h = np.zeros(self.nodes), np.array(self.spacing, float)
        if self.label.size:
            hex8_conductor.tensors(u, self.label, self.tensors, jump / h, h, out)
            return out
        hex8_scalar.apply(u, self.k, self.extent, self.weights, jump, out)
        return out

    def _balanced(self, r: Array) -> Array:
        """Forces (W) less those that the boundary condition carries, in place."""
        r[~self.free] = 0
        if len(self.uniform):
            r -= ((self.plain @ r.ravel()) @ self.uniform).reshape(r.shape)
        return r

    def _precondition(self, r: Array, z: Array) -> None:
        """Admissible ``z`` from the Green operator; symmetric, so conjugate gradients hold."""
        self.green.solve(r, z)
        z[~self.free] = 0
        if len(self.uniform):
            z -= ((self.uniform @ z.ravel()) @ self.flexible).reshape(z.shape)

    def _iterate(self, u: Array, r: Array, target: float, limit: int) -> int:
        """Advance ``u`` and ``r`` until ``|r| <= target``; returns the number of iterations."""
        p, z, still = np.zeros_like(r), np.empty_like(r), np.zeros(3)
        rr, rz, n = dot(r.ravel(), r.ravel()), 1.0, 0
        while rr > target * target and n < limit:
            self._precondition(r, z)
            previous, rz = rz, dot(r.ravel(), z.ravel())
            p *= rz / previous if n else 0.0
            p += z
            q = self._balanced(self._forces(p, still))
            curvature = dot(p.ravel(), q.ravel())
            if not curvature > 0:
                break
            rr = advance(rz / curvature, p.ravel(), q.ravel(), u.ravel(), r.ravel())
            n += 1
        return n

"""Periodic cells of conductors that are anisotropic, or whose conductivity depends on the gradient (``hex8_conductor``).

Conjugate gradients on the fluctuation, preconditioned by the exact inverse for one conductivity (``green_scalar``), and around
them Newton's method for a law: inexact (the forcing term of Eisenstat and Walker 1996), with a line search on the potential.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array, Outcome
from hpcms.kernels import green_scalar, hex8_conductor
from hpcms.kernels.cell_scalar import Effective, tensors_of
from hpcms.kernels.cell_scalar_frame import Spacing
from hpcms.kernels.krylov import advance, direct, dot, norm
from hpcms.kernels.outcomes import outcome

_GAUSS = np.ascontiguousarray(hex8_conductor.GAUSS)
_ROUNDING = 1e-13  # nodal forces below this share of what one voxel gives are zero


def anisotropic(
    phase: Array,
    tensors: Array,
    spacing: Spacing,
    tolerance: float,
    limit: int = 2000,
    axes: tuple[int, ...] = (0, 1, 2),
) -> Effective:
    """Effective tensor of phases with symmetric conductivities ``tensors`` (P, 3, 3), none of them negative, W/(m K)."""
    h, volume = np.array(spacing, float), float(np.prod(spacing)) * phase.size
    K = np.array([[tensor[a, b] for a, b in hex8_conductor.ORDER] for tensor in tensors])
    traces = np.trace(tensors, axis1=1, axis2=2)[phase]
    green = green_scalar.prepare(
        phase.shape, phase.shape, spacing, float(traces[traces > 0].mean() / 3 if traces.any() else 1.0)
    )

    def forces(u: Array, gradient: Array) -> Array:
        f = np.zeros(phase.shape)
        hex8_conductor.tensors(u, phase, K, gradient, h, f)
        return f

    loads = [forces(np.zeros(phase.shape), axis) for axis in np.eye(3)]
    least = _ROUNDING * float(np.abs(K).max()) * volume / float(h.min()) / np.sqrt(phase.size)
    found, ends = [], []
    for axis in axes:
        u, r, size = np.zeros(phase.shape), -loads[axis], norm(loads[axis].ravel())
        steps, now, before = 0, size, np.inf
        while size > least and now > tolerance * size and steps < limit and now < 0.5 * before:
            du, n = conjugate(lambda p: forces(p, np.zeros(3)), green, r, tolerance * size, limit - steps)
            u, steps, before = u + du, steps + n, now
            r = -forces(u, np.eye(3)[axis])
            now = norm(r.ravel())
        found.append((u, r))
        ends.append(outcome(now / size if size > least else 0.0, tolerance, steps, limit))
    F = np.array([[dot(load.ravel(), u.ravel()) for u, _ in found] for load in loads]) / volume
    R = np.array([[dot(a.ravel(), r.ravel()) for _, r in found] for a, _ in found]) / volume
    mean = np.einsum("p,pij->ij", np.bincount(phase.ravel(), minlength=len(K)) / phase.size, tensors)
    conductivity, energy = tensors_of(mean[None], F[None], R[None], axes)
    return Effective(conductivity[0], energy[0], tuple(ends))


def conjugate(
    apply: Callable[[Array], Array], green: green_scalar.Green, r: Array, goal: float, limit: int
) -> tuple[Array, int]:
    """``x`` with ``|r - A x| <= goal`` by its own recurrence, and the iterations."""
    x, r, z, p, old, n = np.zeros_like(r), r.copy(), np.empty_like(r), np.zeros_like(r), 0.0, 0
    size = dot(r.ravel(), r.ravel())
    while size > goal * goal and n < limit:
        green.solve(r, z)
        rz = dot(r.ravel(), z.ravel())
        direct(z.ravel(), rz / old if old > 0 else 0.0, p.ravel())
        q = apply(p)
        curvature = dot(p.ravel(), q.ravel())
        if not curvature > 0:
            break
        size = advance(rz / curvature, p.ravel(), q.ravel(), x.ravel(), r.ravel())
        old, n = rz, n + 1
    return x, n


class NonlinearState(NamedTuple):
    """``flux`` (3,) mean of s; ``tangent`` (3, 3); ``work``: <s . g>; ``potential``: mean; ``u``: (nx, ny, nz) fluctuation."""

    flux: Array
    tangent: Array
    work: float
    potential: float
    u: Array
    outcome: Outcome


class NonlinearCell:
    """A cell with its work space. ``law``: (P, 4) k, m, g0, gr of ``hex8_conductor.power_law``."""

    def __init__(self, phase: Array, law: Array, spacing: Spacing) -> None:
        self.phase, self.law, self.h = (
            np.ascontiguousarray(phase),
            np.ascontiguousarray(law, float),
            np.array(spacing, float),
        )
        self.spacing, self.volume = spacing, float(np.prod(spacing)) * phase.size
        self.points = np.empty((*phase.shape, 8, 2))

    def forces(self, u: Array, mean: Array) -> tuple[Array, Array]:
        """Nodal forces of the flux s and the means of s, potential and s . g; leaves the slopes in ``points``."""
        f, total = np.zeros_like(u), np.zeros(5)
        hex8_conductor.power_law(u, self.phase, self.law, mean, self.h, _GAUSS, f, self.points, total)
        return f, total / self.volume

    def slope(self, p: Array, step: Array, u: Array, mean: Array) -> tuple[Array, Array]:
        f, total = np.zeros_like(u), np.zeros(3)
        hex8_conductor.slope(p, step, u, mean, self.points, self.h, _GAUSS, f, total)
        return f, total / self.volume

    def solve(self, mean: Array, tolerance: float, limit: int, start: Array | None = None) -> NonlinearState:
        """Equilibrium under the ``mean`` gradient (3,), with the consistent tangent.

        Stops when the nodal forces are below ``tolerance`` times those of the uniform gradient. ``limit``: Newton iterations.
        """
        uniform, total = self.forces(np.zeros(self.phase.shape), mean)
        size, least = norm(uniform.ravel()), _ROUNDING * norm(total[:3]) * self.volume / float(self.h.min())
        u = np.zeros_like(uniform) if start is None else start.copy()
        f, total = self.forces(u, mean)
        now, before, newton, linear = norm(f.ravel()), np.inf, 0, 0
        while size > least / np.sqrt(u.size) and now > tolerance * size and newton < limit:
            forcing = min(0.1, 0.5 * (now / before) ** 2 if np.isfinite(before) else 0.1)
            goal = max(forcing * now, 0.1 * tolerance * size)
            du, n = self._linear(u, mean, -f, goal)
            u, f, total, ok = self._search(u, du, f, total, mean)
            before, now, newton, linear = now, norm(f.ravel()), newton + 1, linear + n
            if not ok:
                break
        u, f, total = self._balanced(u, f, total, mean)
        tangent, n = self._tangent(u, mean, tolerance)
        ratio = now / size if size > least / np.sqrt(u.size) else 0.0
        end = outcome(ratio, tolerance, newton, limit)
        return NonlinearState(total[:3], tangent, float(total[4]), float(total[3]), u,
                              Outcome(end.ok, end.reason, newton, linear + n, ratio))  # fmt: skip

    def _linear(self, u: Array, mean: Array, r: Array, goal: float) -> tuple[Array, int]:
        """Solution for the slope at ``u`` under the forces ``r``, and the iterations."""
        still = np.zeros(3)
        return conjugate(lambda p: self.slope(p, still, u, mean)[0], self._green(), r, goal, 2000)

    def _green(self) -> green_scalar.Green:
        """The inverse for the geometric mean of the present conductivities."""
        k = float(np.exp(np.log(np.maximum(self.points[..., 0], 1e-300)).mean())) * 8 / float(np.prod(self.h))
        return green_scalar.prepare(self.phase.shape, self.phase.shape, self.spacing, k)

    def _search(self, u: Array, du: Array, f: Array, total: Array, mean: Array) -> tuple[Array, Array, Array, bool]:
        """The first of the steps 1, 1/2, 1/4, ... that lowers the potential, or the forces where that is rounding."""
        descent, now = dot(f.ravel(), du.ravel()) / self.volume, norm(f.ravel())
        for half in range(30):
            share = 0.5**half
            trial = u + share * du
            g, new = self.forces(trial, mean)
            lower = new[3] <= total[3] + 1e-4 * share * descent
            if lower or norm(g.ravel()) < 0.9 * now:
                return trial, g, new, True
        f, total = self.forces(u, mean)
        return u, f, total, False

    def _balanced(self, u: Array, f: Array, total: Array, mean: Array) -> tuple[Array, Array, Array]:
        """Last steps along the fluctuation itself leave no work in the forces: Hill-Mandel to rounding."""
        for _ in range(3):
            work = dot(u.ravel(), f.ravel())
            stiff = dot(u.ravel(), self.slope(u, np.zeros(3), u, mean)[0].ravel())
            if not abs(work) > 1e-13 * abs(total[4]) * self.volume or not stiff > 0:
                break
            u = u * (1 - work / stiff)
            f, total = self.forces(u, mean)
        return u, f, total

    def _tangent(self, u: Array, mean: Array, tolerance: float) -> tuple[Array, int]:
        """d flux / d mean by three linear solves with the slope at the solution."""
        tangent, steps = np.empty((3, 3)), 0
        for axis, unit in enumerate(np.eye(3)):
            load, _ = self.slope(np.zeros_like(u), unit, u, mean)
            w, n = self._linear(u, mean, -load, max(tolerance, 1e-8) * norm(load.ravel()))
            tangent[:, axis] = self.slope(w, unit, u, mean)[1]
            steps += n
        return (tangent + tangent.T) / 2, steps

    def shifted(self, u: Array, mean: Array, law: Array, tolerance: float) -> tuple[Array, int]:
        """Derivative of the mean s (3,) by a parameter, at the equilibrium ``u`` that ``solve`` has just left.

        ``law``: as that of the cell, but with the derivatives of k by the parameter, to which s is proportional.
        """
        f, total = np.zeros_like(u), np.zeros(5)
        rates = np.ascontiguousarray(law, float)
        hex8_conductor.power_law(u, self.phase, rates, mean, self.h, _GAUSS, f, np.empty_like(self.points), total)
        w, n = self._linear(u, mean, -f, max(tolerance, 1e-8) * norm(f.ravel()))
        return total[:3] / self.volume + self.slope(w, np.zeros(3), u, mean)[1], n

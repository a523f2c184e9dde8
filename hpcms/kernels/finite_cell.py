"""A periodic cell of neo-Hookean voxels (``hex8_finite``) at a mean deformation gradient.

The stored energy does not feel rotations, so the cell is solved for the stretch U of F = R U and its answers are turned:
P(R U) = R P(U). Newton's method goes down the energy: conjugate gradients preconditioned with the homogeneous linear cell give
the direction, cut short where the tangent is not positive, and the step is halved until the energy falls (Armijo) with
J > 0 at every Gauss point. Where that fails, the stretch is approached in parts, each half as long as the one that
failed. The responses of the fluctuation to unit changes of F give the condensed tangent dP/dF and the next first iterate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse.linalg import LinearOperator, minres

from hpcms.contracts import Array
from hpcms.kernels.cell_points import PointCell, Solved, conjugate
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_finite import evaluate_finite, tangent_finite
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.krylov import dot, norm

LINEAR = 2000  # conjugate gradient steps within one linear solve
ARMIJO = 1e-4
TINY = 1e-300  # keeps 0/0 out of a cell without load
RESTARTS = 5  # of minimal residuals
SHORTEST = 1.0 / 64.0  # share of the way to the stretch that is asked for
ROUNDING = 1e-13  # nodal forces below this share of the moduli count as zero
HILL = 1e-13  # |<P:F> - <P>:<F>| over |<P>| |<F>| that is left alone


@dataclass
class State:
    """``ok``; the mean stretch (9,), the fluctuation u (3, nodes + 1) and what Newton's method says about them."""

    ok: bool
    reason: str
    newton: int = 0
    linear: int = 0
    residual: float = np.inf
    stretch: Array = field(default_factory=lambda: np.eye(3).reshape(9))
    u: Array = field(default_factory=lambda: np.zeros((3, 1)))


@dataclass
class Answer:
    """Means over the cell, in the frame of the stretch: P (9,) Pa, <P:F> and the energy J/m3, dP/dF (9, 9) Pa."""

    stress: Array
    work: float
    energy: float
    tangent: Array
    response: Array


class FiniteSolver:
    """lam, mu: Lame moduli by phase in Pa, both zero for a void."""

    def __init__(
        self, cell: PointCell, lam: list[float], mu: list[float], tolerance: float, loose: float, limit: int
    ) -> None:
        self.cell, self.tolerance, self.loose, self.limit = cell, tolerance, loose, limit
        self.moduli = np.stack([cell.by_lane(lam), cell.by_lane(mu)], axis=1)
        count = max(int((cell.voxels >= 0).sum()), 1)
        self.stiff = float(self.moduli[:, 0].max(initial=0.0) + 2.0 * self.moduli[:, 1].max(initial=0.0))
        self.green = GreenVector(cell.shape, cell.spacing)
        self.green.set_moduli(*(max(float(self.moduli[:, i].sum()) / count, 1e-300) for i in (0, 1)))
        self.t, self.sums = np.zeros((len(cell.voxels), 8 * 11 * LANES)), np.zeros(11)
        self.f, self.lowest, self.linear = cell.field(3), np.inf, 0
        self.face = cell.voxel / max(cell.spacing) * float(np.sqrt(cell.nodes))

    def _evaluate(self, u: Array, F: Array) -> float:
        """Forces and tangents at u; the energy of the cell in J, infinite where a point is turned inside out."""
        cell = self.cell
        self.lowest = evaluate_finite(u, cell.conn, F, self.moduli, cell.geo, self.f, self.t, self.sums)
        self.f[:, -1] = 0.0
        return float(self.sums[9]) if self.lowest > 0.0 else np.inf

    def multiply(self, v: Array, F: Array) -> tuple[Array, Array]:
        """Tangent times a fluctuation and a mean dF: nodal forces and the integral of dP."""
        f, total = np.empty_like(v), np.zeros(9)
        tangent_finite(v, self.cell.conn, F, self.t, self.moduli, self.cell.geo, f, total)
        f[:, -1] = 0.0
        return f, total

    def _solve(self, r: Array, goal: float) -> Solved:
        """Conjugate gradients for the tangent."""
        zero = np.zeros(9)
        found = conjugate(lambda p: self.multiply(p, zero)[0], self._inverse, r, goal, LINEAR)
        self.linear += found.iterations
        return found

    def _inverse(self, v: Array) -> Array:
        z = self.cell.collect(v)
        return self.cell.spread(self.green(z, np.empty_like(z)))

    def _scale(self) -> float:
        """Norm of the nodal forces that the local stresses would cause alone."""
        return (
            self.face * (float(np.sqrt(self.sums[10] / self.cell.volume)) + ROUNDING * self.stiff / self.tolerance)
            + TINY
        )

    def _newton(self, F: Array, u: Array) -> State:
        """Moves u, in place, to an equilibrium."""
        energy, linear = self._evaluate(u, F), self.linear
        if not np.isfinite(energy):
            return State(False, "a voxel is turned inside out (J <= 0)")
        for newton in range(self.limit + 1):
            size, scale = norm(self.f.reshape(-1)), self._scale()
            residual = size / scale
            if residual <= self.tolerance:
                return State(True, "converged", newton, self.linear - linear, residual, F, u)
            if newton == self.limit:
                break
            d = self._solve(-self.f, max(min(0.1, residual) * size, 0.3 * self.tolerance * scale)).x
            slope, share, before, start = dot(self.f.reshape(-1), d.reshape(-1)), 1.0, energy, u.copy()
            while True:
                u[:] = start + share * d
                energy = self._evaluate(u, F)
                # close to the minimum the energy is lost in rounding: the slope decides there
                settled = abs(share * slope) <= 1e-10 * abs(before) and np.isfinite(energy)
                if settled or energy <= before + ARMIJO * share * slope:
                    break
                share *= 0.5
                if share < 1e-6:
                    return State(False, "no step lowers the energy", newton, self.linear - linear, residual)
        return State(
            False,
            f"Newton's method did not converge in {self.limit} iterations",
            newton,
            self.linear - linear,
            residual,
        )

    def reach(self, stretch: Array, start: Array, u: Array, response: Array) -> State:
        """The equilibrium at ``stretch``, from the one at ``start`` with the fluctuation u; response: (9, 3, nodes + 1)."""
        done, part, newton, predict = 0.0, 1.0, 0, True
        now, self.linear = u.copy(), 0
        while done < 1.0:
            part = min(part, 1.0 - done)
            target = start + (done + part) * (stretch - start) if done + part < 1.0 else stretch
            trial = now.copy()
            if predict and done == 0.0:
                trial += part * np.einsum("k,kcn->cn", stretch - start, response)
            found = self._newton(target, trial)
            if not found.ok and predict and response.any():
                found = self._newton(target, now.copy())
            newton += found.newton
            if found.ok:
                done, now, part = done + part, found.u, 2.0 * part
                predict = False
            else:
                part *= 0.5
            if part < SHORTEST:
                found.reason += f" even in steps of 1/{round(1 / SHORTEST)}: deform in smaller steps, or less"
                break
        found.newton, found.linear = newton, self.linear
        return found

    def answer(self, found: State, response: Array) -> Answer:
        """Means and the condensed tangent at an equilibrium."""
        self._polish(found)
        V, u = self.cell.volume, found.u.reshape(-1)
        stress, energy = self.sums[:9] / V, float(self.sums[9]) / V
        work = float(stress @ found.stretch) + dot(u, self.f.reshape(-1)) / V
        x, f, tangent = response.copy(), np.zeros_like(response), np.zeros((9, 9))
        for k, unit in enumerate(np.eye(9)):
            x[k], f[k], total, positive = self._response(x[k], unit)
            tangent[:, k] = total / V
            if not positive:
                found.reason = "converged to an equilibrium that may buckle: its tangent is not positive"
        for k in range(9):
            for m in range(9):  # <(e_m + grad x_m) : A : (e_k + grad x_k)>: the errors of x enter squared
                tangent[m, k] += dot(x[m].reshape(-1), f[k].reshape(-1)) / V
        found.linear = self.linear
        return Answer(stress, work, energy, tangent, x)

    def _response(self, x: Array, unit: Array) -> tuple[Array, Array, Array, bool]:
        """Derivative of the fluctuation along ``unit``, its forces and integral, and whether the tangent seemed positive."""
        goal = max(
            self.loose * norm(self.multiply(np.zeros_like(x), unit)[0].reshape(-1)), ROUNDING * self.stiff * self.face
        )
        r = -self.multiply(x, unit)[0]
        found = self._solve(r.copy(), goal)
        x = x + (found.x if found.positive else self.indefinite(r, goal))
        return x, *self.multiply(x, unit), found.positive

    def indefinite(self, r: Array, goal: float) -> Array:
        """K x = r by minimal residuals, for a tangent with directions that go down (an equilibrium that buckles)."""
        zero, shape, b = np.zeros(9), r.shape, r.reshape(-1)

        def count(x: Array) -> None:
            self.linear += 1

        K = LinearOperator(
            (r.size, r.size), lambda v: self.multiply(v.reshape(shape), zero)[0].reshape(-1), dtype=float
        )
        M = LinearOperator((r.size, r.size), lambda v: self._inverse(v.reshape(shape)).reshape(-1), dtype=float)
        x, left = np.zeros(r.size), b
        for _ in range(RESTARTS):  # its own stopping rule is not that of the residual
            x = x + minres(K, left, M=M, rtol=0.1 * goal / norm(left), maxiter=LINEAR, callback=count)[0]
            left = b - K @ x
            if norm(left) <= goal:
                break
        return x.reshape(shape)

    def _polish(self, found: State) -> None:
        """Last steps along the fluctuation itself, until the residual does no work on it: Hill-Mandel to rounding."""
        u, F = found.u, found.stretch
        self._evaluate(u, F)
        for _ in range(4):
            gap = dot(u.reshape(-1), self.f.reshape(-1))
            if abs(gap) <= HILL * norm(self.sums[:9]) * norm(F):
                break
            stiff = dot(u.reshape(-1), self.multiply(u, np.zeros(9))[0].reshape(-1))
            if not stiff > 0.0:
                break
            u *= 1.0 - gap / stiff
            self._evaluate(u, F)
        found.residual = norm(self.f.reshape(-1)) / self._scale()

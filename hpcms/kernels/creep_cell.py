"""A periodic cell of creeping voxels over one time step.

Newton's method on the displacement fluctuation minimises a convex potential (``hex8_creep``). Its directions come from
conjugate gradients preconditioned with a homogeneous cell of the current mean moduli, in single precision, checked and where
needed completed in double. The responses of the fluctuation to unit mean strains give the condensed tangent, the derivative by
temperature (no further solve), the first iterate of the next solve and, by a last step in their span, a mean stress that does
not feel the residual to first order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.cell_mirror import CLASSES, MirrorCell
from hpcms.kernels.cell_periodic import PeriodicCell
from hpcms.kernels.hex8_creep import evaluate, settle
from hpcms.kernels.hex8_points import LANES, geometry
from hpcms.kernels.krylov import SHORT, WINDOW, Operator, Stop, dot, norm

ENGINEERING = np.array([1.0, 1.0, 1.0, 2.0**0.5, 2.0**0.5, 2.0**0.5])  # Mandel strain -> 11 22 33 and twice the shears
SOFTER = 0.3  # bulk modulus of the preconditioner over that of creeping ice: voids take part in the dilatation
# the error of the mean stress over the relative residual: what responses are wrong by, and what is of second order in it
TILTED, CURVED = 0.01, 0.5
BENT = 3.0  # the relative residual after an exact Newton step over the square of the one before
STILL = 1e-2  # responses of an iterate that began with no larger residual are those of the one before
NEAR, FEW = 5e-3, 2  # an iterate ends at this part of the residual that it began with, or after so many Newton steps
INEXACT = 0.05  # a Newton step lowers the residual at least to this part: answers cost more than iterations
SINGLE = 1e-4  # the smallest reduction of a residual that single precision is asked for
SLIGHT = 0.01  # condensed moduli below this share of the mean tangent shear modulus need no relative accuracy
HILL = 1e-11  # accepted |<sigma:eps> - <sigma>:<eps>| over |<sigma>| |<eps>|
PATH = (0.03, 0.1, 0.3, 1.0)  # shares of the strain increment where Newton's method fails at once
TINY = 1e-300
Cell = PeriodicCell | MirrorCell


@dataclass(frozen=True)
class Material:
    """One solid phase over one step: K and 2 mu in Pa, 3 mu dt A, n, d log A / dT in 1/K; whether it may creep."""

    bulk: float
    shear2: float
    creep: float = 0.0
    n: float = 1.0
    softening: float = 0.0
    creeps: bool = False


@dataclass(frozen=True)
class Start:
    """A step's drive and what it starts from. Strains (6,) Mandel; vectors of the cell.

    ``u0``, ``strain0``, ``vp``: fluctuation, mean strain, creep strain at the start of the step. ``u``: first iterate;
    ``response``: (directions, length) first iterates of the responses to unit strains in the Mandel ``directions``.
    """

    strain: Array
    strain0: Array
    u0: Array
    vp: Array
    u: Array
    response: Array
    directions: tuple[int, ...]


@dataclass
class Step:
    """What a step ends with; means over the cell in Mandel components.

    ``residual``: see ``CreepSolver._newton``; ``began``: that of the first iterate; ``tangent``: (6, 6), columns that were not
    asked for are zero; ``heat``: (6,) d stress/dT; ``response``: derivative of the fluctuation by the mean strain.
    """

    ok: bool
    reason: str
    newton: int = 0
    linear: int = 0
    residual: float = np.inf
    began: float = np.inf
    u: Array = field(default_factory=lambda: np.zeros(0))
    creep: Array = field(default_factory=lambda: np.zeros(6))
    stress: Array = field(default_factory=lambda: np.zeros(6))
    work: float = 0.0
    energy: float = 0.0
    dissipation: float = 0.0
    tangent: Array = field(default_factory=lambda: np.zeros((6, 6)))
    heat: Array = field(default_factory=lambda: np.zeros(6))
    vp: Array = field(default_factory=lambda: np.zeros(0))
    response: Array = field(default_factory=lambda: np.zeros(0))
    nothing: float = 0.0  # a mean stress below this is rounding: no path through the cell carries load


class CreepSolver:
    """Steps of one cell with given materials (index by phase, None for void)."""

    def __init__(self, cell: Cell, spacing: tuple[float, float, float], materials: list[Material | None],
                 tolerance: float, loose: float, limit: int) -> None:  # fmt: skip
        rows = [materials[p] or Material(0.0, 0.0) for p in cell.phase]
        self.law = np.array([[m.creep, m.n, float(m.creeps)] for m in rows]).reshape(-1, 3)
        moduli = np.array([[m.bulk, m.shear2] for m in rows]).reshape(-1, 2, 1)
        self.moduli = np.where(cell.voxels[:, None] < 0, 0.0, moduli)
        self.softening = np.array([m.softening for m in rows])
        self.cell, self.geo = cell, geometry(spacing)
        self.tolerance, self.loose, self.limit = tolerance, loose, limit
        self.t, self.left = np.zeros((len(rows), 8 * 6 * LANES), np.float32), np.zeros((len(rows), 8 * LANES))
        self.double = Operator(self.t, self.moduli, self.law, self.geo)
        self.single = Operator(self.t, *(a.astype(np.float32) for a in self.double[1:]))
        self.real, self.sums = cell.voxels >= 0, np.zeros((len(cell.mirror), 8))
        self.f, self.vp = np.zeros(0), np.zeros(0)
        self.stiff = float(self.moduli.max(initial=0.0))
        # edge^(1/2): a voxel's force is its stress times edge^2, the root of its volume is edge^(3/2)
        self.face = float(8.0 * self.geo[9]) ** (1.0 / 6.0)

    def _evaluate(self, u: Array, strain: Array) -> None:
        """Forces, integrals and tangents at the fluctuation u."""
        cell = self.cell
        w = cell.spread(u, 0)
        forces, e = np.empty_like(w), cell.strains(strain * ENGINEERING)
        evaluate(w, cell.conn, cell.sheet, e, self.vp, self.moduli, self.law, self.geo, forces, self.t,
                 self.left, self.sums)  # fmt: skip
        self.f = cell.collect(forces, 0)

    def _multiply(self, v: Array, shift: int, strain: Array) -> tuple[Array, Array]:
        """Tangent times a fluctuation and a mean strain: nodal forces and the mean stress."""
        f, stress = self.cell.multiply(self.double, v, shift, strain * ENGINEERING)
        return f, stress * ENGINEERING

    def _refer(self) -> float:
        """Gives the preconditioner the mean moduli of the current tangents; the shear modulus."""
        count = max(int(self.real.sum()), 1)
        mu = 0.5 * float(self.t.reshape(-1, 8, 6, LANES)[:, :, 0].sum()) / (8 * count * self.geo[9])
        bulk, mean = float(self.moduli[:, 0].sum()) / count, float((self.moduli[:, 0] * self.law[:, 2:]).sum()) / count
        # between 5 and 10^4 times the shear modulus: beyond, the inverse loses its digits
        soft = min(max(SOFTER, min(1.0, 5.0 * mu / (bulk + TINY))), 1e4 * mu / (bulk + TINY))
        self.cell.set_moduli(soft * (bulk - mean) - 2.0 * mu / 3.0, mu, soft * mean)
        return mu

    def step(self, start: Start, window: int = WINDOW) -> Step:
        """Solves the step from ``start``. ``window``: see ``_respond``."""
        self.vp = start.vp
        solved = self._reach(start)
        if solved.ok:
            self._respond(solved, start, window)
            self._polish(solved, start)
        share = 1.0
        while solved.ok and solved.residual > self.tolerance and share > 0.01:
            # the last steps balance work, not the residual's norm
            share *= 0.3
            again = self._newton(start.strain, start.strain0, solved.u, share)
            solved.newton, solved.linear = solved.newton + again.newton, solved.linear + again.linear
            self._polish(solved, start)
        if solved.ok and solved.residual > self.tolerance:
            solved.ok, solved.reason = False, "the residual stagnates in rounding: accept a larger tolerance"
        if solved.ok:
            self._settle(solved, start)
        return solved

    def finish(self, start: Start) -> Step:
        """Solves the step from an iterate near its end, whose responses are still good."""
        return self.step(start, 0)

    def iterate(self, start: Start) -> Step:
        """A few Newton steps from ``start.u``, none where that is good enough, then the condensation of ``step``.

        The mean stress lacks what is of second order in the residual that is left (``CURVED``), and what the responses are wrong
        by (``TILTED``).
        """
        self.vp = start.vp
        solved = self._newton(start.strain, start.strain0, start.u.copy(), most=FEW, enough=NEAR)
        if not np.isfinite(solved.residual):
            return self.step(start)
        solved.ok, solved.reason = True, "condensed"
        still = solved.began <= STILL and bool(start.response.reshape(len(start.directions), -1).any(axis=1).all())
        self._respond(solved, start, 0 if still else SHORT)
        self._polish(solved, start)
        self._settle(solved, start)
        return solved

    def _reach(self, start: Start) -> Step:
        """Newton's method from the first iterate; where it fails from the start of the step, then along a path."""
        newton, linear = 0, 0
        for u, path in ((start.u, (1.0,)), (start.u0, (1.0,)), (start.u0, PATH)):
            for part in path:
                strain = start.strain0 + part * (start.strain - start.strain0) if part < 1.0 else start.strain
                solved = self._newton(strain, start.strain0, u.copy())
                u, newton, linear = solved.u, newton + solved.newton, linear + solved.linear
                if not solved.ok:
                    break
            if solved.ok:
                break
        solved.newton, solved.linear = newton, linear
        return solved

    def _settle(self, solved: Step, start: Start) -> None:
        """The new history and the means of the answers."""
        cell, geo = self.cell, self.geo
        w, w0 = cell.spread(solved.u, 0), cell.spread(start.u0, 0)
        heat, sums, solved.vp = np.empty_like(w), np.zeros((len(cell.mirror), 15)), np.zeros_like(start.vp)
        e, e0 = (cell.strains(s * ENGINEERING) for s in (start.strain, start.strain0))
        settle(w, w0, cell.conn, cell.sheet, e, e0, start.vp, self.moduli, self.law, self.softening, geo, self.left,
               solved.vp, heat, sums)  # fmt: skip
        solved.energy, solved.dissipation, solved.work = (sums[:, :3].sum(axis=0) / cell.volume).tolist()
        solved.stress = cell.mean(self.sums[:, :6], 0) * ENGINEERING
        if norm(solved.stress) <= solved.nothing:
            solved.stress, solved.work = np.zeros(6), 0.0
        solved.creep, warm = (cell.mean(sums[:, k : k + 6], 0) * ENGINEERING for k in (3, 9))
        for x, i in zip(solved.response, start.directions, strict=True):
            solved.heat[i] = warm[i] + dot(x, cell.collect(heat, self._shift(i))) / cell.volume

    def _shift(self, direction: int) -> int:
        """Symmetry class of a unit strain."""
        return int(CLASSES[direction]) if isinstance(self.cell, MirrorCell) else 0

    def _newton(
        self, strain: Array, strain0: Array, u: Array, share: float = 1.0, most: int = 0, enough: float = 0.0
    ) -> Step:
        """Iterates u in place until the residual is at most ``share * tolerance`` times ``_scale``, or ``most`` times.

        After a first step the part ``enough`` of the residual that it began with will do.
        """
        linear, tolerance, limit, began = 0, share * self.tolerance, most or self.limit, np.inf
        self._evaluate(u, strain)
        # stresses far below what the increment or the strain would cause elastically count as zero
        floor = self.stiff * max(1e-4 * float(np.abs(strain - strain0).max()), 1e-8 * float(np.abs(strain).max()))
        nothing = self.tolerance * floor
        for newton in range(limit + 1):
            scale, size = self._scale(floor), norm(self.f)
            began = size / (scale + TINY) if newton == 0 else began
            if not np.isfinite(size):
                return Step(False, "the stress is not finite: shorten the step", newton, linear, np.inf, began, u)
            if size <= tolerance * scale:
                return Step(True, "converged", newton, linear, size / (scale + TINY), began, u, nothing=nothing)
            if newton == limit or (newton and size <= enough * began * scale):
                break
            # no closer than the next Newton step can keep: its error is of second order in the relative residual
            goal = min(INEXACT, max(BENT * size / scale, SINGLE)) * size
            goal = max(goal, 0.3 * tolerance * scale, 0.5 * enough * began * scale)
            d, steps = self._direction(goal, check=not most)
            linear += steps
            self._search(u, d, strain)
        reason = f"Newton's method did not converge in {limit} iterations: shorten the step"
        return Step(False, reason, limit, linear, size / scale, began, u, nothing=nothing)

    def _scale(self, floor: float) -> float:
        """Norm of the nodal forces that the local stresses would cause alone; ``floor``: a least root mean square stress."""
        root = float(np.sqrt(self.sums[:, 7].sum()))
        return self.face * max(root, floor * float(np.sqrt(self.cell.volume)))

    def _direction(self, goal: float, check: bool) -> tuple[Array, int]:
        """Newton's direction and the iterations: single precision, and where that is to be checked, what it leaves in double."""
        self._refer()
        found = self.cell.conjugate(self.single, -self.f.astype(np.float32), 0, Stop(goal))
        d, steps = found.x.astype(float), found.steps
        if not check:
            return d, steps
        r = -self.f - self._multiply(d, 0, np.zeros(6))[0]
        if norm(r) <= 3.0 * goal:
            return d, steps
        if not norm(r) < norm(self.f):
            d, r = np.zeros_like(d), -self.f
        more = self.cell.conjugate(self.double, r, 0, Stop(goal))
        return d + more.x, steps + more.steps

    def _search(self, u: Array, d: Array, strain: Array) -> None:
        """Moves u along d until the slope of the (convex) potential is no longer steep uphill."""
        start, slope, a = u.copy(), dot(self.f, d), 1.0
        for _ in range(12):
            u[:] = start + a * d
            self._evaluate(u, strain)
            now = dot(self.f, d)
            if now <= 0.5 * abs(slope):
                return
            a *= max(slope / (slope - now), 0.1)

    def _condensed(self, x: Array, i: int) -> tuple[Array, Array, float]:
        """Forces, mean stress and energy of the unit strain i with the fluctuation x."""
        f, stress = self._multiply(x, self._shift(i), np.eye(6)[i])
        return f, stress, float(stress[i]) * self.cell.volume + dot(x, f)

    def _response(self, x: Array, i: int, mu: float, window: int) -> tuple[Array, Array, Array, int]:
        """The response to the unit strain i from the first iterate x, its forces, its mean stress and the iterations."""
        cell, shift = self.cell, self._shift(i)
        f, stress, energy = self._condensed(x, i)
        count, share, least = 0, 0.1 * self.loose, 0.1 * self.loose * SLIGHT * mu * cell.volume
        rounding = 1e-14 * self.stiff * self.face * float(np.sqrt(cell.volume))
        if not energy <= 2.0 * self.stiff * cell.volume:  # more than without fluctuation
            x = np.zeros_like(x)
            f, stress, energy = self._condensed(x, i)
        for operator in (self.single, self.double) if window else ():
            stop, r = Stop(rounding, energy, share, least, window=window), -f.astype(operator.moduli.dtype)
            found = cell.conjugate(operator, r, shift, stop)
            if found.steps == 0:
                break
            count += found.steps
            if window == SHORT and found.energy <= energy:  # the recurrences will do
                return x + found.x, -r.astype(float), stress + found.stress * ENGINEERING, count
            forces, mean, now = self._condensed(x + found.x, i)
            if now <= energy:
                x, f, stress, energy = x + found.x, forces, mean, now
            if now - found.energy <= max(10.0 * share * now, 10.0 * least):
                break
        return x, f, stress, count

    def _respond(self, solved: Step, start: Start, window: int = WINDOW) -> None:
        """Responses to unit mean strains, and from them the condensed tangent.

        ``window``: steps by which it is judged whether a response has settled; 0 takes them as they are.
        """
        cell, x, mu = self.cell, start.response.copy(), self._refer()
        stress, f = np.zeros((len(x), 6)), np.zeros_like(x)
        for k, i in enumerate(start.directions):
            x[k], f[k], stress[k], steps = self._response(x[k], i, mu, window)
            solved.linear += steps
        # <(e_k + B x_k) : C : (e_l + B x_l)>: the error of x enters squared
        for k, i in enumerate(start.directions):
            solved.tangent[:, i] = stress[k]
            for m, j in enumerate(start.directions):
                if self._shift(i) == self._shift(j):
                    solved.tangent[j, i] += dot(x[m], f[k]) / cell.volume
        solved.response = x

    def _polish(self, solved: Step, start: Start) -> None:
        """Last steps in the span of the fluctuation and of the responses, until the residual does no work there.

        On the fluctuation: Hill and Mandel hold. On the responses: the residual's error of the mean stress is of second
        order, as the derivative of the stress by the residual is the response.
        """
        cell, u, zero = self.cell, solved.u, np.zeros(6)
        inside = [k for k, i in enumerate(start.directions) if self._shift(i) in cell.group]
        basis = [cell.align(solved.response[k], self._shift(start.directions[k])) for k in inside]
        for count in range(6):
            stress = cell.mean(self.sums[:, :6], 0) * ENGINEERING
            gap = max(abs(dot(u, self.f)), abs(dot(start.u0, self.f))) / cell.volume
            rows = [row / norm(row) for row in (u, start.u0, *(basis if count == 0 else [])) if norm(row) > 0.0]
            if not rows or (count and gap <= 0.1 * HILL * norm(stress) * norm(start.strain)):
                break
            force = np.array([dot(row, self.f) for row in rows])
            stiff = np.array([[dot(a, q) for a in rows] for q in (self._multiply(row, 0, zero)[0] for row in rows)])
            for share, row in zip(np.linalg.lstsq(stiff, force, rcond=1e-12)[0], rows, strict=True):
                u -= share * row
            self._evaluate(u, start.strain)
        solved.residual = norm(self.f) / (self._scale(solved.nothing / self.tolerance) + TINY)

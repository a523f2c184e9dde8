"""A periodic cell of creeping voxels over one time step: Newton and conjugate gradients on the displacement fluctuation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.cell_mirror import CLASSES, MirrorCell
from hpcms.kernels.cell_periodic import PeriodicCell
from hpcms.kernels.hex8_creep import evaluate, settle, tangent
from hpcms.kernels.hex8_points import LANES, geometry
from hpcms.kernels.krylov import dot, norm

ENGINEERING = np.array([1.0, 1.0, 1.0, 2.0**0.5, 2.0**0.5, 2.0**0.5])  # Mandel strain -> 11 22 33 and twice the shears
LIMIT = 3000  # conjugate gradients
HILL = 1e-11  # allowed |<sigma:eps> - <sigma>:<eps>| / |<sigma:eps>|
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

    ``u0``, ``strain0``, ``vp``: fluctuation, mean strain and creep strain at the start of the step. ``u``: first iterate;
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

    ``residual``: norm of the nodal forces over that of the stresses' own; ``tangent``: (6, 6), columns that were not asked
    for are zero; ``heat``: (6,) d stress/dT; ``response``: derivative of the fluctuation by the mean strain.
    """

    ok: bool
    reason: str
    newton: int
    linear: int
    residual: float
    u: Array
    stress: Array = field(default_factory=lambda: np.zeros(6))
    work: float = 0.0
    energy: float = 0.0
    dissipation: float = 0.0
    tangent: Array = field(default_factory=lambda: np.zeros((6, 6)))
    heat: Array = field(default_factory=lambda: np.zeros(6))
    vp: Array = field(default_factory=lambda: np.zeros(0))
    response: Array = field(default_factory=lambda: np.zeros(0))


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
        self.t = np.zeros((len(rows), 8 * 6 * LANES))
        self.real = cell.voxels >= 0
        # nodal force of unit stress in a voxel, and of unit stress everywhere
        self.face = (8.0 * self.geo[9]) ** (1.0 / 6.0)
        self.stiff = float(self.moduli.max(initial=0.0)) * np.sqrt(cell.volume)

    def _evaluate(self, u: Array, strain: Array, f: Array, sums: Array) -> None:
        cell = self.cell
        forces = np.empty((3, cell.spread(u, 0).shape[1]))
        evaluate(cell.spread(u, 0), cell.conn, cell.sheet, cell.strains(strain * ENGINEERING, 0), self.vp, self.moduli, self.law,
                 self.geo, forces, self.t, sums)  # fmt: skip
        f[:] = cell.collect(forces, 0)

    def _multiply(self, v: Array, shift: int, unit: Array | None = None) -> tuple[Array, Array]:
        """Tangent times a fluctuation (plus a mean strain): nodal forces and the mean stress."""
        cell = self.cell
        u = cell.spread(v, shift)
        e, total, f = cell.strains(np.zeros(6) if unit is None else unit * ENGINEERING, 0), np.zeros((len(cell.mirror), 6)), np.empty_like(u)
        tangent(u, cell.conn, cell.sheet, e, *self._operator(), f, total)
        return cell.collect(f, shift), cell.mean(total, shift) * ENGINEERING

    def _operator(self) -> tuple[Array, Array, Array, Array]:
        return self.t, self.moduli, self.law, self.geo

    def _refer(self) -> None:
        """Gives the preconditioner the mean moduli of the current tangents."""
        lanes = self.t.reshape(-1, 8, 6, LANES)[:, :, 0]
        count = max(int(self.real.sum()), 1)
        mu = 0.5 * float(lanes.sum()) / (8 * count * self.geo[9])
        bulk, mean = float(self.moduli[:, 0].sum()) / count, float((self.moduli[:, 0] * self.law[:, 2:]).sum()) / count
        self.cell.set_moduli(bulk - mean - 2.0 * mu / 3.0, mu, mean)

    def step(self, start: Start) -> Step:
        """Solves the step from ``start``."""
        self.vp = start.vp
        solved = self._newton(start.strain, start.strain0, start.u)
        if not solved.ok:
            return solved
        cell = self.cell
        new, w, w0 = np.zeros_like(start.vp), cell.spread(solved.u, 0), cell.spread(start.u0, 0)
        heat, sums = np.empty_like(w), np.zeros((len(cell.mirror), 9))
        e, e0 = (cell.strains(s * ENGINEERING, 0) for s in (start.strain, start.strain0))
        settle(w, w0, cell.conn, cell.sheet, e, e0, start.vp, self.moduli, self.law, self.softening, self.geo, self.t, new, heat,
               sums)  # fmt: skip
        solved.vp = new
        solved.energy, solved.dissipation, solved.work = (sums[:, :3].sum(axis=0) / cell.volume).tolist()
        self._tangents(solved, start, heat, sums[:, 3:])
        return solved

    def _newton(self, strain: Array, strain0: Array, u: Array) -> Step:
        u, f, sums, linear, last = u.copy(), np.zeros(u.size), np.zeros((len(self.cell.mirror), 8)), 0, 0.0
        self._evaluate(u, strain, f, sums)
        floor = self.stiff * max(1e-4 * float(np.abs(strain - strain0).max()), 1e-8 * float(np.abs(strain).max()))
        for newton in range(self.limit + 1):
            scale, size = self.face * max(float(np.sqrt(sums[:, 7].sum())), floor), norm(f)
            if not np.isfinite(size):
                return Step(False, "the stress is not finite: shorten the step", newton, linear, np.inf, u)
            if size <= self.tolerance * scale or scale == 0.0:
                linear += self._balance(u, strain, f, sums)
                residual = norm(f) / scale if scale > 0 else 0.0
                stress = self.cell.mean(sums[:, :6], 0) * ENGINEERING
                return Step(True, "converged", newton, linear, residual, u, stress)
            if newton == self.limit:
                break
            eta = 0.1 if newton == 0 else min(0.1, 0.9 * (size / last) ** 2)
            goal, last = max(eta * size, 0.3 * self.tolerance * scale), size
            d = np.zeros_like(u)
            self._refer()
            linear += self.cell.conjugate(self._operator(), -f, d, 0, goal, False, LIMIT)
            self._search(u, d, strain, f, sums)
        reason = f"Newton's method did not converge in {self.limit} iterations: shorten the step"
        return Step(False, reason, self.limit, linear, size / scale, u)

    def _search(self, u: Array, d: Array, strain: Array, f: Array, sums: Array) -> None:
        """Moves u along d until the slope of the (convex) potential no longer points far back."""
        start, slope = u.copy(), dot(f, d)
        a, low, at_low = 1.0, 0.0, slope
        for _ in range(12):
            u[:] = start + a * d
            self._evaluate(u, strain, f, sums)
            now = dot(f, d)
            if now <= 0.5 * abs(slope):
                return
            a = max(low + (a - low) * at_low / (at_low - now), 0.1 * a)

    def _balance(self, u: Array, strain: Array, f: Array, sums: Array) -> int:
        """Last steps along the fluctuation itself until the residual does no work on it (Hill-Mandel)."""
        for count in range(4):
            gap = dot(u, f) / self.cell.volume
            work = gap + float(self.cell.mean(sums[:, :6], 0) * ENGINEERING @ strain)
            if abs(gap) <= 0.3 * HILL * abs(work):
                return count
            stiff = dot(u, self._multiply(u, 0)[0])
            if not stiff > 0.0:
                return count
            u *= 1.0 - gap * self.cell.volume / stiff
            self._evaluate(u, strain, f, sums)
        return 4

    def _tangents(self, solved: Step, start: Start, heat: Array, warm: Array) -> None:
        """Condensed tangent and its derivative by temperature from the responses to unit mean strains."""
        cell, x = self.cell, start.response.copy()
        shifts = [int(CLASSES[k]) if isinstance(cell, MirrorCell) else 0 for k in start.directions]
        stress, f = np.zeros((len(x), 6)), np.zeros_like(x)
        self._refer()
        for k, (i, shift) in enumerate(zip(start.directions, shifts, strict=True)):
            r, z, unit = -self._multiply(np.zeros_like(x[k]), shift, np.eye(6)[i])[0], np.zeros_like(x[k]), np.eye(6)[i]
            cell.precondition(r, z, shift)
            goal = max(self.loose * np.sqrt(max(dot(r, z), 0.0)), 1e-14 * self.stiff * self.face * norm(z) ** 0.5)
            r = -self._multiply(x[k], shift, unit)[0]
            solved.linear += cell.conjugate(self._operator(), r, x[k], shift, goal, True, LIMIT)
            f[k], stress[k] = self._multiply(x[k], shift, unit)
        # <(e_k + B x_k) : C : (e_l + B x_l)>: the error of x enters squared
        for k, i in enumerate(start.directions):
            solved.tangent[:, i] = stress[k]
            for m, j in enumerate(start.directions):
                if shifts[m] == shifts[k]:
                    solved.tangent[j, i] += dot(x[m], f[k]) / cell.volume
            change = dot(x[k], cell.collect(heat.copy(), shifts[k])) / cell.volume
            solved.heat[i] = (cell.mean(warm, 0) * ENGINEERING)[i] + change
        solved.response = x

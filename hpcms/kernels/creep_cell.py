"""A periodic cell of creeping voxels over one time step: Newton and conjugate gradients on the displacement fluctuation."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import JIT
from hpcms.kernels.elements import Elements, list_elements, load_bearing
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_creep import evaluate, settle, tangent
from hpcms.kernels.hex8_points import LANES, geometry

ENGINEERING = np.array([1.0, 1.0, 1.0, 2.0**0.5, 2.0**0.5, 2.0**0.5])  # Mandel strain -> 11 22 33 and twice the shears
HILL = 1e-11  # allowed |<sigma:eps> - <sigma>:<eps>| / |<sigma:eps>|


@dataclass(frozen=True)
class Material:
    """One solid phase over one step: K and 2 mu in Pa, 3 mu dt A, n, d log A / dT in 1/K."""

    bulk: float
    shear2: float
    creep: float = 0.0
    n: float = 1.0
    softening: float = 0.0


@dataclass
class Step:
    """What a step ends with; means over the cell in Mandel components.

    ``residual``: norm of the nodal forces over that of the stresses' own; ``tangent``: (6, 6), columns that were not asked
    for are zero; ``response``: (directions, nodes, 3) derivative of the fluctuation by the mean strain.
    """

    ok: bool
    reason: str
    newton: int
    linear: int
    residual: float
    u: Array
    stress: Array
    work: float = 0.0
    energy: float = 0.0
    dissipation: float = 0.0
    tangent: Array | None = None
    heat: Array | None = None
    creep: Array | None = None
    vp: Array | None = None
    response: Array | None = None


@numba.njit(**JIT)
def _to_grid(r: Array, nodes: Array, grid: Array) -> None:
    for n in range(nodes.size):
        grid[0, nodes[n]], grid[1, nodes[n]], grid[2, nodes[n]] = r[3 * n], r[3 * n + 1], r[3 * n + 2]


@numba.njit(**JIT)
def _from_grid(grid: Array, nodes: Array, r: Array) -> None:
    for n in range(nodes.size):
        r[3 * n], r[3 * n + 1], r[3 * n + 2] = grid[0, nodes[n]], grid[1, nodes[n]], grid[2, nodes[n]]


@numba.njit(**JIT)
def dot(a: Array, b: Array) -> float:
    total = 0.0
    for n in range(a.size):
        total += a[n] * b[n]
    return total


def norm(a: Array) -> float:
    return float(np.sqrt(dot(a, a)))


class CreepCell:
    """The elements of one image and the work space for its steps. ``solid``: (phases,) bool, which phases have stiffness."""

    def __init__(self, phase: Array, solid: Array, spacing: tuple[float, float, float]) -> None:
        self.shape = phase.shape
        self.elements: Elements = list_elements(phase, load_bearing(solid[phase]))
        self.geo = geometry(spacing)
        self.spacing = spacing
        self.volume = float(np.prod(spacing)) * phase.size
        self.size = 3 * (self.elements.nodes.size + 1)  # one spare node for the fillers
        blocks = len(self.elements.phase)
        self.t = np.zeros((blocks, 8 * 6 * LANES))
        self.grid = np.zeros((3, phase.size))
        self.filler = self.elements.voxels.reshape(-1) < 0

    def field(self, u: Array) -> Array:
        """(3, nx, ny, nz) field of a nodal vector, zero at nodes without solid."""
        self.grid[:] = 0.0
        _to_grid(u, self.elements.nodes, self.grid)
        return self.grid.reshape(3, *self.shape).copy()

    def vector(self, field: Array) -> Array:
        """Nodal vector of a (3, nx, ny, nz) field."""
        u = np.zeros(self.size)
        _from_grid(np.ascontiguousarray(field, float).reshape(3, -1), self.elements.nodes, u)
        return u

    def blocks(self, history: Array) -> Array:
        """(nx, ny, nz, 8, 6) Mandel creep strain -> (blocks, 8 * 5 * lanes)."""
        index = self.elements.voxels.reshape(-1).clip(0)
        h = history.reshape(-1, 8, 6)[index][:, :, [0, 1, 3, 4, 5]] / ENGINEERING[[0, 1, 3, 4, 5]]
        h[self.filler] = 0.0
        return np.ascontiguousarray(h.reshape(-1, LANES, 40).transpose(0, 2, 1).reshape(-1, 40 * LANES))

    def history(self, vp: Array) -> Array:
        """Inverse of ``blocks``."""
        h = vp.reshape(-1, 40, LANES).transpose(0, 2, 1).reshape(-1, 8, 5)
        out = np.zeros((int(np.prod(self.shape)), 8, 6))
        index = self.elements.voxels.reshape(-1)[~self.filler]
        h = h[~self.filler]
        out[index] = np.stack([h[..., 0], h[..., 1], -h[..., 0] - h[..., 1], *np.moveaxis(h[..., 2:], -1, 0)], -1)
        out *= ENGINEERING
        return out.reshape(*self.shape, 8, 6)

    def law(self, materials: list[Material | None]) -> tuple[Array, Array]:
        """(blocks, 4) law and (blocks,) softening for the phases' materials."""
        rows = [materials[p] or Material(0.0, 0.0) for p in self.elements.phase]
        law = np.array([[m.bulk, m.shear2, m.creep, m.n] for m in rows]).reshape(-1, 4)
        return law, np.array([m.softening for m in rows])

    def precondition(self, green: GreenVector, r: Array, z: Array) -> None:
        """z = G r for one nodal vector."""
        self.grid[:] = 0.0
        _to_grid(r, self.elements.nodes, self.grid)
        field = self.grid.reshape(3, *self.shape)
        green(field, field)
        _from_grid(self.grid, self.elements.nodes, z)

    def reference(self, law: Array) -> GreenVector:
        """Preconditioner with the mean moduli of the current tangents."""
        lanes = self.t.reshape(-1, 8, 6, LANES)[:, :, 0].transpose(0, 2, 1).reshape(-1, 8)
        shear2 = float(lanes[~self.filler].mean()) / self.geo[9]
        bulk = float(law[:, 0].mean())
        return GreenVector(self.shape, self.spacing, bulk - shear2 / 3.0, 0.5 * shear2)

    def conjugate(self, green: GreenVector, law: Array, r: Array, x: Array, goals: Array, maximum: int) -> int:
        """Solves K x = r + K x for all rows of r at once (r: residuals of the start x, both updated); iterations."""
        sides = len(r)
        z, p, q = np.zeros_like(r), np.zeros_like(r), np.zeros_like(r)
        zero, total, old = np.zeros((sides, 6)), np.zeros((sides, 6)), np.ones(sides)
        for iteration in range(maximum):
            active = [i for i in range(sides) if norm(r[i]) > goals[i]]
            if not active:
                return iteration
            for i in active:
                self.precondition(green, r[i], z[i])
                rz = dot(r[i], z[i])
                p[i] = z[i] + (rz / old[i] if iteration else 0.0) * p[i]
                old[i] = rz
            tangent(p, self.elements.conn, zero, self.t, law, self.geo, q, total)
            q[:, -3:] = 0.0
            for i in active:
                pq = dot(p[i], q[i])
                if not pq > 0.0:
                    return iteration
                x[i] += old[i] / pq * p[i]
                r[i] -= old[i] / pq * q[i]
        return maximum

    def step(self, strain: Array, strain0: Array, u: Array, u0: Array, vp: Array, materials: list[Material | None],
             response: Array, directions: tuple[int, ...], tolerance: float, loose: float, limit: int = 40) -> Step:  # fmt: skip
        """From the state (u0, strain0, vp) to the mean strain (6,) Mandel, iterating from u."""
        law, softening = self.law(materials)
        e, e0 = strain * ENGINEERING, strain0 * ENGINEERING
        solved = self._newton(e, e0, u, vp, law, tolerance, limit)
        if not solved.ok:
            return solved
        new, heat, sums = np.zeros_like(vp), np.zeros(self.size), np.zeros(15)
        settle(solved.u, u0, self.elements.conn, e, e0, vp, law, softening, self.geo, self.t, new, heat, sums)
        heat[-3:] = 0.0
        sums /= self.volume
        solved.vp, solved.energy, solved.dissipation, solved.work = new, float(sums[0]), float(sums[1]), float(sums[2])
        solved.creep, warm = sums[3:9] * ENGINEERING, sums[9:15]
        self._tangents(solved, law, response, directions, loose, heat, warm)
        return solved

    def _newton(self, e: Array, e0: Array, u: Array, vp: Array, law: Array, tolerance: float, limit: int) -> Step:
        conn, geo = self.elements.conn, self.geo
        f, sums, linear, last = np.zeros(self.size), np.zeros(8), 0, 0.0
        u = u.copy()
        evaluate(u, conn, e, vp, law, geo, f, self.t, sums)
        f[-3:] = 0.0
        face = geo[9] ** (1.0 / 6.0) * 8.0 ** (1.0 / 6.0)
        modulus = float(law[:, 0].max(initial=0.0)) * np.sqrt(self.volume)
        floor = modulus * max(1e-4 * float(np.abs(e - e0).max()), 1e-8 * float(np.abs(e).max()))
        for newton in range(limit + 1):
            scale, size = face * max(np.sqrt(sums[7]), floor), norm(f)
            stress = sums[:6] / self.volume * ENGINEERING
            if not np.isfinite(size):
                return Step(False, "the stress is not finite: shorten the step", newton, linear, np.inf, u, stress)
            if size <= tolerance * scale or scale == 0.0:
                linear += self._balance_work(e, u, vp, law, f, sums, scale)
                stress = sums[:6] / self.volume * ENGINEERING
                residual = norm(f) / scale if scale > 0 else 0.0
                return Step(True, "converged", newton, linear, residual, u, stress)
            if newton == limit:
                break
            eta = 0.1 if newton == 0 else min(0.1, 0.9 * (size / last) ** 2)
            goal = max(eta * size, 0.3 * tolerance * scale)
            last = size
            d = np.zeros((1, self.size))
            linear += self.conjugate(self.reference(law), law, -f[None], d, np.array([goal]), 3000)
            self._search(e, u, d[0], vp, law, f, sums)
        return Step(False, f"Newton's method did not converge in {limit} iterations: shorten the step", limit, linear,
                    size / scale, u, stress)  # fmt: skip

    def _search(self, e: Array, u: Array, d: Array, vp: Array, law: Array, f: Array, sums: Array) -> None:
        """Moves u along d until the potential's slope has changed enough; the potential is convex."""
        slope, a, low, at_low = dot(f, d), 1.0, 0.0, 0.0
        at_low = slope
        start = u.copy()
        for _ in range(12):
            u[:] = start + a * d
            evaluate(u, self.elements.conn, e, vp, law, self.geo, f, self.t, sums)
            f[-3:] = 0.0
            now = dot(f, d)
            if now <= 0.5 * abs(slope):
                return
            a, low = max(low + (a - low) * at_low / (at_low - now), 0.1 * a), low

    def _balance_work(self, e: Array, u: Array, vp: Array, law: Array, f: Array, sums: Array, scale: float) -> int:
        """A last step along the fluctuation itself until the residual does no work on it (Hill-Mandel)."""
        q, total = np.zeros((1, self.size)), np.zeros((1, 6))
        for count in range(4):
            gap, work = dot(u, f), abs(float(sums[:6] @ e))
            if abs(gap) <= 0.3 * HILL * max(work, 1e-300) or scale == 0.0:
                return count
            tangent(u[None], self.elements.conn, np.zeros((1, 6)), self.t, law, self.geo, q, total)
            stiff = dot(u, q[0])
            if not stiff > 0.0:
                return count
            u *= 1.0 - gap / stiff
            evaluate(u, self.elements.conn, e, vp, law, self.geo, f, self.t, sums)
            f[-3:] = 0.0
        return 4

    def _tangents(self, solved: Step, law: Array, start: Array, directions: tuple[int, ...], loose: float, heat: Array,
                  warm: Array) -> None:  # fmt: skip
        """Condensed tangent and its derivative by temperature from the responses to unit mean strains."""
        sides = len(directions)
        x, r, total = start.copy(), np.zeros((sides, self.size)), np.zeros((sides, 6))
        unit = np.eye(6)[list(directions)] * ENGINEERING
        tangent(np.zeros_like(x), self.elements.conn, unit, self.t, law, self.geo, r, total)
        floor = 1e-13 * float(law[:, 0].max(initial=0.0)) * self.geo[9] ** (1.0 / 6.0) * (8.0 * self.volume) ** 0.5
        goals = np.array([max(loose * norm(row), floor) for row in r])
        tangent(x, self.elements.conn, unit, self.t, law, self.geo, r, total)
        r[:, -3:] = 0.0
        r *= -1.0
        solved.linear += self.conjugate(self.reference(law), law, r, x, goals, 3000)
        tangent(x, self.elements.conn, unit, self.t, law, self.geo, r, total)
        r[:, -3:] = 0.0
        A, T = np.zeros((6, 6)), warm * ENGINEERING
        # <(e_k + B x_k) : C : (e_l + B x_l)>: the error of x enters squared
        for k, i in enumerate(directions):
            A[:, i] = total[k] * ENGINEERING
            for m, j in enumerate(directions):
                A[j, i] += dot(x[m], r[k])
            T[i] += dot(x[k], heat) / self.volume
        solved.tangent, solved.heat, solved.response = A / self.volume, T, x

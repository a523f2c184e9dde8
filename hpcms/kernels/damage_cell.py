"""One quasi-static step of gradient damage in a periodic cell of voxels, by alternating minimisation.

With the displacement u (mean strain plus a periodic fluctuation) and the nodal damage d, 0 <= d <= 1, the step minimises

    integral of g(d) psi+ + psi- + Gc / (c l) (w(d) + l^2 |grad d|^2),     g = (1 - k) (1 - d)^2 + k,

over u and over d >= the damage of the step before. AT1: w = d, c = 8/3; AT2: w = d^2, c = 2. Isotropic: psi+ is the
whole elastic energy. Split: psi- = K/2 <-tr eps>^2 stays whole, so that cracks close (Amor, Marigo, Maurini 2009).
Each of the two problems is convex. u: conjugate gradients with the Green operator of the mean moduli; with the split, once for
every change of the signs of the dilatation. d: projected Newton steps (Bertsekas 1982) with conjugate gradients on
the free nodes, preconditioned by a homogeneous screened Laplacian between the square roots of the diagonal. So the energy
of the discrete problem, Gauss points included, never rises.

Sources: B. Bourdin, G. A. Francfort, J.-J. Marigo, J. Mech. Phys. Solids 48 (2000) 797-826; K. Pham, H. Amor, J.-J. Marigo,
C. Maurini, Int. J. Damage Mech. 20 (2011) 618-652; Amor et al., J. Mech. Phys. Solids 57 (2009) 1209-1229.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.cell_points import PointCell, conjugate
from hpcms.kernels.green_screened import GreenScreened
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_damage import (
    damaged_forces,
    energies,
    loads,
    pulled,
    screened,
    shape_values,
    stresses,
    values,
    worked,
)  # fmt: skip
from hpcms.kernels.hex8_points import POINT
from hpcms.kernels.hex8_scalar import element_matrix
from hpcms.kernels.krylov import dot, norm

ENGINEERING = np.array([1.0, 1.0, 1.0, 2.0**0.5, 2.0**0.5, 2.0**0.5])  # Mandel strain -> 11 22 33 and twice the shears
NORMAL = {"AT1": 8.0 / 3.0, "AT2": 2.0}
ROUNDING = 1e-13  # nodal forces below this share of the stress count as zero
SIGNS = 40  # changes of the signs of the dilatation within one elastic solve
NEWTON = 2000  # projected steps within one damage solve
LINEAR = 3000  # conjugate gradient steps within one linear solve


class Material(NamedTuple):
    """K and 2 mu in Pa, Gc in J/m2; Gc = 0: the phase does not break."""

    bulk: float
    shear2: float
    toughness: float


class Options(NamedTuple):
    """``length``: l in m. ``gradient``: False leaves out |grad d|. ``residual``: k. Tolerances: of the nodal forces, of d.

    ``consistent``: the tangent lets the damage grow on the nodes where it is free to; else the damage is held.
    """

    kind: str
    length: float
    gradient: bool
    split: bool
    residual: float
    tolerance: float
    settled: float
    limit: int
    consistent: bool = True


@dataclass
class Step:
    """Means over the cell, Mandel; energies in J/m3. ``path``: the energy after each half of an alternation.

    ``tangent``: at fixed signs of the dilatation, the columns of ``directions`` only.
    """

    ok: bool
    reason: str
    alternations: int = 0
    linear: int = 0
    residual: float = np.inf
    u: Array = field(default_factory=lambda: np.zeros(0))
    d: Array = field(default_factory=lambda: np.zeros(0))
    stress: Array = field(default_factory=lambda: np.zeros(6))
    work: float = 0.0
    energy: float = 0.0
    dissipation: float = 0.0
    tangent: Array = field(default_factory=lambda: np.zeros((6, 6)))
    response: Array = field(default_factory=lambda: np.zeros(0))
    path: list[float] = field(default_factory=list)


class Grown(NamedTuple):
    """Where the damage is free, its second derivative at the points, the stress by d at the points, see ``_root``."""

    free: Array
    w: Array
    pull: Array
    root: Array


class DamageSolver:
    """Steps of one cell with given materials (index by phase, None for void)."""

    def __init__(self, cell: PointCell, materials: list[Material | None], options: Options) -> None:
        own = [m or Material(0.0, 0.0, 0.0) for m in materials]
        self.cell, self.options = cell, options
        self.moduli = np.stack([cell.by_lane([m[i] for m in own]) for i in (0, 1)], axis=1)
        level = cell.by_lane([m.toughness for m in own]) / (options.length * NORMAL[options.kind])
        self.level, self.breaks = np.tile(level, 8), np.tile(level > 0.0, 8)  # Pa, by point
        self.diffusion = 2.0 * options.length**2 * level * float(options.gradient)
        self.shape, self.stiffness = shape_values(), element_matrix(cell.spacing)
        self.green = GreenVector(cell.shape, cell.spacing)
        self.smooth = GreenScreened(cell.shape, cell.spacing)
        self.area = self._load(self.level)  # of a node, in the unit of d's residual
        self.solid = max(int((cell.voxels >= 0).sum()), 1)
        self.linear = 0

    # elasticity at fixed damage

    def _forces(self, u: Array, strain: Array, bulk: Array, shear: Array) -> tuple[Array, Array]:
        """Nodal forces and the integral of the stress, Mandel."""
        f, total = np.empty_like(u), np.zeros(6)
        damaged_forces(u, self.cell.conn, strain * ENGINEERING, bulk, shear, self.moduli, self.cell.geo, f, total)
        f[:, -1] = 0.0
        return f, total * ENGINEERING

    def _energies(self, u: Array, strain: Array) -> tuple[Array, Array]:
        """What the damage degrades and what it does not, J/m3 at the points; the phases that do not break stand in both."""
        cell, volumetric, deviatoric = self.cell, self.cell.points(), self.cell.points()
        energies(u, cell.conn, strain * ENGINEERING, self.moduli, cell.geo, volumetric, deviatoric)
        kept = np.minimum(volumetric, 0.0) if self.options.split else np.zeros_like(volumetric)
        return np.abs(volumetric) - np.abs(kept) + deviatoric, np.abs(kept)

    def _remains(self, d: Array) -> Array:
        """g at the points."""
        out, k = self.cell.points(), self.options.residual
        values(d, self.cell.conn, self.shape, out)
        return np.where(self.breaks, (1.0 - k) * (1.0 - out) ** 2 + k, 1.0)

    def _equilibrium(self, u: Array, strain: Array, g: Array) -> tuple[bool, float, Array]:
        """Moves u, in place, to the minimum at fixed damage; success, the relative residual and the factor on K."""
        cell = self.cell
        mu = 0.5 * float((self._by_point(1) * g).sum()) / (8 * self.solid)
        bulk = float((self._by_point(0) * g).sum()) / (8 * self.solid)
        self.green.set_moduli(bulk - 2.0 * mu / 3.0, mu)
        scale = float(self.moduli.max(initial=0.0)) * norm(strain) * cell.volume / max(cell.spacing)
        factor, size, goal = g, 0.0, 0.0
        for _ in range(SIGNS):
            if self.options.split:
                factor = np.where(self._energies(u, strain)[1] > 0.0, 1.0, g)
            uniform = norm(self._forces(np.zeros_like(u), strain, factor, g)[0].reshape(-1))
            goal = max(self.options.tolerance * uniform, ROUNDING * scale / float(np.sqrt(u.size)))
            r = -self._forces(u, strain, factor, g)[0]
            size = norm(r.reshape(-1))
            if size <= goal:
                break
            u += self._linear(r, factor, g, 0.3 * goal)
        return size <= goal, size / (goal + 1e-300) * self.options.tolerance, factor

    def _share(self, u: Array, strain: Array, g: Array) -> float:
        """How much of the fluctuation u suits the mean strain best; nothing of it where the strain is back at zero."""
        push = self._forces(np.zeros_like(u), strain, g, g)[0]
        stiff = dot(u.reshape(-1), self._forces(u, np.zeros(6), g, g)[0].reshape(-1))
        return -dot(u.reshape(-1), push.reshape(-1)) / stiff if stiff > 0.0 else 0.0

    def _by_point(self, which: int) -> Array:
        return np.tile(self.moduli[:, which], 8)

    def _linear(self, r: Array, factor: Array, g: Array, goal: float) -> Array:
        """K x = r at fixed factors."""
        zero = np.zeros(6)

        def inverse(v: Array) -> Array:
            z = self.cell.collect(v)
            return self.cell.spread(self.green(z, np.empty_like(z)))

        found = conjugate(lambda p: self._forces(p, zero, factor, g)[0], inverse, r, goal, LINEAR)
        self.linear += found.iterations
        return found.x

    # damage at fixed displacement

    def _load(self, w: Array, powers: Array | None = None) -> Array:
        """Integral of w N by node."""
        out = self.cell.field(1)
        loads(self.cell.conn, w, self.shape if powers is None else powers, float(self.cell.geo[9]), out)
        out[:, -1] = 0.0
        return out

    def _screen(self, d: Array, w: Array) -> Array:
        out, cell = self.cell.field(1), self.cell
        screened(d, cell.conn, w, self.diffusion, self.shape, self.stiffness, float(cell.geo[9]), out)
        out[:, -1] = 0.0
        return out

    def _damage(self, d: Array, lower: Array, active: Array) -> tuple[bool, Array]:
        """The minimum over d between ``lower`` and 1 at the degraded energy ``active``; success and d."""
        if not self.area.any():
            return True, d
        w = self._curvature(active)
        b = self._load(w - (1.0 if self.options.kind == "AT1" else 2.0) * self.level)
        root = self._root(w)
        goal = self.options.tolerance * norm(self.area.reshape(-1))
        d, r = d.copy(), b - self._screen(d, w)
        for _ in range(NEWTON):
            free = (self.area > 0.0) & ~((d <= lower) & (r < 0.0)) & ~((d >= 1.0) & (r > 0.0))
            if norm((r * free).reshape(-1)) <= goal:
                return True, d
            d, r = self._project(d, r, self._free_step(r * free, free, w, root, 0.3 * goal), lower, b, w)
        return False, d

    def _curvature(self, active: Array) -> Array:
        """Second derivative of the local energy by d at the points, Pa."""
        degraded = 2.0 * (1.0 - self.options.residual) * np.where(self.breaks, active, 0.0)
        return degraded + (0.0 if self.options.kind == "AT1" else 2.0) * self.level

    def _free_step(self, r: Array, free: Array, w: Array, root: Array, goal: float) -> Array:
        """The Newton step on the free nodes."""
        found = conjugate(lambda p: free * self._screen(p, w), lambda v: free * self._smooth(v, root), r, goal, LINEAR)
        self.linear += found.iterations
        return found.x

    def _root(self, w: Array) -> Array:
        """Square root of the mean diagonal over the diagonal; prepares the homogeneous inverse."""
        mean, k = float(w.sum()) / (8 * self.solid), float(self.diffusion.sum()) / self.solid
        self.smooth.set_coefficients(mean + 1e-12 * float(self.level.max(initial=0.0)), k)
        volume = self.cell.voxel
        own = self._load(w, self.shape**2) + self.stiffness[0, 0] * self._lumped(self.diffusion)
        usual = mean * volume * 8.0 / 27.0 + k * self.stiffness[0, 0] * 8.0
        return np.sqrt(usual / np.where(own > 0.0, own, usual))

    def _lumped(self, k: Array) -> Array:
        """Sum of k over the voxels at a node."""
        return self._load(np.tile(k, 8), np.full((8, 8), 0.125 / float(self.cell.geo[9])))

    def _smooth(self, v: Array, root: Array) -> Array:
        return root * self.cell.spread(self.smooth(self.cell.collect(root * v)))

    def _project(self, d: Array, r: Array, step: Array, lower: Array, b: Array, w: Array) -> tuple[Array, Array]:
        """The longest of the steps 1, 1/2, 1/4 ... along the projected path that lowers the energy, and its residual."""
        share = 1.0
        while True:
            new = np.clip(d + share * step, lower, np.maximum(lower, 1.0))
            new_r = b - self._screen(new, w)
            # the energy is quadratic: its change is minus the step times the mean of the residuals
            if dot((new - d).reshape(-1), (r + new_r).reshape(-1)) >= 0.0 or share < 1e-6:
                return new, new_r
            share *= 0.5

    def fracture(self, d: Array) -> float:
        """The energy of the cracks over the volume of the cell, J/m3."""
        first, flat = self.options.kind == "AT1", d.reshape(-1)
        w = self.level * (0.0 if first else 2.0)
        total = 0.5 * dot(flat, self._screen(d, w).reshape(-1)) + float(first) * dot(flat, self.area.reshape(-1))
        return total / self.cell.volume

    # the step

    def step(self, strain: Array, u: Array, lower: Array, response: Array, directions: tuple[int, ...]) -> Step:
        """Alternates from the damage ``lower`` of the step before; u (3, nodes + 1) and response: first iterates."""
        solved = Step(False, "", u=u.copy(), d=lower.copy(), response=response.copy())
        self.linear, change, u = 0, np.inf, solved.u
        u *= self._share(u, strain, self._remains(lower))
        for solved.alternations in range(1, self.options.limit + 1):
            g = self._remains(solved.d)
            balanced, solved.residual, factor = self._equilibrium(u, strain, g)
            solved.linear = self.linear
            if not balanced:
                solved.reason = "the elastic solve did not converge: raise residual_stiffness or the tolerance"
                return solved
            active, kept = self._energies(u, strain)
            solved.path.append(self._mean(g * active + kept) + self.fracture(solved.d))
            if change <= self.options.settled:
                solved.ok, solved.reason = True, "converged"
                self._settle(solved, strain, g, factor, lower)
                grown = self._grown(solved, strain, factor, lower, active) if self.options.consistent else None
                if not self._respond(solved, factor, g, directions, grown):
                    solved.reason = "converged where the damage may run: the tangent holds the damage"
                    self._respond(solved, factor, g, directions, None)
                return solved
            found, new = self._damage(solved.d, lower, active)
            if not found:
                solved.reason = "the damage solve did not converge: shorten the step"
                return solved
            change, solved.d = float(np.abs(new - solved.d).max()), new
            solved.path.append(self._mean(self._remains(new) * active + kept) + self.fracture(new))
        solved.reason = (
            f"the damage still moves after {self.options.limit} alternations: shorten the step or allow more"
        )
        return solved

    def _mean(self, density: Array) -> float:
        return float(density.sum()) * float(self.cell.geo[9]) / self.cell.volume

    def _settle(self, solved: Step, strain: Array, g: Array, factor: Array, old: Array) -> None:
        """Means; a last step along the fluctuation itself leaves no work in the residual: Hill-Mandel to rounding."""
        cell, u = self.cell, solved.u
        f, total = self._forces(u, strain, factor, g)
        stiff, push = self._forces(u, np.zeros(6), factor, g)
        energy = dot(u.reshape(-1), stiff.reshape(-1))
        s = -dot(u.reshape(-1), f.reshape(-1)) / energy if energy > 0.0 else 0.0
        u *= 1.0 + s
        f, total = f + s * stiff, total + s * push
        solved.stress = total / cell.volume
        solved.work = float(solved.stress @ strain) + dot(u.reshape(-1), f.reshape(-1)) / cell.volume
        active, kept = self._energies(u, strain)
        solved.energy = self._mean(g * active + kept)
        solved.dissipation = self.fracture(solved.d) - self.fracture(old)

    def _grown(self, solved: Step, strain: Array, factor: Array, lower: Array, active: Array) -> Grown | None:
        """What the damage does to the stress where it is free to grow; None where it is nowhere."""
        free = (self.area > 0.0) & (solved.d > lower) & (solved.d < 1.0)
        if not free.any():
            return None
        cell, at, pull = self.cell, self.cell.points(), np.zeros((len(self.cell.voxels), 8 * POINT))
        values(solved.d, cell.conn, self.shape, at)
        slope = np.where(self.breaks, -2.0 * (1.0 - self.options.residual) * (1.0 - at), 0.0)
        bulk = np.where(factor == 1.0, 0.0, slope) if self.options.split else slope
        stresses(solved.u, cell.conn, strain * ENGINEERING, bulk, slope, self.moduli, cell.geo, pull)
        w = self._curvature(active)
        return Grown(free, w, pull, self._root(w))

    def _both(self, x: Array, unit: Array, factor: Array, g: Array, grown: Grown | None) -> tuple[Array, Array]:
        """Forces (4, nodes + 1) and the integral of the stress for a change x of u and d and of the mean strain."""
        f, total = np.zeros_like(x), np.zeros(6)
        f[:3], total = self._forces(x[:3], unit, factor, g)
        if grown is not None:
            cell, at, more = self.cell, self.cell.points(), np.zeros(6)
            values(x[3:], cell.conn, self.shape, at)
            pulled(at, grown.pull, cell.conn, cell.geo, f[:3], more)
            worked(x[:3], cell.conn, unit * ENGINEERING, grown.pull, cell.geo, at)
            f[3:], total = grown.free * (self._screen(x[3:], grown.w) + self._load(at)), total + more * ENGINEERING
            f[:, -1] = 0.0
        return f, total

    def _respond(self, solved: Step, factor: Array, g: Array, directions: tuple[int, ...], grown: Grown | None) -> bool:
        """Responses to unit mean strains, and from them the condensed tangent; errors enter squared. False: not positive."""
        cell, zero = self.cell, np.zeros(6)

        def inverse(v: Array) -> Array:
            z, out = cell.collect(v[:3]), np.zeros_like(v)
            out[:3] = cell.spread(self.green(z, np.empty_like(z)))
            if grown is not None:
                out[3:] = grown.free * self._smooth(grown.free * v[3:], grown.root)
            return out

        x = np.concatenate([solved.response, np.zeros((len(directions), 1, cell.nodes + 1))], axis=1)
        f, tangent = np.zeros_like(x), np.zeros((6, 6))
        least = (
            ROUNDING
            * float(self.moduli.max(initial=0.0))
            * cell.volume
            / max(cell.spacing)
            / float(np.sqrt(3 * cell.nodes))
        )
        for k, i in enumerate(directions):
            unit = np.eye(6)[i]
            load = norm(self._both(np.zeros_like(x[k]), unit, factor, g, grown)[0].reshape(-1))
            goal = max(float(np.sqrt(self.options.tolerance)) * load, least)
            found = conjugate(lambda p: self._both(p, zero, factor, g, grown)[0], inverse,
                              -self._both(x[k], unit, factor, g, grown)[0], goal, LINEAR)  # fmt: skip
            self.linear += found.iterations
            if not found.positive:
                return False
            x[k] += found.x
            f[k], total = self._both(x[k], unit, factor, g, grown)
            tangent[:, i] = total / cell.volume
        for k, i in enumerate(directions):
            for m, j in enumerate(directions):
                tangent[j, i] += dot(x[m].reshape(-1), f[k].reshape(-1)) / cell.volume
        solved.tangent, solved.response, solved.linear = tangent, x[:, :3], self.linear
        return True

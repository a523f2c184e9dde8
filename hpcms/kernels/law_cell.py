"""A periodic cell whose phases follow laws, over one step: Newton's method on the fluctuation and the free mean strains.

Directions come from conjugate gradients preconditioned with a homogeneous cell of the current mean tangent, in single precision,
checked and where needed completed in double, no more accurate than the next Newton step can keep. Where the method fails it starts
again from the start of the step, then the step is cut. Responses of the fluctuation to unit mean strains give the macroscopic
tangent by condensation, without differences, and by a last step in their span a mean stress that does not feel the residual to
first order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.krylov import Stop, dot, norm
from hpcms.kernels.law_grid import ENGINEERING, LawGrid
from hpcms.kernels.laws import HISTORY, Law

CURVED = 50.0  # the relative residual after a Newton step over the square of the one before, an upper estimate
FORCING = 0.1  # the largest share of a residual that a direction may leave
SINGLE = 1e-4  # the smallest reduction of a residual that single precision is asked for
SLIGHT = 0.01  # condensed moduli below this share of the mean tangent need no relative accuracy
HILL = 1e-11  # accepted |<sigma:eps> - <sigma>:<eps>| over |<sigma>| |<eps>|
LINES = 128  # records that are worked on at once
WARMER = 0.01  # K, half the difference of temperatures for derivatives of the laws
TINY = 1e-300


@dataclass(frozen=True)
class Start:
    """A step's drive and what it starts from; (6,) Mandel strains and stresses, vectors of the grid.

    ``strain``: the mean strain, of free components ``strain0``; ``stress``: the mean stress of free components. ``u0``,
    ``strain0``, ``history`` (an array by phase): at the start of the step. ``u``: first iterate; ``response``: first iterates of
    the responses to unit strains in the Mandel ``directions``, none for no tangent. Vectors end with the free components of
    their mean strain.
    """

    strain: Array
    stress: Array
    strain0: Array
    u0: Array
    history: list[Array]
    u: Array
    dt: float
    temperature: float
    response: Array = field(default_factory=lambda: np.zeros((0, 0)))
    directions: tuple[int, ...] = ()


@dataclass
class Step:
    """What a step ends with; means over the cell in Mandel components.

    ``residual``: of the nodal forces over those that the local stresses would cause alone. ``tangent``: (6, 6), columns that
    were not asked for are zero; ``dissipated``: what the laws dissipate, J/m^3; ``gap``: of Hill and Mandel, relative to local
    stresses.
    """

    ok: bool
    reason: str
    newton: int = 0
    linear: int = 0
    residual: float = np.inf
    u: Array = field(default_factory=lambda: np.zeros(0))
    strain: Array = field(default_factory=lambda: np.zeros(6))
    stress: Array = field(default_factory=lambda: np.zeros(6))
    energy: float = 0.0
    dissipated: float = 0.0
    tangent: Array = field(default_factory=lambda: np.zeros((6, 6)))
    history: list[Array] = field(default_factory=list)
    response: Array = field(default_factory=lambda: np.zeros((0, 0)))
    gap: float = 0.0
    cuts: int = 1


class LawSolver:
    """Steps of one cell; ``laws`` by phase."""

    def __init__(self, grid: LawGrid, laws: list[Law], tolerance: float, loose: float, limit: int) -> None:
        self.grid, self.laws, self.tolerance, self.loose, self.limit = grid, laws, tolerance, loose, limit
        ends = np.searchsorted(grid.phase, np.arange(len(laws) + 1))
        self.blocks = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self.sums, self.f = np.zeros(9), np.zeros(grid.length)
        self.chunk = max(LINES // grid.points, 1)
        self.records = [np.empty((self.chunk * grid.points, (HISTORY + law.rows) * LANES)) for law in laws]
        self.free = [np.zeros(6) for _ in laws]
        self.parameters = [np.zeros(0) for _ in laws]
        self.history: list[Array] = []
        self.target = np.zeros(6)

    def rest(self) -> list[Array]:
        """Histories of a virgin cell, by phase."""
        rows = [law.rows * self.grid.points * LANES for law in self.laws]
        return [np.zeros((b.stop - b.start, r)) for b, r in zip(self.blocks, rows, strict=True)]

    def prepare(self, start: Start) -> None:
        """Drive, parameters of the laws and history of a step."""
        self.free = [law.free_strain(start.temperature) for law in self.laws]
        self.parameters = [law.parameters(start.dt, start.temperature) for law in self.laws]
        self.history, self.target = start.history, start.stress

    def evaluate(self, v: Array, fixed: Array, kept: list[Array] | None = None) -> None:
        """Forces, integrals and tangents at a vector; ``kept``: new histories."""
        grid, kernels, u = self.grid, self.grid.kernels, self.grid.field(v)
        self.f, mean = np.zeros_like(v), grid.strain(v, fixed)
        self.sums[:] = 0.0
        for k, law in enumerate(self.laws):
            e, first, last = (mean - self.free[k]) * ENGINEERING, self.blocks[k].start, self.blocks[k].stop
            for b in range(first, last, self.chunk):
                part = slice(b, min(b + self.chunk, last))
                own = slice(b - first, part.stop - first)
                w = self.records[k][: (part.stop - b) * grid.points]
                kernels.load(u, grid.conn[part], e, self.history[k][own], grid.average[part], grid.geo, w)
                law.update(w, self.parameters[k])
                kernels.unload(w, grid.conn[part], grid.weight[part], grid.average[part], grid.geo, grid.field(self.f),
                               grid.t[part], self.sums)  # fmt: skip
                if kept is not None:
                    kernels.keep(w, kept[k][own])
        grid.close(self.f, self.sums[:6] - self.target / ENGINEERING * grid.volume)

    def stress(self) -> Array:
        """(6,) mean stress."""
        stress: Array = self.sums[:6] * ENGINEERING / self.grid.volume
        return stress

    def step(self, start: Start) -> Step:
        """Solves the step; where Newton's method fails, in more and more parts."""
        newton = linear = 0
        for cuts in (1, 4, 16):
            done = self._parts(start, cuts)
            newton, linear = newton + done.newton, linear + done.linear
            if done.ok:
                break
        done.newton, done.linear, done.cuts = newton, linear, cuts
        if not done.ok:
            done.reason = f"{done.reason}; cut into {cuts} parts it failed as well"
        elif cuts > 1:
            done.reason = f"converged in {cuts} parts"
        return done

    def _parts(self, start: Start, cuts: int) -> Step:
        """The step in equal parts, each from the history of the one before."""
        done, newton, linear, lost = Step(False, ""), 0, 0, 0.0
        u, u0, strain0, history = start.u, start.u0, start.strain0, start.history
        stress0 = start.stress if cuts == 1 else self._start_stress(start)
        for part in range(1, cuts + 1):
            share, last = part / cuts, part == cuts
            strain = start.strain if last else start.strain0 + share * (start.strain - start.strain0)
            stress = start.stress if last else stress0 + share * (start.stress - stress0)
            done = self._one(Start(strain, stress, strain0, u0, history, u, start.dt / cuts, start.temperature,
                                   start.response if last else start.response[:0],
                                   start.directions if last else ()))  # fmt: skip
            newton, linear, lost = newton + done.newton, linear + done.linear, lost + done.dissipated
            if not done.ok:
                break
            u = u0 = done.u
            strain0, history = done.strain, done.history
        done.newton, done.linear, done.dissipated = newton, linear, lost
        return done

    def _start_stress(self, start: Start) -> Array:
        """Mean stress at the start of the step."""
        self.prepare(start)
        self.evaluate(start.u0, self._fixed(start.strain0))
        return self.stress()

    def _fixed(self, strain: Array) -> Array:
        """The part of a mean strain that is not in the vector."""
        fixed = np.array(strain, float)
        fixed[self.grid.free] = 0.0
        return fixed

    def _one(self, start: Start) -> Step:
        """One part: solve, respond, polish, settle."""
        self.prepare(start)
        fixed, done, newton, linear = self._fixed(start.strain), Step(False, ""), 0, 0
        for u in (start.u, start.u0):
            done = self._newton(fixed, start, u.copy())
            newton, linear = newton + done.newton, linear + done.linear
            if done.ok:
                break
        done.newton, done.linear = newton, linear
        if done.ok:
            self._respond(done, start)
            self._polish(done, start, fixed)
            self._settle(done, fixed)
        return done

    def _newton(self, fixed: Array, start: Start, u: Array) -> Step:
        """Iterates u in place until the residual is at most ``tolerance`` times ``_scale``."""
        self.evaluate(u, fixed)
        # stresses far below what the increment would cause at once count as zero
        self.grid.refer()
        jump = np.abs(start.strain - start.strain0).max(initial=1e-4 * float(np.abs(start.strain).max()))
        floor = max(1e-4 * float(np.abs(self.grid.tangent).max()) * jump, float(np.abs(start.stress).max()))
        linear, size, scale = 0, np.inf, TINY
        for newton in range(self.limit + 1):
            scale, size = self._scale(floor), norm(self.f)
            if not np.isfinite(size):
                return Step(False, "the stress is not finite: shorten the step", newton, linear, np.inf, u)
            if size <= self.tolerance * scale:
                return Step(True, "converged", newton, linear, size / scale, u)
            if newton == self.limit:
                break
            # no closer than the next Newton step can keep: its error is of second order in the relative residual
            share = min(FORCING, max(CURVED * size / scale, SINGLE))
            d, steps = self.direction(max(share * size, 0.3 * self.tolerance * scale))
            linear += steps
            self._search(u, d, fixed)
        reason = f"Newton's method did not converge in {self.limit} iterations: shorten the step"
        return Step(False, reason, self.limit, linear, size / scale, u)

    def _scale(self, floor: float) -> float:
        """Norm of the nodal forces that the local stresses would cause alone; ``floor``: a least root mean square stress."""
        root = max(float(np.sqrt(self.sums[6])), floor * float(np.sqrt(self.grid.volume)))
        return self.grid.face * root + TINY

    def direction(self, goal: float) -> tuple[Array, int]:
        """Newton's direction and the iterations: single precision, and what that leaves in double."""
        self.grid.refer()
        d, steps, _ = self.grid.conjugate((-self.f).astype(np.float32), Stop(goal))
        d = d.astype(float)
        q = np.zeros_like(d)
        self.grid.multiply(d, np.zeros(6), q)
        r = -self.f - q
        if norm(r) <= 3.0 * goal:
            return d, steps
        if not norm(r) < norm(self.f):
            d, r = np.zeros_like(d), -self.f
        more, further, _ = self.grid.conjugate(r, Stop(goal))
        return d + more, steps + further

    def _search(self, u: Array, d: Array, fixed: Array) -> None:
        """Moves u along d until the slope of the (convex) potential is no longer steep uphill."""
        start, slope, a = u.copy(), dot(self.f, d), 1.0
        for _ in range(12):
            u[:] = start + a * d
            self.evaluate(u, fixed)
            now = dot(self.f, d)
            if now <= 0.5 * abs(slope):
                return
            a *= max(slope / (slope - now), 0.1)

    def _condensed(self, x: Array, i: int) -> tuple[Array, Array, float]:
        """Forces on the fluctuation, mean stress and energy of the unit strain i with the fluctuation x."""
        f, grid = np.zeros_like(x), self.grid
        stress = grid.multiply(x, np.eye(6)[i], f) / grid.volume
        f[grid.nodes :] = 0.0
        return f, stress, float(stress[i]) * grid.volume + dot(x, f)

    def _response(self, x: Array, i: int) -> tuple[Array, Array, Array, int]:
        """The response to the unit strain i from the first iterate x, its forces, its mean stress and the iterations."""
        grid = self.grid
        f, stress, energy = self._condensed(x, i)
        stiff = float(grid.tangent.diagonal().max()) + grid.mean
        count, share, least = 0, 0.1 * self.loose, 0.1 * self.loose * SLIGHT * stiff * grid.volume
        rounding = 1e-14 * stiff * grid.face * float(np.sqrt(grid.volume))
        if not energy <= 2.0 * ENGINEERING[i] ** 2 * stiff * grid.volume:  # more than without fluctuation
            x = np.zeros_like(x)
            f, stress, energy = self._condensed(x, i)
        for kind in (np.float32, np.float64):
            d, steps, left = grid.conjugate((-f).astype(kind), Stop(rounding, energy, share, least), whole=False)
            if steps == 0:
                break
            count += steps
            forces, mean, now = self._condensed(x + d, i)
            if now <= energy:
                x, f, stress, energy = x + d, forces, mean, now
            if now - left <= max(10.0 * share * now, 10.0 * least):
                break
        return x, f, stress, count

    def _respond(self, done: Step, start: Start) -> None:
        """Responses to unit mean strains, and from them the condensed tangent."""
        x, directions = start.response.astype(float), start.directions
        stress, f = np.zeros((len(x), 6)), np.zeros_like(x)
        self.grid.refer()
        for k, i in enumerate(directions):
            x[k], f[k], stress[k], steps = self._response(x[k], i)
            done.linear += steps
        # <(e_k + B x_k) : C : (e_l + B x_l)>: the error of x enters squared
        for k, i in enumerate(directions):
            for m, j in enumerate(directions):
                done.tangent[j, i] = stress[k, j] + dot(x[m], f[k]) / self.grid.volume
        done.response = x

    def _polish(self, done: Step, start: Start, fixed: Array) -> None:
        """Last steps in the span of the fluctuation, the responses and the free strains, until the residual does no work there.

        On the fluctuation: Hill and Mandel hold. On the responses: the residual's error of the mean stress is of second
        order, as the derivative of the stress by the residual is the response.
        """
        u, grid = done.u, self.grid
        ends = [(np.arange(grid.length) == grid.nodes + k).astype(float) for k in range(len(grid.free))]
        for count in range(4):
            inner, before = u.copy(), start.u0.copy()
            inner[grid.nodes :], before[grid.nodes :] = 0.0, 0.0
            work = norm(self.stress()) * max(norm(grid.strain(u, fixed)), TINY) * grid.volume
            gap = max(abs(dot(inner, self.f)), abs(dot(before, self.f)))
            rows = [
                row / norm(row) for row in (inner, before, *(done.response if count == 0 else [])) if norm(row) > 0.0
            ]
            if not rows or ((count or len(done.response) == 0) and gap <= 0.1 * HILL * work):
                break
            rows += ends
            force = np.array([dot(row, self.f) for row in rows])
            q, stiff = np.zeros_like(u), np.zeros((len(rows), len(rows)))
            for k, row in enumerate(rows):
                grid.multiply(row, np.zeros(6), q)
                stiff[k] = [dot(other, q) for other in rows]
            for share, row in zip(np.linalg.lstsq(stiff, force, rcond=1e-12)[0], rows, strict=True):
                u -= share * row
            done.history = [np.zeros_like(h) for h in self.history]
            self.evaluate(u, fixed, done.history)

    def _settle(self, done: Step, fixed: Array) -> None:
        """The new history and the means of the answers."""
        grid = self.grid
        if not done.history:
            done.history = [np.zeros_like(h) for h in self.history]
            self.evaluate(done.u, fixed, done.history)
        done.strain, done.stress = grid.strain(done.u, fixed), self.stress()
        done.energy, done.dissipated = (self.sums[7:] / grid.volume).tolist()
        done.residual = norm(self.f) / self._scale(0.0)
        work = float(np.sqrt(self.sums[6] * grid.volume)) * norm(done.strain) + self.sums[7] + TINY
        done.gap = abs(dot(done.u[: grid.nodes], self.f[: grid.nodes])) / work

    def heat(self, done: Step, start: Start) -> Array:
        """(6,) d stress/dT at the mean strain that was reached, in the directions of ``start``; no further solve.

        The laws themselves are differentiated by central differences at the points; the responses carry the result to the mean.
        """
        answer, grid, forces, stress = np.zeros(6), self.grid, [], []
        warm = [(law.parameters(start.dt, start.temperature + side), law.free_strain(start.temperature + side))
                for side in (-WARMER, WARMER) for law in self.laws]  # fmt: skip
        here = list(zip(self.parameters, self.free, strict=True)) * 2
        if all(np.array_equal(a, c) and np.array_equal(b, d) for (a, b), (c, d) in zip(warm, here, strict=True)):
            return answer
        for side in (-WARMER, WARMER):
            self.prepare(Start(start.strain, start.stress, start.strain0, start.u0, start.history, start.u, start.dt,
                                start.temperature + side))  # fmt: skip
            self.evaluate(done.u, self._fixed(start.strain))
            forces.append(self.f)
            stress.append(self.stress())
        f, change = (forces[1] - forces[0]) / (2.0 * WARMER), (stress[1] - stress[0]) / (2.0 * WARMER)
        f[grid.nodes :] = 0.0
        for x, i in zip(done.response, start.directions, strict=True):
            answer[i] = change[i] + dot(x, f) / grid.volume
        return answer

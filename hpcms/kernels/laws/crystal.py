"""Crystal plasticity of face centred cubic metals: twelve systems {111}<110>, rate dependent, one hardening for all of them.

    |gamma_a'| = rate <(|tau_a| - r) / drag>^n,   tau_a = P_a : sigma,   eps_p' = sum_a gamma_a' P_a,
    r = yield + H G + Q (1 - exp(-b G)),   G = sum_a int |gamma_a'| dt

(Meric, Poubanne and Cailletaud, J. Eng. Mater. Technol. 113, 162-170, 1991, with Taylor's hardening). A small drag is the rate
independent crystal; yield = 0 without hardening is the power law |tau / drag|^n. Backward Euler, solved for the stress and the
increment x of G by Newton's method with a line search; with A_a = d gamma_a / d tau_a, v = sum A_a sign(tau_a) P_a and r' = dr/dG

    tangent = (S + sum A_a P_a P_a - r' / (1 + r' sum A_a) v v)^-1,

which is symmetric. Energy: elastic, H G^2 / 2 + Q (G + (exp(-b G) - 1) / b); dissipation: sum_a (|tau_a| - r + yield) |gamma_a|.
History: plastic strain (6, Mandel) and G. A point that does not converge answers NaN, so that the cell cuts its step.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from hpcms.contracts import Array, Unit
from hpcms.errors import BadInput
from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.laws._base import HISTORY, TANGENT, VOLUME, Law, bunge, mandel, rotation
from hpcms.kernels.laws._bricks import put_energies

SYSTEMS, LIMIT = 12, 200
SLIP = 72  # place of the Schmid tensors, after stiffness and compliance
HARD = SLIP + 6 * SYSTEMS  # yield, H, Q, b, drag, n, rate dt
ACCURATE, ROUGH = 1e-13, 1e-9  # residual strains over trial strains: wanted, and accepted where rounding ends the way
VANISHING = 1e-30


def schmid() -> Array:
    """(12, 6) Mandel P_a = sym(s n) of the systems {111}<110> in the crystal's own frame."""
    planes = [np.array((1, a, b)) / 3**0.5 for a, b in product((1, -1), repeat=2)]
    slips = [np.roll((0, 1, sign), k) / 2**0.5 for k in range(3) for sign in (1, -1)]
    pairs = [(s, n) for n in planes for s in slips if abs(s @ n) < 1e-12]
    return np.array([mandel(0.5 * (np.outer(s, n) + np.outer(n, s))) for s, n in pairs])


@jit
def _flow(p: Any, stress: Any, r: float, slope: float, g: Any, M: Any, v: Any) -> Any:
    """g <- slips of the step (signed), M <- S + sum A P P (lower half), v <- sum A sign P.

    Sum of |slips|, of A and of (|tau| - r) |slip|."""
    drag, n, dt = p[HARD + 4], p[HARD + 5], p[HARD + 6]
    total, A, lost = 0.0, 0.0, 0.0
    for i in range(36):
        M[i] = p[36 + i]
    for i in range(6):
        v[i] = 0.0
    for a in range(SYSTEMS):
        o, tau = SLIP + 6 * a, 0.0
        for i in range(6):
            tau += p[o + i] * stress[i]
        sign, f = (1.0 if tau > 0.0 else -1.0), (abs(tau) - r) / drag
        g[a] = 0.0
        if f > 0.0:
            power = dt * f ** (n - 1.0)
            size, c = power * f, n * power / drag
            g[a], total, A, lost = sign * size, total + size, A + c, lost + size * drag * f
            for i in range(6):
                v[i] += c * sign * p[o + i]
                for j in range(i + 1):
                    M[6 * i + j] += c * p[o + i] * p[o + j]
    w = slope / (1.0 + slope * A)
    for i in range(6):
        for j in range(i + 1):
            M[6 * i + j] -= w * v[i] * v[j]
    return total, A, lost


@jit
def _residual(p: Any, stress: Any, x: float, total: float, trial: Any, g: Any, R: Any) -> float:
    """R <- S sigma - trial + sum gamma P; squared norm of it and of x - sum |gamma|."""
    size = (x - total) * (x - total)
    for i in range(6):
        R[i] = -trial[i]
        for j in range(6):
            R[i] += p[36 + 6 * i + j] * stress[j]
        for a in range(SYSTEMS):
            R[i] += g[a] * p[SLIP + 6 * a + i]
        size += R[i] * R[i]
    return size


@jit
def _factor(M: Any) -> None:
    """M <- its lower Cholesky factor, 6 x 6 by rows."""
    for i in range(6):
        for j in range(i + 1):
            s = M[6 * i + j]
            for k in range(j):
                s -= M[6 * i + k] * M[6 * j + k]
            M[6 * i + j] = np.sqrt(s) if i == j else s / M[7 * j]


@jit
def _solve(M: Any, x: Any) -> None:
    """x <- (L L^T)^-1 x."""
    for i in range(6):
        for k in range(i):
            x[i] -= M[6 * i + k] * x[k]
        x[i] /= M[7 * i]
    for m in range(6):
        i = 5 - m
        for k in range(i + 1, 6):
            x[i] -= M[6 * k + i] * x[k]
        x[i] /= M[7 * i]


@jit
def _resistance(p: Any, G: float) -> Any:
    """r and dr/dG."""
    gone = np.exp(-p[HARD + 3] * G)
    return p[HARD] + p[HARD + 1] * G + p[HARD + 2] * (1.0 - gone), p[HARD + 1] + p[HARD + 2] * p[HARD + 3] * gone


@jit
def _start(p: Any, trial: Any, stress: Any, r: float, size: float) -> None:
    """stress <- C : trial, scaled down so that no system slips by more than ``size``, the norm of the trial strain.

    That is on the steep side of the solution, from where Newton's method comes down without a line search.
    """
    most = 0.0
    for i in range(6):
        stress[i] = 0.0
        for j in range(6):
            stress[i] += p[6 * i + j] * trial[j]
    for a in range(SYSTEMS):
        tau = 0.0
        for i in range(6):
            tau += p[SLIP + 6 * a + i] * stress[i]
        most = max(most, abs(tau))
    steep = (size / (p[HARD + 6] + VANISHING)) ** (1.0 / p[HARD + 5])
    scale = min(1.0, (r + p[HARD + 4] * steep) / (most + VANISHING))
    for i in range(6):
        stress[i] *= scale


@jit
def _direction(M: Any, v: Any, R: Any, slope: float, A: float, rest: float, d: Any) -> float:
    """d <- Newton's step of the stress; that of x. ``rest``: x - sum |gamma|. M becomes its factor."""
    coupling = 1.0 + slope * A
    _factor(M)
    for i in range(6):
        d[i] = -R[i] - slope * v[i] * rest / coupling
    _solve(M, d)
    dx = -rest
    for i in range(6):
        dx += v[i] * d[i]
    return dx / coupling


@jit
def _along(a: Any, b: Any) -> float:
    total = 0.0
    for i in range(6):
        total += a[i] * b[i]
    return total


@jit
def point(p: Any, trial: Any, G: float, stress: Any, g: Any, M: Any, work: Any) -> Any:
    """One point: stress, slips g and the factor in M of the inverse tangent; x, sum of (|tau| - r) |slip|. NaN: it failed."""
    v, R, d, old = work[:6], work[6:12], work[12:18], work[18:24]
    r, slope = _resistance(p, G)
    size, x, before = VANISHING, 0.0, np.inf
    for i in range(6):
        size += trial[i] * trial[i]
    _start(p, trial, stress, r, np.sqrt(size))
    total, A, lost = _flow(p, stress, r, slope, g, M, v)
    now = _residual(p, stress, x, total, trial, g, R)
    for _ in range(LIMIT):
        if now <= ACCURATE * ACCURATE * size or (now <= ROUGH * ROUGH * size and not now < before):
            break
        rest = x - total
        dx, x0, share, before = _direction(M, v, R, slope, A, rest, d), x, 1.0, now
        down = _along(R, d) + slope * rest * dx
        for i in range(6):
            old[i] = stress[i]
        for _ in range(40):
            x = max(x0 + share * dx, 0.0)
            for i in range(6):
                stress[i] = old[i] + share * d[i]
            r, slope = _resistance(p, G + x)
            total, A, lost = _flow(p, stress, r, slope, g, M, v)
            now = _residual(p, stress, x, total, trial, g, R)
            climb = _along(R, d) + slope * (x - total) * dx
            if climb <= -0.5 * down:  # not far beyond the least potential on the way
                break
            share *= max(down / (down - climb), 0.2)
    if not now <= ROUGH * ROUGH * size:
        stress[0] = np.nan
    _factor(M)
    return x, lost


@jit
def update(w: Array, parameters: Array) -> None:
    """parameters: stiffness and compliance (6 x 6), Schmid tensors, then see ``HARD``. See ``laws``."""
    trial, stress, g, M, work = np.empty(6), np.empty(6), np.empty(SYSTEMS), np.empty(36), np.empty(24)
    for i in range(w.shape[0]):
        v = w[i]
        for lane in range(LANES):
            for r in range(6):
                trial[r] = v[r * LANES + lane] - v[(HISTORY + r) * LANES + lane]
            o = (HISTORY + 6) * LANES + lane
            x, lost = point(parameters, trial, v[o], stress, g, M, work)
            v[o] += x
            elastic = 0.0
            for r in range(6):
                slip = 0.0
                for a in range(SYSTEMS):
                    slip += g[a] * parameters[SLIP + 6 * a + r]
                v[(HISTORY + r) * LANES + lane] += slip
                elastic += 0.5 * stress[r] * (trial[r] - slip)
                v[r * LANES + lane] = stress[r]
            _tangent(v, lane, M, work)
            H, Q, b = parameters[HARD + 1], parameters[HARD + 2], parameters[HARD + 3]
            stored = 0.5 * H * v[o] * v[o] + Q * (v[o] + (np.exp(-b * v[o]) - 1.0) / b)
            put_energies(v, lane, elastic + stored, lost + parameters[HARD] * x)


@jit
def _tangent(v: Any, lane: int, M: Any, work: Any) -> None:
    """Upper triangle of the inverse whose factor is M."""
    e, n = work[:6], TANGENT
    for a in range(6):
        for i in range(6):
            e[i] = 1.0 if i == a else 0.0
        _solve(M, e)
        for b in range(a, 6):
            v[n * LANES + lane] = e[b]
            n += 1


@dataclass(frozen=True, kw_only=True)
class Crystal(Law):
    """Cubic elasticity ``c11``, ``c12``, ``c44``; ``orientation``: Bunge's angles in degrees."""

    c11: Annotated[float, Unit("Pa", above=0)]
    c12: Annotated[float, Unit("Pa")]
    c44: Annotated[float, Unit("Pa", above=0)]
    yield_stress: Annotated[float, Unit("Pa", least=0)]
    drag: Annotated[float, Unit("Pa", above=0)]
    n: Annotated[float, Unit("", least=1, most=200)]
    slip_rate: Annotated[float, Unit("1/s", above=0)]
    hardening: Annotated[float, Unit("Pa", least=0)] = 0.0
    saturation: Annotated[float, Unit("Pa", least=0)] = 0.0
    saturation_rate: Annotated[float, Unit("", above=0)] = 1.0
    orientation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    law: Literal["crystal"] = "crystal"

    rows: ClassVar[int] = 7
    update: ClassVar[Any] = staticmethod(update)

    def __post_init__(self) -> None:
        if not (self.c11 > abs(self.c12) and self.c11 + 2.0 * self.c12 > 0.0):
            raise BadInput("crystal: the stiffness is not positive definite", "c11 > |c12| and c11 + 2 c12 > 0")

    @property
    def tensors(self) -> tuple[Array, Array]:
        """(6, 6) stiffness and (12, 6) Schmid tensors in the frame of the cell."""
        Q = rotation(bunge(self.orientation))
        cubic = np.diag([self.c11 - self.c12] * 3 + [2.0 * self.c44] * 3) + self.c12 * np.outer(VOLUME, VOLUME)
        return Q @ cubic @ Q.T, schmid() @ Q.T

    def parameters(self, dt: float, temperature: float) -> Array:
        C, P = self.tensors
        hard = (self.yield_stress, self.hardening, self.saturation, self.saturation_rate)
        flow = (self.drag, self.n, self.slip_rate * dt)
        return np.concatenate([C.ravel(), np.linalg.inv(C).ravel(), P.ravel(), hard, flow])

    def plain(self, strain: Array, history: Array, dt: float, temperature: float) -> tuple[Array, ...]:
        """The seven equations as they stand, point by point."""
        found = [self._plain_point(e, h, dt) for e, h in zip(strain, history, strict=True)]
        stress, tangent, kept, energy, lost = (np.array(column) for column in zip(*found, strict=True))
        return stress, tangent, kept, energy, lost

    def _plain_point(self, strain: Array, history: Array, dt: float) -> tuple[Array, Array, Array, float, float]:
        C, P = self.tensors
        S, trial, G0 = np.linalg.inv(C), strain - history[:6], history[6]
        H, Q, b = self.hardening, self.saturation, self.saturation_rate

        def equations(y: Array) -> tuple[Array, Array, Array, float]:
            tau, G = P @ y[:6], G0 + y[6]
            r = self.yield_stress + H * G + Q * (1 - np.exp(-b * G))
            slope = H + Q * b * np.exp(-b * G)
            f = np.maximum(np.abs(tau) - r, 0.0) / self.drag
            size = self.slip_rate * dt * f**self.n
            A = self.slip_rate * dt * self.n / self.drag * f ** (self.n - 1)
            g = size * np.sign(tau)
            J = np.zeros((7, 7))
            J[:6, :6], J[:6, 6] = S + (P.T * A) @ P, -slope * (A * np.sign(tau)) @ P
            J[6, :6], J[6, 6] = -(A * np.sign(tau)) @ P, 1 + slope * A.sum()
            return np.append(S @ y[:6] - trial + g @ P, y[6] - size.sum()), J, g, r

        y = np.append(C @ trial, 0.0)
        r = self.yield_stress + H * G0 + Q * (1 - np.exp(-b * G0))
        y *= min(1.0, (r + self.drag) / (np.abs(P @ y[:6]).max() + VANISHING))
        R, J, g, r = equations(y)
        for _ in range(400):
            step, share = np.linalg.solve(J, -R), 1.0
            while share > 1e-12 and not np.linalg.norm(equations(y + share * step)[0]) < np.linalg.norm(R):
                share *= 0.5
            if share <= 1e-12:
                break
            y = y + share * step
            R, J, g, r = equations(y)
        tau, G = np.abs(P @ y[:6]), G0 + y[6]
        energy = 0.5 * y[:6] @ S @ y[:6] + H * G**2 / 2 + Q * (G + (np.exp(-b * G) - 1) / b)
        lost = ((tau - r + self.yield_stress) * np.abs(g)).sum()
        return y[:6], np.linalg.inv(J)[:6, :6], np.append(history[:6] + g @ P, G), float(energy), float(lost)


LAW = Crystal

"""Where the separation of scales ends: what the monitor chooses, what ignoring it costs, and what heeding it gives.

Each error is that of the cheap answer or, heeded, of the answer at the level that the monitor asks for, both against a
closed form that neither of them uses.

    rod          -(u' / (2 + sin 2 pi x / l))' = 1, u(0) = u(1) = 0, integrated by hand
    crossing     P = exp(-2 pi a^2 / (hbar v dF))                                        (L. D. Landau, C. Zener 1932)
    molecules    0 -> A at rate k, A + A -> 0 at rate c n (n - 1) / 2: mean sqrt(k / c) I0(w) / I1(w), w = 4 sqrt(k / c)
                 from the generating function G'' = 2 k / c G / (1 + s); the rate equation has sqrt(k / c)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import ive

from hpcms.contracts import Array
from hpcms.monitor import indicators
from hpcms.monitor.choice import CONCURRENT, LEVELS, Choice, Thresholds, choose
from hpcms.verify.context import Context
from hpcms.verify.quantities.homogenisation import resolved

LIMITS = Thresholds(scale_ratio=0.25, adiabaticity=1.0, copy_number=50.0)
PARTS = 4  # regions of the rod
HERE = ("fine", "concurrent")  # a region without a warning is answered by its cell


def _judged(name: str, values: Array) -> Choice:
    only = Thresholds(**{name: getattr(LIMITS, name)})
    return choose({name: values}, only, HERE, least=LEVELS.index("fine"))


# ------------------------------------------------------------------------ a rod with few or many waves


def _exact(x: Array, periods: int) -> Array:
    """(n,) K, the rod integrated by hand: u' = (c - x)(2 + sin k x) with c from u(1) = 0."""
    k = 2 * np.pi * periods

    def whole(x: Array) -> tuple[Array, Array]:
        """Integrals of 2 + sin k x and of x (2 + sin k x) from 0 to x."""
        return 2 * x + (1 - np.cos(k * x)) / k, x**2 + np.sin(k * x) / k**2 - x * np.cos(k * x) / k

    ends = whole(np.array(1.0))
    one, first = whole(x)
    return np.asarray(ends[1] / ends[0] * one - first)


def _homogenised(context: Context) -> tuple[Array, Array]:
    x, u = context.run.read("coarse/x"), context.run.read("coarse/temperature")
    order = np.argsort(x)
    return x[order], u[order]


def _choice(context: Context, periods: int) -> Choice:
    """The level of each part of the rod, from the homogenised answer alone: l / L, L = |grad u| / |grad^2 u|."""
    x, u = _homogenised(context)
    slope = np.gradient(u, x)
    bend = np.gradient(slope, x)
    parts = np.minimum((x * PARTS).astype(int), PARTS - 1)
    root = [np.sqrt(np.bincount(parts, v**2) / np.bincount(parts)) for v in (slope, bend)]
    return _judged("scale_ratio", indicators.wave_ratio(1.0 / periods, *root))


def _error(x: Array, u: Array, periods: int) -> float:
    true = _exact(x, periods)
    return float(np.sqrt(np.trapezoid((u - true) ** 2, x) / np.trapezoid(true**2, x)))


def rod_error(context: Context, periods: int, heeded: bool) -> float:
    """Relative L2 error of the rod: homogenised everywhere, or resolved where the monitor asks for it.

    A resolved part takes its end values from the rod around it; where all parts are asked for, from the rod's ends.
    """
    x, u = _homogenised(context)
    if not heeded:
        return _error(x, u, periods)
    level = _choice(context, periods).level
    if (level < CONCURRENT).all():
        return _error(x, u, periods)
    fine_x, fine_u = resolved(context, periods)
    order = np.argsort(fine_x)
    inside = level[np.minimum((fine_x[order] * PARTS).astype(int), PARTS - 1)] == CONCURRENT
    merged = np.where(inside, fine_u[order], np.interp(fine_x[order], x, u))
    return _error(fine_x[order], merged, periods)


def concurrent_parts(context: Context, periods: int) -> float:
    """Parts of the rod for which the monitor asks for a concurrent answer, of four."""
    return float((_choice(context, periods).level == CONCURRENT).sum())


# ------------------------------------------------------------------------ a crossing of two electronic states


def passage(adiabatic: float, until: float = 20.0) -> float:
    """Probability to leave the lowest state: the two-state equation in time, a = hbar = 1, from -until to until."""
    speed = 1 / adiabatic

    def rate(t: float, y: Array) -> Array:
        H = np.array([[speed * t / 2, 1.0], [1.0, -speed * t / 2]])
        return np.asarray(-1j * (H @ y))

    def states(t: float) -> Array:
        return np.asarray(np.linalg.eigh(np.array([[speed * t / 2, 1.0], [1.0, -speed * t / 2]]))[1])

    T = until / np.sqrt(speed)
    end: Any = solve_ivp(rate, (-T, T), states(-T)[:, 0].astype(complex), "DOP853", rtol=1e-8, atol=1e-10)
    return float(abs(states(T)[:, 1] @ end.y[:, -1]) ** 2)


def crossing_error(context: Context, adiabatic: float, heeded: bool) -> float:
    """Error of the probability to stay in the lowest state: 1 by Born and Oppenheimer, or in time where asked for."""
    true = 1 - float(indicators.passage(np.array(adiabatic)))
    asked = _judged("adiabaticity", np.array([adiabatic])).level[0] == CONCURRENT
    found = 1 - passage(adiabatic) if heeded and asked else 1.0
    return abs(found / true - 1)


# ------------------------------------------------------------------------ few or many molecules


def master_mean(ratio: float) -> float:
    """Mean number of molecules from the master equation with k / c = ``ratio``, states cut off far in the tail."""
    n = np.arange(int(np.sqrt(ratio) + 12 * ratio**0.25 + 30))
    A = np.zeros((len(n), len(n)))
    A[n[1:], n[:-1]] += ratio
    A[n[:-2], n[2:]] += n[2:] * (n[2:] - 1) / 2
    A -= np.diag(A.sum(axis=0))
    A[-1] = 1.0
    weight = np.linalg.solve(A, np.eye(len(n))[-1])
    return float(weight @ n)


def molecules_error(context: Context, ratio: float, heeded: bool) -> float:
    """Relative error of the mean number: by the rate equation, or by the master equation where asked for."""
    w = 4 * np.sqrt(ratio)
    true = float(np.sqrt(ratio) * ive(0, w) / ive(1, w))
    cheap = float(np.sqrt(ratio))
    asked = _judged("copy_number", np.array([cheap])).level[0] == CONCURRENT
    return abs((master_mean(ratio) if heeded and asked else cheap) / true - 1)


QUANTITIES = {
    "rod_error": rod_error,
    "concurrent_parts": concurrent_parts,
    "crossing_error": crossing_error,
    "molecules_error": molecules_error,
}

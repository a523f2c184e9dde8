"""The vector updates of a preconditioned conjugate gradient step, each fused into one pass over memory."""

from __future__ import annotations

from math import fsum

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit


@jit
def dot(x: Array, y: Array) -> float:
    """``sum x y`` over two flat arrays of one length, always in the same order."""
    total = 0.0
    for n in range(x.size):
        total += x[n] * y[n]
    return total


@jit
def level(x: Array) -> None:
    """Takes the mean out of ``x``, in place, where it is more than rounding."""
    total, square = 0.0, 0.0
    for n in range(x.size):
        total += x[n]
        square += x[n] * x[n]
    mean = total / x.size
    if mean * mean * x.size > 1e-12 * square:
        m = x.dtype.type(mean)
        for n in range(x.size):
            x[n] -= m


@jit
def directions(z: Array, r: Array, beta: float, p: Array, q0: Array, q: Array) -> None:
    """``p = z + beta p`` and ``q0 = r + beta q0``; ``q = q0``. ``z`` and ``q`` may be one array."""
    b = p.dtype.type(beta)
    for n in range(p.size):
        p[n] = z[n] + b * p[n]
        q0[n] = r[n] + b * q0[n]
        q[n] = q0[n]


@jit
def advance(alpha: float, q0: Array, q: Array, s: Array, r: Array) -> float:
    """``s += alpha q0``, ``r -= alpha q``; returns ``r . r`` of the new ``r``."""
    total, a = 0.0, r.dtype.type(alpha)
    for n in range(r.size):
        s[n] += a * q0[n]
        r[n] -= a * q[n]
        total += r[n] * r[n]
    return total


def dot_plain(x: Array, y: Array) -> float:
    """Twin of ``dot``, correctly rounded."""
    return fsum((x * y).tolist())


def directions_plain(z: Array, r: Array, beta: float, p: Array, q0: Array, q: Array) -> None:
    """Twin of ``directions``."""
    p[:] = z + beta * p
    q0[:] = r + beta * q0
    q[:] = q0


def advance_plain(alpha: float, q0: Array, q: Array, s: Array, r: Array) -> float:
    """Twin of ``advance``."""
    s += alpha * q0
    r -= alpha * q
    return float(np.sum(r * r))

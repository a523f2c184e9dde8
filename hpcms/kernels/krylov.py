"""Vector operations of conjugate gradients on flat arrays, each one pass over memory in a fixed order."""

from __future__ import annotations

import numba
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import JIT

WINDOW = 10  # steps
NEARLY = 1e-3  # a preconditioned residual r.z below this part of the accepted error of the energy needs no step


@numba.njit(**JIT)
def dot(a: Array, b: Array) -> float:
    """Sum of a b."""
    total = 0.0
    for n in range(a.size):
        total += a[n] * b[n]
    return total


@numba.njit(**JIT)
def direct(z: Array, beta: float, p: Array) -> None:
    """p <- z + beta p."""
    for n in range(z.size):
        p[n] = z[n] + beta * p[n]


@numba.njit(**JIT)
def advance(alpha: float, p: Array, q: Array, x: Array, r: Array) -> float:
    """x += alpha p, r -= alpha q; returns r . r."""
    total = 0.0
    for n in range(p.size):
        x[n] += alpha * p[n]
        r[n] -= alpha * q[n]
        total += r[n] * r[n]
    return total


@numba.njit(**JIT)
def settled(drops: Array, iteration: int, drop: float, left: float, share: float) -> bool:
    """Whether the energy that is minimised has settled. ``drops``: the last ``WINDOW`` decreases, updated with ``drop``.

    The decrease by one step is alpha r.z, and what is still to come is about that of the last steps (Hestenes and Stiefel
    1952; Strakos and Tichy 2002): settled when they are below ``share`` of the energy ``left``.
    """
    drops[iteration % WINDOW] = drop
    return iteration + 1 >= WINDOW and drops.sum() <= share * left


def norm(a: Array) -> float:
    """Euclidean length."""
    return float(np.sqrt(dot(a, a)))

"""Vector operations of conjugate gradients on flat arrays, each one pass over memory in a fixed order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit

WINDOW, SHORT = 10, 4  # steps by which it is judged whether an energy has settled; where an estimate is enough
NEARLY = 1e-3  # a preconditioned residual r.z below this part of the accepted error of the energy needs no step


@jit
def dot(a: Array, b: Array) -> float:
    """Sum of a b."""
    total = 0.0
    for n in range(a.size):
        total += a[n] * b[n]
    return total


@jit
def direct(z: Array, beta: float, p: Array) -> None:
    """p <- z + beta p."""
    b = p.dtype.type(beta)
    for n in range(z.size):
        p[n] = z[n] + b * p[n]


@jit
def advance(alpha: float, p: Array, q: Array, x: Array, r: Array) -> float:
    """x += alpha p, r -= alpha q; returns r . r."""
    total, a = 0.0, x.dtype.type(alpha)
    for n in range(p.size):
        x[n] += a * p[n]
        r[n] -= a * q[n]
        total += r[n] * r[n]
    return total


@jit
def settled(drops: Array, iteration: int, drop: float, accepted: float) -> bool:
    """Whether the energy has settled. ``drops``: its last few decreases, updated with ``drop``.

    A step lowers the energy by alpha r.z, and what is still to come is about what the last steps brought (Hestenes and
    Stiefel 1952; Strakos and Tichy 2002): settled when they are together below ``accepted``.
    """
    drops[iteration % drops.size] = drop
    return iteration + 1 >= drops.size and drops.sum() <= accepted


class Operator(NamedTuple):
    """A tangent operator in one precision: what ``hex8_creep.tangent`` needs beside the elements."""

    t: Array
    moduli: Array
    law: Array
    geo: Array


class Stop(NamedTuple):
    """When conjugate gradients for K x = r from x = 0 stop: at a residual of ``goal``, or where the energy has settled.

    ``energy`` is twice the potential that is minimised, at the start; it has settled when what still comes is below
    ``share`` of it or below ``least``, judged by the last ``window`` steps.
    """

    goal: float
    energy: float = 0.0
    share: float = 0.0
    least: float = 0.0
    limit: int = 3000
    window: int = WINDOW


class Found(NamedTuple):
    """What conjugate gradients end with: x, the iterations, the ``energy`` left, the mean stress of x (11 22 33 23 13 12)."""

    x: Array
    steps: int
    energy: float
    stress: Array


def norm(a: Array) -> float:
    """Euclidean length."""
    return float(np.sqrt(dot(a, a)))

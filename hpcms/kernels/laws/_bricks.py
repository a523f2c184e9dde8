"""Compiled bricks of laws, inlined into their updates: rows of a record for one lane."""

from __future__ import annotations

from typing import Any

from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.laws._base import DISSIPATION, ENERGY, TANGENT

T0 = TANGENT * LANES


@jit
def get6(w: Any, p: int) -> Any:
    """Six numbers from row 0 of ``w`` on at the place ``p``."""
    return w[p], w[p + LANES], w[p + 2 * LANES], w[p + 3 * LANES], w[p + 4 * LANES], w[p + 5 * LANES]


@jit
def put6(w: Any, p: int, a: Any) -> None:
    w[p], w[p + LANES], w[p + 2 * LANES] = a[0], a[1], a[2]
    w[p + 3 * LANES], w[p + 4 * LANES], w[p + 5 * LANES] = a[3], a[4], a[5]


@jit
def dot6(a: Any, b: Any) -> Any:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] + a[4] * b[4] + a[5] * b[5]


@jit
def deviator(a: Any, b: Any) -> Any:
    """Trace of a and the deviator of a - b, where b has no trace."""
    tr = a[0] + a[1] + a[2]
    m = tr * (1.0 / 3.0)
    return tr, (a[0] - m - b[0], a[1] - m - b[1], a[2] - m - b[2], a[3] - b[3], a[4] - b[4], a[5] - b[5])


@jit
def put_stress(w: Any, p: int, pressure: Any, f: Any, d: Any) -> None:
    """pressure I + f d."""
    put6(w, p, (pressure + f * d[0], pressure + f * d[1], pressure + f * d[2], f * d[3], f * d[4], f * d[5]))


@jit
def put_tangent(w: Any, p: int, K: Any, f: Any, c: Any, d: Any) -> None:
    """K I.I + f I_dev - c d.d, the tangent of all laws with one direction of flow d."""
    q, third = T0 + p, f * (1.0 / 3.0)
    a0, a1, a2, a3, a4, a5 = c * d[0], c * d[1], c * d[2], c * d[3], c * d[4], c * d[5]
    on, off = K + 2.0 * third, K - third
    w[q], w[q + LANES], w[q + 2 * LANES] = on - a0 * d[0], off - a0 * d[1], off - a0 * d[2]
    w[q + 3 * LANES], w[q + 4 * LANES], w[q + 5 * LANES] = -a0 * d[3], -a0 * d[4], -a0 * d[5]
    w[q + 6 * LANES], w[q + 7 * LANES], w[q + 8 * LANES] = on - a1 * d[1], off - a1 * d[2], -a1 * d[3]
    w[q + 9 * LANES], w[q + 10 * LANES], w[q + 11 * LANES] = -a1 * d[4], -a1 * d[5], on - a2 * d[2]
    w[q + 12 * LANES], w[q + 13 * LANES], w[q + 14 * LANES] = -a2 * d[3], -a2 * d[4], -a2 * d[5]
    w[q + 15 * LANES], w[q + 16 * LANES], w[q + 17 * LANES] = f - a3 * d[3], -a3 * d[4], -a3 * d[5]
    w[q + 18 * LANES], w[q + 19 * LANES], w[q + 20 * LANES] = f - a4 * d[4], -a4 * d[5], f - a5 * d[5]


@jit
def put_energies(w: Any, p: int, stored: Any, lost: Any) -> None:
    w[p + ENERGY * LANES], w[p + DISSIPATION * LANES] = stored, lost

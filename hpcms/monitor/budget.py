"""The cheapest levels that keep the error of a goal within a tolerance.

    minimise  sum_r cost(level_r)   subject to   sum_r v_r e_r(level_r) <= tolerance,    v_r = w_r |B_r z|

with the adjoint z of the coarse problem: an error e_r of the flux of region r moves the goal by at most v_r e_r. From the
cheapest level of each region on, the upgrade with the largest error reduction per cost comes first, until the sum is
within the tolerance (G. B. Dantzig, Oper. Res. 5 (1957) 266-277). Only upgrades on the convex hull of cost and error are
taken, so the cost is above the least possible one by less than the cost of one upgrade.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array


@dataclass(frozen=True)
class Spent:
    """``level``: (R,) index of the level of each region. ``error``, ``cost``: their sums; ``error`` may exceed a tolerance
    that not even the best levels reach."""

    level: Array
    error: float
    cost: float


def spend(error: Array, cost: Array, tolerance: float) -> Spent:
    """Levels for ``error`` (R, L), each already times v_r, and ``cost`` (R, L) or (L,)."""
    R, L = error.shape
    cost = np.broadcast_to(np.asarray(cost, float), (R, L))
    rows = np.arange(R)
    level = cost.argmin(axis=1)
    total = float(error[rows, level].sum())
    steps: list[tuple[Array, Array, Array, Array]] = []  # gain per cost, region, level, error reduction
    at = level.copy()
    for _ in range(L - 1):
        less = error[rows, at][:, None] - error
        more = cost - cost[rows, at][:, None]
        slope = np.divide(less, more, out=np.full((R, L), -np.inf), where=more > 0)
        slope = np.where((less > 0) & (more <= 0), np.inf, slope)
        best = slope.argmax(axis=1)
        gain = slope[rows, best]
        on = np.flatnonzero(gain > 0)
        if not len(on):
            break
        steps.append((gain[on], on, best[on], less[on, best[on]]))
        at[on] = best[on]
    if steps:
        gain, region, to, reduction = (np.concatenate(part) for part in zip(*steps, strict=True))
        order = np.argsort(-gain, kind="stable")  # a region's own upgrades come in their order: their gains fall
        left = total - np.concatenate([[0.0], np.cumsum(reduction[order])])
        count = int(np.argmax(left <= tolerance)) if (left <= tolerance).any() else len(order)
        for k in order[:count].tolist():
            level[region[k]] = to[k]
    return Spent(level, float(error[rows, level].sum()), float(cost[rows, level].sum()))


def envelope(load: Array, measured_load: Array, measured: Array) -> Array:
    """(R,) error expected at ``load`` from errors ``measured`` (N,) at ``measured_load``: it is taken to grow with the load.

    What lies between two measurements gets the upper one, what lies above all of them is unbounded.
    """
    order = np.argsort(measured_load, kind="stable")
    grown = np.concatenate([np.maximum.accumulate(measured[order]), [np.inf]])
    return np.asarray(grown[np.searchsorted(measured_load[order], load, side="left")])

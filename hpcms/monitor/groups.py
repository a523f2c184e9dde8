"""Regions with similar drive histories, so that one of them is solved for all: groups by a grid over what differs.

Histories are reduced to the few directions in which they differ (principal components; what is left out is below a
tenth of the radius), and a grid of cells of this size puts them into groups. Memory is N times the length of a history,
never N^2, and the result does not depend on the order of the regions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array

LEFT_OUT = 0.1  # of the radius
MOST = 8  # components; beyond, distances are not seen by the grid but by ``spread``


@dataclass(frozen=True)
class Groups:
    """``label``: (N,) group of each region. ``chosen``: (G,) the region nearest to the middle of its group.

    ``distance``: (N,) from each region to the chosen one of its group, in units of the histories.
    """

    label: Array
    chosen: Array
    distance: Array

    @property
    def spread(self) -> Array:
        """(G,) largest distance in each group: what one answer for all of them ignores."""
        found = np.zeros(len(self.chosen))
        np.maximum.at(found, self.label, self.distance)
        return found


def group(histories: Array, radius: float) -> Groups:
    """Groups of ``histories`` (N, m) in which no two differ by much more than twice ``radius`` (same units)."""
    N = len(histories)
    middle = histories.mean(axis=0)
    cell = _cells(histories, middle, radius)
    key = _key(cell)
    _, first, label = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # groups in the order of their first region
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    label = rank[label]
    count = np.bincount(label)
    mean = np.stack([np.bincount(label, column) / count for column in histories.T], axis=1)
    away = np.sqrt(((histories - mean[label]) ** 2).sum(axis=1))
    nearest = np.lexsort((np.arange(N), away, label))
    chosen = nearest[np.concatenate([[0], np.cumsum(count)[:-1]])]
    distance = np.sqrt(((histories - histories[chosen[label]]) ** 2).sum(axis=1))
    return Groups(label, chosen, distance)


def _cells(histories: Array, middle: Array, radius: float) -> Array:
    """(N, q) integer cells of the grid."""
    x = histories - middle
    value, frame = np.linalg.eigh(x.T @ x / len(x))
    value, frame = value[::-1], frame[:, ::-1]
    tail = np.concatenate([np.cumsum(np.maximum(value[::-1], 0.0))[::-1], [0.0]])  # variance from component k on
    count = min(int(np.argmax(tail <= (LEFT_OUT * radius) ** 2)), MOST)
    edge = 2 * radius / np.sqrt(max(count, 1))
    sign = np.sign(frame[np.abs(frame).argmax(axis=0), np.arange(len(value))])  # a direction, not its opposite
    return np.asarray(np.floor(x @ (frame * sign)[:, :count] / edge + 0.5).astype(np.int64))


def _key(cell: Array) -> Array:
    """(N,) one number for each different row."""
    key = np.zeros(len(cell), np.int64)
    for column in cell.T:
        _, inverse = np.unique(column, return_inverse=True)
        width = int(inverse.max(initial=0)) + 1
        key = key * width + inverse
        _, key = np.unique(key, return_inverse=True)  # numbers stay small, so they never overflow
    return key

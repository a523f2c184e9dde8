"""Tensors learned from features on the fly: where the prediction is not sure, the real thing is asked, and taught.

One round predicts all regions, asks for some of those whose predicted error is above the limit or that lie outside the
hull of what was taught, the farthest and least sure first, and learns from the answers, until none is left. The first
lessons are spread out over the features. All is explicit: what was taught comes in and goes out, and the same input
gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array
from hpcms.monitor import between, gaussian
from hpcms.monitor.indicators import corners, outside

SIGMAS = 3.0  # standard deviations that count as the error
CLOSE = 0.1  # of the limit: bounds that are closer together say all there is to know
SHARE = 8  # of the doubtful regions that are asked for in one round: one in so many
FEWEST = 3  # lessons, before anything is predicted
Ask = Callable[[Array], tuple[Array, Array]]  # rows -> tensors (n, d, d), whether each was found (n,)


@dataclass(frozen=True)
class Task:
    """``features`` (R, F) of all regions and the bounds (R, d, d) of their tensors.

    ``limit``: largest predicted error of a tensor, relative to its own norm. ``lessons``: how many to begin with.
    ``checks``: predictions that are trusted least of all that are trusted, and asked for at the end.
    """

    features: Array
    lower: Array
    upper: Array
    limit: float
    lessons: int = 8
    checks: int = 0


@dataclass(frozen=True)
class Answered:
    """``tensors``: (R, d, d). ``error``: (R,) predicted, relative; inf where it was asked for and not found.

    ``taught``: (R,) whose tensor is a real one. ``measured``: (R,) what a prediction that was trusted was wrong by where it
    was checked, -1 elsewhere. ``beyond``: (R,) asked for outside the hull of what was taught. ``off``: why nothing more was
    learned, or empty.
    """

    tensors: Array
    error: Array
    taught: Array
    measured: Array
    beyond: Array
    off: str = ""


def answer(task: Task, ask: Ask, taught: Array, known: Array) -> Answered:
    """Tensors of all regions. ``taught``: (R,) bool, regions whose tensor in ``known`` is a real one already.

    Learning stops where it does not pay: as soon as half of the regions had to be asked for, so are all in doubt.
    """
    taught, known = taught.copy(), known.copy()
    failed, R = np.zeros(len(taught), bool), len(taught)
    measured, beyond = np.full(R, -1.0), np.zeros(R, bool)

    def teach(rows: Array) -> None:
        found, good = ask(rows)
        known[rows[good]] = found[good]
        taught[rows[good]], failed[rows[~good]] = True, True

    first = spread(task.features, taught, min(task.lessons, R) - int(taught.sum()))
    if len(first):
        teach(first)
    off = ""
    while True:
        K, error = predict(task, taught, known)
        error[failed] = np.inf
        doubtful = np.flatnonzero(~(error <= task.limit) & ~failed & ~taught)
        if not len(doubtful):
            checked = least_sure(error, taught | failed, task.checks)
            if len(checked):
                teach(checked)
                found = checked[~failed[checked]]
                measured[found] = away(K[found], known[found])
                if (measured[found] > task.limit).any():
                    continue
                K[checked], error[checked] = known[checked], np.where(failed[checked], np.inf, 0.0)
            return Answered(K, error, taught, measured, beyond, off)
        if 2 * taught.sum() >= R > task.lessons:
            off = f"the surrogate is off: {taught.sum()} of {R} regions had to be solved, and {len(doubtful)} are in doubt"
            teach(doubtful)
            continue
        far = outside(task.features[doubtful], task.features[taught])
        order = doubtful[np.lexsort((-error[doubtful], -np.maximum(far, 0.0)))]
        asked = np.sort(order[: max(1, len(order) // SHARE)])
        beyond[asked] = far[np.searchsorted(doubtful, asked)] > 0
        teach(asked)


def least_sure(error: Array, out: Array, count: int) -> Array:
    """Up to ``count`` rows with the largest ``error`` that are not ``out`` and have an error at all."""
    rows = np.flatnonzero(~out & (error > 0))
    return np.sort(rows[np.argsort(-error[rows], kind="stable")[:count]])


def away(guess: Array, true: Array) -> Array:
    """(n,) relative errors of tensors (n, d, d)."""
    return np.asarray(np.linalg.norm(guess - true, axis=(1, 2)) / np.linalg.norm(true, axis=(1, 2)))


def predict(task: Task, taught: Array, known: Array) -> tuple[Array, Array]:
    """Tensors and their predicted relative errors; exact where taught, inf outside the hull of what was taught.

    Where the bounds leave no room for an error they are the answer, and teach nothing.
    """
    gap = np.linalg.norm(task.upper - task.lower, axis=(1, 2)) / np.linalg.norm(task.upper, axis=(1, 2))
    plain = (gap <= CLOSE * task.limit) & ~taught
    K, error = known.copy(), np.where(taught, 0.0, np.where(plain, gap, np.inf))
    K[plain] = (task.lower[plain] + task.upper[plain]) / 2
    own, rest = np.flatnonzero(taught & (gap > CLOSE * task.limit)), np.flatnonzero(~taught & ~plain)
    if len(own) < FEWEST or not len(rest):
        return K, error
    y = between.coordinates(known[own], task.lower[own], task.upper[own])
    process = gaussian.fit(task.features[own], y)
    K[rest], error[rest] = evaluate(process, task.features[rest], task.lower[rest], task.upper[rest])
    error[rest[outside(task.features[rest], task.features[own]) > 0]] = np.inf
    return K, error


def evaluate(process: gaussian.Gaussian, features: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """(R, d, d) tensors between their bounds, and (R,) what the spread of the coordinates moves them, relative."""
    x, sd = process.predict(features)
    K = between.tensors(x, lower, upper)
    probe = [between.tensors(x + sign * SIGMAS * sd, lower, upper) - K for sign in (1.0, -1.0)]
    moved = np.maximum(*(np.linalg.norm(p, axis=(1, 2)) for p in probe))
    return K, moved / np.linalg.norm(K, axis=(1, 2))


def spread(features: Array, taken: Array, count: int) -> Array:
    """``count`` rows that are far from each other and from ``taken``: half of them corners, then the gaps between."""
    if count <= 0:
        return np.zeros(0, np.int64)
    width = np.ptp(features, axis=0)
    x = (features - features.min(axis=0)) / np.where(width > 0, width, 1.0)
    distance = np.full(len(x), np.inf)
    for row in np.flatnonzero(taken):
        distance = np.minimum(distance, ((x - x[row]) ** 2).sum(axis=1))
    chosen: list[int] = []
    edge, everywhere = corners(x), np.arange(len(x))
    eccentric = ((x - x.mean(axis=0)) ** 2).sum(axis=1)
    for k in range(count):
        among = edge if k < count / 2 else everywhere
        best: int = among[np.lexsort((-eccentric[among], -distance[among]))].tolist()[0]
        if distance[best] == 0:
            best = distance.argmax().tolist()
        if distance[best] == 0:
            break
        chosen.append(best)
        distance = np.minimum(distance, ((x - x[best]) ** 2).sum(axis=1))
    return np.array(sorted(chosen), np.int64)

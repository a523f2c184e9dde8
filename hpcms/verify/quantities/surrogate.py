"""A surrogate against the cells that it stands in for: on cells that it has not seen, beyond what it knows, and in a run."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from hpcms.contracts import Array, Arrays, Regions
from hpcms.engine.build import fine_model
from hpcms.fine.conduction import Conduction, ConductionPhase
from hpcms.fine.surrogate import Learned
from hpcms.monitor import between, gaussian, learner
from hpcms.problem.generators import sphere
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs
from hpcms.verify.quantities.dialogue import relative

SHAPE = (12, 12, 12)


def _cells(count: int, seed: int) -> tuple[Array, list[Array]]:
    """(count, 2) features: log10 of the contrast in +-1.3, and the fraction of the ball; and the cells themselves."""
    rng = np.random.default_rng(seed)
    cells = [sphere(SHAPE, f) for f in rng.uniform(0.05, 0.35, count)]
    return np.column_stack([rng.uniform(-1.3, 1.3, count), [c.mean() for c in cells]]), cells


def _solved(contrast: float, cell: Array) -> Array:
    """(3, 3) conductivity of a cell whose matrix has conductivity 1, by the fine model."""
    model = Conduction({"matrix": ConductionPhase(1.0), "ball": ConductionPhase(contrast)})
    state = model.begin(Regions(np.zeros(1, np.int64), cell[None], ("matrix", "ball")))
    answers, _, _ = model.solve({"gradient": np.eye(3)[:1]}, state, np.zeros(1, np.uint64))
    return np.asarray(-answers["tangent"][0])


def _bounds(x: Array) -> tuple[Array, Array]:
    """(R, 3, 3) Reuss and Voigt of these features."""
    k, f, one = 10 ** x[:, 0], x[:, 1], np.eye(3)
    return (1 / (1 - f + f / k))[:, None, None] * one, (1 - f + f * k)[:, None, None] * one


def _process(context: Context) -> gaussian.Gaussian:
    """What is learned from 120 cells, of which the learner chooses the ones to solve."""

    def make() -> gaussian.Gaussian:
        x, cells = _cells(120, 1)
        lower, upper = _bounds(x)
        task = learner.Task(x, lower, upper, 0.01, 12)

        def ask(rows: Array) -> tuple[Array, Array]:
            return np.array([_solved(10 ** x[r, 0], cells[r]) for r in rows]), np.ones(len(rows), bool)

        done = learner.answer(task, ask, np.zeros(120, bool), np.zeros((120, 3, 3)))
        own = done.taught
        return gaussian.fit(x[own], between.coordinates(done.tensors[own], lower[own], upper[own]))

    made: gaussian.Gaussian = context.once("taught by contrast and fraction", make)
    return made


def held_out_error(context: Context) -> float:
    """Largest relative error of the conductivity of 40 cells that were not seen, contrast 1/20 to 20, 5 % to 35 % balls."""
    x, cells = _cells(40, 2)
    inside = (np.abs(x[:, 0]) < 1.2) & (x[:, 1] > 0.07) & (x[:, 1] < 0.33)
    found, _ = learner.evaluate(_process(context), x[inside], *(b[inside] for b in _bounds(x)))
    exact = np.array([_solved(10**c, cell) for (c, _), cell, i in zip(x, cells, inside, strict=True) if i])
    return float((np.linalg.norm(found - exact, axis=(1, 2)) / np.linalg.norm(exact, axis=(1, 2))).max())


def unphysical_tangents(context: Context) -> float:
    """Of 10^5 inputs, most of them far outside of what was taught: tangents that are not symmetric or leave the bounds."""
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.uniform(-6, 6, 100_000), rng.uniform(0, 1, 100_000)])
    lower, upper = _bounds(x)
    K, _ = learner.evaluate(_process(context), x, lower, upper)
    slack = 1e-12 * upper[:, 0, 0]
    least = np.linalg.eigvalsh(K - lower)[:, 0] >= -slack
    most = np.linalg.eigvalsh(upper - K)[:, 0] >= -slack
    definite = np.linalg.eigvalsh(K)[:, 0] > 0
    same = (np.swapaxes(K, 1, 2) == K).all(axis=(1, 2))
    return float((~(least & most & definite & same)).sum())


@further_runs
def cell_time_over_call_time(context: Context, edge: int = 32) -> float:
    """CPU time of a cell of ``edge``^3 voxels over that of a call of the surrogate, the least of five each."""
    process = _process(context)
    x, _ = _cells(20_000, 4)
    lower, upper = _bounds(x)
    cell, calls, cells = sphere((edge,) * 3, 0.2), [], []
    _solved(10.0, cell)
    for _ in range(5):
        began = time.process_time()
        learner.evaluate(process, x, lower, upper)
        calls.append((time.process_time() - began) / len(x))
        began = time.process_time()
        _solved(10.0, cell)
        cells.append(time.process_time() - began)
    return min(cells) / min(calls)


@further_runs
def difference_to_cells(context: Context, fine: str) -> float:
    """Relative difference of the coarse temperature to the run in which every region is solved by ``fine``."""
    other = context.variant(f"all {fine}", {"coarse.heat.fine": fine})
    return relative(context.run.read("coarse/temperature"), other.read("coarse/temperature"))


def solved_share(context: Context, fine: str = "learned") -> float:
    """Regions of the run that were solved by the fine model, over all."""
    return float((context.run.read(f"sites/{fine}/level") == 3).mean())


def _beyond(context: Context, fine: str) -> tuple[Learned, Arrays, Arrays, Arrays, Array]:
    """The job's surrogate on 60 cells with balls up to 30 %, and on one beyond: 45 %. Drive, state, answers, true tangent."""
    learned = fine_model(context.job, fine)
    assert isinstance(learned, Learned)
    fractions = [*np.linspace(0.05, 0.3, 60), 0.45]
    phases = np.array([sphere(SHAPE, f) for f in fractions])
    drive = {"gradient": np.tile([1.0, 0.0, 0.0], (61, 1))}
    seeds, names = np.zeros(61, np.uint64), tuple(learned.inner.phases)
    state = learned.begin(Regions(np.arange(61), phases, names))
    some = {name: value[:60] for name, value in state.items()}
    _, taught, _ = learned.solve({"gradient": drive["gradient"][:60]}, some, seeds[:60])
    state = {name: np.concatenate([taught[name], state[name][60:]]) for name in state}
    answers, _, _ = learned.solve(drive, state, seeds)
    true, _, _ = learned.inner.solve(drive, learned.inner.begin(Regions(np.arange(61), phases, names)), seeds)
    return learned, drive, state, answers, true["flux"]


def error_beyond_the_hull(context: Context, heeded: bool, fine: str = "learned") -> float:
    """Relative error of the flux of a cell beyond the training set: by the fall back, or by the surrogate as it is."""
    learned, drive, state, answers, true = _beyond(context, fine)
    flux = answers["flux"][60]
    if not heeded:
        taught = state["status"] == 3
        lower, upper = learned.bounds(state["fraction"])
        features = state["fraction"][:, 1:]
        y = between.coordinates(state["known"][taught], lower[taught], upper[taught])
        K, _ = learner.evaluate(gaussian.fit(features[taught], y), features[60:], lower[60:], upper[60:])
        flux = -K[0] @ drive["gradient"][60]
    return float(np.linalg.norm(flux - true[60]) / np.linalg.norm(true[60]))


def learned_again(context: Context, fine: str = "learned") -> float:
    """Fine solves of a second call with what the first one learned as its state: none are needed."""
    learned, drive, state, _, _ = _beyond(context, fine)
    seeds = np.zeros(61, np.uint64)
    _, known, _ = learned.solve(drive, state, seeds)
    _, _, outcomes = replace(learned).solve(drive, known, seeds)
    return float(sum(o.solves for o in outcomes))


QUANTITIES = {
    "held_out_error": held_out_error,
    "unphysical_tangents": unphysical_tangents,
    "cell_time_over_call_time": cell_time_over_call_time,
    "difference_to_cells": difference_to_cells,
    "solved_share": solved_share,
    "error_beyond_the_hull": error_beyond_the_hull,
    "learned_again": learned_again,
}

"""Load reversal, softening and a snap-through: every scheme goes through them, in the steps that were planned.

The reference solves the same steps another way: stresses as unknowns beside the displacements, so that a layer is a polynomial in
its stress, all by MINPACK at once; nothing of the schemes, the coarse model or the cells is in it but their parameters.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import root

from hpcms import coupling
from hpcms.contracts import Array
from hpcms.plan.simulate import Simulated
from hpcms.plan.study import Study, reversal, snap_through, softening

SCHEMES = [name for name in coupling.names() if name != "chain"]
SNAP = snap_through()


def displacements(run: Simulated) -> Array:
    """(steps + 1, nodes)"""
    return np.array([u["displacement"] for u in run.ends])


def reference(study: Study) -> Array:
    """(steps + 1, nodes) by backward Euler: equilibrium of the nodes and  eps(sigma) = B u  at the sites."""
    n, cells = study.elements, study.problem()[1]["cell"].state
    f, E, a, creep = (cells[name] for name in ("fraction", "modulus", "rate", "memory"))
    memory, h = study.model.law == "creep", 1.0 / n
    share = np.full(n + 1, h)
    share[[0, -1]] = h / 2
    times = np.linspace(0.0, study.path[-1].time, study.steps + 1)
    knots = [0.0, *(p.time for p in study.path)]
    body = np.interp(times, knots, [0.0, *(p.body for p in study.path)])
    end = np.interp(times, knots, [0.0, *(p.end for p in study.path)])
    size_u, size_s = 1e-2, 1e6
    found = [np.zeros(n + 1)]
    x = np.zeros(n + 2 * n)
    for k in range(1, len(times)):
        dt, before = times[k] - times[k - 1], found[-1]

        def balance(x: Array, k: int = k, dt: float = dt, before: Array = before, c: Array = creep) -> Array:
            u, s = np.concatenate([[0.0], x[:n] * size_u]), x[n:] * size_s
            g = study.foundation * u
            if study.snap:
                g = g * (1 - u / study.snap) * (1 - u / (2 * study.snap))
            pull = (
                np.add.reduceat(s, np.arange(0, 2 * n, 2)) / 2
            )  # of each element, two Gauss points of half its length
            force = share * (g + study.dashpot * (u - before) / dt - body[k])
            force[:-1] -= pull
            force[1:] += pull
            force[-1] -= end[k]
            eps = (f * (s[:, None] / E + c + (dt if memory else 1.0) * a * np.abs(s[:, None]) ** 2 * s[:, None])).sum(
                axis=1
            )
            return np.concatenate([force[1:] / size_s, (eps - np.repeat(np.diff(u) / h, 2)) / size_u])

        solved = root(balance, x, method="hybr", options={"xtol": 1e-13, "maxfev": 20000})
        assert np.abs(balance(solved.x)).max() < 1e-9, solved.message
        x = solved.x
        found.append(np.concatenate([[0.0], x[:n] * size_u]))
        if memory:
            s = x[n:, None] * size_s
            creep = creep + dt * a * np.abs(s) ** 2 * s
    return np.array(found)


def apart(u: Array, v: Array) -> float:
    """Largest difference over the largest value."""
    return float(np.abs(u - v).max() / np.abs(v).max())


@pytest.fixture(scope="module")
def turned() -> Array:
    return reference(reversal())


@pytest.fixture(scope="module")
def snapped() -> Array:
    return reference(SNAP)


@pytest.fixture(scope="module")
def softened() -> Array:
    return displacements(replace(softening(), tolerance=1e-10).run("nested"))


def test_the_load_does_turn_and_the_bar_follows(turned: Array) -> None:
    end = turned[:, -1]
    top, bottom = int(end.argmax()), int(end.argmin())
    assert 0 < top < bottom <= 20
    assert end[bottom] < -0.3 * end[top]


@pytest.mark.parametrize(
    ("scheme", "extrapolate"), [*((s, True) for s in SCHEMES), ("nested", False), ("condensed", False)]
)
def test_load_reversal(scheme: str, extrapolate: bool, turned: Array) -> None:
    run = reversal().run(scheme, extrapolate=extrapolate)
    assert run.rejected == []
    assert apart(displacements(run), turned) < 20 * reversal().tolerance


def test_the_bar_does_snap(snapped: Array) -> None:
    """The largest force of a support, k a / (3 sqrt 3), is reached at u = (1 - 1 / sqrt 3) a; at rest again beyond 2 a."""
    a, end = SNAP.snap or 0.0, snapped[:, -1]
    assert SNAP.path[-1].body > SNAP.foundation * a / (3 * np.sqrt(3))
    below, above = np.flatnonzero(end < a), np.flatnonzero(end > 1.8 * a)
    assert above[0] - below[-1] <= 3, "from before the middle to beyond it within three of 40 steps"
    assert end[below[-1]] < 0.7 * a
    assert end[-1] > 2 * a


@pytest.mark.parametrize("scheme", SCHEMES)
def test_snap_through(scheme: str, snapped: Array) -> None:
    run = SNAP.run(scheme)
    assert run.rejected == []
    assert apart(displacements(run), snapped) < 20 * SNAP.tolerance


def test_the_cells_do_soften(softened: Array) -> None:
    """Elements beyond the peak go on, and another one goes back."""
    strain = np.diff(softened, axis=1) * softening().elements
    assert strain[-1].max() > 2 * softening().model.peak
    assert (np.diff(strain, axis=0)[-1] < 0).any()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_softening(scheme: str, softened: Array) -> None:
    run = softening().run(scheme)
    assert run.rejected == []
    assert apart(displacements(run), softened) < 20 * softening().tolerance


def test_with_little_dashpot_steps_are_halved_and_the_state_after_the_snap_is_the_same() -> None:
    """Long after the snap the dashpots have forgotten which steps led there; they let go within c / k = 10 ms."""
    study = snap_through(dashpot=1e6)
    run, finer = study.run("nested"), replace(study, steps=80).run("speculative")
    assert run.rejected
    assert {round(t, 9) for t in run.times} >= {round(t, 9) for t in np.linspace(0, 10, 41)}
    assert apart(displacements(run)[-1], displacements(finer)[-1]) < 1e-3

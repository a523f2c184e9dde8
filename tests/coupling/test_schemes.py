"""Every registered scheme on a small nonlinear pair of scales, without store, clock or Dask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms import coupling
from hpcms.contracts import Advance, Arrays, CoarseRequest, FineRequest, Look, Talk

LOAD, STIFFNESS = 3.0, 1.0
BARRIERS = [n for n in coupling.names() if getattr(coupling.find(n), "barrier", False) is True]


def sites(u: Arrays) -> dict[str, Arrays]:
    x = u["x"]
    return {"a": {"value": np.stack([x, x, x])}, "b": {"value": x[None] ** 2}}


def fine(model: str, drive: Arrays) -> Arrays:
    v = drive["value"]
    third = 1 / 3 if model == "a" else 1.0
    return {
        "response": third * np.tanh(v) if model == "a" else 0.1 * v,
        "tangent": (third * (1 - np.tanh(v) ** 2) if model == "a" else 0.1 + 0 * v)[:, :, None],
    }


def coarse(u: Arrays, answers: Any) -> Advance:
    """Newton for k x + tanh(x) + 0.1 x^2 = load; three regions of a give a third of it each."""
    x = u["x"]
    residual = STIFFNESS * x + answers["a"]["response"].sum(axis=0) + answers["b"]["response"][0] - LOAD
    slope = STIFFNESS + answers["a"]["tangent"].sum(axis=0)[0] + answers["b"]["tangent"][0, 0] * 2 * x
    return Advance({"x": x - residual / slope}, float(abs(residual[0])) / LOAD)


TALK = Talk(
    1e-12,
    30,
    {"a": [(0, 1), (1, 3)], "b": [(0, 1)]},
    {"a": ("value", "response"), "b": ("value", "response")},
    frozenset(),
)


def play(name: str, order: Any, start: float = 5.0, max_sweeps: int = 30) -> Any:
    """Run a scheme serially; ``order`` picks which open task, a batch or a coarse solve, is told next."""
    talk = Talk(TALK.tolerance, max_sweeps, TALK.batches, TALK.pairing, TALK.memory)
    scheme = coupling.find(name).begin(Look({"x": np.array([start])}, sites), talk)
    pending: list[Any] = []
    while not scheme.done:
        for request in scheme.ask():
            batches = request.batches if isinstance(request, FineRequest) else [None]
            pending += [(request, b) for b in batches]
        assert pending, "a scheme that is not done must have something to ask"
        request, batch = pending.pop(order(len(pending)))
        if isinstance(request, CoarseRequest):
            told = (request.key, coarse(request.u, request.answers))
        else:
            ends = np.cumsum([0] + [hi - lo for lo, hi in (TALK.batches[request.model][b] for b in request.batches)])
            k = request.batches.tolist().index(batch)
            answers = fine(request.model, {"value": request.drive["value"][ends[k] : ends[k + 1]]})
            told = (request.key, answers, np.array([batch]))
        assert scheme.tell(*told)
        assert not scheme.tell(*told), "a repeated tell counts for nothing"
    return scheme


@pytest.mark.parametrize("name", BARRIERS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31))
def test_arrival_order_changes_no_bit(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = play(name, lambda n: 0)
    shuffled = play(name, lambda n: int(rng.integers(n)))
    assert first.u["x"].tobytes() == shuffled.u["x"].tobytes()
    assert first.sweeps == shuffled.sweeps


@pytest.mark.parametrize("name", [n for n in coupling.names() if n != "chain"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), start=st.floats(-20, 20))
def test_every_scheme_ends_at_the_root_whatever_comes_first(name: str, seed: int, start: float) -> None:
    rng = np.random.default_rng(seed)
    x = float(play(name, lambda n: int(rng.integers(n)), start).u["x"][0])
    assert abs(STIFFNESS * x + np.tanh(x) + 0.1 * x**2 - LOAD) < 1e-10


@pytest.mark.parametrize("name", [n for n in coupling.names() if n not in BARRIERS])
def test_the_same_order_gives_the_same_bits(name: str) -> None:
    def run(seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        return play(name, lambda n: int(rng.integers(n))).u["x"].tobytes()

    assert run(1) == run(1)
    assert len({run(seed) for seed in range(8)}) > 1, "the order does act on the iterates, or nothing is tested here"


def test_nested_converges_quadratically_to_the_root() -> None:
    residuals = [s["residual"] for s in play("nested", lambda n: 0).sweeps if s["residual"] > 1e-14]
    assert residuals[-1] < 10 * residuals[-2] ** 1.8


def test_chain_asks_once_and_so_misses_the_root() -> None:
    scheme = play("chain", lambda n: 0)
    x = float(scheme.u["x"][0])
    assert len(scheme.sweeps) == 1
    assert abs(STIFFNESS * x + np.tanh(x) + 0.1 * x**2 - LOAD) > 1e-3


@pytest.mark.parametrize("name", ["nested", "condensed"])
def test_too_few_sweeps_is_a_failure_that_says_so(name: str) -> None:
    assert "2 sweeps without convergence" in play(name, lambda n: 0, max_sweeps=2).failed


def bare(name: str, x: float) -> Any:
    return coupling.find(name).begin(Look({"x": np.array([x])}, lambda u: {}), Talk(1e-8, 9))


def test_a_failed_coarse_solve_ends_the_step() -> None:
    scheme = bare("nested", 1.0)
    (request,) = scheme.ask()
    assert isinstance(request, CoarseRequest)
    scheme.tell(request.key, Advance(request.u, 1.0, ok=False, reason="DIVERGED_ITS"))
    assert scheme.done
    assert "DIVERGED_ITS" in scheme.failed


def told(name: str, steps: list[tuple[Advance, float]]) -> list[float]:
    """The iterates that a scheme asks for; each is answered by the next advance, with its proposal."""
    scheme = bare(name, 0.0)
    seen = []
    for advance, target in steps:
        (request,) = scheme.ask()
        seen.append(float(request.u["x"][0]))
        scheme.tell(request.key, replace(advance, u={"x": np.array([target])}))
    return seen


def test_a_residual_that_grows_cuts_the_update_to_the_least_of_the_parabola() -> None:
    """From r(0) = 1 with slope -2 for r^2 through r(1) = 2: the least is at 1 / (1 + 4); the next one is good and goes on."""
    steps = [(Advance({}, 1.0), 8.0), (Advance({}, 2.0), 0.0), (Advance({}, 0.5), 3.0), (Advance({}, 0.4), 0.0)]
    assert told("nested", steps) == pytest.approx([0.0, 8.0, 1.6, 3.0])


def test_residuals_are_compared_over_the_same_forces() -> None:
    """A residual of 0.9 over forces a hundred times as large is no progress."""
    first = Advance({}, 1.0, residuals={"solid": 1.0}, detail={"scales": {"solid": 1.0}})
    far = Advance({}, 0.9, residuals={"solid": 0.9}, detail={"scales": {"solid": 100.0}})
    assert told("nested", [(first, 8.0), (far, 9.0), (first, 0.0)]) == pytest.approx([0.0, 8.0, 0.8])


@pytest.mark.parametrize("name", [n for n in coupling.names() if n != "chain"])
def test_a_power_law_through_zero_converges_where_plain_newton_swings_apart(name: str) -> None:
    """|x|^(1/3) sign(x): a Newton step from x leads to -2 x."""

    def root_of(drive: Arrays) -> Arrays:
        v = drive["value"]
        return {"response": np.cbrt(v), "tangent": (np.cbrt(v) / (3 * v))[:, :, None]}

    def advance(request: CoarseRequest) -> Advance:
        x, a = request.u["x"], request.answers["a"]
        residual, force = a["response"][0] - 1e-3, float(abs(a["response"][0, 0])) + 1e-3
        relative = float(abs(residual[0])) / force
        moved = {"x": x - residual / a["tangent"][0, 0]}
        return Advance(moved, relative, residuals={"x": relative}, detail={"scales": {"x": force}})

    talk = Talk(1e-8, 60, {"a": [(0, 1)]}, {"a": ("value", "response")}, frozenset({"a"}))
    scheme = coupling.find(name).begin(Look({"x": np.array([1.0])}, lambda u: {"a": {"value": u["x"][None]}}), talk)
    while not scheme.done:
        for request in scheme.ask():
            if isinstance(request, CoarseRequest):
                scheme.tell(request.key, advance(request))
            else:
                scheme.tell(request.key, root_of(request.drive), request.batches)
    assert not scheme.failed
    assert float(scheme.u["x"][0]) == pytest.approx(1e-9, rel=1e-6)

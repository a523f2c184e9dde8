"""Every registered scheme on a small nonlinear pair of scales, without store, clock or Dask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms import coupling
from hpcms.contracts import Advance, Arrays, CoarseRequest, FineRequest

LOAD, STIFFNESS = 3.0, 1.0


def sites(u: Arrays) -> dict[str, Arrays]:
    return {"a": {"value": u["x"]}, "b": {"value": u["x"] ** 2}}


def fine(model: str, drive: Arrays) -> Arrays:
    v = drive["value"]
    return {
        "response": np.tanh(v) if model == "a" else 0.1 * v,
        "tangent": 1 - np.tanh(v) ** 2 if model == "a" else 0.1 + 0 * v,
    }


def coarse(u: Arrays, answers: dict[str, Arrays]) -> Advance:
    """Newton for k x + tanh(x) + 0.1 x^2 = load."""
    x = u["x"]
    residual = STIFFNESS * x + answers["a"]["response"] + answers["b"]["response"] - LOAD
    slope = STIFFNESS + answers["a"]["tangent"] + answers["b"]["tangent"] * 2 * x
    return Advance({"x": x - residual / slope}, float(abs(residual[0])) / LOAD)


def play(name: str, order: Any, **changes: Any) -> Any:
    """Run a scheme serially; ``order`` picks which open request is answered next."""
    options = {"tolerance": 1e-12, "max_sweeps": 30, **changes}
    scheme = coupling.find(name)(u={"x": np.array([5.0])}, sites=sites, **options)
    pending: list[Any] = []
    while not scheme.done:
        pending += scheme.ask()
        assert pending, "a scheme that is not done must have something to ask"
        request = pending.pop(order(len(pending)))
        result = (
            fine(request.model, request.drive)
            if isinstance(request, FineRequest)
            else coarse(request.u, dict(request.answers))
        )
        scheme.tell(request.key, result)
        scheme.tell(request.key, result)  # a repeated tell is harmless
    return scheme


@pytest.mark.parametrize("name", coupling.names())
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31))
def test_arrival_order_changes_no_bit(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = play(name, lambda n: 0)
    shuffled = play(name, lambda n: int(rng.integers(n)))
    assert first.u["x"].tobytes() == shuffled.u["x"].tobytes()
    assert first.sweeps == shuffled.sweeps


def test_nested_converges_quadratically_to_the_root() -> None:
    scheme = play("nested", lambda n: 0)
    x = float(scheme.u["x"][0])
    assert abs(STIFFNESS * x + np.tanh(x) + 0.1 * x**2 - LOAD) < 1e-11
    residuals = [s["residual"] for s in scheme.sweeps if s["residual"] > 1e-14]
    assert residuals[-1] < 10 * residuals[-2] ** 1.8


def test_chain_asks_once_and_so_misses_the_root() -> None:
    scheme = play("chain", lambda n: 0)
    x = float(scheme.u["x"][0])
    assert len(scheme.sweeps) == 1
    assert abs(STIFFNESS * x + np.tanh(x) + 0.1 * x**2 - LOAD) > 1e-3


def test_too_few_sweeps_is_a_failure_that_says_so() -> None:
    assert "2 sweeps without convergence" in play("nested", lambda n: 0, max_sweeps=2).failed


def test_a_failed_coarse_solve_ends_the_step() -> None:
    scheme = coupling.find("nested")(u={"x": np.array([1.0])}, sites=lambda u: {}, tolerance=1e-8, max_sweeps=3)
    (request,) = scheme.ask()
    assert isinstance(request, CoarseRequest)
    scheme.tell(request.key, Advance(request.u, 1.0, ok=False, reason="DIVERGED_ITS"))
    assert scheme.done
    assert "DIVERGED_ITS" in scheme.failed


def test_a_residual_that_grows_halves_the_update() -> None:
    scheme = coupling.find("nested")(u={"x": np.array([0.0])}, sites=lambda u: {}, tolerance=1e-8, max_sweeps=9)
    steps = [(1.0, 8.0), (100.0, 0.0), (0.5, 2.0)]
    seen = []
    for residual, target in steps:
        (request,) = scheme.ask()
        seen.append(float(request.u["x"][0]))
        scheme.tell(request.key, Advance({"x": np.array([target])}, residual))
    assert seen == [0.0, 8.0, 4.0]

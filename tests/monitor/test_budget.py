"""The cheapest levels within a tolerance, against trying them all."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.monitor.budget import envelope, spend


def cheapest(error: np.ndarray, cost: np.ndarray, tolerance: float) -> float:
    R, L = error.shape
    rows = np.arange(R)
    costs = [cost[list(c)].sum() for c in product(range(L), repeat=R) if error[rows, list(c)].sum() <= tolerance]
    return min(costs, default=np.inf)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(1, 6), st.floats(0, 1), st.integers(0, 10**6))
def test_the_tolerance_is_kept_at_no_more_than_one_upgrade_above_the_least_cost(
    R: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    error = np.sort(rng.random((R, 3)), axis=1)[:, ::-1] * rng.random((R, 1))
    error[:, 2] = 0.0
    cost = np.array([0.1, 1.0, 10.0])
    tolerance = share * error[:, 0].sum()
    found = spend(error, cost, tolerance)
    assert found.error <= tolerance + 1e-12
    assert found.cost == pytest.approx(cost[found.level].sum())
    assert found.cost <= cheapest(error, cost, tolerance) + 9.9 + 1e-9


def test_nothing_is_spent_where_nothing_is_needed_and_all_where_nothing_suffices() -> None:
    error = np.array([[0.3, 0.0], [0.1, 0.0], [0.2, 0.05]])
    assert spend(error, np.array([0.0, 1.0]), 0.61).level.tolist() == [0, 0, 0]
    assert spend(error, np.array([0.0, 1.0]), 0.35).level.tolist() == [1, 0, 0]
    assert spend(error, np.array([0.0, 1.0]), 0.01).level.tolist() == [1, 1, 1]
    assert spend(error, np.array([0.0, 1.0]), 0.01).error == pytest.approx(0.05)


def test_a_level_that_costs_more_and_helps_less_is_never_taken() -> None:
    error, cost = np.array([[1.0, 0.9, 0.0]]), np.array([0.0, 5.0, 1.0])
    assert spend(error, cost, 0.95).level.tolist() == [2]


def test_an_expected_error_is_that_of_the_next_measurement_above() -> None:
    found = envelope(np.array([0.5, 1.0, 1.5, 2.5, 4.0]), np.array([3.0, 1.0, 2.0]), np.array([0.3, 0.2, 0.1]))
    assert found.tolist() == [0.2, 0.2, 0.2, 0.3, np.inf]
    assert envelope(np.ones(2), np.zeros(0), np.zeros(0)).tolist() == [np.inf, np.inf]

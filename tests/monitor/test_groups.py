"""Groups of similar regions: close together, whatever their order, and without a matrix of distances."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.monitor.groups import group


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(1, 200), st.integers(1, 30), st.floats(1e-3, 10), st.integers(0, 10**6))
def test_no_two_of_a_group_are_far_apart(count: int, length: int, radius: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    histories = rng.standard_normal((count, min(length, 3))) @ rng.standard_normal((min(length, 3), length))
    found = group(histories, radius)
    assert np.all(found.distance <= 2.2 * radius)
    assert found.spread.max() == found.distance.max()
    assert np.array_equal(found.label[found.chosen], np.arange(len(found.chosen)))
    assert np.all(found.distance[found.chosen] == 0)


def test_the_order_of_the_regions_changes_no_group() -> None:
    rng = np.random.default_rng(1)
    histories = rng.standard_normal((500, 4))
    order = rng.permutation(500)
    one, other = group(histories, 0.3), group(histories[order], 0.3)
    together = one.label[:, None] == one.label
    assert np.array_equal(together[np.ix_(order, order)], other.label[:, None] == other.label)
    assert set(order[other.chosen]) == set(one.chosen)


def test_equal_histories_are_one_group_and_different_ones_are_many() -> None:
    assert len(group(np.ones((7, 5)), 0.1).chosen) == 1
    assert len(group(np.arange(10.0)[:, None], 0.2).chosen) == 10


def test_memory_grows_with_the_regions_and_not_with_their_pairs() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((2, 24))

    def peak(count: int) -> tuple[int, float]:
        histories = rng.standard_normal((count, 2)) @ base
        began = time.process_time()
        tracemalloc.start()
        group(histories, 0.05)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used, time.process_time() - began

    small, large = peak(10_000), peak(100_000)
    assert large[0] < 12 * small[0]
    assert large[0] * 10 < 4e9  # a million regions
    assert large[1] * 10 < 100

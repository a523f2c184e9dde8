"""Idle time by cause, on hand-made timelines and as an invariant of random ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import TaskRecord
from hpcms.plan.bounds import bounds
from hpcms.plan.idle import idle, merged, overlap


def record(key: str, worker: str, start: float, end: float, inputs: tuple[str, ...] = ()) -> TaskRecord:
    return TaskRecord(key, key.split("/")[0], worker, start, end, end - start, inputs=inputs)


def test_each_gap_has_its_cause() -> None:
    """Two workers: one waits for the other, both for the coarse solve and the scheduler, then for the store."""
    records = [
        record("fine/m/1.0.0/0", "a", 0, 4),
        record("fine/m/1.0.0/1", "b", 0, 6),
        record("coarse/1.0.0", "driver", 6, 9, ("fine/m/1.0.0/0", "fine/m/1.0.0/1")),
        record("fine/m/1.0.1/0", "a", 10, 12, ("coarse/1.0.0",)),
        record("fine/m/1.0.1/1", "b", 10, 12, ("coarse/1.0.0",)),
        record("commit/1", "driver", 12, 14, ("fine/m/1.0.1/0", "fine/m/1.0.1/1")),
        record("fine/m/2.0.0/0", "a", 14, 15, ("commit/1",)),
        record("fine/m/2.0.0/1", "b", 14, 15, ("commit/1",)),
    ]
    assert idle(records, 2) == {"imbalance": 2.0, "coarse": 6.0, "scheduler": 2.0, "io": 4.0}
    assert idle(records, 3)["imbalance"] == 2.0 + 15.0  # a third worker never had a task


def test_a_driver_that_solves_all_itself_does_not_wait_for_its_own_coarse_solve() -> None:
    records = [
        record("fine/m/1.0.0/0", "w", 0, 4),
        record("coarse/1.0.0", "w", 4, 5, ("fine/m/1.0.0/0",)),
        record("fine/m/1.0.1/0", "w", 5.5, 6, ("coarse/1.0.0",)),
    ]
    assert idle(records, 1) == {"imbalance": 0.0, "coarse": 0.0, "scheduler": 0.5, "io": 0.0}


spans = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 3)).map(lambda p: (p[0], p[0] + p[1])), max_size=12)


@given(spans, st.floats(0, 10), st.floats(0, 5))
@settings(max_examples=100, deadline=None)
def test_overlap_is_what_a_fine_grid_counts(found: list[tuple[float, float]], begin: float, length: float) -> None:
    n, end = 4000, begin + length
    points = [begin + (i + 0.5) * length / n for i in range(n)]
    counted = sum(any(a <= x <= b for a, b in found) for x in points) * length / n
    assert overlap(merged(found), begin, end) == pytest.approx(counted, abs=24 * length / n + 1e-12)


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.01, 2), st.floats(0, 1)), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_busy_and_idle_fill_the_time_of_all_workers(plan: list[tuple[int, float, float]]) -> None:
    at, records, keys = [0.0] * 3, [], []
    for i, (w, length, gap) in enumerate(plan):
        start = at[w] + gap
        records.append(record(f"fine/m/{i}.0.0/{w}", f"w{w}", start, start + length, tuple(keys[-1:])))
        keys.append(records[-1].key)
        at[w] = start + length
    whole = max(r.end for r in records) - min(r.start for r in records)
    busy = sum(r.end - r.start for r in records)
    assert sum(idle(records, 3).values()) + busy == pytest.approx(3 * whole, rel=1e-9, abs=1e-9)


def test_lb1_counts_each_batch_once_a_step_and_the_shortest_coarse_solve() -> None:
    records = [
        record("fine/m/1.0.0/0", "a", 0, 3),
        record("fine/m/1.0.1/0", "a", 0, 5),
        record("fine/m/1.0.0/1", "a", 0, 1),
        record("coarse/1.0.0", "d", 0, 2),
        record("coarse/1.0.1", "d", 0, 1),
        record("fine/m/2.a0-7/0", "a", 0, 4),
        record("fine/m/2.a0-9/1", "a", 0, 1),
        record("coarse/2.a0-8", "d", 0, 1),
        record("commit/m/1/0", "a", 0, 1),
    ]
    assert bounds(records, 1).lb1_s == (5 + 1) + (4 + 1) + (1 + 1) + 1
    assert bounds(records, 4).lb1_s == 5 + 4  # the chain of batch 0
    assert bounds(records, 4).lower_bound_s == 3 + 5 + 4

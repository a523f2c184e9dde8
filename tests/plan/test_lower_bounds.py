"""Work, span and lower bounds on hand-made records."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import TaskRecord
from hpcms.plan.bounds import bounds, span


def record(key: str, cpu: float, inputs: tuple[str, ...] = ()) -> TaskRecord:
    return TaskRecord(key, key.split("/")[0], "w", 0.0, cpu, cpu, inputs=inputs)


def test_a_diamond() -> None:
    records = [
        record("fine/m/1.0.0/0", 3.0),
        record("fine/m/1.0.0/1", 1.0),
        record("coarse/1.0.0", 2.0, ("fine/m/1.0.0/0", "fine/m/1.0.0/1")),
        record("fine/m/1.0.1/0", 1.0, ("coarse/1.0.0", "fine/m/1.0.0/0")),
        record("fine/m/1.0.1/1", 4.0, ("coarse/1.0.0", "fine/m/1.0.0/1")),
    ]
    b = bounds(records, workers=2)
    assert b.work_s == 11.0
    assert b.span_s == 3 + 2 + 4
    assert b.slowest_chain_s == 5.0
    assert b.coarse_s == 2.0
    assert b.lower_bound_s == 5.5


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 5)), min_size=1, max_size=30), st.integers(1, 8))
def test_the_span_lies_between_the_longest_task_and_the_work(tasks: list[tuple[float, int]], workers: int) -> None:
    records = [
        record(f"fine/m/{i}/0", c, (f"fine/m/{i - back}/0",) if back else ()) for i, (c, back) in enumerate(tasks)
    ]
    b = bounds(records, workers)
    assert max(c for c, _ in tasks) - 1e-12 <= span(records) <= b.work_s + 1e-9
    assert b.lower_bound_s <= b.work_s + 1e-9


def test_a_long_chain_needs_no_recursion() -> None:
    records = [record(f"fine/m/{i}/0", 1.0, (f"fine/m/{i - 1}/0",)) for i in range(5000)]
    assert span(reversed(records)) == 5000.0

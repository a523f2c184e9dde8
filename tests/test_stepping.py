"""The size of a step: halved while it is rejected, doubled after it was accepted, never across a planned time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.errors import NumericalFailure
from hpcms.stepping import StepRejected, StepSize


@settings(max_examples=100, deadline=None, derandomize=True)
@given(count=st.integers(1, 5), ok=st.lists(st.booleans(), max_size=60))
def test_every_planned_time_is_the_end_of_a_step(count: int, ok: list[bool]) -> None:
    times = [0.7 * (k + 1) for k in range(count)]
    t, cut, ends, verdicts = 0.0, 0.0, [], iter(ok)
    while t < times[-1]:
        size = StepSize.within(times, t, cut)
        while not next(verdicts, True):
            before = size.dt
            size.halve(0.0, 1, StepRejected("no"))
            assert size.dt == before / 2
        assert t < size.end <= size.target
        t, cut = size.end, size.next
        ends.append(t)
    assert set(times) <= set(ends)


def test_too_short_a_step_is_a_failure_that_says_why() -> None:
    size = StepSize.within([1.0], 0.0)
    size.halve(0.5, 3, StepRejected("no descent"))
    with pytest.raises(NumericalFailure, match=r"step 3 fails down to the smallest step of 0.5 s: no descent"):
        size.halve(0.5, 3, StepRejected("no descent"))

"""Which worker a batch is for: at home as long as that one has not more to do than others."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcms.contracts import Look, Talk
from hpcms.coupling.speculative import Speculative


def scheme(batches: int, workers: int) -> Speculative:
    rows = [(b, b + 1) for b in range(batches)]
    look = Look({"u": np.zeros(1)}, lambda u: {"m": {"strain": np.zeros((batches, 6))}})
    return Speculative.begin(look, Talk(1e-6, 10, {"m": rows}, {"m": ("strain", "stress")}, workers=workers))


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 30))
def test_no_worker_has_two_more_than_another_and_all_are_asked_once(batches: int, workers: int, room: int) -> None:
    made, seen = scheme(batches, workers), []
    while len(seen) < batches:
        [request] = made.ask(room)
        has = np.bincount(request.workers, minlength=workers)
        assert len(request.batches) == len(request.workers) <= room
        if has.max() > 2:
            assert has.max() - has.min() <= 2
        seen += request.batches.tolist()
        made.forget(request.key, request.batches)
        assert not any(made.levels[0].busy.values())
    assert sorted(seen) == list(range(batches))


def test_others_take_over_what_would_wait() -> None:
    """All that is left in the queue is at home with one worker."""
    made = scheme(32, 4)
    made.levels[0].queue["m"] = list(range(0, 32, 4))
    [request] = made.ask(8)
    assert sorted(np.bincount(request.workers).tolist()) == [1, 2, 2, 3]


def test_a_batch_is_at_home_where_that_is_free() -> None:
    [request] = scheme(8, 4).ask(8)
    assert [b % 4 for b in request.batches.tolist()] == list(request.workers)

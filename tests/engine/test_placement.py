"""Which worker has which batch: balanced by cost, and moved as little as that needs."""

from __future__ import annotations

from collections import Counter
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from hpcms.contracts import TaskRecord
from hpcms.engine.exchange import Exchange, Part
from hpcms.engine.placement import WORTH, balanced, loads

COSTS = st.lists(st.floats(0.0, 10.0), min_size=1, max_size=30)


def load(costs: list[float], places: list[str]) -> dict[str, float]:
    return {w: sum(c for c, p in zip(costs, places, strict=True) if p == w) for w in "abc"}


@given(COSTS, st.randoms(use_true_random=False))
def test_the_busiest_worker_never_gets_more_and_no_move_would_help_it(costs: list[float], rng: object) -> None:
    places = [rng.choice("abc") for _ in costs]  # type: ignore[attr-defined]
    after = load(costs, balanced(costs, places, ["a", "b", "c"]))
    assert max(after.values()) <= max(load(costs, places).values()) + 1e-9
    busy, gap = max(after, key=lambda w: after[w]), max(after.values()) - min(after.values())
    own = [c for c, p in zip(costs, balanced(costs, places, ["a", "b", "c"]), strict=True) if p == busy]
    least = WORTH * sum(costs) / 3
    assert all(min(c, gap - c) <= least + 1e-9 for c in own)


def test_what_is_balanced_stays_and_a_new_worker_gets_its_share() -> None:
    assert balanced([1.0] * 4, ["a", "b", "a", "b"], ["a", "b"]) == ["a", "b", "a", "b"]
    assert balanced([1.0] * 4, ["a"] * 4, ["a", "b"]).count("b") == 2
    assert balanced([3.0, 1.0, 1.0, 1.0], ["a"] * 4, ["a", "b"]) == ["b", "a", "a", "a"]


def test_the_seconds_of_a_batch_are_summed_over_a_step() -> None:
    records = [
        TaskRecord(key=key, kind=kind, worker="w", start=0.0, end=1.0, cpu_s=0.5, inputs=())
        for key, kind in [("fine/creep/1.0.0/3", "fine"), ("fine/creep/1.0.1/3", "fine"), ("coarse/1.0.0", "coarse")]
    ]
    assert loads(records) == {("creep", 3): 1.0}


def test_before_the_first_step_all_batches_count_the_same() -> None:
    """One worker began all regions of a model, another those of the second: each gets half of both."""
    record = partial(TaskRecord, start=0.0, end=1.0, cpu_s=0.5, inputs=())
    parts = {n: Part(n, None, None, None, [(b, b + 1) for b in range(4)], None) for n in "xy"}  # type: ignore[arg-type]
    exchange = Exchange(None, parts, 0, 1.0, lambda: None)  # type: ignore[arg-type]
    written = [
        record(f"commit/{n}/0/{b}", "commit", worker) for n, worker in (("x", "a"), ("y", "b")) for b in range(4)
    ]
    exchange.records = [record("coarse/0", "coarse", "driver"), *written]
    exchange._place(iter(written))
    assert [Counter(parts[n].places) for n in "xy"] == [{"a": 2, "b": 2}] * 2

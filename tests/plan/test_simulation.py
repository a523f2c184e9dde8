"""Schemes on a bar of layered cells, real numerics, simulated clocks: all end where nested ends, in any order of arrival."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hpcms.plan.machine import Machine
from hpcms.plan.simulate import Simulated
from hpcms.plan.study import history, no_history

CREEP = replace(history(8), elements=4)
CURVED = replace(no_history(8), elements=4)


def apart(one: Simulated, other: Simulated) -> float:
    """Largest difference of the displacement in any step over its largest value."""
    pairs = [(a["displacement"], b["displacement"]) for a, b in zip(one.ends, other.ends, strict=True)]
    return max(float(np.abs(a - b).max()) for a, b in pairs) / max(float(np.abs(b).max()) for _, b in pairs)


@settings(max_examples=6, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 10**6), sigma=st.floats(0, 2), workers=st.integers(1, 8), jitter=st.floats(0, 1))
def test_delays_change_the_answer_by_no_more_than_the_tolerance(
    seed: int, sigma: float, workers: int, jitter: float
) -> None:
    for study in (CREEP, CURVED):
        nested = study.run("nested")
        drawn = replace(study, seed=seed, sigma=sigma, jitter=jitter)
        for scheme in ("barrier_free", "speculative"):
            run = drawn.run(scheme, workers)
            assert apart(run, nested) < 20 * study.tolerance
            assert run.lb0 <= run.time * (1 + 1e-9)
            assert run.span <= run.time * (1 + 1e-9)


@pytest.mark.parametrize("scheme", ["barrier_free", "speculative"])
def test_the_same_delays_give_the_same_bits_and_others_do_not(scheme: str) -> None:
    first, again, other = CREEP.run(scheme), CREEP.run(scheme), CREEP.with_seed(1).run(scheme)
    assert first.order == again.order
    assert first.ends[-1]["displacement"].tobytes() == again.ends[-1]["displacement"].tobytes()
    assert first.ends[-1]["displacement"].tobytes() != other.ends[-1]["displacement"].tobytes()


def test_condensed_makes_fewer_fine_iterations_than_nested_and_ahead_is_faster_still() -> None:
    study = replace(history(10), elements=16)
    nested, condensed, ahead = (study.run(s) for s in ("nested", "condensed", "speculative"))
    lb1 = study.known(nested).lb1
    assert condensed.iterations < 0.7 * nested.iterations
    assert ahead.time < condensed.time < nested.time
    assert ahead.time < 1.35 * lb1
    assert ahead.ahead > 0


def test_without_memory_two_records_save_fine_work() -> None:
    study = replace(no_history(20), elements=8)
    assert study.run("barrier_free").work < 0.75 * study.run("condensed").work


def test_one_worker_is_never_idle_but_for_the_coarse_solve() -> None:
    run = CREEP.run("barrier_free", 1)
    assert run.time == pytest.approx(run.work, rel=0.02)


def test_messages_and_a_slow_scheduler_take_time() -> None:
    quick = CREEP.run("condensed", machine=Machine(8))
    late = CREEP.run("condensed", machine=Machine(8, latency=0.5))
    slow = CREEP.run("condensed", machine=Machine(8, dispatch=2.0))
    agents = CREEP.run("condensed", machine=Machine(8, dispatch=2.0, agents=8))
    assert late.time == pytest.approx(quick.time + 1.0 * quick.sweeps, rel=0.1)
    assert slow.time > agents.time > quick.time

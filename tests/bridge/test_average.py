"""The energy check of the average bridge, with planted faults."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.bridge.average import Average
from hpcms.errors import BridgeViolation

BRIDGE = Average(("strain", "stress"))
IDS = np.array([7, 8, 9])


def exchange(seed: int, scale: float = 1.0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    eps, sigma = rng.normal(size=(3, 6)) * scale, rng.normal(size=(3, 6)) / scale
    return {"strain": eps}, {"stress": sigma, "work": (eps * sigma).sum(axis=1)}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-12, 1e12))
def test_a_true_exchange_passes_at_any_scale(seed: int, scale: float) -> None:
    drive, answer = exchange(seed, scale)
    assert BRIDGE.check(drive, answer, IDS) < 1e-14


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), region=st.integers(0, 2))
def test_a_planted_fault_names_its_region(seed: int, region: int) -> None:
    drive, answer = exchange(seed)
    answer["stress"][region] += 1e-6 * drive["strain"][region]
    with pytest.raises(BridgeViolation, match=f"region {IDS[region]}"):
        BRIDGE.check(drive, answer, IDS)


def test_nan_is_named() -> None:
    drive, answer = exchange(0)
    answer["stress"][1, 2] = np.nan
    with pytest.raises(BridgeViolation, match="region 8: answer 'stress' is not finite"):
        BRIDGE.check(drive, answer, IDS)


def test_rest_is_no_violation_and_no_pairing_no_check() -> None:
    zero = {"strain": np.zeros((3, 6))}, {"stress": np.zeros((3, 6)), "work": np.zeros(3)}
    assert BRIDGE.check(*zero, IDS) == 0.0
    assert Average(None).conserves == ()

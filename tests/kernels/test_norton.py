"""The law of creep at one point: the step's root, its temperature and its conventions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.kernels.norton import arrhenius, remaining, remaining_cubic, remaining_plain, uniaxial_factor


@settings(deadline=None, derandomize=True, max_examples=80)
@given(st.floats(-30, 30), st.floats(1, 20))
def test_root_solves_its_equation(log_k: float, n: float) -> None:
    k = 10.0**log_k
    x = remaining(k, n)
    assert 0 < x <= 1
    # relative to the slope: an error of 1e-14 in x
    assert abs(x + k * x**n - 1) <= 1e-14 * x * (1 + n * k * x ** (n - 1)) + 1e-15


def test_root_equals_its_plain_twin() -> None:
    k = np.array([0.0, 1e-12, 0.3, 1.0, 17.0, 1e6])
    for n in (1.0, 2.0, 3.0, 4.2):
        np.testing.assert_allclose([remaining(v, n) for v in k], remaining_plain(k, n), rtol=1e-12)


def test_vector_form_equals_the_scalar_one() -> None:
    k = np.concatenate([[0.0], np.logspace(-30, 30, 4001)])
    x = np.empty_like(k)
    remaining_cubic(k, k.view(np.int64), x, x.view(np.int64))
    np.testing.assert_allclose(x, [remaining(v, 3.0) for v in k], rtol=1e-15)


def test_nan_stays_nan() -> None:
    k = np.array([np.nan, 1.0])
    x = np.empty_like(k)
    remaining_cubic(k, k.view(np.int64), x, x.view(np.int64))
    assert np.isnan(x[0])
    assert np.isnan(remaining(np.nan, 2.5))


def test_temperature_derivative_and_the_kink() -> None:
    args = (3.5e-25, 263.15, 60e3, 115e3)
    for T in (230.0, 262.0, 264.0, 272.0):
        rate, slope = arrhenius(*args, np.array(T))
        up, down = (arrhenius(*args, np.array(T + h))[0] for h in (1e-3, -1e-3))
        assert slope == pytest.approx((up - down) / 2e-3, rel=1e-6)
        assert rate > 0
    assert arrhenius(*args, np.array(263.15))[0] == pytest.approx(3.5e-25, rel=1e-14)
    # ice at -20 C creeps about three times slower than at -10 C
    assert 2.5 < 3.5e-25 / arrhenius(*args, np.array(253.15))[0] < 3.2


def test_effective_convention_is_softer_by_two_ninths() -> None:
    """In uniaxial stress: 2/3 sigma (sigma^2 / 3)^((n - 1) / 2) against sigma^n."""
    assert uniaxial_factor("effective", 3.0) == pytest.approx(2 / 9)
    assert uniaxial_factor("effective", 1.0) == pytest.approx(2 / 3)
    assert uniaxial_factor("uniaxial", 3.0) == 1.0
    with pytest.raises(ValueError, match="convention"):
        uniaxial_factor("engineering", 3.0)

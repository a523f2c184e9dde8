"""Bounds: published values, order, and the limits in which they meet."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms import bounds
from hpcms.errors import BadInput

QUICK = settings(max_examples=40, deadline=None, derandomize=True)
positive = st.floats(1e-3, 1e3)


@st.composite
def mixtures(draw):
    n = draw(st.integers(1, 4))
    f = np.array(draw(st.lists(st.floats(0.01, 1), min_size=n, max_size=n)))
    y = [draw(st.lists(positive, min_size=n, max_size=n)) for _ in range(2)]
    return np.array(y[0]), np.array(y[1]), f / f.sum()


def test_hashin_shtrikman_values_of_two_phase_media():
    plane = bounds.conductivity([1, 10], [0.5, 0.5], dimension=2)
    assert (plane.lower, plane.upper) == pytest.approx((2.38462, 4.19355), rel=2e-6)
    space = bounds.conductivity([1, 10], [0.7, 0.3])
    assert (space.lower, space.upper) == pytest.approx((1.87097, 3.07692), rel=2e-6)
    K = bounds.bulk([1, 10], [0.6, 6], [0.7, 0.3])
    assert (K.lower, K.upper) == pytest.approx((1.6, 2.58824), rel=2e-6)
    G = bounds.shear([1, 10], [0.6, 6], [0.7, 0.3])
    assert (G.lower, G.upper) == pytest.approx((0.997059, 1.645161), rel=1e-6)


@QUICK
@given(mixtures(), st.sampled_from([2, 3]))
def test_bounds_are_ordered_and_hold_the_phases_between_them(mixture, dimension):
    K, G, f = mixture
    for got, y in (
        (bounds.conductivity(K, f, dimension), K),
        (bounds.bulk(K, G, f, dimension), K),
        (bounds.shear(K, G, f, dimension), G),
    ):
        values = [y.min(), got.reuss, got.lower, got.upper, got.voigt, y.max()]
        assert all(b >= a * (1 - 1e-12) for a, b in pairwise(values))


@QUICK
@given(mixtures())
def test_equal_shear_moduli_give_hills_exact_bulk_modulus(mixture):
    K, _, f = mixture
    got = bounds.bulk(K, np.full_like(K, 2.5), f)
    assert got.lower == pytest.approx(got.upper, rel=1e-12)


@QUICK
@given(mixtures(), st.sampled_from([2, 3]))
def test_splitting_a_phase_changes_nothing(mixture, dimension):
    K, G, f = mixture
    twice = [np.append(x, x[-1]) for x in (K, G)]
    split = np.append(f, f[-1] / 3)
    split[-2] -= f[-1] / 3
    whole = bounds.shear(K, G, f, dimension)
    assert bounds.shear(*twice, split, dimension).upper == pytest.approx(whole.upper, rel=1e-12)


def test_void_makes_the_lower_bounds_zero():
    got = bounds.conductivity([0, 2], [0.4, 0.6])
    assert (got.reuss, got.lower) == (0, 0)
    assert 0 < got.upper < got.voigt
    assert bounds.shear([0, 2], [0, 1], [0.4, 0.6]).lower == 0
    assert bounds.conductivity([0, 2], [0, 1]).lower == pytest.approx(2)


def test_bounds_of_a_viscosity_are_those_of_an_incompressible_shear_modulus():
    eta, f = np.array([1.0, 7.0]), [0.7, 0.3]
    for dimension in (2, 3):
        got, want = bounds.viscosity(eta, f, dimension), bounds.shear(1e9 * eta, eta, f, dimension)
        assert (got.reuss, got.lower, got.upper, got.voigt) == pytest.approx(
            (want.reuss, want.lower, want.upper, want.voigt), rel=1e-6
        )


def test_rigid_phases_have_no_upper_bound_and_dilute_ones_the_slope_of_einstein():
    got = bounds.viscosity([2.0, np.inf], [0.999, 0.001]).json()
    assert got["voigt"] is None
    assert got["hashin_shtrikman"][1] is None
    assert got["hashin_shtrikman"][0] == pytest.approx(2 * (1 + 2.5 * 0.001), rel=1e-5)
    assert got["reuss"] == pytest.approx(2 / 0.999)
    with pytest.raises(BadInput, match="finite"):
        bounds.conductivity([1.0, np.inf], [0.5, 0.5])


def test_bounds_of_tensors():
    C = np.array([np.diag([1.0, 2.0]), np.diag([3.0, 4.0])])
    got = bounds.tensors(C, np.array([0.5, 0.5]))
    np.testing.assert_allclose(got["voigt"], np.diag([2.0, 3.0]))
    np.testing.assert_allclose(got["reuss"], np.diag([1.5, 8 / 3]))
    assert not np.any(bounds.tensors(0 * C, np.array([0.5, 0.5]))["reuss"])


@pytest.mark.parametrize(
    ("k", "f", "d"),
    [
        ([1, 2], [0.5, 0.6], 3),
        ([1, -2], [0.5, 0.5], 3),
        ([1, np.nan], [0.5, 0.5], 3),
        ([1], [0.5, 0.5], 3),
        ([1], [1], 4),
    ],
)
def test_bad_mixtures_are_refused(k, f, d):
    with pytest.raises(BadInput):
        bounds.conductivity(k, f, d)

"""Kernels of tensors and of laws against sums over Gauss points, and slopes against differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.kernels import hex8_conductor

QUICK = settings(max_examples=20, deadline=None, derandomize=True)
shapes = st.tuples(*[st.integers(1, 5)] * 3)
H = np.array([0.1, 0.3, 0.2])


def case(shape, seed):
    rng = np.random.default_rng(seed)
    return rng, rng.integers(0, 2, shape).astype(np.uint8), rng.normal(size=shape), rng.normal(size=3)


@QUICK
@given(shapes, st.integers(0, 2**32))
def test_tensors_equal_the_sum_over_gauss_points(shape, seed):
    rng, phase, u, g = case(shape, seed)
    T = rng.normal(size=(2, 3, 3))
    T = T + T.swapaxes(1, 2)
    f = np.zeros(shape)
    K = np.array([[t[a, b] for a, b in hex8_conductor.ORDER] for t in T])
    hex8_conductor.tensors(u, phase, K, g, H, f)
    flux = np.einsum("xyzij,njxyz->nixyz", T[phase], hex8_conductor.gradients_plain(u, g, H))
    np.testing.assert_allclose(f, hex8_conductor.forces_plain(flux, H), atol=1e-12)


@QUICK
@given(shapes, st.integers(0, 2**32), st.sampled_from([0.3, 1.0, 3.0]))
def test_the_law_equals_the_sum_over_gauss_points_and_is_the_slope_of_its_potential(shape, seed, m):
    rng, phase, u, g = case(shape, seed)
    law = np.array([[1.0, m, 0.1, 1.0], [3.0, 2.0, 0.2, 0.5]])
    du = rng.normal(size=shape)

    def at(v):
        f, points, total = np.zeros(shape), np.empty((*shape, 8, 2)), np.zeros(5)
        hex8_conductor.power_law(v, phase, law, g, H, hex8_conductor.GAUSS, f, points, total)
        return f, points, total

    f, points, total = at(u)
    G = hex8_conductor.gradients_plain(u, g, H)
    k, n, g0, gr = law[phase].transpose(3, 0, 1, 2)
    size = (G**2).sum(axis=1) + g0**2
    flux = (k * (size / gr**2) ** ((n - 1) / 2))[:, None] * G
    scale = np.abs(flux).max() * H.prod() / H.min()
    np.testing.assert_allclose(f, hex8_conductor.forces_plain(flux, H), atol=1e-12 * scale)
    psi = k * gr**2 / (n + 1) * ((size / gr**2) ** ((n + 1) / 2) - (g0 / gr) ** (n + 1))
    volume = H.prod() * u.size
    assert total[3] == pytest.approx(psi.mean() * volume, rel=1e-12)
    assert total[4] == pytest.approx((flux * G).sum(axis=1).mean() * volume, rel=1e-12)
    e = 1e-6
    slope, unused = np.zeros(shape), np.zeros(3)
    hex8_conductor.slope(du, np.zeros(3), u, g, points, H, hex8_conductor.GAUSS, slope, unused)
    plus, minus = at(u + e * du), at(u - e * du)
    np.testing.assert_allclose((plus[0] - minus[0]) / (2 * e), slope, atol=1e-6 * (np.abs(slope).max() + scale))
    assert (plus[2][3] - minus[2][3]) / (2 * e) == pytest.approx(float((f * du).sum()), rel=1e-6, abs=1e-7 * scale)

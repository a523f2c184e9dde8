"""Each compiled kernel against its readable twin, and the properties that conjugate gradients rely on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.kernels import green_scalar, hex8_scalar, vectors

QUICK = settings(max_examples=25, deadline=None, derandomize=True)
shapes = st.tuples(*[st.integers(1, 7)] * 3)
spacings = st.tuples(*[st.sampled_from([1.0, 0.1, 0.35, 2.0])] * 3)


def close(got, want, scale=0.0):
    assert np.abs(got - want).max() <= 1e-12 * max(np.abs(want).max(), scale)


@QUICK
@given(shapes, st.tuples(*[st.booleans()] * 3), spacings, st.integers(0, 2**32))
def test_stiffness_equals_the_element_matrix(shape, around, spacing, seed):
    rng = np.random.default_rng(seed)
    nodes = tuple(n if ring else n + 1 for n, ring in zip(shape, around, strict=True))
    u, k, gradient = rng.normal(size=nodes), rng.normal(size=shape) * rng.integers(0, 2, shape), rng.normal(size=3)
    out = np.zeros(nodes)
    hex8_scalar.apply(u, k, hex8_scalar.extents(k), hex8_scalar.weights(spacing), gradient * spacing, out)
    close(out, hex8_scalar.apply_plain(u, k, spacing, gradient), scale=np.abs(k).max())


def test_element_matrix_integrates_a_linear_field_exactly():
    hx, hy, hz = spacing = (0.5, 0.25, 2.0)
    K = hex8_scalar.element_matrix(spacing)
    corners = np.array([(a * hx, b * hy, c * hz) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    g = np.array([1.0, -3.0, 0.5])
    T = corners @ g
    energy = T @ K @ T
    assert energy == pytest.approx(g @ g * hx * hy * hz)
    close(K @ np.ones(8), np.zeros(8), scale=1.0)


@QUICK
@given(shapes, st.tuples(*[st.integers(0, 6)] * 3), spacings, st.integers(0, 2**32))
def test_green_operator_equals_division_by_the_symbol(shape, less, spacing, seed):
    box = tuple(max(1, n - m) for n, m in zip(shape, less, strict=True))
    s, out = np.random.default_rng(seed).normal(size=box), np.empty(box)
    green_scalar.prepare(shape, box, spacing).solve(s, out)
    whole = green_scalar.solve_plain(s, shape, spacing)
    close(out, whole[tuple(slice(n) for n in box)], scale=np.abs(whole).max())


@pytest.mark.parametrize(
    ("shape", "box"), [((150, 6, 5), (150, 6, 5)), ((300, 4, 4), (7, 3, 2)), ((4, 70, 90), (3, 60, 90))]
)
def test_green_operator_on_long_cells(shape, box):
    s, out = np.random.default_rng(3).normal(size=box), np.empty(box)
    green_scalar.prepare(shape, box, (1e-5, 2e-5, 1.5e-5), 3.0).solve(s, out)
    close(out, green_scalar.solve_plain(s, shape, (1e-5, 2e-5, 1.5e-5))[tuple(slice(n) for n in box)] / 3)


def test_green_operator_inverts_the_uniform_stiffness():
    shape, spacing = (6, 9, 8), (1.0, 0.5, 2.0)
    u = np.random.default_rng(4).normal(size=shape)
    s, back, k = np.zeros(shape), np.empty(shape), np.full(shape, 1.7)
    hex8_scalar.apply(u, k, hex8_scalar.extents(k), hex8_scalar.weights(spacing), np.zeros(3), s)
    green_scalar.prepare(shape, shape, spacing, 1.7).solve(s, back)
    close(back, u - u.mean())


def test_green_operator_is_symmetric_and_repeats_bitwise():
    shape, box = (9, 8, 7), (5, 6, 7)
    a, b, Ga, Gb = np.random.default_rng(5).normal(size=(4, *box))
    G = green_scalar.prepare(shape, box, (1.0, 1.0, 1.0))
    G.solve(a, Ga)
    G.solve(b, Gb)
    assert np.vdot(a, Gb) == pytest.approx(np.vdot(b, Ga), rel=1e-12)
    again = np.empty(box)
    G.solve(a, again)
    assert np.array_equal(again, Ga)


def test_vector_updates_equal_their_twins():
    rng = np.random.default_rng(6)
    z, r, p, q0, q, s = rng.normal(size=(6, 1001))
    assert vectors.dot(z, r) == pytest.approx(vectors.dot_plain(z, r), rel=1e-12)
    fast, plain = [x.copy() for x in (z, r, p, q0, q)], [x.copy() for x in (z, r, p, q0, q)]
    vectors.directions(*fast[:2], 0.3, *fast[2:])
    vectors.directions_plain(*plain[:2], 0.3, *plain[2:])
    fast, plain = [q0, q, s.copy(), r.copy()], [q0, q, s.copy(), r.copy()]
    assert vectors.advance(0.7, *fast) == pytest.approx(vectors.advance_plain(0.7, *plain), rel=1e-12)
    for got, want in zip(fast, plain, strict=True):
        close(got, want)


def test_not_a_number_is_seen_by_the_kernels():
    r = np.array([1.0, np.nan])
    assert np.isnan(vectors.dot(r, r))


def test_kernels_are_compiled_once_for_all_sizes():
    before = len(hex8_scalar.apply.signatures)
    for n in (2, 3, 5):
        k = np.ones((n, n + 1, n))
        hex8_scalar.apply(
            np.ones(k.shape), k, hex8_scalar.extents(k), hex8_scalar.weights((1, 1, 1)), np.zeros(3), np.zeros(k.shape)
        )
    assert len(hex8_scalar.apply.signatures) <= before + 1

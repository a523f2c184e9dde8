"""Cells side by side: transforms, and answers that do not depend on the company."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.kernels import cell_scalar, cell_scalar_lanes, green_scalar, lanes

QUICK = settings(max_examples=20, deadline=None, derandomize=True)
K = np.array([1.0, 100.0, 0.0])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8])
def test_the_folded_waves_are_orthonormal_and_turn_the_ring_diagonal(n):
    full = np.zeros((n, n))  # rows of waves on nodes: unfold the matrix
    M = lanes.fold(n)
    for row in range(n):
        for i in range(n // 2 + 1):
            full[row, i] += M[row, i] if row < n // 2 + 1 else 0
            if 0 < i <= (n - 1) // 2:
                full[row, n - i] += M[row, i] if row < n // 2 + 1 else -M[row, n // 2 + i]
                full[row, i] += M[row, n // 2 + i] if row >= n // 2 + 1 else 0
    np.testing.assert_allclose(full @ full.T, np.eye(n), atol=1e-14)
    ring = 2 * np.eye(n) - np.roll(np.eye(n), 1, 0) - np.roll(np.eye(n), -1, 0)
    turned = full @ ring @ full.T
    np.testing.assert_allclose(turned, np.diag(np.diag(turned)), atol=1e-14)


@QUICK
@given(st.tuples(*[st.integers(1, 7)] * 3), st.integers(1, 5), st.integers(0, 2**32))
def test_the_inverse_side_by_side_is_division_by_the_symbol(shape, L, seed):
    spacing, nodes = (0.1, 0.35, 2.0), int(np.prod(shape))
    r = np.random.default_rng(seed).normal(size=(*shape, L))
    work, other = np.empty((2, (max(shape) + 1) * lanes.SPAN))
    spare, z = np.empty((2, nodes * L))
    inverse = cell_scalar_lanes.inverse_symbol(shape, spacing)
    tables = lanes.transforms(shape, float)
    lanes.solve(r.reshape(-1), inverse, tables, np.array(shape), L, work, other, spare, z)
    for cell in range(L):
        want = green_scalar.solve_plain(r[..., cell], shape, spacing)
        np.testing.assert_allclose(z.reshape(*shape, L)[..., cell], want, atol=1e-12 * (np.abs(want).max() or 1.0))


@pytest.mark.parametrize("shape", [(5, 4, 6), (8, 8, 8), (1, 3, 9)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_cell_has_the_same_bits_in_any_company(shape, threads):
    phases = np.random.default_rng(4).integers(0, 3, (19, *shape)).astype(np.uint8)
    together = cell_scalar.effective_many(phases, K, (0.1, 0.2, 0.3), 1e-7, threads=threads)
    for place in (0, 7, 18):
        alone = cell_scalar.effective_many(phases[place : place + 1], K, (0.1, 0.2, 0.3), 1e-7)[0]
        np.testing.assert_array_equal(alone.conductivity, together[place].conductivity)
        np.testing.assert_array_equal(alone.energy, together[place].energy)
        assert alone.outcomes == together[place].outcomes


@QUICK
@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 2**32), st.sampled_from([0.0, 1e-6, 30.0, 1e6]))
def test_cells_side_by_side_have_the_tensors_of_cells_alone(shape, seed, contrast):
    phases = np.random.default_rng(seed).integers(0, 2, (3, *shape)).astype(np.uint8)
    k, spacing = np.array([1.0, contrast]), (0.2, 0.1, 0.3)
    many = cell_scalar.effective_many(phases, k, spacing, 1e-9)
    for phase, found in zip(phases, many, strict=True):
        want = cell_scalar.effective(phase, k, spacing, 1e-9)
        assert all(outcome.ok for outcome in found.outcomes)
        np.testing.assert_allclose(found.conductivity, want.conductivity, rtol=0, atol=1e-8 * (k[phase].mean() or 1.0))
        np.testing.assert_allclose(found.energy, found.conductivity, rtol=0, atol=1e-10 * (k[phase].mean() or 1.0))


def test_running_out_of_iterations_is_told_for_that_cell_alone():
    phases = np.zeros((2, 6, 6, 6), np.uint8)
    phases[1] = np.random.default_rng(5).integers(0, 2, (6, 6, 6))
    calm, hard = cell_scalar.effective_many(phases, np.array([1.0, 1e4]), (1.0, 1.0, 1.0), 1e-9, limit=3)
    assert all(outcome.ok and outcome.linear_iterations == 0 for outcome in calm.outcomes)
    assert not any(outcome.ok for outcome in hard.outcomes)
    assert all("max_iterations" in outcome.reason for outcome in hard.outcomes)

"""What holds for every periodic elastic cell, on random images, moduli, voxel shapes and sizes; and the hard cases by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.kernels.cell_elastic import ElasticCell
from hpcms.kernels.hex8_anisotropic import isotropic

FEW = settings(max_examples=12, deadline=None, derandomize=True)
ROOT = np.sqrt(2.0)


def lame(E: float, nu: float) -> tuple[float, float]:
    return E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))


@st.composite
def cells(draw: st.DrawFn, soft: float = 0.05) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """(phase, moduli, spacing): up to three isotropic phases on odd and even, flat and thin cells."""
    shape = tuple(draw(st.integers(1, 6)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    moduli = np.array([lame(10 ** rng.uniform(np.log10(soft), 1), rng.uniform(-0.3, 0.45)) for _ in range(3)])
    edges = [draw(st.sampled_from([0.5, 1.0, 2.0])) for _ in range(3)]
    return rng.integers(0, 3, shape), moduli, (edges[0], edges[1], edges[2])


def stiffness(phase: np.ndarray, moduli: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    C, states = ElasticCell(phase, moduli, spacing).stiffness(range(6), 1e-8)
    assert all(state.residual <= 1e-8 for state in states)
    return C


@FEW
@given(cells())
def test_stiffness_is_symmetric_and_between_voigt_and_reuss(case: tuple) -> None:
    phase, moduli, _ = case
    C, share = stiffness(*case), np.bincount(phase.ravel(), minlength=3) / phase.size
    np.testing.assert_allclose(C, C.T, atol=1e-6 * np.abs(C).max())
    each = np.array([isotropic(lam, mu) for lam, mu in moduli])
    voigt, reuss = np.tensordot(share, each, 1), np.linalg.inv(np.tensordot(share, np.linalg.inv(each), 1))
    slack = 1e-6 * np.abs(C).max()
    assert np.linalg.eigvalsh(voigt - (C + C.T) / 2).min() >= -slack
    assert np.linalg.eigvalsh((C + C.T) / 2 - reuss).min() >= -slack


@FEW
@given(cells(), st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_work_is_that_of_the_means(case: tuple, strain: list[float]) -> None:
    found = ElasticCell(*case).solve(np.array(strain), 1e-6)
    assert abs(found.work - found.stress @ np.array(strain)) <= 1e-10 * max(abs(found.work), 1e-30)


@FEW
@given(cells(), st.permutations(range(3)), st.lists(st.integers(0, 5), min_size=3, max_size=3), st.integers(0, 2))
def test_exchange_shift_and_mirror_of_the_image(case: tuple, order: list[int], shift: list[int], axis: int) -> None:
    """C turns with the image; a periodic shift changes nothing; a mirror turns the sign of two shears."""
    phase, moduli, spacing = case
    C = stiffness(*case)
    pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    place = [pairs.index((min(order[a], order[b]), max(order[a], order[b]))) for a, b in pairs]
    turned = stiffness(phase.transpose(order), moduli, tuple(spacing[a] for a in order))
    slack = 1e-6 * np.abs(C).max()
    np.testing.assert_allclose(turned, C[np.ix_(place, place)], atol=slack)
    np.testing.assert_allclose(stiffness(np.roll(phase, shift, (0, 1, 2)), moduli, spacing), C, atol=slack)
    sign = np.array([1 if (a == axis) == (b == axis) else -1 for a, b in pairs])
    np.testing.assert_allclose(stiffness(np.flip(phase, axis), moduli, spacing), C * sign * sign[:, None], atol=slack)


@FEW
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 5)] * 3))
def test_polycrystals_keep_the_bounds(seed: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(3, 6, 6))
    each, phase = np.array([a @ a.T + np.eye(6) for a in roots]), rng.integers(0, 3, shape)
    C, share = stiffness(phase, each, (1.0, 2.0, 1.0)), np.bincount(phase.ravel(), minlength=3) / phase.size
    slack = 1e-6 * np.abs(C).max()
    np.testing.assert_allclose(C, C.T, atol=slack)
    voigt, reuss = np.tensordot(share, each, 1), np.linalg.inv(np.tensordot(share, np.linalg.inv(each), 1))
    assert np.linalg.eigvalsh(voigt - C).min() >= -slack
    assert np.linalg.eigvalsh(C - reuss).min() >= -slack


@FEW
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 7)] * 3))
def test_homogeneous_cell_is_itself(seed: int, shape: tuple[int, int, int]) -> None:
    """Exactly, without an iteration; also where several labels carry one stiffness."""
    rng = np.random.default_rng(seed)
    moduli, strain = np.array([lame(rng.uniform(1, 9), rng.uniform(0, 0.4))] * 2), rng.normal(size=6)
    found = ElasticCell(rng.integers(0, 2, shape), moduli).solve(strain)
    np.testing.assert_allclose(found.stress, isotropic(*moduli[0]) @ strain, rtol=1e-13, atol=1e-13)
    assert found.iterations == 0
    assert not found.displacement.any()


@pytest.mark.parametrize("soft", [1e6, 1e-6, 0.0])
@pytest.mark.parametrize("fraction", [0.3, 0.6])
def test_hard_contrasts_converge(soft: float, fraction: float) -> None:
    """Rigid, nearly empty and empty voxels, floating clusters and corner contacts included."""
    phase = (np.random.default_rng(7).random((9, 8, 10)) < fraction).astype(np.uint8)
    found = ElasticCell(phase, np.array([lame(1.0, 0.3), lame(soft, 0.3)])).solve(np.eye(6)[0], 1e-6)
    assert found.residual <= 1e-6
    assert found.iterations < 700
    assert np.isfinite(found.stress).all()
    assert abs(found.work - found.stress[0]) <= 1e-9 * found.work


def test_a_floating_ball_carries_nothing() -> None:
    phase = np.zeros((8, 8, 8), np.uint8)
    phase[2:5, 2:6, 3:5] = 1
    found = ElasticCell(phase, np.array([lame(0.0, 0.3), lame(1.0, 0.3)])).solve(np.eye(6)[0], 1e-8)
    assert np.abs(found.stress).max() < 1e-7


def test_all_void_is_zero() -> None:
    found = ElasticCell(np.zeros((3, 3, 3), np.uint8), np.zeros((1, 2))).solve(np.eye(6)[0])
    assert not found.stress.any()
    assert found.iterations == 0


@pytest.mark.parametrize("seed", range(12))
def test_single_precision_is_completed_where_the_matrix_is_soft(seed: int) -> None:
    """Rounding gives forces a sum, which must decay: it once grew until nothing was right."""
    rng = np.random.default_rng(seed)
    moduli = np.array([lame(10 ** rng.uniform(-1.3, 1), rng.uniform(-0.3, 0.45)) for _ in range(3)])
    stiffness(rng.integers(0, 3, (3, 3, 3)), moduli, (0.5, 2.0, 0.5))
    stiffness(rng.integers(0, 3, (5, 2, 5)), moduli, (1.0, 2.0, 0.5))

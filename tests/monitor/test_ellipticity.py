"""Loss of ellipticity against closed forms: isotropic, cubic, and a softening metal at its critical modulus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.monitor.ellipticity import acoustic, ellipticity, half_sphere, stretches

ONE = np.array([1.0, 1, 1, 0, 0, 0])


def isotropic(K: float, G: float) -> np.ndarray:
    return K * np.outer(ONE, ONE) + 2 * G * (np.eye(6) - np.outer(ONE, ONE) / 3)


def scale(A: np.ndarray) -> float:
    return float(np.trace(A) / 9) ** 3


def test_an_isotropic_solid_has_the_same_determinant_everywhere() -> None:
    K, G = 3.0, 0.7
    A = isotropic(K, G)
    found = ellipticity(A[None])
    assert found.least[0] * scale(A) == pytest.approx((K + 4 * G / 3) * G**2, rel=1e-12)
    Q = acoustic(np.tile(A, (5, 1, 1)), half_sphere(5))
    n = half_sphere(5)
    exact = G * np.eye(3) + (K + G / 3) * n[:, :, None] * n[:, None, :]
    assert np.allclose(Q, exact, atol=1e-14)


def test_a_cubic_crystal_is_least_along_one_of_its_axes_of_symmetry() -> None:
    """det Q: c11 c44^2 along 100; (c11 + c12 + 2 c44)(c11 - c12) c44 / 4 along 110."""
    c11, c12, c44 = 2.0, 1.5, 1.0  # soft against shear on 110
    A = np.diag([c11, c11, c11, 2 * c44, 2 * c44, 2 * c44])
    A[:3, :3] += c12 * (1 - np.eye(3))
    found = ellipticity(A[None])
    assert found.least[0] * scale(A) == pytest.approx((c11 + c12 + 2 * c44) * (c11 - c12) * c44 / 4, rel=1e-12)
    assert np.sort(np.abs(found.normal[0])) == pytest.approx([0, np.sqrt(0.5), np.sqrt(0.5)], abs=1e-8)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.floats(-1, 1), st.floats(0.0, 0.45), st.integers(0, 10**6))
def test_a_softening_metal_localises_at_the_modulus_of_rudnicki_and_rice(lode: float, nu: float, seed: int) -> None:
    """Associated von Mises plasticity: h / G = -(1 + nu) / 2 N^2, N the middle principal stress over sqrt(J2)."""
    angle = (lode + 1) * np.pi / 6  # 0 .. 60 degrees: all stress states
    s = 2 / np.sqrt(3) * np.cos(angle - np.array([0, 2, 4]) * np.pi / 3)  # J2 = 1
    N = np.sort(s)[1]
    G, K = 1.0, 2 * (1 + nu) / (3 * (1 - 2 * nu))
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    S = turn @ np.diag(s) @ turn.T
    r = np.sqrt(2.0)
    p = np.array([S[0, 0], S[1, 1], S[2, 2], r * S[1, 2], r * S[0, 2], r * S[0, 1]]) / 2  # d sqrt(J2) / d stress

    def tangent(h: float) -> np.ndarray:
        return isotropic(K, G) - np.outer(2 * G * p, 2 * G * p) / (h + G)

    critical = -(1 + nu) / 2 * N**2 * G
    at, before, after = ellipticity(np.array([tangent(critical + d) for d in (0.0, 0.02, -0.02)])).least
    assert abs(at) < 1e-9
    assert before > 0 > after


def test_the_least_value_is_not_above_a_dense_scan_also_without_symmetry() -> None:
    rng = np.random.default_rng(3)
    C = isotropic(2.0, 1.0)
    A = C + 0.25 * rng.standard_normal((60, 6, 6))
    found, n = ellipticity(A), half_sphere(4000)
    N = stretches(n)
    dense = np.linalg.det(np.einsum("dia,rij,djb->rdab", N, A, N)).min(axis=1)
    sizes = np.array([scale(a) for a in A])
    assert np.all(found.least <= dense / sizes + 1e-9)
    assert np.linalg.det(acoustic(A, found.normal)) / sizes == pytest.approx(found.least, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10**6))
def test_a_plane_tangent_is_least_over_the_normals_in_its_plane(seed: int) -> None:
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((6, 6))
    A = np.where(np.isin(np.arange(6), [2, 3, 4]), 0.0, B @ B.T + rng.standard_normal((6, 6)))  # no columns 33, 23, 13
    found = ellipticity(A[None])
    a = np.linspace(0, np.pi, 20001)
    n = np.column_stack([np.cos(a), np.sin(a), np.zeros_like(a)])
    Q = acoustic(np.broadcast_to(A, (len(a), 6, 6)), n)[:, :2, :2]
    size = abs(A[0, 0] + A[1, 1] + A[5, 5]) / 4
    dense = np.linalg.det(Q) / size**2
    assert found.normal[0, 2] == 0
    assert found.least[0] == pytest.approx(dense.min(), abs=1e-6 * np.abs(dense).max())

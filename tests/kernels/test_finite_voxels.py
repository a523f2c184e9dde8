"""Neo-Hookean hexahedra against a plain NumPy twin, their tangent against differences, and cells that buckle."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.kernels.cell_points import PointCell
from hpcms.kernels.finite_cell import FiniteSolver
from hpcms.kernels.hex8_finite import evaluate_finite, neo_hooke_plain, tangent_finite
from hpcms.kernels.hex8_points import LANES

SPACING = (0.5, 1.0, 2.0)
SHAPES = [(4, 5, 6), (1, 3, 4), (3, 1, 1)]
NODES = list(product((0, 1), repeat=3))
F0 = np.array([[1.2, 0.1, -0.2], [0.05, 0.8, 0.1], [0.1, -0.1, 1.1]])
LAM, MU = (2.0, 0.5), (1.0, 3.0)


def cell_and_field(shape: tuple[int, int, int]) -> tuple[PointCell, np.ndarray, np.ndarray, np.ndarray]:
    """Random phases with voids, a fluctuation that keeps J > 0, moduli."""
    rng = np.random.default_rng(3)
    image = (rng.random(shape) < 0.5).astype(np.uint8)
    cell = PointCell(image, rng.random(shape) < 0.8, SPACING)
    moduli = np.stack([cell.by_lane(list(LAM)), cell.by_lane(list(MU))], axis=1)
    return cell, 0.06 * rng.normal(size=(3, *shape)), moduli, image


def evaluate(cell: PointCell, u: np.ndarray, F: np.ndarray, moduli: np.ndarray) -> tuple[np.ndarray, ...]:
    f, t, sums = cell.field(3), np.zeros((len(cell.voxels), 8 * 11 * LANES)), np.zeros(11)
    lowest = evaluate_finite(cell.spread(u), cell.conn, F.reshape(9), moduli, cell.geo, f, t, sums)
    assert lowest > 0
    return cell.collect(f), t, sums


@pytest.mark.parametrize("shape", SHAPES)
def test_forces_and_energy_equal_their_plain_twin(shape: tuple[int, int, int]) -> None:
    cell, u, moduli, image = cell_and_field(shape)
    f, t, sums = evaluate(cell, u, F0, moduli)
    du, dF = np.random.default_rng(4).normal(size=u.shape), np.arange(9.0).reshape(3, 3) - 4
    df, total = cell.field(3), np.zeros(9)
    tangent_finite(cell.spread(du), cell.conn, dF.reshape(9), t, moduli, cell.geo, df, total)
    there = np.zeros(image.size, bool)
    there[cell.voxels[cell.voxels >= 0]] = True
    want, linear, mean, energy = np.zeros_like(u), np.zeros_like(u), np.zeros((3, 3)), 0.0
    change, weight, g = np.zeros((3, 3)), np.prod(SPACING) / 8, 3**-0.5
    for q in product((-g, g), repeat=3):
        N = np.array([[(1 + (2 * c[d] - 1) * q[d]) / 2 for d in range(3)] for c in NODES])
        dN = [[(2 * c[d] - 1) / SPACING[d] * np.prod(np.delete(n, d)) for d in range(3)]
              for c, n in zip(NODES, N, strict=True)]  # fmt: skip

        def gradient(v: np.ndarray, slopes: list[list[float]] = dN) -> np.ndarray:
            moved = [np.roll(v, [-k for k in c], (1, 2, 3)) for c in NODES]
            return sum(np.multiply.outer(m, s).transpose(1, 2, 3, 0, 4) for m, s in zip(moved, slopes, strict=True))

        F, D = F0 + gradient(u), dF + gradient(du)
        for p in range(2):
            W, P, A = neo_hooke_plain(F, LAM[p], MU[p])
            own = (there.reshape(shape) & (image == p)) * weight
            energy += float((W * own).sum())
            P, Q = P * own[..., None, None], np.einsum("...ijkl,...kl->...ij", A, D) * own[..., None, None]
            mean, change = mean + P.sum(axis=(0, 1, 2)), change + Q.sum(axis=(0, 1, 2))
            for c, s in zip(NODES, dN, strict=True):
                want += np.roll(np.moveaxis(P @ s, -1, 0), c, (1, 2, 3))
                linear += np.roll(np.moveaxis(Q @ s, -1, 0), c, (1, 2, 3))
    for got, wanted in ((f, want), (cell.collect(df), linear), (sums[:9], mean.ravel()), (total, change.ravel())):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())
    assert sums[9] == pytest.approx(energy, rel=1e-12)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.floats(-0.4, 0.4), min_size=9, max_size=9), st.floats(0, 5), st.floats(0.1, 5))
def test_plain_stress_and_tangent_are_derivatives(entries: list[float], lam: float, mu: float) -> None:
    F, h = np.eye(3) + np.array(entries).reshape(3, 3), 1e-6
    if np.linalg.det(F) < 0.1:
        return
    _, P, A = neo_hooke_plain(F, lam, mu)
    size = np.abs(A).max()
    for i, j in product(range(3), repeat=2):
        E = h * np.outer(np.eye(3)[i], np.eye(3)[j])
        up, down = neo_hooke_plain(F + E, lam, mu), neo_hooke_plain(F - E, lam, mu)
        assert (up[0] - down[0]) / (2 * h) == pytest.approx(P[i, j], abs=1e-6 * size)
        np.testing.assert_allclose((up[1] - down[1]) / (2 * h), A[:, :, i, j], atol=1e-6 * size)


def test_rotations_are_not_felt() -> None:
    """At Q F the forces are those at F, turned by Q, and the energy is the same."""
    cell, u, moduli, _ = cell_and_field((3, 4, 5))
    Q = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    Q *= np.sign(np.linalg.det(Q))
    f, _, sums = evaluate(cell, u, F0, moduli)
    turned, _, again = evaluate(cell, np.einsum("ij,jxyz->ixyz", Q, u), Q @ F0, moduli)
    np.testing.assert_allclose(turned, np.einsum("ij,jxyz->ixyz", Q, f), atol=1e-12 * np.abs(f).max())
    np.testing.assert_allclose(again[:9].reshape(3, 3), Q @ sums[:9].reshape(3, 3), atol=1e-12 * np.abs(sums).max())
    assert again[9] == pytest.approx(sums[9], rel=1e-12)


def stiff_layer() -> tuple[PointCell, FiniteSolver]:
    image = np.zeros((32, 16, 1), np.uint8)
    image[:, 7:9] = 1
    cell = PointCell(image, np.ones(image.shape, bool), (1.0, 1.0, 1.0))
    return cell, FiniteSolver(cell, [1.0, 100.0], [1.0, 100.0], 1e-8, 1e-4, 40)


def test_a_stiff_layer_buckles_when_it_is_disturbed() -> None:
    """Compressed along itself it stays straight by symmetry; a small disturbance finds a lower energy."""
    cell, solver = stiff_layer()
    F, energy = np.diag([0.9, 1.0, 1.0]).reshape(9), []
    for size in (0.0, 1e-3):
        u = size * np.random.default_rng(0).normal(size=(3, *cell.shape)) * np.array([1, 1, 0]).reshape(3, 1, 1, 1)
        found = solver._newton(F, cell.spread(u))
        assert found.ok
        energy.append(solver.sums[9])
    assert energy[1] < 0.8 * energy[0]


def test_a_tangent_that_is_not_positive_is_solved_by_minimal_residuals() -> None:
    cell, solver = stiff_layer()
    assert solver._newton(np.diag([0.9, 1.0, 1.0]).reshape(9), cell.field(3)).ok
    b = np.random.default_rng(1).normal(size=(3, *cell.shape))
    r = cell.spread(b - b.mean(axis=(1, 2, 3), keepdims=True))
    assert not solver._solve(r.copy(), 1e-8).positive
    x = solver.indefinite(r, 1e-8)
    assert np.linalg.norm(solver.multiply(x, np.zeros(9))[0] - r) <= 1e-8

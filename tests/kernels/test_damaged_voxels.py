"""Damaged hexahedra and the screened Laplacian against plain NumPy twins and the exact inverse of a homogeneous cell."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hpcms.kernels.cell_points import PointCell, conjugate
from hpcms.kernels.green_screened import GreenScreened
from hpcms.kernels.hex8_damage import (
    damaged_forces,
    energies,
    loads,
    pulled,
    screened,
    shape_values,
    stresses,
    values,
    worked,
)
from hpcms.kernels.hex8_points import LANES, POINT
from hpcms.kernels.hex8_scalar import element_matrix

ROOT = np.sqrt(2.0)
SPACING = (0.5, 1.0, 2.0)
SHAPES = [(4, 5, 6), (1, 3, 4), (3, 1, 1)]
NODES = list(product((0, 1), repeat=3))
POINTS = list(product((-(3**-0.5), 3**-0.5), repeat=3))


def slopes(q: tuple[float, ...]) -> np.ndarray:
    """(8, 3) gradients of the shape functions at the point q of the reference voxel."""
    N = np.array([[(1 + (2 * c[d] - 1) * q[d]) / 2 for d in range(3)] for c in NODES])
    return np.array([[(2 * c[d] - 1) / SPACING[d] * np.prod(np.delete(n, d)) for d in range(3)]
                     for c, n in zip(NODES, N, strict=True)])  # fmt: skip


def by_voxel(numbers: np.ndarray, cell: PointCell) -> np.ndarray:
    """(blocks, 8 * LANES) -> (8, nx, ny, nz)."""
    out, real = np.zeros((8, cell.nodes)), cell.voxels.reshape(-1)
    flat = numbers.reshape(-1, 8, LANES).transpose(1, 0, 2).reshape(8, -1)
    out[:, real[real >= 0]] = flat[:, real >= 0]
    return out.reshape(8, *cell.shape)


def random_cell(shape: tuple[int, int, int]) -> tuple[PointCell, np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(1)
    image = (rng.random(shape) < 0.5).astype(np.uint8)
    cell = PointCell(image, rng.random(shape) < 0.9, SPACING)
    return cell, rng, np.stack([cell.by_lane([2.0, 3.0]), cell.by_lane([1.0, 5.0])], axis=1)


@pytest.mark.parametrize("shape", SHAPES)
def test_damaged_elasticity_equals_its_plain_twin(shape: tuple[int, int, int]) -> None:
    cell, rng, moduli = random_cell(shape)
    b, s = rng.random(cell.points().shape), rng.random(cell.points().shape)
    u, strain = rng.normal(size=(3, *shape)), rng.normal(size=6)
    f, total, volumetric, deviatoric = cell.field(3), np.zeros(6), cell.points(), cell.points()
    engineering = strain * [1, 1, 1, ROOT, ROOT, ROOT]
    damaged_forces(cell.spread(u), cell.conn, engineering, b, s, moduli, cell.geo, f, total)
    energies(cell.spread(u), cell.conn, engineering, moduli, cell.geo, volumetric, deviatoric)
    a, d, c, e, g, h = strain / np.array([1, 1, 1, ROOT, ROOT, ROOT])
    mean = np.array([[a, h, g], [h, d, e], [g, e, c]])
    K, mu2 = (by_voxel(np.tile(moduli[:, i], 8), cell)[0] for i in (0, 1))
    want, sums = np.zeros((3, *shape)), np.zeros((3, 3))
    parts = (by_voxel(v, cell) for v in (b, s, volumetric, deviatoric))
    for q, bulk, shear, vol, dev in zip(POINTS, *parts, strict=True):
        moved, dN = [np.roll(u, [-k for k in n], (1, 2, 3)) for n in NODES], slopes(q)
        H = sum(m[:, None] * r[None, :, None, None, None] for m, r in zip(moved, dN, strict=True))
        eps = 0.5 * (H + H.swapaxes(0, 1)) + mean[:, :, None, None, None]
        tr = np.trace(eps)
        one = np.eye(3)[:, :, None, None, None]
        stress = (bulk * K * tr * one + shear * mu2 * (eps - tr / 3 * one)) * np.prod(SPACING) / 8
        sums += stress.sum(axis=(2, 3, 4))
        for n, r in zip(NODES, dN, strict=True):
            want += np.roll(np.einsum("cdxyz,d->cxyz", stress, r), n, (1, 2, 3))
        np.testing.assert_allclose(vol, 0.5 * K * tr * np.abs(tr), rtol=0, atol=1e-12 * (np.abs(vol).max() + 1e-300))
        np.testing.assert_allclose(
            dev, 0.5 * mu2 * ((eps - tr / 3 * one) ** 2).sum(axis=(0, 1)), rtol=1e-11, atol=1e-300
        )
    np.testing.assert_allclose(cell.collect(f), want, rtol=0, atol=1e-12 * np.abs(want).max())
    tensor = [sums[0, 0], sums[1, 1], sums[2, 2], sums[1, 2], sums[0, 2], sums[0, 1]]
    np.testing.assert_allclose(total, tensor, rtol=0, atol=1e-12 * np.abs(sums).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_stress_at_points_and_its_transpose(shape: tuple[int, int, int]) -> None:
    """Forces of the stresses at points are those of the cell; work on them is the transpose of pulling by them."""
    cell, rng, moduli = random_cell(shape)
    b, s, x = (rng.random(cell.points().shape) for _ in range(3))
    u, w = (cell.spread(rng.normal(size=(3, *shape))) for _ in range(2))
    v, strain = cell.field(3), rng.normal(size=6)
    stress, f, total = np.zeros((len(cell.voxels), 8 * POINT)), cell.field(3), np.zeros(6)
    stresses(u, cell.conn, strain, b, s, moduli, cell.geo, stress)
    damaged_forces(u, cell.conn, strain, b, s, moduli, cell.geo, f, total)
    mean = np.zeros(6)
    pulled(np.ones_like(x), stress, cell.conn, cell.geo, v, mean)
    np.testing.assert_allclose(v, f, rtol=0, atol=1e-12 * np.abs(f).max())
    np.testing.assert_allclose(mean, total, rtol=0, atol=1e-12 * np.abs(total).max())
    forces, mean, at = cell.field(3), np.zeros(6), cell.points()
    pulled(x, stress, cell.conn, cell.geo, forces, mean)
    worked(w, cell.conn, strain, stress, cell.geo, at)
    assert (x * at).sum() * cell.geo[9] == pytest.approx((forces * w).sum() + mean @ strain, rel=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_screened_laplacian_equals_its_plain_twin(shape: tuple[int, int, int]) -> None:
    cell, rng, _ = random_cell(shape)
    w, k, d = rng.random(cell.points().shape), cell.by_lane([0.5, 2.0]), rng.normal(size=shape)
    shapes, out, source, at = shape_values(), cell.field(1), cell.field(1), cell.points()
    weight = float(cell.geo[9])
    real = np.tile(cell.voxels >= 0, 8)
    w = np.where(real, w, 0.0)
    screened(cell.spread(d[None]), cell.conn, w, k, shapes, element_matrix(SPACING), weight, out)
    loads(cell.conn, w, shapes, weight, source)
    values(cell.spread(d[None]), cell.conn, shapes, at)
    W, k3, inside = by_voxel(w, cell), by_voxel(np.tile(k, 8), cell)[0], by_voxel(at, cell)
    want, load = np.zeros(shape), np.zeros(shape)
    loaded = by_voxel(real.astype(float), cell)[0]
    for q, w3, value in zip(POINTS, W, inside, strict=True):
        dN = slopes(q)
        N = np.array([np.prod([(1 + (2 * c[i] - 1) * q[i]) / 2 for i in range(3)]) for c in NODES])
        moved = [np.roll(d, [-i for i in n], (0, 1, 2)) for n in NODES]
        at_q = sum(m * n for m, n in zip(moved, N, strict=True))
        grad = [sum(m * r[i] for m, r in zip(moved, dN, strict=True)) for i in range(3)]
        np.testing.assert_allclose(value, at_q * loaded, atol=1e-13)
        for n, c, r in zip(NODES, N, dN, strict=True):
            want += np.roll(
                weight * (w3 * at_q * c + k3 * sum(g * x for g, x in zip(grad, r, strict=True))), n, (0, 1, 2)
            )
            load += np.roll(weight * w3 * c, n, (0, 1, 2))
    np.testing.assert_allclose(cell.collect(out)[0], want, rtol=0, atol=1e-12 * np.abs(want).max())
    np.testing.assert_allclose(cell.collect(source)[0], load, rtol=0, atol=1e-12 * np.abs(load).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_homogeneous_inverse_is_exact(shape: tuple[int, int, int]) -> None:
    cell = PointCell(np.zeros(shape, np.uint8), np.ones(shape, bool), SPACING)
    d, out = np.random.default_rng(2).normal(size=(1, *shape)), cell.field(1)
    w, k = cell.points() + 0.7 * np.tile(cell.voxels >= 0, 8), cell.by_lane([1.3])
    screened(cell.spread(d), cell.conn, w, k, shape_values(), element_matrix(SPACING), float(cell.geo[9]), out)
    found = GreenScreened(shape, SPACING).set_coefficients(0.7, 1.3)(cell.collect(out))
    np.testing.assert_allclose(found, d, atol=1e-12)


def test_conjugate_gradients_solve_and_see_negative_curvature() -> None:
    A = np.diag([1.0, 2.0, 5.0])
    b = np.array([[1.0, -2.0, 3.0]])
    found = conjugate(lambda p: p @ A, lambda r: r.copy(), b.copy(), 1e-14, 10)
    np.testing.assert_allclose(found.x @ A, b, atol=1e-13)
    assert found.positive
    down = conjugate(lambda p: -p @ A, lambda r: r.copy(), b.copy(), 1e-14, 10)
    assert not down.positive
    assert np.sum(down.x * b) > 0

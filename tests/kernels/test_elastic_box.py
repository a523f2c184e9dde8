"""The bricks of the elastic box solver against their plain twins, and the ways to solve one cell against each other."""

from __future__ import annotations

import numpy as np
import pytest

from hpcms.kernels import box_solver
from hpcms.kernels.box_green import Cells
from hpcms.kernels.box_solver import Box, extents
from hpcms.kernels.box_waves import axis, transform, transform_plain, transpose, weights
from hpcms.kernels.cell_elastic import ElasticCell
from hpcms.kernels.cell_elastic_batch import stiffness_of_cells
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_anisotropic import isotropic

MODULI = np.array([[0.6, 0.4], [6.0, 4.5], [1.0, 2.0]])
WIDTH = 16
RINGS = [
    (8, 8, False),
    (7, 7, False),
    (12, 5, False),
    (9, 4, False),
    (1, 1, False),
    (2, 2, False),
    (8, 5, True),
    (6, 3, True),
]


def sphere(n: int) -> np.ndarray:
    x = (np.arange(n) + 0.5) / n - 0.5
    return (x[:, None, None] ** 2 + x[:, None] ** 2 + x**2 < 0.36**2).astype(np.uint8)


@pytest.mark.parametrize(("ring", "nodes", "mirrored"), RINGS)
@pytest.mark.parametrize("own", [0, 1])
def test_waves_equal_their_plain_twin_and_turn_back(ring: int, nodes: int, mirrored: bool, own: int) -> None:
    rng, line = np.random.default_rng(0), axis(ring, nodes, mirrored)
    a, out, b = rng.normal(size=(nodes, WIDTH)), np.empty((2 * line.half, WIDTH)), np.empty((nodes, WIDTH))
    fold, part = np.empty((line.ahead.shape[3], WIDTH)), np.empty((2, line.ahead.shape[2], WIDTH))
    reach = nodes - line.centre
    transform(a, line, own, 0, 2, reach, WIDTH, out, fold, part)
    np.testing.assert_allclose(out, transform_plain(a, ring, own, mirrored).reshape(out.shape), atol=1e-12)
    w = rng.normal(size=out.shape)
    transpose(w, line, own, 0, 2, reach, WIDTH, b, fold, part)
    assert (w * out).sum() == pytest.approx((a * b).sum(), abs=1e-10)
    if not mirrored:
        transpose(np.tile(weights(ring), 2)[:, None] * out, line, own, 0, 2, reach, WIDTH, b, fold, part)
        np.testing.assert_allclose(b, a, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8, 8), (9, 6, 7), (1, 5, 4), (40, 6, 5)])
@pytest.mark.parametrize("rows", [True, False])
def test_box_inverse_equals_the_fourier_one(
    shape: tuple[int, int, int], rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box_solver, "ROWS", 1 if rows else 10**6)
    nodes = (min(shape[0], 7), shape[1], shape[2])
    whole = tuple(n - 1 if n < m else n for n, m in zip(nodes, shape, strict=True))
    spacing, cells = (
        np.array([1.0, 2.0, 1.5]),
        Cells(np.zeros(1, int), np.array([[[0, 2]] * 3]), np.full((1, 3, 4), -1)),
    )
    box = Box(shape, nodes, False, spacing, (1.3, 0.7), np.zeros((1, *whole), np.int32), extents(np.ones(whole, bool)),
              np.zeros((1, 2)), float)  # fmt: skip
    v = np.random.default_rng(1).normal(size=(1, box.length))
    for place in box.dense(np.arange(box.length, dtype=float)).reshape(3, -1).astype(int):
        v[0, place] -= v[0, place].mean()  # forces add up to zero
    forces = np.zeros((3, *shape))
    forces[:, : nodes[0]] = box.dense(v[0])
    want = GreenVector(shape, (1.0, 2.0, 1.5)).set_moduli(1.3, 0.7)(forces, np.empty_like(forces))
    W, zero = box.waves(1), np.zeros((1, 6))
    box.invert(np.arange(1), v, cells, W)
    box.contrast = box.contrast._replace(table=np.array([[1.3, 0.7]]))  # K0 u is mean-free v where all is in the box
    if nodes == shape:
        f, sums, totals = np.empty_like(v), np.zeros((1, nodes[0], 3)), np.zeros((1, whole[0], 6))
        box_solver.forces(box.tasks(np.arange(1), nodes[0]), W, True, box.support, box.green, cells, box.contrast, zero, v,
                          f, sums, totals)  # fmt: skip
        free = forces - forces.mean(axis=(1, 2, 3), keepdims=True)
        np.testing.assert_allclose(box.dense(f[0]), free, atol=1e-9 * np.abs(free).max())
    work = box.residual(zero, v, cells, True, np.empty_like(v))[2]  # u.(v + K0 u) = 2 u.v for a mean-free v
    if nodes == shape:
        assert work[0] == pytest.approx(2 * (want * forces).sum(), rel=1e-10)


@pytest.mark.parametrize("n", [8, 40])
@pytest.mark.parametrize("strain", [np.eye(6)[0], np.eye(6)[4], np.array([1.0, -0.3, 0.2, 0.5, -0.4, 0.3])])
def test_symmetry_and_precision_change_nothing(n: int, strain: np.ndarray) -> None:
    """One eighth or the whole cell, single or double precision: one stress and one fluctuation."""
    phase = sphere(n)
    ways = [
        ElasticCell(phase, MODULI, (1.0, 1.0, 1.5), mirror=m, double=d) for m in (True, False) for d in (True, False)
    ]
    found = [cell.solve(strain, 1e-9) for cell in ways]
    assert ways[0].frame.mirrored
    assert not ways[-1].frame.mirrored
    for other in found[1:]:
        np.testing.assert_allclose(other.stress, found[0].stress, rtol=0, atol=1e-8 * np.abs(found[0].stress).max())
        scale = np.abs(found[0].displacement).max()
        np.testing.assert_allclose(other.displacement, found[0].displacement, rtol=0, atol=1e-6 * scale)
    assert all(f.residual <= 1e-9 for f in found)


def test_exchanged_axes_are_solved_once() -> None:
    cell = ElasticCell(sphere(8), MODULI)
    C, states = cell.stiffness(range(6), 1e-9)
    assert len({id(state) for state in states}) == 2
    direct = np.array([cell.solve(e, 1e-9).stress for e in np.eye(6)]).T
    np.testing.assert_allclose(C, direct, atol=1e-8 * C.max())


@pytest.mark.parametrize("phase", [(np.random.default_rng(3).random((33, 12, 10)) < 0.3).astype(np.uint8), sphere(16)])
def test_threads_do_not_change_the_bits(phase: np.ndarray) -> None:
    one, *others = (
        ElasticCell(phase, MODULI, threads=t).solve(np.array([1.0, 0, 0, 0.2, 0, 0])) for t in (1, 2, 3, 50)
    )
    for other in others:
        assert one.stress.tobytes() == other.stress.tobytes()
        assert one.displacement.tobytes() == other.displacement.tobytes()


def test_threads_share_the_nodes_of_a_window() -> None:
    """Half of the planes of a mirrored sphere hold more than two thirds of its nodes."""
    cell = ElasticCell(sphere(32), MODULI, threads=2)
    box = cell.box(cell.kinds[0])
    tasks = box.tasks(np.arange(1), box.nodes[0])
    assert cell.frame.mirrored
    assert [*tasks[:, 1], box.nodes[0]] == [0, *tasks[:, 2]]
    nodes = [int(box.support.start[b] - box.support.start[a]) for _, a, b in tasks]
    assert 0.4 < nodes[0] / sum(nodes) < 0.62


def test_isotropic_phases_given_as_stiffness_change_nothing() -> None:
    phase = np.random.default_rng(4).integers(0, 3, (6, 5, 4))
    C = np.array([isotropic(lam, mu) for lam, mu in MODULI])
    strain = np.array([1.0, -0.3, 0.2, 0.5, -0.4, 0.3])
    a, b = (ElasticCell(phase, m, (1.0, 0.5, 2.0)).solve(strain, 1e-9) for m in (MODULI, C))
    np.testing.assert_allclose(a.stress, b.stress, atol=1e-8 * np.abs(a.stress).max())


def test_anisotropic_laminate_is_exact() -> None:
    """Layers normal to z of two random stiffnesses: continuous traction and in-plane strain (Backus 1962)."""
    rng = np.random.default_rng(5)
    roots = rng.normal(size=(2, 6, 6))
    C = np.array([a @ a.T + 3 * np.eye(6) for a in roots])
    found, _ = ElasticCell(np.array([0, 1, 1]).reshape(1, 1, 3), C).stiffness(range(6), 1e-12)
    share, n, t = np.array([1, 2]) / 3, [2, 3, 4], [0, 1, 5]
    inverse = np.array([np.linalg.inv(c[np.ix_(n, n)]) for c in C])
    A = np.linalg.inv(np.einsum("p,pij->ij", share, inverse))
    B = np.einsum("p,pij,pjk->ik", share, inverse, C[:, n][:, :, t])
    D = sum(
        f * (c[np.ix_(t, t)] - c[np.ix_(t, n)] @ i @ c[np.ix_(n, t)]) for f, c, i in zip(share, C, inverse, strict=True)
    )
    want = np.zeros((6, 6))
    want[np.ix_(n, n)], want[np.ix_(n, t)], want[np.ix_(t, n)] = A, A @ B, B.T @ A
    want[np.ix_(t, t)] = D + B.T @ A @ B
    np.testing.assert_allclose(found, want, atol=1e-9 * np.abs(want).max())


def test_batch_equals_cell_by_cell() -> None:
    phases = np.random.default_rng(6).integers(0, 3, (5, 4, 6, 5)).astype(np.uint8)
    found = stiffness_of_cells(phases, MODULI, (1.0, 1.0, 2.0), 1e-9)
    assert (found.residual <= 1e-9).all()
    for phase, C in zip(phases, found.stiffness, strict=True):
        want, _ = ElasticCell(phase, MODULI, (1.0, 1.0, 2.0)).stiffness(range(6), 1e-9)
        np.testing.assert_allclose(C, want, atol=1e-7 * want.max())
        np.testing.assert_allclose(C, C.T, atol=1e-7 * want.max())

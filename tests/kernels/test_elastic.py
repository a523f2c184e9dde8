"""The elastic hexahedra against a plain NumPy twin, the preconditioner against the stiffness, and cells of known answer."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hpcms.kernels.cell_elastic import ElasticCell, labelled, solve_elastic
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_elastic import apply_stiffness

ROOT = np.sqrt(2.0)
SHAPES = [(4, 5, 6), (1, 3, 4), (3, 2, 1), (1, 1, 1), (2, 2, 70)]
SPACING = (0.5, 1.0, 2.0)


def lame(E: float, nu: float) -> tuple[float, float]:
    return E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))


def tensor(strain: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = strain / np.array([1, 1, 1, ROOT, ROOT, ROOT])
    return np.array([[a, f, e], [f, b, d], [e, d, c]])


def plain_stiffness(
    u: np.ndarray, lam: np.ndarray, mu: np.ndarray, strain: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Twin of ``apply_stiffness``: shape functions and eight Gauss points written out."""
    f, total, g = np.zeros_like(u), np.zeros(6), 3**-0.5
    nodes = list(product((0, 1), repeat=3))
    for q in product((-g, g), repeat=3):
        N = [(1 + (2 * np.array(c) - 1) * q) / 2 for c in nodes]
        dN = [
            [(2 * c[d] - 1) / spacing[d] * np.prod(np.delete(n, d)) for d in range(3)]
            for c, n in zip(nodes, N, strict=True)
        ]
        moved = [np.roll(u, tuple(-k for k in c), (1, 2, 3)) for c in nodes]
        H = sum(m[:, None] * np.array(d)[None, :, None, None, None] for m, d in zip(moved, dN, strict=True))
        e = 0.5 * (H + H.swapaxes(0, 1)) + tensor(strain)[:, :, None, None, None]
        s = lam * np.trace(e) * np.eye(3)[:, :, None, None, None] + 2 * mu * e
        s *= np.prod(spacing) / 8
        S = s.sum(axis=(2, 3, 4))
        total += [S[0, 0], S[1, 1], S[2, 2], ROOT * S[1, 2], ROOT * S[0, 2], ROOT * S[0, 1]]
        for c, d in zip(nodes, dN, strict=True):
            f += np.roll(np.einsum("cdxyz,d->cxyz", s, d), c, (1, 2, 3))
    return f, total


@pytest.mark.parametrize("shape", SHAPES)
def test_stiffness_equals_its_plain_twin(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    u, lam, mu, strain = rng.normal(size=(3, *shape)), rng.random(shape), rng.random(shape), rng.normal(size=6)
    f, total = np.zeros_like(u), np.zeros(6)
    apply_stiffness(u, lam, mu, strain, np.array(SPACING), f, total)
    want, mean = plain_stiffness(u, lam, mu, strain, SPACING)
    np.testing.assert_allclose(f, want, rtol=0, atol=1e-12 * (1 + np.abs(want).max()))
    np.testing.assert_allclose(total, mean, rtol=0, atol=1e-12 * np.abs(mean).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_green_operator_inverts_a_homogeneous_cell(shape: tuple[int, int, int]) -> None:
    u = np.random.default_rng(2).normal(size=(3, *shape))
    f = np.zeros_like(u)
    apply_stiffness(u, np.full(shape, 1.3), np.full(shape, 0.7), np.zeros(6), np.array(SPACING), f, np.zeros(6))
    found = GreenVector(shape, SPACING).set_moduli(1.3, 0.7)(f, np.empty_like(u))
    np.testing.assert_allclose(found, u - u.mean(axis=(1, 2, 3), keepdims=True), atol=1e-9)


@pytest.mark.parametrize("boundary", ["periodic", "displacement", "traction"])
def test_homogeneous_cell_is_exact(boundary: str) -> None:
    lam, mu = lame(9.33e9, 0.325)
    strain = np.array([1e-3, -2e-3, 5e-4, 1e-4, 2e-4, -3e-4])
    found = solve_elastic(np.full((4, 3, 5), lam), np.full((4, 3, 5), mu), strain, SPACING, 1e-8, boundary)
    want = lam * strain[:3].sum() * np.array([1, 1, 1, 0, 0, 0]) + 2 * mu * strain
    np.testing.assert_allclose(found.stress, want, rtol=1e-12, atol=1e-12 * np.abs(want).max())
    assert found.work == pytest.approx(want @ strain, rel=1e-12)
    assert found.iterations == 0


@pytest.mark.parametrize("boundary", ["periodic", "displacement", "traction"])
@pytest.mark.parametrize("soft", [0.0, 0.1])
def test_work_is_that_of_the_means(boundary: str, soft: float) -> None:
    rng = np.random.default_rng(3)
    image = np.pad(rng.random((4, 4, 4)) < 0.6, 1, constant_values=True)  # no traction on a void
    lam, mu = (np.where(image, m, soft * m) for m in lame(1.0, 0.3))
    for strain in (np.eye(6)[0], np.eye(6)[5], rng.normal(size=6)):
        found = solve_elastic(lam, mu, strain, tolerance=1e-7, boundary=boundary)
        assert found.residual <= 1e-7
        assert abs(found.work - found.stress @ strain) <= 1e-11 * abs(found.work)


def test_boundary_conditions_are_ordered() -> None:
    """C(traction) <= C(periodic) <= C(displacement) in the sense of the energy, for any load."""
    rng = np.random.default_rng(4)
    image = rng.random((6, 6, 6)) < 0.5
    cells = {}
    for boundary in ("traction", "periodic", "displacement"):
        E = np.where(image, 10.0, 1.0)
        lam, mu = E * 0.3 / (1.3 * 0.4), E / 2.6
        cells[boundary] = ElasticCell(*labelled(lam, mu), boundary=boundary)
    for strain in [*np.eye(6), rng.normal(size=6)]:
        low, middle, high = (cell.solve(strain, 1e-7).work for cell in cells.values())
        assert low < middle < high


def test_laminate_is_exact() -> None:
    """Layers normal to z: C33 is harmonic, C13 and C44 follow; one element a layer is enough."""
    (l1, m1), (l2, m2) = lame(1.0, 0.3), lame(7.0, 0.2)
    lam, mu = np.array([l1, l2]).reshape(1, 1, 2), np.array([m1, m2]).reshape(1, 1, 2)
    axial = solve_elastic(lam, mu, np.eye(6)[2], tolerance=1e-12).stress
    p = np.array([l1 + 2 * m1, l2 + 2 * m2])
    harmonic = 1 / np.mean(1 / p)
    assert axial[2] == pytest.approx(harmonic, rel=1e-12)
    assert axial[0] == pytest.approx(harmonic * np.mean(np.array([l1, l2]) / p), rel=1e-12)
    assert solve_elastic(lam, mu, np.eye(6)[3], tolerance=1e-12).stress[3] == pytest.approx(
        2 / np.mean([1 / m1, 1 / m2])
    )


def test_refinement_converges_from_above() -> None:
    """A stiff cube in a soft cell: the stiffness falls under refinement and the differences shrink."""
    found = []
    for n in (4, 8, 16):
        image = np.zeros((n, n, n), bool)
        image[: n // 2, : n // 2, : n // 2] = True
        E = np.where(image, 10.0, 1.0)
        found.append(solve_elastic(E * 0.3 / (1.3 * 0.4), E / 2.6, np.eye(6)[0], (1 / n,) * 3, 1e-9).stress[0])
    first, second = -np.diff(found)
    assert first > 0
    assert 0 < second < 0.6 * first


def test_repetition_gives_the_same_bits() -> None:
    image = np.random.default_rng(5).random((8, 8, 8)) < 0.6
    lam, mu = (np.where(image, m, 0.0) for m in lame(1.0, 0.3))
    a, b = (solve_elastic(lam, mu, np.array([1, 0, 0, 0, 0, 0.5])) for _ in range(2))
    assert a.stress.tobytes() == b.stress.tobytes()
    assert a.displacement.tobytes() == b.displacement.tobytes()


def test_unknown_boundary_is_refused() -> None:
    with pytest.raises(ValueError, match="boundary"):
        ElasticCell(np.zeros((2, 2, 2), int), np.ones((1, 2)), boundary="rigid")

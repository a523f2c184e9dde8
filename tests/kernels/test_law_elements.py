"""Hexahedra and plane quadrilaterals whose points follow laws against plain NumPy, and their preconditioner against them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hpcms.kernels.krylov import Stop
from hpcms.kernels.law_cell import LawSolver, Start
from hpcms.kernels.law_grid import LawGrid
from hpcms.kernels.laws import Law, find
from hpcms.kernels.laws._base import mandel, tensor

SPACING = (0.5, 1.0, 2.0)
J2, ELASTIC = find("j2"), find("elastic")
EPS = np.array([0.01, -0.004, 0.002, 0.003, -0.002, 0.008])


def crystal(seed: int) -> Law:
    """Elasticity without any symmetry."""
    A = np.random.default_rng(seed).standard_normal((6, 6))
    C = A @ A.T + np.eye(6)
    return ELASTIC(stiffness=tuple(map(tuple, 0.5 * (C + C.T))), eigenstrain=(1e-3, 0, 2e-3, 0, 1e-3, 0))


def plain(u: np.ndarray, phase: np.ndarray, laws: list[Law], strain: np.ndarray, plane: bool) -> tuple[np.ndarray, ...]:
    """Forces (d, nx, ny, nz), mean stress, stored energy and dissipation, voxel by voxel, shape function by shape function."""
    axes = 2 if plane else 3
    f, total, sums, g = np.zeros_like(u), np.zeros(6), np.zeros(2), 3**-0.5
    corners = [(*c, 0)[:3] for c in product((0, 1), repeat=axes)]
    weight = np.prod(SPACING) / len(corners)
    for at in np.ndindex(phase.shape):
        law, B, eps = laws[phase[at]], [], []
        places = [tuple((np.array(at) + c) % phase.shape) for c in corners]
        U = np.array([u[(slice(None), *p)] for p in places])
        for q in corners:
            N = [(1 + (2 * np.array(c) - 1) * (2 * np.array(q) - 1) * g)[:axes] / 2 for c in corners]
            B.append([[(2 * c[d] - 1) / SPACING[d] * np.prod(np.delete(n, d)) for d in range(axes)]
                      for c, n in zip(corners, N, strict=True)])  # fmt: skip
            H = np.zeros((3, 3))
            H[:axes, :axes] = np.einsum("nd,nc->cd", B[-1], U)
            eps.append(mandel(0.5 * (H + H.T)) + strain - law.free_strain(293.15))
        eps = np.array(eps)
        if law.mean_dilatation:
            trace = eps[:, :3].sum(axis=1)
            eps[:, :3] += (trace.mean() - trace)[:, None] / 3
        stress, _, _, energy, lost = law.plain(eps, np.zeros((len(eps), law.rows)), 1.0, 293.15)
        sums += weight * np.array([energy.sum(), lost.sum()])
        if law.mean_dilatation:
            pressure = stress[:, :3].mean(axis=1)
            stress[:, :3] += (pressure.mean() - pressure)[:, None]
        total += weight * stress.sum(axis=0)
        for n, p in enumerate(places):
            f[(slice(None), *p)] += weight * np.einsum("qcd,qd->c", tensor(stress)[:, :axes, :axes], np.array(B)[:, n])
    volume = np.prod(SPACING) * phase.size
    return f, total / volume, *(sums / volume)


def cell(plane: bool, averaged: bool = False) -> tuple[LawGrid, list[Law], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    phase = rng.integers(0, 2, (4, 3, 1) if plane else (3, 4, 2))
    soft = J2(youngs_modulus=1.0, yield_stress=0.005, hardening=0.05, mean_dilatation=averaged)
    laws = [soft, crystal(1)]
    grid = LawGrid(phase, np.ones(phase.shape, bool), SPACING, np.array([averaged, False]), plane)
    return grid, laws, phase, 0.005 * rng.standard_normal((grid.dimension, *phase.shape))


@pytest.mark.parametrize(("plane", "averaged"), [(False, False), (False, True), (True, False)])
def test_forces_equal_their_plain_twin(plane: bool, averaged: bool) -> None:
    grid, laws, phase, u = cell(plane, averaged)
    solver, v = LawSolver(grid, laws, 1e-8, 1e-3, 10), grid.read_field(u)
    rest = np.zeros(grid.length)
    solver.prepare(Start(EPS, np.zeros(6), np.zeros(6), rest, solver.rest(), rest, 1.0, 293.15))
    solver.evaluate(v, EPS)
    f, stress, energy, lost = plain(u, phase, laws, EPS, plane)
    got = np.zeros_like(f)
    grid.write_field(solver.f, got)
    np.testing.assert_allclose(got, f, atol=1e-13)
    np.testing.assert_allclose(solver.stress(), stress, atol=1e-14)
    np.testing.assert_allclose(solver.sums[7:] / grid.volume, [energy, lost], rtol=1e-12)
    # the tangents that the same pass has left are the derivative of the forces
    rng, h = np.random.default_rng(3), 1e-6
    d, q = grid.read_field(rng.standard_normal(u.shape)), np.zeros_like(v)
    e = rng.standard_normal(6) if not plane else rng.standard_normal(6) * np.isin(np.arange(6), [0, 1, 5])
    mean = grid.multiply(d, e, q) / grid.volume
    sides = []
    for side in (-h, h):
        solver.evaluate(v + side * d, EPS + side * e)
        sides.append((solver.f, solver.stress()))
    np.testing.assert_allclose(q, (sides[1][0] - sides[0][0]) / (2 * h), atol=2e-6 * np.abs(q).max())
    seen = [0, 1, 5] if plane else list(range(6))
    np.testing.assert_allclose(
        mean[seen], ((sides[1][1] - sides[0][1]) / (2 * h))[seen], atol=2e-6 * np.abs(mean).max()
    )


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_one_tangent_everywhere_is_inverted_at_once(plane: bool, kind: type) -> None:
    """The preconditioner is then the inverse: one iteration."""
    phase = np.zeros((5, 4, 1) if plane else (5, 4, 3), int)
    grid = LawGrid(phase, np.ones(phase.shape, bool), SPACING, np.array([False]), plane)
    solver, rest = LawSolver(grid, [crystal(2)], 1e-8, 1e-3, 10), np.zeros(grid.length)
    solver.prepare(Start(EPS, np.zeros(6), np.zeros(6), rest, solver.rest(), rest, 1.0, 293.15))
    solver.evaluate(rest, EPS)
    grid.refer()
    u = np.random.default_rng(1).standard_normal((grid.dimension, *phase.shape))
    u -= u.mean(axis=(1, 2, 3), keepdims=True)
    v, q = grid.read_field(u), np.zeros(grid.length)
    grid.multiply(v, np.zeros(6), q)
    r = q.astype(kind)
    x, count, _ = grid.conjugate(r, Stop(3e-6 * float(np.linalg.norm(q))))
    assert count == 1
    np.testing.assert_allclose(x, v, atol=2e-5)

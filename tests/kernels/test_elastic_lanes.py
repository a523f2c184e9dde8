"""Elastic cells side by side: the bricks against others, the whole against cell by cell, and bits that know no neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from hpcms.kernels import green_lanes, hex8_lanes
from hpcms.kernels.cell_elastic import ElasticCell
from hpcms.kernels.cell_elastic_batch import stiffness_of_cells
from hpcms.kernels.cell_elastic_lanes import reference, solve
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_elastic import apply_stiffness
from hpcms.kernels.hex8_lanes import SIDE

MODULI = np.array([[0.6, 0.4], [6.0, 4.5], [1.0, 2.0]])
SHAPES = [(8, 8, 8), (4, 7, 5), (1, 3, 2), (3, 1, 26), (2, 17, 1)]
STRAINS = np.random.default_rng(1).normal(size=(SIDE, 6))


def side_by_side(fields: np.ndarray) -> np.ndarray:
    """(1, nx, ny, 3, nz * SIDE) from SIDE fields (SIDE, 3, nx, ny, nz)."""
    _, _, nx, ny, nz = fields.shape
    return np.ascontiguousarray(fields.transpose(2, 3, 1, 4, 0)).reshape(1, nx, ny, 3, nz * SIDE)


@pytest.mark.parametrize("shape", SHAPES)
def test_preconditioner_equals_the_fourier_one(shape: tuple[int, int, int]) -> None:
    spacing = (1.0, 2.0, 1.5)
    r = np.random.default_rng(0).normal(size=(SIDE, 3, *shape))
    want = np.array([GreenVector(shape, spacing).set_moduli(1.3, 0.7)(one, np.empty_like(one)) for one in r])
    g = green_lanes.green(shape, np.array(spacing), 1.3, 0.7, np.float64)
    v = side_by_side(r).reshape(1, shape[0], -1)
    W, z, energy, groups = np.empty_like(v), np.empty_like(v), np.empty((1, SIDE)), np.arange(1)
    green_lanes.transform(groups, v, g, 0, W)
    green_lanes.invert(groups, W, g, energy)
    green_lanes.transform(groups, W, g, 1, z)
    np.testing.assert_allclose(z, side_by_side(want).reshape(z.shape), atol=1e-12)
    np.testing.assert_allclose(energy[0], (r * want).sum(axis=(1, 2, 3, 4)), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strained", [True, False])
def test_forces_equal_those_of_one_cell(shape: tuple[int, int, int], strained: bool) -> None:
    rng, spacing = np.random.default_rng(2), np.array([1.0, 2.0, 1.5])
    u, phase = rng.normal(size=(SIDE, 3, *shape)), rng.integers(0, 3, (SIDE, *shape))
    want, totals = np.zeros_like(u), np.zeros((SIDE, 6))
    for n in range(SIDE):
        lam, mu = (MODULI[:, k][phase[n]] for k in range(2))
        apply_stiffness(u[n], lam, mu, STRAINS[n] * strained, spacing, want[n], totals[n])
    label = np.moveaxis(phase, 0, -1).reshape(1, *shape[:2], -1)
    fields = [np.ascontiguousarray(MODULI[:, k])[label] for k in range(2)]
    given, f, total = side_by_side(u), np.empty_like(side_by_side(u)), np.zeros((1, 6, SIDE))
    strain = np.ascontiguousarray(STRAINS.T)[None]
    hex8_lanes.forces(
        np.arange(1), given, *fields, spacing, strain if strained else None, f, total if strained else None
    )
    np.testing.assert_allclose(f, side_by_side(want), atol=1e-11)
    if strained:
        np.testing.assert_allclose(total[0].T, totals, atol=1e-11 * np.abs(totals).max())


@pytest.mark.parametrize("shape", [(8, 8, 8), (5, 4, 7)])
def test_the_bits_of_a_load_do_not_depend_on_its_company(shape: tuple[int, int, int]) -> None:
    """Alone, in another place, among other cells and in another group: the same bits."""
    rng = np.random.default_rng(3)
    phases, images = (rng.random((30, *shape)) < 0.4).astype(np.uint8), rng.integers(0, 30, 70)
    strains = rng.normal(size=(70, 6))
    whole = solve(phases, images, MODULI, strains, (1.0, 1.0, 1.0), 1e-6, 500)
    for n in (0, 13, 69):
        alone = solve(phases[images[n]][None], np.zeros(1, int), MODULI, strains[n : n + 1], (1.0, 1.0, 1.0), 1e-6, 500)
        assert alone.stress[0].tobytes() == whole.stress[n].tobytes()
        assert alone.iterations[0] == whole.iterations[n]
        assert alone.residual[0] == whole.residual[n]
    batch = stiffness_of_cells(phases, MODULI, threads=2)
    assert stiffness_of_cells(phases[17:18], MODULI).stiffness[0].tobytes() == batch.stiffness[17].tobytes()


@pytest.mark.parametrize("other", [(0.0, 0.0), (6e5, 4e5), (6e-7, 4e-7), (60.0, 0.5)])
def test_hard_contrasts_equal_cell_by_cell(other: tuple[float, float]) -> None:
    """Void, rigid, nearly void and nearly incompressible inclusions."""
    moduli = np.array([[0.6, 0.4], other])
    phases = (np.random.default_rng(4).random((3, 6, 8, 5)) < 0.25).astype(np.uint8)
    found = stiffness_of_cells(phases, moduli, tolerance=1e-8)
    assert (found.residual <= 1e-8).all()
    for phase, C in zip(phases, found.stiffness, strict=True):
        want, _ = ElasticCell(phase, moduli).stiffness(range(6), 1e-8)
        np.testing.assert_allclose(C, want, atol=1e-6 * np.abs(want).max())


def test_a_cell_of_one_phase_has_its_own_stiffness() -> None:
    phases = np.zeros((3, 8, 8, 8), np.uint8)
    phases[1], phases[2] = 1, 2
    found = stiffness_of_cells(phases, np.array([[0.6, 0.4], [0.0, 0.0], [3.0, 7.0]]) * 1e9)
    for C, (lam, mu) in zip(found.stiffness, [(0.6, 0.4), (0.0, 0.0), (3.0, 7.0)], strict=True):
        want = 2e9 * mu * np.eye(6)
        want[:3, :3] += 1e9 * lam
        np.testing.assert_allclose(C, want, atol=1e-5)
    assert not found.iterations.any()


def test_reference_lies_between_the_phases() -> None:
    lam, mu = reference(np.array([[0.0, 0.0], [1.0, 1.0], [100.0, 4.0]]))
    assert mu == pytest.approx(2.0)
    assert 5 / 3 < lam + mu / 1.5 < 100 + 8 / 3
    assert reference(np.zeros((2, 2))) == (0.0, 1.0)

"""The elements of a creeping cell against plain NumPy, its preconditioner against its stiffness, and the load paths."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hpcms.kernels.cell_mirror import MirrorCell, classes_of, is_mirrored
from hpcms.kernels.cell_periodic import PeriodicCell
from hpcms.kernels.creep_cell import ENGINEERING, CreepSolver, Material
from hpcms.kernels.elements import load_bearing
from hpcms.kernels.krylov import Stop
from hpcms.kernels.norton import remaining_plain

Cell = PeriodicCell | MirrorCell
SPACING = (0.5, 1.0, 2.0)
MATERIALS = [None, Material(3.0, 2.0, 5.0, 3.0, 0.1, True), Material(2.0, 1.0), Material(3.0, 2.0, 0.7, 2.5, 0.1, True)]


def mirrored(window: np.ndarray) -> np.ndarray:
    for axis in range(3):
        window = np.concatenate([window, np.flip(window, axis)], axis)
    return window


def plain_forces(
    u: np.ndarray, phase: np.ndarray, strain: np.ndarray, history: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Twin of ``evaluate``: forces (3, nx, ny, nz), mean stress (Mandel) and potential, voxel by voxel."""
    f, total, potential, g = np.zeros_like(u), np.zeros(6), 0.0, 3**-0.5
    nodes = list(product((0, 1), repeat=3))
    weight = np.prod(SPACING) / 8
    for at in zip(*np.nonzero(phase), strict=True):
        m = MATERIALS[phase[at]]
        assert m is not None
        places = [tuple((np.array(at) + c) % phase.shape) for c in nodes]
        U = np.array([u[(slice(None), *p)] for p in places])
        B = []
        for q in nodes:
            N = [(1 + (2 * np.array(c) - 1) * (2 * np.array(q) - 1) * g) / 2 for c in nodes]
            B.append(
                [
                    [(2 * c[d] - 1) / SPACING[d] * np.prod(np.delete(n, d)) for d in range(3)]
                    for c, n in zip(nodes, N, strict=True)
                ]
            )
        H = np.einsum("qnd,nc->qcd", B, U)
        e = 0.5 * (H + H.swapaxes(1, 2)) + full(strain)
        tr = np.trace(e, axis1=1, axis2=2)
        pressure = np.full(8, m.bulk * tr.mean()) if m.creeps else m.bulk * tr
        d = e - tr[:, None, None] * np.eye(3) / 3 - np.array([full(h) for h in history[at]])
        square = np.einsum("qij,qij->q", d, d)
        x = remaining_plain(m.creep * (np.sqrt(1.5 * square) * m.shear2) ** (m.n - 1), m.n)
        s = pressure[:, None, None] * np.eye(3) + m.shear2 * x[:, None, None] * d
        share = 2 * m.n / (m.n + 1)
        potential += weight * np.sum(0.5 * pressure**2 / m.bulk + 0.5 * m.shear2 * square * x * (x + share * (1 - x)))
        total += weight * sum(packed(row) for row in s)
        for n, p in enumerate(places):
            f[(slice(None), *p)] += weight * np.einsum("qcd,qd->c", s, np.array(B)[:, n])
    return f, total, potential


def full(strain: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = strain / ENGINEERING
    return np.array([[a, f, e], [f, b, d], [e, d, c]])


def packed(s: np.ndarray) -> np.ndarray:
    return np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]]) * ENGINEERING


def solver(phase: np.ndarray, group: tuple[int, ...] | None = None) -> CreepSolver:
    loaded = phase > 0
    cell: Cell = PeriodicCell(phase, loaded, SPACING) if group is None else MirrorCell(phase, loaded, SPACING, group)
    return CreepSolver(cell, SPACING, list(MATERIALS), 1e-7, 1e-3, 40)


@pytest.mark.parametrize("shape", [(3, 4, 2), (1, 2, 3), (1, 1, 1)])
def test_forces_equal_their_plain_twin(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    phase = rng.integers(0, 4, shape).astype(np.uint8)
    phase[0, 0, 0] = 1
    u, strain, history = rng.normal(size=(3, *shape)), rng.normal(size=6), np.zeros((*shape, 8, 6))
    history[phase > 0] = 0.1 * rng.normal(size=(int(np.sum(phase > 0)), 8, 6))
    history[..., 2] = -history[..., 0] - history[..., 1]
    run = solver(phase)
    run.vp = run.cell.read_history(history)
    run._evaluate(run.cell.read_field(u, 0), strain)
    found = np.empty_like(u)
    run.cell.write_field(run.f, 0, found)
    f, total, potential = plain_forces(u, phase, strain, history)
    np.testing.assert_allclose(found, f, rtol=0, atol=1e-12 * np.abs(f).max() + 1e-12 * np.abs(total).max())
    stress = run.cell.mean(run.sums[:, :6], 0) * ENGINEERING
    np.testing.assert_allclose(stress * run.cell.volume, total, rtol=0, atol=1e-12 * np.abs(total).max())
    assert run.sums[:, 6].sum() == pytest.approx(potential, rel=1e-12)


@pytest.mark.parametrize("group", [None, (0,), (0, 3), (0, 3, 5, 6)])
def test_forces_and_tangents_are_derivatives(group: tuple[int, ...] | None) -> None:
    """Of the potential and of the forces, by central differences."""
    rng = np.random.default_rng(2)
    run = solver(mirrored(rng.integers(0, 4, (3, 2, 2)).astype(np.uint8)), group)
    cell = run.cell
    shape = (3, *cell.cell)
    u, d = (cell.read_field(rng.normal(size=shape), 0) for _ in range(2))
    u, d = (cell.collect(cell.spread(v, 0).copy(), 0) for v in (u, d))
    run.vp = 0.1 * rng.normal(size=(len(cell.voxels), 8 * 5 * cell.voxels.shape[1]))
    strain = np.array([1.0, -2.0, 0.5, 0.3, 0.1, -0.7])
    values, forces = [], []
    for h in (1e-5, -1e-5):
        run._evaluate(u + h * d, strain)
        values.append(run.sums[:, 6].sum())
        forces.append(run.f)
    run._evaluate(u, strain)
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(run.f @ d), rel=1e-6)
    product_, _ = run._multiply(d, 0, np.zeros(6))
    want = (forces[0] - forces[1]) / 2e-5
    np.testing.assert_allclose(product_, want, atol=3e-7 * np.abs(want).max())


@pytest.mark.parametrize("group", [None, (0, 3)])
def test_tangents_take_a_mean_strain_in_both_precisions(group: tuple[int, ...] | None) -> None:
    """Forces and mean stress for a mean strain and a fluctuation, by central differences; of voxels of all phases."""
    rng = np.random.default_rng(5)
    run = solver(mirrored(rng.integers(0, 4, (3, 2, 3)).astype(np.uint8)), group)
    cell = run.cell
    u, d = (cell.read_field(rng.normal(size=(3, *cell.cell)), 0) for _ in range(2))
    u, d = (cell.collect(cell.spread(v, 0).copy(), 0) for v in (u, d))
    run.vp = 0.1 * rng.normal(size=(len(cell.voxels), 8 * 5 * cell.voxels.shape[1]))
    strain, change = (np.where([1, 1, 1, 0, 0, 1], rng.normal(size=6), 0.0) for _ in range(2))
    ends = []
    for h in (1e-5, -1e-5):
        run._evaluate(u + h * d, strain + h * change)
        ends.append((run.f, cell.mean(run.sums[:, :6], 0)))
    run._evaluate(u, strain)
    for operator, share in ((run.double, 3e-7), (run.single, 2e-6)):
        kind = operator.moduli.dtype
        found = cell.multiply(operator, d.astype(kind), 0, (change * ENGINEERING).astype(kind))
        for value, plus, minus in zip(found, *ends, strict=True):
            want = (plus - minus) / 2e-5
            np.testing.assert_allclose(value, want, rtol=0, atol=share * np.abs(want).max())


@pytest.mark.parametrize("shift", [0, 3, 5, 6])
@pytest.mark.parametrize("group", [(0,), (0, 3), (0, 3, 5, 6)])
def test_waves_invert_a_homogeneous_mirrored_cell(group: tuple[int, ...], shift: int) -> None:
    """Conjugate gradients on a homogeneous cell end after one step, so the preconditioner is the inverse."""
    rng = np.random.default_rng(3)
    phase = np.full((6, 4, 2), 1, np.uint8)
    run = solver(phase, group)
    run.law[:, 0] = 0.0  # elastic, with the mean dilatation
    run.vp = np.zeros((len(run.cell.voxels), 8 * 5 * run.cell.voxels.shape[1]))
    run._evaluate(np.zeros(run.cell.length), np.zeros(6))
    bulk, mu = 3.0, 1.0
    run.cell.set_moduli(-2 * mu / 3, mu, bulk)
    x = run.cell.collect(run.cell.spread(rng.normal(size=run.cell.length), shift), shift)
    r = run._multiply(x, shift, np.zeros(6))[0]
    found = run.cell.conjugate(run.double, r.copy(), shift, Stop(0.0, limit=1))
    assert found.steps == 1
    np.testing.assert_allclose(run._multiply(found.x, shift, np.zeros(6))[0], r, atol=1e-5 * np.abs(r).max())


def test_fields_and_histories_survive_the_way_there_and_back() -> None:
    rng = np.random.default_rng(4)
    phase = mirrored(rng.integers(0, 2, (2, 3, 2)).astype(np.uint8))
    assert is_mirrored(phase)
    assert not is_mirrored(phase[1:])
    cell = MirrorCell(phase, phase > 0, SPACING, (0, 3, 5, 6))
    out, history = np.empty((3, *phase.shape)), np.zeros((*phase.shape, 8, 6))
    v = rng.normal(size=cell.length)
    v = cell.collect(cell.spread(v, 3), 3) * 0.25
    cell.write_field(v, 3, out)
    np.testing.assert_allclose(cell.collect(cell.spread(cell.read_field(out, 3), 3), 3) * 0.25, v, atol=1e-12)
    vp = rng.normal(size=(len(cell.voxels), 8 * 5 * cell.voxels.shape[1]))
    cell.write_history(vp, history)
    again = np.zeros_like(history)
    cell.write_history(cell.read_history(history), again)
    np.testing.assert_allclose(again, history, atol=1e-15)
    assert np.abs(history[phase == 0]).max(initial=0) == 0
    assert np.abs(history[..., :3].sum(axis=-1)).max() < 1e-14


def test_classes_form_a_group() -> None:
    assert classes_of(np.array([1.0, 0, 0, 0, 0, 0])) == (0,)
    assert classes_of(np.array([1.0, 0, 0, 0, 0, 1e-9])) == (0, 3)
    assert classes_of(np.array([0, 0, 0, 0, 1.0, 1.0])) == (0, 3, 5, 6)


def test_only_clusters_that_meet_their_image_bear_load() -> None:
    image = np.zeros((5, 5, 5), bool)
    image[:, 1, 1] = True  # a fibre through the cell
    image[3, 3, 3] = True  # a loose grain
    image[0, 2, 2] = True  # touches the fibre along an edge only
    want = np.zeros_like(image)
    want[:, 1, 1] = True
    np.testing.assert_array_equal(load_bearing(image), want)


def test_a_path_around_two_corners_bears_load() -> None:
    """It leaves through one face and another before it meets its image: neither a wall nor a straight fibre."""
    image = np.zeros((4, 4, 2), bool)  # two layers along z, one of them void
    for i, j in ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (0, 3)):
        image[i, j, 0] = True
    np.testing.assert_array_equal(load_bearing(image), image)
    broken = image.copy()
    broken[2, 1, 0] = False
    assert not load_bearing(broken).any()

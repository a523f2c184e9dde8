"""Conduction in a voxel cell against closed forms, under refinement, and against the field itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms import bounds
from hpcms.contracts import FineModel, Regions
from hpcms.errors import BadInput
from hpcms.fine.conduction import Conduction, ConductionPhase
from hpcms.kernels import cell_scalar, hex8_scalar
from hpcms.problem import images

QUICK = settings(max_examples=20, deadline=None, derandomize=True)
UNIT = (1.0, 1.0, 1.0)
SNOW = Path(__file__).parents[2] / "jobs" / "data" / "snow.tif"


def regions(phases, spacing=UNIT, names=("a", "b")):
    phases = np.asarray(phases, np.uint8)
    return Regions(np.arange(len(phases)), phases, names, spacing)


def model(a=1.0, b=10.0, **options):
    return Conduction({"a": ConductionPhase(a, 2.0, 3.0), "b": ConductionPhase(b, 5.0, 7.0)}, **options)


def solved(conduction, cells, gradient):
    state = conduction.begin(cells)
    drive = {"gradient": np.broadcast_to(np.array(gradient, float), (len(cells), 3))}
    return conduction.solve(drive, state, np.zeros(len(cells), np.uint64))


def tensor(phase, k, spacing=UNIT, tolerance=1e-9):
    found = cell_scalar.effective(np.asarray(phase, np.uint8), np.asarray(k, float), spacing, tolerance)
    assert all(outcome.ok for outcome in found.outcomes)
    return found.conductivity


def slope(errors):
    """Order of convergence under halving, by least squares."""
    return -np.polyfit(np.arange(len(errors)), np.log2(errors), 1)[0]


def disc(n, f):
    x = (np.arange(8 * n) + 0.5) / (8 * n) - 0.5
    inside = x[:, None] ** 2 + x**2 < f / np.pi
    return (inside.reshape(n, 8, n, 8).mean(axis=(1, 3)) > 0.5)[:, :, None]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("contrast", [0.0, 1e-6, 10.0, 1e6])
def test_laminates_are_exact(axis, contrast):
    layers = np.arange(6) % 3 == 1
    shape = [1, 1, 1]
    shape[axis] = 6
    phase = np.broadcast_to(layers.reshape(shape), (6, 6, 6))
    k = np.array([1.0, contrast])
    f = np.array([2 / 3, 1 / 3])
    across = 0.0 if contrast == 0 else 1 / (f / k).sum()
    want = np.full(3, f @ k)
    want[axis] = across
    np.testing.assert_allclose(tensor(phase, k, (0.1, 0.3, 0.2)), np.diag(want), rtol=1e-10, atol=1e-10 * want.max())


def test_a_uniform_cell_is_exact_without_iterations():
    answers, _, outcomes = solved(model(), regions(np.ones((1, 3, 4, 5))), (1.0, -2.0, 0.5))
    np.testing.assert_array_equal(answers["flux"], [[-10.0, 20.0, -5.0]])
    np.testing.assert_array_equal(answers["tangent"], [-10 * np.eye(3)])
    assert outcomes[0].ok
    assert outcomes[0].linear_iterations == 0


@pytest.mark.parametrize("phase", [np.zeros((1, 1, 1)), np.ones((1, 1, 1)), np.ones((2, 3, 1))])
def test_a_cell_of_insulator_and_single_voxels_give_numbers(phase):
    answers, _, outcomes = solved(model(1.0, 0.0), regions(phase[None]), (1.0, 2.0, 3.0))
    want = 0.0 if phase.any() else 1.0
    np.testing.assert_array_equal(answers["tangent"][0], -want * np.eye(3))
    assert outcomes[0].ok


def test_checkerboard_converges_to_the_geometric_mean():
    """Keller 1964. The corners carry ``r^s``, ``tan(s pi/4) = 1/sqrt(10)``, so the energy error falls as h^2s."""
    board = np.kron([[0, 1], [1, 0]], np.ones((1, 1)))
    errors = []
    for n in (4, 8, 16, 32):
        phase = np.kron(board, np.ones((n, n)))[:, :, None]
        K = tensor(phase, [1, 10])
        errors.append(K[0, 0] - np.sqrt(10))
        assert K[0, 0] == pytest.approx(K[1, 1], rel=1e-8)
        assert K[2, 2] == pytest.approx(5.5, rel=1e-12)
    assert min(errors) > 0
    s = 4 / np.pi * np.arctan(np.sqrt(1 / 10))
    assert slope(errors) == pytest.approx(2 * s, abs=0.08)
    assert errors[-1] < 0.12


@pytest.mark.parametrize(("f", "want"), [(0.2, 1.39146), (0.4, 1.98061)])
def test_square_array_of_discs_converges_to_rayleigh(f, want):
    errors = [abs(tensor(disc(n, f), [1, 10], tolerance=1e-7)[0, 0] / want - 1) for n in (32, 64, 128, 256)]
    assert errors[-1] < 4e-3
    assert slope(errors) > 0.7


def test_the_balance_of_a_manufactured_field_is_of_second_order():
    """T = sin x cos 2y sin z, k = 2 + sin(x + y): the nodal forces of T approach ``-div(k grad T)`` as h^2."""
    errors = []
    for n in (16, 32, 64):
        h = 2 * np.pi / n
        nodes = np.meshgrid(*[h * np.arange(n)] * 3, indexing="ij")
        x, y, z = nodes
        T = np.sin(x) * np.cos(2 * y) * np.sin(z)
        Tx, Ty = np.cos(x) * np.cos(2 * y) * np.sin(z), -2 * np.sin(x) * np.sin(2 * y) * np.sin(z)
        source = 6 * (2 + np.sin(x + y)) * T - np.cos(x + y) * (Tx + Ty)
        k = 2 + np.sin(x + y + h)
        force = np.zeros_like(T)
        weights, still = hex8_scalar.weights((h, h, h)), np.zeros(3)
        hex8_scalar.apply(T, k, hex8_scalar.extents(k), weights, still, force)
        errors.append(np.abs(force / h**3 - source).max())
    assert slope(errors) == pytest.approx(2, abs=0.1)


@QUICK
@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 2**32), st.sampled_from([0.0, 1e-3, 5.0, 1e4]))
def test_the_tensor_is_symmetric_bounded_and_its_energy_is_that_of_the_field(shape, seed, contrast):
    rng = np.random.default_rng(seed)
    phase, k, spacing = rng.integers(0, 2, shape).astype(np.uint8), np.array([1.0, contrast]), (0.2, 0.1, 0.3)
    found = cell_scalar.effective(phase, k, spacing, 1e-8)
    K, B = found.conductivity, found.energy
    g = rng.normal(size=3)
    scale = k[phase].mean() or 1.0
    assert np.abs(K - K.T).max() <= 1e-10 * scale
    assert abs(g @ (K - B) @ g) <= 1e-10 * scale * (g @ g)
    eigenvalues = np.linalg.eigvalsh((K + K.T) / 2)
    f = np.bincount(phase.ravel(), minlength=2) / phase.size
    limits = bounds.conductivity(k, f)
    assert eigenvalues[0] >= limits.reuss - 1e-8 * scale
    assert eigenvalues[-1] <= limits.voigt * (1 + 1e-10)


def mixed_cell():
    return np.random.default_rng(7).integers(0, 3, (5, 4, 6)).astype(np.uint8)


def inclusion_across_the_border():
    phase = np.zeros((7, 5, 6), np.uint8)
    phase[:3, :2, :3] = mixed_cell()[:3, :2, :3]
    return np.roll(phase, (-1, -1, 2), (0, 1, 2))


@pytest.mark.parametrize("cell", [mixed_cell, inclusion_across_the_border])
def test_the_micro_field_explains_flux_and_energy(cell):
    """Gauss points of the recovered field, summed in plain NumPy, give flux and energy; their mean is the drive."""
    phase, k, h = cell(), np.array([1.0, 20.0, 0.0]), (0.2, 0.1, 0.3)
    g = np.array([1.0, -2.0, 0.5])
    u = cell_scalar.fluctuation(phase, k, h, g, 1e-12)
    gauss = 0.5 + np.array([-1, 1]) / np.sqrt(12)
    flux, energy, mean = np.zeros(3), 0.0, np.zeros(3)
    for point in np.stack(np.meshgrid(gauss, gauss, gauss), -1).reshape(-1, 3):
        slopes = np.zeros((3, *phase.shape))
        for corner in np.ndindex(2, 2, 2):
            value = np.roll(u, [-c for c in corner], (0, 1, 2))
            shape = [x if c else 1 - x for c, x in zip(corner, point, strict=True)]
            for axis in range(3):
                others = np.prod(np.delete(shape, axis))
                slopes[axis] += value * others * (1 if corner[axis] else -1) / h[axis]
        slopes += g[:, None, None, None]
        flux += np.mean(k[phase] * slopes, axis=(1, 2, 3)) / 8
        energy += np.mean(k[phase] * (slopes**2).sum(axis=0)) / 8
        mean += slopes.mean(axis=(1, 2, 3)) / 8
    found = cell_scalar.effective(phase, k, h, 1e-12)
    np.testing.assert_allclose(mean, g, atol=1e-12)
    np.testing.assert_allclose(flux, found.conductivity @ g, rtol=1e-9)
    assert energy == pytest.approx(g @ found.energy @ g, rel=1e-9)


def test_hill_mandel_holds_between_axes_at_a_loose_tolerance():
    rng = np.random.default_rng(8)
    cells = regions(rng.integers(0, 2, (4, 6, 5, 4)))
    g = rng.normal(size=(4, 3))
    conduction = model(tolerance=1e-3)
    answers, _, _ = conduction.solve({"gradient": g}, conduction.begin(cells), np.zeros(4, np.uint64))
    gap = answers["work"] - np.einsum("ri,ri->r", answers["flux"], g)
    assert np.abs(gap).max() <= 1e-10 * np.abs(answers["work"]).min()


def test_turning_rolling_and_mirroring_the_cell_turns_the_answer():
    rng = np.random.default_rng(9)
    phase, k, h = rng.integers(0, 2, (4, 5, 6)), [1.0, 7.0], (0.1, 0.2, 0.3)
    K = tensor(phase, k, h, 1e-11)
    np.testing.assert_allclose(tensor(np.roll(phase, (1, 2, 3), (0, 1, 2)), k, h, 1e-11), K, atol=1e-9)
    turned = tensor(phase.transpose(2, 0, 1), k, (0.3, 0.1, 0.2), 1e-11)
    np.testing.assert_allclose(turned, K[np.ix_([2, 0, 1], [2, 0, 1])], atol=1e-9)
    mirrored = tensor(images.mirror(phase), k, h, 1e-9)
    np.testing.assert_allclose(mirrored, np.diag(np.diag(mirrored)), atol=1e-8)


def test_walls_bracket_the_periodic_cell():
    phase = np.random.default_rng(10).integers(0, 2, (6, 6, 6)).astype(np.uint8)
    k = np.array([1.0, 10.0])
    K = {
        kind: cell_scalar.effective(phase, k, UNIT, 1e-9, boundary=kind)
        for kind in ("traction", "periodic", "displacement")
    }
    for lower, upper in (("traction", "periodic"), ("periodic", "displacement")):
        assert np.linalg.eigvalsh(K[upper].conductivity - K[lower].conductivity).min() > 0
    for found in K.values():
        assert all(outcome.ok for outcome in found.outcomes)
        np.testing.assert_allclose(found.energy, found.conductivity, atol=1e-10)


def test_the_state_is_solved_once_and_then_evaluated():
    conduction, cells = model(), regions(np.random.default_rng(11).integers(0, 2, (2, 4, 4, 4)))
    first, state, outcomes = solved(conduction, cells, (1, 0, 0))
    assert all(outcome.linear_iterations > 0 for outcome in outcomes)
    drive = {"gradient": np.tile([2.0, 0, 0], (2, 1))}
    second, again, outcomes = conduction.solve(drive, state, np.zeros(2, np.uint64))
    assert all(outcome.linear_iterations == 0 for outcome in outcomes)
    np.testing.assert_allclose(second["flux"], 2 * first["flux"], rtol=1e-14)
    assert all(np.array_equal(again[key], state[key]) for key in state)
    assert isinstance(conduction, FineModel)


def test_answers_do_not_depend_on_the_batch():
    conduction, phases = model(), np.random.default_rng(12).integers(0, 2, (5, 4, 6, 3))
    together, state, _ = solved(conduction, regions(phases), (1, 2, 3))
    for one in range(5):
        alone, _, _ = solved(conduction, regions(phases[one : one + 1]), (1, 2, 3))
        assert all(np.array_equal(alone[key][0], together[key][one]) for key in conduction.answers)
    assert state["conductivity"].shape == (5, 3, 3)


def test_capacity_is_the_mean_of_the_phases_by_name():
    phases = np.zeros((1, 2, 2, 2))
    phases[0, 0] = 1
    answers, _, _ = solved(model(), regions(phases, names=("b", "a")), (1, 0, 0))
    assert answers["capacity"][0] == pytest.approx((2 * 3 + 5 * 7) / 2)
    with pytest.raises(BadInput, match="'ice'"):
        model().begin(regions(phases, names=("a", "ice")))


def test_running_out_of_iterations_is_an_outcome_with_advice():
    phases = np.random.default_rng(13).integers(0, 2, (1, 6, 6, 6))
    conduction = model(1.0, 1e6, max_iterations=3)
    _, state, outcomes = solved(conduction, regions(phases), (1, 0, 0))
    assert not outcomes[0].ok
    assert "max_iterations" in outcomes[0].reason
    assert outcomes[0].residual > conduction.tolerance
    assert not state["energy"].any()


def test_snow_conducts_as_measured_snow_does():
    """Calonne et al. 2011: k = 2.5e-6 rho^2 - 1.23e-4 rho + 0.024, with its scatter of a quarter."""
    labels = images.crop(images.segment(images.load_image(SNOW)), 40)
    rho = 917 * labels.mean()
    conduction = Conduction({"air": ConductionPhase(0.024), "ice": ConductionPhase(2.107)}, tolerance=1e-4)
    answers, _, outcomes = solved(conduction, regions(labels[None], names=("air", "ice")), (0, 0, 1))
    assert outcomes[0].ok
    mean = -np.trace(answers["tangent"][0]) / 3
    assert mean == pytest.approx(2.5e-6 * rho**2 - 1.23e-4 * rho + 0.024, rel=0.25)


def test_cost_grows_with_voxels_and_contrast():
    small, large = regions(np.zeros((2, 4, 4, 4))), regions(np.zeros((2, 16, 16, 16)))
    assert (model().cost(large) > model().cost(small)).all()
    assert (model(1.0, 1e5).cost(small) > model(1.0, 2.0).cost(small)).all()

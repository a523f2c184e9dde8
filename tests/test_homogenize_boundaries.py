"""Linear cells with the three boundary conditions: order of the tensors, laminates, crystals, flat images."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.fine.laminate import effective, isotropic
from hpcms.homogenize import homogenize
from hpcms.voxels import BOUNDARIES

QUICK = settings(max_examples=8, deadline=None, derandomize=True)
ORDERED = ("traction", "periodic", "displacement")
EXACT = 1e-9


def tensor(image, kind, phases, boundary, **options):
    found = homogenize(image, **{kind: phases}, boundary=boundary, tolerance=1e-9, **options)
    return found.conductivity if kind == "conductivity" else found.stiffness


def crystal(seed, size):
    """A symmetric positive definite tensor."""
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T + 0.5 * np.eye(size)


PHASES = {
    "conductivity": lambda contrast, seed: ({0: 1.0, 1: contrast}, {0: crystal(seed, 3), 1: contrast * crystal(seed + 1, 3)}),
    "elastic": lambda contrast, seed: (
        {0: (1.0, 0.3), 1: (contrast, 0.1)}, {0: crystal(seed, 6), 1: contrast * crystal(seed + 1, 6)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["conductivity", "elastic"])
@given(st.tuples(*[st.integers(1, 4)] * 3), st.integers(0, 10**6), st.sampled_from([0.05, 20.0]), st.booleans())
@QUICK
def test_traction_periodic_and_displacement_are_ordered(kind, shape, seed, contrast, crystals):
    """C. Huet, J. Mech. Phys. Solids 38 (1990) 813-841: in the sense of quadratic forms, between Reuss and Voigt."""
    image = np.random.default_rng(seed).integers(0, 2, shape).astype(np.uint8)
    phases = PHASES[kind](contrast, seed)[crystals]
    found = [tensor(image, kind, phases, boundary, spacing=(1.0, 0.7, 1.4)) for boundary in ORDERED]
    size = np.abs(found[2]).max()
    for one in found:
        np.testing.assert_allclose(one, one.T, atol=1e-6 * size)
    for low, high in pairwise(found):
        assert np.linalg.eigvalsh(high - low + (high - low).T).min() > -1e-6 * size


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kind", ["conductivity", "elastic"])
def test_a_homogeneous_cell_has_its_own_property(kind, boundary):
    own = crystal(3, 3 if kind == "conductivity" else 6)
    found = tensor(np.zeros((3, 4, 2), np.uint8), kind, {0: own}, boundary)
    np.testing.assert_allclose(found, own, atol=EXACT)


@pytest.mark.parametrize("kind", ["conductivity", "elastic"])
def test_layers_in_series_and_parallel(kind):
    """A bar of layers one voxel wide: the sides are periodic, so every boundary condition gives the laminate."""
    image = np.array([1, 1, 0, 0, 0, 0], np.uint8).reshape(6, 1, 1)
    phases = PHASES[kind](10.0, 0)[0]
    if kind == "conductivity":
        want = np.diag([1 / (2 / 3 + 1 / 30), 4, 4])
    else:
        across = np.array([True, False, False, False, True, True])
        want = effective(np.array([isotropic(1.0, 0.3), isotropic(10.0, 0.1)]), np.array([2 / 3, 1 / 3]), across)
    for boundary in BOUNDARIES:
        np.testing.assert_allclose(tensor(image, kind, phases, boundary), want, atol=1e-7)


def test_wide_layers_meet_the_laminate_where_the_walls_allow_it():
    """Heat along layers: the gradient is uniform, so prescribed temperatures change nothing; across: neither does a flux."""
    image = np.zeros((6, 3, 2), np.uint8)
    image[:2] = 1
    found = {boundary: tensor(image, "conductivity", {0: 1.0, 1: 10.0}, boundary) for boundary in ORDERED}
    series = 1 / (2 / 3 + 1 / 30)
    assert found["displacement"][1, 1] == pytest.approx(4, rel=1e-8)
    assert found["traction"][0, 0] == pytest.approx(series, rel=1e-8)
    assert found["displacement"][0, 0] > 1.001 * series
    assert found["traction"][1, 1] < 0.999 * 4


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kind", ["conductivity", "elastic"])
def test_tensors_of_isotropic_phases_are_the_numbers(kind, boundary):
    """The kernels of crystals and those of isotropic phases agree."""
    image = np.random.default_rng(1).integers(0, 2, (4, 3, 5)).astype(np.uint8)
    plain = PHASES[kind](7.0, 0)[0]
    full = {key: value * np.eye(3) if kind == "conductivity" else isotropic(*value) for key, value in plain.items()}
    want, found = (tensor(image, kind, phases, boundary) for phases in (plain, full))
    np.testing.assert_allclose(found, want, atol=1e-7)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_flat_image_is_a_plane_problem(boundary):
    """Out of the plane the strain is uniform: stretched along the axis the cell is stiffer than the mean of E alone."""
    board = np.kron([[0, 1], [1, 0]], np.ones((3, 3))).astype(np.uint8)
    C = tensor(board, "elastic", {0: (1.0, 0.2), 1: (5.0, 0.2)}, boundary)
    turned = tensor(board[:, None, :], "elastic", {0: (1.0, 0.2), 1: (5.0, 0.2)}, boundary)
    swap = [0, 2, 1, 3, 5, 4]
    np.testing.assert_allclose(turned[np.ix_(swap, swap)], C, atol=1e-7)
    antiplane = tensor(board, "conductivity", {0: 1 / 2.4, 1: 5 / 2.4}, boundary)
    np.testing.assert_allclose(C[3, 3], 2 * antiplane[1, 1], rtol=1e-6)  # mu lap w = 0 is the law of heat

"""The mesh as it is drawn: sites keep their place in a moving cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.report.data import Geometry
from hpcms.report.mesh import deform, owners, shape_values
from tests.report import synthetic

quick = settings(deadline=None, derandomize=True, max_examples=30)


def skewed(seed: int) -> Geometry:
    """A mesh whose inner and outer nodes are moved at random; sites at the same places within each cell."""
    geometry = synthetic.rectangle(4, 3)
    points = geometry.points + np.random.default_rng(seed).uniform(-0.08, 0.08, geometry.points.shape)
    at = np.array([[0.1, 0.2, 0.4, 0.3], [0.25, 0.25, 0.25, 0.25]])
    sites = np.einsum("gk,ckd->cgd", at, points[geometry.cells]).reshape(-1, 2)
    return Geometry(points, geometry.cells, {"a": sites})


@quick
@given(st.integers(0, 10**6))
def test_shape_functions_give_back_the_place_and_sum_to_one(seed: int) -> None:
    geometry = skewed(seed)
    corners = geometry.points[np.repeat(geometry.cells, 2, axis=0)]
    weights = shape_values(corners, geometry.sites["a"])
    assert np.allclose(weights.sum(axis=1), 1.0, atol=1e-12)
    assert np.allclose(np.einsum("sk,skd->sd", weights, corners), geometry.sites["a"], atol=1e-12)


@quick
@given(st.integers(0, 10**6))
def test_every_site_finds_its_cell(seed: int) -> None:
    geometry = skewed(seed)
    assert np.array_equal(owners(geometry, geometry.sites["a"]), np.repeat(np.arange(len(geometry.cells)), 2))


def test_sites_of_an_interval_find_their_cell(tmp_path: Path) -> None:
    geometry = synthetic.interval_run(tmp_path).geometry
    assert np.array_equal(owners(geometry, geometry.sites["conduction"]), np.arange(len(geometry.cells)))


@quick
@given(st.floats(1e-9, 1e3), st.floats(-1, 1), st.floats(-1, 1))
def test_sites_follow_a_linear_motion_exactly(size: float, slope: float, shear: float) -> None:
    geometry = synthetic.rectangle(3, 2)
    motion = np.array([[slope, shear], [-shear, 0.5]])
    mesh = deform(geometry, size * geometry.points @ motion)
    sites = geometry.sites["creep"]
    expected = sites + mesh.magnification * size * sites @ motion
    assert np.allclose(mesh.follow(sites), expected, rtol=1e-9, atol=1e-9 * max(1.0, size))


@pytest.mark.parametrize(("largest", "magnification"), [(0.11, 2.0), (3e-4, 1000.0), (0.0, 1.0), (50.0, 1.0)])
def test_motion_is_enlarged_by_a_round_number(largest: float, magnification: float) -> None:
    geometry = synthetic.rectangle(3, 2)
    displacement = np.zeros_like(geometry.points)
    displacement[-1, 1] = -largest
    assert deform(geometry, displacement).magnification == magnification


def test_cell_middles_take_the_mean_of_their_corners() -> None:
    geometry = synthetic.rectangle(2, 2)
    values = np.arange(len(geometry.points), dtype=float)
    triangulation, at_corners = deform(geometry, None).triangles(values)
    assert len(triangulation.triangles) == 4 * len(geometry.cells)
    assert np.array_equal(at_corners[len(values) :], values[geometry.cells].mean(axis=1))


def test_the_surface_is_followed_between_nodes() -> None:
    geometry = synthetic.rectangle(4, 3)
    x = geometry.points[:, 0]
    mesh = deform(geometry, np.column_stack([0 * x, -0.01 * x]))
    x = np.array([2.5, 3.5])
    expected = np.column_stack([x, geometry.points[:, 1].max() - mesh.magnification * 0.01 * x])
    assert np.allclose(mesh.surface(x), expected)

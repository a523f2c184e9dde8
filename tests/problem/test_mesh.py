"""The mesh: sizes, sides, Gauss points, exact shares of a side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.errors import BadInput
from hpcms.problem.mesh import Domain, build_mesh

RECTANGLE = Domain("rectangle", (6.0, 4.0), (12, 8), (2.0, 3.0))


def test_a_rectangle_has_the_nodes_cells_and_sites_of_its_grid() -> None:
    mesh = build_mesh(RECTANGLE)
    assert mesh.nodes.shape == (13 * 9, 2)
    assert mesh.cells.shape == (96, 4)
    assert mesh.sites.shape == (384, 2)
    assert np.array_equal(mesh.site_cell, np.repeat(np.arange(96), 4))
    assert mesh.nodes.min(axis=0) == pytest.approx([0, 0])
    assert np.array_equal(mesh.nodes.max(axis=0), [6.0, 4.0])


def test_cells_are_counter_clockwise_and_sites_lie_in_their_cell() -> None:
    mesh = build_mesh(RECTANGLE)
    x, y = np.moveaxis(mesh.nodes[mesh.cells], -1, 0)
    area = 0.5 * np.sum(x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1), axis=1)
    assert np.all(area > 0)
    corners = mesh.nodes[mesh.cells[mesh.site_cell]]
    assert np.all(corners.min(axis=1) < mesh.sites)
    assert np.all(mesh.sites < corners.max(axis=1))
    assert np.bincount(mesh.site_cell, weights=mesh.weights) == pytest.approx(area)


def test_grading_is_fine_in_the_middle_and_at_the_top() -> None:
    mesh = build_mesh(RECTANGLE)
    hx, hy = np.diff(np.unique(mesh.nodes[:, 0])), np.diff(np.unique(mesh.nodes[:, 1]))
    assert hx[0] / hx[5] == pytest.approx(2)
    assert hx == pytest.approx(hx[::-1])
    assert hy[0] / hy[-1] == pytest.approx(3)
    h = np.diff(build_mesh(Domain("interval", (2.0,), (5,), (4.0,))).nodes[:, 0])
    assert h[-1] / h[0] == pytest.approx(4)


@pytest.mark.parametrize("domain", [RECTANGLE, Domain("interval", (3.0,), (4,), (2.0,))])
def test_the_gauss_rule_integrates_cubics(domain: Domain) -> None:
    mesh = build_mesh(domain)
    exact = {2: 6.0**4 / 4 * 4.0**3 / 3, 1: 3.0**4 / 4}[mesh.dimension]
    values = mesh.sites[:, 0] ** 3 * (mesh.sites[:, 1] ** 2 if mesh.dimension == 2 else 1)
    assert values @ mesh.weights == pytest.approx(exact, rel=1e-13)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.sampled_from(["left", "right", "top", "bottom"]), st.floats(0, 1), st.floats(0.01, 1), st.floats(1, 4))
def test_a_share_keeps_length_and_first_moment(side: str, start: float, part: float, ratio: float) -> None:
    mesh = build_mesh(Domain("rectangle", (6.0, 4.0), (7, 5), (ratio, ratio)))
    axis = 0 if side in ("top", "bottom") else 1
    length = mesh.domain.size[axis]
    low = start * 0.98 * length
    high = low + part * (length - low)
    share = mesh.share(side, (low, high))
    assert share.sum() == pytest.approx(high - low)
    assert share @ mesh.nodes[:, axis] == pytest.approx((high**2 - low**2) / 2)
    assert set(np.flatnonzero(share)) <= set(mesh.on(side))


def test_sides_are_found_by_name_and_part() -> None:
    mesh = build_mesh(Domain("rectangle", (2.0, 1.0), (4, 2)))
    assert np.array_equal(mesh.nodes[mesh.on("top")][:, 1], np.ones(5))
    assert np.array_equal(mesh.nodes[mesh.on("bottom", (0.5, 1.0))][:, 0], [0.5, 1.0])
    assert np.array_equal(mesh.normal("left"), [-1.0, 0.0])
    line = build_mesh(Domain("interval", (2.0,), (4,)))
    assert np.array_equal(line.on("right"), [4])
    assert np.array_equal(line.share("right"), [0, 0, 0, 0, 1])
    assert np.array_equal(line.normal("left"), [-1.0])


HOLE = Domain("plate_with_hole", (5.0, 4.0), (12, 9), (1.0, 6.0), radius=1.0)


def test_a_plate_with_a_hole_has_its_area_and_its_sides() -> None:
    mesh = build_mesh(HOLE)
    x, y = np.moveaxis(mesh.nodes[mesh.cells], -1, 0)
    area = 0.5 * np.sum(x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1), axis=1)
    assert np.all(area > 0)
    assert np.bincount(mesh.site_cell, weights=mesh.weights) == pytest.approx(area)
    polygon = 0.5 * 12 * np.sin(np.pi / 24)  # the hole with straight edges
    assert mesh.weights.sum() == pytest.approx(20.0 - polygon, rel=1e-13)
    rim = np.hypot(*mesh.nodes.T).min()
    assert rim == pytest.approx(1.0)
    for side, length in (("left", 3.0), ("bottom", 4.0), ("right", 4.0), ("top", 5.0)):
        assert mesh.share(side).sum() == pytest.approx(length, rel=1e-13)
    assert len(mesh.on("left")) == len(mesh.on("bottom")) == 10
    assert np.array_equal(mesh.nodes[mesh.on("right")][-1], [5.0, 4.0])


def test_points_have_sites_and_no_cells() -> None:
    mesh = build_mesh(Domain("points", (), (3,)))
    assert mesh.sites.shape == (3, 1)
    assert mesh.cells.shape == (0, 4)
    assert mesh.dimension == 0


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (Domain("rectangle", (1.0,), (2, 2)), "needs 2 lengths"),
        (Domain("rectangle", (1.0, 0.0), (2, 2)), "must be > 0"),
        (Domain("rectangle", (1.0, 1.0), (2, 0)), "must be >= 1"),
        (Domain("interval", (1.0,), (2, 2)), "needs 1 numbers"),
        (Domain("interval", (float("nan"),), (2,)), "must be > 0"),
        (Domain("interval", (1.0,), (2,), (0.0,)), "must be > 0"),
        (Domain("rectangle", (1.0, 1.0), (2, 2), (2.0,)), "needs 2 ratios"),
        (Domain("points", (1.0,), (2,)), "needs 0 lengths"),
        (Domain("plate_with_hole", (1.0, 1.0), (3, 2), radius=0.5), "even number around"),
        (Domain("plate_with_hole", (1.0, 2.0), (4, 2), radius=1.0), "smaller than the plate"),
        (Domain("disc", (1.0,), (2,)), "unknown kind"),  # type: ignore[arg-type]
    ],
)
def test_a_domain_that_makes_no_sense_is_refused(domain: Domain, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        build_mesh(domain)


def test_wrong_sides_and_parts_are_refused() -> None:
    mesh, line = build_mesh(RECTANGLE), build_mesh(Domain("interval", (2.0,), (4,)))
    with pytest.raises(BadInput, match="no side 'front'"):
        mesh.on("front")
    with pytest.raises(BadInput, match="no side 'top'"):
        line.on("top")
    with pytest.raises(BadInput, match="no side 'left'"):
        build_mesh(Domain("points", (), (1,))).share("left")
    with pytest.raises(BadInput, match="no part of side"):
        mesh.share("top", (3.0, 7.0))
    with pytest.raises(BadInput, match="no part of side"):
        mesh.on("top", (3.0, 3.0))
    with pytest.raises(BadInput, match="is a point"):
        line.on("left", (0.0, 1.0))

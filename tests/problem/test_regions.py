"""Drawn cells have the fraction that was asked for; a source cuts what its offsets say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.problem.generators import GENERATORS
from hpcms.problem.regions import Source


@pytest.mark.parametrize("name", sorted(GENERATORS))
@settings(max_examples=15, deadline=None, derandomize=True)
@given(shape=st.tuples(*[st.integers(1, 9)] * 3), fraction=st.floats(0, 0.5))
def test_every_cell_is_labels_of_the_shape(name: str, shape: tuple[int, int, int], fraction: float) -> None:
    cell = GENERATORS[name](shape, fraction, 2)
    assert cell.shape == shape
    assert cell.dtype == np.uint8
    assert cell.flags.c_contiguous
    assert cell.max(initial=0) <= 1


@pytest.mark.parametrize(
    ("name", "fraction"), [("sphere", 0.2), ("disc", 0.3), ("laminate", 0.5), ("checkerboard", 0.5), ("square", 0.25)]
)
def test_the_fraction_is_met_on_a_fine_grid(name: str, fraction: float) -> None:
    assert GENERATORS[name]((40, 40, 40), fraction, 2).mean() == pytest.approx(fraction, rel=0.02)


def test_a_laminate_varies_along_its_normal_only() -> None:
    cell = GENERATORS["laminate"]((4, 6, 5), 0.5, 1)
    assert cell[0, :, 0].tolist() == [1, 1, 1, 0, 0, 0]
    assert (cell == cell[:1, :, :1]).all()


def test_a_crack_is_one_voxel_thin() -> None:
    slit, penny = GENERATORS["crack"]((40, 30, 1), 0.25, 1), GENERATORS["crack"]((40, 40, 7), 0.2, 2)
    assert np.flatnonzero(slit.any(axis=(0, 2))).tolist() == [15]
    assert np.flatnonzero(slit[:, 15, 0]).tolist() == list(range(15, 25))
    assert np.flatnonzero(penny.any(axis=(0, 1))).tolist() == [3]
    assert penny[:, :, 3].mean() == pytest.approx(0.2, abs=0.01)


def test_a_source_without_voxels_gives_empty_regions() -> None:
    source = Source()
    regions = source.cut(source.labels(), np.arange(3), source.offsets((0, 0, 0), 3))
    assert len(regions) == 3
    assert regions.phases.size == 0


def test_windows_of_an_image_differ_and_are_mirrored(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 2, (12, 12, 12)).astype(np.uint8)
    np.save(tmp_path / "image.npy", image)
    source = Source(names=("a", "b"), image=str(tmp_path / "image.npy"), window=4, mirror=True, seed=3)
    labels = source.labels()
    offsets = source.offsets(labels.shape, 20)
    assert len({tuple(o) for o in offsets.tolist()}) == 20
    regions = source.cut(labels, np.arange(20), offsets)
    assert regions.phases.shape == (20, 8, 8, 8)
    x, y, z = offsets[5]
    np.testing.assert_array_equal(regions.phases[5][:4, :4, :4], image[x : x + 4, y : y + 4, z : z + 4])
    np.testing.assert_array_equal(regions.phases[5], regions.phases[5][::-1, ::-1, ::-1])


def test_voxels_have_the_edge_that_the_job_gives() -> None:
    source = Source(("a", "b"), generator="laminate", shape=(4, 1, 1), voxel=2.5e-4)
    assert source.cut(source.labels(), np.arange(2), np.zeros((2, 3), np.int64)).spacing == (2.5e-4,) * 3


def test_the_fraction_of_a_drawn_cell_varies_from_region_to_region() -> None:
    source = Source(("soft", "stiff"), generator="laminate", shape=(100, 1, 1), fraction=0.4, spread=0.2)
    regions = source.cut(source.labels(), np.arange(200), np.zeros((200, 3), np.int64))
    found = regions.phases.mean(axis=(1, 2, 3))
    assert found.min() == pytest.approx(0.2, abs=0.01)
    assert found.max() == pytest.approx(0.6, abs=0.01)
    assert np.histogram(found, 4, (0.2, 0.6))[0].min() > 40  # evenly filled
    some = source.cut(source.labels(), np.array([7, 3]), np.zeros((2, 3), np.int64))
    assert np.array_equal(some.phases, regions.phases[[7, 3]])

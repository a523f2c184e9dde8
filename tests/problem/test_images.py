"""Images: formats, damage, labels, windows and mirrors."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.errors import BadInput
from hpcms.problem import images

SNOW = Path(__file__).parents[2] / "jobs" / "data" / "snow.tif"
GREY = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
QUICK = settings(max_examples=30, deadline=None, derandomize=True)


def test_the_tomogram_has_its_published_threshold_and_fraction():
    grey = images.load_image(SNOW)
    assert (grey.shape, grey.dtype) == ((100, 100, 100), np.uint16)
    assert images.otsu(grey) == 22775
    assert images.segment(grey).mean() == pytest.approx(0.591, abs=5e-4)


def write(path, image):
    if path.suffix == ".npy":
        np.save(path, image)
    elif path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, image, photometric="minisblack")
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["group/grey"] = image
    else:
        zarr.create_array(str(path), data=image)
    return path


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.tiff", "a.h5", "a.zarr"])
def test_every_format_gives_the_same_voxels(tmp_path, name):
    np.testing.assert_array_equal(images.load_image(write(tmp_path / name, GREY)), GREY)
    flat = images.load_image(write(tmp_path / f"flat{name}", GREY[0]))
    np.testing.assert_array_equal(flat, GREY[0][:, :, None])


def test_a_dataset_is_named_where_there_are_several(tmp_path):
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["a"], file["b/c"] = GREY, GREY[:2]
    assert images.load_image(path, "b/c").shape == (2, 4, 5)
    with pytest.raises(BadInput, match="2 datasets"):
        images.load_image(path)
    with pytest.raises(BadInput, match="no dataset 'd'") as failure:
        images.load_image(path, "d")
    assert "b/c" in failure.value.hint


def test_data_kept_in_other_files_are_not_read(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(60))
    path = tmp_path / "link.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (3, 4, 5), "u1", external=[(str(tmp_path / "secret.bin"), 0, 60)])
    with pytest.raises(BadInput, match="other files"):
        images.load_image(path)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.array(["a"]), "real numbers"),
        (np.zeros((2, 2), complex), "real numbers"),
        (np.zeros(4), "2 or 3 axes"),
        (np.zeros((1, 2, 3, 4)), "2 or 3 axes"),
        (np.zeros((3, 0, 3)), "no voxels"),
        (np.array([[1.0, np.nan]]), "not finite"),
        (np.array([[1.0, np.inf]]), "not finite"),
    ],
)
def test_what_is_not_an_image_is_refused(tmp_path, image, text):
    np.save(tmp_path / "bad.npy", image)
    with pytest.raises(BadInput, match=text):
        images.load_image(tmp_path / "bad.npy")


def test_missing_damaged_and_foreign_files_are_refused(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "text.tif").write_text("not an image")
    (tmp_path / "short.npy").write_bytes(write(tmp_path / "whole.npy", GREY).read_bytes()[:-20])
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    for name, text in [
        ("absent.npy", "no such image"),
        ("absent.zarr", "no such"),
        ("folder.npy", "folder"),
        ("text.tif", "cannot be read"),
        ("short.npy", "cannot be read"),
        ("pickled.npy", "cannot be read"),
        ("colour.tif", "colour"),
        ("image.jpg", "unknown image format"),
    ]:
        with pytest.raises(BadInput, match=text):
            images.load_image(tmp_path / name)


def test_an_image_larger_than_the_memory_is_refused_from_its_header(tmp_path):
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (100_000, 100_000, 1_000), "f8", chunks=(100, 100, 100))
    with pytest.raises(BadInput, match="free memory"):
        images.load_image(path)


def test_threshold_splits_and_one_phase_is_refused():
    labels = images.segment(GREY, 29)
    assert (labels.dtype, labels.sum()) == (np.uint8, 30)
    for threshold in (59, -1, "mean", np.nan, True):
        with pytest.raises(BadInput, match="threshold"):
            images.segment(GREY, threshold)
    with pytest.raises(BadInput, match="one grey value"):
        images.segment(np.ones((2, 2, 2)))


def test_labels_are_whole_small_numbers():
    assert images.labels(np.array([[[0.0, 3.0]]])).dtype == np.uint8
    for bad in (0.5, -1.0, 256.0):
        with pytest.raises(BadInput, match="whole numbers"):
            images.labels(np.array([[[bad]]]))


def test_crop():
    np.testing.assert_array_equal(images.crop(GREY, 2), GREY[:2, :2, :2])
    np.testing.assert_array_equal(images.crop(GREY, (1, 2, 3)), GREY[:1, :2, :3])
    want = GREY[1:3, 0:4, 2:5]
    np.testing.assert_array_equal(images.crop(GREY, ((1, 3), (0, 4), (2, 5))), want)
    np.testing.assert_array_equal(images.crop(GREY, (slice(1, 3), slice(None), slice(2, None))), want)
    assert images.crop(np.zeros((4, 4, 1)), 3).shape == (3, 3, 1)
    for bad in (4, 0, (1, 2), ((0, 1), (0, 1), (2, 9)), ((1, 1), (0, 1), (0, 1)), ((0, 1.5), (0, 1), (0, 1))):
        with pytest.raises(BadInput, match="crop"):
            images.crop(GREY, bad)


@QUICK
@given(st.tuples(*[st.integers(1, 5)] * 3))
def test_a_mirrored_image_is_periodic(shape):
    image = np.random.default_rng(0).normal(size=shape)
    twice = images.mirror(image)
    assert twice.shape == tuple(n if n == 1 else 2 * n for n in shape)
    for axis in range(3):
        np.testing.assert_array_equal(np.take(twice, 0, axis), np.take(twice, -1, axis))
    np.testing.assert_array_equal(twice[tuple(slice(n) for n in shape)], image)


@QUICK
@given(st.tuples(*[st.integers(3, 9)] * 3), st.integers(1, 3), st.integers(0, 5), st.data())
def test_windows_are_distinct_inside_and_stable(shape, window, seed, data):
    total = int(np.prod([n - window + 1 for n in shape]))
    count = data.draw(st.integers(0, total))
    offsets = images.windows(shape, window, count, seed)
    assert len(np.unique(offsets, axis=0)) == count
    assert ((offsets >= 0) & (offsets + window <= shape)).all()
    np.testing.assert_array_equal(images.windows(shape, window, count // 2, seed), offsets[: count // 2])
    with pytest.raises(BadInput, match="different windows"):
        images.windows(shape, window, total + 1, seed)


def test_windows_spread_and_depend_on_the_seed():
    offsets = images.windows((100, 100, 100), 8, 4000, 1)
    assert np.abs(offsets.mean(axis=0) - 46).max() < 2
    assert np.abs(np.corrcoef(offsets.T) - np.eye(3)).max() < 0.05
    assert not np.array_equal(offsets, images.windows((100, 100, 100), 8, 4000, 2))


def test_windows_that_do_not_fit_are_refused():
    for shape, window in (((4, 4, 4), 5), ((4, 2, 4), 3), ((4, 4, 4), 0), ((1, 1, 1), 2)):
        with pytest.raises(BadInput, match="window"):
            images.windows(shape, window, 1, 0)


def test_windows_are_cut_and_mirrored():
    offsets = np.array([[0, 0, 0], [1, 2, 3]])
    plain = images.periodic_windows(GREY, offsets, 2, mirror=False)
    np.testing.assert_array_equal(plain[1], GREY[1:3, 2:4, 3:5])
    twice = images.periodic_windows(GREY, offsets, 2, mirror=True)
    np.testing.assert_array_equal(twice[0], images.mirror(plain[0]))
    assert twice.flags.c_contiguous
    assert images.periodic_windows(GREY[:, :, :1], np.zeros((1, 3), int), 2, mirror=True).shape == (1, 4, 4, 1)

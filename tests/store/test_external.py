from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from hpcms.errors import BadInput
from hpcms.store.external import read_array

IMAGE = (np.arange(5 * 6 * 7).reshape(5, 6, 7) % 251).astype(np.uint8)


def stored(folder: Path, zarr_format: int = 3, name: str | None = None) -> Path:
    zarr.create_array(folder, name=name, data=IMAGE, chunks=(2, 3, 4), zarr_format=zarr_format)
    return folder


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", [None, "a/image"])
def test_both_formats_and_groups_are_read(tmp_path: Path, zarr_format: int, name: str | None) -> None:
    folder = stored(tmp_path / "image.zarr", zarr_format, name)
    assert np.array_equal(read_array(folder), IMAGE)
    assert np.array_equal(read_array(folder, name), IMAGE)


def test_a_group_of_several_arrays_asks_for_a_name(tmp_path: Path) -> None:
    folder = stored(stored(tmp_path / "image.zarr", name="ct"), name="mask")
    with pytest.raises(BadInput, match="holds 2 arrays") as caught:
        read_array(folder)
    assert "ct, mask" in caught.value.hint
    with pytest.raises(BadInput, match="no array 'dose'"):
        read_array(folder, "dose")


def test_the_size_is_checked_before_reading(tmp_path: Path) -> None:
    folder = stored(tmp_path / "image.zarr")
    document = json.loads((folder / "zarr.json").read_text())
    document["shape"] = [10**6, 10**6, 10**6]
    (folder / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match="at most"):
        read_array(folder)
    with pytest.raises(BadInput, match=f"needs {IMAGE.nbytes} bytes"):
        read_array(stored(tmp_path / "other.zarr"), max_bytes=IMAGE.nbytes - 1)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("codecs", [{"name": "numcodecs.pickle"}], "codec not allowed"),
        ("codecs", "zstd", "not valid Zarr metadata"),
        ("data_type", "object", "not allowed"),
        ("data_type", {"name": "struct"}, "not valid Zarr metadata"),
        ("shape", [5, -6, 7], "not valid Zarr metadata"),
        ("shape", [5, 6], "not valid Zarr metadata"),
        ("node_type", "group", "holds no Zarr array"),
        ("fill_value", "bread", "cannot be read"),
    ],
)
def test_hostile_metadata_is_refused(tmp_path: Path, key: str, value: object, message: str) -> None:
    folder = stored(tmp_path / "image.zarr")
    document = json.loads((folder / "zarr.json").read_text())
    (folder / "zarr.json").write_text(json.dumps(document | {key: value}))
    with pytest.raises(BadInput, match=message):
        read_array(folder)


def test_an_object_array_of_format_2_is_refused(tmp_path: Path) -> None:
    folder = stored(tmp_path / "image.zarr", 2)
    document = json.loads((folder / ".zarray").read_text())
    for change in ({"dtype": "|O", "filters": [{"id": "pickle"}]}, {"filters": [{"id": "pickle"}]}, {"dtype": "|O"}):
        (folder / ".zarray").write_text(json.dumps(document | change))
        with pytest.raises(BadInput, match="not allowed"):
            read_array(folder)


def test_broken_folders_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such Zarr folder"):
        read_array(tmp_path / "nowhere.zarr")
    folder = stored(tmp_path / "image.zarr")
    chunk = next(path for path in folder.rglob("*") if path.is_file() and path.name != "zarr.json")
    chunk.write_bytes(b"rubbish")
    with pytest.raises(BadInput, match="cannot be read"):
        read_array(folder)
    (folder / "zarr.json").write_bytes(b"{" * 100_000)
    with pytest.raises(BadInput, match="not valid Zarr metadata"):
        read_array(folder)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = stored(tmp_path / "image.zarr")
    outside = tmp_path / "secret"
    outside.write_bytes(b"x")
    (folder / "c").joinpath("9").symlink_to(outside)
    with pytest.raises(BadInput, match="leaves the Zarr folder"):
        read_array(folder)

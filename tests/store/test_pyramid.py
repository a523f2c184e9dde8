from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import field, in_process, write_field

from hpcms.errors import StorageFailure
from hpcms.store.pyramid import depth, mean, prolong, read_level, restrict, widths, write_pyramid

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=3)


@given(sizes=SIZES, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_restriction_undoes_prolongation_and_the_mean_stays(sizes: list[int], seed: int) -> None:
    x = field(sizes, seed)
    whole = x.reshape(2, -1).mean(axis=1)
    for level in range(depth(sizes)):
        assert np.abs(mean(x, level, sizes) / whole - 1).max() <= 1e-12
        coarser = restrict(x, level, sizes)
        assert coarser.shape[1:] == tuple(len(widths(n, level + 1)) for n in sizes)
        finer = prolong(coarser, level + 1, sizes)
        assert finer.shape == x.shape
        assert np.abs(restrict(finer, level, sizes) - coarser).max() <= 1e-14 * np.abs(coarser).max()
        x = coarser
    assert x.shape[1:] == (1,) * len(sizes)
    assert np.abs(x.reshape(2) / whole - 1).max() <= 1e-12


def test_an_odd_cell_counts_with_its_own_width() -> None:
    x = np.array([1.0, 3.0, 8.0])
    assert restrict(x, 0, [3]).tolist() == [2.0, 8.0]
    assert restrict(np.array([2.0, 8.0]), 1, [3]).tolist() == [4.0]  # (2 + 2 + 8) / 3
    assert widths(5, 1).tolist() == [2.0, 2.0, 1.0]


def test_what_one_process_wrote_another_reads_bit_for_bit(tmp_path: Path) -> None:
    assert in_process(write_field, tmp_path, "temperature", 3) == 0
    x = field([3, 8, 5], 3)
    for level in range(depth([3, 8, 5])):
        for region in (1, 0):
            assert read_level(tmp_path, "temperature", level, 0, region).tobytes() == x[region].tobytes()
        x = restrict(x, level, [3, 8, 5])


def test_one_file_is_enough_to_read_one_piece(tmp_path: Path) -> None:
    assert write_pyramid(tmp_path, "p", field([4, 4], 0)[None], levels=2) == 2
    wanted = tmp_path / "p/1/p/c.0.1.0.0"
    for path in tmp_path.rglob("c.*"):
        if path != wanted:
            path.unlink()
    assert read_level(tmp_path, "p", 1, 0, 1).shape == (2, 2)
    with pytest.raises(StorageFailure, match=r"p/0/p/c.0.1.0.0: missing"):
        read_level(tmp_path, "p", 0, 0, 1)
    with pytest.raises(StorageFailure, match="region 2 is not among"):
        read_level(tmp_path, "p", 1, 0, 2)


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_is_an_error(tmp_path: Path, seed: int) -> None:
    write_pyramid(tmp_path, "p", field([6, 7], 0)[None])
    rng = np.random.default_rng(seed)
    path = tmp_path / "p/0/p/c.0.0.0.0"
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    with pytest.raises(StorageFailure, match="damaged"):
        read_level(tmp_path, "p", 0, 0, 0)


def test_xarray_reads_it_and_the_attributes_follow_the_convention(tmp_path: Path) -> None:
    x = field([6, 4], 1)[None]
    levels = write_pyramid(tmp_path, "temperature", x, units="K")
    with xr.open_datatree(tmp_path, engine="zarr", consolidated=False) as tree:
        found = tree["temperature"].attrs
        layout = found["multiscales"]["layout"]
        assert [entry["asset"] for entry in layout] == [str(i) for i in range(levels)]
        assert layout[1]["derived_from"] == "0"
        assert layout[1]["transform"]["scale"] == [1, 1, 2, 2]
        assert found["zarr_conventions"][0]["name"] == "multiscales"
        for entry in layout:
            assert f"temperature/{entry['asset']}" in {node.path.strip("/") for node in tree.subtree}
        stored = tree["temperature/0/temperature"]
        assert stored.dims == ("step", "region", "axis_0", "axis_1")
        assert stored.attrs == {"units": "K"}
        assert np.array_equal(stored.values, x)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from hpcms.store.chunks import check_frames, decode, encode, read_chunk, write_chunk
from hpcms.store.layout import DTYPES, INNER_BYTES, LEVEL, Layout, Plan, Spec, axes, divisor


def values(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    found = (bits & 1 if dtype == "bool" else bits).view(dtype).reshape(shape)
    return found


def by_zarr(spec: Spec, data: np.ndarray) -> bytes:
    """The file for a full first batch as Zarr writes it, at another level of zstd."""
    document = json.loads(json.dumps(spec.document(1)).replace(f'"level": {LEVEL}', '"level": 1'))
    shape = [1] * spec.stepped + [len(data), *spec.shape[1:]]
    content: dict[str, Any] = {"zarr.json": cpu.Buffer.from_bytes(json.dumps({**document, "shape": shape}).encode())}
    with zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_array(MemoryStore(content))[...] = data[None] if spec.stepped else data
    return bytes(content[".".join(["c", *"0" * len(shape)])].to_bytes())


@given(
    shape=st.lists(st.integers(1, 6), min_size=0, max_size=4).map(tuple),
    rows=st.integers(1, 6), dtype=st.sampled_from(DTYPES), stepped=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None, derandomize=True, max_examples=60)
def test_any_values_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], rows: int, dtype: str, stepped: bool, seed: int
) -> None:
    """NaN payloads, infinities and all: by this room, and by plain Zarr from the files on disk."""
    root = tmp_path_factory.mktemp("any")
    dims = tuple(f"d{i}" for i in range(len(shape)))
    spec = Spec("coarse/a", shape, dtype, min(rows, shape[0]) if shape else 1, dims, "", stepped).checked()
    whole, step = values(shape, dtype, seed), 2 if stepped else 0
    for batch in range(spec.batches()):
        lo, hi = spec.span(batch)
        part = whole[lo:hi] if shape else whole
        entry = write_chunk(root, spec, step, batch, part)
        assert read_chunk(root, entry, batch).tobytes() == part.tobytes()
        assert decode(spec, encode(spec, part), hi - lo).tobytes() == part.tobytes()
        if shape:
            assert decode(spec, by_zarr(spec, part), hi - lo).tobytes() == part.tobytes()
    (root / "state.zarr/coarse/a/zarr.json").write_text(json.dumps(spec.document(3)))
    stored = zarr.open_array(root / "state.zarr/coarse/a", mode="r")
    assert np.asarray(stored[2] if stepped else stored[...]).tobytes() == whole.tobytes()


@pytest.mark.parametrize("count", [7, 6])
def test_a_shard_gives_single_regions(tmp_path: Path, count: int) -> None:
    """Regions of 1.5 MiB: a file of several chunks, also where the last file is not full."""
    spec = Spec("fine_m/a", (count, 48, 64, 64), "float64", 4, ("region", "x", "y", "z"), "", True)
    assert spec.inner() == (1, 24, 64, 64)
    whole = values(spec.shape, "float64", 1)
    for batch in range(2):
        lo, hi = spec.span(batch)
        entry = write_chunk(tmp_path, spec, 0, batch, whole[lo:hi])
        data = (tmp_path / spec.file(entry.key)).read_bytes()
        check_frames(spec, data)
        for row in range(hi - lo):
            found = read_chunk(tmp_path, entry, batch, slice(row, row + 1))
            assert found.tobytes() == whole[lo + row].tobytes()
        assert read_chunk(tmp_path, entry, batch).tobytes() == whole[lo:hi].tobytes()
        written = by_zarr(spec, whole[lo:hi])  # the same frames in another order
        check_frames(spec, written)
        assert decode(spec, written, hi - lo, slice(1, 2)).tobytes() == whole[lo + 1 : min(lo + 2, hi)].tobytes()
    (tmp_path / "state.zarr/fine_m/a/zarr.json").write_text(json.dumps(spec.document(1)))
    assert zarr.open_array(tmp_path / "state.zarr/fine_m/a", mode="r")[0].tobytes() == whole.tobytes()


def test_a_hundred_thousand_regions_make_few_files() -> None:
    plan = Plan.of(Layout(nodes=np.zeros((4, 2)), sites={"m": np.zeros((100_000, 2))}, batch={"m": 64}))
    spec = plan.spec("fine_m/phase", (100_000, 64, 64, 64), np.dtype("uint8"), "region")
    assert spec.batches() == 1563
    assert spec.chunk() == (64, 64, 64, 64)
    assert spec.inner() == (4, 64, 64, 64)
    assert plan.spec("coarse/u", (1_000_003, 2), np.dtype("float64"), "node").batches() == 1


@given(
    shape=st.lists(st.integers(1, 300), min_size=1, max_size=4).map(tuple), rows=st.integers(1, 40),
    dtype=st.sampled_from(["uint8", "float64"]),
)  # fmt: skip
@settings(deadline=None, derandomize=True, max_examples=200)
def test_chunks_are_small_and_fill_their_file(shape: tuple[int, ...], rows: int, dtype: str) -> None:
    rows = min(rows, shape[0])
    spec = Spec("fine_m/a", shape, dtype, rows, tuple(f"d{i}" for i in range(len(shape))), "", True)
    inner, chunk = spec.inner(), spec.chunk()
    assert all(n % k == 0 for n, k in zip(chunk, inner, strict=True))
    assert np.prod(inner) * np.dtype(dtype).itemsize <= INNER_BYTES
    assert chunk[1:] == shape[1:]
    assert chunk[0] == rows if spec.batches() > 1 else chunk[0] >= rows


@given(n=st.integers(1, 500), most=st.integers(0, 600))
@settings(deadline=None, derandomize=True)
def test_the_largest_divisor(n: int, most: int) -> None:
    assert divisor(n, most) == max([d for d in range(1, n + 1) if n % d == 0 and d <= most], default=1)


def test_axes_of_one_name_have_one_size() -> None:
    assert axes((6, 6), ()) == ("mandel", "mandel_2")
    assert axes((16, 16, 16, 8, 6), ()) == ("n16", "n16_2", "n16_3", "n8", "mandel")
    assert axes((4, 4, 4), ("a", "b", "c")) == ("a", "b", "c")
    assert axes((4, 4), ("a", "b", "c")) == ("n4", "n4_2")


@pytest.mark.parametrize("change", [{"dtype": "object"}, {"path": "a/../b"}, {"dims": ("a", "a")}, {"rows": 0}])
def test_impossible_arrays_are_refused(change: dict[str, object]) -> None:
    good = {"path": "coarse/a", "shape": (3, 2), "dtype": "float64", "rows": 3, "dims": ("a", "b"), "units": ""}
    Spec(**good, stepped=True).checked()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"cannot|do not fit|bytes a file"):
        Spec(**{**good, **change}, stepped=True).checked()  # type: ignore[arg-type]


def test_the_plan_of_a_layout_survives_its_file() -> None:
    layout = Layout(nodes=np.zeros((4, 2)), sites={"m": np.zeros((9, 2))}, batch={"m": 4}, dims={"a": ("b",)}, keep=3)
    plan = Plan.of(layout)
    body = json.loads(json.dumps(plan.__dict__))
    assert Plan.parse(body) == plan

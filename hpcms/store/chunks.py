"""One file of one array: encode, write durably, read with every check that a damaged or hostile file can fail."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import Zstd

from hpcms.contracts import Array
from hpcms.errors import StorageFailure
from hpcms.store.files import digest, read_file, write_new
from hpcms.store.layout import LEVEL, Spec

EMPTY = 2**64 - 1  # marks a chunk of a shard that is not stored
ZSTD = Zstd(LEVEL, checksum=True)
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
DAMAGED = "the data of this step are lost; resume from the generation before, it computes them again"


@dataclass(frozen=True)
class Entry:
    """A file of a step: ``raw`` and ``stored`` are sha256 before the codec and of the file, ``bytes`` its size.

    A static array is stored with step 0 only; afterwards ``stored`` is empty and ``raw`` says that it did not change.
    """

    spec: Spec
    key: str
    raw: str
    stored: str
    bytes: int


# The codecs of ``Spec.document`` are applied here, without the objects of Zarr: they take 3 ms a file, however small.


def _places(spec: Spec) -> list[tuple[slice, ...]]:
    """Where in a file its chunks lie, in the order of the index of a shard. A scalar is a row of one."""
    sizes = zip(spec.chunk() or (1,), spec.inner() or (1,), strict=True)
    return list(product(*([slice(lo, lo + k) for lo in range(0, n, k)] for n, k in sizes)))


def _little(spec: Spec) -> np.dtype[Any]:
    return np.dtype(spec.dtype).newbyteorder("<")


def encode(spec: Spec, data: Array) -> bytes:
    """The file for the items ``data``."""
    if not data.size:
        return b""
    items, inner, dtype, frames = np.atleast_1d(data), spec.inner() or (1,), _little(spec), []
    for place in _places(spec):
        piece = np.ascontiguousarray(items[place], dtype)
        if piece.size and piece.shape != inner:  # the last rows of a file may be padding
            rows = piece
            piece = np.full(inner, np.nan if dtype.kind == "f" else 0, dtype)
            piece[: len(rows)] = rows
        frames.append(ZSTD.encode(piece) if piece.size else b"")
    if len(frames) == 1:
        return bytes(frames[0])
    sizes = np.array([len(frame) for frame in frames], "<u8")
    index = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
    index[sizes == 0] = EMPTY
    return b"".join([*frames, index.tobytes(), _checksum(index.tobytes())])


def _checksum(index: bytes) -> bytes:
    return int(google_crc32c.value(index)).to_bytes(4, "little")


def decode(spec: Spec, data: bytes, count: int, rows: slice = slice(None)) -> Array:
    """The items ``rows`` of a file of ``count`` items; reads only the chunks that hold them."""
    lo, hi, _ = rows.indices(count)
    if not data:
        return np.zeros((hi - lo, *spec.shape[1:]), spec.dtype)
    found, inner = np.empty((hi - lo, *spec.shape[1:]), spec.dtype), spec.inner() or (1,)
    index = _index(spec, data)
    if len(index) > 1 and _checksum(index.tobytes()) != data[-4:]:
        raise ValueError("the index of the shard does not match its checksum")
    for (start, size), (along, *rest) in zip(index.tolist(), _places(spec), strict=True):
        a, b = max(along.start, lo), min(along.stop, hi)
        if a < b:
            piece = np.frombuffer(ZSTD.decode(data[start : start + size]), _little(spec)).reshape(inner)
            found[(slice(a - lo, b - lo), *rest)] = piece[a - along.start : b - along.start]
    return found if spec.shape else found.reshape(())


def _index(spec: Spec, data: bytes) -> Array:
    """(chunks, 2) where the frame of each chunk begins, and its bytes."""
    inner, chunk = spec.inner(), spec.chunk()
    if inner == chunk:
        return np.array([[0, len(data)]], "<u8")
    count = int(np.prod([n // k for n, k in zip(chunk, inner, strict=True)], dtype=np.int64))
    tail = 16 * count + 4  # (offset, length) of each chunk, then the crc32c of this index
    if len(data) < tail:
        raise ValueError("the shard is shorter than its index")
    return np.frombuffer(data, "<u8", 2 * count, len(data) - tail).reshape(count, 2)


def check_frames(spec: Spec, data: bytes) -> None:
    """Refuse a file whose zstd frames would decode to other sizes than declared, before memory is taken for them."""
    expected = int(np.prod(spec.inner(), dtype=np.int64)) * np.dtype(spec.dtype).itemsize
    for start, length in _index(spec, data).tolist():
        if start == length == EMPTY:  # padding beyond the last item
            continue
        if start + length > len(data) or frame_size(data[start : start + 18]) != expected:
            raise ValueError(f"a compressed frame does not hold {expected} bytes")


def frame_size(head: bytes) -> int | None:
    """Decoded size that a zstd frame header declares (RFC 8878, section 3.1.1.1), None where it declares none."""
    if len(head) < 6 or head[:4] != ZSTD_MAGIC:
        return None
    flag, single = head[4] >> 6, head[4] >> 5 & 1
    width = (single, 2, 4, 8)[flag]
    start = 5 + (1 - single) + (0, 1, 2, 4)[head[4] & 3]
    if not width or len(head) < start + width:
        return None
    return int.from_bytes(head[start : start + width], "little") + (256 if flag == 1 else 0)


def write_chunk(root: Path, spec: Spec, step: int, batch: int, data: Array, point: str = "chunk-temp") -> Entry:
    """Write the items of one file durably; the folder is synced by the commit."""
    lo, hi = spec.span(batch)
    shape = (hi - lo, *spec.shape[1:]) if spec.shape else ()
    if data.shape != shape or data.dtype.name != spec.dtype:
        raise ValueError(
            f"{spec.path}: file {batch} takes {spec.dtype} of shape {shape}, not {data.dtype} of shape {data.shape}"
        )
    data = np.asarray(data, dtype=np.dtype(spec.dtype), order="C")
    key, raw = spec.key(step, batch), digest(data.data)
    if not spec.stepped and step > 0:
        return Entry(spec, key, raw, "", 0)
    stored = encode(spec, data)
    write_new(root / spec.file(key), stored, point, step)
    return Entry(spec, key, raw, digest(stored), len(stored))


def read_bytes(root: Path, entry: Entry) -> bytes:
    """The file of a committed entry, if it is what the commit wrote."""
    spec = entry.spec
    try:
        data = read_file(root, spec.file(entry.key), entry.bytes, exact=entry.bytes)
        if digest(data) != entry.stored:
            raise StorageFailure(f"{spec.file(entry.key)}: its hash is not that of the manifest")
        if data:
            check_frames(spec, data)
        return data
    except (StorageFailure, ValueError) as error:
        raise type_of(error)(f"array {spec.path}, chunk {entry.key}: damaged: {error}", DAMAGED) from error


def type_of(error: Exception) -> type[StorageFailure]:
    """The storage failure to raise again for ``error``: the same kind where it is one."""
    return type(error) if isinstance(error, StorageFailure) else StorageFailure


def read_chunk(root: Path, entry: Entry, batch: int, rows: slice | None = None) -> Array:
    """The items of a committed file (or ``rows`` of them), verified."""
    spec = entry.spec
    lo, hi = spec.span(batch)
    data = read_bytes(root, entry)
    try:
        found = decode(spec, data, hi - lo, rows or slice(None))
        if rows is None and digest(np.ascontiguousarray(found).data) != entry.raw:
            raise ValueError("the decoded values do not match their hash")
    except Exception as error:  # whatever a codec raises on bad bytes
        raise StorageFailure(f"array {spec.path}, chunk {entry.key}: damaged: {error}", DAMAGED) from error
    return found

"""One file of one array: encode, write durably, read with every check that a damaged or hostile file can fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.array import AsyncArray
from zarr.core.array_spec import ArrayConfig
from zarr.core.buffer import default_buffer_prototype
from zarr.core.metadata.v3 import ArrayV3Metadata
from zarr.storage import MemoryStore, StorePath

from hpcms.contracts import Array
from hpcms.errors import StorageFailure
from hpcms.store.files import digest, read_file, write_new
from hpcms.store.layout import Spec

# missing chunks mean damage here, so chunks that hold only the fill value are stored too
CONFIG = ArrayConfig(order="C", write_empty_chunks=True)
EMPTY = 2**64 - 1  # marks a chunk of a shard that is not stored
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


def _memory(spec: Spec, count: int, content: dict[str, Any]) -> zarr.Array[Any]:
    """An array in memory that holds just one file, of ``count`` items."""
    lead = (1,) if spec.stepped else ()
    document = spec.document(1) | {"shape": [*lead, *((count, *spec.shape[1:]) if spec.shape else ())]}
    return zarr.Array(AsyncArray(ArrayV3Metadata.from_dict(document), StorePath(MemoryStore(content)), CONFIG))


def _origin(spec: Spec) -> str:
    return ".".join(["c", *["0"] * (len(spec.shape) + spec.stepped)])


def encode(spec: Spec, data: Array) -> bytes:
    """The file for the items ``data``."""
    if not data.size:
        return b""
    content: dict[str, Any] = {}
    _memory(spec, len(data) if spec.shape else 1, content)[...] = data[None] if spec.stepped else data
    return bytes(content[_origin(spec)].to_bytes())


def decode(spec: Spec, data: bytes, count: int, rows: slice = slice(None)) -> Array:
    """The items ``rows`` of a file of ``count`` items; reads only the chunks that hold them."""
    if not data:
        return np.zeros((count, *spec.shape[1:]), spec.dtype)[rows]
    content = {_origin(spec): default_buffer_prototype().buffer.from_bytes(data)}
    index = ((0,) if spec.stepped else ()) + ((rows,) if spec.shape else ())
    return np.asarray(_memory(spec, count, content)[index])


def check_frames(spec: Spec, data: bytes) -> None:
    """Refuse a file whose zstd frames would decode to other sizes than declared, before memory is taken for them."""
    inner, chunk = spec.inner(), spec.chunk()
    expected = int(np.prod(inner, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
    pieces = np.array([[0, len(data)]], dtype=np.uint64)
    if inner != chunk:
        count = int(np.prod([n // k for n, k in zip(chunk, inner, strict=True)], dtype=np.int64))
        tail = 16 * count + 4  # (offset, length) of each inner chunk, then the crc32c of this index
        if len(data) < tail:
            raise ValueError("the shard is shorter than its index")
        pieces = np.frombuffer(data, "<u8", 2 * count, len(data) - tail).reshape(count, 2)
    for start, length in pieces.tolist():
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

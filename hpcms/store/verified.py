"""A Zarr store that reads a committed run: metadata from the manifests, chunks only as the commit wrote them.

A plain Zarr store reads a missing chunk as the fill value and would show steps that are not committed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from hpcms.errors import StorageFailure
from hpcms.store.chunks import Entry, read_bytes
from hpcms.store.files import read_file
from hpcms.store.layout import Spec, groups

Find = Callable[[Spec, int, str], Entry | None]


class VerifiedStore(Store):
    """Read-only. ``find(spec, step, key)`` gives the committed entry of a chunk; None where an array began later."""

    def __init__(self, root: Path, specs: Mapping[str, Spec], steps: int, find: Find) -> None:
        super().__init__(read_only=True)
        self.root, self.specs, self._find = root, specs, find
        self._metadata = {path: json.dumps(text).encode() for path, text in groups(specs).items()}
        self._metadata |= {path: json.dumps(spec.document(steps)).encode() for path, spec in specs.items()}
        self._verified: dict[str, Entry] = {}

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = Store.__hash__

    def _load(self, key: str, span: slice) -> bytes | None:
        path, _, file = key.rpartition("/")
        if file == "zarr.json":
            document = self._metadata.get(path)
            return None if document is None else document[span]
        spec = self.specs.get(path)
        if spec is None or not file.startswith("c"):
            return None
        known = self._verified.get(key)
        if known is not None:  # a shard is asked for piece by piece; each piece has its own checksum too
            return read_file(self.root, spec.file(file), known.bytes, exact=known.bytes, span=span)
        index = [int(i) for i in file.split(".")[1:]]
        entry = self._find(spec, index[0] if spec.stepped else 0, file)
        if entry is None:
            return None
        data = read_bytes(self.root, entry)
        self._verified[key] = entry
        return data[span]

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        span = slice(None)
        if isinstance(byte_range, RangeByteRequest):
            span = slice(byte_range.start, byte_range.end)
        elif isinstance(byte_range, OffsetByteRequest):
            span = slice(byte_range.offset, None)
        elif isinstance(byte_range, SuffixByteRequest):
            span = slice(-byte_range.suffix, None)
        data = self._load(key, span)
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return self._load(key, slice(None)) is not None

    @property
    def supports_writes(self) -> bool:
        return False

    @property
    def supports_deletes(self) -> bool:
        return False

    @property
    def supports_listing(self) -> bool:
        return True

    async def set(self, key: str, value: Buffer) -> None:
        raise StorageFailure(f"{key}: an opened run is read-only")

    async def delete(self, key: str) -> None:
        raise StorageFailure(f"{key}: an opened run is read-only")

    async def list(self) -> AsyncIterator[str]:
        for path in self._metadata:
            yield f"{path}/zarr.json" if path else "zarr.json"

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        names: dict[str, Any] = {}
        async for key in self.list():
            if key.startswith(start):
                names[key.removeprefix(start).split("/")[0]] = None
        for name in names:
            yield name

"""Manifests: what a committed step consists of. Each is sealed, names its parent's hash, and so the steps form a chain.

``head.json`` points to the newest; ``manifests/NUMBER.json`` is the manifest of a step, ``NUMBER.chunks.json`` its list
of files. All of it is read as if a stranger had written it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpcms.errors import StorageFailure
from hpcms.store.chunks import Entry
from hpcms.store.files import Missing, canonical, digest, replace, seal, unseal
from hpcms.store.layout import Spec, size

FORMAT = 1
HEAD = "head.json"


@dataclass(frozen=True)
class Head:
    """The last committed step: ``t`` in s; ``generation`` numbers the commits; ``state_hash`` covers every array."""

    step: int
    t: float
    generation: int
    state_hash: str


@dataclass(frozen=True)
class Header:
    """The manifest of one step. ``fine_from``: the oldest step whose fine arrays are kept.

    ``sealed``: hashes of job.toml, resolved.json and layout.json; ``origin``: seal of the file list of step 0.
    """

    head: Head
    parent: str
    sealed: Mapping[str, str]
    seeds: int
    versions: Mapping[str, str]
    arrays: Mapping[str, str]
    chunks: str
    origin: str
    fine_from: int
    meta: Mapping[str, Any]
    seal: str = ""

    def body(self) -> dict[str, Any]:
        return {
            "format": FORMAT, **vars(self.head), "parent": self.parent, "sealed": self.sealed, "seeds": self.seeds,
            "versions": self.versions, "arrays": self.arrays, "chunks": self.chunks, "origin": self.origin,
            "fine_from": self.fine_from, "meta": self.meta,
        }  # fmt: skip


@dataclass(frozen=True)
class Table:
    """One array in one step: its files in batch order."""

    spec: Spec
    entries: tuple[Entry, ...]

    def hash(self) -> str:
        """Hash of the values, independent of codec, worker and time of writing."""
        spec = self.spec
        return digest(canonical([spec.path, spec.dtype, spec.shape, [entry.raw for entry in self.entries]]))


def state_hash(arrays: Mapping[str, str]) -> str:
    """Hash over the hashes of all arrays, in the order of their paths."""
    return digest(canonical(sorted(arrays.items())))


def name(step: int, kind: str = "json") -> str:
    return f"manifests/{step:08d}.{kind}"


def begun(root: Path) -> bool:
    """Whether a step was ever committed. A manifest of step 0 alone is a first commit that was cut off."""
    return (root / HEAD).exists() or (root / name(1)).exists()


def load_head(root: Path) -> tuple[Head, str, int]:
    """The head pointer, the seal of its manifest, and the oldest step with fine arrays."""
    body, _ = unseal(root, HEAD, limit=2**16)
    try:
        return _head(body), str(body["manifest"]), size(body["fine_from"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise StorageFailure(f"{HEAD}: not valid: {error}") from error


def _head(body: Mapping[str, Any]) -> Head:
    if body["format"] != FORMAT:
        raise ValueError(f"format {body['format']!r:.20} is not {FORMAT}: written by another version")
    return Head(size(body["step"]), float(body["t"]), size(body["generation"]), str(body["state_hash"]))


def write_head(root: Path, header: Header, fine_from: int, point: str = "") -> None:
    """Switch to ``header``: the one moment in which a step becomes committed."""
    body = {"format": FORMAT, **vars(header.head), "manifest": header.seal, "fine_from": fine_from}
    replace(root / HEAD, seal(body)[0], point, header.head.step)


def load_header(root: Path, step: int, expected: str | None = None) -> Header:
    """The manifest of a step; ``expected`` is its seal where known."""
    body, found = unseal(root, name(step), expected)
    try:
        head = _head(body)
        if head.step != step:
            raise ValueError(f"is of step {head.step}")
        return Header(
            head, str(body["parent"]), _texts(body["sealed"]), int(body["seeds"]), _texts(body["versions"]),
            _texts(body["arrays"]), str(body["chunks"]), str(body["origin"]), size(body["fine_from"]),
            dict(body["meta"]), found,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StorageFailure(f"{name(step)}: not valid: {error}") from error


def _texts(table: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in table.items()}


def chunk_list(tables: Mapping[str, Table]) -> tuple[bytes, str]:
    """The file list of a step and its seal."""
    return seal(
        {
            path: {"spec": table.spec.json(), "chunks": {e.key: [e.raw, e.stored, e.bytes] for e in table.entries}}
            for path, table in tables.items()
        }
    )


@lru_cache(maxsize=16)
def load_tables(root: Path, step: int, expected: str) -> Mapping[str, Table]:
    """The files of a step by array. Never changes for a given seal, so a worker reads it once."""
    body, _ = unseal(root, name(step, "chunks.json"), expected)
    tables: dict[str, Table] = {}
    try:
        for path, table in body.items():
            spec, chunks = Spec.parse(table["spec"]), table["chunks"]
            keys = [spec.key(step, batch) for batch in range(spec.batches())] if spec.batches() <= len(chunks) else []
            if spec.path != path or len(keys) != len(chunks):
                raise ValueError(f"{path}: {len(chunks)} files instead of {spec.batches()}")
            rows = [(key, *chunks[key]) for key in keys]
            tables[path] = Table(spec, tuple(Entry(spec, k, str(raw), str(st), size(n)) for k, raw, st, n in rows))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageFailure(f"{name(step, 'chunks.json')}: not valid: {error}") from error
    return tables


def tables_of(root: Path, header: Header) -> dict[str, Table]:
    """All arrays that make up a step; static ones come from step 0."""
    here = dict(load_tables(root, header.head.step, header.chunks))
    fixed = load_tables(root, 0, header.origin)
    return here | {path: table for path, table in fixed.items() if not table.spec.stepped}


def chain(root: Path, step: int, expected: str | None) -> list[Header]:
    """The manifests of steps 0 to ``step``, each checked against the hash that its successor holds."""
    found: list[Header] = []
    while True:
        found.append(load_header(root, step, expected))
        if step == 0:
            return found[::-1]
        step, expected = step - 1, found[-1].parent


def check_files(root: Path, tables: Iterable[Table]) -> None:
    """Every file is there with its size. Its bytes are verified when it is read."""
    for table in tables:
        for entry in table.entries:
            relative = table.spec.file(entry.key)
            try:
                found = os.lstat(root / relative).st_size
            except OSError as error:
                raise Missing(f"array {table.spec.path}, chunk {entry.key}: missing") from error
            if found != entry.bytes:
                raise StorageFailure(
                    f"array {table.spec.path}, chunk {entry.key}: damaged: {found} bytes instead of {entry.bytes}"
                )


def newest_whole(root: Path) -> int | None:
    """The newest step whose manifest, ancestors and files are all there, whatever the head says."""
    headers: list[Header] = []
    try:
        while True:
            header = load_header(root, len(headers))
            if headers and header.parent != headers[-1].seal:
                break
            headers.append(header)
    except StorageFailure:
        pass  # the end of the chain, or of its whole part
    for header in reversed(headers):
        try:
            check_files(root, tables_of(root, header).values())
            return header.head.step
        except StorageFailure:
            continue
    return None


def offer(root: Path) -> str:
    """A hint that names the newest whole generation."""
    found = newest_whole(root)
    if found is None:
        return "no whole generation is left: run the job again in another folder"
    return f"generation {found} is whole: resume from it with --generation {found}"

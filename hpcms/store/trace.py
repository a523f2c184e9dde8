"""The record of every executed task: ``trace.jsonl``, one JSON object a line, appended and never rewritten."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from hpcms.contracts import TaskRecord
from hpcms.errors import StorageFailure
from hpcms.store.files import plain, storing

NAME = "trace.jsonl"
MAX_LINE = 2**24
TEXTS = ("key", "kind", "worker")
TUPLES = {"inputs": str, "costs": float}


def append_records(rundir: Path, records: Iterable[TaskRecord]) -> None:
    """Append records. A line that a crash has torn is ended first, so it cannot swallow the next one."""
    lines = "".join(json.dumps(asdict(record), default=plain) + "\n" for record in records)
    if not lines:
        return
    path = rundir / NAME
    with storing(path, len(lines)):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        with open(handle, "r+b", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END)
            if end and os.pread(handle, 1, end - 1) != b"\n":
                lines = "\n" + lines
            rest = memoryview(lines.encode())
            while rest:
                rest = rest[stream.write(rest) :]


def read_records(rundir: Path) -> list[TaskRecord]:
    """All whole records. Torn or foreign lines are passed over: the trace informs, no result depends on it."""
    return list(_records(rundir))


def _records(rundir: Path) -> Iterator[TaskRecord]:
    path = rundir / NAME
    if path.is_symlink():
        raise StorageFailure(f"{path}: is a link", "do not trust this run")
    if not path.is_file():
        return
    names = {f.name for f in fields(TaskRecord)}
    with path.open("rb") as stream:
        while line := stream.readline(MAX_LINE):
            try:
                body = json.loads(line)
                values: dict[str, Any] = {k: _value(k, v) for k, v in body.items() if k in names}
                yield TaskRecord(**values)
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue


def _value(name: str, value: object) -> object:
    """A field of a record with the type it must have."""
    if name in TUPLES:
        if not isinstance(value, list):
            raise TypeError(name)
        return tuple(TUPLES[name](v) for v in value)
    if name in TEXTS:
        return str(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(name)
    return value

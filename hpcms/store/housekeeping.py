"""The Zarr metadata on disk, and the removal of what no commit holds: leftovers of a crash, old fine history."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcms.errors import StorageFailure
from hpcms.store.files import TEMPORARY, crash, leftovers, read_file, replace, together
from hpcms.store.layout import Spec, groups, parse_document
from hpcms.store.manifest import Table

MAX_METADATA = 2**20


def documents(specs: Mapping[str, Spec], steps: int) -> dict[str, dict[str, Any]]:
    """All metadata files of a store of ``steps`` steps, by path below the run."""
    found = {path: spec.document(steps) for path, spec in specs.items()} | groups(specs)
    return {f"state.zarr/{path}/zarr.json" if path else "state.zarr/zarr.json": text for path, text in found.items()}


def write_metadata(root: Path, wanted: Mapping[str, Any], known: Mapping[str, Any], step: int = -1) -> None:
    """Replace those metadata files that are not yet as ``wanted``; each is old or new, and both fit every head."""
    changed = [path for path, document in wanted.items() if known.get(path) != document]
    half = changed[len(changed) // 2] if changed else ""

    def write(path: str) -> None:
        if path == half:
            crash("metadata-part", step)
        replace(root / path, json.dumps(wanted[path], indent=1).encode())

    together(write, changed)


def read_metadata(root: Path, wanted: Mapping[str, Any], steps: int, more: int = 1) -> dict[str, Any]:
    """The metadata files on disk. They must be as ``wanted``, but may have up to ``more`` steps than that.

    One more is what a commit leaves that was cut off; beside a driver that goes on there may be many.
    """
    found: dict[str, Any] = {}
    for path, document in wanted.items():
        try:
            here = parse_document(read_file(root, path, MAX_METADATA))
            room = here["shape"][0] if document.get("dimension_names", [""])[:1] == ["step"] else None
            same = {**here, "shape": [steps, *here["shape"][1:]]} if room is not None else here
            if document["node_type"] == "group":  # its attributes name the arrays below, and those may be more already
                same = {**here, "attributes": document["attributes"]}
            if same != document or (room is not None and not steps <= room <= steps + more):
                raise ValueError("it is not what the commit wrote")
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise StorageFailure(f"{path}: damaged metadata: {error}") from error
        found[path] = here
    return found


def clean(root: Path, specs: Mapping[str, Spec], last: int, fine_from: int) -> list[str]:
    """Remove from the store what the head does not hold: later steps, pruned steps, half-written files, unknown arrays.

    Only files whose names this room gives are touched. Returns what was removed.
    """
    removed: list[Path] = []
    for folder, _, files in os.walk(root / "state.zarr", followlinks=False):
        path = Path(folder).relative_to(root / "state.zarr").as_posix()
        spec = specs.get(path)
        for file in files:
            orphan = file.startswith(TEMPORARY)
            if file.startswith("c."):
                orphan = spec is None or _orphan(spec, file, last, fine_from)
            elif file == "zarr.json" and spec is None:
                orphan = not any(p == path or p.startswith(f"{path}/") or path == "." for p in specs)
            if orphan:
                removed.append(Path(folder) / file)
    removed += [p for p in (root / "manifests").iterdir() if _number(p.name) > last]
    removed += leftovers(root / "manifests") + leftovers(root)
    for file_path in removed:
        file_path.unlink(missing_ok=True)
    return sorted(str(p.relative_to(root)) for p in removed)


def _number(file: str) -> int:
    """The step of a manifest file, -1 for other files."""
    head = file.split(".", 1)[0]
    return int(head) if head.isdecimal() else -1


def _orphan(spec: Spec, file: str, last: int, fine_from: int) -> bool:
    index = file.split(".")[1:]
    if not all(i.isdecimal() for i in index) or not spec.stepped:
        return False
    step = int(index[0]) if index else 0
    return step > last or (spec.path.startswith("fine_") and step < fine_from)


def prune(root: Path, tables: Iterable[Table], step: int) -> None:
    """Remove the fine arrays of an old step, given by its tables. ``step`` is the one just committed."""
    for table in tables:
        if table.spec.path.startswith("fine_") and table.spec.stepped:
            for entry in table.entries:
                with suppress(OSError):  # a file that stays is removed when the run is opened next
                    (root / table.spec.file(entry.key)).unlink(missing_ok=True)
                crash("prune-part", step)

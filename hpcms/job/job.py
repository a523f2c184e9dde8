"""A job: everything that a file asks for, checked, in SI, at one size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hpcms.job.schema import Claim, CoarseSpec, Coupling, Domain, FineSpec, Microstructure, Site, Time

# What may change between a run and its resumption: words, checks, and how the work is cut up and solved.
# All else decides what is computed.
FREE = (
    "title",
    "description",
    "size",
    "claims",
    "petsc",
    "time.min_step",
    "coupling.agents",
    "coupling.max_sweeps",
    "coupling.relaxation",
    "coupling.ranks",
    "coupling.keep",
)


@dataclass(frozen=True)
class Diff:
    """``changed``: dotted key -> (old, new), None for a missing key. ``physics``: the keys that must not change."""

    changed: Mapping[str, tuple[Any, Any]]
    physics: tuple[str, ...]

    def lines(self) -> list[str]:
        """One line a key, the ones that change the physics marked."""
        mark = dict.fromkeys(self.physics, "  (changes the physics)")
        return [f"{key}: {_short(old)} -> {_short(new)}{mark.get(key, '')}" for key, (old, new) in self.changed.items()]


@dataclass(frozen=True)
class Job:
    """``folder``: where relative file names start. ``size``: the size it was read at, None for the file as it stands.

    ``sizes``: the sizes that the file itself sets. ``text``: the file as it is on disk.
    """

    path: Path
    folder: Path
    text: str
    size: str | None
    sizes: tuple[str, ...]
    schema_version: int
    title: str
    description: str
    domain: Domain
    time: Time
    microstructure: Microstructure | None
    sites: tuple[Site, ...]
    fine: dict[str, FineSpec]
    coarse: dict[str, CoarseSpec]
    coupling: Coupling
    petsc: dict[str, str]
    claims: tuple[Claim, ...]

    def file(self, name: str) -> Path:
        """The place of a file that the job names."""
        return self.folder / name

    def resolved(self) -> dict[str, Any]:
        """The job as plain tables, texts and SI numbers, with all defaults; the same for the same meaning."""
        own = ("schema_version", "title", "description", "size", "domain", "time", "microstructure", "sites")
        other = ("coupling", "petsc", "claims")
        tables: dict[str, Any] = {name: plain(getattr(self, name)) for name in (*own, *other)}
        tables["fine"] = {name: _spec(spec) for name, spec in self.fine.items()}
        tables["coarse"] = {name: _spec(spec) for name, spec in self.coarse.items()}
        return tables

    @cached_property
    def physics_hash(self) -> str:
        """SHA-256 over all that decides what is computed, image files included."""
        physics = {key: value for key, value in _flat(self.resolved()) if not _is_free(key)}
        digest = hashlib.sha256(json.dumps(physics, sort_keys=True, allow_nan=False).encode())
        for name in self.images():
            digest.update(_digest(self.file(name)))
        return digest.hexdigest()

    @property
    def seed(self) -> int:
        """The root of all random choices of the run."""
        return self.microstructure.seed if self.microstructure else 0

    def images(self) -> tuple[str, ...]:
        """The image files that the job names."""
        shared = self.microstructure.image if self.microstructure else None
        return (shared,) if shared else ()

    def diff(self, other: Job) -> Diff:
        """What ``other`` changes against this job."""
        return compare(self.resolved(), other.resolved())


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Diff:
    """What ``after`` changes against ``before``, both as ``Job.resolved`` gives them."""
    old, new = dict(_flat(before)), dict(_flat(after))
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    changed = {key: (old.get(key), new.get(key)) for key in keys}
    return Diff(changed, tuple(key for key in keys if not _is_free(key)))


def plain(value: Any) -> Any:
    """Dataclasses, tuples and arrays as what JSON knows."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.init and not f.name.startswith("_")}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def _spec(spec: FineSpec | CoarseSpec) -> dict[str, Any]:
    head: dict[str, Any] = {"model": spec.model}
    if isinstance(spec, CoarseSpec):
        head["fine"] = spec.fine
    return {**head, **plain(spec.params)}


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of all leaves; arrays are leaves."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE)


def _digest(path: Path) -> bytes:
    """SHA-256 of a file, or of the files of a directory store in the order of their names."""
    if path.is_dir():
        parts = (p.relative_to(path).as_posix().encode() + _digest(p) for p in sorted(path.rglob("*")) if p.is_file())
        return hashlib.sha256(b"".join(parts)).digest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:59] + "…"

"""Which arrays a run holds, how they are cut into chunks, and their Zarr v3 metadata.

``/time`` [step]; ``/coarse/FIELD`` [step, node, ...]; ``/sites/MODEL/ANSWER`` [step, site, ...];
``/fine_MODEL/FIELD`` [step, region, ...] with one file per step and batch. Coordinates and constants have no step.
A file is one chunk, or one shard of chunks of about 1 MiB, so a single region is read alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hpcms.contracts import Array, Arrays
from hpcms.errors import StorageFailure

DTYPES = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
INNER_BYTES = 2**20
MAX_FILE_BYTES = 2**36  # decoded bytes of one file
LEVEL = -50  # zstd finds zeros and repeats only: twice the speed of level -5, 2 % more bytes of creep strain
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
UNITS = {"time": "s", "x": "m", "y": "m", "z": "m"}
AXES = {2: "xy", 3: "xyz", 6: "mandel"}

CONVENTION = {
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/multiscales/refs/tags/v0.1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/multiscales/blob/v0.1/README.md",
    "uuid": "d35379db-88df-4056-af3a-620245f8e347",
    "name": "multiscales",
    "description": "Multiscale layout of zarr datasets",
}


@dataclass(frozen=True)
class Layout:
    """What the store must know beyond the arrays themselves; arrays are declared by their first write.

    ``nodes``: (N, d) m. ``sites``: fine model -> (S, d) m; a region stands at each site. ``batch``: fine model ->
    regions a file. ``static``: names of fine state arrays that never change (images): written once, then only compared.
    ``units`` and ``dims``: by path or by the last part of it; ``dims`` names the axes after the node, site or region.
    ``constants``: further arrays without steps by path, for example ``coarse/cells``.
    ``keep``: committed steps whose fine arrays are kept, at least 2; 0 keeps all.
    """

    nodes: Array
    sites: Mapping[str, Array]
    batch: Mapping[str, int]
    static: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constants: Mapping[str, Array] = field(default_factory=dict)
    keep: int = 0

    def fixed(self) -> Arrays:
        """All arrays without steps, by path."""
        found: Arrays = {}
        for group, points in [("coarse", self.nodes), *((f"sites/{m}", p) for m, p in self.sites.items())]:
            found |= {f"{group}/{axis}": np.array(points[:, i]) for i, axis in enumerate("xyz"[: points.shape[1]])}
        return found | {path: np.asarray(value) for path, value in self.constants.items()}


@dataclass(frozen=True)
class Plan:
    """The part of a layout that workers need: ``grids`` maps a fine model to (regions, regions a file)."""

    nodes: int
    grids: Mapping[str, tuple[int, int]]
    static: tuple[str, ...]
    units: Mapping[str, str]
    dims: Mapping[str, tuple[str, ...]]
    keep: int

    @classmethod
    def of(cls, layout: Layout) -> Plan:
        grids = {named(m): (len(points), int(layout.batch[m])) for m, points in layout.sites.items()}
        if any(regions < 1 or batch < 1 for regions, batch in grids.values()):
            raise ValueError("a fine model needs at least one region, and a batch at least one")
        return cls(len(layout.nodes), grids, tuple(layout.static), dict(layout.units), dict(layout.dims), layout.keep)

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Plan:
        """From a document on disk, which is not trusted."""
        try:
            grids = {named(m): (size(a), size(b)) for m, (a, b) in body["grids"].items()}
            dims = {str(k): tuple(str(d) for d in v) for k, v in body["dims"].items()}
            units = {str(k): str(v) for k, v in body["units"].items()}
            return cls(
                size(body["nodes"]), grids, tuple(str(s) for s in body["static"]), units, dims, int(body["keep"])
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StorageFailure(f"manifests/layout.json: not valid: {error}") from error

    def lead(self, path: str, length: int) -> str:
        """Name of the leading axis of a coarse array, an answer or a constant of ``length`` items."""
        group, last = path.rsplit("/", 1) if "/" in path else ("", path)
        if group == "coarse" and length == self.nodes:
            return "node"
        model = group.removeprefix("sites/")
        return "site" if model in self.grids and length == self.grids[model][0] else f"{last}_item"

    def spec(self, path: str, shape: tuple[int, ...], dtype: np.dtype[Any], item: str, stepped: bool = True) -> Spec:
        """The declaration of the array ``path``, whose leading axis is ``item`` (node, site, region, ...)."""
        last = path.rsplit("/", 1)[-1]
        rows = shape[0] if shape else 1
        if item == "region":
            rows = min(self.grids[path.split("/")[0].removeprefix("fine_")][1], rows)
        wished = tuple(self.dims.get(path, self.dims.get(last, ())))
        return Spec(
            path, shape, dtype.name, rows, (item, *axes(shape[1:], wished))[: len(shape)],
            self.units.get(path, self.units.get(last, UNITS.get(last, ""))), stepped,
        ).checked()  # fmt: skip


def axes(shape: tuple[int, ...], wished: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the axes of one item: as wished, else by size, so that one name never has two sizes in a group."""
    if len(wished) == len(shape):
        return wished
    names: list[str] = []
    for n in shape:
        name = AXES.get(n, f"n{n}")
        repeated = sum(other.split("_")[0] == name for other in names)
        names.append(f"{name}_{repeated + 1}" if repeated else name)
    return tuple(names)


def divisor(n: int, most: int) -> int:
    """The largest divisor of ``n`` that is at most ``most``, at least 1."""
    small = [d for d in range(1, math.isqrt(n) + 1) if n % d == 0]
    return max((d for s in small for d in (s, n // s) if d <= most), default=1)


def named(name: str) -> str:
    """``name`` if it can name a folder of the store."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name.startswith("c.") or len(name) > 100:
        raise ValueError(f"{name!r:.120} cannot name an array or a model")
    return name


def size(value: object) -> int:
    """``value`` if it can be the length of an axis."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**40:
        raise ValueError(f"{value!r:.40} is no length")
    return value


@dataclass(frozen=True)
class Spec:
    """One array. ``shape`` and ``dims``: without the step; ``rows``: items of the leading axis a file."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    rows: int
    dims: tuple[str, ...]
    units: str
    stepped: bool

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Spec:
        """From a manifest, which is not trusted."""
        try:
            return cls(
                str(body["path"]), tuple(size(n) for n in body["shape"]), str(body["dtype"]), size(body["rows"]),
                tuple(str(d) for d in body["dims"]), str(body["units"]), body["stepped"] is True,
            ).checked()  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise StorageFailure(f"manifest: not a valid array: {error}") from error

    def checked(self) -> Spec:
        """This, if names, type and sizes are within what a store may hold."""
        for part in self.path.split("/"):
            named(part)
        if self.dtype not in DTYPES:
            raise ValueError(f"{self.path}: values of type {self.dtype} cannot be stored")
        if len(self.dims) != len(self.shape) or len(set(self.dims)) != len(self.dims) or len(self.shape) > 30:
            raise ValueError(f"{self.path}: axes {self.dims} do not fit the shape {self.shape}")
        if self.rows < min(1, self.count) or self.nbytes(self.rows) > MAX_FILE_BYTES:
            raise ValueError(
                f"{self.path}: {self.nbytes(self.rows)} bytes a file, at most {MAX_FILE_BYTES} are allowed"
            )
        return self

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def count(self) -> int:
        """Items of the leading axis."""
        return self.shape[0] if self.shape else 1

    def batches(self) -> int:
        """Files a step."""
        return -(-self.count // max(self.rows, 1))

    def span(self, batch: int) -> tuple[int, int]:
        """The rows [lo, hi) of a file."""
        return batch * self.rows, min((batch + 1) * self.rows, self.count)

    def nbytes(self, rows: int) -> int:
        """Decoded bytes of ``rows`` items."""
        return rows * math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize

    def key(self, step: int, batch: int) -> str:
        """The chunk key, which is also the file name: the folder stays flat, one fsync makes all its names durable."""
        index = [step] * self.stepped + ([batch] + [0] * (len(self.shape) - 1) if self.shape else [])
        return ".".join(["c", *(str(i) for i in index)])

    def file(self, key: str) -> str:
        """The file of a chunk, relative to the run."""
        return f"state.zarr/{self.path}/{key}"

    def inner(self) -> tuple[int, ...]:
        """Shape of a chunk within a file: cut along leading axes until it is small. Files of a batch need a divisor."""
        found, itemsize = list((self.rows, *self.shape[1:]) if self.shape else ()), np.dtype(self.dtype).itemsize
        for axis, n in enumerate(found):
            allowed = INNER_BYTES * max(n, 1) // max(math.prod(found) * itemsize, 1)
            if allowed < n:
                free = axis == 0 and self.batches() == 1
                found[axis] = max(allowed, 1) if free else divisor(n, allowed)
        return tuple(max(n, 1) for n in found)

    def chunk(self) -> tuple[int, ...]:
        """Shape of a file without the step: whole inner chunks, so the last rows may be padding."""
        inner = self.inner()
        return tuple(-(-max(n, 1) // k) * k for n, k in zip((self.rows, *self.shape[1:]), inner, strict=bool(inner)))

    def document(self, steps: int) -> dict[str, Any]:
        """``zarr.json`` of this array with room for ``steps`` steps."""
        lead = (1,) if self.stepped else ()
        chunk, inner = [*lead, *self.chunk()], [*lead, *self.inner()]
        little = {"name": "bytes", "configuration": {"endian": "little"}}
        codecs: list[dict[str, Any]] = [
            little if np.dtype(self.dtype).itemsize > 1 else {"name": "bytes"},
            {"name": "zstd", "configuration": {"level": LEVEL, "checksum": True}},
        ]
        if inner != chunk:
            shard = {"chunk_shape": inner, "codecs": codecs, "index_codecs": [little, {"name": "crc32c"}]}
            codecs = [{"name": "sharding_indexed", "configuration": {**shard, "index_location": "end"}}]
        kind = np.dtype(self.dtype).kind
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [*([steps] if self.stepped else []), *self.shape],
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": "NaN" if kind == "f" else False if kind == "b" else 0,
            "codecs": codecs,
            "attributes": {"units": self.units} if self.units else {},
            "dimension_names": [*(["step"] if self.stepped else []), *self.dims],
            "storage_transformers": [],
        }


def parse_document(text: bytes) -> Any:
    """``zarr.json`` from disk. Older stores have another level of zstd; readers need none, so it counts as the same."""
    return json.loads(text, object_hook=lambda d: {**d, "level": LEVEL} if d.keys() == {"level", "checksum"} else d)


def groups(specs: Mapping[str, Spec]) -> dict[str, dict[str, Any]]:
    """``zarr.json`` of every group above the arrays. The root says which scales there are and which is the finest."""
    paths = {"/".join(parts[:n]) for parts in (path.split("/") for path in specs) for n in range(len(parts))}
    fine = sorted(path for path in paths if path.startswith("fine_"))
    scales: list[dict[str, Any]] = [{"asset": name} for name in fine]
    # a scale of 1: the regions are windows at the sites of the coarse scale, they share its coordinates in m
    derived = {"derived_from": fine[0], "transform": {"scale": [1.0]}} if fine else {}
    scales.append({"asset": "coarse", **derived, "resampling_method": "homogenisation"})
    documents: dict[str, dict[str, Any]] = {}
    for path in sorted(paths):
        attributes: dict[str, Any] = {}
        if path == "":
            attributes = {"zarr_conventions": [CONVENTION], "multiscales": {"layout": scales}, "coordinates": "time"}
        elif here := [axis for axis in "xyz" if f"{path}/{axis}" in specs]:
            attributes = {"coordinates": " ".join(here)}
        documents[path] = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return documents

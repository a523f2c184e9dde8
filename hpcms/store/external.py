"""Images of users in Zarr format (v2 or v3). Nothing in such a folder is trusted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore

from hpcms.contracts import Array
from hpcms.errors import BadInput

MAX_BYTES = 8 * 2**30  # decoded size of an image; larger ones are cropped by the user first
MAX_FILES = 1_000_000
MAX_METADATA = 2**20
KINDS = "buif"  # bool, unsigned, signed, floating: never object, void or strings
CODECS = {"bytes", "transpose", "sharding_indexed", "crc32c", "zstd", "gzip", "blosc"}
COMPRESSORS = {"blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma"}


def read_array(path: Path | str, dataset: str | None = None, max_bytes: int = MAX_BYTES) -> Array:
    """The array ``dataset`` of the Zarr folder ``path``; without a name the folder must hold exactly one array.

    Sizes, types and codecs are checked before any data are read. Chunks that are not stored are the fill value,
    as the format has it. Raises ``BadInput``.
    """
    root = Path(path)
    if not root.is_dir():
        raise BadInput(f"{path}: no such Zarr folder", "a Zarr image is a folder that holds zarr.json or .zarray")
    arrays = _arrays(root)
    folder = arrays.get(_choose(root, arrays, dataset))
    if folder is None:
        raise BadInput(f"{path}: no array {dataset!r} in this Zarr folder", f"it holds: {_listed(arrays)}")
    _check(folder, max_bytes)
    try:
        found = zarr.open_array(LocalStore(folder, read_only=True), mode="r")
        _check_size(folder, found.shape, np.dtype(found.dtype), max_bytes)
        return np.asarray(found[...])
    except BadInput:
        raise
    except Exception as error:  # zarr and its codecs raise many kinds; for the user they all mean a bad image
        raise BadInput(f"{folder}: cannot be read as a Zarr array: {error}", "write the image again") from error


def _arrays(root: Path) -> dict[str, Path]:
    """All arrays below ``root`` by name; refuses links that leave the folder."""
    home = root.resolve()
    found: dict[str, Path] = {}
    for count, item in enumerate(root.rglob("*")):
        if count > MAX_FILES:
            raise BadInput(f"{root}: more than {MAX_FILES} files", "use larger chunks")
        if item.is_symlink() and not item.resolve().is_relative_to(home):
            raise BadInput(f"{item}: a link that leaves the Zarr folder", "copy the data into the folder")
        if item.name == ".zarray" or (item.name == "zarr.json" and _load(item).get("node_type") == "array"):
            name = item.parent.relative_to(root).as_posix()
            found["" if name == "." else name] = item.parent
    if not found:
        raise BadInput(f"{root}: holds no Zarr array", "a Zarr image is a folder that holds zarr.json or .zarray")
    return found


def _choose(root: Path, arrays: dict[str, Path], dataset: str | None) -> str:
    if dataset is not None:
        return dataset.strip("/")
    if len(arrays) > 1:
        raise BadInput(f"{root}: holds {len(arrays)} arrays", f"name one of them: {_listed(arrays)}")
    return next(iter(arrays))


def _listed(arrays: dict[str, Path]) -> str:
    names = sorted(name or "/" for name in arrays)
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def _load(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file() or path.stat().st_size > MAX_METADATA:
            raise BadInput(f"{path}: not a metadata file of at most {MAX_METADATA} bytes")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid Zarr metadata: {error}", "write the image again") from error
    if not isinstance(document, dict):
        raise BadInput(f"{path}: not valid Zarr metadata", "write the image again")
    return document


def _check(folder: Path, max_bytes: int) -> None:
    """Types, codecs and sizes by the metadata alone, before zarr sees any of it."""
    modern = (folder / "zarr.json").is_file()
    document = _load(folder / ("zarr.json" if modern else ".zarray"))
    try:
        if modern:
            dtype = np.dtype(_text(document["data_type"]))
            chunks = document["chunk_grid"]["configuration"]["chunk_shape"]
            codecs = _names_v3(document["codecs"])
            unknown = codecs - CODECS
        else:
            dtype = np.dtype(_text(document["dtype"]))
            chunks = document["chunks"]
            used = [document.get("compressor"), *(document.get("filters") or [])]
            unknown = {_text(codec["id"]) for codec in used if codec is not None} - COMPRESSORS
        shape = document["shape"]
        sizes = all(isinstance(n, int) and n >= 0 for n in [*shape, *chunks]) and len(shape) == len(chunks)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"{folder}: not valid Zarr metadata: {error}", "write the image again") from error
    if unknown:
        raise BadInput(
            f"{folder}: codec not allowed: {', '.join(sorted(unknown))}", "store it with zstd, gzip or blosc"
        )
    if not sizes:
        raise BadInput(f"{folder}: not valid Zarr metadata: shape {shape}, chunks {chunks}", "write the image again")
    _check_size(folder, tuple(shape), dtype, max_bytes)
    _check_size(folder, tuple(chunks), dtype, max_bytes)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is expected, not {value!r:.80}")
    return value


def _names_v3(codecs: list[dict[str, Any]]) -> set[str]:
    names: set[str] = set()
    for codec in codecs:
        names.add(_text(codec["name"]))
        inner = codec.get("configuration", {})
        for key in ("codecs", "index_codecs"):
            names |= _names_v3(inner.get(key, []))
    return names


def _check_size(folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any], max_bytes: int) -> None:
    if dtype.kind not in KINDS:
        raise BadInput(f"{folder}: values of type {dtype} are not allowed", "an image holds integers or real numbers")
    needed = math.prod(shape) * dtype.itemsize
    if needed > max_bytes:
        raise BadInput(
            f"{folder}: shape {shape} of {dtype} needs {needed} bytes, at most {max_bytes} are allowed",
            "crop the image or use larger voxels",
        )

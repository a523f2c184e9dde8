"""Stored pyramids: one field at several resolutions, each coarser level the mean of the one below.

Restriction halves every axis; an odd last cell stays alone, so cells have widths: 2^level, the last one what is left.
With these widths as weights the mean is the same at every level, and restriction undoes prolongation exactly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import StorageFailure
from hpcms.store import files
from hpcms.store.chunks import check_frames, decode, encode
from hpcms.store.layout import CONVENTION, MAX_FILE_BYTES, Spec, named, parse_document

MAX_METADATA = 2**20


def widths(n: int, level: int) -> Array:
    """(m,) widths of the cells at ``level`` over ``n`` unit cells, m = ceil(n / 2^level)."""
    edges = np.append(np.arange(0, n, 2**level), n)
    return np.diff(edges).astype(float)


def restrict(fine: Array, level: int, sizes: Sequence[int]) -> Array:
    """One level up: (..., n, ...) at ``level`` -> (..., ceil(n / 2), ...). The last ``len(sizes)`` axes are space,
    ``sizes`` their lengths at level 0.
    """
    found = np.asarray(fine, dtype=np.float64)
    for axis, n in zip(range(-len(sizes), 0), sizes, strict=True):
        width = widths(n, level)
        pairs = len(width) // 2
        a, b = np.moveaxis(found, axis, -1)[..., 0::2], np.moveaxis(found, axis, -1)[..., 1::2]
        mean = a.copy()
        # a + share (b - a), not a weighted sum: equal children give their value without rounding
        mean[..., :pairs] += width[1::2][:pairs] / (width[0::2][:pairs] + width[1::2][:pairs]) * (b - a[..., :pairs])
        found = np.moveaxis(mean, -1, axis)
    return np.ascontiguousarray(found)


def prolong(coarse: Array, level: int, sizes: Sequence[int]) -> Array:
    """One level down: every cell of ``level`` (>= 1) gives its value to its one or two children per axis."""
    found = np.asarray(coarse, dtype=np.float64)
    for axis, n in zip(range(-len(sizes), 0), sizes, strict=True):
        found = np.take(found, np.arange(len(widths(n, level - 1))) // 2, axis=axis)
    return found


def mean(x: Array, level: int, sizes: Sequence[int]) -> Array:
    """The mean over space of a field at ``level``: the same at every level."""
    found = np.asarray(x, dtype=np.float64)
    for n in reversed(sizes):
        width = widths(n, level)
        found = (found * width).sum(axis=-1) / n
    return found


def depth(sizes: Sequence[int]) -> int:
    """Levels until a single cell is left."""
    return 1 + max(int(n - 1).bit_length() for n in sizes)


def write_pyramid(folder: Path, name: str, array: Array, levels: int | None = None, units: str = "") -> int:
    """Store ``array`` [step, region, space...] at ``levels`` resolutions below the Zarr group ``folder``.

    Every (level, step, region) is one file, written durably and readable alone, by any process. The ``multiscales``
    attributes say how the levels lie in each other. Returns the number of levels.
    """
    steps, regions, *sizes = array.shape
    count = min(levels or depth(sizes), depth(sizes))
    spaces = [[len(widths(n, level)) for n in sizes] for level in range(count)]
    specs = [_spec(name, level, regions, space, units) for level, space in enumerate(spaces)]
    for step in range(steps):
        for region in range(regions):
            piece = np.asarray(array[step, region], dtype=np.float64)
            for level, spec in enumerate(specs):
                files.write_new(folder / spec.path / spec.key(step, region), encode(spec, piece[None]))
                piece = restrict(piece, level, sizes)
    group = {"zarr_format": 3, "node_type": "group"}
    written = {spec.path: spec.document(steps) for spec in specs}
    written |= {f"{name}/{level}": {**group, "attributes": {}} for level in range(count)}
    written |= {name: {**group, "attributes": _attributes(count, len(sizes))}, ".": {**group, "attributes": {}}}
    for path, document in written.items():
        files.replace(folder / path / "zarr.json", json.dumps(document, indent=1).encode())
    return count


def read_level(folder: Path, name: str, level: int, step: int, region: int) -> Array:
    """One (level, step, region) of a stored pyramid; reads one file. A missing file is an error."""
    path = f"{named(name)}/{int(level)}/{name}"
    try:
        document = parse_document(files.read_file(folder, f"{path}/zarr.json", MAX_METADATA))
        steps, regions, *space = document["shape"]
        spec = _spec(name, level, regions, space, document["attributes"].get("units", ""))
        if document != spec.document(steps):
            raise ValueError("not a pyramid of this store")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageFailure(f"{path}/zarr.json: damaged metadata: {error}") from error
    if not (0 <= step < steps and 0 <= region < regions):
        raise StorageFailure(f"{path}: step {step}, region {region} is not among {steps} steps, {regions} regions")
    data = files.read_file(folder, f"{path}/{spec.key(step, region)}", min(2 * spec.nbytes(1) + 2**20, MAX_FILE_BYTES))
    try:
        check_frames(spec, data)
        return np.asarray(decode(spec, data, 1)[0])
    except Exception as error:  # whatever a codec raises on bad bytes
        raise StorageFailure(f"{path}, chunk {spec.key(step, region)}: damaged: {error}") from error


def _spec(name: str, level: int, regions: int, space: Sequence[int], units: str) -> Spec:
    """The array of one level: one file a step and region."""
    dims = ("region", *(f"axis_{i}" for i in range(len(space))))
    return Spec(f"{name}/{level}/{name}", (int(regions), *space), "float64", 1, dims, units, True).checked()


def _attributes(levels: int, space: int) -> dict[str, object]:
    """The multiscales convention: axes step, region, space; centres of coarse cells lie half a fine cell further."""
    transform = {"scale": [1.0, 1.0, *[2.0] * space], "translation": [0.0, 0.0, *[0.5] * space]}
    layout: list[dict[str, object]] = [{"asset": "0"}]
    layout += [{"asset": str(i), "derived_from": str(i - 1), "transform": transform} for i in range(1, levels)]
    return {"zarr_conventions": [CONVENTION], "multiscales": {"layout": layout, "resampling_method": "average"}}

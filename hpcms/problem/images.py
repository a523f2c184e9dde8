"""Voxel images: read, label, cut, mirror. A file of a user is untrusted, so sizes are checked before data are read.

The library of a format is imported when a file of that format is read: a worker needs none or one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from hpcms import memory
from hpcms.contracts import Array
from hpcms.errors import BadInput

Shape = tuple[int, ...]


def load_image(path: Path | str, dataset: str | None = None) -> Array:
    """(nx, ny, nz) grey values or labels from .npy, .tif, .h5 or a .zarr folder; ``dataset`` names one within a file.

    A 2-D image becomes one voxel thick. Raises ``BadInput`` for all that is not a finite image that fits in memory.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{path}: unknown image format {path.suffix!r}", f"known formats: {', '.join(_READERS)}")
    if path.suffix.lower() != ".zarr":
        if not path.exists():
            raise BadInput(f"{path}: no such image file", "the path is relative to the job file")
        if not path.is_file():
            raise BadInput(f"{path}: this is a folder, not an image file")
    try:
        image = reader(path, dataset)
    except BadInput:
        raise
    except Exception as error:  # each library has its own kinds of damage; for the user they all mean a bad image
        raise BadInput(f"{path}: cannot be read as an image: {error}", "is the file complete?") from error
    return as_image(image, str(path))


def as_image(image: Any, name: str = "image") -> Array:
    """A checked array of three axes from any array of two or three."""
    array = np.asarray(image)
    _check(name, array.shape, array.dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInput(f"{name}: the image has values that are not finite (NaN or inf)")
    array = array.astype(np.uint8) if array.dtype == bool else array
    return array[:, :, None] if array.ndim == 2 else array


def segment(image: Array, threshold: str | float = "otsu") -> Array:
    """uint8 labels: 0 up to the threshold, 1 above. ``"otsu"`` finds the threshold (Otsu 1979)."""
    value = otsu(image) if threshold == "otsu" else threshold
    if isinstance(value, str | bool) or not np.isfinite(value):
        raise BadInput(f"threshold: expected 'otsu' or a grey value (got {threshold!r})")
    labels = (image > value).astype(np.uint8)
    if labels.min() == labels.max():
        side = "above" if labels.flat[0] else "at or below"
        raise BadInput(
            f"threshold: all voxels are {side} {value:g}, so there is only one phase",
            f"grey values run from {image.min():g} to {image.max():g}",
        )
    return labels


def otsu(image: Array) -> float:
    """The grey value that splits the image with the largest variance between the two classes (Otsu 1979)."""
    if image.min() == image.max():
        raise BadInput("threshold: the image has one grey value only, so Otsu's threshold does not exist")
    from skimage.filters import threshold_otsu

    find: Callable[[Array], float] = threshold_otsu
    return float(find(image))


def labels(image: Array, name: str = "image") -> Array:
    """uint8 labels from an image that carries whole numbers from 0 to 255."""
    if image.min() < 0 or image.max() > 255 or (image.dtype.kind == "f" and (image != np.floor(image)).any()):
        raise BadInput(f"{name}: labels must be whole numbers from 0 to 255", "give a threshold to label a grey image")
    return image.astype(np.uint8)


def crop(image: Array, window: int | Sequence[int | slice | Sequence[int]]) -> Array:
    """A part of the image: one edge or three from the origin, or three slices or pairs (first, one past the last)."""
    # one edge leaves the axis of one voxel of a flat image alone
    parts = [min(window, n) if n == 1 else window for n in image.shape] if isinstance(window, int) else list(window)
    if len(parts) != 3:
        raise BadInput(f"crop: expected one edge, three edges or three pairs (got {window!r})")
    pairs = [_ends(part, n) for part, n in zip(parts, image.shape, strict=True)]
    for axis, (pair, n) in enumerate(zip(pairs, image.shape, strict=True)):
        if len(pair) != 2 or not all(isinstance(end, int) for end in pair) or not 0 <= pair[0] < pair[1] <= n:
            raise BadInput(f"crop: axis {axis} has {n} voxels, so {pair} is not a part of it")
    return np.ascontiguousarray(image[tuple(slice(*pair) for pair in pairs)])


def _ends(part: int | slice | Sequence[int], n: int) -> tuple[int, ...]:
    if isinstance(part, slice):
        return 0 if part.start is None else part.start, n if part.stop is None else part.stop
    return (0, part) if isinstance(part, int) else tuple(part)


def mirror(image: Array) -> Array:
    """The image followed by its reflection along each of its last three axes: a periodic cell of twice the edges.

    An axis of one voxel stays: its reflection is itself.
    """
    for axis in range(-3, 0):
        if image.shape[axis] > 1:
            image = np.concatenate([image, np.flip(image, axis)], axis)
    return image


def windows(shape: Shape, window: int, count: int, seed: int) -> Array:
    """(count, 3) int64 corners of ``count`` different windows, in an order that only ``shape, window, seed`` decide.

    So the first windows stay the same when more are asked for. Windows may overlap.
    """
    edges = _edges(shape, window)
    places = [n - edge + 1 for n, edge in zip(shape, edges, strict=True)]
    total = int(np.prod(places))
    if count > total:
        raise BadInput(
            f"microstructure: {count} different windows of {window} voxels are wanted, the image has {total}",
            "use a smaller window, a larger image or fewer regions",
        )
    return np.stack(np.unravel_index(_shuffled(count, total, seed), places), axis=1).astype(np.int64)


def periodic_windows(image: Array, offsets: Array, window: int, mirror: bool) -> Array:
    """(R, ...) the windows at ``offsets`` (R, 3), with ``mirror`` reflected to periodic cells."""
    ex, ey, ez = _edges(image.shape, window)
    cut = np.array([image[x : x + ex, y : y + ey, z : z + ez] for x, y, z in offsets])
    return _mirrored(cut) if mirror else cut


_mirrored = mirror  # the parameter of ``periodic_windows`` has the same name


def _edges(shape: Shape, window: int) -> list[int]:
    """Edges of a window: an axis of one voxel is taken whole."""
    if window < 1:
        raise BadInput(f"microstructure.window: must be >= 1 (got {window})")
    if any(1 < n < window for n in shape) or max(shape) < window:
        raise BadInput(f"microstructure.window: {window} voxels do not fit in an image of {shape}")
    return [min(window, n) for n in shape]


def _shuffled(count: int, total: int, seed: int) -> Array:
    """The first ``count`` places of a pseudo-random permutation of ``range(total)``.

    A Feistel network permutes the next power of four; walking on while the image is outside keeps it a permutation.
    """
    half = max(1, (max(total - 1, 1).bit_length() + 1) // 2)
    keys = np.random.default_rng(np.random.SeedSequence(seed)).integers(0, 1 << 63, 6, dtype=np.uint64) | np.uint64(1)
    mask, shift = np.uint64((1 << half) - 1), np.uint64(half)

    def permute(n: Array) -> Array:
        left, right = n >> shift, n & mask
        for key in keys:
            mixed = (right + key) * key
            left, right = right, left ^ ((mixed ^ (mixed >> np.uint64(29))) * key >> np.uint64(32)) & mask
        return (left << shift) | right

    place = permute(np.arange(count, dtype=np.uint64))
    while (outside := place >= total).any():
        place[outside] = permute(place[outside])
    return place.astype(np.int64)


def _check(name: str, shape: Shape, dtype: Any) -> None:
    """Refuse what is not an image, or is larger than the free memory, from its header alone."""
    kind = np.dtype(dtype).kind
    if kind not in "buif":
        raise BadInput(f"{name}: grey values or labels must be real numbers (got {np.dtype(dtype)})")
    if len(shape) not in (2, 3):
        raise BadInput(f"{name}: an image has 2 or 3 axes (got {len(shape)}: {tuple(shape)})")
    if min(shape) < 1:
        raise BadInput(f"{name}: the image has no voxels {tuple(shape)}")
    memory.refuse_beyond(name, float(np.prod(np.array(shape, float))) * np.dtype(dtype).itemsize)


def _read_npy(path: Path, dataset: str | None) -> Array:
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    _check(str(path), mapped.shape, mapped.dtype)
    return np.array(mapped)


def _read_tiff(path: Path, dataset: str | None) -> Array:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        if "S" in series.axes:
            raise BadInput(f"{path}: this is a colour image", "save it as grey values")
        _check(str(path), series.shape, series.dtype)
        return np.asarray(series.asarray())


def _read_hdf5(path: Path, dataset: str | None) -> Array:
    import h5py

    with h5py.File(path, "r") as file:
        found: list[str] = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        name = dataset.strip("/") if dataset else (found[0] if len(found) == 1 else "")
        if name not in found:
            wanted = f"no dataset {dataset!r}" if dataset else f"{len(found)} datasets; name one"
            raise BadInput(f"{path}: {wanted}", f"the file holds: {', '.join(found[:20]) or 'nothing'}")
        data = file[name]
        if data.external or data.is_virtual:
            raise BadInput(f"{path}: dataset {name!r} keeps its data in other files", "copy the data into one file")
        _check(str(path), data.shape, data.dtype)
        return np.asarray(data[...])


def _read_zarr(path: Path, dataset: str | None) -> Array:
    from hpcms.store.external import read_array

    return read_array(path, dataset, max_bytes=psutil.virtual_memory().available)


_READERS: dict[str, Callable[[Path, str | None], Array]] = {
    ".npy": _read_npy,
    ".tif": _read_tiff,
    ".tiff": _read_tiff,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".zarr": _read_zarr,
}

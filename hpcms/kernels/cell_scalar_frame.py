"""Where a scalar cell problem has to be solved: the box around the voxels that differ from a reference coefficient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array

Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Frame:
    """A cell turned and rolled so that the voxels that differ from the reference fill a box at the origin.

    ``order``: axes of the image that became x y z; ``start``: origin of the box in the turned image; ``contrast``:
    (ex, ey, ez) coefficient less ``reference``; ``spacing`` in m and ``shape`` are the turned ones. ``octant``: the cell is
    mirrored along its three axes, and the box is what one octant holds, seen from mirror planes.
    """

    reference: float
    order: Triple
    start: Triple
    shape: Triple
    spacing: Spacing
    contrast: Array
    octant: bool = False

    @property
    def box(self) -> Triple:
        """Nodes of the box: one more than voxels, unless the box goes around the cell."""
        if self.octant:
            ex, ey, ez = self.contrast.shape
            return ex + 1, ey + 1, ez + 1
        x, y, z = (min(voxels + 1, n) for voxels, n in zip(self.contrast.shape, self.shape, strict=True))
        return x, y, z

    def back(self, u: Array) -> Array:
        """A field on all nodes of the turned cell, in the order of the image."""
        image: Array = np.roll(u, self.start, axis=(0, 1, 2)).transpose(np.argsort(self.order))
        return image


def framed(phase: Array, k: Array, spacing: Spacing, octant: bool = True) -> Frame:
    """Choose the reference coefficient that leaves the smallest box; turn and roll the cell so that the box is first.

    The longest axis becomes z, the direction of the vectorised loops. Without a phase that conducts nothing is solved.
    """
    if octant and is_mirrored(phase):
        return _octant(phase, k, spacing)
    first, second, third = (int(axis) for axis in np.argsort(phase.shape, kind="stable"))
    order = (first, second, third)
    phase = np.ascontiguousarray(phase.transpose(order))
    counts = np.bincount(phase.ravel(), minlength=k.size)
    choices = []
    for value in np.unique(k[(counts > 0) & (k > 0)]):
        other = (k != value)[phase]
        lines = other.any(axis=2)
        spans = [_span(used) for used in (lines.any(axis=1), lines.any(axis=0), other.any(axis=(0, 1)))]
        voxels = int(np.prod([length for _, length in spans]))
        choices.append((voxels, -int(counts[k == value].sum()), float(value), spans))
    nothing = (0, 0, 1.0, [(0, 1)] * 3)
    _, _, k0, ((x, ex), (y, ey), (z, ez)) = min(choices, default=nothing)
    nx, ny, nz = phase.shape
    hx, hy, hz = (spacing[axis] for axis in order)
    box = np.ix_((x + np.arange(ex)) % nx, (y + np.arange(ey)) % ny, (z + np.arange(ez)) % nz)
    contrast = np.ascontiguousarray((k - k0 if choices else np.zeros_like(k))[phase[box]])
    return Frame(k0, order, (x, y, z), (nx, ny, nz), (hx, hy, hz), contrast)


def _span(used: Array) -> tuple[int, int]:
    """Start and length of the shortest stretch of a ring that holds all places in use; at least one place."""
    places = np.flatnonzero(used)
    if places.size == 0:
        return 0, 1
    gaps = np.diff(np.append(places, places[0] + used.size))
    widest = int(np.argmax(gaps))
    return int(places[(widest + 1) % places.size]), int(used.size - gaps[widest] + 1)


def is_mirrored(phase: Array) -> bool:
    """Whether the image is even along all three axes, so that an octant of at least two voxels along each tells it all."""
    even = all(n % 2 == 0 and n > 2 for n in phase.shape)
    return even and all(np.array_equal(phase, np.flip(phase, axis)) for axis in range(3))


def _octant(phase: Array, k: Array, spacing: Spacing) -> Frame:
    """The frame of a mirrored cell: the reference that leaves the smallest box in the octant, from the better mirror planes."""
    first, second, third = (int(axis) for axis in np.argsort(phase.shape, kind="stable"))
    order = (first, second, third)
    (nx, ny, nz), (hx, hy, hz) = (phase.shape[axis] for axis in order), (spacing[axis] for axis in order)
    part = phase.transpose(order)[: nx // 2, : ny // 2, : nz // 2]
    counts = np.bincount(part.ravel(), minlength=k.size)
    choices = []
    for value in np.unique(k[(counts > 0) & (k > 0)]):
        other = (k != value)[part]
        spans = [_from_mirror(other.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        voxels = int(np.prod([length for _, length in spans]))
        choices.append((voxels, -int(counts[k == value].sum()), float(value), spans))
    _, _, k0, spans = min(choices, default=(0, 0, 1.0, [(1, 1)] * 3))
    box = part[tuple(slice(None, None, step) for step, _ in spans)][tuple(slice(length) for _, length in spans)]
    contrast = np.ascontiguousarray((k - k0 if choices else np.zeros_like(k))[box])
    return Frame(k0, order, (0, 0, 0), (nx, ny, nz), (hx, hy, hz), contrast, True)


def _from_mirror(used: Array) -> tuple[int, int]:
    """Direction (1: from the first voxel, -1: from the last one) and length of the shorter stretch that holds all in use."""
    places = np.flatnonzero(used)
    if places.size == 0:
        return 1, 1
    ahead, back = int(places[-1]) + 1, used.size - int(places[0])
    return (1, ahead) if ahead <= back else (-1, back)

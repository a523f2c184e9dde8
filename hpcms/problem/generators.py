"""Cells drawn from a formula: label 0 is the matrix, 1 the other phase. A voxel belongs to what its centre lies in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpcms.contracts import Array

Shape = tuple[int, int, int]


def _centres(shape: Shape) -> tuple[Array, Array, Array]:
    """Voxel centres in a unit cell around the origin, open grid."""
    axes = [(np.arange(n) + 0.5) / n - 0.5 for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return x, y, z


def homogeneous(shape: Shape, fraction: float = 0.0, axis: int = 0) -> Array:
    """One phase only: label 0, or 1 where ``fraction`` is above one half."""
    return np.full(shape, int(fraction > 0.5), dtype=np.uint8)


def laminate(shape: Shape, fraction: float = 0.5, axis: int = 0) -> Array:
    """Two layers with normal ``axis``; phase 1 takes ``fraction`` of the thickness, rounded to voxels."""
    n = shape[axis]
    layer = (np.arange(n) < round(fraction * n)).astype(np.uint8)
    lined = layer.reshape([n if i == axis else 1 for i in range(3)])
    return np.ascontiguousarray(np.broadcast_to(lined, shape))


def checkerboard(shape: Shape, fraction: float = 0.5, axis: int = 2) -> Array:
    """Two by two squares in the plane normal to ``axis``."""
    half = [np.arange(n) * 2 // n for n in shape]
    half[axis] = np.zeros(shape[axis], dtype=int)
    i, j, k = np.meshgrid(*half, indexing="ij", sparse=True)
    return np.ascontiguousarray(np.broadcast_to((i + j + k) % 2, shape).astype(np.uint8))


def sphere(shape: Shape, fraction: float = 0.2, axis: int = 0) -> Array:
    """One ball of volume ``fraction`` in a unit cube."""
    x, y, z = _centres(shape)
    return np.ascontiguousarray((x**2 + y**2 + z**2 < (3 * fraction / (4 * np.pi)) ** (2 / 3)).astype(np.uint8))


def disc(shape: Shape, fraction: float = 0.2, axis: int = 2) -> Array:
    """One cylinder along ``axis``, cross-section ``fraction`` of the unit square."""
    centres = list(_centres(shape))
    del centres[axis]
    inside = centres[0] ** 2 + centres[1] ** 2 < fraction / np.pi
    return np.ascontiguousarray(np.broadcast_to(inside, shape).astype(np.uint8))


def square(shape: Shape, fraction: float = 0.25, axis: int = 2) -> Array:
    """One square bar along ``axis``, in the middle: its edge is the root of ``fraction``, rounded to whole voxels."""
    across = [i for i in range(3) if i != axis]
    inside = np.ones((1, 1, 1), bool)
    for i in across:
        n = shape[i]
        edge = round(fraction**0.5 * n)
        low = (n - edge) // 2
        lined = (np.arange(n) >= low) & (np.arange(n) < low + edge)
        inside = inside & lined.reshape([-1 if j == i else 1 for j in range(3)])
    return np.ascontiguousarray(np.broadcast_to(inside, shape).astype(np.uint8))


def crack(shape: Shape, fraction: float = 0.1, axis: int = 2) -> Array:
    """A layer normal to ``axis``, one voxel thin: round, ``fraction`` of the cross-section; a slit in a plane cell."""
    centres = list(_centres(shape))
    del centres[axis]
    flat = [c for c in centres if c.size > 1]
    inside = sum((c**2 for c in flat), np.zeros((1, 1, 1))) < (
        fraction / np.pi if len(flat) == 2 else (fraction / 2) ** 2
    )
    layer = np.arange(shape[axis]) == shape[axis] // 2
    lined = layer.reshape([-1 if i == axis else 1 for i in range(3)])
    return np.ascontiguousarray(np.broadcast_to(inside & lined, shape).astype(np.uint8))


GENERATORS: dict[str, Callable[..., Array]] = {
    f.__name__: f for f in (homogeneous, laminate, checkerboard, sphere, disc, square, crack)
}

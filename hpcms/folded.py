"""Which part of a mirrored cell says all, and the whole cell from that part.

Under a mean strain a cell that is even along all axes shows few *sheets*: its windows, as reflections of them show them
(``kernels/cell_mirror``). A state that keeps each sheet once takes a half of the cell, in plane strain a quarter.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array


def part(shape: tuple[int, ...], group: tuple[int, ...]) -> tuple[int, ...]:
    """How much of a cell of ``shape`` shows all sheets of ``group``: the window, and its images along x, or along x and y."""
    whole = (len(group) > 1, len(group) > 2, len(group) > 4)
    return tuple(n if keep else n // 2 for n, keep in zip(shape, whole, strict=True))


def unfolded(values: Array, shape: tuple[int, ...]) -> Array:
    """(nx, ny, nz, ...) a scalar of all voxels of a cell from that of its ``part``."""
    _, ny, nz = shape[:3]
    if values.shape[1] < ny:
        values = np.concatenate([values, values[::-1, ::-1]], axis=1)
        return np.concatenate([values, values[:, :, ::-1]], axis=2) if values.shape[2] < nz else values
    # the reflection of all three axes leaves the shears, so every sheet, as they are
    return np.concatenate([values, values[::-1, ::-1, ::-1]], axis=2) if values.shape[2] < nz else values

"""The inverse of a homogeneous periodic stiffness, for forces and displacements inside a box of nodes.

Vectors hold what lies in the *support* only: of each row of nodes along z one stretch. Plane by plane (along x) a vector is
turned into waves along y and z (``box_waves``), for each pair of waves the rows along x are solved, and the waves are turned
back. Only planes of the box are ever stored, and in a plane only what its support reaches is transformed.

The rows along x are solved by waves (``along_waves``) or by recursions (``box_rows``). All kernels work through a list of
tasks (cell, first, last), so several load cases or cells of one shape are done in one call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.box_waves import Axis, transform, transpose

LANES = 192  # pairs of waves treated at once along x


class Support(NamedTuple):
    """Where a vector lives. ``start``: (bx + 1,) offset of each plane in a vector; component c of a plane of m nodes follows
    at c m. ``rows``: (bx, by, 3) offset of a row in its component, first and one past the last node. ``reach``: (bx, 2)
    nodes from the centre to which a plane extends along y and z, the centre included.
    """

    start: Array
    rows: Array
    reach: Array


class Green(NamedTuple):
    """``x, y, z``: waves of the box; ``inverse``: (6, half, pairs) inverse symbol xx zz yy yz xy xz by wave along x and
    pair of waves along z and y."""

    x: Axis
    y: Axis
    z: Axis
    inverse: Array


class Cells(NamedTuple):
    """Cells of one shape, or load cases of one cell. ``image``: (R,) which image; ``blocks``: (R, 3, 2) first and last block
    of waves by axis. ``mirror``: (R, 3, 4) by axis: which components vanish on the planes of symmetry; the node besides 0 that
    lies on one, -1 in a periodic cell.
    """

    image: Array
    blocks: Array
    mirror: Array


@jit
def lanes(width: int) -> int:
    """A width that the compiler's vectors divide."""
    return (width + 15) // 16 * 16


@jit
def put(row: Array, values: Array, width: int) -> None:
    """row[:width] <- values[:width], as a plain loop: a slice would be checked for overlap."""
    for n in range(width):
        row[n] = values[n]


@jit
def turn(a: Array, rows: int, first: int, width: int, out: Array) -> None:
    """out[first + k, j] <- a[j, k] for j < rows and k < width, in tiles that stay in the cache."""
    for j0 in range(0, rows, 8):
        j1 = min(j0 + 8, rows)
        for k in range(width):
            row = out[first + k]
            for j in range(j0, j1):
                row[j] = a[j, k]


@jit
def turn_back(a: Array, first: int, width: int, columns: int, out: Array) -> None:
    """out[j, k] <- a[first + k, j] for k < width and j < columns, in tiles that stay in the cache."""
    for k0 in range(0, width, 8):
        k1 = min(k0 + 8, width)
        for j in range(columns):
            row = out[j]
            for k in range(k0, k1):
                row[k] = a[first + k, j]


@jit
def ahead(tasks: Array, v: Array, support: Support, green: Green, cells: Cells, W: Array) -> None:
    """W[cell, x, c] (z waves, y waves) <- planes of the vectors v (cells, n)."""
    y, z, side = green.y, green.z, W.shape[4]
    wide = lanes(max(z.nodes, side))
    plane, waves = np.zeros((max(y.nodes, z.nodes), wide), v.dtype), np.zeros((max(side, W.shape[3]), wide), v.dtype)
    fold = np.empty((max(y.ahead.shape[3], z.ahead.shape[3]), wide), v.dtype)
    part = np.empty((2, max(y.ahead.shape[2], z.ahead.shape[2]), wide), v.dtype)
    for task in range(tasks.shape[0]):
        m, blocks = tasks[task, 0], cells.blocks[tasks[task, 0]]
        for x in range(tasks[task, 1], tasks[task, 2]):
            reach_y, reach_z = support.reach[x, 0], support.reach[x, 1]
            size = (support.start[x + 1] - support.start[x]) // 3
            low, high = max(z.centre - reach_z + 1, 0), min(z.centre + reach_z, z.nodes)
            width = high - low
            for c in range(3):
                if size == 0:
                    W[m, x, c] = 0.0
                    continue
                for j in range(max(y.centre - reach_y + 1, 0), min(y.centre + reach_y, y.nodes)):
                    at, first, last = support.rows[x, j, 0], support.rows[x, j, 1], support.rows[x, j, 2]
                    row, begin = plane[j], support.start[x] + c * size + at
                    for k in range(lanes(width)):
                        row[k] = v.dtype.type(0)
                    put(row[max(first - low, 0) :], v[m, begin:], last - first)
                for axis in range(1, 3):
                    along, reach, number = (y, reach_y, lanes(width)) if axis == 1 else (z, reach_z, lanes(side))
                    transform(
                        plane, along, int(c == axis), blocks[axis, 0], blocks[axis, 1], reach, number, waves, fold, part
                    )
                    if axis == 1:
                        turn(waves, side, low, width, plane)
                for k in range(W.shape[3]):
                    put(W[m, x, c, k], waves[k], side)


@jit
def back(W: Array, c: int, reach_y: int, reach_z: int, green: Green, blocks: Array, out: Array, waves: Array, plane: Array,
         fold: Array, part: Array) -> None:  # fmt: skip
    """out (y nodes, z nodes) <- component c of the waves W of one plane, within reach; the rest are work space."""
    y, z, side = green.y, green.z, W.shape[1]
    low = max(z.centre - reach_z + 1, 0)
    width = min(z.centre + reach_z, z.nodes) - low
    for k in range(W.shape[0]):
        put(waves[k], W[k], side)
    for axis in range(2, 0, -1):
        along, reach, number = (y, reach_y, lanes(width)) if axis == 1 else (z, reach_z, lanes(side))
        transpose(waves, along, int(c == axis), blocks[axis, 0], blocks[axis, 1], reach, number, plane, fold, part)
        if axis == 2:
            turn_back(plane, low, width, side, waves)
    for j in range(max(y.centre - reach_y + 1, 0), min(y.centre + reach_y, y.nodes)):
        put(out[j, low:], plane[j], width)


@jit
def along_waves(tasks: Array, W: Array, green: Green, cells: Cells) -> None:
    """W (cells, x, 3, pairs) <- K0^-1 W for the pairs of waves first..last-1 of a task."""
    axis = green.x
    half = axis.half
    a, waves = np.zeros((axis.nodes, LANES), W.dtype), np.zeros((3, 2 * half, LANES), W.dtype)
    fold, part = np.empty((axis.ahead.shape[3], LANES), W.dtype), np.empty((2, axis.ahead.shape[2], LANES), W.dtype)
    for task in range(tasks.shape[0]):
        m, end = tasks[task, 0], tasks[task, 2]
        first, last = cells.blocks[m, 0, 0], cells.blocks[m, 0, 1]
        for p in range(tasks[task, 1], end, LANES):
            width = min(LANES, end - p)
            for c in range(3):
                for i in range(axis.nodes):
                    put(a[i], W[m, i, c, p:], width)
                transform(
                    a, axis, int(c == 0), first, last, axis.nodes - axis.centre, lanes(width), waves[c], fold, part
                )
            for row in range((last - first) * half):
                u, v, w, g = waves[0, row], waves[1, row], waves[2, row], green.inverse[:, row % half, p:]
                for n in range(width):
                    e, f, h = u[n], v[n], w[n]
                    u[n] = g[0, n] * e + g[4, n] * f + g[5, n] * h
                    v[n] = g[4, n] * e + g[2, n] * f + g[3, n] * h
                    w[n] = g[5, n] * e + g[3, n] * f + g[1, n] * h
            for c in range(3):
                transpose(
                    waves[c], axis, int(c == 0), first, last, axis.nodes - axis.centre, lanes(width), a, fold, part
                )
                for i in range(axis.nodes):
                    put(W[m, i, c, p:], a[i], width)


@jit
def displacements(tasks: Array, W: Array, support: Support, green: Green, cells: Cells, v: Array) -> None:
    """Planes of the vectors v (cells, n) <- the waves W: the transpose of ``ahead``."""
    y, z, side = green.y, green.z, max(W.shape[3], W.shape[4])
    wide = lanes(max(z.nodes, side))
    waves, plane = np.zeros((side, wide), v.dtype), np.zeros((max(y.nodes, z.nodes), wide), v.dtype)
    fold = np.empty((max(y.ahead.shape[3], z.ahead.shape[3]), wide), v.dtype)
    part = np.empty((2, max(y.ahead.shape[2], z.ahead.shape[2]), wide), v.dtype)
    out = np.zeros((y.nodes, z.nodes), v.dtype)
    for task in range(tasks.shape[0]):
        m = tasks[task, 0]
        for x in range(tasks[task, 1], tasks[task, 2]):
            size = (support.start[x + 1] - support.start[x]) // 3
            for c in range(3 if size > 0 else 0):
                back(W[m, x, c], c, support.reach[x, 0], support.reach[x, 1], green, cells.blocks[m], out, waves, plane, fold,
                     part)  # fmt: skip
                for j in range(y.nodes):
                    at, first, last = support.rows[x, j, 0], support.rows[x, j, 1], support.rows[x, j, 2]
                    begin = support.start[x] + c * size + at
                    put(v[m, begin:], out[j, first:], last - first)

"""Which voxels carry load, and their hexahedra as a list of blocks.

Voxels hang together where they share a face. A cluster that nowhere meets its own periodic image floats: it takes part in no
mean strain and its stress is zero, so it is left out. (Contacts of an edge or a corner alone are an artefact of the voxels:
what they carry vanishes when the image is refined.)
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES


@jit
def _grow(solid: Array, seed: int, label: int, labels: Array, cell: Array, queue: Array) -> bool:
    """Labels the cluster of ``seed``; True if it meets its own periodic image. ``cell``: image in which a voxel was met."""
    nx, ny, nz = solid.shape
    head, tail, wraps = 0, 1, False
    queue[0] = seed
    labels.flat[seed] = label
    while head < tail:
        n = queue[head]
        head += 1
        for step in range(6):
            move = 1 if step % 2 == 0 else -1
            a = n // (ny * nz) + (move if step // 2 == 0 else 0)
            b = n // nz % ny + (move if step // 2 == 1 else 0)
            c = n % nz + (move if step // 2 == 2 else 0)
            x, y, z = a % nx, b % ny, c % nz
            m = (x * ny + y) * nz + z
            if not solid[x, y, z]:
                continue
            ix, iy, iz = cell[n, 0] + (a - x) // nx, cell[n, 1] + (b - y) // ny, cell[n, 2] + (c - z) // nz
            if labels[x, y, z] == 0:
                labels[x, y, z] = label
                cell[m, 0], cell[m, 1], cell[m, 2] = ix, iy, iz
                queue[tail] = m
                tail += 1
            elif cell[m, 0] != ix or cell[m, 1] != iy or cell[m, 2] != iz:
                wraps = True
    return wraps


@jit
def load_bearing(solid: Array) -> Array:
    """(nx, ny, nz) bool: the solid voxels of a periodic cell whose cluster meets its own image."""
    labels = np.zeros(solid.shape, np.int64)
    cell, queue = np.zeros((solid.size, 3), np.int64), np.empty(solid.size, np.int64)
    bears = np.zeros(solid.size + 1, np.bool_)
    label = 0
    for n in range(solid.size):
        if solid.flat[n] and labels.flat[n] == 0:
            label += 1
            bears[label] = _grow(solid, n, label, labels, cell, queue)
    out = np.zeros(solid.shape, np.bool_)
    for n in range(solid.size):
        out.flat[n] = bears[labels.flat[n]]
    return out


def blocks_of(phases: Array, keep: Array) -> tuple[Array, Array]:
    """The voxels to keep, phase by phase, in blocks: (blocks, LANES) flat index, -1 for fillers; (blocks,) phase."""
    voxels, kinds = [np.empty((0, LANES), np.int64)], [np.empty(0, np.int64)]
    flat, kept = phases.reshape(-1), keep.reshape(-1)
    for p in np.unique(flat[kept]):
        index = np.flatnonzero(kept & (flat == p))
        blocks = -(-index.size // LANES)
        voxels.append(np.concatenate([index, np.full(blocks * LANES - index.size, -1)]).reshape(blocks, LANES))
        kinds.append(np.full(blocks, p))
    return np.concatenate(voxels), np.concatenate(kinds)


def corners(voxels: Array, box: tuple[int, ...], nodes: tuple[int, ...], spare: int) -> Array:
    """(blocks, 8, LANES) unsigned node numbers; ``box``: voxels, ``nodes``: nodes along the axes (equal: periodic)."""
    offset = np.array([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]).T[:, None, :, None]
    where = np.array(np.unravel_index(voxels.clip(0), box))[:, :, None, :] + offset
    node = np.ravel_multi_index(tuple(where % np.array(nodes)[:, None, None, None]), nodes)
    return np.ascontiguousarray(np.where(voxels[:, None, :] < 0, spare, node), np.uint64)


@jit
def read_history(history: Array, voxels: Array, sheet: Array, box: Array, mirror: Array, vp: Array) -> None:
    """vp (blocks, 8 * 5 * LANES) <- history (nx, ny, nz, 8, 6) Mandel, each block in the frame of its sheet.

    voxels: flat index in a ``box`` at the origin; mirror: (sheets, 3) 1 where the frame reflects an axis of the cell.
    """
    nx, ny, nz = history.shape[:3]
    by, bz, root = box[1], box[2], np.sqrt(0.5)
    for b in range(voxels.shape[0]):
        x, y, z = mirror[sheet[b], 0], mirror[sheet[b], 1], mirror[sheet[b], 2]
        for lane in range(LANES):
            n = voxels[b, lane]
            if n < 0:
                continue
            i, j, k = n // (by * bz), n // bz % by, n % bz
            h = history[nx - 1 - i if x else i, ny - 1 - j if y else j, nz - 1 - k if z else k]
            for q in range(8):
                g, p = h[q ^ (4 * x + 2 * y + z)], q * 5 * LANES + lane
                vp[b, p], vp[b, p + LANES] = g[0], g[1]
                vp[b, p + 2 * LANES] = root * g[3] * (1 - 2 * (y ^ z))
                vp[b, p + 3 * LANES] = root * g[4] * (1 - 2 * (x ^ z))
                vp[b, p + 4 * LANES] = root * g[5] * (1 - 2 * (x ^ y))


@jit
def write_history(vp: Array, voxels: Array, sheet: Array, box: Array, images: Array, history: Array) -> None:
    """Inverse of ``read_history`` into all images of a voxel; images: (n, 4) reflected axes and the sheet they show."""
    nx, ny, nz = history.shape[:3]
    by, bz, root = box[1], box[2], np.sqrt(2.0)
    for b in range(voxels.shape[0]):
        for m in range(images.shape[0]):
            if images[m, 3] != sheet[b]:
                continue
            x, y, z = images[m, 0], images[m, 1], images[m, 2]
            for lane in range(LANES):
                n = voxels[b, lane]
                if n < 0:
                    continue
                i, j, k = n // (by * bz), n // bz % by, n % bz
                h = history[nx - 1 - i if x else i, ny - 1 - j if y else j, nz - 1 - k if z else k]
                for q in range(8):
                    g, p = h[q ^ (4 * x + 2 * y + z)], q * 5 * LANES + lane
                    g[0], g[1] = vp[b, p], vp[b, p + LANES]
                    g[2] = -(vp[b, p] + vp[b, p + LANES])
                    g[3] = root * vp[b, p + 2 * LANES] * (1 - 2 * (y ^ z))
                    g[4] = root * vp[b, p + 3 * LANES] * (1 - 2 * (x ^ z))
                    g[5] = root * vp[b, p + 4 * LANES] * (1 - 2 * (x ^ y))

"""Which voxels carry load, and their hexahedra as a list of blocks.

A cluster of solid voxels that shares nodes with no periodic image of itself floats: it takes part in no mean strain and its
stress is zero, so it is left out. Nodes without solid voxels do not exist in the list.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import JIT
from hpcms.kernels.hex8_points import LANES


@numba.njit(**JIT)
def _grow(solid: Array, seed: int, label: int, labels: Array, cell: Array, queue: Array) -> bool:
    """Labels the cluster of ``seed`` (voxels that share a node); True if it meets its own periodic image."""
    nx, ny, nz = solid.shape
    head, tail, wraps = 0, 1, False
    queue[0] = seed
    labels.flat[seed] = label
    while head < tail:
        n = queue[head]
        head += 1
        i, j, k = n // (ny * nz), n // nz % ny, n % nz
        for step in range(27):
            a, b, c = i + step // 9 - 1, j + step // 3 % 3 - 1, k + step % 3 - 1
            x, y, z = a % nx, b % ny, c % nz
            m = (x * ny + y) * nz + z
            if not solid[x, y, z]:
                continue
            # the periodic image of the cell in which the walk arrives
            ix, iy, iz = cell[n, 0] + (a - x) // nx, cell[n, 1] + (b - y) // ny, cell[n, 2] + (c - z) // nz
            if labels[x, y, z] == 0:
                labels[x, y, z] = label
                cell[m, 0], cell[m, 1], cell[m, 2] = ix, iy, iz
                queue[tail] = m
                tail += 1
            elif cell[m, 0] != ix or cell[m, 1] != iy or cell[m, 2] != iz:
                wraps = True
    return wraps


@numba.njit(**JIT)
def load_bearing(solid: Array) -> Array:
    """(nx, ny, nz) bool: the solid voxels whose cluster meets its own periodic image."""
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


class Elements(NamedTuple):
    """``voxels``: (blocks, lanes) flat voxel index, -1 for a filler; ``conn``: (blocks, 8, lanes) node numbers;
    ``nodes``: (n,) flat grid index of the nodes, one spare node of number n takes what fillers do;
    ``phase``: (blocks,) index of the phase, the same for a whole block."""

    voxels: Array
    conn: Array
    nodes: Array
    phase: Array


def list_elements(phases: Array, solid: Array) -> Elements:
    """The blocks of all voxels where ``solid``, phase by phase. ``phases``: (nx, ny, nz) index of the phase."""
    groups, kinds = [], []
    flat, keep = phases.reshape(-1), solid.reshape(-1)
    for p in np.unique(flat[keep]):
        index = np.flatnonzero(keep & (flat == p))
        blocks = -(-index.size // LANES)
        groups.append(np.concatenate([index, np.full(blocks * LANES - index.size, -1)]).reshape(blocks, LANES))
        kinds.append(np.full(blocks, p))
    voxels = np.concatenate(groups) if groups else np.empty((0, LANES), np.int64)
    phase = np.concatenate(kinds) if kinds else np.empty(0, np.int64)
    shape = np.array(solid.shape)[:, None, None, None]
    corner = np.array([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]).T[:, None, :, None]
    where = np.array(np.unravel_index(voxels.clip(0), solid.shape))[:, :, None, :]
    node = np.ravel_multi_index(tuple((where + corner) % shape), solid.shape)
    node = np.where(voxels[:, None, :] < 0, solid.size, node)
    used = np.zeros(solid.size + 1, bool)
    used[node.reshape(-1)] = True
    nodes = np.flatnonzero(used[:-1])
    number = np.full(solid.size + 1, nodes.size)
    number[nodes] = np.arange(nodes.size)
    return Elements(voxels, np.ascontiguousarray(number[node], np.int32), nodes, phase)

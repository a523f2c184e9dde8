"""Many small elastic cells of one shape at once: the kernels of ``box_elastic`` go through all cells and loads in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.box_green import Cells
from hpcms.kernels.box_solver import Box, refined
from hpcms.kernels.cell_elastic import ROUNDING
from hpcms.kernels.cell_elastic_frame import framed

VOXELS = 1 << 18  # voxels times loads that are solved together


class BatchStiffness(NamedTuple):
    """``stiffness``: (R, 6, 6) Pa, Mandel; ``iterations`` and relative ``residual``: (R, 6) by cell and load."""

    stiffness: Array
    iterations: Array
    residual: Array


def stiffness_of_cells(phases: Array, moduli: Array, spacing: Sequence[float] = (1.0, 1.0, 1.0), tolerance: float = 1e-6,
                       maximum: int = 2000, double: bool = False, threads: int = 1) -> BatchStiffness:  # fmt: skip
    """Effective stiffness of the periodic cells ``phases`` (R, nx, ny, nz) of isotropic phases ``moduli`` (P, 2), Lame, Pa.

    The reference is the phase that is most frequent in all cells; the caller checks the residuals.
    """
    R, shape = phases.shape[0], phases.shape[1:]
    out = BatchStiffness(np.zeros((R, 6, 6)), np.zeros((R, 6), np.int64), np.zeros((R, 6)))
    f = framed(phases.reshape(R * shape[0], *shape[1:]), np.asarray(moduli, float), spacing, False)
    h = np.asarray(spacing, float) / min(spacing)
    kinds = [np.dtype(k) for k in ((np.float64,) if double else (np.float32, np.float64))]
    volume = float(np.prod(h)) * float(np.prod(shape))
    extent = np.tile(np.array([0, shape[2]], np.int64), (shape[0], shape[1], 1))
    cut = max(1, VOXELS // (6 * int(np.prod(shape))))
    full = (int(shape[0]), int(shape[1]), int(shape[2]))
    made = {kind: Box(full, full, False, h, f.reference, np.zeros((1, 1, 1, 1), np.int32), extent, f.table, kind, threads)
            for kind in {*kinds, np.dtype(float)}}  # fmt: skip
    uniform = np.array([f.uniform(e) for e in np.eye(6)])
    for start in range(0, R, cut):
        some = np.ascontiguousarray(phases[start : start + cut], np.int32)
        for box in made.values():
            box.contrast = box.contrast._replace(label=some)
        E, count = np.tile(np.eye(6), (len(some), 1)), 6 * len(some)
        cells = Cells(np.repeat(np.arange(len(some)), 6), np.tile(np.array([0, 2]), (count, 3, 1)),
                      np.full((count, 3, 4), -1))  # fmt: skip
        size = (np.abs(f.table).max() + max(f.reference)) * volume / float(h.max()) / np.sqrt(3.0 * np.prod(shape))

        found = refined(made.__getitem__, kinds, cells, E, np.full(count, ROUNDING * size), tolerance, maximum)
        columns = f.unit * (np.tile(uniform, (len(some), 1)) + found.total / volume)
        out.stiffness[start : start + cut] = columns.reshape(-1, 6, 6).swapaxes(1, 2)
        out.iterations[start : start + cut] = found.iterations.reshape(-1, 6)
        out.residual[start : start + cut] = found.residual.reshape(-1, 6)
    return out

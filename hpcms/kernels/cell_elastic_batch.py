"""The effective stiffness of many elastic cells of one shape: small ones side by side, larger ones one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import cell_elastic_lanes
from hpcms.kernels.cell_elastic import ElasticCell
from hpcms.kernels.hex8_lanes import SIDE

SMALL = 48**3  # voxels up to which loads are solved side by side
CELLS = 4 * SIDE  # cells that a thread takes at a time


class BatchStiffness(NamedTuple):
    """``stiffness``: (R, 6, 6) Pa, Mandel; ``iterations`` and relative ``residual``: (R, 6) by cell and load."""

    stiffness: Array
    iterations: Array
    residual: Array


def stiffness_of_cells(phases: Array, moduli: Array, spacing: Sequence[float] = (1.0, 1.0, 1.0), tolerance: float = 1e-6,
                       maximum: int = 2000, double: bool = False, threads: int = 1) -> BatchStiffness:  # fmt: skip
    """Effective stiffness of the periodic cells ``phases`` (R, nx, ny, nz) of isotropic phases ``moduli`` (P, 2), Lame, Pa.

    A cell that does not converge side by side is solved once more alone; the caller checks the residuals. The bits of a cell
    depend neither on the others nor on the number of threads.
    """
    moduli = np.asarray(moduli, float)
    h = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    out = BatchStiffness(
        np.zeros((len(phases), 6, 6)), np.zeros((len(phases), 6), np.int64), np.zeros((len(phases), 6))
    )

    def together(start: int) -> None:
        cells = phases[start : start + CELLS]
        images, loads = np.repeat(np.arange(len(cells)), 6), np.tile(np.eye(6), (len(cells), 1))
        found = cell_elastic_lanes.solve(cells, images, moduli, loads, h, tolerance, maximum, not double)
        out.stiffness[start : start + CELLS] = found.stress.reshape(-1, 6, 6).swapaxes(1, 2)
        out.iterations[start : start + CELLS] = found.iterations.reshape(-1, 6)
        out.residual[start : start + CELLS] = found.residual.reshape(-1, 6)

    def alone(cell: int) -> None:
        found, states = ElasticCell(phases[cell], moduli, h, double=double).stiffness(range(6), tolerance, maximum)
        out.stiffness[cell] = found
        out.iterations[cell] = [state.iterations for state in states]
        out.residual[cell] = [state.residual for state in states]

    with ThreadPoolExecutor(threads) as pool:
        if phases[0].size <= SMALL:
            list(pool.map(together, range(0, len(phases), CELLS)))
        else:
            out.residual[:] = np.inf
        list(pool.map(alone, np.flatnonzero((out.residual > tolerance).any(axis=1))))
    return out

"""Effective conductivity of voxel cells from the solutions for unit gradients, with the energy of the micro fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hpcms.contracts import Array, Outcome
from hpcms.kernels import cell_scalar_lanes, hex8_scalar, lanes
from hpcms.kernels.cell_scalar_frame import Spacing, is_mirrored
from hpcms.kernels.cell_scalar_periodic import Fluctuation, PeriodicCell
from hpcms.kernels.cell_scalar_walls import WalledCell
from hpcms.kernels.outcomes import outcome

SMALL = 1 << 15  # voxels up to which cells are solved side by side
SYMMETRIC = 1 << 11  # voxels from which on the octant of a mirrored cell alone is cheaper
WIDTH = 1 << 18  # numbers of a field of cells side by side, at most; and at most sixteen cells
T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class Effective:
    """``conductivity``: (3, 3) mean flux by unit gradient; ``energy``: (3, 3) mean of grad T_i . k grad T_j.

    What belongs to gradients that were not asked for is NaN. ``outcomes``: by axis asked for.
    """

    conductivity: Array
    energy: Array
    outcomes: tuple[Outcome, ...]


def effective(
    phase: Array,
    k: Array,
    spacing: Spacing,
    tolerance: float,
    limit: int = 2000,
    axes: Sequence[int] = (0, 1, 2),
    boundary: str = "periodic",
    single: bool = True,
    threads: int = 1,
) -> Effective:
    """Solve the unit gradients along ``axes``. ``phase``: (nx, ny, nz) uint8; ``k``: (P,) conductivities, W/(m K),
    or (P, 3, 3) tensors where the boundary is not periodic (else: ``cell_conductor.anisotropic``).

    Stops when the true residual is below ``tolerance`` times the load, or after ``limit`` iterations with an
    outcome that says so. ``boundary``: "periodic", "displacement" or "traction" (see ``cell_scalar_walls``).
    ``single``: iterate a large periodic cell in single precision as far as that goes; the residual is that of double.
    ``threads``: gradients solved at once; the bits are the same for any number.
    """

    def cell() -> PeriodicCell | WalledCell:
        periodic = boundary == "periodic"
        return PeriodicCell(phase, k, spacing, single) if periodic else WalledCell(phase, k, spacing, boundary)

    first = cell()

    def solve(axis: int) -> Fluctuation:
        return (first if threads == 1 else cell()).solve(axis, tolerance, limit)

    found = at_once(solve, axes, threads)
    solved = list(zip(axes, found, strict=True))
    loads = [first.load(axis) for axis in range(3)]
    F = np.array([[first.inner(loads[i], i, u.u, j) for j, u in solved] for i in range(3)])
    R = np.array([[first.inner(v.u, i, u.r, j) for j, u in solved] for i, v in solved])
    mean, volume = _means(phase[None], k), float(phase.size * np.prod(spacing))
    K, B = tensors_of(mean, F[None] / volume, R[None] / volume, axes)
    return Effective(K[0], B[0], tuple(one.outcome for one in found))


def effective_many(
    phases: Array, k: Array, spacing: Spacing, tolerance: float, limit: int = 2000, threads: int = 1
) -> list[Effective]:
    """``effective`` of many periodic cells, ``phases``: (R, nx, ny, nz). Small ones are solved side by side.

    The bits of a cell depend neither on its company nor on the number of threads.
    """
    voxels = int(np.prod(phases.shape[1:]))
    alone = np.array([voxels > SMALL or (voxels >= SYMMETRIC and is_mirrored(phase)) for phase in phases], bool)
    many = np.flatnonzero(~alone)
    width = max(1, min(hex8_scalar.SIDE, WIDTH // voxels))
    groups = [many[start : start + width] for start in range(0, many.size, width)]
    found: dict[int, Effective] = {}
    for group, ones in zip(
        groups, at_once(lambda g: _group(phases[g], k, spacing, tolerance, limit), groups, threads), strict=True
    ):
        found.update(zip(group.tolist(), ones, strict=True))
    failed = [place for place, one in found.items() if not all(outcome.ok for outcome in one.outcomes)]
    rest = [*np.flatnonzero(alone).tolist(), *failed]
    again = at_once(lambda r: effective(phases[r], k, spacing, tolerance, limit), rest, threads)
    found.update(zip(rest, again, strict=True))
    return [found[place] for place in range(len(phases))]


def at_once(function: Callable[[T], S], items: Iterable[T], threads: int) -> list[S]:
    """The results of all items in their order, computed by so many threads."""
    if threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def load_kernels() -> None:
    """Solve small cells in every way that ``effective`` may choose, so that compiling or loading is not counted as solving."""
    general = (np.arange(60).reshape(3, 4, 5) % 7 == 0).astype(np.uint8)
    for phase in (general, np.pad(general, [(0, n) for n in general.shape], mode="symmetric")):
        PeriodicCell(phase, np.array([1.0, 2.0]), (1.0, 1.0, 1.0), large=0).solve(0, 1e-3, 10)


def fluctuation(
    phase: Array, k: Array, spacing: Spacing, gradient: Array, tolerance: float, limit: int = 2000
) -> Array:
    """(nx, ny, nz) periodic part (K) of the temperature at the lower corners of the voxels under ``gradient`` (K/m)."""
    cell = PeriodicCell(phase, k, spacing, octant=False)
    total = np.zeros(phase.shape)
    for axis in np.flatnonzero(gradient):
        total += gradient[axis] * cell.everywhere(cell.solve(int(axis), tolerance, limit), int(axis))
    return total


def _group(phases: Array, k: Array, spacing: Spacing, tolerance: float, limit: int) -> list[Effective]:
    """A few cells side by side."""
    found = cell_scalar_lanes.solve(phases, k, spacing, tolerance, limit)
    volume = float(phases[0].size * np.prod(spacing))
    F, R = _products(found.loads, found.u) / volume, _products(found.u, found.r) / volume
    K, B = tensors_of(_means(phases, k), F, R, (0, 1, 2))
    ends = [
        tuple(outcome(ratio, tolerance, n, limit) for ratio, n in zip(ratios, counts, strict=True))
        for ratios, counts in zip(found.ratio.T.tolist(), found.iterations.T.tolist(), strict=True)
    ]
    return [Effective(*one) for one in zip(K, B, ends, strict=True)]


def _products(a: Array, b: Array) -> Array:
    """(L, 3, 3) ``a_i . b_j`` of the fields (3, nodes, L) of L cells."""
    L = a.shape[2]
    out = np.empty((3, 3, L))
    for i, j in np.ndindex(3, 3):
        lanes.dots(a[i].reshape(-1), b[j].reshape(-1), L, out[i, j])
    return np.moveaxis(out, 2, 0)


def _means(phases: Array, k: Array) -> Array:
    """(R, 3, 3) mean conductivity of each cell. ``k``: (P,) or (P, 3, 3)."""
    tensors = k if k.ndim == 3 else k[:, None, None] * np.eye(3)
    counts = np.array([np.bincount(phase.ravel(), minlength=len(k)) for phase in phases])
    return np.einsum("rp,pij->rij", counts, tensors) / phases[0].size


def tensors_of(means: Array, F: Array, R: Array, axes: Sequence[int]) -> tuple[Array, Array]:
    """Conductivities and energies (N, 3, 3) of N cells from the ``means`` (N, 3, 3) of the coefficients.

    ``F``: (N, 3, A) work by volume of the load of each axis on the solution of each axis asked for; ``R``: (N, A, A) the same
    of the solutions on the residuals.
    """
    N, asked = len(means), list(axes)
    P = F[:, asked].swapaxes(1, 2)  # u_i . f_j
    Q = (
        -(P + R + (P + R).swapaxes(1, 2)) / 2
    )  # work of solution i on the stiffness times solution j: A u_j = -f_j - r_j
    C = _balance(P, Q)
    CT = C.swapaxes(1, 2)
    K, B = np.full((2, N, 3, 3), np.nan)
    K[:, :, asked] = means[:, :, asked] + F @ C
    places = np.ix_(range(N), asked, asked)
    B[places] = means[places] + CT @ P + P.swapaxes(1, 2) @ C + CT @ Q @ C
    return K, B


def _balance(P: Array, Q: Array) -> Array:
    """The combinations ``C`` of the solutions that make each residual orthogonal to all of them: ``Q C = -P``.

    Conjugate gradients do so for each load alone; across loads it holds only to the tolerance of the iteration.
    Solutions that vanish (layers seen along) drop out.
    """
    norm = np.sqrt(np.clip(np.diagonal(Q, axis1=1, axis2=2), 0, None))
    inverse = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)[:, :, None]
    unit = inverse * Q * inverse.swapaxes(1, 2)
    C: Array = -inverse * (np.linalg.pinv(unit, rcond=1e-13, hermitian=True) @ (inverse * P))
    return C

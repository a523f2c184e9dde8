"""Stiffness that a cell loses to a crack, against non-interacting cracks of all directions.

A crack of half length (radius) a is one layer of voxels without stiffness ("layer"), or a surface between voxels whose
nodes are doubled ("split"). Its density is rho = a^2 / area of the cell for slits,
a^3 / volume for pennies; E0 / E = 1 + s rho. Cracks that do not feel each other add their compliances, so the compliance of
one crack, averaged over all directions, gives that of many: s = pi for slits and 16 (1 - nu^2) (10 - 3 nu) / (45 (2 - nu)) for
pennies (M. Kachanov, Appl. Mech. Rev. 45, 304-335, 1992; B. Budiansky, R. J. O'Connell, Int. J. Solids Struct. 12, 81-97, 1976).

A layer has a thickness and blunt ends, so it is too soft; a split cell is too stiff, as displacements of elements are. Both
errors fall with the edge of a voxel, measured in a: the two come to a sharp crack from either side. Three refinements are
extrapolated (A. C. Aitken's delta-squared process, whose rate is measured and not assumed). Cells repeat, so
cracks feel their images: what that does to s falls with rho, and two densities are extrapolated to none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import NumericalFailure
from hpcms.kernels.cell_elastic import ElasticCell
from hpcms.kernels.split_cell import SplitCell
from hpcms.problem.generators import crack
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

TURNED = np.array([1, 0, 2, 4, 3, 5])  # Mandel components with x and y exchanged
SLIT, PENNY = (0, 2, 4), (0, 2, 3, 5)  # loads that a slit along y and a penny need, both normal to z


def _moduli(context: Context, fine: str) -> tuple[float, float]:
    """Young's modulus and Poisson's ratio of the matrix, the first phase."""
    names = context.job.microstructure.phases if context.job.microstructure else ()
    phase = context.job.fine[fine].params.phases[names[0]]
    return phase.youngs_modulus, phase.poisson_ratio


def _columns(E: float, nu: float, image: Array, loads: Sequence[int], tolerance: float, kind: str = "layer") -> Array:
    """(6, 6) stiffness by load cases; columns that were not asked for are zero."""
    lam, mu = E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))
    C = np.zeros((6, 6))
    split = SplitCell(np.asarray(image.any(axis=2)), image.shape[2], lam, mu) if kind == "split" else None
    layer = ElasticCell(image.astype(np.uint8), np.array([[lam, mu], [0.0, 0.0]])) if kind == "layer" else None
    for i in loads:
        residual = np.inf
        if split is not None:
            C[:, i], residual = split.solve(np.eye(6)[i], tolerance)
        elif layer is not None:
            found = layer.solve(np.eye(6)[i], tolerance)
            C[:, i], residual = found.stress, found.residual
        if not residual <= tolerance:
            raise NumericalFailure(f"load {i} of a cracked cell was not solved: residual {residual:.1e}")
    return C


def _slit(E: float, nu: float, edge: int, fraction: float, kind: str) -> tuple[float, float]:
    """E0 / E - 1 in plane strain over all directions, and rho. ``fraction``: length over the edge of the cell."""
    image = crack((edge, 1, edge), fraction, 2)
    C = _columns(E, nu, image, SLIT, 1e-6, kind)[np.ix_(SLIT, SLIT)]
    S = np.linalg.inv(0.5 * (C + C.T))
    # mean of n n S n n over the circle; the shear is a Mandel component
    mean = 0.375 * (S[0, 0] + S[1, 1]) + 0.25 * (S[0, 1] + S[2, 2])
    return float(mean * E / (1 - nu**2)) - 1.0, (0.5 * float(image.sum()) / edge) ** 2


def _penny(E: float, nu: float, edge: int, fraction: float, kind: str) -> tuple[float, float]:
    """E0 / E - 1 over all directions, and rho. ``fraction``: diameter over the edge of the cell."""
    image = crack((edge,) * 3, 0.25 * np.pi * fraction**2, 2)
    C = _columns(E, nu, image, PENNY, 1e-5, kind)
    C[:, 1], C[:, 4] = C[TURNED, 0], C[TURNED, 3]
    S = np.linalg.inv(0.5 * (C + C.T))
    # mean of n n S n n over the sphere
    mean = (3 * np.trace(S[:3, :3]) + 2 * (S[0, 1] + S[0, 2] + S[1, 2]) + 2 * np.trace(S[3:, 3:])) / 15
    return float(mean * E) - 1.0, (float(image.sum()) / np.pi) ** 1.5 / edge**3


SHAPES = {"slit": _slit, "penny": _penny}


def voxel_slopes(
    context: Context, shape: str, fraction: float, edges: Sequence[int], fine: str = "elastic", kind: str = "layer"
) -> list[float]:
    """s = (E0 / E - 1) / rho of one cell at each number of voxels."""
    E, nu = _moduli(context, fine)

    def make() -> list[float]:
        return [lost / rho for lost, rho in (SHAPES[shape](E, nu, edge, fraction, kind) for edge in edges)]

    made: list[float] = context.once(f"crack {shape} {fraction} {list(edges)} {fine} {kind}", make)
    return made


def sharp_slope(context: Context, shape: str, fraction: float, edges: Sequence[int], **other: str) -> float:
    """s of a sharp crack among its images, from three refinements."""
    a, b, c = voxel_slopes(context, shape, fraction, edges, **other)
    return c - (c - b) ** 2 / (c - 2 * b + a)


@further_runs
def crack_slope(
    context: Context, shape: str, fractions: Sequence[float], edges: Sequence[Sequence[int]], **other: str
) -> float:
    """s of a sharp crack without neighbours, from two sizes of the crack in its cell."""
    s = [sharp_slope(context, shape, f, row, **other) for f, row in zip(fractions, edges, strict=True)]
    x, y = (f ** (2 if shape == "slit" else 3) for f in fractions)
    return s[0] - (s[1] - s[0]) / (y - x) * x


@further_runs
def crack_modulus(
    context: Context, shape: str, rho: float, fractions: Sequence[float], edges: Sequence[Sequence[int]], **other: str
) -> float:
    """E / E0 at the density ``rho`` of cracks that do not feel each other, from the computed slope."""
    return 1.0 / (1.0 + rho * crack_slope(context, shape, fractions, edges, **other))


@further_runs
def crack_gaps(
    context: Context, shape: str, fractions: Sequence[float], edges: Sequence[Sequence[int]], **other: str
) -> list[float]:
    """s of a sharp crack over s without neighbours, minus one, for each size: what the images do."""
    alone = crack_slope(context, shape, fractions, edges, **other)
    return [sharp_slope(context, shape, f, row, **other) / alone - 1.0 for f, row in zip(fractions, edges, strict=True)]


@further_runs
def crack_refinement(context: Context, shape: str, fraction: float, edges: Sequence[int], **other: str) -> list[float]:
    """Changes of s under refinement, each over the one before: 1/2 where the error falls with the edge of a voxel."""
    s = voxel_slopes(context, shape, fraction, edges, **other)
    return [c / b for b, c in pairwise(np.diff(s).tolist())]


@further_runs
def crack_from_both_sides(
    context: Context, shape: str, fraction: float, edges: Sequence[int], fine: str = "elastic"
) -> list[float]:
    """s of the finest layer over the sharp s, and the sharp s over that of the finest split cell.

    Both are above one where layers are too soft and split cells too stiff.
    """
    kinds = ("layer", "split")
    sharp = [sharp_slope(context, shape, fraction, edges, fine=fine, kind=kind) for kind in kinds]
    last = [voxel_slopes(context, shape, fraction, edges, fine, kind)[-1] for kind in kinds]
    return [last[0] / sharp[0], sharp[1] / last[1]]


@further_runs
def crack_agreement(
    context: Context, shape: str, fraction: float, edges: Sequence[int], fine: str = "elastic"
) -> float:
    """s of a sharp crack by layers over that by split cells."""
    layer, split = (sharp_slope(context, shape, fraction, edges, fine=fine, kind=k) for k in ("layer", "split"))
    return layer / split


def run_modulus_gap(context: Context, fine: str = "elastic") -> float:
    """The largest gap between the run's strain along y over its stress and the compliance of the same cell, relative."""
    E, nu = _moduli(context, fine)
    image = context.run.read(f"fine_{fine}/phase")[0]
    C = _columns(E, nu, image, range(6), 1e-8)
    stress, strain = (context.run.read(f"sites/{fine}/{name}")[0] for name in ("stress", "strain"))
    return float(np.abs(np.linalg.solve(C, stress) - strain).max() / np.abs(strain).max())


QUANTITIES = {
    "crack_slope": crack_slope,
    "crack_modulus": crack_modulus,
    "crack_gaps": crack_gaps,
    "crack_refinement": crack_refinement,
    "crack_from_both_sides": crack_from_both_sides,
    "crack_agreement": crack_agreement,
    "run_modulus_gap": run_modulus_gap,
}

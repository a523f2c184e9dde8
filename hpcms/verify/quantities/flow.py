"""Slow flow: viscosity of suspensions and layers, permeability of channels and of arrays of balls, by the job's own models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpcms.contracts import Array, Regions
from hpcms.errors import NumericalFailure
from hpcms.verify.context import Context

ROOT = np.sqrt(0.5)
STRETCH = np.array([ROOT, -ROOT, 0, 0, 0, 0])


def _tangent(context: Context, fine: str, drive: str, labels: Array, spacing: tuple[float, float, float]) -> Array:
    """The tangent of a fine model of the job on one cell, labels 0 and 1 being the phases of the job."""
    model = context.job.fine[fine].params
    names = context.job.microstructure.phases if context.job.microstructure else ()
    cells = Regions(np.zeros(1, np.int64), labels[None].astype(np.uint8), names, spacing)
    still = {drive: np.zeros((1, 6 if drive == "strain_rate" else 3))}
    answers, _, outcomes = model.solve(still, model.begin(cells), np.zeros(1, np.uint64))
    if not outcomes[0].ok:
        raise NumericalFailure(f"the cell was not solved: {outcomes[0].reason}")
    tangent: Array = answers["tangent"][0]
    return tangent


def ball(edge: int, radius: float, dimension: int = 3) -> Array:
    """A ball, or a disc one voxel thick, in the middle of a cell; lengths in voxels."""
    x = np.arange(edge) + 0.5 - edge / 2
    z = x if dimension == 3 else np.zeros(1)
    inside: Array = x[:, None, None] ** 2 + x[:, None] ** 2 + z**2 < radius**2
    return inside


def dilute_slope(
    context: Context, edges: Sequence[int], radius: float, dimension: int, fine: str = "suspension"
) -> float:
    """(eta / eta0 - 1) / phi of one particle in cells of two sizes, averaged over directions, extrapolated to no particles."""
    slopes, fractions = [], []
    liquid = min(p.viscosity for p in context.job.fine[fine].params.phases.values() if p.viscosity is not None)
    for edge in edges:
        labels = ball(edge, radius, dimension)
        N = _tangent(context, fine, "strain_rate", labels, (1.0, 1.0, 1.0))
        mean = np.trace(N) / 10 if dimension == 3 else (N[5, 5] + STRETCH @ N @ STRETCH) / 4
        slopes.append((mean / liquid - 1) / labels.mean())
        fractions.append(labels.mean())
    (a, b), (x, y) = slopes, fractions
    return float(b - (a - b) / (x - y) * y)


def layered_viscosity(context: Context, along: bool, fine: str = "layers_of_liquid") -> float:
    """Viscosity of layers, half of each liquid, sheared along their plane (the layers share the rate) or across it, Pa s."""
    labels = np.broadcast_to((np.arange(8) % 4 < 2)[:, None, None], (8, 4, 4))
    N = _tangent(context, fine, "strain_rate", labels, (0.1, 0.2, 0.3))
    return float(N[3, 3] / 2 if along else N[5, 5] / 2)


def channel_order(context: Context, edges: Sequence[int], fine: str = "pores") -> float:
    """Order of convergence of the permeability of plane channels to ``h^2 / 12`` times the porosity."""
    errors, gap = [], 0.75
    for n in edges:
        labels = np.broadcast_to((np.arange(n) < n // 4)[None, :, None], (2, n, 2))
        mobility = -_tangent(context, fine, "gradient", labels, (1 / n, 1 / n, 1 / n))[0, 0]
        viscosity = context.job.fine[fine].params.viscosity
        errors.append(abs(mobility * viscosity / (gap * gap**2 / 12) - 1))
    return float(-np.polyfit(np.log(edges), np.log(errors), 1)[0])


def drag_of_balls(context: Context, edges: Sequence[int], share: float, fine: str = "pores") -> float:
    """Drag on a ball of a simple cubic array by that of Stokes, times the closed form's inverse; refined, linear in the edge."""
    ratios = []
    for n in edges:
        labels = ball(n, share * n)
        c = labels.mean()
        mobility = -_tangent(context, fine, "gradient", labels, (1 / n, 1 / n, 1 / n))[0, 0]
        drag = 1 / (6 * np.pi * (3 * c / (4 * np.pi)) ** (1 / 3) * mobility * context.job.fine[fine].params.viscosity)
        ratios.append(drag * (1 - 1.7601 * c ** (1 / 3) + c - 1.5593 * c**2))
    return float(np.polyfit(1 / np.array(edges), ratios, 1)[1])


QUANTITIES = {
    "dilute_slope": dilute_slope,
    "layered_viscosity": layered_viscosity,
    "channel_order": channel_order,
    "drag_of_balls": drag_of_balls,
}

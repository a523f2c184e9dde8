"""Random microstructures and random sites: how an effective property spreads, and what more knowledge can not take away."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import NumericalFailure
from hpcms.kernels import cell_scalar
from hpcms.verify.context import Context

BOLTZMANN = 8.617333262e-5  # eV/K


def _conductivities(context: Context, edge: int, number: int, k: Array, fraction: float) -> Array:
    """(number,) mean of the three conductivities of cells of independent voxels, W/(m K)."""
    rng = np.random.default_rng((context.job.seed, edge))
    phases = (rng.random((number, edge, edge, edge)) < fraction).astype(np.uint8)
    found = cell_scalar.effective_many(phases, k, (1.0, 1.0, 1.0), 1e-6)
    if not all(outcome.ok for one in found for outcome in one.outcomes):
        raise NumericalFailure("a random cell was not solved")
    return np.array([np.trace(one.conductivity) / 3 for one in found])


def variance_exponent(
    context: Context, edges: Sequence[int], numbers: Sequence[int], contrast: float, fraction: float
) -> float:
    """Slope of the logarithm of the variance of the conductivity over that of the volume."""
    k = np.array([1.0, contrast])
    spread = [_conductivities(context, n, r, k, fraction).var(ddof=1) for n, r in zip(edges, numbers, strict=True)]
    return float(np.polyfit(3 * np.log(edges), np.log(spread), 1)[0])


def variance_left(
    context: Context,
    part: str,
    runs: Sequence[int],
    edge: int,
    number: int,
    contrast: float,
    doubt: float,
    fraction: float,
) -> float:
    """What is left, after the last number of ``runs``, of a part of the variance after the first: by "cells" or by "doubt".

    The conductivity of the phase is known to ``doubt / sqrt(n)`` after n measurements of it; nested: eleven values of it, equally
    likely, times the same cells. The law of total variance splits what is found.
    """

    def make() -> list[tuple[float, float]]:
        quantiles = np.array([NormalDist().inv_cdf((place + 0.5) / 11) for place in range(11)])
        parts = []
        for n in runs:
            values = contrast + doubt / np.sqrt(n) * quantiles
            found = np.array([_conductivities(context, edge, number, np.array([1.0, v]), fraction) for v in values])
            parts.append((float(found.var(axis=1).mean()), float(found.mean(axis=1).var())))
        return parts

    parts: list[tuple[float, float]] = context.once(f"variances {runs} {edge} {number}", make)
    place = ("cells", "doubt").index(part)
    return parts[-1][place] / parts[0][place]


def mean_rate_factor(context: Context, spread: float, temperature: float, sites: int) -> float:
    """Mean of exp(-(E - mean)/kT) over ``sites`` whose energies are normal with ``spread`` (eV), by that of the mean energy.

    Gauss and Hermite's points stand for the sites, so that the rare sites that carry the rate are there.
    """
    x, weight = np.polynomial.hermite_e.hermegauss(sites)
    return float(weight @ np.exp(-x * spread / (BOLTZMANN * temperature)) / weight.sum())


QUANTITIES = {
    "variance_exponent": variance_exponent,
    "variance_left": variance_left,
    "mean_rate_factor": mean_rate_factor,
}

"""The footing on snow: its tomogram, its creep law, and the energy that crosses between the scales."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hpcms import bounds
from hpcms.contracts import Array, Arrays, FineModel, Regions
from hpcms.engine.build import source_of
from hpcms.errors import NumericalFailure
from hpcms.verify.context import Context


def _solve(model: FineModel, drive: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    answers, state, outcomes = model.solve(drive, state, np.zeros(1, np.uint64))
    if not outcomes[0].ok:
        raise NumericalFailure(f"the cell was not solved: {outcomes[0].reason}")
    return answers, state


def _whole(context: Context) -> tuple[Array, Array]:
    """Labels of the whole tomogram as it was measured, and its conductivity tensor, taken as periodic."""

    def make() -> tuple[Array, Array]:
        source, model = replace(source_of(context.job), coarsen=1), context.job.fine["conduction"].params
        labels = source.labels()
        regions = Regions(np.zeros(1, np.int64), labels[None], source.names)
        answers, _ = _solve(model, {"gradient": np.ones((1, 3))}, model.begin(regions))
        return labels, -answers["tangent"][0]

    made: tuple[Array, Array] = context.once("tomogram", make)
    return made


def tomogram_conductivity(context: Context) -> float:
    """Mean of the three principal conductivities of the whole tomogram, W/(m K)."""
    return float(np.trace(_whole(context)[1]) / 3)


def tomogram_density(context: Context) -> float:
    """Density of the whole tomogram, kg/m3."""
    phases = context.job.fine["conduction"].params.phases
    labels, _ = _whole(context)
    names = source_of(context.job).names
    return float(sum((labels == i).mean() * phases[name].density for i, name in enumerate(names)))


def conductivity_within_bounds(context: Context) -> float:
    """Where the tomogram's conductivity lies between the Hashin-Shtrikman bounds: 0 at the lower, 1 at the upper."""
    labels, K = _whole(context)
    phases, names = context.job.fine["conduction"].params.phases, source_of(context.job).names
    fractions = [float((labels == i).mean()) for i in range(len(names))]
    limits = bounds.conductivity(np.array([phases[name].conductivity for name in names]), np.array(fractions))
    return float((np.trace(K) / 3 - limits.lower) / (limits.upper - limits.lower))


def rate_at_twice_the_stress(context: Context, strain: float, rate: float) -> float:
    """Creep rate at twice the stress over that at the stress: a window of the tomogram in confined compression.

    Measured at eight times the rate: the stress that belongs to it is compared with twice the stress. The strain is so
    large that elasticity carries no more than about 1e-5 of it (the law is one of small strain at any size).
    """
    source, model = source_of(context.job), context.job.fine["creep"].params
    labels = source.labels()
    window = source.cut(labels, np.zeros(1, np.int64), source.offsets(labels.shape, 1))

    def stress(factor: float) -> float:
        drive = {"strain": np.zeros((1, 6)), "temperature": np.array([263.15]), "dt": np.array([strain / rate])}
        drive["strain"][0, 1] = -strain * factor
        return float(_solve(model, drive, model.begin(window))[0]["stress"][0, 1])

    return 8.0 * (2.0 * stress(1.0) / stress(8.0)) ** 3


def largest_energy_gap(context: Context) -> float:
    """The largest Hill-Mandel gap of any exchange of the run, relative."""
    return max(float(counts["energy_gap"]) for step in context.run.steps() for counts in step.get("fine", {}).values())


def distance_to_single_scale(context: Context, fine: str, field: str = "displacement") -> float:
    """Largest difference of a coarse field at the end to the run whose points follow the law itself, without cells."""
    other = context.variant("single-scale", {"coarse.solid.fine": fine})
    ours, single = (run.read(f"coarse/{field}", run.head.step) for run in (context.run, other))
    return float(np.abs(ours - single).max() / np.abs(single).max())


def final_value(context: Context, series: str) -> float:
    """The last value of a scalar that the coarse model tells, such as ``settlement``."""
    last: dict[str, Any] = context.run.steps()[-1]
    return float(last["summary"][series])


QUANTITIES = {
    "tomogram_conductivity": tomogram_conductivity,
    "tomogram_density": tomogram_density,
    "conductivity_within_bounds": conductivity_within_bounds,
    "rate_at_twice_the_stress": rate_at_twice_the_stress,
    "largest_energy_gap": largest_energy_gap,
    "distance_to_single_scale": distance_to_single_scale,
    "final_value": final_value,
}

"""Polycrystals of a face centred cubic metal: the models of Taylor and Sachs, and a cell of grains between them.

Taylor (1938): all grains have the strain of the bar; at yield its stress is M tau, M = 3.07 for a random texture. Sachs (1928): all
grains have its stress. A cell in equilibrium lies between: Taylor's field is one trial strain of many.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hpcms.contracts import Array, Regions
from hpcms.errors import BadInput, NumericalFailure
from hpcms.fine.inelastic import COMPONENTS, Inelastic
from hpcms.kernels.laws import Law, at_points
from hpcms.kernels.laws.crystal import Crystal
from hpcms.verify.context import Context
from hpcms.verify.quantities.history import over_steps

PULL = np.array([1.0, -0.5, -0.5, 0.0, 0.0, 0.0])


def orientations(count: int) -> Array:
    """(count, 3) Bunge's angles in degrees, spread evenly over all rotations (Kronecker's sequence)."""
    g = 1.0 / np.roots([1, 0, 0, -1, -1])[0].real  # the generalised golden ratio of three dimensions
    x = (0.5 + np.arange(1, count + 1)[:, None] * g ** np.arange(1, 4)) % 1.0
    return np.stack([360 * x[:, 0], np.degrees(np.arccos(1 - 2 * x[:, 1])), 360 * x[:, 2]], axis=1)


def crystal_of(context: Context, fine: str) -> Crystal:
    """The first phase of the job."""
    law = next(iter(context.job.fine[fine].params.phases.values()))
    if not isinstance(law, Crystal):
        raise BadInput(f"the first phase of {fine!r} is no crystal")
    return law


def pulled(law: Crystal, angles: Array, strain: float, steps: int, duration: float) -> tuple[float, float]:
    """Mean over grains that all have the strain of the bar: axial minus lateral stress, Pa, and sum of slips over strain."""
    stress, slips, dt = [], [], duration / steps
    for one in angles:
        grain, history = replace(law, orientation=tuple(one)), np.zeros((1, law.rows))
        for k in range(steps):
            before = history
            found, _, history, _, _ = at_points(grain, (k + 1) * strain / steps * PULL[None], history, dt, 293.15)
        stress.append(found[0, 0] - 0.5 * (found[0, 1] + found[0, 2]))
        slips.append((history[0, 6] - before[0, 6]) * steps / strain)
    return float(np.mean(stress)), float(np.mean(slips))


def taylor_factor(context: Context, fine: str, grains: int, strain: float = 0.05, steps: int = 4) -> float:
    """Slip on all systems for a unit strain of a bar of grains in random orientations that all strain alike."""
    law = crystal_of(context, fine)
    return pulled(law, orientations(grains), strain, steps, context.job.time.end)[1]


def bar(law: Crystal, angles: Array, edge: int, strain: float, steps: int, duration: float) -> float:
    """Axial stress of a bar of cubic grains, a cell with free sides, Pa."""
    laws: dict[str, Law] = {str(k): replace(law, orientation=tuple(one)) for k, one in enumerate(angles)}
    model = Inelastic(phases=laws, tolerance=1e-5, tangent_tolerance=0.1, stress_components=COMPONENTS[1:])
    count = round(len(angles) ** (1 / 3))
    x = np.arange(edge) * count // edge
    phase = ((x[:, None, None] * count + x[:, None]) * count + x)[None].astype(np.uint8)
    state, answers = model.begin(Regions(np.zeros(1, np.int64), phase, tuple(laws))), {"stress": np.zeros((1, 6))}
    for k in range(steps):
        given = {"strain": (k + 1) * strain / steps * np.eye(6)[:1], "temperature": np.array([293.15])}
        answers, state, outcomes = model.solve(
            {**given, "dt": np.array([duration / steps])}, state, np.zeros(1, np.uint64)
        )
        if not outcomes[0].ok:
            raise NumericalFailure(f"the bar could not be solved: {outcomes[0].reason}")
    return float(answers["stress"][0, 0])


def sachs(law: Crystal, angles: Array, rate: float) -> float:
    """The uniaxial stress under which grains that all bear it flow at ``rate`` in the mean, 1/s; by bisection. No hardening."""
    grains = [replace(law, orientation=tuple(one)) for one in angles]
    systems = np.array([grain.tensors[1][:, 0] for grain in grains])
    first = grains[0]
    low, high = 0.0, 1e12
    for _ in range(200):
        stress = 0.5 * (low + high)
        over = np.maximum(np.abs(systems) * stress - first.yield_stress, 0.0) / first.drag
        flow = first.slip_rate * over**first.n * np.abs(systems)
        low, high = (stress, high) if flow.sum(axis=1).mean() < rate else (low, stress)
    return high


def polycrystal_between(
    context: Context, fine: str, edge: int, grains: int = 27, strain: float = 0.02, steps: int = 5
) -> float:
    """Where the stress of the cell lies between those of Sachs (0) and Taylor (1), the same grains at the same rate."""
    law, angles, duration = crystal_of(context, fine), orientations(grains), context.job.time.end
    upper = pulled(law, angles, strain, steps, duration)[0]
    lower = sachs(law, angles, strain / duration)
    return (bar(law, angles, edge, strain, steps, duration) - lower) / (upper - lower)


def scale_separation(context: Context, fine: str, grain: float, bar: float) -> float:
    """Size of a grain over that of the specimen, m/m."""
    return grain / bar


def time_separation(context: Context, fine: str, grain: float) -> float:
    """Time in which a shear wave crosses a grain of this size (m) over the duration of the run."""
    law = crystal_of(context, fine)
    speed = (law.c44 / law.density) ** 0.5
    return float(grain / speed / context.job.time.end)


def excess_share(context: Context, fine: str) -> float:
    """Of what the run dissipates, the share that backward Euler takes out of the energy and no law dissipates."""
    excess, lost = over_steps(context.run, fine, "excess"), over_steps(context.run, fine, "dissipation")
    return float(excess.sum() / lost.sum())


def least_dissipation(context: Context, fine: str) -> float:
    """The least that the laws dissipate in a step at a site, over the most."""
    lost = (over_steps(context.run, fine, "dissipation") - over_steps(context.run, fine, "excess"))[1:]
    return float(lost.min() / lost.max())


QUANTITIES = {
    "excess_share": excess_share,
    "least_dissipation": least_dissipation,
    "taylor_factor": taylor_factor,
    "polycrystal_between": polycrystal_between,
    "scale_separation": scale_separation,
    "time_separation": time_separation,
}

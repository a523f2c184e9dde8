"""A bar of one row of voxels, one of them a little weaker, drawn until it has parted: strength and dissipation.

Strains rise in equal steps; stresses are told in units of sqrt(E Gc / l), dissipations in Gc times the cross-section.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from hpcms.contracts import Array, Regions
from hpcms.errors import NumericalFailure
from hpcms.problem.generators import laminate
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

PARTED = 0.02  # a bar that carries less of its strength than this has parted
ENOUGH = 400  # steps


class Pulled(NamedTuple):
    """Stress of each step in Pa and dissipated energy up to its end in J/m2."""

    stress: Array
    dissipated: Array


def _bar(context: Context, fine: str) -> tuple[Any, Any, tuple[str, ...]]:
    """The fine model, its sound phase, and the names of the phases: sound, weak."""
    names = context.job.microstructure.phases if context.job.microstructure else ()
    model = context.job.fine[fine].params
    return model, model.phases[names[0]], names


def pulled(context: Context, fine: str, voxels: int, bar: float, step: float) -> Pulled:
    """A bar of ``bar`` characteristic lengths; ``step``: strain increment in units of sqrt(Gc / (E l))."""

    def make() -> Pulled:
        model, sound, names = _bar(context, fine)
        edge = bar * model.length / voxels
        unit = np.sqrt(sound.toughness / (sound.youngs_modulus * model.length))
        image = laminate((voxels, 1, 1), 1.0 / voxels, 0)[None]
        state = model.begin(Regions(np.zeros(1, np.int64), image, names, (edge,) * 3))
        stress, dissipated = [0.0], [0.0]
        while len(stress) < ENOUGH and not stress[-1] < PARTED * max(stress[:-1], default=0.0):
            drive = {"strain": len(stress) * step * unit * np.eye(6)[:1]}
            answers, state, outcomes = model.solve(drive, state, np.zeros(1, np.uint64))
            if not outcomes[0].ok:
                raise NumericalFailure(f"the bar was not solved: {outcomes[0].reason}")
            stress.append(float(answers["stress"][0, 0]))
            dissipated.append(dissipated[-1] + float(answers["dissipation"][0]) * bar * model.length)
        return Pulled(np.array(stress), np.array(dissipated))

    made: Pulled = context.once(f"bar {fine} {voxels} {bar} {step}", make)
    return made


@further_runs
def strength(context: Context, fine: str, voxels: int, bar: float, step: float = 0.01) -> float:
    """The largest stress of the bar over sqrt(E Gc / l)."""
    model, sound, _ = _bar(context, fine)
    unit = np.sqrt(sound.youngs_modulus * sound.toughness / model.length)
    return float(pulled(context, fine, voxels, bar, step).stress.max() / unit)


@further_runs
def dissipation(context: Context, fine: str, voxels: Sequence[int], bar: float, step: float = 0.01) -> list[float]:
    """What parting the bar takes, over Gc, for each number of voxels."""
    _, sound, _ = _bar(context, fine)
    return [float(pulled(context, fine, n, bar, step).dissipated[-1] / sound.toughness) for n in voxels]


@further_runs
def dissipation_steps(
    context: Context, fine: str, voxels: Sequence[int], bar: float, step: float = 0.01
) -> list[float]:
    """The same, each over the one before."""
    return [b / a for a, b in pairwise(dissipation(context, fine, voxels, bar, step))]


QUANTITIES = {"strength": strength, "dissipation": dissipation, "dissipation_steps": dissipation_steps}

"""Work on the macro scale against the mean work of the micro fields, for the three boundary conditions of a cell.

The micro work is summed here over Gauss points from the displacements alone, with the fields of ``fields``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from hpcms.contracts import Array
from hpcms.engine import run as run_job
from hpcms.errors import BridgeViolation
from hpcms.homogenize import homogenize
from hpcms.kernels.cell_elastic import ElasticCell, labelled
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs
from hpcms.verify.quantities.cells import drawn
from hpcms.verify.quantities.fields import hooke, strains

BOUNDARIES = ("traction", "periodic", "displacement")  # in the order of their stiffness
LOADS = ("11", "22", "33", "23", "13", "12")


def _moduli(context: Context, fine: str) -> dict[int, tuple[float, float]]:
    """(E, nu) by label, from the job's own fine model."""
    phases = context.job.fine[fine].params.phases
    names = context.job.microstructure.phases if context.job.microstructure else ()
    return {i: (phases[name].youngs_modulus, phases[name].poisson_ratio) for i, name in enumerate(names)}


def _image(context: Context, edge: int, fraction: float) -> Array:
    """Random voxels."""
    labels: Array = drawn(context, "random", (edge, edge, edge), fraction).phases[0]
    return labels


def energy_gaps(context: Context, edge: int, fraction: float, tolerance: float, fine: str = "elastic") -> list[float]:
    """|<sigma:eps> - <sigma>:<eps>| / |<sigma:eps>| of random voxels, the largest over loads, by boundary condition."""
    labels = _image(context, edge, fraction)
    E, nu = (np.array([pair[i] for pair in _moduli(context, fine).values()])[labels] for i in (0, 1))
    lam, mu = E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))
    loads = [*np.eye(6), np.array([1.0, -0.5, 0.3, 0.2, -0.7, 0.4])]
    found = []
    for boundary in BOUNDARIES:
        cell = ElasticCell(*labelled(lam, mu), boundary=boundary)
        gaps = []
        for mean in loads:
            eps = strains(cell.solve(mean, tolerance).displacement, mean, (1.0, 1.0, 1.0), labels.shape)
            sigma = hooke(eps, E, nu)
            micro = float(np.mean(np.sum(sigma * eps, axis=-1)))
            macro = float(sigma.mean(axis=(0, 1, 2, 3)) @ eps.mean(axis=(0, 1, 2, 3)))
            gaps.append(abs(micro - macro) / abs(micro))
        found.append(max(gaps))
    return found


def _stiffness(context: Context, labels: Array, boundary: str, fine: str) -> Array:
    found = homogenize(labels, elastic=_moduli(context, fine), boundary=boundary, tolerance=1e-7)
    C = np.asarray(found.stiffness)
    symmetric: Array = 0.5 * (C + C.T)
    return symmetric


def smallest_steps(context: Context, edge: int, fraction: float, fine: str = "elastic") -> list[float]:
    """Smallest eigenvalue of C(periodic) - C(traction) and of C(displacement) - C(periodic), over the norm of C.

    Both are positive for random voxels if the conditions are in the order of their stiffness.
    """
    labels = _image(context, edge, fraction)
    C = [_stiffness(context, labels, boundary, fine) for boundary in BOUNDARIES]
    return [float(np.linalg.eigvalsh(b - a)[0] / np.linalg.norm(b, 2)) for a, b in pairwise(C)]


def gap_ratios(
    context: Context, edge: int, fraction: float, copies: Sequence[int], fine: str = "elastic"
) -> list[float]:
    """|C(displacement) - C(traction)| of a block of ``copies``^3 balls over that of the block before."""
    gaps = []
    for n in copies:
        labels = np.tile(drawn(context, "sphere", (edge,) * 3, fraction).phases[0], (n,) * 3)
        low, high = (_stiffness(context, labels, b, fine) for b in ("traction", "displacement"))
        gaps.append(float(np.linalg.norm(high - low)))
    return [b / a for a, b in pairwise(gaps)]


def largest_gap_of_run(context: Context) -> float:
    """The largest energy gap of an exchange of the run, over all steps and fine models."""
    return max(float(counts["energy_gap"]) for meta in context.run.steps() for counts in meta.get("fine", {}).values())


LEAKY = '''"""A fine model that loses one part in a hundred million of its work in one region."""

from dataclasses import dataclass

from hpcms.fine.laminate import Laminate


@dataclass(frozen=True)
class Leaky(Laminate):
    def solve(self, drive, state, seeds):
        answers, state, outcomes = super().solve(drive, state, seeds)
        answers["work"][-1] *= 1 - {leak!r}
        return answers, state, outcomes


MODEL = Leaky
'''


@further_runs
def leak_rejected(context: Context, leak: float, model: str = "laminate") -> float:
    """1 where the run of this job stops at a fine model that loses a share ``leak`` of its work; 0 where it goes on."""
    folder = context.folder(f"leaky {leak}")
    (folder / "leaky.py").write_text(LEAKY.replace("{leak!r}", repr(leak)), encoding="utf-8")
    own = f'model = "{model}"'
    text = context.job.text.replace(own, 'model = "leaky.py"')
    if text == context.job.text:
        raise ValueError(f"the job has no line {own}")
    job = Path(folder / "leaky.toml")
    job.write_text(text, encoding="utf-8")
    try:
        run_job(job, size=context.job.size, out=folder / "run", plugins=True)
    except BridgeViolation as error:
        return float(str(error).startswith("region "))
    return 0.0


QUANTITIES = {
    "energy_gaps": energy_gaps,
    "smallest_steps": smallest_steps,
    "gap_ratios": gap_ratios,
    "largest_gap_of_run": largest_gap_of_run,
    "leak_rejected": leak_rejected,
}

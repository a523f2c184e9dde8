"""How much an error in each region moves a goal: the adjoint of one field.

    J^T z = dg/du on the free entries;      dg = -sum_r w_r (B_r z) : d flux_r,      |dg| <= sum_r w_r |B_r z| |d flux_r|

for a goal g that is linear in the unknown; J is the field's own tangent, B_r takes nodal values to the drive of region r.
Exact for a linear problem; otherwise to first order in the errors.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse.linalg as spla

from hpcms.coarse.field import Answers, Bound, Values
from hpcms.contracts import Array, Step
from hpcms.errors import BadInput


def adjoint(field: Bound, values: Values, answers: Answers, step: Step, goal: Array) -> Array:
    """z in the shape of the unknown; ``goal``: dg/du, same number of entries."""
    free = np.setdiff1d(np.arange(goal.size), field.fixed)
    J = field.jacobian(field.unknown, values, answers, step)
    if J is None:
        raise BadInput(f"coarse.{field.name}: has no tangent, so no adjoint")
    z = np.zeros(goal.size)
    z[free] = spla.spsolve(J[free][:, free].T.tocsc(), goal.ravel()[free])
    return z.reshape(field.shape)


def influence(field: Bound, z: Array, weights: Array, drive: str, step: Step) -> Array:
    """(S,) w_r |B_r z|: what a unit error of the flux of a region does to the goal at most."""
    change = field.sites({field.unknown: z}, step)[drive]
    return np.asarray(weights * np.linalg.norm(change, axis=1))

"""The adjoint tells what an error of the stress in a region does to a goal: against solving again with that error."""

from __future__ import annotations

import numpy as np
import pytest

from hpcms.coarse.adjoint import adjoint, influence
from hpcms.coarse.solid import Solid, SolidBoundary
from hpcms.contracts import Step
from hpcms.fine.laminate import isotropic
from hpcms.problem.mesh import Domain, build_mesh

STEP = Step(1, 1.0, 1.0, {})


def test_a_stress_error_moves_the_goal_as_the_adjoint_says() -> None:
    from hpcms.coarse.composition import Composition

    mesh = build_mesh(Domain("plate_with_hole", (3.0, 2.0), (4, 3), radius=1.0))
    sides = (SolidBoundary("left", ("x",)), SolidBoundary("bottom", ("y",)), SolidBoundary("right", pressure=-1e6))
    field = Solid(boundary=sides).bind(mesh, "solid", "cell")
    S = len(mesh.sites)
    rng = np.random.default_rng(0)
    tangent = isotropic(1e9, 0.3) * rng.uniform(0.5, 2.0, (S, 1, 1))
    model = Composition([field])

    def solved(error: np.ndarray) -> np.ndarray:
        u = {"displacement": field.begin()}
        for _ in range(2):
            eps = field.sites(u, STEP)["strain"]
            stress = np.einsum("rij,rj->ri", tangent, eps) + error
            u = model.advance(u, {"cell": {"stress": stress, "tangent": tangent}}, STEP).u
        return u["displacement"]

    goal = np.zeros(field.shape)
    goal[rng.integers(len(mesh.nodes), size=3), 0] = [1.0, -0.5, 2.0]
    zero = {"displacement": field.begin()}
    z = adjoint(field, zero, {"cell": {"tangent": tangent}}, STEP, goal)
    error = np.zeros((S, 6))
    error[[5, 17], :2] = [[2e4, -1e4], [1e4, 3e4]]
    moved = float((goal * (solved(error) - solved(0 * error))).sum())
    strain = field.sites({"displacement": z}, STEP)["strain"]
    assert moved == pytest.approx(-float(mesh.weights @ (strain * error).sum(axis=1)), rel=1e-8)
    bound = float(influence(field, z, mesh.weights, "strain", STEP) @ np.linalg.norm(error, axis=1))
    assert abs(moved) <= bound * (1 + 1e-12)
    assert bound < 20 * abs(moved)
    model.close()

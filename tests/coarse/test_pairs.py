"""The smallest fields: two scales in a dialogue (u = b - A c u), a structure and the added mass of a fluid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linear_answers import answer, first_step, slope, solve

from hpcms import coarse
from hpcms.coarse.composition import Composition
from hpcms.coarse.fluid import Fluid
from hpcms.coarse.scalar import Scalar
from hpcms.coarse.structure import Structure
from hpcms.contracts import Step
from hpcms.fine.response import Response
from hpcms.problem.mesh import Domain, build_mesh

POINT = build_mesh(Domain("points", (), (1,)))


def dialogue(newton: bool, b: float = 1.0, A: float = 0.5) -> tuple[Composition, dict[str, Any]]:
    model = coarse.compose({"scalar": (Scalar(b, A, newton), "m")}, POINT)
    fine = Response(1.0)
    return model, {"m": lambda drive: fine.solve(drive, {}, np.zeros(1, dtype=np.uint64))[0]}


def test_the_dialogue_ends_at_b_over_1_plus_a_c() -> None:
    for newton, most in ((True, 2), (False, 45)):
        model, laws = dialogue(newton)
        u, sweeps = solve(model, laws, first_step(model), tolerance=1e-12, most=50)
        assert u["value"] == pytest.approx([2 / 3], rel=1e-11)
        assert len(sweeps) <= most


def test_one_way_the_dialogue_ends_elsewhere() -> None:
    model, laws = dialogue(newton=False)
    step = first_step(model)
    u = model.predict(step)
    assert model.advance(u, answer(model, laws, u, step), step).u["value"] == pytest.approx([0.5])


def test_picard_diverges_where_a_c_exceeds_one_and_newton_does_not() -> None:
    model, laws = dialogue(newton=False, A=2.0)
    _, sweeps = solve(model, laws, first_step(model), most=20)
    assert sweeps[-1].residual > sweeps[0].residual / 2
    assert abs(sweeps[-1].u["value"][0]) > 1e3
    model, laws = dialogue(newton=True, A=2.0)
    assert solve(model, laws, first_step(model))[0]["value"] == pytest.approx([1 / 3])


def pair(ratio: float, mode: str = "staggered", stiffness: float = 0.0, **settings: Any) -> Composition:
    fields = {"structure": (Structure(2.0, 6.0, stiffness), None), "fluid": (Fluid(2.0 * ratio), None)}
    return coarse.compose(fields, POINT, mode, **settings)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_the_staggered_error_shrinks_by_the_mass_ratio(ratio: float) -> None:
    model = pair(ratio)
    exact, step = 6.0 / (2.0 + 2.0 * ratio), first_step(model, 0.1)
    u, errors = model.predict(step), []
    for _ in range(8):
        u = model.advance(u, {}, step).u
        errors.append(abs(u["motion"][2] - exact))
    assert np.array(errors[1:]) / errors[:-1] == pytest.approx(np.full(7, ratio), rel=1e-6)


def test_the_staggered_pair_diverges_above_a_mass_ratio_of_one() -> None:
    model = pair(2.0)
    _, sweeps = solve(model, {}, first_step(model), most=30)
    a = [s.u["motion"][2] for s in sweeps]
    assert abs(a[-1] - 1.0) == pytest.approx(2.0**30, rel=0.1)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 2.0, 10.0])
def test_the_right_relaxation_needs_one_correction(ratio: float) -> None:
    model = pair(ratio, relaxation=1 / (1 + ratio))
    u = model.begin()
    for n in (1, 2, 3):
        u, sweeps = solve(model, {}, Step(n, 0.1 * n, 0.1, u), tolerance=1e-12)
        assert len(sweeps) <= 2
        assert u["motion"][2] == pytest.approx(6.0 / (2.0 + 2.0 * ratio))
    assert u["motion"][1] == pytest.approx(0.3 * u["motion"][2])


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 2.0, 10.0])
def test_monolithic_needs_one_solve_at_every_mass_ratio(ratio: float) -> None:
    model = pair(ratio, "monolithic")
    u, sweeps = solve(model, {}, first_step(model, 0.1), tolerance=1e-12)
    assert len(sweeps) == 2  # the second one only finds that nothing is left
    assert u["motion"][2] == pytest.approx(6.0 / (2.0 + 2.0 * ratio), rel=1e-10)
    if ratio == 0.5:
        staggered, rounds = solve(pair(ratio), {}, first_step(model, 0.1), tolerance=1e-12)
        assert staggered["motion"] == pytest.approx(u["motion"], rel=1e-10)
        assert sum(s.messages for s in rounds) == 2 * len(rounds)
        assert sum(s.messages for s in sweeps) < sum(s.messages for s in rounds)
        assert sweeps[0].bytes / sweeps[0].messages >= rounds[0].bytes / rounds[0].messages


def test_the_spring_swings_with_backward_euler_order_one() -> None:
    """(m + m_a) a + k d = f: d = f / k (1 - cos w t)."""
    counts, errors = [100, 200, 400], []
    w = np.sqrt(8.0 / 3.0)
    for n in counts:
        model = pair(0.5, "monolithic", stiffness=8.0)
        u, dt = model.begin(), 1.0 / n
        for i in range(1, n + 1):
            u, _ = solve(model, {}, Step(i, i * dt, dt, u))
        errors.append(abs(u["motion"][0] - 6.0 / 8.0 * (1 - np.cos(w))))
    assert slope([1 / n for n in counts], errors) == pytest.approx(1, abs=0.1)
    assert model.summary(u, first_step(model)) == pytest.approx(
        {"acceleration": u["motion"][2], "displacement": u["motion"][0], "fluid_force": -u["motion"][2]}
    )


def test_each_of_the_pair_lives_alone_too() -> None:
    alone = coarse.compose({"structure": (Structure(2.0, 6.0), None)}, POINT)
    assert solve(alone, {}, first_step(alone))[0]["motion"][2] == pytest.approx(3.0)
    water = coarse.compose({"fluid": (Fluid(1.0), None)}, POINT)
    assert solve(water, {}, first_step(water))[0]["force"] == pytest.approx([0.0])
    assert water.sites(water.begin(), first_step(water)) == {}

"""Staggered and monolithic agree; solvers are chosen by options; every failure is told, none is accepted."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from linear_answers import answer, conduction, elastic, first_step, softening, solve

from hpcms import coarse
from hpcms.coarse.composition import Composition
from hpcms.coarse.heat import Heat, HeatBoundary, Wave
from hpcms.coarse.petsc import load
from hpcms.coarse.solid import Solid, SolidBoundary
from hpcms.contracts import Arrays, CoarseModel, Step
from hpcms.errors import BadInput
from hpcms.problem.mesh import Domain, build_mesh

MESH = build_mesh(Domain("rectangle", (6.0, 4.0), (6, 4), (2.0, 2.0)))
MONTH = 30 * 86400.0
HEAT = Heat(243.0, (HeatBoundary("top", Wave(243.0, 11.0, 12 * MONTH)), HeatBoundary("bottom", flux=0.05)))
SOLID = Solid(
    9.81,
    (
        SolidBoundary("bottom", ("x", "y")), SolidBoundary("left", ("x",)), SolidBoundary("right", ("x",)),
        SolidBoundary("top", pressure=4e4, between=(2.5, 3.5)),
    ),
)  # fmt: skip
LAWS = {"k": conduction(), "e": softening()}
FIELDS = {"heat": (HEAT, "k"), "solid": (SOLID, "e")}


def footing(mode: str = "staggered", **settings: Any) -> Composition:
    return coarse.compose(FIELDS, MESH, mode, **settings)


def same(a: Arrays, b: Arrays, tolerance: float) -> bool:
    return all(np.abs(a[k] - b[k]).max() <= tolerance * np.abs(b[k]).max() for k in b)


def test_it_is_a_coarse_model() -> None:
    model: CoarseModel = footing()
    assert set(model.begin()) == {"temperature", "displacement"}
    assert footing().fine_of == {"heat": "k", "solid": "e"}
    drives = model.sites(model.begin(), first_step(footing()))
    assert {name: set(d) for name, d in drives.items()} == {"k": {"gradient"}, "e": {"strain", "temperature", "dt"}}
    assert all(len(a) == len(MESH.sites) for d in drives.values() for a in d.values())
    assert set(footing().summary(model.begin(), first_step(footing()))) == {
        "mean_temperature", "surface_temperature", "settlement", "largest_displacement"
    }  # fmt: skip


def test_staggered_and_monolithic_give_the_same_answer() -> None:
    """Both ways on: the solid softens with temperature, the heat is fed by its dissipation."""
    found, sizes = {}, {}
    for mode in ("staggered", "monolithic"):
        model = footing(mode)
        u = model.begin()
        for n in (1, 2):
            u, sweeps = solve(model, LAWS, Step(n, n * MONTH, MONTH, u), tolerance=1e-11)
            assert sweeps[-1].residual <= 1e-11
            assert all(s.iterations > 0 and s.messages > 0 and s.bytes > 0 for s in sweeps)
        found[mode] = u
        sizes[mode] = sweeps[0].bytes / sweeps[0].messages
    assert sizes["monolithic"] > 10 * sizes["staggered"]  # fewer messages in the end, but much larger ones
    assert same(found["monolithic"], found["staggered"], 1e-8)
    assert np.ptp(found["staggered"]["temperature"]) > 1.0


def test_the_order_of_the_fields_does_not_change_the_answer() -> None:
    turned = coarse.compose({"solid": (SOLID, "e"), "heat": (HEAT, "k")}, MESH)
    there, _ = solve(footing(), LAWS, first_step(turned), tolerance=1e-11)
    back, _ = solve(turned, LAWS, first_step(turned), tolerance=1e-11)
    assert same(back, there, 1e-8)


def test_relaxation_moves_no_answer() -> None:
    there, _ = solve(footing(), LAWS, first_step(footing()), tolerance=1e-11)
    back, sweeps = solve(footing(relaxation={"heat": 0.7}), LAWS, first_step(footing()), tolerance=1e-11)
    assert same(back, there, 1e-8)
    assert len(sweeps) > 6


@pytest.mark.parametrize(
    ("mode", "petsc"),
    [
        ("staggered", {"heat_ksp_type": "cg", "heat_pc_type": "jacobi", "solid_ksp_type": "cg"}),
        ("staggered", {"heat_ksp_type": "cg", "heat_pc_type": "gamg", "solid_ksp_type": "gmres"}),
        ("staggered", {"heat_pc_type": "cholesky", "solid_snes_type": "newtonls", "solid_snes_rtol": "1e-10"}),
        ("monolithic", {"coupled_pc_fieldsplit_type": "schur", "coupled_ksp_type": "gmres"}),
        ("monolithic", {"coupled_pc_type": "lu", "coupled_ksp_type": "preonly"}),
        ("monolithic", {"heat_pc_type": "cholesky", "solid_ksp_type": "cg", "solid_pc_type": "icc"}),
    ],
)
def test_the_solver_is_chosen_by_options_only(mode: str, petsc: dict[str, str]) -> None:
    expected, _ = solve(footing(), LAWS, first_step(footing()), tolerance=1e-11)
    model = footing(mode, petsc=petsc)
    u, sweeps = solve(model, LAWS, first_step(model), tolerance=1e-10)
    assert sweeps[-1].residual <= 1e-10
    assert same(u, expected, 1e-8)
    solver = model._solvers["solid" if mode == "staggered" else "coupled"]
    used = solver.snes.getKSP()
    wanted = petsc.get(f"{solver.system.prefix}_ksp_type")
    assert wanted is None or used.getType() == wanted


def test_options_of_a_field_reach_its_part_of_a_nested_system() -> None:
    model = footing("monolithic", petsc={"solid_ksp_type": "cg", "solid_pc_type": "icc"})
    solve(model, LAWS, first_step(model), most=1)
    parts = model._solvers["coupled"].snes.getKSP().getPC().getFieldSplitSubKSP()
    assert [(k.getType(), k.getPC().getType()) for k in parts] == [("preonly", "lu"), ("cg", "icc")]


def test_options_do_not_stay_behind() -> None:
    model = footing(petsc={"solid_ksp_type": "cg", "solid_pc_type": "icc"})
    solve(model, LAWS, first_step(model), most=1)
    table = load().Options()
    assert not [name for name in table.getAll() if name.startswith(("solid_", "heat_"))]


def test_matrices_and_factors_are_kept_and_a_new_solver_gives_the_same_bits() -> None:
    laws = {"k": conduction(), "e": elastic(expansion=1e3)}
    model = footing()
    u1, _ = solve(model, laws, first_step(model))
    kept = model._solvers["heat"]
    state = kept.A.stateGet()
    step = Step(2, 2 * MONTH, MONTH, u1)
    u2, _ = solve(model, laws, step)
    assert model._solvers["heat"] is kept
    assert kept.A.stateGet() == state  # the same values were not put in again, so the factors stay
    fresh, _ = solve(footing(), laws, step)
    assert all(np.array_equal(fresh[k], u2[k]) for k in u2)


def test_it_travels_without_its_solvers() -> None:
    model = footing()
    u, _ = solve(model, LAWS, first_step(model))
    again, _ = solve(pickle.loads(pickle.dumps(model)), LAWS, first_step(model))
    assert all(np.array_equal(again[k], u[k]) for k in u)
    model.close()
    again, _ = solve(model, LAWS, first_step(model))
    assert all(np.array_equal(again[k], u[k]) for k in u)


@pytest.mark.parametrize(
    ("petsc", "words"),
    [
        ({"heat_ksp_type": "cg", "heat_pc_type": "none", "heat_ksp_max_it": "1"}, "heat: KSP DIVERGED_MAX_IT"),
        ({"solid_ksp_type": "gmres", "solid_pc_type": "jacobi", "solid_ksp_max_it": "1"}, "solid: KSP DIVERGED_MAX_IT"),
        ({"heat_ksp_type": "richardson", "heat_pc_type": "none", "heat_ksp_divtol": "2"}, "heat: KSP DIVERGED_DTOL"),
        ({"solid_pc_type": "jacobi"}, "solid: KSP CONVERGED_ITS, but the true residual"),
        ({"solid_ksp_type": "gmres", "solid_pc_type": "jacobi", "solid_ksp_norm_type": "none", "solid_ksp_max_it": "2"},
         "solid: KSP DIVERGED_MAX_IT"),
        ({"solid_snes_type": "newtonls", "solid_snes_max_it": "0"}, "solid: KSP .* SNES DIVERGED_MAX_IT"),
    ],
)  # fmt: skip
def test_a_linear_solve_that_fails_is_told_by_name(petsc: dict[str, str], words: str) -> None:
    model = footing(petsc=petsc)
    step = first_step(model)
    u = model.predict(step)
    advance = model.advance(u, answer(model, LAWS, u, step), step)
    assert not advance.ok
    with pytest.raises(AssertionError, match=words):
        solve(model, LAWS, step)
    assert all(np.array_equal(advance.u[k], u[k]) for k in u)


def test_one_iteration_is_not_accepted_in_a_nested_system() -> None:
    model = footing("monolithic", petsc={"coupled_ksp_max_it": "1", "coupled_fieldsplit_solid_pc_type": "jacobi"})
    step = first_step(model)
    u = model.predict(step)
    advance = model.advance(u, answer(model, LAWS, u, step), step)
    assert not advance.ok
    assert "coupled: KSP DIVERGED_MAX_IT" in advance.reason


@pytest.mark.parametrize("mode", ["staggered", "monolithic"])
def test_a_singular_matrix_is_a_failed_solve_and_the_next_one_may_succeed(mode: str) -> None:
    model = footing(mode)
    step = first_step(model)
    u = model.predict(step)
    good = answer(model, LAWS, u, step)
    soft = good | {"e": good["e"] | {"tangent": np.zeros_like(good["e"]["tangent"])}}
    failed = model.advance(u, soft, step)
    assert not failed.ok
    assert "solid" in failed.reason or "coupled" in failed.reason
    assert model.advance(u, good, step).ok


@pytest.mark.parametrize(
    ("fine", "name", "words"),
    [("k", "flux", "heat are not finite"), ("e", "stress", "solid are not finite"), ("e", "tangent", "not finite")],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_not_finite_never_enter(fine: str, name: str, words: str, value: float) -> None:
    model = footing()
    step = first_step(model)
    u = model.predict(step)
    answers = answer(model, LAWS, u, step)
    answers[fine][name] = answers[fine][name].copy()
    answers[fine][name][0, 0] = value
    with np.errstate(invalid="ignore"):
        advance = model.advance(u, answers, step)
    assert not advance.ok
    assert words in advance.reason
    assert all(np.isfinite(a).all() for a in advance.u.values())


def test_prescribed_values_that_are_not_met_count_as_residual() -> None:
    model = footing()
    step = first_step(model)
    u = model.begin()
    advance = model.advance(u, answer(model, LAWS, u, step), step)
    u, _ = solve(model, LAWS, step, tolerance=1e-11)
    off = u | {"temperature": u["temperature"] + np.where(MESH.nodes[:, 1] == 4.0, 1.0, 0.0)}
    advance = model.advance(off, answer(model, LAWS, off, step), step)
    assert advance.residuals["heat"] >= 1 / 260
    top = MESH.on("top")
    assert advance.u["temperature"][top] == pytest.approx(u["temperature"][top], rel=1e-14)


@pytest.mark.parametrize(
    ("petsc", "words"), [({"heat_pc_type": "nonsense"}, "nonsense"), ({"heat_ksp_type": "nonsense"}, "nonsense")]
)
def test_an_option_that_petsc_does_not_know_is_bad_input(petsc: dict[str, str], words: str) -> None:
    model = footing(petsc=petsc)
    with pytest.raises(BadInput, match=words):
        solve(model, LAWS, first_step(model))


def test_settings_that_make_no_sense_are_refused() -> None:
    heat = HEAT.bind(MESH, "heat", "k")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"fields": []}, "has no field"),
        ({"fields": [heat], "mode": "together"}, "unknown composition 'together'"),
        ({"fields": [heat, heat]}, "same name 'heat'"),
        ({"fields": [heat, HEAT.bind(MESH, "other", "k")]}, "same unknown 'temperature'"),
        ({"fields": [heat], "relaxation": 0.0}, "must be > 0"),
        ({"fields": [heat], "relaxation": float("nan")}, "must be > 0"),
        ({"fields": [heat], "relaxation": {"solid": 0.5}}, "unknown field 'solid'"),
        ({"fields": [heat], "relaxation": 0.5, "mode": "monolithic"}, "staggered fields only"),
        ({"fields": [heat], "ranks": -1}, "ranks must be >= 0"),
        ({"fields": [heat], "deadline": 0.0}, "the deadline > 0"),
    ]
    for settings, words in cases:
        with pytest.raises(BadInput, match=words):
            Composition(**settings)


def test_fields_are_found_by_name() -> None:
    assert coarse.names() == ("bar", "driver", "fluid", "heat", "scalar", "solid", "structure")
    assert coarse.find("heat") is Heat
    with pytest.raises(BadInput, match="no coarse field is called 'haet'") as caught:
        coarse.find("haet")
    assert caught.value.hint == "did you mean 'heat'?"
    with pytest.raises(BadInput) as caught:
        coarse.find("composition")
    assert "there are: bar, driver" in caught.value.hint

"""The fine model `damage`: homogeneous states and crack profiles in closed form, energy, irreversibility, failures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import Arrays, FineModel, Regions
from hpcms.errors import BadInput
from hpcms.fine import damage
from hpcms.fine.damage import Damage, DamagePhase
from hpcms.kernels.cell_elastic import solve_elastic
from hpcms.kernels.cell_points import PointCell
from hpcms.kernels.damage_cell import DamageSolver, Options

E, GC, LENGTH = 2e10, 2.0, 0.01
UNIT = np.sqrt(GC / (E * LENGTH))  # of strain
BAR = {"sound": DamagePhase(E, 0.0, GC), "weak": DamagePhase(E, 0.0, 0.95 * GC), "void": DamagePhase()}


def begin(model: Damage, image: np.ndarray, edge: float = 1.0) -> Arrays:
    return model.begin(Regions(np.zeros(1, np.int64), image[None].astype(np.uint8), tuple(model.phases), (edge,) * 3))


def solve(model: Damage, strain: np.ndarray, state: Arrays) -> tuple[Arrays, Arrays]:
    answers, new, outcomes = model.solve({"strain": np.atleast_2d(strain)}, state, np.zeros(1, np.uint64))
    assert outcomes[0].ok, outcomes
    return answers, new


def one(x: float) -> np.ndarray:
    return x * np.eye(6)[0]


def test_follows_the_contract() -> None:
    assert isinstance(Damage(BAR, LENGTH), FineModel)
    assert damage.MODEL is Damage


def test_below_its_strength_at1_is_elastic() -> None:
    rng = np.random.default_rng(0)
    image = (rng.random((5, 4, 6)) < 0.3) * 2
    model = Damage({**BAR, "sound": DamagePhase(E, 0.2, GC)}, LENGTH, tolerance=1e-8)
    strain = UNIT * np.array([0.05, -0.02, 0.03, 0.01, 0.02, -0.03])
    answers, state = solve(model, strain, begin(model, image, 1e-3))
    solid = image == 0
    lam, mu = E * 0.2 / (1.2 * 0.6), E / 2.4
    want = solve_elastic(lam * solid, mu * solid, strain, tolerance=1e-10)
    assert np.all(state["damage"] == 0.0)
    np.testing.assert_allclose(answers["stress"][0], want.stress, rtol=0, atol=1e-7 * np.abs(want.stress).max())
    assert answers["energy"][0] == pytest.approx(0.5 * want.work, rel=1e-7)
    assert answers["dissipation"][0] == 0.0


@pytest.mark.parametrize("kind", ["AT1", "AT2"])
def test_homogeneous_damage_follows_its_closed_form(kind: str) -> None:
    """(1 - d) E eps^2 = Gc w'(d) / (c l); the same at every node, so the mesh does not matter."""
    model = Damage(BAR, LENGTH, kind=kind, tolerance=1e-10, residual_stiffness=1e-9)
    secant = replace(model, stiffness="secant")
    state, edge = begin(model, np.zeros((2, 3, 1)), 1e-4), np.sqrt(3 / 8)
    for x in (0.3, 0.5, 0.7, 0.9):
        held, _ = solve(secant, one(x * UNIT), state)
        answers, state = solve(model, one(x * UNIT), state)
        d = max(0.0, 1 - (edge / x) ** 2) if kind == "AT1" else x**2 / (1 + x**2)
        np.testing.assert_allclose(state["damage"], d, atol=1e-8)
        assert answers["stress"][0, 0] == pytest.approx((1 - d) ** 2 * E * x * UNIT, rel=1e-7)
        assert held["tangent"][0, 0, 0] == pytest.approx((1 - d) ** 2 * E, rel=1e-7)
        slope = (1 - d) ** 2 - 2 * (1 - d) * x * (
            0 if d == 0 else 2 * edge**2 / x**3 if kind == "AT1" else 2 * x / (1 + x**2) ** 2
        )
        assert answers["tangent"][0, 0, 0] == pytest.approx(slope * E, rel=1e-6)
        assert answers["damaged"][0] == pytest.approx(d, abs=1e-8)


def test_energy_balances_with_order_one_in_the_step() -> None:
    """Work = change of stored energy + dissipation, up to the square of the step; secant unloading to zero."""
    gaps = []
    for steps in (20, 40, 80):
        model = Damage(BAR, LENGTH, kind="AT2", tolerance=1e-10)
        state, work, lost, stress = begin(model, np.zeros((1, 1, 1)), 1e-3), 0.0, 0.0, 0.0
        for k in range(1, steps + 1):
            answers, state = solve(model, one(UNIT * k / steps), state)
            work += stress * UNIT / steps  # the stress at the start of the step: an error of order one
            stress, lost = answers["stress"][0, 0], lost + answers["dissipation"][0]
        gaps.append(abs(work - answers["energy"][0] - lost))
    assert np.all(np.abs(np.diff(np.log2(gaps)) + 1) < 0.1), gaps


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.floats(-0.6, 0.6), min_size=6, max_size=6), min_size=2, max_size=3),
    st.sampled_from(["AT1", "AT2"]),
    st.sampled_from(["none", "volumetric"]),
    st.integers(0, 10**6),
)
def test_on_any_path_damage_grows_and_work_is_that_of_the_means(
    path: list[list[float]], kind: str, split: str, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 3, (4, 3, 3))
    model = Damage({"a": DamagePhase(E, 0.2, GC), "b": DamagePhase(4 * E, 0.3, 2 * GC), "void": DamagePhase()}, LENGTH,
                   kind, split)  # fmt: skip
    state = begin(model, image, 3e-3)
    for strain in UNIT * np.array(path):
        answers, new = solve(model, strain, state)
        assert np.all(new["damage"] >= state["damage"])
        assert new["damage"].max() <= 1.0
        size = np.linalg.norm(answers["stress"]) * np.linalg.norm(strain)
        assert abs(answers["work"][0] - answers["stress"][0] @ strain) <= 1e-10 * (size + 1e-300)
        assert answers["energy"][0] == pytest.approx(0.5 * answers["work"][0], rel=1e-5, abs=1e-12 * E * UNIT**2)
        assert answers["dissipation"][0] >= -1e-7 * E * UNIT**2
        state = new


def test_damage_never_heals_and_unloading_is_along_the_secant() -> None:
    rng = np.random.default_rng(1)
    model = Damage({"a": DamagePhase(E, 0.2, GC), "b": DamagePhase(3 * E, 0.3)}, LENGTH, kind="AT2", stiffness="secant")
    state = begin(model, rng.random((6, 5, 4)) < 0.2, 2e-3)
    loaded, state = solve(model, UNIT * np.array([1.0, 0.2, -0.1, 0.3, 0, 0.2]), state)
    assert 0.1 < state["damage"].max() < 1.0
    back = UNIT * np.array([0.3, 0.0, 0.0, 0.1, 0, 0.0])
    answers, after = solve(model, back, state)
    np.testing.assert_array_equal(after["damage"], state["damage"])
    assert answers["dissipation"][0] == 0.0
    np.testing.assert_allclose(answers["stress"][0], loaded["tangent"][0] @ back, rtol=0, atol=2e-5 * E * UNIT)
    np.testing.assert_allclose(loaded["tangent"][0], loaded["tangent"][0].T, atol=1e-9 * E)
    assert abs(answers["work"][0] - answers["stress"][0] @ back) <= 1e-11 * answers["work"][0]


@pytest.mark.parametrize("kind", ["AT1", "AT2"])
@pytest.mark.parametrize("split", ["none", "volumetric"])
def test_consistent_tangent_is_the_derivative_of_the_stress(kind: str, split: str) -> None:
    """Damage grows in the whole cell, in a part of it, and not in the voxels that cannot break."""
    rng = np.random.default_rng(2)
    phases = {"a": DamagePhase(E, 0.2, GC), "b": DamagePhase(3 * E, 0.3), "c": DamagePhase(E, 0.2, 3 * GC)}
    model = Damage(phases, LENGTH, kind, split, tolerance=1e-11, damage_tolerance=1e-11)
    state = begin(model, rng.integers(0, 3, (5, 4, 3)), 5e-3)
    _, state = solve(model, UNIT * np.array([0.5, 0.1, -0.1, 0.2, 0, 0.1]), state)
    strain, D, h = UNIT * np.array([0.7, 0.1, -0.1, 0.3, 0, 0.1]), UNIT * rng.normal(size=6), 1e-4
    middle, new = solve(model, strain, state)
    assert np.any(new["damage"] > state["damage"])
    up, down = (solve(model, strain + s * h * D, state)[0]["stress"][0] for s in (1, -1))
    slope = (up - down) / (2 * h)
    np.testing.assert_allclose(middle["tangent"][0] @ D, slope, rtol=0, atol=2e-4 * np.abs(slope).max())
    np.testing.assert_allclose(middle["tangent"][0], middle["tangent"][0].T, rtol=0, atol=1e-9 * E)


def test_where_the_damage_may_run_the_tangent_holds_it() -> None:
    """A long bar that damages evenly beyond its strength is in balance and unstable: any unevenness shows it."""
    model, x = Damage(BAR, LENGTH), 1.0
    state = begin(model, np.zeros((40, 1, 1)), 8 * LENGTH / 40)
    _, state = solve(model, one(x * UNIT), state)
    state["damage"][:] = 0.0
    state["response"][0, 0, 0, :, 0, 0] = 1e-3 * LENGTH * np.sin(2 * np.pi * np.arange(40) / 40)
    answers, _, outcomes = model.solve({"strain": one(x * UNIT)[None]}, state, np.zeros(1, np.uint64))
    assert outcomes[0].ok
    assert "may run" in outcomes[0].reason
    assert answers["tangent"][0, 0, 0] == pytest.approx((3 / 8) ** 2 * E, rel=1e-4)


def precracked(kind: str, voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Damage of an unloaded bar of 8 l whose middle voxel is cut, and the distance of the nodes from the cut over l."""
    model, h = Damage(BAR, LENGTH, kind=kind, tolerance=1e-9), 8 / voxels
    state = begin(model, np.zeros((voxels, 1, 1)), h * LENGTH)
    state["damage"][0, voxels // 2 : voxels // 2 + 2] = 1.0
    _, state = solve(model, one(0.0), state)
    x = np.abs(np.arange(voxels) - (voxels // 2 + 0.5)) * h - 0.5 * h
    return state["damage"][0, :, 0, 0], x


@pytest.mark.parametrize("kind", ["AT1", "AT2"])
def test_profile_of_a_crack_converges_to_its_closed_form(kind: str) -> None:
    """AT1: (1 - x / (2 l))^2, an obstacle problem; AT2: cosh((L / 2 - x) / l) / cosh(L / (2 l)) in a ring of length L."""
    errors = []
    for voxels in (41, 81, 161):
        d, x = precracked(kind, voxels)
        half = 4 - 4 / voxels  # half of what is left of the ring
        want = np.clip(1 - x / 2, 0, None) ** 2 if kind == "AT1" else np.cosh(half - x) / np.cosh(half)
        errors.append(np.abs(d - want).max())
    assert errors[-1] < 1e-3
    assert errors[-1] < 0.4 * errors[-2] < 0.16 * errors[-3], errors


def test_a_bar_parts_along_the_closed_profile() -> None:
    model, state, x = Damage(BAR, LENGTH), None, 0.5
    state = begin(model, np.arange(160).reshape(160, 1, 1) == 80, 8 * LENGTH / 160)
    while state["damage"].max() < 0.97:
        x += 0.02
        answers, state = solve(model, one(x * UNIT), state)
    assert x == pytest.approx(np.sqrt(3 / 8), abs=0.03)
    assert answers["stress"][0, 0] < 0.02 * np.sqrt(3 / 8) * E * UNIT
    away = np.maximum(np.abs(np.arange(160) - 80.5) - 0.5, 0) / 20
    np.testing.assert_allclose(state["damage"][0, :, 0, 0], np.clip(1 - away / 2, 0, None) ** 2, atol=0.04)


def test_a_slit_runs_straight_through_a_plate() -> None:
    """At the stress of Griffith, sqrt(E' Gc / (pi a)), within what a slit of two lengths l allows. The whole crack holds
    Gc (1 + 3 h / (8 l)) by area, the toughness of AT1 on a mesh (Bourdin, Francfort, Marigo 2008)."""
    n, a, nu, h = 32, 4, 0.2, LENGTH / 2
    model = Damage({"a": DamagePhase(E, nu, GC)}, LENGTH, plane="xy")
    state = begin(model, np.zeros((n, n, 1)), h)
    state["damage"][0, n // 2 - a : n // 2 + a + 1, n // 2 : n // 2 + 2] = 1.0
    plane = E / (1 - nu**2)
    griffith = np.sqrt(plane * GC / (np.pi * a * h))
    _, state = solve(model, np.zeros(6), state)  # the slit takes its profile
    stress = []
    for share in (0.6, 0.8, 0.9, 1.0, 1.1):
        answers, state = solve(model, share * griffith / plane * np.eye(6)[1], state)
        stress.append(answers["stress"][0, 1] / griffith)
        if stress[-1] < 0.05:
            break
    assert 0.7 < max(stress) < 1.1
    assert stress[-1] < 0.05
    cell = PointCell(state["phase"][0], state["loaded"][0], (h,) * 3)
    solver = DamageSolver(
        cell, [DamagePhase(E, nu, GC).material()], Options("AT1", LENGTH, True, False, 1e-6, 1e-6, 1e-5, 9)
    )
    held = solver.fracture(cell.spread(state["damage"])) * n * h / GC
    assert held == pytest.approx(1 + 3 / 16, rel=0.03)
    d = state["damage"][0, :, :, 0]
    assert np.all(d[:, n // 2 : n // 2 + 2].max(axis=1) > 0.9)
    assert np.all(d[:, np.abs(np.arange(n) - n // 2) > 8] < 0.05)


def test_alternation_never_raises_the_energy() -> None:
    image = np.zeros((12, 12, 1), np.uint8)
    image[4:8, 5:7] = 1
    cell = PointCell(image, image == 0, (2e-3,) * 3)
    options = Options("AT1", LENGTH, True, True, 1e-6, 1e-8, 1e-5, 2000)
    solver = DamageSolver(cell, [BAR["sound"].material(), None], options)
    strain, lower, response = (
        UNIT * np.array([0.2, 1.0, 0, 0, 0, 0.1]),
        cell.field(1),
        np.zeros((0, *cell.field(3).shape)),
    )
    found = solver.step(strain, cell.field(3), lower, response, ())
    assert found.ok
    assert found.d.max() > 0.5
    path = np.array(found.path)
    assert np.all(np.diff(path) <= 1e-9 * path[0])
    assert path[-1] < 0.95 * path[0]


def test_split_lets_cracks_close() -> None:
    """Where the volume shrinks a damaged material keeps its bulk modulus and loses its shear modulus."""
    strain, nu, d = UNIT * np.array([-0.3, -0.2, -0.1, 0.05, 0, 0.1]), 0.25, 0.9
    K, G, g = E / (3 * (1 - 2 * nu)), E / (2 * (1 + nu)), (1 - 1e-6) * (1 - d) ** 2 + 1e-6
    dilatation = strain[:3].sum() * np.array([1.0, 1, 1, 0, 0, 0])
    for split, k in (("none", g), ("volumetric", 1.0)):
        model = Damage({"a": DamagePhase(E, nu, GC)}, LENGTH, split=split)
        state = begin(model, np.zeros((2, 1, 1)), 1e-3)
        state["damage"][:] = d
        answers, after = solve(model, strain, state)
        np.testing.assert_array_equal(after["damage"], state["damage"])
        want = k * K * dilatation + g * 2 * G * (strain - dilatation / 3)
        np.testing.assert_allclose(answers["stress"][0], want, rtol=1e-9)
        np.testing.assert_allclose(answers["tangent"][0] @ strain, want, rtol=1e-9)
        opened, _ = solve(model, -strain, state)
        np.testing.assert_allclose(
            opened["stress"][0], -g * (K * dilatation + 2 * G * (strain - dilatation / 3)), rtol=1e-9
        )


def test_unloaded_to_zero_a_cell_is_free_of_stress() -> None:
    """The fluctuation of the step before is no obstacle, however large it is beside the strain of this one."""
    image = np.random.default_rng(0).integers(0, 2, (4, 3, 3)) * 2
    model = Damage(BAR, LENGTH)
    _, state = solve(model, 0.5 * UNIT * np.eye(6)[5], begin(model, image, 3e-3))
    zero, _ = solve(model, np.zeros(6), state)
    assert not zero["stress"].any()
    tiny, _ = solve(model, 1e-14 * UNIT * np.eye(6)[5], state)
    np.testing.assert_allclose(
        tiny["stress"][0], 1e-14 * UNIT * tiny["tangent"][0, :, 5], rtol=0, atol=1e-19 * E * UNIT
    )


def test_what_does_not_break_stays_whole() -> None:
    model = Damage({"a": DamagePhase(E, 0.2)}, LENGTH)
    answers, state = solve(model, one(1.0), begin(model, np.zeros((2, 2, 2))))
    assert answers["stress"][0, 0] == pytest.approx(E * 0.8 / (1.2 * 0.6))
    assert np.all(state["damage"] == 0)


def test_a_cell_without_a_path_for_the_load_answers_zero() -> None:
    """All void, and a block that touches nothing: no 0/0 anywhere."""
    for image in (np.full((3, 2, 2), 2), np.pad(np.zeros((2, 2, 2)), 1, constant_values=2)):
        model = Damage(BAR, LENGTH)
        answers, state = solve(model, np.full(6, 1e-3), begin(model, image))
        assert not any(answers[name].any() for name in ("stress", "tangent", "work", "energy", "dissipation"))
        assert not state["damage"].any()


@pytest.mark.parametrize("strain", [np.nan, np.inf])
def test_a_failure_is_an_outcome_with_advice(strain: float) -> None:
    model = Damage(BAR, LENGTH)
    state = begin(model, np.zeros((2, 1, 1)))
    answers, new, outcomes = model.solve({"strain": np.full((1, 6), strain)}, state, np.zeros(1, np.uint64))
    assert not outcomes[0].ok
    assert "shorten" in outcomes[0].reason
    assert not answers["stress"].any()
    np.testing.assert_array_equal(new["damage"], state["damage"])


def test_too_few_alternations_are_an_outcome() -> None:
    model = Damage(BAR, LENGTH, kind="AT2", max_alternations=2)
    state = begin(model, np.arange(6).reshape(6, 1, 1) == 2, 1e-3)
    outcome = model.solve({"strain": one(UNIT)[None]}, state, np.zeros(1, np.uint64))[2][0]
    assert not outcome.ok
    assert "alternations" in outcome.reason


@pytest.mark.parametrize("wrong", [{"kind": "AT3"}, {"split": "spectral"}, {"plane": "yz"}, {"stiffness": "best"}])
def test_wrong_choices_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Damage(BAR, LENGTH, **wrong)


def test_unknown_phase_is_refused() -> None:
    with pytest.raises(BadInput, match="steel"):
        Damage(BAR, LENGTH).begin(Regions(np.zeros(1), np.zeros((1, 1, 1, 1), np.uint8), ("steel",)))

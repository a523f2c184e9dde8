"""Cells whose phases follow laws: closed forms, tangents by condensation, mixed loads, plane cells, checks and failures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import Arrays, FineModel, Outcome, Regions
from hpcms.errors import BadInput
from hpcms.fine.inelastic import Inelastic
from hpcms.fine.laminate import effective
from hpcms.kernels import hex8_laws
from hpcms.kernels.cell_elastic import ElasticCell, labelled
from hpcms.kernels.law_cell import LawSolver, Start
from hpcms.kernels.law_grid import LawGrid
from hpcms.kernels.laws import Law, at_points, find
from hpcms.kernels.laws._base import hooke

J2, ELASTIC, NORTON, CRYSTAL, POWER = (find(name) for name in ("j2", "elastic", "norton", "crystal", "power"))
SOFT = J2(youngs_modulus=1.0, yield_stress=0.005, hardening=0.05, kinematic=0.02)
STIFF = ELASTIC(youngs_modulus=10.0)
EPS = np.array([0.01, -0.004, 0.002, 0.003, -0.002, 0.008])


def regions(phase: np.ndarray, names: tuple[str, ...] = ("a", "b")) -> Regions:
    phase = phase if phase.ndim == 4 else phase[None]
    return Regions(np.arange(len(phase)), phase.astype(np.uint8), names)


def drive(strain: np.ndarray, dt: float = 1.0, temperature: float = 293.15, stress: np.ndarray | None = None) -> Arrays:
    strain = np.atleast_2d(strain)
    R = len(strain)
    return {"strain": strain, "temperature": np.full(R, temperature), "dt": np.full(R, dt),
            "stress": np.zeros((R, 6)) if stress is None else np.atleast_2d(stress)}  # fmt: skip


def solve(model: Inelastic, state: Arrays, given: Arrays) -> tuple[Arrays, Arrays, list[Outcome]]:
    answers, new, outcomes = model.solve(given, state, np.zeros(len(state["phase"]), np.uint64))
    assert all(o.ok for o in outcomes), outcomes
    return answers, new, outcomes


def foam(seed: int, shape: tuple[int, ...] = (5, 4, 6)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, shape)


def test_follows_the_contract() -> None:
    model = Inelastic({"a": SOFT, "b": STIFF})
    assert isinstance(model, FineModel)
    answers, _, _ = solve(model, model.begin(regions(foam(0))), drive(EPS))
    assert set(answers) == set(model.answers)


def test_elastic_cell_equals_the_linear_solver() -> None:
    phase = foam(1)
    E, nu = np.array([1.0, 10.0]), np.array([0.3, 0.2])
    lam, mu = E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))
    want = ElasticCell(*labelled(lam[phase], mu[phase])).solve(EPS, 1e-10)
    model = Inelastic({"a": ELASTIC(youngs_modulus=1.0), "b": ELASTIC(youngs_modulus=10.0, poisson_ratio=0.2)}, 1e-10)
    answers, _, _ = solve(model, model.begin(regions(phase)), drive(EPS))
    np.testing.assert_allclose(answers["stress"][0], want.stress, rtol=1e-8)
    np.testing.assert_allclose(answers["energy"][0], want.work / 2, rtol=1e-8)


def uniform(law: Law, strains: list[np.ndarray]) -> np.ndarray:
    history = np.zeros((1, law.rows))
    for strain in strains:
        stress, _, history, _, _ = at_points(law, strain[None], history, 1.0, 293.15)
    return stress[0]


@pytest.mark.parametrize(
    "law", [SOFT, STIFF, NORTON(youngs_modulus=1.0, A=1e3), POWER(youngs_modulus=1.0, stress=0.01, strain=0.1, n=4.0)]
)
def test_a_block_of_one_phase_follows_its_law(law: Law) -> None:
    model = Inelastic({"a": law, "b": STIFF}, tolerance=1e-12)
    state = model.begin(regions(np.zeros((2, 3, 2))))
    for part in (0.5, 1.0):
        answers, state, _ = solve(model, state, drive(part * EPS))
    np.testing.assert_allclose(answers["stress"][0], uniform(law, [0.5 * EPS, EPS]), rtol=1e-10)


def test_layers_of_plastic_phases_in_closed_form() -> None:
    """Equal tractions on the faces and equal strains along them: solved by hand, layer by layer."""
    other, f = J2(youngs_modulus=3.0, yield_stress=0.02, hardening=0.3), np.array([0.25, 0.75])
    laws, N = (SOFT, other), np.array([0, 4, 5])
    local = np.tile(EPS, (2, 1))
    for _ in range(50):  # Newton on the strains across the layers
        found = [at_points(law, e[None], np.zeros((1, 7)), 1.0, 293.15)[:2] for law, e in zip(laws, local, strict=True)]
        (s0, C0), (s1, C1) = ((s[0][N], C[0][np.ix_(N, N)]) for s, C in found)
        jump = np.linalg.solve(C0 / f[0] + C1 / f[1], s1 - s0)
        local[0, N], local[1, N] = local[0, N] + jump / f[0], local[1, N] - jump / f[1]
    want = sum(share * s[0] for share, (s, _) in zip(f, found, strict=True))
    phase = np.repeat([0, 1, 1, 1], 2)[:, None, None] * np.ones((1, 2, 3), int)
    model = Inelastic({"a": SOFT, "b": other}, tolerance=1e-12, tangent_tolerance=1e-8)
    answers, _, _ = solve(model, model.begin(regions(phase)), drive(EPS))
    np.testing.assert_allclose(answers["stress"][0], want, rtol=1e-9)
    tangents = np.array([C[0] for _, C in found])
    across = np.isin(np.arange(6), N)
    np.testing.assert_allclose(answers["tangent"][0], effective(tangents, f, across), atol=1e-6)


CREEP = NORTON(youngs_modulus=3.0, A=1e3, activation_energy_below=6e4, activation_energy_above=6e4, expansion=1e-4)
GRAIN = CRYSTAL(
    c11=1.684,
    c12=1.214,
    c44=0.754,
    yield_stress=0.01,
    drag=0.002,
    n=5.0,
    slip_rate=0.01,
    orientation=(10.0, 20.0, 30.0),
)


@pytest.mark.parametrize(
    ("phases", "plane", "prescribed"),
    [
        ((SOFT, CREEP), "", ()),
        ((SOFT, GRAIN), "", ("22", "33")),
        ((J2(youngs_modulus=1.0, yield_stress=0.005, hardening=0.1, mean_dilatation=True), CREEP), "", ("11",)),
        ((SOFT, CREEP), "xy", ()),
        ((SOFT, STIFF), "xy", ("22",)),
    ],
)  # fmt: skip
def test_tangents_are_derivatives(phases: tuple[Law, Law], plane: str, prescribed: tuple) -> None:
    """By strain, where components of the stress are prescribed at those stresses, and by temperature."""
    model = Inelastic({"a": phases[0], "b": phases[1]}, tolerance=1e-11, tangent_tolerance=1e-7, plane=plane,
                      stress_components=prescribed)  # fmt: skip
    rows = [0, 1, 5] if plane else list(range(6))
    rows = [k for k in rows if k not in model.free]
    strain = np.where(np.isin(np.arange(6), [0, 1, 5]) | (not plane), EPS, 0.0)
    state = model.begin(regions(foam(2, (5, 4, 1) if plane else (3, 4, 3))))
    _, state, _ = solve(model, state, drive(0.5 * strain))
    answers, _, _ = solve(model, state, drive(strain))
    np.testing.assert_allclose(answers["stress"][0][list(model.free)], 0, atol=1e-10)
    for k in rows:
        a, b = (solve(model, state, drive(strain + h * np.eye(6)[k]))[0]["stress"][0] for h in (-1e-6, 1e-6))
        np.testing.assert_allclose(answers["tangent"][0][rows, k], ((b - a) / 2e-6)[rows], atol=1e-6)
    a, b = (solve(model, state, drive(strain, temperature=293.15 + h))[0]["stress"][0] for h in (-0.05, 0.05))
    np.testing.assert_allclose(answers["tangent_temperature"][0][rows], ((b - a) / 0.1)[rows], atol=2e-9)


def test_plane_cells_are_flat_solid_cells() -> None:
    phase, strain = foam(3, (6, 5, 1)), np.array([0.004, -0.01, 0.001, 0, 0, 0.008])
    found = []
    for plane in ("", "xy"):
        model = Inelastic({"a": SOFT, "b": STIFF}, tolerance=1e-11, tangent_tolerance=1e-8, plane=plane)
        state = model.begin(regions(phase))
        for part in (0.5, 1.0):
            answers, state, _ = solve(model, state, drive(part * strain))
        found.append(answers)
    assert state["history"].shape[4] == 4
    np.testing.assert_allclose(found[0]["stress"], found[1]["stress"], atol=1e-10)
    seen = np.ix_([0], [0, 1, 5], [0, 1, 5])
    np.testing.assert_allclose(found[0]["tangent"][seen], found[1]["tangent"][seen], atol=1e-6)
    for name in ("energy", "dissipation", "excess"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-8)


def test_a_bar_is_pulled_by_stress_and_by_strain() -> None:
    """Prescribed stresses reach the strains whose prescription gives those stresses."""
    phases, phase = {"a": SOFT, "b": STIFF}, foam(4)
    by_strain = Inelastic(phases, 1e-11, stress_components=("22", "33", "23", "13", "12"))
    pulled, _, _ = solve(by_strain, by_strain.begin(regions(phase)), drive(np.array([0.01, 0, 0, 0, 0, 0])))
    np.testing.assert_allclose(pulled["stress"][0, 1:], 0, atol=1e-11)
    by_stress = Inelastic(phases, 1e-11, stress_components=("11", "22", "33", "23", "13", "12"))
    again, _, _ = solve(by_stress, by_stress.begin(regions(phase)), drive(np.zeros(6), stress=pulled["stress"][0]))
    np.testing.assert_allclose(again["strain"], pulled["strain"], atol=1e-8)
    plain = Inelastic(phases, 1e-11)
    once, _, _ = solve(plain, plain.begin(regions(phase)), drive(pulled["strain"][0]))
    np.testing.assert_allclose(once["stress"], pulled["stress"], atol=1e-9)


@given(
    seed=st.integers(0, 10**6),
    moduli=st.tuples(*[st.floats(0.2, 5.0)] * 2),
    alpha=st.tuples(*[st.floats(-2.0, 2.0)] * 2),
)
@settings(max_examples=15, deadline=None)
def test_levin(seed: int, moduli: tuple[float, float], alpha: tuple[float, float]) -> None:
    """The thermal expansion of two phases follows from their stiffness (Levin 1967; Rosen and Hashin 1970)."""
    phase = foam(seed, (4, 3, 4))
    laws = [
        ELASTIC(youngs_modulus=E, poisson_ratio=nu, expansion=a)
        for E, nu, a in zip(moduli, (0.1, 0.35), alpha, strict=True)
    ]
    free = Inelastic({"a": laws[0], "b": laws[1]}, 1e-11, 1e-9, stress_components=("11", "22", "33", "23", "13", "12"))
    got = solve(free, free.begin(regions(phase)), drive(np.zeros(6), temperature=294.15))[0]["strain"][0]
    held = Inelastic({"a": laws[0], "b": laws[1]}, 1e-11, 1e-9)
    C = solve(held, held.begin(regions(phase)), drive(np.zeros(6)))[0]["tangent"][0]
    one = np.array([1.0, 1, 1, 0, 0, 0])
    S = [np.linalg.inv(law.matrix) for law in laws]
    f = np.bincount(phase.ravel(), minlength=2) / phase.size
    effective = np.linalg.inv(C)
    # Both sides times the difference in compressibility, which may vanish: the law then says nothing, and divides by nothing.
    compressibility = one @ (S[1] - S[0]) @ one / 3
    left = compressibility * (got - (f @ alpha) * one)
    right = (effective - f[0] * S[0] - f[1] * S[1]) @ one * (alpha[1] - alpha[0])
    rounding = np.finfo(np.float32).eps * np.linalg.cond(C) * np.abs(effective).max()  # tangents are kept in float32
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-9 + rounding * abs(alpha[1] - alpha[0]))


@pytest.mark.parametrize("seed", [0, 1])
def test_work_is_stored_or_dissipated(seed: int) -> None:
    model = Inelastic({"a": SOFT, "b": CREEP})
    rng, state, before, energy = np.random.default_rng(seed), model.begin(regions(foam(seed))), np.zeros(6), 0.0
    for _ in range(3):
        strain = 0.01 * rng.standard_normal(6)
        answers, state, _ = solve(model, state, drive(strain))
        work = answers["stress"][0] @ (strain - before)
        np.testing.assert_allclose(work, answers["energy"][0] - energy + answers["dissipation"][0], rtol=1e-12)
        assert 0.0 <= answers["excess"][0] <= answers["dissipation"][0]
        before, energy = strain, answers["energy"][0]


def test_nearly_incompressible_phases_do_not_lock() -> None:
    """A plastic matrix at rest of its volume: without the mean dilatation a coarse cell is far too strong."""
    phase = np.zeros((6, 6, 6), int)
    phase[1:4, 1:4, 1:4] = 1
    strain, tops = np.array([0.02, -0.02, 0, 0, 0, 0]), []
    for averaged in (False, True):
        soft = J2(youngs_modulus=1.0, poisson_ratio=0.49, yield_stress=0.005, hardening=1e-3, mean_dilatation=averaged)
        model = Inelastic({"a": soft, "b": STIFF})
        tops.append(solve(model, model.begin(regions(phase)), drive(strain))[0]["stress"][0, 0])
    assert tops[1] < 0.85 * tops[0]


def test_voids_carry_nothing() -> None:
    phase = np.zeros((6, 6, 6), int)
    phase[2:5, 2:5, 2:5] = 1
    model = Inelastic({"a": SOFT, "b": ELASTIC(youngs_modulus=0.0)})
    answers, state, _ = solve(model, model.begin(regions(phase)), drive(EPS))
    assert not state["history"][0][phase == 1].any()
    assert state["history"][0][phase == 0].any()
    empty = Inelastic({"a": ELASTIC(youngs_modulus=0.0), "b": SOFT})
    answers, _, _ = solve(empty, empty.begin(regions(np.zeros((3, 3, 3)))), drive(EPS))
    assert not answers["stress"].any()


def test_a_step_that_is_too_long_is_cut() -> None:
    """The answer is then that of the parts."""
    grains = {
        "a": CRYSTAL(c11=1.684, c12=1.214, c44=0.754, yield_stress=0.01, drag=1e-4, n=60.0, slip_rate=1e-9),
        "b": GRAIN,
    }
    model = Inelastic(grains, max_iterations=3)
    _, _, outcomes = model.solve(drive(3 * EPS), model.begin(regions(foam(5, (3, 3, 3)))), np.zeros(1, np.uint64))
    assert "parts" in outcomes[0].reason


def test_a_drive_out_of_range_is_an_outcome() -> None:
    model = Inelastic({"a": SOFT, "b": STIFF}, plane="xy")
    state = model.begin(regions(np.stack([foam(6, (3, 3, 1))] * 4)))
    strain = np.tile(np.array([0.001, 0, 0, 0, 0, 0]), (4, 1))
    strain[1, 0], strain[2, 3] = np.nan, 0.001
    given = drive(strain)
    given["temperature"][3] = -1.0
    answers, new, outcomes = model.solve(given, state, np.zeros(4, np.uint64))
    assert [o.ok for o in outcomes] == [True, False, False, False]
    assert "shorten the step" in outcomes[1].reason
    assert "leave out plane" in outcomes[2].reason
    assert not answers["stress"][1:].any()
    assert all(np.array_equal(new[name][1:], state[name][1:]) for name in state)


def test_repetition_and_guesses_change_nothing() -> None:
    model = Inelastic({"a": SOFT, "b": CREEP}, tolerance=1e-9)
    state = model.begin(regions(foam(7)))
    first, new, _ = solve(model, state, drive(EPS))
    again, _, _ = solve(model, state, drive(EPS))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    warm = {**state, **{name: new[name] for name in model.guesses}}
    guessed, _, _ = solve(model, warm, drive(EPS))
    np.testing.assert_allclose(guessed["stress"], first["stress"], rtol=1e-8)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"plane": "xy", "stress_components": ("33",)}, "cannot be prescribed"),
        ({"stress_components": ("11", "11")}, "named twice"),
        ({"phases": {"a": ELASTIC(youngs_modulus=0.0)}}, "no phase has a stiffness"),
    ],
)
def test_parameters_are_checked(values: dict, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        Inelastic(**{"phases": {"a": SOFT}, **values})


def test_a_phase_without_a_law_is_refused() -> None:
    with pytest.raises(BadInput, match="phase 'b' has no law"):
        Inelastic({"a": SOFT}).begin(regions(foam(0)))


def test_cost_grows_with_the_voxels() -> None:
    small, large = (Inelastic({"a": SOFT, "b": STIFF}).cost(regions(foam(0, (n, n, n))))[0] for n in (4, 16))
    assert 1.0 < large / small < 64.0
    np.testing.assert_allclose(hooke(1.0, 2.0)[3, 3], 2.0)


def test_no_grid_compiles_again() -> None:
    for n in (2, 3):
        model = Inelastic({"a": SOFT, "b": STIFF})
        solve(model, model.begin(regions(foam(n, (n, n, n)))), drive(EPS))
    for kernel in (hex8_laws.load, hex8_laws.unload, hex8_laws.keep, SOFT.update):
        assert len(kernel.signatures) == 1
    assert len(hex8_laws.multiply.signatures) == 2  # single and double precision


def test_newton_converges_quadratically() -> None:
    """From a step on the number of digits doubles: each residual is below a multiple of the square of the one before."""
    grid = LawGrid(foam(8), np.ones((5, 4, 6), bool), (1.0, 1.0, 1.0), np.zeros(2, bool))
    solver, sizes = LawSolver(grid, [SOFT, CREEP], 1e-13, 1e-3, 40), []
    solver.prepare(
        Start(EPS, np.zeros(6), np.zeros(6), np.zeros(grid.length), solver.rest(), np.zeros(grid.length), 1.0, 293.15)
    )
    u = np.zeros(grid.length)
    for _ in range(9):
        solver.evaluate(u, EPS)
        sizes.append(np.linalg.norm(solver.f))
        if sizes[-1] < 1e-11 * sizes[0]:  # what is left is rounding, which has no direction
            break
        u += solver.direction(1e-13 * sizes[-1])[0]
    relative = np.array(sizes) / sizes[0]
    late = [(a, b) for a, b in pairwise(relative) if 1e-7 < a < 1e-2]
    assert relative[-1] < 1e-11
    assert late
    assert all(b < 30 * a**2 + 1e-13 for a, b in late), relative

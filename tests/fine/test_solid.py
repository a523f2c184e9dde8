"""The fine model `solid`: closed forms, tangents, energy, symmetry, and what must not depend on anything else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import Arrays, FineModel, Regions
from hpcms.errors import BadInput
from hpcms.fine import solid
from hpcms.fine.solid import Creep, Solid, SolidPhase
from hpcms.folded import unfolded
from hpcms.kernels import cell_mirror
from hpcms.kernels.cell_elastic import solve_elastic

DAY = 86400.0
ICE = SolidPhase(9.33e9, 0.325, 917.0, Creep(3.5e-25, 3.0, 263.15, 60e3, 115e3))
FIRM = SolidPhase(3e10, 0.2, 2000.0)
PHASES = {"air": SolidPhase(), "ice": ICE, "rock": FIRM}


def regions(phase: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Regions:
    return Regions(np.arange(len(phase)), phase.astype(np.uint8), tuple(PHASES), spacing)


def drive(strain: np.ndarray, dt: float, temperature: float = 263.15) -> Arrays:
    strain = np.atleast_2d(strain)
    return {"strain": strain, "temperature": np.full(len(strain), temperature), "dt": np.full(len(strain), dt)}


def solve(
    model: Solid, strain: np.ndarray, state: Arrays, dt: float, temperature: float = 263.15
) -> tuple[Arrays, Arrays]:
    """One step that must converge."""
    answers, new, outcomes = model.solve(
        drive(strain, dt, temperature), state, np.zeros(len(state["phase"]), np.uint64)
    )
    assert all(o.ok and o.residual <= model.tolerance for o in outcomes), outcomes
    return answers, new


def mirrored(window: np.ndarray) -> np.ndarray:
    for axis in range(3):
        window = np.concatenate([window, np.flip(window, axis)], axis)
    return window


def foam(seed: int, shape: tuple[int, int, int] = (5, 4, 6), solid_share: float = 0.8) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < solid_share).astype(np.uint8)


def test_follows_the_contract() -> None:
    assert isinstance(Solid(PHASES), FineModel)
    assert solid.MODEL is Solid


def test_elastic_cell_equals_the_linear_solver() -> None:
    """Phases without a creep law are fully integrated, like homogenisation."""
    image = foam(1) * 2
    model, strain = Solid(PHASES, tolerance=1e-9), np.array([1e-4, -2e-4, 3e-5, 1e-5, 2e-5, -4e-5])
    answers, _ = solve(model, strain, model.begin(regions(image[None])), 0.0)
    E, nu = FIRM.youngs_modulus, FIRM.poisson_ratio
    lam, mu = E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))
    want = solve_elastic(lam * (image > 0), mu * (image > 0), strain, tolerance=1e-10)
    np.testing.assert_allclose(answers["stress"][0], want.stress, rtol=0, atol=1e-8 * np.abs(want.stress).max())
    assert answers["work"][0] == pytest.approx(want.work, rel=1e-8)
    assert answers["energy"][0] == pytest.approx(0.5 * want.work, rel=1e-8)
    np.testing.assert_allclose(
        answers["tangent"][0] @ strain, want.stress, rtol=0, atol=1e-5 * np.abs(want.stress).max()
    )


def test_block_creeps_at_the_rate_of_the_law() -> None:
    """Steady pure shear g: equivalent stress q = sqrt(3) tau and g / sqrt(3) = A q^3; the block is exact in any mesh."""
    model, rate, dt = Solid(PHASES, tolerance=1e-10), 1e-9, 1e8
    state = model.begin(regions(np.ones((1, 2, 3, 2))))
    for k in range(1, 25):
        strain = np.array([0, 0, 0, 0, 0, rate * dt * k / np.sqrt(2)])
        answers, state = solve(model, strain, state, dt)
    q = np.sqrt(3) * answers["stress"][0, 5] / np.sqrt(2)
    assert q == pytest.approx((rate / np.sqrt(3) / 3.5e-25) ** (1 / 3), rel=1e-9)
    np.testing.assert_allclose(answers["creep_rate"][0, 5], rate / np.sqrt(2), rtol=1e-9)


def test_conventions_differ_by_the_factor_of_uniaxial_stress() -> None:
    """The same A in the convention of glaciology: a tensor strain rate of A tau^3 in simple shear."""
    soft = SolidPhase(9.33e9, 0.325, 917.0, Creep(3.5e-25, 3.0, convention="effective"))
    model, rate, dt = Solid({"ice": soft}, tolerance=1e-10), 1e-9, 1e9
    state = model.begin(Regions(np.zeros(1), np.zeros((1, 2, 2, 2), np.uint8), ("ice",)))
    for k in range(1, 15):
        answers, state = solve(model, np.array([0, 0, 0, 0, 0, rate * dt * k * np.sqrt(2)]), state, dt)
    tau = answers["stress"][0, 5] / np.sqrt(2)
    assert tau == pytest.approx((rate / 3.5e-25) ** (1 / 3), rel=1e-9)


def test_the_rate_at_another_temperature_is_that_of_the_law() -> None:
    """Across the temperature at which the activation energy changes, and beside it; phases that differ in that have none."""
    ice = Creep(1e-24, 3.0, 263.15, 60e3, 115e3)
    model = Solid({"ice": SolidPhase(9e9, 0.3, creep=ice), "firn": SolidPhase(9e9, 0.3, creep=replace(ice, A=3e-24))})
    cold, warm = np.array([253.15, 263.15, 265.0]), np.array([268.15, 263.15, 261.0])
    found = model.faster(cold, warm)
    assert found is not None
    energy = lambda T: np.where(T < 263.15, 60e3, 115e3) / 8.314462618 * (1.0 / 263.15 - 1.0 / T)  # noqa: E731
    np.testing.assert_allclose(found, np.exp(energy(warm) - energy(cold)), rtol=1e-6)
    other = {"ice": SolidPhase(9e9, 0.3, creep=ice), "salt": SolidPhase(9e9, 0.3, creep=replace(ice, n=5.0))}
    assert Solid(other).faster(cold, warm) is None


def test_relaxation_converges_with_order_one() -> None:
    """dq/dt = -3 G A q^3 at fixed shear strain: q = q0 / sqrt(1 + 6 G A q0^2 t)."""
    model, G, strain, end = Solid(PHASES), 9.33e9 / 2 / 1.325, np.array([0, 0, 0, 0, 0, 1e-4 / np.sqrt(2)]), 2e4
    q0 = np.sqrt(3) * G * 1e-4
    exact, errors = q0 / np.sqrt(1 + 6 * G * 3.5e-25 * q0**2 * end), []
    for steps in (20, 40, 80):
        state = model.begin(regions(np.ones((1, 1, 1, 1))))
        for _ in range(steps):
            answers, state = solve(model, strain, state, end / steps)
        errors.append(abs(np.sqrt(1.5) * np.linalg.norm(answers["stress"][0]) - exact))
    assert np.all(np.abs(np.diff(np.log2(errors)) + 1) < 0.1), errors


def layers(dt: float, rates: tuple[float, float], strain: float) -> float:
    """Shear stress across two layers of equal thickness after one backward Euler step, by bisection (Mandel stress)."""
    mu2 = 9.33e9 / 1.325

    def mean_strain(s: float) -> float:
        q = np.sqrt(1.5) * s
        return s / mu2 + np.mean([1.5 * dt * A * q**2 * s for A in rates])

    low, high = 0.0, mu2 * strain
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if mean_strain(middle) > strain else (middle, high)
    return high


def test_laminate_of_two_creeping_layers() -> None:
    """Sheared along the layers' normal the stress is uniform and the strains add: an independent scalar equation."""
    rates = (3.5e-25, 4e-24)
    own = {n: SolidPhase(9.33e9, 0.325, 917.0, Creep(A)) for n, A in zip("ab", rates, strict=True)}
    model = Solid(own, tolerance=1e-10, tangent_tolerance=1e-6)
    state = model.begin(Regions(np.zeros(1), np.array([0, 0, 1, 1], np.uint8).reshape(1, 1, 1, 4), ("a", "b")))
    strain, dt = 1e-3, 20 * DAY
    answers, _ = solve(model, np.array([0, 0, 0, strain, 0, 0]), state, dt)
    assert answers["stress"][0, 3] == pytest.approx(layers(dt, rates, strain), rel=1e-9)
    h = 1e-5 * strain
    slope = (layers(dt, rates, strain + h) - layers(dt, rates, strain - h)) / (2 * h)
    assert answers["tangent"][0, 3, 3] == pytest.approx(slope, rel=1e-5)


def test_rate_is_homogeneous_in_the_stress() -> None:
    """With negligible elasticity twice the stress creeps 2^n as fast: strain rates 1 and 8 give stresses 1 and 2."""
    stiff = SolidPhase(9.33e13, 0.325, 917.0, ICE.creep)
    model, image, found = (
        Solid({"air": SolidPhase(), "ice": stiff}, tolerance=1e-9),
        mirrored(foam(2, (3, 3, 3), 0.7)),
        [],
    )
    for rate in (1e-10, 8e-10):
        state = model.begin(Regions(np.zeros(1), image[None].astype(np.uint8), ("air", "ice")))
        dt = 1e-2 / rate
        answers, state = solve(model, rate * dt * np.array([0.2, -1.0, 0, 0, 0, 0.3]), state, dt)
        found.append(answers["stress"][0])
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=0, atol=1e-4 * np.abs(found[1]).max())


@pytest.mark.parametrize("image", [foam(3), mirrored(foam(4, (3, 2, 3)))], ids=["general", "mirrored"])
def test_tangents_are_derivatives(image: np.ndarray) -> None:
    """Central differences: the error of the second-order formula falls by four when the step is halved."""
    model = Solid(PHASES, tolerance=1e-11, tangent_tolerance=1e-8)
    strain, dt = 1e-3 * np.array([0.3, -1.0, 0.2, 0.1, -0.2, 0.4]), 5 * DAY
    _, state = solve(model, 0.5 * strain, model.begin(regions(image[None])), dt)
    answers, _ = solve(model, strain, state, dt)
    A, errors = answers["tangent"][0], []
    np.testing.assert_allclose(A, A.T, atol=1e-6 * np.abs(A).max())
    for h in (2e-5, 1e-5):
        columns = []
        for k in range(6):
            up, down = (solve(model, strain + s * h * np.eye(6)[k], state, dt)[0]["stress"][0] for s in (1, -1))
            columns.append((up - down) / (2 * h))
        errors.append(np.abs(np.array(columns).T - A).max() / np.abs(A).max())
    assert errors[1] < 5e-4
    assert 3 < errors[0] / errors[1] < 5, errors
    warm, cold = (solve(model, strain, state, dt, 263.0 + s)[0]["stress"][0] for s in (0.05, -0.05))
    heat = solve(model, strain, state, dt, 263.0)[0]["tangent_temperature"][0]
    np.testing.assert_allclose(heat, (warm - cold) / 0.1, atol=1e-5 * np.abs(heat).max())


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.integers(0, 10**6))
def test_work_is_stored_or_dissipated(seed: int) -> None:
    """A closed cycle of strain: the work of the means is the dissipation of the micro fields, which is never negative."""
    rng = np.random.default_rng(seed)
    image = foam(seed, tuple(rng.integers(1, 5, 3)), 0.8)
    image = mirrored(image) if seed % 2 else image * rng.integers(1, 3, image.shape)
    model = Solid(PHASES, tolerance=1e-7)
    state, before, stored, work, lost = model.begin(regions(image[None])), np.zeros(6), 0.0, 0.0, 0.0
    amplitude = 1e-3 * rng.normal(size=6)
    for phase in np.linspace(0, 2 * np.pi, 9)[1:]:
        strain = np.sin(phase) * amplitude if phase < 6.28 else np.zeros(6)
        answers, state = solve(model, strain, state, 10 * DAY)
        gap = abs(answers["work"][0] - answers["stress"][0] @ strain)
        scale = max(np.linalg.norm(answers["stress"][0]) * np.linalg.norm(strain), 2 * answers["energy"][0])
        assert gap <= 1e-10 * scale
        work += answers["stress"][0] @ (strain - before)
        lost += answers["dissipation"][0]
        assert answers["dissipation"][0] >= 0
        before, stored = strain, answers["energy"][0]
    assert abs(work - stored - lost) <= 1e-8 * max(lost, 1e-300)


@pytest.mark.parametrize("plane", ["", "xy"])
def test_mirrored_cell_is_the_general_one(plane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reduction by symmetry changes nothing, also when a new shear widens the symmetry class on the way."""
    image = mirrored(foam(5, (3, 4, 2)))[None]
    increments = [[0, -2e-3, 0, 0, 0, 0], [1e-4, -2e-3, 0, 0, 0, 3e-4]] + (
        [[0, -1e-3, 0, 4e-4, 0, 0]] if not plane else []
    )
    found = []
    for general, folded in ((False, False), (False, True), (True, False)):
        if general:
            monkeypatch.setattr(cell_mirror, "is_mirrored", lambda phase: False)
        model = Solid(PHASES, tolerance=1e-10, tangent_tolerance=1e-8, plane=plane)
        state, strain = model.begin(replace(regions(image, (1.0, 0.5, 2.0)), mirrored=folded)), np.zeros(6)
        for step in increments:
            strain = strain + step
            answers, state = solve(model, strain, state, 20 * DAY)
        found.append((answers, state))
    (a, s), (f, p), (b, t) = found
    for name in a:
        assert np.array_equal(a[name], f[name]), name
    whole = model.fields(p)
    for name in ("creep_strain", "displacement", "trial", "response"):
        assert p[name].size < 0.8 * s[name].size, name
        np.testing.assert_allclose(whole[name], s[name], rtol=0, atol=1e-14 * np.abs(s[name]).max(), err_msg=name)
    size = np.linalg.norm(p["creep_strain"][0], axis=(-1, -2))
    np.testing.assert_allclose(
        unfolded(size, image[0].shape), np.linalg.norm(s["creep_strain"][0], axis=(-1, -2)), rtol=1e-12
    )
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=2e-6 * np.abs(b[name]).max(), err_msg=name)
    np.testing.assert_allclose(a["stress"], b["stress"], rtol=0, atol=1e-9 * np.abs(b["stress"]).max())
    np.testing.assert_allclose(s["creep_strain"], t["creep_strain"], atol=1e-7 * np.abs(t["creep_strain"]).max())


def test_a_folded_plane_cell_takes_no_other_shear() -> None:
    model = Solid(PHASES, plane="xy")
    state = model.begin(replace(regions(mirrored(foam(5, (3, 4, 2)))[None]), mirrored=True))
    _, after, (outcome,) = model.solve(drive(np.array([1e-3, 0, 0, 1e-4, 0, 0]), DAY), state, np.zeros(1, np.uint64))
    assert not outcome.ok
    assert "leave out plane" in outcome.reason
    assert not any(after[name].any() for name in ("creep_strain", "displacement", "response"))


def test_batch_order_and_repetition_change_no_bit() -> None:
    images = np.array([mirrored(foam(s, (3, 3, 3), 0.7)) for s in (6, 7)] + [foam(8, (6, 6, 6))])
    model = Solid(PHASES, plane="xy")
    strain = 1e-3 * np.random.default_rng(9).normal(size=(3, 6)) * [1, 1, 0, 0, 0, 1]
    state = model.begin(regions(images))
    kept = {name: value.copy() for name, value in state.items()}
    together = model.solve(drive(strain, DAY), state, np.zeros(3, np.uint64))
    for name, value in state.items():
        np.testing.assert_array_equal(value, kept[name], err_msg=f"{name} was changed")
    for r in (2, 0, 1):
        single = {name: value[r : r + 1] for name, value in state.items()}
        alone = model.solve(drive(strain[r], DAY), single, np.zeros(1, np.uint64))
        for own, all_ in zip(alone[:2], together[:2], strict=True):
            for name in own:
                assert own[name][0].tobytes() == all_[name][r].tobytes(), (r, name)
        assert alone[2][0] == together[2][r]


def test_guesses_move_answers_by_no_more_than_the_tolerance() -> None:
    model, image = Solid(PHASES, plane="xy"), mirrored(foam(10, (4, 4, 4), 0.7))[None]
    strain, state = 1e-3 * np.array([0.1, -1, 0, 0, 0, 0.3]), model.begin(regions(image))
    _, state = solve(model, strain, state, 10 * DAY)
    fresh, _ = solve(model, 2.1 * strain, state, 10 * DAY)
    _, trial = solve(model, 1.9 * strain, state, 10 * DAY)
    warm, _ = solve(model, 2.1 * strain, {**state, **{g: trial[g] for g in model.guesses}}, 10 * DAY)
    np.testing.assert_allclose(warm["stress"], fresh["stress"], rtol=0, atol=1e-6 * np.abs(fresh["stress"]).max())


def test_loose_grains_and_broken_cells_do_no_harm() -> None:
    """A grain without a face in common changes nothing; a cell without a path through it carries nothing."""
    model, strain = Solid(PHASES), 1e-3 * np.array([1.0, -1, 0, 0, 0, 0.5])
    plain = np.zeros((1, 6, 6, 6))
    plain[:, :, :2, :2] = 1
    grain = plain.copy()
    grain[0, 3, 4, 4] = grain[0, 4, 4, 4] = 1
    alone = np.zeros_like(plain)
    alone[0, 1:3, 1:3, 1:3] = 1
    a, b, c = (solve(model, strain, model.begin(regions(p)), DAY)[0] for p in (plain, grain, alone))
    np.testing.assert_array_equal(a["stress"], b["stress"])
    assert b["density"][0] > a["density"][0]
    for name in ("stress", "tangent", "work", "energy"):
        assert np.abs(c[name]).max() == 0, name
    void = solve(model, strain, model.begin(regions(np.zeros((1, 2, 2, 2)))), DAY)[0]
    assert np.abs(void["stress"]).max() == 0


def test_refined_voxels_do_not_lock() -> None:
    """Creeping ice is nearly incompressible; two voxels across a neck are already near the refined answer."""
    window, strain, dt = np.array([[[1, 1], [1, 0]], [[1, 0], [1, 1]]]), np.array([0, -3e-3, 0, 0, 0, 0]), 30 * DAY
    found = []
    for n in (1, 2, 4):
        image = mirrored(np.kron(window, np.ones((n, n, n))))[None]
        model = Solid(PHASES, tolerance=1e-6, plane="xy")
        state = model.begin(regions(image, (1 / n,) * 3))
        for k in (1, 2):
            answers, state = solve(model, k * strain, state, dt)
        found.append(answers["stress"][0, 1])
    assert abs(found[0] / found[2] - 1) < 0.2  # full integration: 70 times as stiff
    assert abs(found[1] - found[2]) < 0.7 * abs(found[0] - found[1])


def test_a_drive_out_of_range_is_an_outcome() -> None:
    model = Solid(PHASES)
    state = model.begin(regions(np.stack([foam(11)] * 2)))
    good = np.array([1e-4, 0, 0, 0, 0, 0])
    for bad in (
        {"strain": np.array([good, good * np.nan])},
        {"temperature": np.array([260.0, -1.0])},
        {"dt": np.array([1.0, -1.0])},
    ):
        answers, new, outcomes = model.solve(
            {**drive(np.array([good, good]), 1.0), **bad}, state, np.zeros(2, np.uint64)
        )
        assert outcomes[0].ok
        assert not outcomes[1].ok
        assert "shorten the step" in outcomes[1].reason
        assert all(np.isfinite(value).all() for value in [*answers.values(), *new.values()])
        assert new["creep_strain"][1].tobytes() == state["creep_strain"][1].tobytes()


def test_parameters_are_checked() -> None:
    with pytest.raises(BadInput, match="plane"):
        Solid(PHASES, plane="xz")
    with pytest.raises(BadInput, match="convention"):
        Solid({"ice": SolidPhase(1e9, 0.3, creep=Creep(1e-25, convention="other"))})
    with pytest.raises(BadInput, match="no phase"):
        Solid({"ice": ICE}).begin(regions(np.zeros((1, 1, 1, 1))))


def test_cost_grows_with_the_voxels() -> None:
    model = Solid(PHASES)
    small, large = (float(model.cost(regions(np.ones((1, n, n, n))))[0]) for n in (4, 8))
    assert 0 < small < large


@pytest.mark.parametrize("full", [0.55, 0.7, 0.85])
@pytest.mark.parametrize(("far", "turned"), [(0.03, True), (0.3, True), (1.0, False), (3.0, True)])
def test_an_iterate_is_not_further_from_the_end_than_it_says(full: float, far: float, turned: bool) -> None:
    """A trial is asked again at a strain so many increments away, of the same direction or with two axes changed."""
    model = Solid(PHASES, plane="xy")
    state = model.begin(regions(mirrored(np.random.default_rng(0).random((4, 4, 4)) < full)[None]))
    increment = -1e-5 * np.array([[0.3, 1.0, 0.0, 0.0, 0.0, 0.2]])
    _, state = solve(model, increment, state, DAY)
    _, trial = solve(model, 2 * increment, state, DAY)
    state = {**state, **{name: trial[name] for name in model.guesses}}
    strain = 2 * increment + far * (increment[:, [1, 0, 2, 3, 4, 5]] if turned else increment)
    end, _ = solve(model, strain, state, DAY)
    found, _, _ = model.iterate(drive(strain, DAY), state, np.zeros(1, np.uint64))
    wrong, size = np.linalg.norm(found["stress"] - end["stress"]), np.linalg.norm(end["stress"])
    assert wrong <= found["lag"][0] + model.tolerance * size
    if far >= 1.0:
        assert 0.0 < found["error"][0] < found["lag"][0] < 1e-2 * size, "an iterate that is not the end says so"

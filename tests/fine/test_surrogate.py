"""The surrogate: what it learns, what it refuses, and that its tangents are sound whatever it is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import Arrays, FineModel, Regions
from hpcms.engine.planning import built
from hpcms.errors import BadInput
from hpcms.fine.conduction import Conduction, ConductionPhase
from hpcms.fine.laminate import Laminate, LaminatePhase
from hpcms.fine.solid import Creep, Solid, SolidPhase
from hpcms.fine.surrogate import Surrogate
from hpcms.job import load_job
from hpcms.monitor import between, gaussian, learner
from hpcms.problem.generators import laminate

PHASES = {"soft": LaminatePhase(youngs_modulus=1e9, poisson_ratio=0.3, density=2e3, fraction=0.4),
          "stiff": LaminatePhase(youngs_modulus=2e10, poisson_ratio=0.2, density=3e3, fraction=0.6)}  # fmt: skip
LAYERS = Laminate(PHASES, "elasticity", normal=3)


def layered(count: int, low: int = 2, high: int = 38) -> Regions:
    fractions = np.linspace(low, high, count).round() / 40
    phases = np.array([laminate((1, 1, 40), f, 2) for f in fractions])
    return Regions(np.arange(count), phases, ("soft", "stiff"))


def drives(count: int) -> Arrays:
    strain = np.random.default_rng(5).standard_normal((count, 6)) * 1e-3
    return {"strain": strain, "temperature": np.full(count, 263.0), "dt": np.ones(count)}


def test_a_process_learns_a_smooth_function_and_its_own_error() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (60, 2))
    y = np.column_stack([np.sin(x[:, 0]) * x[:, 1], 5 + 0 * x[:, 0]])
    learned = gaussian.fit(x[:40], y[:40])
    found, sd = learned.predict(x[40:])
    inside = np.abs(x[40:]).max(axis=1) < 1.5
    assert np.abs(found - y[40:])[inside].max() < 5e-3
    assert np.mean(np.abs(found - y[40:])[:, 0] <= 3 * sd[:, 0]) > 0.9
    assert learned.predict(x[:40])[0] == pytest.approx(y[:40], abs=1e-3)
    assert np.array_equal(learned.predict(x)[0], gaussian.fit(x[:40], y[:40]).predict(x)[0])


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(0, 10**6), st.floats(-1e3, 1e3), st.sampled_from([3, 6]))
def test_a_tensor_from_any_coordinates_is_symmetric_definite_and_within_its_bounds(
    seed: int, size: float, d: int
) -> None:
    rng = np.random.default_rng(seed)
    B, D = rng.standard_normal((2, 4, d, d))
    lower = np.einsum("rij,rkj->rik", B, B) + 1e-3 * np.eye(d)
    upper = lower + np.einsum("rij,rkj->rik", D, D)
    K = between.tensors(size * rng.standard_normal((4, d * (d + 1) // 2)), lower, upper)
    slack = -1e-10 * np.linalg.norm(upper, axis=(1, 2))
    assert np.array_equal(K, np.swapaxes(K, 1, 2))
    assert np.all(np.linalg.eigvalsh(K)[:, 0] > 0)
    assert np.all(np.linalg.eigvalsh(K - lower)[:, 0] > slack)
    assert np.all(np.linalg.eigvalsh(upper - K)[:, 0] > slack)


def test_coordinates_and_tensors_are_inverse() -> None:
    rng = np.random.default_rng(2)
    B, D = rng.standard_normal((2, 5, 6, 6))
    lower = np.einsum("rij,rkj->rik", B, B) + 0.1 * np.eye(6)
    upper = lower + np.einsum("rij,rkj->rik", D, D) + 0.1 * np.eye(6)
    x = rng.uniform(-3, 3, (5, 21))
    assert between.coordinates(between.tensors(x, lower, upper), lower, upper) == pytest.approx(x, abs=1e-8)
    flat = between.tensors(x, lower, lower)  # bounds that agree leave no choice
    assert flat == pytest.approx(lower, rel=1e-12)


def test_elastic_layers_are_learned_from_a_few_of_them() -> None:
    model, regions, drive = Surrogate("layers", limit=0.01, lessons=6).bind(LAYERS), layered(37), drives(37)
    seeds = np.zeros(37, np.uint64)
    state = model.begin(regions)
    kept = {name: value.copy() for name, value in state.items()}
    answers, after, outcomes = model.solve(drive, state, seeds)
    exact, _, _ = LAYERS.solve(drive, LAYERS.begin(regions), seeds)
    assert all(np.array_equal(kept[name], state[name]) for name in state)
    solved = sum(o.solves for o in outcomes)
    assert 6 <= solved <= 18
    assert solved == np.sum(answers["level"] == 3)
    assert np.all(answers["level"] >= 2)
    checked = answers["measured_error"] >= 0
    assert checked.sum() >= model.params.checks
    assert np.all(answers["level"][checked] == 3)
    assert answers["expected_error"].max() <= 0.01
    gap = np.linalg.norm(answers["tangent"] - exact["tangent"], axis=(1, 2))
    assert np.all(gap < 0.01 * np.linalg.norm(exact["tangent"], axis=(1, 2)))
    assert answers["density"] == pytest.approx(exact["density"])
    assert answers["work"] == pytest.approx((answers["stress"] * drive["strain"]).sum(axis=1), rel=1e-12)
    again, _, repeated = model.solve(drive, after, seeds)
    assert sum(o.solves for o in repeated) == 0
    assert all(np.array_equal(again[name], answers[name]) for name in answers)


def test_beyond_the_hull_the_cell_itself_answers() -> None:
    model = Surrogate("layers", limit=0.01, lessons=6).bind(LAYERS)
    inner, outer = layered(20, 10, 30), layered(2, 4, 36)
    _, taught, _ = model.solve(drives(20), model.begin(inner), np.zeros(20, np.uint64))
    state = {name: np.concatenate([value, model.begin(outer)[name]]) for name, value in taught.items()}
    answers, _, outcomes = model.solve(drives(22), state, np.zeros(22, np.uint64))
    assert [o.solves for o in outcomes[20:]] == [1, 1]
    exact, _, _ = LAYERS.solve({k: v[20:] for k, v in drives(22).items()}, LAYERS.begin(outer), np.zeros(2, np.uint64))
    assert answers["stress"][20:] == pytest.approx(exact["stress"], rel=1e-10)


def test_where_it_does_not_pay_it_switches_itself_off_and_says_why() -> None:
    rng = np.random.default_rng(4)
    x, K = rng.random((40, 1)), rng.uniform(1.0, 2.0, 40)[:, None, None] * np.eye(3)  # no function of x at all
    bounds = np.tile(0.9 * np.eye(3), (40, 1, 1)), np.tile(2.1 * np.eye(3), (40, 1, 1))
    asked: list[int] = []

    def ask(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.extend(rows.tolist())
        return K[rows], rows != 7  # one cannot be solved

    done = learner.answer(learner.Task(x, *bounds, 1e-3, 6), ask, np.zeros(40, bool), np.zeros((40, 3, 3)))
    assert sorted(asked) == list(range(40))
    assert "surrogate is off" in done.off
    assert not done.taught[7]
    assert done.error[7] == np.inf
    others = np.arange(40) != 7
    assert np.array_equal(done.tensors[others], K[others])


TENSOR = ((2.0, 0.1, 0.0), (0.1, 2.0, 0.0), (0.0, 0.0, 3.0))


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (Solid({"ice": SolidPhase(1e10, creep=Creep(1e-24))}), "is not linear and isotropic: phase 'ice' has creep"),
        (Conduction({"ice": ConductionPhase(tensor=TENSOR)}), "phase 'ice' has tensor"),
        (Solid({"ice": SolidPhase(1e10)}, plane="xy"), "plane drives only"),
    ],
)
def test_cells_that_it_cannot_learn_are_refused(inner: FineModel, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Surrogate("cell").bind(inner)


def test_isotropic_conductivities_stay_between_hashin_and_shtrikman() -> None:
    cell = Conduction({"a": ConductionPhase(1.0), "b": ConductionPhase(10.0)})
    model = Surrogate("cell", isotropic=True).bind(cell)
    f = np.array([[0.7, 0.3]])
    low, high = (model._isotropic(k * np.eye(3)[None], f)[0, 0, 0] for k in (0.1, 100.0))
    assert low == pytest.approx(1 + 0.3 / (1 / 9 + 0.7 / 3))
    assert high == pytest.approx(10 + 0.7 / (-1 / 9 + 0.3 / 30))


JOB = (Path(__file__).parents[2] / "jobs" / "surrogate.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('fine = "cell"\nlimit', "limit", "fine.learned.fine: missing key"),
        ('fine = "cell"\nlimit', 'fine = "cel"\nlimit', "no such fine model"),
        ("limit = 0.01", "limit = 0.5", "must be > 0 and <= 0.1"),
        ("spread = 0.15", "spread = 0.45", "fraction - spread"),
        ('fine = "cell"\nlimit', 'fine = "learned"\nlimit', "circular reference"),
    ],
)
def test_a_job_with_a_surrogate_that_cannot_fall_back_is_refused(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert JOB.count(old) == 1
    path = tmp_path / "job.toml"
    path.write_text(JOB.replace(old, new))
    with pytest.raises(BadInput, match=words):
        built(load_job(path))

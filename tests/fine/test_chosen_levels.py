"""Fine solves where they are called for: what is asked, what is not, and that the answers belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from hpcms.contracts import Array, Arrays, Outcome, Regions
from hpcms.errors import BadInput
from hpcms.fine.conduction import Conduction, ConductionPhase
from hpcms.fine.glen import Glen
from hpcms.fine.levels import Chosen, Goal, Levels
from hpcms.monitor.choice import reasons
from hpcms.monitor.indicators import equivalent

ICE = Glen(youngs_modulus=9e9, poisson_ratio=0.3, density=917.0, A=1e-24)
R = 12


def regions(count: int = R) -> Regions:
    return Regions(np.arange(count), np.zeros((count, 1, 1, 1), np.uint8), ("ice",))


def drive(sizes: Array) -> Arrays:
    direction = np.array([1.0, -0.4, 0.1, 0.2, 0.0, 0.3])
    n = len(sizes)
    return {"strain": sizes[:, None] * direction, "temperature": np.full(n, 263.15), "dt": np.full(n, 3600.0)}


def solved(params: Levels, given: Arrays, state: Arrays | None = None) -> tuple[Chosen, Arrays, Arrays, list[Outcome]]:
    model, n = params.bind(ICE), len(given["dt"])
    answers, new, outcomes = model.solve(given, state or model.begin(regions(n)), np.zeros(n, np.uint64))
    return model, answers, new, outcomes


def direct(given: Arrays) -> Arrays:
    n = len(given["dt"])
    answers, _, _ = ICE.solve(given, ICE.begin(regions(n)), np.zeros(n, np.uint64))
    return answers


def test_only_regions_above_the_stress_are_asked_and_their_answers_are_the_models_own() -> None:
    given = drive(np.linspace(1e-5, 1e-3, R))
    elastic = equivalent(given["strain"] @ ICE.solve(
        {**given, "dt": np.zeros(R)}, ICE.begin(regions()), np.zeros(R, np.uint64))[0]["tangent"][0])  # fmt: skip
    limit = float(np.median(elastic))
    _, answers, new, outcomes = solved(Levels("ice", stress=limit), given)
    above = elastic > limit
    assert [o.solves for o in outcomes] == above.astype(int).tolist()
    assert np.array_equal(answers["level"] == 3, above)
    true = direct(given)
    for name, value in true.items():
        assert np.array_equal(answers[name][above], value[above]), name
    below = answers["stress"][~above]
    assert equivalent(below) == pytest.approx(elastic[~above])
    assert np.all(new["creep_strain"][~above] == 0)
    assert answers["work"] == pytest.approx((answers["stress"] * given["strain"]).sum(axis=1), rel=1e-12)
    assert np.all(answers["density"] == 917.0)


def test_a_region_that_was_asked_once_is_asked_again_whatever_its_stress() -> None:
    given = drive(np.linspace(1e-5, 1e-3, R))
    model, _, state, first = solved(Levels("ice", stress=3e6), given)
    answers, _, outcomes = model.solve(drive(np.full(R, 1e-9)), state, np.zeros(R, np.uint64))
    assert [o.solves for o in outcomes] == [o.solves for o in first]
    kept = np.array([o.solves for o in first], bool)
    assert np.abs(answers["stress"][kept]).max() > 1e3  # what has crept remains as stress of its own


def test_spot_checks_find_the_threshold_by_the_true_error() -> None:
    given = drive(np.linspace(1e-6, 1e-3, 200))
    _, answers, _, outcomes = solved(Levels("ice", stress=1e12, anchors=8, error=0.01), given)
    true = direct(given)["stress"]
    gap = np.linalg.norm(answers["stress"] - true, axis=1) / np.linalg.norm(true, axis=1)
    assert gap.max() < 0.012
    asked = sum(o.solves for o in outcomes)
    needed = np.sum(np.linalg.norm(solved(Levels("ice", stress=1e12), given)[1]["stress"] - true, axis=1)
                    > 0.01 * np.linalg.norm(true, axis=1))  # fmt: skip
    assert needed <= asked <= needed + 16


def test_one_of_a_group_answers_for_the_others_to_second_order() -> None:
    given = drive(1e-3 * (1 + np.array([0.0, 1e-3, 2e-3, 3e-3, 0.5, 0.501])))
    _, answers, new, outcomes = solved(Levels("ice", stress=0.0, similar=0.02), given)
    assert sum(o.solves for o in outcomes) == 2
    assert np.bincount(answers["level"].astype(int))[2:].tolist() == [4, 2]
    true = direct(given)
    gap = np.linalg.norm(answers["stress"] - true["stress"], axis=1) / np.linalg.norm(true["stress"], axis=1)
    assert 0 < gap.max() < 1e-5  # against 3e-3 of the strains
    assert answers["work"] == pytest.approx((answers["stress"] * given["strain"]).sum(axis=1), rel=1e-12)
    assert answers["energy"] == pytest.approx(true["energy"], rel=1e-2)
    assert np.array_equal(new["creep_strain"][0], new["creep_strain"][1])


@dataclass(frozen=True)
class Broken:
    """Elastic at rest, and without an answer under load."""

    drives: ClassVar[tuple[str, ...]] = ("strain",)
    answers: ClassVar[tuple[str, ...]] = ("stress", "tangent", "work")
    guesses: ClassVar[tuple[str, ...]] = ()
    pairing: ClassVar[tuple[str, str]] = ("strain", "stress")

    def begin(self, regions: Regions) -> Arrays:
        return {}

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Any]]:
        n = len(seeds)
        answers = {"stress": np.zeros((n, 6)), "tangent": np.tile(np.eye(6), (n, 1, 1)), "work": np.zeros(n)}
        return answers, {}, [Outcome(not drive["strain"].any(), "no convergence: shorten the step")] * n

    def cost(self, regions: Regions) -> Array:
        return np.ones(len(regions))


def test_a_failure_of_the_one_is_a_failure_of_its_group() -> None:
    model = Levels("broken", stress=0.1, similar=0.1).bind(Broken())
    given = {"strain": np.array([1.0, 1.001, 1e-3])[:, None] * np.eye(6)[0]}
    _, _, outcomes = model.solve(given, model.begin(regions(3)), np.zeros(3, np.uint64))
    assert [o.ok for o in outcomes] == [False, False, True]


def test_without_separation_of_scales_a_region_is_solved_by_itself_and_named() -> None:
    given = drive(np.full(R, 1e-5)) | {"strain_slope": np.where(np.arange(R) % 4 == 1, 300.0, 100.0)}
    params = Levels("ice", stress=1e12, similar=0.1, length=1e-3, scale_ratio=0.2)
    model, answers, _, outcomes = solved(params, given)
    assert model.drives == (*ICE.drives, "strain_slope")
    assert [o.solves for o in outcomes] == [0, 1, 0, 0] * 3
    named = [r for r, flags in enumerate(answers["flags"].astype(int).tolist()) if "scale_ratio" in reasons(flags)]
    assert named == [1, 5, 9]
    assert np.array_equal(answers["level"], np.where(np.arange(R) % 4 == 1, 3.0, 1.0))


@dataclass(frozen=True)
class Softening(Broken):
    """Stiff against everything but the shear 12, which softens with the strain: no longer elliptic from 12 = 1 on."""

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Any]]:
        tangent = np.tile(np.diag([3.0, 3, 3, 1, 1, 1]), (len(seeds), 1, 1))
        tangent[:, 5, 5] -= drive["strain"][:, 5]
        stress = np.einsum("rij,rj->ri", tangent, drive["strain"])
        return {"stress": stress, "tangent": tangent, "work": (stress * drive["strain"]).sum(axis=1)}, {}, [
            Outcome(True)] * len(seeds)  # fmt: skip


def test_where_ellipticity_is_lost_no_region_answers_for_another() -> None:
    shear = np.array([0.5, 0.51, 1.2, 1.21])
    model = Levels("softening", stress=0.0, similar=0.05, ellipticity=0.0).bind(Softening())
    given = {"strain": shear[:, None] * np.eye(6)[5]}
    answers, _, outcomes = model.solve(given, model.begin(regions(4)), np.zeros(4, np.uint64))
    assert sum(o.solves for o in outcomes) == 3
    assert sorted(answers["level"][:2].tolist()) == [2.0, 3.0]
    assert answers["level"][2:].tolist() == [3.0, 3.0]
    assert ["ellipticity" in reasons(int(f)) for f in answers["flags"]] == [False, False, True, True]


def test_spot_checks_say_what_they_measured_and_what_it_lets_expect_of_the_others() -> None:
    given = drive(np.geomspace(1e-7, 1e-3, 200))
    _, answers, _, _ = solved(Levels("ice", stress=1e12, anchors=8, error=0.01), given)
    true = direct(given)["stress"]
    linear = solved(Levels("ice", stress=1e12), given)[1]["stress"]
    checked = answers["measured_error"] >= 0
    assert np.array_equal(checked, answers["level"] == 3)
    gap = np.linalg.norm(linear - true, axis=1) / np.linalg.norm(linear, axis=1)
    assert answers["measured_error"][checked] == pytest.approx(gap[checked], rel=1e-9)
    assert np.all(answers["expected_error"][~checked] >= gap[~checked])
    assert answers["expected_error"][~checked].max() <= 0.01


def test_a_linear_level_that_saves_nothing_says_that_it_is_off() -> None:
    given = drive(np.linspace(1e-4, 1e-3, R))
    _, _, _, outcomes = solved(Levels("ice", stress=1e12, anchors=2, error=1e-9), given)
    assert [o.solves for o in outcomes] == [1] * R
    assert {o.note for o in outcomes if o.note} == {
        "the linear level is off: all 12 regions below the threshold had to be solved"
    }


def test_a_scale_ratio_needs_a_length() -> None:
    with pytest.raises(BadInput, match="scale_ratio and length belong together"):
        Levels("ice", stress=1.0, scale_ratio=0.25)


def test_what_is_no_solid_is_refused() -> None:
    with pytest.raises(BadInput, match="is no solid"):
        Levels("heat", stress=1.0).bind(Conduction({"a": ConductionPhase(1.0)}))


def test_the_goal_is_kept_within_its_tolerance_by_asking_where_it_matters() -> None:
    """Regions of equal load but different influence: the ones that matter are asked, and the sum of errors is kept."""
    given = drive(np.linspace(2e-4, 4e-4, 100))
    goal = Goal((0.0, 0.0), "x", 1.0)
    matters = np.where(np.arange(100) % 2, 1.0, 1e-4)
    true = direct(given)["stress"]
    plain = Levels("ice", stress=1e12).bind(ICE)
    linear = plain.solve(given, plain.begin(regions(100)), np.zeros(100, np.uint64))[0]["stress"]
    whole = float(matters @ np.linalg.norm(linear - true, axis=1))
    model = Levels("ice", stress=1e12, anchors=4, goal=goal).bind(ICE).towards(matters / (0.3 * whole))
    answers, _, outcomes = model.solve(given, model.begin(regions(100)), np.zeros(100, np.uint64))
    left = float(matters @ np.linalg.norm(answers["stress"] - true, axis=1))
    asked = np.array([o.solves for o in outcomes], bool)
    assert left <= 0.3 * whole
    assert asked.sum() < 60
    assert asked[1::2].sum() > 2 * asked[::2].sum()

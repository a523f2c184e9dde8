"""What is foretold of a step: exact for steady creep at another temperature, for elasticity, and for powers from rest."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcms.contracts import Arrays
from hpcms.coupling._foretold import Told, foretell
from hpcms.coupling._records import Records, affine, powered
from hpcms.coupling._rows import Rows

PAIR = ("strain", "stress")
WAY = np.array([[1.0, 0.5, 0.0, 0.0, 0.0, -0.2], [0.3, -1.0, 0.2, 0.1, 0.0, 0.5]])
SOFTER = 0.1  # d log rate / dT, 1/K
STIFF = np.diag([3.0, 2.0, 2.0, 1.0, 1.0, 1.0])


def creep(strain: np.ndarray, before: np.ndarray, dt: float, temperature: np.ndarray, degree: float) -> Arrays:
    """|stress| = (|rate| / exp(c T))^(1 / degree), along the rate."""
    rate, m = (strain - before) / dt, 1.0 / degree
    size = np.linalg.norm(rate, axis=-1)[:, None]
    stress = np.exp(-SOFTER * m * temperature)[:, None] * size ** (m - 1.0) * rate
    unit = rate / size
    inner = np.eye(6) + (m - 1.0) * unit[:, :, None] * unit[:, None, :]
    tangent = (np.exp(-SOFTER * m * temperature)[:, None] * size ** (m - 1.0))[:, :, None] * inner / dt
    return {"stress": stress, "tangent": tangent, "tangent_temperature": -SOFTER * m * stress}


def ended(strains: list[np.ndarray], temperatures: list[float], dt: float, degree: float) -> list[Told]:
    """Steps of creep; the first strain is that at rest."""
    out = [Told(dt, {"strain": strains[0], "temperature": np.full(2, temperatures[0])}, {})]
    for before, strain, t in zip(strains, strains[1:], temperatures[1:], strict=False):
        temperature = np.full(2, t)
        drive = {"strain": strain, "temperature": temperature}
        out.append(Told(dt, drive, creep(strain, before, dt, temperature, degree)))
    return out


@given(st.floats(1.5, 5.0), st.floats(-8.0, 8.0), st.floats(0.2, 3.0))
def test_steady_creep_is_foretold_at_another_temperature_and_step(degree: float, warmer: float, ratio: float) -> None:
    """Drive and stress agree with the law itself, and so does the tangent where the step is as long as the one before."""
    told = ended([0 * WAY, WAY, 2.0 * WAY], [0.0, 0.0, 0.0], 2.0, degree)
    drive, answers = foretell(PAIR, told, 2.0 * ratio, np.full(2, warmer))
    truth = creep(drive["strain"], 2.0 * WAY, 2.0 * ratio, np.full(2, warmer), degree)
    np.testing.assert_allclose(answers["stress"], truth["stress"], rtol=1e-9, atol=1e-9)
    if abs(warmer) > 1e-3:
        assert (
            np.abs(drive["strain"] / (2.0 * WAY + (WAY == 0)) - 1.0 - 0.5 * ratio).max() > 1e-6
        )  # not the rate of before
    drive, answers = foretell(PAIR, told, 2.0, np.full(2, warmer))
    truth = creep(drive["strain"], 2.0 * WAY, 2.0, np.full(2, warmer), degree)
    np.testing.assert_allclose(answers["tangent"], truth["tangent"], rtol=1e-9, atol=1e-12)


def elastic(strain: np.ndarray) -> Arrays:
    return {"stress": strain @ STIFF, "tangent": np.tile(STIFF, (2, 1, 1))}


@given(st.floats(0.2, 3.0), st.floats(-2.0, 2.0))
def test_an_elastic_answer_goes_on_with_its_increments(ratio: float, place: float) -> None:
    steps = [0.0 * WAY, 0.7 * WAY, 1.9 * WAY]
    told = [Told(1.0, {"strain": x}, elastic(x) if i else {}) for i, x in enumerate(steps)]
    law = foretell(PAIR, told, ratio, None)
    at = {"strain": place * WAY}
    np.testing.assert_allclose(affine(PAIR, *law, at)["stress"], elastic(at["strain"])["stress"], atol=1e-12)


def test_each_site_goes_by_the_law_that_was_right_before() -> None:
    """One site creeps, the other is elastic; a flow law for the elastic one would be wrong by a whole increment."""
    told = []
    for i, x in enumerate([0.0 * WAY, WAY, 2.0 * WAY]):
        flowing = creep(x, x - WAY, 1.0, np.zeros(2), 3.0)
        own = {name: np.stack([flowing[name][0], elastic(x)[name][1]]) for name in ("stress", "tangent")}
        told.append(Told(1.0, {"strain": x}, own if i else {}))
    drive, answers = foretell(PAIR, told, 1.0, None)
    np.testing.assert_allclose(drive["strain"], 3.0 * WAY, rtol=1e-12)
    np.testing.assert_allclose(answers["stress"][0], told[-1].answers["stress"][0], rtol=1e-12)
    np.testing.assert_allclose(answers["stress"][1], elastic(3.0 * WAY)["stress"][1], rtol=1e-12)


def test_what_is_not_the_last_step_any_more_keeps_what_is_needed() -> None:
    told = ended([0 * WAY, WAY, 2.0 * WAY, 3.1 * WAY], [0.0, 0.0, 1.0, -2.0], 1.0, 3.0)
    more = [Told(each.dt, each.drive | {"dt": np.ones(2)}, each.answers | {"energy": np.ones(2)}) for each in told]
    slim = [*(each.kept(PAIR) for each in more[:-1]), more[-1]]
    assert "energy" not in slim[0].answers
    assert "dt" not in slim[1].drive
    for whole, small in zip(
        foretell(PAIR, more[1:], 1.0, np.ones(2)), foretell(PAIR, slim[1:], 1.0, np.ones(2)), strict=True
    ):
        for name, value in whole.items():
            np.testing.assert_array_equal(value, small[name])


@given(st.floats(1.2, 6.0), st.floats(0.02, 50.0))
def test_a_power_from_rest_is_found_exactly(degree: float, further: float) -> None:
    """Along the drive; a step further has its tangent there too."""
    cold = np.zeros(2)
    own = creep(WAY, 0 * WAY, 1.0, cold, degree)
    found = powered(PAIR, 0 * WAY, {"strain": WAY}, own, {"strain": further * WAY})
    truth = creep(further * WAY, 0 * WAY, 1.0, cold, degree)
    np.testing.assert_allclose(found["stress"], truth["stress"], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found["tangent"], truth["tangent"], rtol=1e-8, atol=1e-12)


@given(st.floats(0.9, 1.1))
def test_beside_the_drive_a_power_is_wrong_to_second_order_only(further: float) -> None:
    cold, aside = np.zeros(2), np.roll(WAY, 1, axis=1)
    own = creep(WAY, 0 * WAY, 1.0, cold, 3.0)
    for h in (1e-2, 1e-3):
        at = further * WAY + h * aside
        missed = (
            powered(PAIR, 0 * WAY, {"strain": WAY}, own, {"strain": at})["stress"]
            - creep(at, 0 * WAY, 1.0, cold, 3.0)["stress"]
        )
        assert np.abs(missed).max() < 2.0 * (abs(further - 1.0) + h) * h


def test_an_elastic_answer_from_rest_stays_affine() -> None:
    found = powered(PAIR, 0 * WAY, {"strain": WAY}, elastic(WAY), {"strain": -3.0 * WAY})
    np.testing.assert_allclose(found["stress"], elastic(-3.0 * WAY)["stress"], rtol=1e-12)


def test_a_history_that_moves_counts_as_an_error_until_the_record_is_made_again() -> None:
    r = Records(Rows(np.array([0]), np.array([2])), PAIR, True, {"strain": WAY})
    batch, rows = np.array([0]), np.arange(2)
    r.put(batch, elastic(WAY))
    assert not r.estimate({"strain": WAY}).any()
    r.drift(rows, np.array([0.1, 0.0]))
    np.testing.assert_allclose(r.estimate({"strain": WAY}), [0.1, 0.0])
    r.drifting[rows] = 0.0  # asked again, and the history moves once more before the answer comes
    r.drift(rows, np.array([0.02, 0.0]))
    np.testing.assert_allclose(r.estimate({"strain": WAY}), [0.12, 0.0])
    r.put(batch, elastic(WAY))
    np.testing.assert_allclose(r.estimate({"strain": WAY}), [0.02, 0.0])


@given(st.floats(1.5, 5.0), st.floats(-5.0, 5.0))
def test_what_is_known_of_the_rate_is_exact_where_the_slope_is_not(degree: float, warmer: float) -> None:
    """The activation energy changes at the temperature of the step before: the slope is that of one side."""
    told = ended([0 * WAY, WAY, 2.0 * WAY], [0.0, 0.0, 0.0], 2.0, degree)
    beyond = np.full(
        2, 3.0 * warmer
    )  # the law of ``creep`` at another temperature is that of a three times steeper slope
    truth = np.exp(SOFTER * beyond)
    drive, answers = foretell(PAIR, told, 2.0, np.full(2, warmer), lambda old, new: np.where(old == new, 1.0, truth))
    np.testing.assert_allclose(drive["strain"], 2.0 * WAY + truth[:, None] * WAY, rtol=1e-9)
    same = creep(drive["strain"], 2.0 * WAY, 2.0, beyond, degree)
    np.testing.assert_allclose(answers["stress"], same["stress"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(answers["tangent"], same["tangent"], rtol=1e-9, atol=1e-12)


def test_a_record_goes_by_the_law_that_would_have_told_it_better() -> None:
    """The first site creeps, the second is elastic: both are then told exactly along their way."""
    cold, before = np.zeros(2), 5.0 * WAY
    r = Records(Rows(np.array([0]), np.array([2])), PAIR, True, {"strain": before + WAY})
    r.start = before

    def given_at(further: float) -> Arrays:
        flows, stays = creep(before + further * WAY, before, 1.0, cold, 3.0), elastic(before + further * WAY)
        return {n: np.stack([flows[n][0], stays[n][1]]) for n in ("stress", "tangent")}

    for further in (1.0, 1.2):
        r.sent = {"strain": before + further * WAY}
        r.put(np.array([0]), given_at(further))
    assert r.power.tolist() == [True, False]
    found = r.at({"strain": before + 0.7 * WAY})
    np.testing.assert_allclose(found["stress"], given_at(0.7)["stress"], rtol=1e-8, atol=1e-12)

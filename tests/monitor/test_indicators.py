"""Indicators against closed forms, and the choice that follows from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.errors import BadInput
from hpcms.monitor import indicators as ind
from hpcms.monitor.choice import CONCURRENT, FINE, LEVELS, RULES, SKIP, Thresholds, choose


def test_the_gradient_of_a_linear_field_is_exact_in_space_plane_and_line() -> None:
    rng = np.random.default_rng(1)
    for d in (1, 2, 3):
        x, slope = rng.random((200, d)), rng.standard_normal((3, d))
        assert np.allclose(ind.gradients(x, x @ slope.T + 1.0), slope, atol=1e-9)


def test_the_scale_ratio_of_an_exponential_is_length_over_decay_length() -> None:
    x = np.linspace(0, 1, 2001)[:, None]
    ratio = ind.scale_ratio(x, np.exp(x / 0.25) @ np.array([[3.0, -1.0]]), 0.05)
    assert ratio[5:-5] == pytest.approx(0.05 / 0.25, rel=1e-3)
    assert ind.scale_ratio(x, np.ones((2001, 6)), 0.05).max() < 1e-9
    assert ind.scale_ratio(x, np.zeros((2001, 6)), 0.05).max() == 0
    assert ind.wave_ratio(0.1, np.full(3, 2.0), np.full(3, 8.0)) == pytest.approx(0.4)


def test_half_of_a_crossing_leaves_at_the_known_adiabaticity() -> None:
    a, v = 1e-21, 300.0
    slope = a**2 / (ind.HBAR * v * np.log(2) / (2 * np.pi))
    found = ind.adiabaticity(np.array([a]), np.array([v]), np.array([slope]))
    assert found == pytest.approx(0.110318, abs=1e-6)
    assert ind.passage(found) == pytest.approx(0.5)
    assert ind.adiabaticity(np.array([a]), np.array([0.0]), np.array([1.0]))[0] == np.inf


def test_the_equivalent_stress_of_tension_and_shear() -> None:
    s = np.array([[5.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, np.sqrt(2) * 2.0], [7.0, 7, 7, 0, 0, 0]])
    assert ind.equivalent(s) == pytest.approx([5.0, np.sqrt(3) * 2, 0.0], abs=1e-12)


def test_the_hull_of_a_triangle_is_not_its_box() -> None:
    triangle = np.array([[0.0, 0], [1, 0], [0, 1]])
    found = ind.outside(np.array([[0.2, 0.2], [0.9, 0.9], [0.0, 0.5], [2.0, 0.0]]), triangle)
    assert list(found > 0) == [False, True, False, True]
    assert found[3] == pytest.approx(1.0)
    line = ind.outside(np.array([[0.5, 3.0], [0.5, 3.1]]), np.array([[0.0, 3.0], [1.0, 3.0]]))
    assert list(line > 0) == [False, True]
    assert ind.outside(np.zeros((2, 1)), np.zeros((0, 1))).min() == np.inf


def test_the_record_error_is_second_order() -> None:
    eps = np.array([[0.0, 0.2], [0.0, 0.1]])
    assert ind.linear_error(eps, np.zeros_like(eps), 3.0) == pytest.approx([0.06, 0.015])


def test_the_highest_level_that_is_asked_for_wins_and_says_why() -> None:
    values = {"stress": np.array([1.0, 9, 9, np.nan]), "scale_ratio": np.array([0.0, 0.0, 0.3, 0.0])}
    found = choose(values, Thresholds(stress=5.0, scale_ratio=0.1))
    assert found.level.tolist() == [SKIP, FINE, CONCURRENT, FINE]
    assert found.why(2) == ("stress", "scale_ratio")
    assert found.without_separation() == ["region 2: scale ratio l |grad eps| / |eps|"]
    assert found.count() == {"skip": 1, "fine": 2, "concurrent": 1}
    assert choose(values, Thresholds(stress=5.0), available=("linear", "fine")).level.tolist() == [1, 3, 3, 3]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.permutations(range(30)))
def test_the_choice_of_a_region_depends_on_nothing_else(values: list[float], order: list[int]) -> None:
    x = np.array(values)
    order = [i for i in order if i < len(x)]
    watched = dict.fromkeys(RULES, x)
    limits = Thresholds(**{name: 0.5 * k for k, name in enumerate(RULES)})
    whole, mixed = choose(watched, limits), choose(dict.fromkeys(RULES, x[order]), limits)
    assert np.array_equal(whole.level[order], mixed.level)
    assert np.array_equal(whole.passed[order], mixed.passed)


def test_a_watched_indicator_has_to_be_there() -> None:
    with pytest.raises(BadInput, match="scale_ratio"):
        choose({"stress": np.ones(2)}, Thresholds(scale_ratio=1.0))
    with pytest.raises(BadInput, match="no such level"):
        choose({"stress": np.ones(2)}, Thresholds(stress=1.0), available=("good",))
    assert set(RULES) == set(Thresholds.__dataclass_fields__)
    assert len(LEVELS) == 5

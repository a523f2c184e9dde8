"""Derived numbers: tensors, units, bounds and ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpcms.report import measures
from tests.report import synthetic

tensors = arrays(np.float64, (3, 6), elements=st.floats(-1e3, 1e3))
quick = settings(deadline=None, derandomize=True, max_examples=40)


def full(mandel: np.ndarray) -> np.ndarray:
    """The 3 x 3 tensor of one Mandel vector."""
    a, b, c, d, e, f = mandel / np.sqrt([1, 1, 1, 2, 2, 2])
    return np.array([[a, f, e], [f, b, d], [e, d, c]])


@quick
@given(tensors)
def test_equivalent_stress_is_that_of_the_full_tensor(sigma: np.ndarray) -> None:
    found = measures.equivalent_stress(sigma)
    for mandel, value in zip(sigma, found, strict=True):
        s = full(mandel) - np.trace(full(mandel)) / 3 * np.eye(3)
        assert value == pytest.approx(np.sqrt(1.5 * np.sum(s * s)), rel=1e-9, abs=1e-9)


@quick
@given(tensors, st.floats(-1e3, 1e3))
def test_pressure_changes_no_equivalent_value(sigma: np.ndarray, pressure: float) -> None:
    pressed = sigma + pressure * np.array([1.0, 1, 1, 0, 0, 0])
    assert np.allclose(measures.equivalent_stress(sigma), measures.equivalent_stress(pressed), atol=1e-8)
    assert np.allclose(measures.equivalent_strain(sigma), measures.equivalent_strain(pressed), atol=1e-8)


def test_uniaxial_values_are_the_axial_ones() -> None:
    assert measures.equivalent_stress(np.array([0, -5.0, 0, 0, 0, 0])) == pytest.approx(5.0)
    assert measures.equivalent_strain(np.array([-0.5, 1.0, -0.5, 0, 0, 0])) == pytest.approx(1.0)


@quick
@given(st.sampled_from(["m", "Pa", "s", "", "1/s", "kg/m³"]), st.floats(1e-12, 1e12))
def test_a_unit_never_changes_a_value_by_more_than_its_factor(unit: str, value: float) -> None:
    suited = measures.scale([value, -value / 3, np.nan], unit)
    assert suited.factor > 0
    assert float(suited(value)) == pytest.approx(value * suited.factor)


@pytest.mark.parametrize(
    ("value", "unit", "symbol", "shown"),
    [(0.11, "m", "cm", 11.0), (4e4, "Pa", "kPa", 40.0), (365 * 86400.0, "s", "days", 365.0), (0.02, "", "%", 2.0)],
)
def test_units_are_those_that_people_expect(value: float, unit: str, symbol: str, shown: float) -> None:
    suited = measures.scale([value], unit)
    assert suited.symbol == symbol
    assert float(suited(value)) == pytest.approx(shown)


def test_nothing_to_scale_keeps_the_unit() -> None:
    assert measures.scale([], "m").symbol == "m"
    assert measures.scale([0.0, np.nan], "Pa").symbol == "Pa"


def test_worst_regions_come_largest_first_and_never_as_nan() -> None:
    assert measures.worst(np.array([1.0, np.nan, 5.0, 5.0, 2.0]), 3) == [2, 3, 4]
    assert measures.worst(np.array([np.nan, np.nan]), 3) == []


def test_series_come_from_the_summary_and_else_from_the_steps(tmp_path: Path) -> None:
    data = synthetic.footing_run(tmp_path, nx=2, ny=1, steps=3)
    found = measures.series(data)
    assert found["settlement"].t.tolist() == data.times.tolist()
    assert found["settlement"].values[-1] == pytest.approx(0.1)
    assert found["settlement"].unit == "m"
    assert found["surface_temperature"].unit == "K"
    told = {"settlement": {"t": [1.0, 2.0], "values": [0.1, 0.2], "unit": ""}, "broken": {"t": [1.0], "values": []}}
    found = measures.series(replace(data, summary={**data.summary, "series": told}))
    assert found["settlement"].values.tolist() == [0.1, 0.2]
    assert set(found) == {"settlement"}


def test_bounds_share_the_work_by_the_workers(tmp_path: Path) -> None:
    data = synthetic.footing_run(tmp_path, nx=2, ny=1, steps=1, workers=3)
    found = {bound.name: bound.seconds for bound in measures.bounds(data)}
    assert found["T1 / 3"] == pytest.approx(data.summary["work_s"] / 3)
    several = replace(data, summary={"work_s": 6.0, "lower_bound_s": 3.0, "lb1_s": 2.5})
    assert {bound.name for bound in measures.bounds(several)} >= {"work T1", "LB0", "LB1"}
    assert measures.bounds(replace(data, summary={}, records=())) == []

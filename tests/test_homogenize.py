"""Effective properties of an image: the JSON contract, closed forms, bounds, bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hpcms
from hpcms.errors import BadInput, NumericalFailure
from hpcms.fine.laminate import effective, isotropic
from hpcms.homogenize import Homogenized, homogenize

TENSOR = {"conductivity": (3, 3), "stiffness": (6, 6)}
REST = {"bounds", "fractions", "iterations", "residuals", "cpu_s", "wall_s", "peak_memory_bytes"}
LAYERS = np.zeros((6, 3, 2), np.uint8)
LAYERS[:2] = 1
BLOCKS = np.random.default_rng(0).integers(0, 2, (6, 6, 6)).astype(np.uint8)


def test_the_public_name_stays_callable():
    for _ in range(2):
        found = hpcms.homogenize(LAYERS, conductivity={0: 1.0, 1: 10.0})
        assert isinstance(found, Homogenized)


@pytest.mark.parametrize("load", ["all", "22"])
@pytest.mark.parametrize("kind", ["conductivity", "elastic"])
def test_the_object_for_programs(kind, load):
    phases = {"0": 1.0, "1": 10.0} if kind == "conductivity" else {0: (1.0, 0.3), 1: (10.0, 0.2)}
    found = homogenize(BLOCKS, **{kind: phases}, load=load)
    plain = json.loads(json.dumps(found.json(), allow_nan=False))
    name = "conductivity" if kind == "conductivity" else "stiffness"
    assert set(plain) == {name} | REST
    tensor = np.array(plain[name], float)
    assert tensor.shape == TENSOR[name]
    filled = np.isfinite(tensor).all(axis=0)
    assert filled.all() if load == "all" else np.flatnonzero(filled).tolist() == [1]
    assert len(plain["iterations"]) == filled.sum()
    assert set(plain["bounds"]) == {"voigt", "reuss", "hashin_shtrikman"}
    assert plain["peak_memory_bytes"] > 1e6
    assert plain["wall_s"] > 0
    assert found["iterations"] == plain["iterations"]
    assert dict(found) == found.json()
    assert len(found) == len(plain)


def test_a_laminate_has_its_exact_conductivity_and_bounds():
    found = homogenize(LAYERS, conductivity={0: 1.0, 1: 10.0}, tolerance=1e-10, spacing=(1e-3, 2e-3, 5e-4))
    np.testing.assert_allclose(found.conductivity, np.diag([1 / (2 / 3 + 1 / 30), 4, 4]), atol=1e-9)
    assert found.bounds["voigt"] == pytest.approx(4)
    assert found.bounds["reuss"] == pytest.approx(1 / (2 / 3 + 1 / 30))
    assert found.fractions == pytest.approx({"0": 2 / 3, "1": 1 / 3})


def test_a_laminate_has_its_exact_stiffness():
    found = homogenize(LAYERS, elastic={0: (1.0, 0.3), 1: (10.0, 0.2)}, tolerance=1e-10)
    across = np.array([True, False, False, False, True, True])
    want = effective(np.array([isotropic(1, 0.3), isotropic(10, 0.2)]), np.array([2 / 3, 1 / 3]), across)
    np.testing.assert_allclose(found.stiffness, want, atol=1e-8)


@pytest.mark.parametrize("kind", ["conductivity", "elastic"])
def test_the_three_boundary_conditions_are_ordered(kind):
    phases = {0: 1.0, 1: 10.0} if kind == "conductivity" else {0: (1.0, 0.3), 1: (10.0, 0.2)}
    energy = [
        homogenize(BLOCKS, **{kind: phases}, load="11", boundary=boundary, tolerance=1e-8)
        for boundary in ("traction", "periodic", "displacement")
    ]
    values = [(one.conductivity if kind == "conductivity" else one.stiffness)[0, 0] for one in energy]
    assert values == sorted(values)
    assert values[2] > values[0] * 1.001


def test_files_thresholds_crops_and_mirrors(tmp_path):
    grey = np.random.default_rng(1).integers(0, 1000, (8, 8, 8)).astype(np.uint16)
    np.save(tmp_path / "grey.npy", grey)
    found = homogenize(tmp_path / "grey.npy", conductivity={0: 1, 1: 5}, threshold=500, crop=(4, 4, 4), mirror=True)
    labels = (grey > 500)[:4, :4, :4].astype(np.uint8)
    assert found.fractions["1"] == labels.mean()
    np.testing.assert_allclose(found.conductivity - np.diag(np.diag(found.conductivity)), 0, atol=1e-6)


def test_a_flat_image_is_a_plane_problem():
    board = np.kron([[0, 1], [1, 0]], np.ones((4, 4))).astype(np.uint8)
    for boundary in ("periodic", "displacement", "traction"):
        found = homogenize(board, conductivity={0: 1.0, 1: 10.0}, boundary=boundary)
        assert found.conductivity[2, 2] == pytest.approx(5.5)
        lower, upper = found.bounds["hashin_shtrikman"]
        assert (lower, upper) == pytest.approx((2.38462, 4.19355), rel=1e-5)
        if boundary == "periodic":
            assert lower < found.conductivity[0, 0] < upper


def test_void_phases_and_phases_that_do_not_occur():
    found = homogenize(BLOCKS, conductivity={0: 0, 1: 2.0, 7: 3.0})
    assert set(found.fractions) == {"0", "1"}
    assert 0 < found.conductivity[0, 0] < found.bounds["voigt"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"conductivity": None}, "either elastic or conductivity"),
        ({"elastic": {0: (1, 0.3)}}, "either elastic or conductivity"),
        ({"conductivity": {0: 1.0}}, "label 1"),
        ({"conductivity": {0: -1.0, 1: 1.0}}, "phase 0"),
        ({"conductivity": {0: np.nan, 1: 1.0}}, "phase 0"),
        ({"conductivity": {0: "much", 1: 1.0}}, "phase 0"),
        ({"conductivity": None, "elastic": {0: (1.0, 0.5), 1: (1.0, 0.3)}}, "phase 0"),
        ({"conductivity": None, "elastic": {0: 1.0, 1: (1.0, 0.3)}}, "phase 0"),
        ({"load": "44"}, "unknown load"),
        ({"load": "12"}, "unknown load"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": np.nan}, "tolerance"),
        ({"boundary": "free"}, "boundary"),
        ({"spacing": (1.0, 0.0, 1.0)}, "spacing"),
        ({"spacing": (1.0, 1.0)}, "spacing"),
        ({"crop": 99}, "crop"),
        ({"threshold": 5}, "only one phase"),
        ({"image": np.full((2, 2, 2), 0.5)}, "whole numbers"),
        ({"image": np.zeros(3)}, "2 or 3 axes"),
        ({"image": "absent.npy"}, "no such image"),
    ],
)
def test_bad_input_is_refused(change, text):
    call = {"image": BLOCKS, "conductivity": {0: 1.0, 1: 10.0}, **change}
    with pytest.raises(BadInput, match=text):
        homogenize(**call)


def test_a_tolerance_below_rounding_is_a_numerical_failure():
    with pytest.raises(NumericalFailure, match="load 11"):
        homogenize(BLOCKS, conductivity={0: 1.0, 1: 1e6}, tolerance=1e-17)

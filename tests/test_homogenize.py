"""Effective properties of an image: the JSON contract, closed forms, bounds, bad input."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

import hpcms
from hpcms.errors import BadInput, NumericalFailure
from hpcms.fine.laminate import effective, isotropic
from hpcms.homogenize import Homogenized, homogenize
from hpcms.properties import PROPERTIES, Cell

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


@pytest.mark.parametrize(
    "image", [LAYERS, BLOCKS, np.zeros((4, 3, 5), np.uint8)], ids=["layers", "blocks", "one phase"]
)
@pytest.mark.parametrize("kind", ["conductivity", "elastic"])
def test_threads_change_no_digit(kind, image):
    values = {"conductivity": {0: 1.0, 1: 10.0}, "elastic": {0: (1.0, 0.3), 1: (10.0, 0.2)}}[kind]
    own = {label: value for label, value in values.items() if (image == label).any()}
    one, two = (homogenize(image, **{kind: own}, threads=count) for count in (1, 2))
    name = "stiffness" if kind == "elastic" else "conductivity"
    assert np.array_equal(getattr(one, name), getattr(two, name))


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
        ({"conductivity": None}, "give one of elastic, conductivity, fluid, viscosity"),
        ({"elastic": {0: (1, 0.3)}}, "give one of elastic, conductivity, fluid, viscosity"),
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
        ({"spacing": "fine"}, "spacing"),
        ({"tolerance": "fine"}, "tolerance"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"max_iterations": 1.5}, "max_iterations"),
        ({"conductivity": {0: 1.0, 1: np.ones((2, 2))}}, "phase 1"),
        ({"conductivity": {0: 1.0, 1: np.diag([1.0, 1.0, -1.0])}}, "phase 1"),
        ({"conductivity": {0: 1.0, 1: np.triu(np.ones((3, 3)))}}, "phase 1"),
        ({"conductivity": None, "elastic": {0: (1.0, 0.3), 1: np.diag([1.0, 1, 1, 1, 1, -1])}}, "phase 1"),
        ({"conductivity": None, "elastic": {0: (1.0, 0.3), 1: np.full((6, 6), np.nan)}}, "phase 1"),
        ({"conductivity": None, "elastic": {0: (0, 0.3), 1: (0, 0.3)}}, "no phase in the image has a stiffness"),
        ({"conductivity": None, "fluid": {0: "rigid"}}, "phase 0: needs the viscosity"),
        ({"conductivity": None, "fluid": {0: 1.0, 1: 2.0}}, "no voxel is solid"),
        ({"conductivity": None, "fluid": {5: 1.0}}, "no voxel of the image is liquid"),
        ({"conductivity": None, "fluid": {0: np.nan}}, "phase 0"),
        ({"conductivity": None, "viscosity": {0: 0.0, 1: 1.0}}, "phase 0: needs a viscosity"),
        ({"conductivity": None, "viscosity": {0: "rigid", 1: "rigid"}}, "there is no liquid"),
        ({"conductivity": None, "viscosity": {0: 1.0, 1: 1.0}, "load": "11"}, "one axis alone"),
        ({"conductivity": None, "viscosity": {0: 1.0, 1: 1.0}, "boundary": "traction"}, "only periodic"),
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


@pytest.mark.parametrize("boundary", ["periodic", "displacement", "traction"])
@pytest.mark.parametrize("kind", ["conductivity", "elastic"])
def test_a_load_that_does_not_converge_says_what_to_do(kind, boundary):
    phases = {0: 1.0, 1: 1e4} if kind == "conductivity" else {0: (1.0, 0.3), 1: (1e4, 0.3)}
    with pytest.raises(NumericalFailure, match=r"load 11 did not converge.* after 2 iterations") as caught:
        homogenize(BLOCKS, **{kind: phases}, boundary=boundary, max_iterations=2)
    assert caught.value.hint == "raise max_iterations"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("boundary", ["periodic", "displacement", "traction"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_layers_of_nothing_carry_no_load_across(boundary, axis):
    """True voids that cut the cell through: the stiffness across vanishes, nothing else fails."""
    image = np.moveaxis(LAYERS, 0, axis)
    found = homogenize(image, elastic={0: (1.0, 0.3), 1: (0.0, 0.3)}, boundary=boundary, tolerance=1e-8)
    C, plane = found.stiffness, [other for other in range(3) if other != axis]
    if boundary != "displacement":
        assert abs(C[axis, axis]) < 1e-7
    sheet = 2 / 3 / (1 - 0.3**2) * np.array([[1, 0.3], [0.3, 1]])
    if boundary == "periodic":
        np.testing.assert_allclose(C[np.ix_(plane, plane)], sheet, atol=1e-6)


@pytest.mark.parametrize(("kind", "boundary"), [
    (kind, boundary) for kind, one in PROPERTIES.items() for boundary in one.bytes if (kind, boundary) != ("elastic", "periodic")
])  # fmt: skip
def test_the_memory_that_a_cell_needs_is_known(kind, boundary):
    """What is refused beforehand is what is needed; periodic elastic cells of this size are solved several at a time."""
    values = {
        "elastic": [(1.0, 1.0), (2.0, 2.0)],
        "conductivity": [1.0, 2.0],
        "fluid": [1.0, "solid"],
        "viscosity": [1.0, 2.0],
    }
    wanted = PROPERTIES[kind]
    phase = np.random.default_rng(0).integers(0, 2, (30, 30, 30)).astype(np.uint8)
    cell = Cell(phase, values[kind], (1.0, 1.0, 1.0), wanted.loads, 1e-2, 3, boundary)
    wanted.solve(replace(cell, phase=phase[:3, :3, :3]))
    tracemalloc.start()
    wanted.solve(cell)
    peak = tracemalloc.get_traced_memory()[1] / phase.size
    tracemalloc.stop()
    assert 0.8 < peak / wanted.bytes[boundary] < 1.15


@pytest.mark.parametrize("kind", list(PROPERTIES))
def test_an_image_beyond_memory_is_refused(kind, monkeypatch):
    values = {"elastic": {0: (1.0, 0.3), 1: (2.0, 0.3)}, "fluid": {0: 1.0}}.get(kind, {0: 1.0, 1: 2.0})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100 * BLOCKS.size))
    with pytest.raises(BadInput, match="do not fit in the free memory"):
        homogenize(BLOCKS, **{kind: values})


def test_a_tolerance_below_rounding_is_a_numerical_failure():
    with pytest.raises(NumericalFailure, match="load 11"):
        homogenize(BLOCKS, conductivity={0: 1.0, 1: 1e6}, tolerance=1e-17)

"""Permeability and viscosity of an image: closed forms of channels, cylinders, layers and dilute spheres; the JSON contract."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.errors import NumericalFailure
from hpcms.homogenize import homogenize

QUICK = settings(max_examples=10, deadline=None, derandomize=True)
REST = {"bounds", "fractions", "iterations", "residuals", "cpu_s", "wall_s", "peak_memory_bytes"}
CHANNEL = np.zeros((2, 16, 2), np.uint8)
CHANNEL[:, :4] = 1


def ball(n, radius, dimension=3):
    x = (np.arange(n) + 0.5 - n / 2) ** 2
    square = x[:, None] + x
    return ((x[:, None, None] + square if dimension == 3 else square[:, :, None]) < radius**2).astype(np.uint8)


@given(st.floats(1e-6, 10.0), st.floats(1e-4, 1e3))
@QUICK
def test_a_channel_in_metres(h, mu):
    """Plane Poiseuille flow, b^2/12 times the porosity, less 2 h^2 of the voxels; the mobility is by the viscosity."""
    found = homogenize(CHANNEL, fluid={0: mu}, spacing=(h, h, h), tolerance=1e-9)
    want = 0.75 * (12**2 / 12) * h**2
    assert found.permeability[0, 0] == pytest.approx(want, rel=0.02)
    assert found.permeability[0, 0] == pytest.approx(found.permeability[2, 2], rel=1e-6)
    assert abs(found.permeability[1, 1]) < 1e-12 * want
    np.testing.assert_allclose(found.mobility * mu, found.permeability)


def test_a_square_array_of_cylinders_is_that_of_drummond_and_tahir():
    """J. E. Drummond, M. I. Tahir 1984 (as A. S. Sangani, A. Acrivos 1982): flow across and along a square array.

    Across: a^2/(8c) (-ln c - 1.476 + 2c - 1.774 c^2 + 4.076 c^3); along: a^2/(4c) (-ln c - 1.476 + 2c - c^2/2). Stairs of
    voxels are of first order, so two sizes are extrapolated.
    """
    errors = []
    for n in (64, 128):
        disc = ball(n, 0.2 * n, 2)
        c = disc.mean()
        a2 = c / np.pi
        K = homogenize(disc, fluid={0: 1.0}, spacing=(1 / n, 1 / n, 1 / n), tolerance=1e-5).permeability
        across = a2 / (8 * c) * (-np.log(c) - 1.476 + 2 * c - 1.774 * c**2 + 4.076 * c**3)
        along = a2 / (4 * c) * (-np.log(c) - 1.476 + 2 * c - c**2 / 2)
        errors.append((K[0, 0] / across - 1, K[2, 2] / along - 1))
        assert K[1, 1] == pytest.approx(K[0, 0], rel=1e-4)
    coarse, fine = np.abs(errors)
    assert (fine < coarse).all()
    assert np.abs(2 * fine - coarse).max() < 0.01


def test_one_load_is_a_column_of_all_three():
    image = (np.random.default_rng(3).random((6, 5, 4)) < 0.3).astype(np.uint8)
    whole = homogenize(image, fluid={0: 2.0}, tolerance=1e-8).permeability
    one = homogenize(image, fluid={"0": 2.0}, tolerance=1e-8, load="2")
    np.testing.assert_allclose(one.permeability[:, 1], whole[:, 1], atol=1e-6 * whole.max())
    assert np.isnan(one.permeability[:, [0, 2]]).all()
    assert list(one.iterations) == ["22"]


def test_einstein_by_two_fractions():
    """A. Einstein 1906/1911: 1 + 2.5 phi, extrapolated to no particles; the lower bound of the mixture holds."""
    slopes, parts = [], []
    for n in (24, 32):
        found = homogenize(ball(n, 6.2), viscosity={0: 2.0, 1: "rigid"}, tolerance=3e-3)
        mean = np.trace(found.viscosity) / 10
        assert mean > found.bounds["hashin_shtrikman"][0] > found.bounds["reuss"]
        assert found.bounds["voigt"] is None
        slopes.append((mean / 2.0 - 1) / found.fractions["1"])
        parts.append(found.fractions["1"])
    slope = slopes[1] - (slopes[0] - slopes[1]) / (parts[0] - parts[1]) * parts[1]
    assert slope == pytest.approx(2.5, abs=0.1)


@given(st.lists(st.floats(0.1, 100.0), min_size=2, max_size=2))
@QUICK
def test_layers_of_liquids_have_the_means(eta):
    """Sheared against each other harmonic, in their plane arithmetic; both bounds are met."""
    layers = np.zeros((3, 2, 2), np.uint8)
    layers[0] = 1
    found = homogenize(layers, viscosity=dict(enumerate(eta)), tolerance=1e-7)
    f = np.array([2 / 3, 1 / 3])
    assert found.viscosity[3, 3] == pytest.approx(2 * f @ eta, rel=1e-8)
    assert found.viscosity[5, 5] == pytest.approx(2 / (f @ (1 / np.array(eta))), rel=1e-8)
    assert found.bounds["voigt"] == pytest.approx(f @ eta)
    assert found.bounds["reuss"] == pytest.approx(1 / (f @ (1 / np.array(eta))))


@pytest.mark.parametrize("load", ["all", "12"])
def test_the_objects_for_programs(load):
    flow = homogenize(CHANNEL, viscosity={0: 1.0, 1: "rigid"}, load=load)
    plain = json.loads(json.dumps(flow.json(), allow_nan=False))
    assert set(plain) == {"viscosity"} | REST
    columns = 6 if load == "all" else 1
    assert np.isfinite(np.array(plain["viscosity"], float)).all(axis=0).sum() == columns
    pores = homogenize(CHANNEL, fluid={0: 1.0}, load="all" if load == "all" else "1")
    plain = json.loads(json.dumps(pores.json(), allow_nan=False))
    assert set(plain) == {"permeability", "mobility"} | REST
    assert plain["bounds"] == {}
    assert plain["fractions"] == {"0": 0.75, "1": 0.25}


@pytest.mark.parametrize("phases", [{"fluid": {0: 1.0}}, {"viscosity": {0: 1.0, 1: "rigid"}}])
def test_a_flow_that_does_not_converge_says_what_to_do(phases):
    with pytest.raises(NumericalFailure, match="did not converge") as caught:
        homogenize(ball(8, 2.5), **phases, max_iterations=2)
    assert caught.value.hint == "raise max_iterations"

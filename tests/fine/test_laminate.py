"""Laminates: closed forms, interface conditions, and agreement with the voxel solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import FineModel, Regions
from hpcms.errors import BadInput
from hpcms.fine.laminate import Laminate, LaminatePhase, effective, isotropic
from hpcms.kernels import cell_scalar

QUICK = settings(max_examples=30, deadline=None, derandomize=True)
NO_IMAGE = np.zeros((1, 0, 0, 0), np.uint8)


def heat(normal=3, k=(1.0, 10.0), f=(0.5, 0.5)):
    phases = {name: LaminatePhase(f[i], k[i], density=2.0, heat_capacity=3.0 + i) for i, name in enumerate("ab")}
    return Laminate(phases, "conduction", normal)


def solid(normal=3, E=(1.0, 10.0), nu=(0.3, 0.2), f=(0.3, 0.7)):
    phases = {
        name: LaminatePhase(f[i], youngs_modulus=E[i], poisson_ratio=nu[i], density=1.0 + i)
        for i, name in enumerate("ab")
    }
    return Laminate(phases, "elasticity", normal)


def answer(model, drive):
    state = model.begin(Regions(np.arange(1), NO_IMAGE, ()))
    key = model.drives[0]
    answers, _, outcomes = model.solve({key: np.asarray(drive, float)[None]}, state, np.zeros(1, np.uint64))
    assert outcomes[0].ok
    return {name: value[0] for name, value in answers.items()}


@pytest.mark.parametrize("normal", [1, 2, 3])
def test_conductivity_is_harmonic_across_and_arithmetic_along(normal):
    want = np.full(3, 5.5)
    want[normal - 1] = 20 / 11
    np.testing.assert_allclose(answer(heat(normal), (1, 2, 3))["tangent"], -np.diag(want), rtol=1e-14)


def test_an_insulating_layer_stops_the_flux_across():
    answers = answer(heat(1, k=(0.0, 4.0)), (1, 1, 0))
    np.testing.assert_allclose(answers["flux"], [0, -2, 0], atol=1e-15)


@pytest.mark.parametrize("normal", [1, 2, 3])
def test_elastic_moduli_of_thin_layers(normal):
    """Backus 1962: C33 = <1/(l+2m)>^-1, C44 = <1/m>^-1, C66 = <m>, C13 = <l/(l+2m)> C33 for layers across 3."""
    model = solid(normal)
    f, E, nu = np.array([0.3, 0.7]), np.array([1, 10]), np.array([0.3, 0.2])
    m, la = E / (2 * (1 + nu)), E * nu / ((1 + nu) * (1 - 2 * nu))
    M = la + 2 * m
    C = answer(model, np.zeros(6))["tangent"]
    n, (s, t) = normal - 1, [axis for axis in range(3) if axis != normal - 1]
    C33 = 1 / (f @ (1 / M))
    assert C[n, n] == pytest.approx(C33)
    assert C[n, s] == pytest.approx((f @ (la / M)) * C33)
    assert C[s, s] == pytest.approx(f @ (M - la**2 / M) + (f @ (la / M)) ** 2 * C33)
    assert C[s, t] == pytest.approx(f @ (la - la**2 / M) + (f @ (la / M)) ** 2 * C33)
    assert C[3 + n, 3 + n] == pytest.approx(2 * (f @ m))  # Mandel 23 13 12: the shear at 3 + n leaves out the axis n
    for axis in (s, t):
        assert C[3 + axis, 3 + axis] == pytest.approx(2 / (f @ (1 / m)))


@QUICK
@given(st.integers(1, 3), st.integers(0, 2**32), st.sampled_from(["conduction", "elasticity"]), st.booleans())
def test_local_fields_obey_the_interfaces_and_average_to_the_mean(normal, seed, physics, void):
    rng = np.random.default_rng(seed)
    f = rng.dirichlet([1, 1, 1])
    E = rng.uniform(0.1, 10, 3) * (1 - np.array([0, void, 0]))
    phases = {
        str(i): LaminatePhase(f[i], conductivity=E[i], youngs_modulus=E[i], poisson_ratio=rng.uniform(-0.5, 0.45))
        for i in range(3)
    }
    model = Laminate(phases, physics, normal)
    drive = rng.normal(size=3 if physics == "conduction" else 6)
    local = model.local(drive, f)
    np.testing.assert_allclose(f @ local, drive, atol=1e-12)
    if physics == "conduction":
        flux, across = -E[:, None] * local, np.arange(3) == normal - 1
    else:
        tensors = [isotropic(phase.youngs_modulus, phase.poisson_ratio) for phase in phases.values()]
        flux = np.array([C @ eps for C, eps in zip(tensors, local, strict=True)])
        across = np.array([str(normal) in pair for pair in ("1", "2", "3", "23", "13", "12")])
    np.testing.assert_allclose(flux[:, across] - flux[0, across], 0, atol=1e-10)
    np.testing.assert_allclose(local[:, ~across] - drive[~across], 0, atol=1e-14)
    answers = answer(model, drive)
    mean = answers["flux" if physics == "conduction" else "stress"]
    np.testing.assert_allclose(mean, f @ flux, atol=1e-12)
    np.testing.assert_allclose(mean, answers["tangent"] @ drive, atol=1e-11)
    assert answers["work"] == pytest.approx(mean @ drive, rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(answers["tangent"], answers["tangent"].T, atol=1e-12)


def test_equal_layers_are_the_phase_itself():
    C = isotropic(7.0, 0.3)
    got = effective(np.array([C, C]), np.array([0.2, 0.8]), np.array([True, False, False, False, True, True]))
    np.testing.assert_allclose(got, C, rtol=1e-13, atol=1e-13)


def test_the_image_of_a_region_sets_its_fractions_and_agrees_with_the_voxel_solver():
    phases = np.zeros((2, 8, 2, 2), np.uint8)
    phases[0, :2], phases[1, 5:] = 1, 1
    model = heat(1)
    state = model.begin(Regions(np.arange(2), phases, ("b", "a")))
    np.testing.assert_allclose(state["fraction"], [[0.25, 0.75], [0.375, 0.625]])
    answers, _, _ = model.solve({"gradient": np.eye(3)[:2]}, state, np.zeros(2, np.uint64))
    for region in range(2):
        found = cell_scalar.effective(phases[region], np.array([10.0, 1.0]), (1.0, 1.0, 1.0), 1e-12)
        np.testing.assert_allclose(answers["tangent"][region], -found.conductivity, atol=1e-10)
    np.testing.assert_allclose(answers["capacity"], state["fraction"] @ [6.0, 8.0])


def test_wrong_fractions_and_phases_are_refused():
    with pytest.raises(BadInput, match="add up to"):
        heat(f=(0.5, 0.6)).begin(Regions(np.arange(1), NO_IMAGE, ()))
    with pytest.raises(BadInput, match="'ice'"):
        heat().begin(Regions(np.arange(1), np.zeros((1, 2, 2, 2), np.uint8), ("ice",)))


@pytest.mark.parametrize("model", [heat(), solid()])
def test_the_model_answers_what_it_declares(model):
    assert isinstance(model, FineModel)
    answers = answer(model, np.ones(3 if model.physics == "conduction" else 6))
    assert set(answers) == set(model.answers)
    assert (model.cost(Regions(np.arange(3), NO_IMAGE, ())) > 0).all()
    if model.physics == "elasticity":
        assert answers["energy"] == pytest.approx(answers["work"] / 2)
        assert answers["density"] == pytest.approx(1.7)
        assert not answers["creep_rate"].any()

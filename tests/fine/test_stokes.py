"""Permeability against closed forms: channels, sphere arrays, symmetry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import FineModel, Regions
from hpcms.errors import BadInput
from hpcms.fine.stokes import PorePhase, Stokes

QUICK = settings(max_examples=12, deadline=None, derandomize=True)
PHASES = {"pore": PorePhase(0), "grain": PorePhase(1)}


def solved(solid, spacing, gradient=(1.0, 0.0, 0.0), viscosity=1.0, **options):
    model = Stokes(PHASES, viscosity, **options)
    cells = Regions(np.arange(1), np.asarray(solid, np.uint8)[None], ("pore", "grain"), spacing)
    return model.solve({"gradient": np.array([gradient])}, model.begin(cells), np.zeros(1, np.uint64))


def permeability(solid, spacing, **options):
    answers, _, outcomes = solved(solid, spacing, **options)
    assert outcomes[0].ok, outcomes[0].reason
    return -answers["tangent"][0]


def ball(n, radius):
    x = np.arange(n) + 0.5 - n / 2
    return x[:, None, None] ** 2 + x[:, None] ** 2 + x**2 < radius**2


def test_a_channel_is_met_to_second_order():
    """Plane Poiseuille flow: K = h^2 / 12 times the porosity, none across."""
    errors, gap = [], 0.75
    for n in (8, 16, 32):
        solid = np.zeros((3, n, 2), bool)
        solid[:, : n // 4] = True
        K = permeability(solid, (0.2, 1 / n, 0.1), tolerance=1e-9)
        errors.append(K[0, 0] / (gap * gap**2 / 12) - 1)
        assert K[2, 2] == pytest.approx(K[0, 0], rel=1e-6)
        assert np.abs(K[1]).max() < 1e-12
    assert -np.polyfit(np.arange(3), np.log2(errors), 1)[0] == pytest.approx(2, abs=0.02)


def test_a_square_duct_is_met_to_second_order():
    """Boussinesq 1868: mean velocity 0.0351442 a^2 in a square of side a; refined, with walls of one voxel or more."""
    errors = []
    for n in (8, 16, 32):
        solid = np.ones((1, n, n), bool)
        solid[0, : n // 2, : n // 2] = False
        errors.append(permeability(solid, (1.0, 1 / n, 1 / n), tolerance=1e-8)[0, 0] / (0.25 * 0.25 * 0.0351442) - 1)
    assert abs(4 * errors[2] - errors[1]) / 3 < 1e-3  # extrapolated
    assert -np.polyfit(np.arange(3), np.log2(np.abs(errors)), 1)[0] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("radius", [0.25, 0.3])
def test_a_cubic_array_of_spheres_drags_as_sangani_and_acrivos_say(radius):
    """A. S. Sangani, A. Acrivos 1982 (H. Hasimoto 1959): drag by that of Stokes, of a dilute array; stairs are of first order."""
    errors = []
    for n in (16, 24, 32):
        solid = ball(n, radius * n)
        c = solid.mean()
        a = (3 * c / (4 * np.pi)) ** (1 / 3)
        drag = 1 / (1 - 1.7601 * c ** (1 / 3) + c - 1.5593 * c**2)
        errors.append(permeability(solid, (1 / n,) * 3, tolerance=1e-4)[0, 0] * 6 * np.pi * a * drag - 1)
    assert np.abs(errors).max() < 0.08
    assert abs(errors[-1]) < 0.055


@QUICK
@given(st.tuples(*[st.integers(2, 6)] * 3), st.integers(0, 2**32))
def test_the_tensor_is_symmetric_turns_with_the_cell_and_dissipates_what_it_works(shape, seed):
    rng = np.random.default_rng(seed)
    solid = rng.random(shape) < 0.3
    solid.flat[0] = True
    h, g = (0.1, 0.2, 0.3), rng.normal(size=3)
    answers, _, outcomes = solved(solid, h, g, viscosity=3.0, tolerance=1e-8)
    assert outcomes[0].ok, outcomes[0].reason
    K = -3.0 * answers["tangent"][0]
    np.testing.assert_allclose(K, K.T, atol=1e-14 * np.abs(K).max())
    assert np.linalg.eigvalsh(K).min() >= -1e-12 * np.abs(K).max()
    work = float(answers["flux"][0] @ g)
    assert answers["work"][0] == pytest.approx(work, rel=1e-10, abs=1e-30)
    turned = permeability(solid.transpose(2, 0, 1), (0.3, 0.1, 0.2), tolerance=1e-8)
    np.testing.assert_allclose(turned, K[np.ix_([2, 0, 1], [2, 0, 1])], atol=1e-6 * np.abs(K).max())
    rolled = permeability(np.roll(solid, (1, 2, 1), (0, 1, 2)), h, tolerance=1e-8)
    np.testing.assert_allclose(rolled, K, atol=1e-6 * np.abs(K).max())


def test_more_solid_never_lets_more_through():
    rng = np.random.default_rng(5)
    solid = rng.random((8, 8, 8)) < 0.1
    more = solid | (rng.random((8, 8, 8)) < 0.1)
    loose, tight = (permeability(s, (1.0, 1.0, 1.0)) for s in (solid, more))
    assert np.linalg.eigvalsh(loose - tight).min() > 0


def test_closed_pores_a_full_cell_and_an_empty_one():
    box = np.ones((5, 5, 5), bool)
    box[1:4, 1:4, 1:4] = False
    assert np.abs(permeability(box, (1.0, 1.0, 1.0))).max() < 1e-12
    assert np.abs(permeability(np.ones((2, 2, 2)), (1.0, 1.0, 1.0))).max() == 0
    _, state, outcomes = solved(np.zeros((2, 2, 2)), (1.0, 1.0, 1.0))
    assert not outcomes[0].ok
    assert "solid" in outcomes[0].reason
    assert not state["known"].any()


def test_it_is_a_fine_model_that_solves_once():
    model = Stokes(PHASES, 2.0)
    assert isinstance(model, FineModel)
    solid = np.random.default_rng(6).random((5, 4, 6)) < 0.3
    _, state, outcomes = solved(solid, (1.0, 1.0, 1.0))
    assert outcomes[0].linear_iterations > 0
    _, _, outcomes = model.solve({"gradient": np.ones((1, 3))}, state, np.zeros(1, np.uint64))
    assert outcomes[0].linear_iterations == 0
    with pytest.raises(BadInput, match="'ice'"):
        model.begin(Regions(np.arange(1), solid[None].astype(np.uint8), ("pore", "ice")))
    _, _, outcomes = solved(solid, (1.0, 1.0, 1.0), max_iterations=3)
    assert not outcomes[0].ok
    assert "max_iterations" in outcomes[0].reason

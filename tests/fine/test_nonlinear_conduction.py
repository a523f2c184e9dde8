"""Power-law conduction against closed forms: laminates, homogeneity, tangents, Fourier's law as a special case."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import FineModel, Regions
from hpcms.errors import BadInput
from hpcms.fine.conduction import Conduction, ConductionPhase
from hpcms.fine.nonlinear_conduction import NonlinearConduction, PowerLawPhase

QUICK = settings(max_examples=8, deadline=None, derandomize=True)
H = (0.1, 0.2, 0.3)


def model(a=(1.0, 1.0), b=(10.0, 3.0), small=1e-6, **options):
    return NonlinearConduction(
        {"a": PowerLawPhase(*a, small_gradient=small), "b": PowerLawPhase(*b, small_gradient=small)}, **options
    )


def solved(conduction, phase, gradient, state=None):
    cells = Regions(np.arange(1), np.asarray(phase, np.uint8)[None], ("a", "b"), H)
    state = conduction.begin(cells) if state is None else state
    answers, state, outcomes = conduction.solve(
        {"gradient": np.array([gradient], float)}, state, np.zeros(1, np.uint64)
    )
    assert outcomes[0].ok, outcomes[0].reason
    return {name: value[0] for name, value in answers.items()}, state, outcomes[0]


def root(function, low, high):
    """By bisection."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return low


@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("exponents", [(1.0, 3.0), (0.4, 2.0), (0.5, 0.5)])
def test_a_laminate_obeys_its_scalar_equation(axis, exponents):
    """Across, one flux q in both layers: the mean of ``(q / k)^(1/m)`` is the mean gradient; along, the mean of the fluxes."""
    shape = [1, 1, 1]
    shape[axis] = 6
    phase = np.broadcast_to(np.array([0, 0, 1, 1, 1, 1]).reshape(shape), (6, 6, 6))
    k, (m, n) = (2.0, 5.0), exponents
    gradient, along = np.zeros(3), np.zeros(3)
    gradient[axis], along[1] = 1.7, 1.7
    law = model((k[0], m), (k[1], n), small=1e-7, tolerance=1e-10)
    q = root(lambda s: ((s / k[0]) ** (1 / m) + 2 * (s / k[1]) ** (1 / n)) / 3 - 1.7, 0.0, 100.0)
    answers, _, _ = solved(law, phase, gradient)
    assert -answers["flux"][axis] == pytest.approx(q, rel=1e-9)
    answers, _, _ = solved(law, phase, along)
    assert -answers["flux"][1] == pytest.approx((k[0] * 1.7**m + 2 * k[1] * 1.7**n) / 3, rel=1e-9)


@QUICK
@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 2**32), st.sampled_from([0.4, 1.0, 2.5]))
def test_the_flux_is_homogeneous_the_slope_of_the_potential_and_does_the_work_of_the_field(shape, seed, m):
    rng = np.random.default_rng(seed)
    phase, g = rng.integers(0, 2, shape), rng.normal(size=3)
    law = model((1.0, m), (8.0, m), small=1e-8, tolerance=1e-10)
    one, _, _ = solved(law, phase, g)
    two, _, _ = solved(law, phase, 2 * g)
    size = np.abs(one["flux"]).max()
    np.testing.assert_allclose(two["flux"], 2**m * one["flux"], atol=1e-8 * 2**m * size)
    assert one["work"] == pytest.approx(float(one["flux"] @ g), rel=1e-10)
    assert one["potential"] == pytest.approx(one["work"] / (m + 1), rel=1e-7)  # Euler
    np.testing.assert_allclose(one["tangent"] @ g, m * one["flux"], atol=1e-6 * size)
    np.testing.assert_allclose(one["tangent"], one["tangent"].T, atol=1e-12 * np.abs(one["tangent"]).max())
    assert np.linalg.eigvalsh(-one["tangent"]).min() > 0


def test_the_tangent_is_the_slope_of_the_flux():
    phase, g, e = np.random.default_rng(1).integers(0, 2, (5, 4, 6)), np.array([1.0, -0.5, 0.3]), 1e-5
    law = model((1.0, 0.5), (10.0, 3.0), small=1e-2, tolerance=1e-11)
    answers, _, _ = solved(law, phase, g)
    for axis in range(3):
        plus, minus = (solved(law, phase, g + s * e * np.eye(3)[axis])[0]["flux"] for s in (1, -1))
        np.testing.assert_allclose((plus - minus) / (2 * e), answers["tangent"][:, axis], rtol=1e-6, atol=1e-6)


def test_exponent_one_is_fouriers_law():
    phase, g = np.random.default_rng(2).integers(0, 2, (6, 5, 4)), np.array([1.0, 2.0, -1.0])
    answers, _, _ = solved(model((1.0, 1.0), (10.0, 1.0), tolerance=1e-9), phase, g)
    linear = Conduction({"a": ConductionPhase(1.0), "b": ConductionPhase(10.0)}, tolerance=1e-10)
    want, _, _ = solved(linear, phase, g)
    np.testing.assert_allclose(answers["flux"], want["flux"], rtol=1e-8)
    np.testing.assert_allclose(answers["tangent"], want["tangent"], atol=1e-6)


def test_newton_converges_fast_and_starts_from_the_last_solution():
    law, phase = model((1.0, 0.4), (10.0, 3.0), small=1e-3), np.random.default_rng(3).integers(0, 2, (8, 8, 8))
    assert isinstance(law, FineModel)
    _, state, outcome = solved(law, phase, (1.0, 1.0, 0.0))
    assert 3 <= outcome.iterations <= 15
    _, _, again = solved(law, phase, (1.0, 1.0, 0.0), state)
    assert again.iterations <= 1
    with pytest.raises(BadInput, match="'c'"):
        law.begin(Regions(np.arange(1), phase[None].astype(np.uint8), ("a", "c"), H))


def test_a_uniform_cell_and_no_gradient_are_exact():
    answers, _, outcome = solved(model(), np.ones((3, 2, 4)), (0.0, 2.0, 0.0))
    assert answers["flux"][1] == pytest.approx(-80.0, rel=1e-9)
    assert outcome.iterations == 0
    answers, _, _ = solved(model(), np.random.default_rng(4).integers(0, 2, (4, 4, 4)), (0.0, 0.0, 0.0))
    np.testing.assert_array_equal(answers["flux"], 0)
    assert np.isfinite(answers["tangent"]).all()


def test_running_out_of_newton_steps_is_an_outcome():
    cells = Regions(np.arange(1), np.random.default_rng(5).integers(0, 2, (1, 6, 6, 6)).astype(np.uint8), ("a", "b"), H)
    law = model((1.0, 0.4), (10.0, 3.0), max_iterations=1)
    _, state, outcomes = law.solve({"gradient": np.ones((1, 3))}, law.begin(cells), np.zeros(1, np.uint64))
    assert not outcomes[0].ok
    assert "max_iterations" in outcomes[0].reason
    assert not state["fluctuation"].any()

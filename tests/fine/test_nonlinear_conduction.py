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


def solved(conduction, phase, gradient, state=None, **more):
    cells = Regions(np.arange(1), np.asarray(phase, np.uint8)[None], ("a", "b"), H)
    state = conduction.begin(cells) if state is None else state
    drive = {name: np.array([value], float) for name, value in {"gradient": gradient, **more}.items()}
    answers, state, outcomes = conduction.solve(drive, state, np.zeros(1, np.uint64))
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


WARM, COLD = 400.0, 250.0  # K, the ends of a bar
A = PowerLawPhase(2.0, temperature_coefficient=4e-3, reference_temperature=300.0)
B = PowerLawPhase(5.0, temperature_coefficient=-1e-3, reference_temperature=280.0)
SERIES = np.array([0, 1, 1]).reshape(3, 1, 1)


def through(law, phases=SERIES):
    """Flux by length of a coarse bar from WARM to COLD: the mean of the effective flux over the temperature, by Gauss."""
    points, weights = np.polynomial.legendre.leggauss(10)
    T = (WARM + COLD) / 2 + (WARM - COLD) / 2 * points
    fluxes = [-solved(law, phases, (1.0, 0.0, 0.0), temperature=t)[0]["flux"][0] for t in T]
    return (WARM - COLD) / 2 * float(weights @ fluxes)


def kirchhoff(p, T):
    """The integral of k(T) from T0 on, W/m."""
    x = T - p.reference_temperature
    return p.conductivity * (x + p.temperature_coefficient * x * x / 2)


def test_layers_in_series_that_warm_alike_carry_the_kirchhoff_flux():
    """One b: k_eff(T) is the harmonic mean times 1 + b (T - T0), so the flux is a difference of transforms."""
    other = PowerLawPhase(5.0, temperature_coefficient=4e-3, reference_temperature=300.0)
    law = NonlinearConduction({"a": A, "b": other}, tolerance=1e-10)
    whole = PowerLawPhase(3 / (1 / 2 + 2 / 5), temperature_coefficient=4e-3, reference_temperature=300.0)
    assert through(law) == pytest.approx(kirchhoff(whole, WARM) - kirchhoff(whole, COLD), rel=1e-9)


def test_a_layer_that_warms_beside_one_that_does_not():
    """1 / k_eff = (1/3) / (a z) + (2/3) / c with z = 1 + b (T - T0): its inverse has an integral in closed form."""
    law = NonlinearConduction({"a": A, "b": PowerLawPhase(5.0)}, tolerance=1e-10)
    a, b, c = A.conductivity, A.temperature_coefficient, 5.0
    z = 1 + b * (np.array([WARM, COLD]) - A.reference_temperature)
    whole = a * c / b * (z / (2 * a / 3) - c / 3 / (2 * a / 3) ** 2 * np.log(c / 3 + 2 * a / 3 * z))
    assert through(law) == pytest.approx(whole[0] - whole[1], rel=1e-9)


def test_a_stack_of_layers_comes_to_the_flux_of_the_cell():
    """In every layer the flux times its width is a difference of transforms; order one or better in the width of a cell."""
    want, gaps = through(NonlinearConduction({"a": A, "b": B}, tolerance=1e-10)), []

    def end(q, n):
        T = WARM
        for p, width in [(A, 1 / 3), (B, 2 / 3)] * n:
            left = kirchhoff(p, T) - q * width / n
            T = root(lambda t, p=p, left=left: kirchhoff(p, t) - left, COLD - 200, WARM)
        return T

    for n in (4, 8, 16):
        gaps.append(abs(root(lambda q, n=n: COLD - end(q, n), 0.5 * want, 1.5 * want) - want))
    assert gaps[2] < 0.55 * gaps[1] < 0.55**2 * gaps[0]
    assert gaps[2] < 2e-2 * want


def test_the_flux_by_temperature_is_its_slope():
    phase, g, e = np.random.default_rng(6).integers(0, 2, (5, 4, 6)), np.array([1.0, -0.5, 0.3]), 1e-2
    law = NonlinearConduction(
        {
            "a": PowerLawPhase(1.0, 0.5, small_gradient=1e-2, temperature_coefficient=5e-3),
            "b": PowerLawPhase(10.0, 3.0, small_gradient=1e-2, temperature_coefficient=-2e-3),
        },
        tolerance=1e-11,
    )
    assert law.drives == ("gradient", "temperature")
    answers, _, _ = solved(law, phase, g, temperature=320.0)
    up, down = (solved(law, phase, g, temperature=320.0 + s * e)[0] for s in (1, -1))
    slope = (up["flux"] - down["flux"]) / (2 * e)
    np.testing.assert_allclose(answers["tangent_temperature"], slope, atol=1e-6 * np.abs(slope).max())
    np.testing.assert_allclose(answers["tangent"], answers["tangent"].T, atol=1e-12 * np.abs(answers["tangent"]).max())
    assert answers["work"] == pytest.approx(float(answers["flux"] @ g), rel=1e-10)


def test_no_temperature_no_warming_and_temperatures_out_of_range():
    plain, _, _ = solved(model(), SERIES, (1.0, 0.0, 0.0))
    assert model().drives == ("gradient",)
    assert not plain["tangent_temperature"].any()
    law = NonlinearConduction({"a": A, "b": B})
    cells = Regions(np.arange(1), SERIES[None].astype(np.uint8), ("a", "b"), H)
    for drive, text in (
        ({}, "no temperature comes down"),
        ({"temperature": np.array([2000.0])}, "not above zero at 2000 K"),
        ({"temperature": np.array([np.nan])}, "not above zero"),
    ):
        _, _, outcomes = law.solve({"gradient": np.ones((1, 3)), **drive}, law.begin(cells), np.zeros(1, np.uint64))
        assert not outcomes[0].ok
        assert text in outcomes[0].reason

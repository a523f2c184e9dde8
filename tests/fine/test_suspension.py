"""Viscosity of suspensions and of layered liquids against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import FineModel, Regions
from hpcms.errors import BadInput
from hpcms.fine.suspension import Suspension, SuspensionPhase

QUICK = settings(max_examples=12, deadline=None, derandomize=True)
ROOT = np.sqrt(0.5)
RATES = np.array([[ROOT, -ROOT, 0, 0, 0, 0], [ROOT, 0, -ROOT, 0, 0, 0], *np.eye(6)[3:]])


def solved(phase, liquids, spacing=(1.0, 1.0, 1.0), rate=RATES[2], **options):
    model = Suspension({name: SuspensionPhase(value) for name, value in liquids.items()}, **options)
    cells = Regions(np.arange(1), np.asarray(phase, np.uint8)[None], tuple(liquids), spacing)
    return model.solve({"strain_rate": np.array([rate])}, model.begin(cells), np.zeros(1, np.uint64))


def tensor(phase, liquids, spacing=(1.0, 1.0, 1.0), **options):
    answers, _, outcomes = solved(phase, liquids, spacing, **options)
    assert outcomes[0].ok, outcomes[0].reason
    return answers["tangent"][0]


def mean_viscosity(N):
    """Average over all directions of the rate: trace over the five-dimensional space, by two."""
    return np.trace(N) / 10


@pytest.mark.parametrize("normal", [0, 1, 2])
def test_layers_are_exact(normal):
    """Shear of the layers against each other: harmonic mean; all rates in their plane: arithmetic mean."""
    eta = np.array([1.0, 5.0, 2.0])
    shape = [1, 1, 1]
    shape[normal] = 6
    phase = np.broadcast_to(np.array([0, 0, 1, 1, 1, 2]).reshape(shape), (6, 6, 6))
    N = tensor(phase, dict(zip("abc", eta, strict=True)), (0.1, 0.3, 0.2), tolerance=1e-7)
    values = eta[[0, 0, 1, 1, 1, 2]]
    across, along = 1 / (1 / values).mean(), values.mean()
    want = [2 * (along if place == normal else across) for place in range(3)]
    np.testing.assert_allclose(np.diag(N)[3:], want, rtol=1e-10)
    a, b = (other for other in range(3) if other != normal)
    rate = np.zeros(6)
    rate[[a, b]] = ROOT, -ROOT
    assert rate @ N @ rate == pytest.approx(2 * along, rel=1e-10)


def test_a_dilute_suspension_of_spheres_has_the_slope_of_einstein():
    """A. Einstein 1906/1911: eta / eta0 = 1 + 2.5 phi; two fractions, extrapolated to none."""
    slopes, fractions = [], []
    for n in (24, 32):
        x = np.arange(n) + 0.5 - n / 2
        phase = x[:, None, None] ** 2 + x[:, None] ** 2 + x**2 < 6.2**2
        phi = phase.mean()
        N = tensor(phase, {"water": 1.0, "ball": None}, tolerance=3e-3)
        slopes.append((mean_viscosity(N) - 1) / phi)
        fractions.append(phi)
    slope = slopes[1] - (slopes[0] - slopes[1]) / (fractions[0] - fractions[1]) * fractions[1]
    assert slope == pytest.approx(2.5, abs=0.1)


def test_a_dilute_suspension_of_discs_has_slope_two():
    """J. F. Brady 1983: eta / eta0 = 1 + 2 phi in the plane."""
    slopes, fractions = [], []
    for n in (48, 96):
        x = np.arange(n) + 0.5 - n / 2
        phase = (x[:, None] ** 2 + x**2 < 8.3**2)[:, :, None]
        N = tensor(phase, {"water": 1.0, "disc": None})
        slopes.append(((N[5, 5] + RATES[0] @ N @ RATES[0]) / 4 - 1) / phase.mean())
        fractions.append(phase.mean())
    slope = slopes[1] - (slopes[0] - slopes[1]) / (fractions[0] - fractions[1]) * fractions[1]
    assert slope == pytest.approx(2.0, abs=0.05)


@QUICK
@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 2**32), st.sampled_from([0.01, 30.0, None]))
def test_the_tensor_is_symmetric_within_bounds_and_dissipates_what_it_works(shape, seed, other):
    rng = np.random.default_rng(seed)
    phase, h = rng.integers(0, 2, shape), (0.2, 0.1, 0.3)
    phase.flat[0] = 0
    rate = RATES.T @ rng.normal(size=5)
    answers, _, outcomes = solved(phase, {"a": 1.0, "b": other}, h, rate, tolerance=1e-5)
    assert outcomes[0].ok, outcomes[0].reason
    N = answers["tangent"][0]
    np.testing.assert_allclose(N, N.T, atol=1e-13 * np.abs(N).max())
    assert answers["work"][0] == pytest.approx(float(answers["stress"][0] @ rate), rel=1e-10)
    f, eta = phase.mean(), np.array([1.0, other or 1e5])
    values = np.linalg.eigvalsh(N)[1:] / 2  # without the trace
    assert values.min() >= (1 - 1e-6) / ((1 - f) / eta[0] + f / eta[1])
    assert values.max() <= ((1 - f) * eta[0] + f * eta[1]) * (1 + 1e-6)
    rolled = tensor(np.roll(phase, (1, 2, 3), (0, 1, 2)), {"a": 1.0, "b": other}, h, tolerance=1e-5)
    np.testing.assert_allclose(rolled, N, atol=1e-6 * np.abs(N).max())


def test_one_liquid_is_exact_and_trace_rigid_cells_and_names_are_told():
    model = Suspension({"a": SuspensionPhase(3.0)})
    assert isinstance(model, FineModel)
    answers, _, outcomes = solved(np.zeros((3, 4, 5)), {"a": 3.0})
    assert outcomes[0].linear_iterations == 0
    np.testing.assert_allclose(answers["stress"][0], 6.0 * RATES[2], atol=1e-14)
    _, _, outcomes = solved(np.zeros((2, 2, 2)), {"a": 3.0}, rate=np.ones(6))
    assert not outcomes[0].ok
    assert "trace" in outcomes[0].reason
    _, _, outcomes = solved(np.ones((2, 2, 2)), {"a": 3.0, "b": None})
    assert not outcomes[0].ok
    with pytest.raises(BadInput, match="rigid"):
        Suspension({"a": SuspensionPhase()}).begin(Regions(np.arange(1), np.zeros((1, 2, 2, 2), np.uint8), ("a",)))

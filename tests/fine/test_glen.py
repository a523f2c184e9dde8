"""Ice at a point: against closed forms, and its tangents against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from hpcms.contracts import Regions
from hpcms.fine.glen import Glen

ICE = Glen(9.33e9, 0.325, 917.0, 3.5e-25, 3.0, 263.15, 60e3, 115e3)
EMPTY = Regions(np.zeros(1, np.int64), np.zeros((1, 0, 0, 0), np.uint8), ())
SEED = np.zeros(1, np.uint64)


def drive(strain: np.ndarray, T: float = 263.15, dt: float = 1e6) -> dict[str, np.ndarray]:
    return {"strain": strain[None], "temperature": np.array([T]), "dt": np.array([dt])}


def shear(gamma: float) -> np.ndarray:
    return np.array([0, 0, 0, 0, 0, gamma / np.sqrt(2)])


def test_steady_shear_is_the_law_itself() -> None:
    """Engineering shear rate g: q = sqrt(3) tau, and g / sqrt(3) = A q^3."""
    state, rate, dt = ICE.begin(EMPTY), 1e-9, 1e7
    for k in range(1, 60):
        answers, state, _ = ICE.solve(drive(shear(rate * dt * k), dt=dt), state, SEED)
    q = np.sqrt(3) * answers["stress"][0, 5] / np.sqrt(2)
    assert q == pytest.approx((rate / np.sqrt(3) / 3.5e-25) ** (1 / 3), rel=1e-9)


def test_relaxation_converges_with_order_one() -> None:
    """dq/dt = -3 G A q^3 at fixed shear strain: q = q0 / sqrt(1 + 6 G A q0^2 t)."""
    G, strain, end = 9.33e9 / 2 / 1.325, shear(1e-4), 2e4
    q0 = np.sqrt(3) * G * 1e-4
    exact = q0 / np.sqrt(1 + 6 * G * 3.5e-25 * q0**2 * end)
    errors = []
    for steps in (20, 40, 80):
        state = ICE.begin(EMPTY)
        for _ in range(steps):
            answers, state, _ = ICE.solve(drive(strain, dt=end / steps), state, SEED)
        errors.append(abs(np.sqrt(1.5) * np.linalg.norm(answers["stress"][0]) - exact))
    slopes = np.diff(np.log2(errors))
    assert np.all(np.abs(slopes + 1) < 0.1), slopes


def test_temperature_follows_both_activation_energies() -> None:
    strain = shear(1.0)
    for T, Q in ((243.15, 60e3), (268.15, 115e3)):
        cold, warm = (ICE.solve(drive(strain, t, 1e9), ICE.begin(EMPTY), SEED)[0]["stress"][0, 5] for t in (263.15, T))
        want = np.exp(Q / 8.314462618 * (1 / T - 1 / 263.15)) ** (1 / 3)
        assert warm / cold == pytest.approx(want, rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_tangents_are_the_derivatives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    strain, T = rng.normal(size=6) * 1e-4, 255.0 + 15 * rng.random()
    state = {"creep_strain": rng.normal(size=(1, 6)) * 1e-5}
    state["creep_strain"][:, :3] -= state["creep_strain"][:, :3].mean()
    answers, _, _ = ICE.solve(drive(strain, T), state, SEED)
    for j in range(6):
        h = np.zeros(6)
        h[j] = 1e-9
        up, down = (ICE.solve(drive(strain + k * h, T), state, SEED)[0]["stress"][0] for k in (1, -1))
        np.testing.assert_allclose((up - down) / 2e-9, answers["tangent"][0, :, j], rtol=1e-5, atol=1e4)
    up, down = (ICE.solve(drive(strain, T + k * 1e-3), state, SEED)[0]["stress"][0] for k in (1, -1))
    np.testing.assert_allclose((up - down) / 2e-3, answers["tangent_temperature"][0], rtol=1e-5, atol=1e-2)

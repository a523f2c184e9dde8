"""Every law of a material point: its plain twin, its tangent, thermodynamics, and the closed forms that it is known by."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from hpcms.errors import BadInput
from hpcms.kernels.laws import Law, at_points, find, names
from hpcms.kernels.laws._base import bunge, mandel, rotation, tensor
from hpcms.kernels.laws.crystal import schmid

CUBIC = ((1.7, 1.2, 1.2, 0, 0, 0), (1.2, 1.7, 1.2, 0, 0, 0), (1.2, 1.2, 1.7, 0, 0, 0),
         (0, 0, 0, 1.5, 0, 0), (0, 0, 0, 0, 1.5, 0), (0, 0, 0, 0, 0, 1.5))  # fmt: skip
COPPER = {"c11": 1.684, "c12": 1.214, "c44": 0.754, "orientation": (10.0, 20.0, 30.0)}
SAMPLES = {
    "elastic": [{"youngs_modulus": 2.0, "poisson_ratio": 0.2}, {"stiffness": CUBIC, "orientation": (40.0, 20.0, 10.0)}],
    "j2": [
        {"youngs_modulus": 2.0, "yield_stress": 0.01},
        {"youngs_modulus": 2.0, "yield_stress": 0.01, "hardening": 0.1, "kinematic": 0.05},
        {"youngs_modulus": 2.0, "yield_stress": 0.01, "hardening": 0.1, "saturation": 0.02, "rate": 30.0, "kinematic": 0.05},
    ],
    "norton": [{"youngs_modulus": 2.0, "A": 100.0, "n": 3.0}, {"youngs_modulus": 2.0, "A": 1e5, "n": 4.5}],
    "power": [{"youngs_modulus": 2.0, "stress": 0.01, "strain": 0.002, "n": 5.0}],
    "crystal": [
        {**COPPER, "yield_stress": 0.01, "drag": 0.001, "n": 5.0, "slip_rate": 0.01, "hardening": 0.05},
        {**COPPER, "yield_stress": 0.01, "drag": 0.001, "n": 20.0, "slip_rate": 0.01, "saturation": 0.01, "saturation_rate": 30.0},
        {**COPPER, "yield_stress": 0.0, "drag": 0.01, "n": 20.0, "slip_rate": 1e-3},
    ],
}  # fmt: skip
CASES = [pytest.param(name, values, id=f"{name}{k}") for name in SAMPLES for k, values in enumerate(SAMPLES[name])]
DT, T = 0.5, 280.0


def virgin(law: Law, n: int) -> np.ndarray:
    return np.zeros((n, law.rows))


def used(law: Law, n: int, rng: np.random.Generator) -> np.ndarray:
    """A history that straining has left."""
    history = virgin(law, n)
    for _ in range(2):
        history = law.plain(0.01 * rng.standard_normal((n, 6)), history, DT, T)[2]
    return history


def test_registered_means_tested() -> None:
    assert set(names()) == set(SAMPLES)
    with pytest.raises(BadInput, match="unknown law 'jtwo'"):
        find("jtwo")


@pytest.mark.parametrize(("name", "values"), CASES)
def test_is_its_plain_twin(name: str, values: dict) -> None:
    law, rng = find(name)(**values), np.random.default_rng(1)
    strain, history = 0.01 * rng.standard_normal((37, 6)), used(law, 37, rng)
    strain[:5] *= 0.01
    for got, want in zip(at_points(law, strain, history, DT, T), law.plain(strain, history, DT, T), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12 * np.abs(want).max(initial=1e-3))


@pytest.mark.parametrize(("name", "values"), CASES)
def test_tangent_is_the_derivative_and_quadratic(name: str, values: dict) -> None:
    """The remainder of the linearisation falls with the square of the step."""
    law, rng = find(name)(**values), np.random.default_rng(2)
    strain, history, step = 0.01 * rng.standard_normal((64, 6)), used(law, 64, rng), rng.standard_normal((64, 6))
    stress, tangent = at_points(law, strain, history, DT, T)[:2]
    rests = []
    for h in (1e-5, 1e-6):
        moved = at_points(law, strain + h * step, history, DT, T)[0]
        rests.append(np.linalg.norm(moved - stress - h * np.einsum("nij,nj->ni", tangent, step), axis=1))
    size = np.linalg.norm(stress, axis=1).max()
    smooth = rests[0] < 1e-2 * 1e-5 * np.abs(tangent).max() * 6  # a point at the edge of yielding has no derivative
    assert smooth.mean() > 0.95
    assert (rests[1][smooth] <= 0.02 * rests[0][smooth] + 1e-13 * size).all()
    np.testing.assert_allclose(tangent, tangent.swapaxes(1, 2), atol=1e-12 * np.abs(tangent).max())
    assert np.linalg.eigvalsh(tangent).min() > -1e-9 * np.abs(tangent).max()


def path(law: Law, steps: int) -> tuple[float, float, float, float]:
    """Work, change of energy, dissipation and the least dissipation of a step, along a path that turns back, summed over points."""
    rng = np.random.default_rng(3)
    ends = [np.zeros((20, 6)), *0.01 * rng.standard_normal((3, 20, 6))]
    history, before, first = virgin(law, 20), 0.0, law.plain(ends[0], virgin(law, 20), DT, T)[3].sum()
    work = lost = 0.0
    least = np.inf
    for a, b in pairwise(ends):
        for k in range(steps):
            strain = a + (k + 1) / steps * (b - a)
            stress, _, history, energy, dissipation = at_points(law, strain, history, DT / steps, T)
            work += float((stress * (b - a)).sum()) / steps
            lost, least, before = lost + dissipation.sum(), min(least, dissipation.min()), energy.sum()
    return work, before - first, lost, least


@pytest.mark.parametrize(("name", "values"), CASES)
def test_work_is_stored_or_dissipated(name: str, values: dict) -> None:
    """Dissipation is never negative, backward Euler gives no energy, and what it takes too much is of first order."""
    law = find(name)(**values)
    excess = []
    for steps in (16, 32, 64):
        work, stored, lost, least = path(law, steps)
        assert least >= 0.0
        excess.append((work - stored - lost) / work)
    assert min(excess) >= -1e-12
    np.testing.assert_allclose([excess[0] / excess[1], excess[1] / excess[2]], 2.0, rtol=0.15)


def bar(law: Law, stretch: float, history: np.ndarray, dt: float) -> tuple[float, np.ndarray]:
    """Axial stress and history of a bar (other stresses zero) of axial strain ``stretch``."""
    strain = np.array([[stretch, -0.3 * stretch, -0.3 * stretch, 0, 0, 0]])
    for _ in range(60):
        stress, tangent, new, _, _ = at_points(law, strain, history, dt, T)
        if np.abs(stress[0, 1:]).max() < 1e-14:
            break
        strain[0, 1:] -= np.linalg.solve(tangent[0, 1:, 1:], stress[0, 1:])
    return float(stress[0, 0]), new


def test_bar_of_j2_hardens_in_closed_form() -> None:
    law = find("j2")(youngs_modulus=2.0, yield_stress=0.01, hardening=0.1, saturation=0.02, rate=30.0, kinematic=0.05)
    stress, history = bar(law, 0.03, virgin(law, 1), DT)
    p = history[0, 6]
    np.testing.assert_allclose(stress, 0.01 + 0.15 * p + 0.02 * (1 - np.exp(-30 * p)), rtol=1e-10)
    np.testing.assert_allclose(stress, 2.0 * (0.03 - p), rtol=1e-10)
    np.testing.assert_allclose(history[0, 0], p, rtol=1e-10)


def test_reversed_shear_of_j2_shows_the_bauschinger_effect() -> None:
    """sqrt(3) tau: up to y + (H + Hk) p, back it yields after twice y + H p."""
    law = find("j2")(youngs_modulus=2.6, poisson_ratio=0.3, yield_stress=0.01, hardening=0.1, kinematic=0.4)
    shear, history = np.array([[0, 0, 0, 0, 0, 1.0]]), virgin(law, 1)
    up = 0.02
    stress, _, history, _, _ = at_points(law, up * shear, history, DT, T)
    gamma, mu, y, H, Hk = up * 2**0.5, 1.0, 0.01, 0.1, 0.4
    p = (3**0.5 * mu * gamma - y) / (3 * mu + H + Hk)
    np.testing.assert_allclose(history[0, 6], p, rtol=1e-12)
    np.testing.assert_allclose(stress[0, 5] / 2**0.5, (y + (H + Hk) * p) / 3**0.5, rtol=1e-12)
    turn = 2 * (y + H * p) / 3**0.5 / mu / 2**0.5  # Mandel strain of the elastic way back
    assert at_points(law, (up - 0.999 * turn) * shear, history, DT, T)[4][0] == 0.0
    assert at_points(law, (up - 1.001 * turn) * shear, history, DT, T)[4][0] > 0.0


def test_norton_creeps_steadily() -> None:
    law = find("norton")(youngs_modulus=10.0, A=100.0, n=4.0)
    history = virgin(law, 1)
    for k in range(400):
        stress, history = bar(law, 0.01 * (k + 1), history, 1.0)
    np.testing.assert_allclose(stress, (0.01 / 100.0) ** 0.25, rtol=1e-9)


def test_power_is_the_curve_of_ramberg_and_osgood() -> None:
    law = find("power")(youngs_modulus=2.0, stress=0.01, strain=0.002, n=5.0)
    for stretch in (1e-3, 1e-2, 0.2):
        stress, _ = bar(law, stretch, virgin(law, 1), 0.0)
        np.testing.assert_allclose(stress / 2.0 + 0.002 * (stress / 0.01) ** 5, stretch, rtol=1e-9)


def test_a_single_slip_of_a_crystal_in_closed_form() -> None:
    """Isotropic elasticity, strained along one system: tau = yield + H gamma + drag (rate / slip_rate)^(1/n) when steady."""
    law = find("crystal")(c11=3.0, c12=1.0, c44=1.0, yield_stress=0.01, drag=0.002, n=7.0, slip_rate=0.1, hardening=0.03,
                          orientation=(33.0, 71.0, 12.0))  # fmt: skip
    P = law.tensors[1][4]
    history, dt = virgin(law, 1), 0.01
    for k in range(300):
        stress, _, new, _, _ = at_points(law, 1e-3 * (k + 1) * P[None], history, dt, T)
        rate, history = (new[0, 6] - history[0, 6]) / dt, new
    tau, gamma = float(P @ stress[0]), history[0, 6]
    np.testing.assert_allclose(tau, 0.01 + 0.03 * gamma + 0.002 * (rate / 0.1) ** (1 / 7), rtol=1e-9)
    np.testing.assert_allclose(history[0, :6], gamma * P, atol=1e-12)
    np.testing.assert_allclose(rate, 0.1 / 1.03, rtol=1e-9)  # mu strain rate = (mu + H) slip rate


def test_slip_systems_are_twelve_and_traceless() -> None:
    P = schmid()
    assert P.shape == (12, 6)
    np.testing.assert_allclose(P[:, :3].sum(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose((P * P).sum(axis=1), 0.5)
    assert np.linalg.matrix_rank(P) == 5


def test_rotations_turn_tensors() -> None:
    R, v = bunge((25.0, 50.0, 75.0)), np.random.default_rng(0).standard_normal(6)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(rotation(R) @ v, mandel(R @ tensor(v) @ R.T), atol=1e-14)
    np.testing.assert_allclose(bunge((90.0, 0.0, 0.0)) @ [1, 0, 0], [0, 1, 0], atol=1e-15)


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("elastic", {}, "either youngs_modulus or stiffness"),
        ("elastic", {"stiffness": tuple(tuple(-x for x in row) for row in CUBIC)}, "positive definite"),
        (
            "crystal",
            {**COPPER, "c11": 1.0, "yield_stress": 0.0, "drag": 1.0, "n": 5.0, "slip_rate": 1.0},
            "positive definite",
        ),
    ],
)
def test_parameters_are_checked(name: str, values: dict, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        find(name)(**values)


def test_a_new_process_finds_the_compiled_laws() -> None:
    """And compiles nothing on import."""
    used(find("j2")(**SAMPLES["j2"][0]), 1, np.random.default_rng(0))
    at_points(find("j2")(**SAMPLES["j2"][0]), np.zeros((1, 6)), np.zeros((1, 7)), DT, T)
    code = (
        "import numpy as np; from hpcms.kernels.laws import at_points, find, names\n"
        "assert not any(find(n).update.signatures for n in names())\n"
        "law = find('j2')(youngs_modulus=2.0, yield_stress=0.01)\n"
        "at_points(law, np.zeros((1, 6)), np.zeros((1, 7)), 1.0, 300.0)\n"
        "stats = law.update.stats\n"
        "assert sum(stats.cache_hits.values()) == 1 and not stats.cache_misses, stats\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

"""The fine model `hyperelastic`: closed forms at finite strain, the small strain limit, tangents, energy, failures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import Arrays, FineModel, Regions
from hpcms.errors import BadInput
from hpcms.fine import hyperelastic
from hpcms.fine.hyperelastic import Hyperelastic, RubberPhase, polar
from hpcms.kernels.cell_elastic import ElasticCell, labelled
from hpcms.kernels.hex8_finite import neo_hooke_plain

PHASES = {"soft": RubberPhase(1e6, 0.3, 1000.0), "stiff": RubberPhase(1e7, 0.2, 2000.0), "void": RubberPhase()}
MODEL = Hyperelastic(PHASES, tolerance=1e-10)
BENT = np.array([[1.3, 0.2, -0.1], [-0.1, 0.9, 0.15], [0.2, 0.1, 0.8]])


def cell(seed: int = 0, shape: tuple[int, int, int] = (6, 5, 4), other: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < 0.25).astype(np.uint8) * other


def begin(
    image: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), model: Hyperelastic = MODEL
) -> Arrays:
    return model.begin(Regions(np.zeros(1, np.int64), image[None], tuple(model.phases), spacing))


def solve(F: np.ndarray, state: Arrays, model: Hyperelastic = MODEL) -> tuple[Arrays, Arrays]:
    answers, new, outcomes = model.solve({"deformation": F.reshape(1, 9)}, state, np.zeros(1, np.uint64))
    assert outcomes[0].ok, outcomes
    assert outcomes[0].residual <= model.tolerance
    return {k: v[0] for k, v in answers.items()}, new


def test_follows_the_contract() -> None:
    assert isinstance(MODEL, FineModel)
    assert hyperelastic.MODEL is Hyperelastic


def test_homogeneous_cell_is_exact() -> None:
    answers, _ = solve(BENT, begin(np.zeros((2, 3, 1), np.uint8), (0.5, 1.0, 2.0)))
    W, P, A = neo_hooke_plain(BENT, *PHASES["soft"].lame)
    np.testing.assert_allclose(answers["stress"], P.ravel(), rtol=0, atol=1e-12 * np.abs(P).max())
    np.testing.assert_allclose(answers["tangent"], A.reshape(9, 9), rtol=0, atol=1e-12 * np.abs(A).max())
    assert answers["energy"] == pytest.approx(float(W), rel=1e-12)
    assert answers["work"] == pytest.approx(float((P * BENT).sum()), rel=1e-12)
    assert answers["density"] == 1000.0


def axial(stretch: float, phase: RubberPhase) -> float:
    lam, mu = phase.lame
    return mu * (stretch - 1 / stretch) + 0.5 * lam * (stretch**2 - 1) / stretch


@pytest.mark.parametrize("mean", [0.4, 0.8, 1.5, 3.0])
def test_laminate_across_its_layers(mean: float) -> None:
    """One nominal stress in both layers, the stretches add up: one scalar equation, solved by bisection."""
    a, b, share = PHASES["soft"], PHASES["stiff"], 0.25
    low, high = 1e-3, mean / (1 - share)
    for _ in range(200):
        x = 0.5 * (low + high)
        rest = (mean - (1 - share) * x) / share
        low, high = (x, high) if axial(x, a) < axial(rest, b) else (low, x)
    image = np.array([0, 0, 0, 1], np.uint8).reshape(4, 1, 1)
    answers, _ = solve(np.diag([mean, 1.0, 1.0]), begin(image))
    assert answers["stress"][0] == pytest.approx(axial(low, a), rel=1e-9)
    lam, mu = (np.array([p.lame[i] for p in (a, b)]) for i in (0, 1))
    side = 0.5 * lam * (np.array([low, (mean - 0.75 * low) / 0.25]) ** 2 - 1)  # P22 = lam/2 (J^2 - 1) / 1, at F22 = 1
    assert answers["stress"][4] == pytest.approx(side @ [0.75, 0.25], rel=1e-9)
    slopes = mu * (1 + 1 / np.array([low, rest]) ** 2) + 0.5 * lam * (1 + 1 / np.array([low, rest]) ** 2)
    assert answers["tangent"][0, 0] == pytest.approx(1 / (np.array([0.75, 0.25]) @ (1 / slopes)), rel=1e-8)


@pytest.mark.parametrize("shear", [0.1, 1.0, 5.0])
def test_laminate_sheared_along_its_layers(shear: float) -> None:
    """P12 = P21 = mu_i gamma_i at any shear, so the mean modulus is the harmonic mean; nothing else is stressed."""
    image = np.array([0, 1, 0, 0], np.uint8).reshape(1, 4, 1)
    F = np.eye(3)
    F[0, 1] = shear
    answers, _ = solve(F, begin(image))
    tau = shear / (0.75 / PHASES["soft"].lame[1] + 0.25 / PHASES["stiff"].lame[1])
    want = np.zeros((3, 3))
    want[0, 1] = want[1, 0] = tau
    np.testing.assert_allclose(answers["stress"], want.ravel(), rtol=0, atol=1e-9 * tau)
    assert answers["energy"] == pytest.approx(0.5 * tau * shear, rel=1e-9)


@pytest.mark.parametrize("other", [1, 2])
def test_small_strains_are_those_of_linear_elasticity(other: int) -> None:
    """The difference of the stresses falls with the square of the strain."""
    image, H = cell(1, other=other), np.array([[1.0, 0.3, 0.2], [-0.1, -0.5, 0.4], [0.0, 0.2, 0.7]])
    E = 0.5 * (H + H.T)
    mandel = np.array([E[0, 0], E[1, 1], E[2, 2], *(np.sqrt(2) * np.array([E[1, 2], E[0, 2], E[0, 1]]))])
    lam, mu = (np.array([p.lame[i] for p in PHASES.values()])[image] for i in (0, 1))
    a, b, c, d, e, f = ElasticCell(*labelled(lam, mu)).solve(mandel, 1e-10).stress / np.array(
        [1, 1, 1, *[np.sqrt(2)] * 3]
    )
    linear, gaps = np.array([[a, f, e], [f, b, d], [e, d, c]]).ravel(), []
    for size in (4e-3, 2e-3, 1e-3):
        answers, _ = solve(np.eye(3) + size * H, begin(image))
        gaps.append(np.linalg.norm(answers["stress"] - size * linear))
    np.testing.assert_allclose(-np.diff(np.log2(gaps)), 2.0, atol=0.05)


def test_rotated_deformation_rotates_the_answers() -> None:
    Q = polar(np.random.default_rng(2).normal(size=(3, 3)) + 2 * np.eye(3))[0]
    plain, _ = solve(BENT, begin(cell(2)))
    turned, _ = solve(Q @ BENT, begin(cell(2)))
    K = np.kron(Q, np.eye(3))
    np.testing.assert_allclose(turned["stress"], K @ plain["stress"], atol=1e-9 * np.abs(plain["stress"]).max())
    np.testing.assert_allclose(
        turned["tangent"], K @ plain["tangent"] @ K.T, atol=1e-6 * np.abs(plain["tangent"]).max()
    )
    assert turned["energy"] == pytest.approx(plain["energy"], rel=1e-11)
    still, _ = solve(Q, begin(cell(2)))
    assert np.abs(still["stress"]).max() < 1e-8


@pytest.mark.parametrize("other", [1, 2])
def test_stress_and_tangent_are_derivatives(other: int) -> None:
    model = Hyperelastic(PHASES, tolerance=1e-11, tangent_tolerance=1e-6)
    middle, state = solve(BENT, begin(cell(3, other=other)), model)
    D, h = np.random.default_rng(4).normal(size=(3, 3)), 1e-4
    up, down = (solve(BENT + s * h * D, state, model)[0] for s in (1, -1))
    slope = (up["stress"] - down["stress"]) / (2 * h)
    np.testing.assert_allclose(middle["tangent"] @ D.ravel(), slope, rtol=0, atol=1e-6 * np.abs(slope).max())
    np.testing.assert_allclose(middle["tangent"], middle["tangent"].T, atol=1e-9 * np.abs(middle["tangent"]).max())
    assert (up["energy"] - down["energy"]) / (2 * h) == pytest.approx(middle["stress"] @ D.ravel(), rel=1e-6)


@pytest.mark.parametrize("other", [1, 2])
def test_work_is_that_of_the_means(other: int) -> None:
    answers, _ = solve(BENT, begin(cell(5, other=other)), Hyperelastic(PHASES, tolerance=1e-6))
    assert abs(answers["work"] - answers["stress"] @ BENT.ravel()) <= 1e-11 * abs(answers["work"])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.floats(-0.6, 0.6), min_size=9, max_size=9), st.integers(0, 10**6), st.integers(1, 2))
def test_any_deformation_is_answered_or_refused_with_advice(entries: list[float], seed: int, other: int) -> None:
    """Stored energy is never negative, work is that of the means, and P F^T is symmetric: no moment is left."""
    F = np.eye(3) + np.array(entries).reshape(3, 3)
    image = cell(seed, (4, 3, 3), other)
    answers, _, outcomes = MODEL.solve({"deformation": F.reshape(1, 9)}, begin(image), np.zeros(1, np.uint64))
    if not outcomes[0].ok:
        assert "step" in outcomes[0].reason
        assert np.linalg.det(F) <= 0 or other == 2 or np.linalg.svd(F)[1][-1] < 0.3
        return
    P, size = answers["stress"][0].reshape(3, 3), np.abs(answers["stress"][0]).max()
    assert answers["energy"][0] >= 0
    assert abs(answers["work"][0] - (P * F).sum()) <= 1e-10 * size * np.linalg.norm(F)
    np.testing.assert_allclose(P @ F.T, (P @ F.T).T, rtol=0, atol=1e-7 * size)


def test_one_long_step_ends_where_short_ones_do() -> None:
    """Twice as long and thinner: in one go, which goes by parts where it must, and in eight steps."""
    F, image = np.diag([2.0, 0.8, 0.7]), cell(6)
    state = begin(image)
    for k in range(1, 9):
        short, state = solve(np.eye(3) + k / 8 * (F - np.eye(3)), state)
    long, _ = solve(F, begin(image))
    np.testing.assert_allclose(long["stress"], short["stress"], rtol=1e-8, atol=1e-8 * np.abs(short["stress"]).max())


def test_a_cell_without_a_path_for_the_load_answers_zero() -> None:
    """All void, and a block that touches nothing: no 0/0 anywhere."""
    for image in (np.full((3, 2, 2), 2, np.uint8), np.pad(np.zeros((2, 2, 2), np.uint8), 1, constant_values=2)):
        answers, _ = solve(BENT, begin(image))
        assert not any(np.any(answers[name]) for name in ("stress", "tangent", "work", "energy"))


def test_repetition_gives_the_same_bits() -> None:
    a, b = (solve(BENT, begin(cell(8))) for _ in range(2))
    assert all(a[0][name].tobytes() == b[0][name].tobytes() for name in ("stress", "tangent", "energy"))
    assert a[1]["displacement"].tobytes() == b[1]["displacement"].tobytes()


def test_extreme_compression_of_a_foam_is_an_outcome_with_advice() -> None:
    state = begin(cell(7, (8, 8, 8), 2))
    model = replace(MODEL, max_iterations=1)  # with more of them it hangs on the rounding whether it converges
    answers, new, outcomes = model.solve(
        {"deformation": np.diag([1, 1, 0.05]).reshape(1, 9)}, state, np.zeros(1, np.uint64)
    )
    assert not outcomes[0].ok
    assert "deform" in outcomes[0].reason
    assert not answers["stress"].any()
    np.testing.assert_array_equal(new["displacement"], state["displacement"])


@pytest.mark.parametrize("F", [np.diag([1.0, 1.0, -1.0]), np.diag([1.0, 0.0, 1.0]), np.full((3, 3), np.nan)])
def test_impossible_deformations_are_outcomes(F: np.ndarray) -> None:
    _, _, outcomes = MODEL.solve({"deformation": F.reshape(1, 9)}, begin(cell()), np.zeros(1, np.uint64))
    assert not outcomes[0].ok
    assert "deformation gradient" in outcomes[0].reason


def test_unknown_phase_is_refused() -> None:
    with pytest.raises(BadInput, match="steel"):
        MODEL.begin(Regions(np.zeros(1), np.zeros((1, 1, 1, 1), np.uint8), ("steel",)))

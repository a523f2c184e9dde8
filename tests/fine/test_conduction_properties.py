"""What holds for every conducting cell: bounds, duality, symmetry, hard contrasts, anisotropic phases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms import bounds
from hpcms.contracts import Regions
from hpcms.errors import BadInput
from hpcms.fine.conduction import Conduction, ConductionPhase
from hpcms.kernels import cell_conductor, cell_scalar

QUICK = settings(max_examples=12, deadline=None, derandomize=True)
H = (0.2, 0.1, 0.3)


def tensor(phase, k, spacing=H, tolerance=1e-9):
    found = cell_scalar.effective(np.asarray(phase, np.uint8), np.asarray(k, float), spacing, tolerance)
    assert all(outcome.ok for outcome in found.outcomes)
    return found.conductivity


def rotation(seed):
    Q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return Q


@QUICK
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 8.0, 1e6]), st.sampled_from([(7, 8, 5), (9, 7, 1), (6, 6, 6)]))
def test_hard_contrasts_converge_within_bounded_iterations(seed, contrast, shape):
    phase = (np.random.default_rng(seed).random(shape) < 0.35).astype(np.uint8)
    k = np.array([1.0, contrast])
    for found in (cell_scalar.effective(phase, k, H, 1e-8), *cell_scalar.effective_many(phase[None], k, H, 1e-8)):
        assert all(outcome.ok for outcome in found.outcomes)
        assert max(outcome.linear_iterations for outcome in found.outcomes) <= 160
        values = np.linalg.eigvalsh(found.conductivity)
        limits = bounds.conductivity(k, np.bincount(phase.ravel(), minlength=2) / phase.size)
        assert values[0] >= limits.reuss - 1e-7 * limits.voigt
        assert values[-1] <= limits.voigt * (1 + 1e-9)


def test_an_isotropic_ensemble_stays_within_hashin_and_shtrikman():
    """The mean over random cells and directions, and well inside, as elements only stiffen."""
    rng, k = np.random.default_rng(2), np.array([1.0, 10.0])
    phases = (rng.random((24, 8, 8, 8)) < 0.3).astype(np.uint8)
    found = cell_scalar.effective_many(phases, k, (1.0, 1.0, 1.0), 1e-6)
    limits = bounds.conductivity(k, np.array([1 - phases.mean(), phases.mean()]))
    mean = np.mean([np.trace(one.conductivity) / 3 for one in found])
    assert limits.lower < mean < limits.upper


@QUICK
@given(st.integers(0, 2**32), st.sampled_from([3.0, 30.0]))
def test_plane_cells_obey_kellers_duality(seed, contrast):
    """J. B. Keller 1964: k_xx(k1, k2) k_yy(k2, k1) = k1 k2 on the principal axes; trilinear elements approach it from above."""
    pattern = np.random.default_rng(seed).integers(0, 2, (3, 4))
    pattern = np.block([[pattern, pattern[:, ::-1]], [pattern[::-1], pattern[::-1, ::-1]]])  # no shear
    excess = []
    for fine in (2, 4, 8):
        phase = np.kron(pattern, np.ones((fine, fine)))[:, :, None]
        K, dual = (tensor(phase, k, (1.0, 1.0, 1.0)) for k in ([1.0, contrast], [contrast, 1.0]))
        excess.append(K[0, 0] * dual[1, 1] / contrast - 1)
    assert min(excess) > -1e-8
    assert excess[2] <= 0.8 * excess[0] + 1e-8
    assert excess[2] < 0.25 * np.log(contrast)


@QUICK
@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 2**32), st.permutations([0, 1, 2]))
def test_axes_and_origin_may_be_chosen_freely(shape, seed, order):
    rng = np.random.default_rng(seed)
    phase, k = rng.integers(0, 3, shape), [1.0, 30.0, 0.0]
    K = tensor(phase, k, tolerance=1e-11)
    turned = tensor(phase.transpose(order), k, tuple(H[a] for a in order), tolerance=1e-11)
    np.testing.assert_allclose(turned, K[np.ix_(order, order)], atol=1e-8)
    np.testing.assert_allclose(
        tensor(np.roll(phase, rng.integers(0, 5, 3), (0, 1, 2)), k, tolerance=1e-11), K, atol=1e-8
    )
    np.testing.assert_allclose(tensor(phase[::-1], k, tolerance=1e-11)[0, 0], K[0, 0], atol=1e-8)


@QUICK
@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 2**32))
def test_anisotropic_phases_that_are_isotropic_give_the_same(shape, seed):
    phase, k = np.random.default_rng(seed).integers(0, 2, shape).astype(np.uint8), np.array([1.0, 30.0])
    found = cell_conductor.anisotropic(phase, k[:, None, None] * np.eye(3), H, 1e-10)
    assert all(outcome.ok for outcome in found.outcomes)
    np.testing.assert_allclose(found.conductivity, tensor(phase, k, tolerance=1e-10), atol=1e-8)
    np.testing.assert_allclose(found.energy, found.conductivity, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_layers_of_anisotropic_phases_are_exact(axis):
    """Milton 2002, ch. 9: flux across and gradient along are shared."""
    K = np.array([Q @ np.diag([1.0, 5.0, 20.0]) @ Q.T for Q in (rotation(1), rotation(2))])
    shape = [1, 1, 1]
    shape[axis] = 4
    phase = np.broadcast_to(np.array([0, 1, 1, 1], np.uint8).reshape(shape), (4, 4, 4))
    f, n = np.array([0.25, 0.75]), np.eye(3)[axis]
    share = [n @ k / (n @ k @ n) for k in K]  # gradient along the normal by gradient, at no flux across
    across = 1 / (f @ [1 / (n @ k @ n) for k in K])
    mean = sum(w * s for w, s in zip(f, share, strict=True))
    want = sum(w * (k - np.outer(k @ n, n @ k) / (n @ k @ n)) for w, k in zip(f, K, strict=True))
    want = want + across * np.outer(mean, mean)
    found = cell_conductor.anisotropic(phase, K, H, 1e-11)
    np.testing.assert_allclose(found.conductivity, want, atol=1e-9)


def test_a_polycrystal_lies_within_wiener_and_turns_with_its_crystals():
    rng = np.random.default_rng(3)
    crystals = np.array([Q @ np.diag([1.0, 2.0, 9.0]) @ Q.T for Q in map(rotation, range(6))])
    phase = rng.integers(0, 6, (6, 5, 7)).astype(np.uint8)
    model = Conduction({str(n): ConductionPhase(tensor=tuple(map(tuple, k))) for n, k in enumerate(crystals)}, 1e-10)
    cells = Regions(np.arange(1), phase[None], tuple(map(str, range(6))), (1.0, 1.0, 1.0))
    g = np.array([[1.0, 0.3, -0.2]])
    answers, _, outcomes = model.solve({"gradient": g}, model.begin(cells), np.zeros(1, np.uint64))
    assert outcomes[0].ok
    K = -answers["tangent"][0]
    assert answers["work"][0] == pytest.approx(float(answers["flux"][0] @ g[0]), rel=1e-10)
    f = np.bincount(phase.ravel()) / phase.size
    upper, lower = np.einsum("p,pij", f, crystals), np.linalg.inv(np.einsum("p,pij", f, np.linalg.inv(crystals)))
    assert np.linalg.eigvalsh(upper - K).min() > 0
    assert np.linalg.eigvalsh(K - lower).min() > 0
    swap = np.eye(3)[[2, 0, 1]]  # x y z -> z x y
    turned = cell_conductor.anisotropic(
        phase.transpose(2, 0, 1).copy(), swap @ crystals @ swap.T, (1.0, 1.0, 1.0), 1e-10
    )
    np.testing.assert_allclose(turned.conductivity, swap @ K @ swap.T, atol=1e-8)


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (ConductionPhase(), "either"),
        (ConductionPhase(1.0, tensor=((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0))), "either"),
        (ConductionPhase(tensor=((1.0, 2.0, 0), (0, 1.0, 0), (0, 0, 1.0))), "symmetric"),
        (ConductionPhase(tensor=((1.0, 2.0, 0), (2.0, 1.0, 0), (0, 0, 1.0))), "negative"),
        (ConductionPhase(float("nan")), "finite"),
        (ConductionPhase(-1.0), "negative"),
    ],
)
def test_what_is_no_conductivity_is_refused_before_work(phase, words):
    with pytest.raises(BadInput, match=words):
        Conduction({"a": phase}).begin(Regions(np.arange(1), np.zeros((1, 2, 2, 2), np.uint8), ("a",)))

"""Elastic cells against closed forms over random inputs: layers, Hill's lemma, bounds, a ball in a large cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.kernels.cell_elastic import ElasticCell, labelled
from hpcms.problem.generators import sphere

ROOT = np.sqrt(2.0)
FEW = settings(max_examples=12, deadline=None, derandomize=True)
POISSON = st.floats(-0.2, 0.45)
LOGS = st.floats(-1.0, 1.0)  # of moduli, base 10


def lame(E: np.ndarray, nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))


def stiffness(lam: np.ndarray, mu: np.ndarray, spacing: tuple[float, float, float], tolerance: float) -> np.ndarray:
    cell = ElasticCell(*labelled(lam, mu), spacing)
    return np.array([cell.solve(e, tolerance).stress for e in np.eye(6)]).T


def backus(lam: np.ndarray, mu: np.ndarray, share: np.ndarray, axis: int) -> np.ndarray:
    """Stiffness of layers with normal ``axis``, Mandel (G. E. Backus, J. Geophys. Res. 67, 4427-4440, 1962, eq. 13)."""
    p = lam + 2 * mu
    normal, ratio = 1 / (share @ (1 / p)), share @ (lam / p)
    plane = share @ (4 * mu * (lam + mu) / p) + ratio**2 * normal
    cross = share @ (2 * mu * lam / p) + ratio**2 * normal
    C = np.full((3, 3), cross)
    C[np.diag_indices(3)] = plane
    C[axis], C[:, axis] = ratio * normal, ratio * normal
    C[axis, axis] = normal
    shear = np.full(3, 2 / (share @ (1 / mu)))  # 23, 13, 12: those that hold the normal
    shear[axis] = 2 * (share @ mu)
    return np.block([[C, np.zeros((3, 3))], [np.zeros((3, 3)), np.diag(shear)]])


@FEW
@given(
    st.lists(st.tuples(st.integers(1, 4), LOGS, POISSON), min_size=2, max_size=5),
    st.integers(0, 2),
    st.tuples(*[st.floats(0.3, 3.0)] * 3),
)
def test_layers_are_exact(
    layers: list[tuple[int, float, float]], axis: int, spacing: tuple[float, float, float]
) -> None:
    """The strain is uniform in each layer, so one voxel a layer is enough, whatever its shape."""
    counts = np.array([n for n, _, _ in layers])
    lam, mu = lame(10.0 ** np.array([e for _, e, _ in layers]), np.array([nu for _, _, nu in layers]))
    shape = [2, 2, 2]
    shape[axis] = int(counts.sum())
    lined = [np.repeat(m, counts).reshape([-1 if i == axis else 1 for i in range(3)]) for m in (lam, mu)]
    found = stiffness(*(np.broadcast_to(m, shape) for m in lined), spacing, 1e-11)
    want = backus(lam, mu, counts / counts.sum(), axis)
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-9 * np.abs(want).max())


@FEW
@given(st.integers(0, 10**6), st.floats(0, 3), st.sampled_from(["periodic", "displacement", "traction"]), POISSON)
def test_hills_lemma(seed: int, contrast: float, boundary: str, nu: float) -> None:
    """<sigma : eps> = <sigma> : <eps> for admissible fields, at any state of the iteration that obeys the boundary."""
    rng = np.random.default_rng(seed)
    E = np.where(rng.random((5, 4, 3)) < 0.4, 10.0**contrast, 1.0)
    strain = rng.normal(size=6)
    found = ElasticCell(*labelled(*lame(E, np.full(E.shape, nu))), (1.0, 0.7, 1.6), boundary).solve(strain, 1e-4)
    assert found.work == pytest.approx(found.stress @ strain, rel=1e-10)
    assert found.work > 0


def shtrikman(f: float, K: tuple[float, float], G: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on the bulk and the shear modulus, (2,) each; Z. Hashin, S. Shtrikman, J. Mech. Phys. Solids 11 (1963)."""
    share = np.array([1 - f, f])

    def bound(x: np.ndarray, y: float) -> float:
        return float(1 / (share @ (1 / (x + y))) - y)

    k = [bound(np.array(K), 4 * g / 3) for g in (min(G), max(G))]
    pairs = ((min(K), min(G)), (max(K), max(G)))
    g = [bound(np.array(G), g * (9 * kk + 8 * g) / (6 * (kk + 2 * g))) for kk, g in pairs]
    return np.array(k), np.array(g)


@FEW
@given(st.integers(0, 10**6), st.floats(0.2, 0.8), st.tuples(st.floats(3, 20), st.floats(3, 20)), st.floats(0.2, 1.2))
def test_random_grains_obey_the_bounds(seed: int, fraction: float, contrast: tuple[float, float], ratio: float) -> None:
    """Means over all directions. Elements of displacements come down to the moduli of the cell: grains of 4^3 voxels are
    closer than the bounds are wide, if the phases differ enough."""
    K, G = (1.0, contrast[0]), (ratio, ratio * contrast[1])
    grains = np.random.default_rng(seed).random((6, 6, 6)) < fraction
    k, g = shtrikman(grains.mean(), K, G)
    found = []
    for voxels in (2, 4):
        image = np.kron(grains, np.ones((voxels,) * 3)) > 0
        mu = np.where(image, G[1], G[0])
        C = stiffness(np.where(image, K[1], K[0]) - 2 * mu / 3, mu, (1.0, 1.0, 1.0), 1e-6)
        bulk = C[:3, :3].sum() / 9
        found.append((bulk, (np.trace(C) - 3 * bulk) / 10))
    for modulus, bound in ((0, k), (1, g)):
        coarse, fine = found[0][modulus], found[1][modulus]
        assert bound[0] * (1 - 1e-9) <= fine <= bound[1] * (1 + 1e-9)
        assert fine <= coarse * (1 + 1e-6)


def core_error(edge: int, E: float, nu: tuple[float, float], load: np.ndarray) -> tuple[float, float]:
    """Strain in the core (half the radius) of a ball of 1 % of its cell, against Eshelby: error of the mean, and spread.

    J. D. Eshelby, Proc. R. Soc. A 241, 376-396 (1957): a ball in an endless matrix under the remote strain e has, uniformly,
    tr e / (1 + a (K2/K1 - 1)) and dev e / (1 + b (G2/G1 - 1)), a = (1 + nu) / (3 (1 - nu)), b = 2 (4 - 5 nu) / (15 (1 - nu)).
    The remote strain is taken as the mean of the matrix.
    """
    image = sphere((edge,) * 3, 0.01).astype(bool)
    (l1, m1), (l2, m2) = lame(1.0, nu[0]), lame(E, nu[1])
    found = ElasticCell(*labelled(np.where(image, l2, l1), np.where(image, m2, m1))).solve(load, 1e-6)
    H = np.zeros((3, 3, *image.shape))
    for d in range(3):
        slope = np.roll(found.displacement, -1, d + 1) - found.displacement
        for other in {0, 1, 2} - {d}:
            slope = 0.5 * (slope + np.roll(slope, -1, other + 1))
        H[:, d] = slope
    e = 0.5 * (H + H.swapaxes(0, 1))
    strain = np.array([e[0, 0], e[1, 1], e[2, 2], ROOT * e[1, 2], ROOT * e[0, 2], ROOT * e[0, 1]])
    strain += load[:, None, None, None]
    remote, v = strain[:, ~image].mean(axis=1), nu[0]
    a, b = (1 + v) / (3 * (1 - v)), 2 * (4 - 5 * v) / (15 * (1 - v))
    mean = remote[:3].mean() * np.array([1.0, 1, 1, 0, 0, 0])
    k = (l2 + 2 * m2 / 3) / (l1 + 2 * m1 / 3)
    want = mean / (1 + a * (k - 1)) + (remote - mean) / (1 + b * (m2 / m1 - 1))
    core = sphere((edge,) * 3, 0.01 / 8).astype(bool)
    inside = strain[:, core]
    size = np.linalg.norm(want)
    return float(np.linalg.norm(inside.mean(axis=1) - want) / size), float(np.linalg.norm(inside.std(axis=1)) / size)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.floats(-0.7, 0.7), st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)), st.integers(0, 10**6))
def test_field_in_a_small_ball_is_that_of_eshelby(logarithm: float, nu: tuple[float, float], seed: int) -> None:
    """Within 5 % and uniform within 4 % where the radius has 4.3 voxels."""
    load = np.random.default_rng(seed).normal(size=6)
    error, spread = core_error(32, 10.0**logarithm, nu, load)
    assert error < 0.05
    assert spread < 0.04


@pytest.mark.parametrize("E", [0.2, 5.0])
def test_error_against_eshelby_falls_with_the_voxel(E: float) -> None:
    """At least with order one, until the images of the ball (1 % of the cell) are what is left."""
    load = np.array([1, 0.3, -0.2, 0.4, -0.1, 0.5])
    errors = np.array([core_error(edge, E, (0.3, 0.3), load)[0] for edge in (16, 32, 48)])
    assert np.all(np.diff(np.log(errors)) / np.diff(np.log([16, 32, 48])) < -0.8), errors
    assert errors[-1] < 0.02

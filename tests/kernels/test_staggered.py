"""The staggered grid against its twin and a manufactured flow; MINRES against a direct solve; cells against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.kernels import cell_stokes, stokes_mac
from hpcms.kernels.minres import minres

QUICK = settings(max_examples=20, deadline=None, derandomize=True)
shapes = st.tuples(*[st.integers(1, 6)] * 3)
H = np.array([0.1, 0.3, 0.2])


@QUICK
@given(shapes, st.integers(0, 2**32))
def test_obstacles_equal_their_twin_and_are_symmetric(shape, seed):
    rng = np.random.default_rng(seed)
    fluid = (rng.random(shape) < 0.7).astype(float)
    free = np.stack([fluid * np.roll(fluid, 1, a) for a in range(3)])
    fields = [(rng.normal(size=(3, *shape)) * free, rng.normal(size=shape) * fluid) for _ in range(2)]
    out = []
    for u, p in fields:
        fu, fp = np.empty_like(u), np.empty_like(p)
        stokes_mac.obstacles(u, -p, free, fluid, H, fu, fp)
        want = stokes_mac.obstacles_plain(u, -p, free, fluid, H)
        np.testing.assert_allclose(fu, want[0], atol=1e-12)
        np.testing.assert_allclose(fp, want[1], atol=1e-12)
        out.append((fu, fp))
    work = [sum(float(np.sum(a * b)) for a, b in zip(out[i], fields[j], strict=True)) for i, j in ((0, 1), (1, 0))]
    assert work[0] == pytest.approx(work[1], rel=1e-10, abs=1e-12)


@QUICK
@given(shapes, st.integers(0, 2**32))
def test_mixtures_equal_their_twin_and_rigid_motion_costs_nothing(shape, seed):
    rng = np.random.default_rng(seed)
    eta, u, rate = rng.random(shape) + 0.1, rng.normal(size=(3, *shape)), rng.normal(size=6)
    f, total = np.empty_like(u), np.zeros(6)
    stokes_mac.mixture(u, eta, stokes_mac.edges(eta), rate, H, f, total)
    force, mean = stokes_mac.mixture_plain(u, eta, stokes_mac.edges(eta), rate, H)
    np.testing.assert_allclose(f, force, atol=1e-12)
    np.testing.assert_allclose(total / (H.prod() * eta.size), mean, atol=1e-12)
    stokes_mac.mixture(np.ones_like(u), eta, stokes_mac.edges(eta), np.zeros(6), H, f, total)
    assert np.abs(f).max() < 1e-14


def test_the_force_of_a_manufactured_flow_is_of_second_order():
    """v = (sin y, sin z, sin x) cos terms, eta = 2 + sin(x + y): ``-div(2 eta e)`` by hand at the faces."""
    errors = []
    for n in (12, 24, 48):
        h = 2 * np.pi / n
        i = h * np.arange(n)
        x, y, z = np.meshgrid(i, i, i, indexing="ij")
        u = np.stack([np.sin(y + h / 2), np.sin(z + h / 2), np.sin(x + h / 2)])
        eta = 2 + np.sin(x + y + h)
        f = np.empty_like(u)
        stokes_mac.mixture(u, eta, stokes_mac.edges(eta), np.zeros(6), np.full(3, h), f, np.zeros(6))
        X, Y = x, y + h / 2  # faces along x sit at x, y + h/2, z + h/2
        # e12 = cos(y)/2, e13 = cos(x)/2 for v; force_x = -d/dy(eta cos y) - d/dz(eta cos x)
        want = -(np.cos(X + Y) * np.cos(Y) - (2 + np.sin(X + Y)) * np.sin(Y))
        errors.append(np.abs(f[0] / h**3 - want).max())
    assert -np.polyfit(np.arange(3), np.log2(errors), 1)[0] == pytest.approx(2, abs=0.1)


def test_minres_solves_an_indefinite_system():
    rng = np.random.default_rng(3)
    Q, _ = np.linalg.qr(rng.normal(size=(30, 30)))
    A = Q @ np.diag(np.r_[np.linspace(1, 5, 20), np.linspace(-3, -1, 10)]) @ Q.T
    M, b = np.diag(rng.random(30) + 0.5), rng.normal(size=30)
    x, ratio, steps = minres(lambda v, out: np.copyto(out, A @ v), lambda v, out: np.copyto(out, M @ v), b, 1e-12, 200)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-9, atol=1e-10)
    assert ratio <= 1e-12
    assert steps < 60
    _, ratio, steps = minres(lambda v, out: np.copyto(out, A @ v), lambda v, out: np.copyto(out, M @ v), b, 1e-12, 5)
    assert steps == 5
    assert ratio > 1e-12


def test_the_flow_is_free_of_divergence_and_meets_momentum():
    solid = np.random.default_rng(4).random((6, 7, 5)) < 0.3
    flow = cell_stokes.permeability(solid, (0.1, 0.3, 0.2), 1, 1e-10)
    u = flow.velocity
    div = sum((np.roll(u[a], -1, a) - u[a]) / H[a] for a in range(3))
    assert np.abs(div).max() < 1e-8 * np.abs(u).max() / H.min()
    assert np.abs(u[:, solid]).max() == 0
    assert flow.work == pytest.approx(flow.mean[1], rel=1e-8)

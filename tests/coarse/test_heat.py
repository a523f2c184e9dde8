"""Heat against exact solutions: orders of convergence, balances, boundary conditions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_answers import answer, conduction, march, slope, solve
from scipy.special import erfc

from hpcms.coarse.composition import Composition
from hpcms.coarse.heat import Heat, HeatBoundary, HeatOnMesh, Wave
from hpcms.contracts import Array, Step
from hpcms.errors import BadInput
from hpcms.problem.mesh import Domain, Mesh, build_mesh

ALL = ("left", "right", "bottom", "top")


def line(n: int, length: float = 1.0, grading: float = 1.0) -> Mesh:
    return build_mesh(Domain("interval", (length,), (n,), (grading,)))


def model_of(heat: Heat, mesh: Mesh) -> tuple[Composition, HeatOnMesh]:
    field = heat.bind(mesh, "heat", "k")
    return Composition([field]), field


def error_at_sites(field: HeatOnMesh, nodal: Array, exact: Array) -> float:
    w = field.mesh.weights
    return float(np.sqrt(w @ (field.space.values(nodal) - exact) ** 2 / w.sum()))


def test_a_manufactured_steady_state_converges_with_h_squared() -> None:
    """T = sin(pi x) sin(pi y), k = 1 + x."""
    sizes, errors = [4, 8, 16, 32], []
    for n in sizes:
        mesh = build_mesh(Domain("rectangle", (1.0, 1.0), (n, n), (1.5, 1.5)))
        heat = Heat(0.0, tuple(HeatBoundary(side, temperature=0.0) for side in ALL), steady=True)
        model, field = model_of(heat, mesh)
        x, y = np.pi * mesh.sites.T
        field.source = 2 * np.pi**2 * (1 + x / np.pi) * np.sin(x) * np.sin(y) - np.pi * np.cos(x) * np.sin(y)
        laws = {"k": conduction(1 + mesh.sites[:, 0])}
        u, _ = solve(model, laws, Step(1, 1.0, 1.0, model.begin()))
        errors.append(error_at_sites(field, u["temperature"], np.sin(x) * np.sin(y)))
    assert slope([1 / n for n in sizes], errors) == pytest.approx(2, abs=0.1)


def test_decay_converges_with_dt() -> None:
    """T = exp(-pi^2 t) sin(pi x); the mesh is fine enough not to matter."""
    errors, counts = [], [8, 16, 32]
    mesh = line(80)
    for n in counts:
        ends = (HeatBoundary("left", temperature=0.0), HeatBoundary("right", temperature=0.0))
        model, field = model_of(Heat(0.0, ends), mesh)
        start = {"temperature": np.sin(np.pi * mesh.nodes[:, 0])}
        u = march(model, {"k": conduction(1.0, 1.0)}, start, 0.1 / n, n)
        exact = np.exp(-0.1 * np.pi**2) * np.sin(np.pi * mesh.sites[:, 0])
        errors.append(error_at_sites(field, u["temperature"], exact))
    assert slope([1 / n for n in counts], errors) == pytest.approx(1, abs=0.1)


def test_a_sudden_change_at_the_surface_follows_the_error_function() -> None:
    """Half space: T = erfc(x / (2 sqrt(t))); with dt ~ h^2 the error falls with h^2, and it never overshoots."""
    sizes, errors = [10, 20, 40], []
    for n in sizes:
        mesh = line(n, 2.0)
        model, field = model_of(Heat(0.0, (HeatBoundary("left", temperature=1.0),)), mesh)
        steps = n * n // 20
        u = march(model, {"k": conduction(1.0, 1.0)}, model.begin(), 0.05 / steps, steps)
        exact = erfc(mesh.sites[:, 0] / (2 * np.sqrt(0.05)))
        errors.append(error_at_sites(field, u["temperature"], exact))
        assert np.all(np.diff(u["temperature"]) <= 1e-14)
    assert errors[-1] < 3e-3
    assert slope([1 / n for n in sizes], errors) == pytest.approx(2, abs=0.25)


def test_a_yearly_wave_dies_out_with_depth() -> None:
    """T = mean + A exp(-z / d) sin(2 pi t / P - z / d) with d = sqrt(k P / (pi c)); order 1 in dt."""
    errors, counts = [], [12, 24, 48]
    mesh, period, k, c = line(60, 25.0, 8.0), 365 * 86400.0, 0.4, 6e5
    depth = np.sqrt(k * period / (np.pi * c))
    z = mesh.sites[:, 0]
    for n in counts:
        model, field = model_of(Heat(254.0, (HeatBoundary("left", Wave(254.0, 11.0, period)),)), mesh)
        # start on the exact wave, so that one period is enough
        start = {"temperature": 254.0 - 11 * np.exp(-mesh.nodes[:, 0] / depth) * np.sin(mesh.nodes[:, 0] / depth)}
        u = march(model, {"k": conduction(k, c)}, start, period / n, n)
        exact = 254.0 - 11 * np.exp(-z / depth) * np.sin(z / depth)
        errors.append(error_at_sites(field, u["temperature"], exact))
    assert errors[-1] < 0.1
    assert slope([1 / n for n in counts], errors) == pytest.approx(1, abs=0.15)


def test_a_rectangle_that_is_uniform_along_x_gives_the_line() -> None:
    tall = build_mesh(Domain("rectangle", (3.0, 2.0), (3, 10), (1.0, 4.0)))
    thin = line(10, 2.0, 4.0)
    laws = {"k": conduction(2.0, 1e3)}
    plane, _ = model_of(Heat(1.0, (HeatBoundary("top", temperature=5.0),)), tall)
    slim, _ = model_of(Heat(1.0, (HeatBoundary("left", temperature=5.0),)), thin)
    T = march(plane, laws, plane.begin(), 50.0, 4)["temperature"]
    expected = march(slim, laws, slim.begin(), 50.0, 4)["temperature"]
    depth = 2.0 - tall.nodes[:, 1]
    assert np.interp(depth, thin.nodes[:, 0], expected) == pytest.approx(T, abs=1e-12)


def test_the_steady_line_is_exact_at_the_nodes() -> None:
    """-(a u')' = 1 with a = 1/2 and u = 0 at both ends: u = x (1 - x)."""
    ends = (HeatBoundary("left", temperature=0.0), HeatBoundary("right", temperature=0.0))
    mesh = line(16)
    model, _ = model_of(Heat(0.0, ends, source=1.0, steady=True), mesh)
    u, sweeps = solve(model, {"k": conduction(0.5)}, Step(1, 1.0, 1.0, model.begin()))
    x = mesh.nodes[:, 0]
    assert u["temperature"] == pytest.approx(x * (1 - x), abs=1e-14)
    assert len(sweeps) == 2


def test_a_steady_state_does_not_depend_on_the_step() -> None:
    mesh = line(6)
    ends = (HeatBoundary("left", temperature=1.0), HeatBoundary("right", flux=2.0))
    model, _ = model_of(Heat(3.0, ends, steady=True), mesh)
    found = [solve(model, {"k": conduction(4.0)}, Step(1, dt, dt, model.begin()))[0] for dt in (1e-3, 1e9)]
    assert np.array_equal(found[0]["temperature"], found[1]["temperature"])
    assert found[0]["temperature"] == pytest.approx(1 + 0.5 * mesh.nodes[:, 0])


@settings(deadline=None, derandomize=True, max_examples=15)
@given(
    flux=st.floats(-50, 50), source=st.floats(-5, 5), seed=st.integers(0, 99), dt=st.floats(1, 1e4),
    between=st.tuples(st.floats(0, 0.9), st.floats(1.0, 2.0)),
)  # fmt: skip
def test_heat_is_conserved(flux: float, source: float, seed: int, dt: float, between: tuple[float, float]) -> None:
    mesh = build_mesh(Domain("rectangle", (2.0, 1.0), (5, 3), (2.0, 2.0)))
    model, field = model_of(Heat(280.0, (HeatBoundary("top", flux=flux, between=between),), source=source), mesh)
    k = np.random.default_rng(seed).uniform(0.1, 10, len(mesh.sites))
    u = march(model, {"k": conduction(k, 1e3)}, model.begin(), dt, 2, tolerance=1e-9)
    gained = 1e3 * (field.space.values(u["temperature"]) - 280.0) @ mesh.weights
    given_in = 2 * dt * (flux * (between[1] - between[0]) + source * 2.0)
    assert gained == pytest.approx(given_in, rel=1e-6, abs=1e-6 * dt)


def test_dissipation_warms_an_insulated_body() -> None:
    mesh = line(4)
    model, _ = model_of(Heat(250.0), mesh)
    laws = {"k": conduction(1.0, 2e3)}
    step = Step(1, 10.0, 10.0, model.begin())
    u = model.predict(step)
    given_answers = answer(model, laws, u, step) | {"creep": {"dissipation": np.full(len(mesh.sites), 500.0)}}
    u = model.advance(u, given_answers, step).u
    assert u["temperature"] == pytest.approx(np.full(5, 250.25), abs=1e-10)


def test_a_uniform_body_at_rest_has_no_residual() -> None:
    mesh = build_mesh(Domain("rectangle", (1.0, 1.0), (4, 4), (3.0, 3.0)))
    model, _ = model_of(Heat(254.15), mesh)
    _, sweeps = solve(model, {"k": conduction()}, Step(1, 1.0, 1.0, model.begin()), tolerance=1e-6)
    assert len(sweeps) == 1
    assert sweeps[0].detail["scales"]["heat"] > 0


def test_the_later_of_two_temperatures_holds_at_a_corner() -> None:
    mesh = build_mesh(Domain("rectangle", (1.0, 1.0), (2, 2)))
    field = Heat(0.0, (HeatBoundary("left", 1.0), HeatBoundary("top", 2.0))).bind(mesh, "heat", "k")
    T = field.constrain(field.begin(), Step(1, 1.0, 1.0, {}))
    corner = np.flatnonzero((mesh.nodes == [0.0, 1.0]).all(axis=1))
    assert T[corner] == [2.0]


def test_the_summary_names_mean_and_surface() -> None:
    mesh = build_mesh(Domain("rectangle", (2.0, 1.0), (4, 4), (2.0, 2.0)))
    model, _ = model_of(Heat(0.0), mesh)
    u = {"temperature": 10 + mesh.nodes[:, 1]}
    summary = model.summary(u, Step(1, 1.0, 1.0, u))
    assert summary["mean_temperature"] == pytest.approx(10.5)
    assert summary["surface_temperature"] == pytest.approx(11.0)


@pytest.mark.parametrize(
    ("heat", "words"),
    [
        (Heat(0.0, (HeatBoundary("top"),)), "give one of"),
        (Heat(0.0, (HeatBoundary("top", 1.0, 2.0),)), "give one of"),
        (Heat(0.0, (HeatBoundary("front", 1.0),)), "no side"),
        (Heat(0.0, (HeatBoundary("top", flux=1.0),), steady=True), "not determined"),
    ],
)
def test_boundaries_that_make_no_sense_are_refused(heat: Heat, words: str) -> None:
    mesh = build_mesh(Domain("rectangle", (1.0, 1.0), (2, 2)))
    with pytest.raises(BadInput, match=words):
        heat.bind(mesh, "heat", "k")


def test_heat_needs_a_domain_and_a_fine_model() -> None:
    with pytest.raises(BadInput, match="not at points"):
        Heat(0.0).bind(build_mesh(Domain("points", (), (1,))), "heat", "k")
    with pytest.raises(BadInput, match="needs a fine model"):
        Heat(0.0).bind(line(2), "heat")


def test_missing_answers_are_named() -> None:
    model, _ = model_of(Heat(250.0), line(2))
    step = Step(1, 1.0, 1.0, model.begin())
    with pytest.raises(BadInput, match="gives no capacity"):
        model.advance(model.begin(), {"k": {"flux": np.zeros((4, 3))}}, Step(1, 1.0, 1.0, {"temperature": np.zeros(3)}))
    with pytest.raises(BadInput, match="gives no flux"):
        model.advance(model.begin(), {}, step)

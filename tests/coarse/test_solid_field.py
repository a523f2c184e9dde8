"""The solid against exact solutions: patch, weight, footing, order of convergence, derivatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import skfem
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_answers import VOLUME, answer, elastic, slope, softening, solve, stiffness

from hpcms.coarse.composition import Composition
from hpcms.coarse.solid import At, Solid, SolidBoundary, SolidOnMesh
from hpcms.contracts import Step
from hpcms.errors import BadInput
from hpcms.problem.mesh import Domain, Mesh, build_mesh

ROLLERS = (SolidBoundary("left", ("x",)), SolidBoundary("right", ("x",)), SolidBoundary("bottom", ("x", "y")))
PLANE = [0, 1, 5]


def rectangle(nx: int, ny: int, size: tuple[float, float] = (6.0, 4.0), grading: float = 2.0) -> Mesh:
    return build_mesh(Domain("rectangle", size, (nx, ny), (grading, grading)))


def distorted(mesh: Mesh, seed: int) -> Mesh:
    """The inner nodes moved at random."""
    p = mesh.fem.p.copy()
    inside = np.all((mesh.nodes > 0) & (mesh.nodes < mesh.domain.size), axis=1)
    h = np.array(mesh.domain.size) / mesh.domain.elements
    p[:, inside] += (np.random.default_rng(seed).uniform(-0.2, 0.2, (inside.sum(), 2)) * h).T
    return replace(mesh, fem=skfem.MeshQuad(p, mesh.fem.t), nodes=np.ascontiguousarray(p.T))


def model_of(solid: Solid, mesh: Mesh) -> tuple[Composition, SolidOnMesh]:
    field = solid.bind(mesh, "solid", "e")
    return Composition([field]), field


def step_of(model: Composition, dt: float = 1.0) -> Step:
    return Step(1, dt, dt, model.begin())


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.floats(-1e5, 1e5), st.floats(-0.5, 0.45), st.integers(0, 1000))
def test_patch_a_uniform_stress_is_met_exactly(p: float, nu: float, seed: int) -> None:
    """Pressure on the top of a distorted mesh on rollers: sigma_yy = -p, sigma_xx = 0, linear displacements."""
    mesh = distorted(rectangle(4, 3, (2.0, 1.0), 1.0), seed)
    boundary = (SolidBoundary("left", ("x",)), SolidBoundary("bottom", ("y",)), SolidBoundary("top", pressure=p))
    model, _ = model_of(Solid(boundary=boundary), mesh)
    laws = {"e": elastic(1e7, nu)}
    u, sweeps = solve(model, laws, step_of(model))
    exx, eyy = np.linalg.solve(stiffness(1e7, nu)[:2, :2], [0.0, -p])
    size = abs(p) / 1e7
    assert u["displacement"] == pytest.approx(mesh.nodes * [exx, eyy], abs=1e-11 * size, rel=1e-10)
    stress = answer(model, laws, u, step_of(model))["e"]["stress"]
    assert stress[:, 1] == pytest.approx(np.full(len(stress), -p), rel=1e-9)
    assert np.abs(stress[:, [0, 5]]).max() <= 1e-9 * abs(p)
    assert len(sweeps) == (1 if p == 0 else 2)


def test_a_manufactured_solution_converges_with_h_squared() -> None:
    """u = (sin pi x sin pi y, x (1 - x) y (1 - y)); the body force follows from it by central differences."""
    C = stiffness(3.0, 0.3)[np.ix_(PLANE, PLANE)]
    sizes, errors = [4, 8, 16, 32], []

    def exact(x: np.ndarray) -> np.ndarray:
        a, b = x.T
        return np.stack([np.sin(np.pi * a) * np.sin(np.pi * b), a * (1 - a) * b * (1 - b)], axis=1)

    def stress(x: np.ndarray, h: float = 1e-4) -> np.ndarray:
        dx, dy = ((exact(x + d) - exact(x - d)) / (2 * h) for d in ([h, 0.0], [0.0, h]))
        return np.stack([dx[:, 0], dy[:, 1], (dx[:, 1] + dy[:, 0]) / np.sqrt(2)], axis=1) @ C

    def force(x: np.ndarray, h: float = 1e-4) -> np.ndarray:
        sx, sy = ((stress(x + d) - stress(x - d)) / (2 * h) for d in ([h, 0.0], [0.0, h]))
        return -np.stack([sx[:, 0] + sy[:, 2] / np.sqrt(2), sx[:, 2] / np.sqrt(2) + sy[:, 1]], axis=1)

    sides = tuple(SolidBoundary(side, ("x", "y")) for side in ("left", "right", "top", "bottom"))
    for n in sizes:
        mesh = rectangle(n, n, (1.0, 1.0), 1.5)
        model, field = model_of(Solid(boundary=sides), mesh)
        field.force = force(mesh.sites)
        u, _ = solve(model, {"e": elastic(3.0, 0.3)}, step_of(model))
        gap = field.space.values(u["displacement"]).reshape(-1, 2) - exact(mesh.sites)
        errors.append(float(np.sqrt(mesh.weights @ (gap**2).sum(axis=1))))
    assert slope([1 / n for n in sizes], errors) == pytest.approx(2, abs=0.1)


def test_a_column_under_its_weight_settles_by_rho_g_h_squared_over_2_m() -> None:
    mesh = rectangle(3, 8)
    model, _ = model_of(Solid(9.81, (*ROLLERS[:2], SolidBoundary("bottom", ("y",)))), mesh)
    u, _ = solve(model, {"e": elastic(1e7, 0.25, density=350.0)}, step_of(model))
    y, M = mesh.nodes[:, 1], stiffness(1e7, 0.25)[1, 1]
    exact = -350.0 * 9.81 / M * (4.0 * y - y**2 / 2)
    assert u["displacement"][:, 1] == pytest.approx(exact, rel=1e-9, abs=1e-12)


@settings(deadline=None, derandomize=True, max_examples=10)
@given(low=st.floats(0, 5), width=st.floats(0.05, 1.0), p=st.floats(1e3, 1e5))
def test_a_footing_presses_with_all_its_force(low: float, width: float, p: float) -> None:
    """Also where the footing ends inside a cell: force and moment of the reactions at the bottom."""
    mesh = rectangle(7, 4)
    footing = SolidBoundary("top", pressure=p, between=(low, low + width))
    model, field = model_of(Solid(0.0, (*ROLLERS[2:], footing)), mesh)
    laws = {"e": elastic()}
    u, _ = solve(model, laws, step_of(model), tolerance=1e-11)
    reaction = field.residual(u, answer(model, laws, u, step_of(model)), step_of(model)).residual.reshape(-1, 2)
    assert reaction[:, 1].sum() == pytest.approx(p * width)
    assert reaction[:, 0].sum() == pytest.approx(0, abs=1e-6 * p * width)
    moment = reaction[:, 1] @ mesh.nodes[:, 0] - reaction[:, 0] @ mesh.nodes[:, 1]
    assert moment == pytest.approx(p * width * (low + width / 2))
    assert model.summary(u, step_of(model))["settlement"] > 0


def test_settlement_is_the_mean_over_the_loaded_part() -> None:
    mesh = rectangle(6, 2, grading=1.0)
    model, _ = model_of(Solid(0.0, (*ROLLERS, SolidBoundary("top", pressure=1.0, between=(2.5, 3.5)))), mesh)
    u = {"displacement": np.stack([0 * mesh.nodes[:, 0], -mesh.nodes[:, 0]], axis=1)}
    summary = model.summary(u, step_of(model))
    assert summary["settlement"] == pytest.approx(3.0)
    assert summary["largest_displacement"] == pytest.approx(6.0)
    bare, _ = model_of(Solid(1.0, ROLLERS), mesh)
    assert "settlement" not in bare.summary(u, step_of(bare))


def test_without_a_temperature_field_the_solid_has_its_own() -> None:
    mesh = rectangle(2, 2)
    model, _ = model_of(Solid(0.0, ROLLERS, temperature=260.0), mesh)
    u = model.begin()
    assert np.all(model.sites(u, step_of(model, 7.0))["e"]["temperature"] == 260.0)
    assert np.all(model.sites(u, step_of(model, 7.0))["e"]["dt"] == 7.0)
    u, _ = solve(model, {"e": elastic(1e8, 0.0, expansion=1e3)}, step_of(model))
    # sigma_yy = E eps - 1e3 (260 - 250) = 0
    assert u["displacement"][:, 1] == pytest.approx(1e4 / 1e8 * mesh.nodes[:, 1], rel=1e-9, abs=1e-15)


def test_drives_are_mandel_strains_of_the_plane() -> None:
    mesh = rectangle(3, 2)
    model, _ = model_of(Solid(0.0, ROLLERS), mesh)
    F = np.array([[1e-3, 4e-4], [-1e-4, -2e-3]])
    drive = model.sites({"displacement": mesh.nodes @ F.T}, step_of(model))["e"]["strain"]
    expected = [1e-3, -2e-3, 0, 0, 0, np.sqrt(2) * 1.5e-4]
    assert drive == pytest.approx(np.tile(expected, (len(drive), 1)), abs=1e-15)


def test_the_matrices_are_the_derivatives_of_the_residual() -> None:
    mesh = rectangle(3, 3, (1.0, 1.0))
    field = Solid(9.81, ROLLERS).bind(mesh, "solid", "e")
    rng, law, step = np.random.default_rng(3), softening(), Step(1, 1.0, 1.0, {})
    u = {"displacement": 1e-3 * rng.normal(size=field.shape), "temperature": 250 + rng.normal(size=len(mesh.nodes))}

    def residual(values: dict[str, np.ndarray]) -> np.ndarray:
        return field.residual(values, {"e": law(field.sites(values, step))}, step).residual

    for name, h in (("displacement", 1e-7), ("temperature", 1e-3)):
        J = field.jacobian(name, u, {"e": law(field.sites(u, step))}, step)
        direction = rng.normal(size=u[name].shape)
        ahead, behind = (residual(u | {name: u[name] + s * h * direction}) for s in (1, -1))
        numerical = (ahead - behind) / (2 * h)
        assert J @ direction.ravel() == pytest.approx(numerical, rel=1e-5, abs=1e-5 * np.abs(numerical).max())
    assert field.jacobian("value", u, {"e": {}}, step) is None


def test_newton_converges_quadratically_with_the_consistent_tangent() -> None:
    mesh = rectangle(6, 4)
    model, _ = model_of(Solid(9.81, (*ROLLERS, SolidBoundary("top", pressure=4e4, between=(2.5, 3.5)))), mesh)
    _, sweeps = solve(model, {"e": softening(expansion=0.0)}, step_of(model), tolerance=1e-11)
    r = [s.residual for s in sweeps]
    assert len(r) <= 7
    assert r[-2] <= 10 * r[-3] ** 2 + 1e-9


@pytest.mark.parametrize(
    ("boundary", "words"),
    [
        ((), "3 of its 3 rigid motions are free"),
        ((SolidBoundary("left", ("x",)), SolidBoundary("right", ("x",))), "1 of its 3"),
        ((SolidBoundary("bottom", ("y",)),), "1 of its 3"),
        ((SolidBoundary("bottom", ("z",)),), "unknown component 'z'"),
        ((SolidBoundary("bottom", ("x", "y")), SolidBoundary("top")), "give `fixed` or `pressure`"),
        ((SolidBoundary("bottom", ("x", "y"), 1e3),), "y is fixed where a pressure acts"),
        ((SolidBoundary("left", ("x", "y"), 1e3),), "x is fixed where a pressure acts"),
        ((SolidBoundary("back", ("x",)),), "no side 'back'"),
    ],
)
def test_boundaries_that_make_no_sense_are_refused(boundary: tuple[SolidBoundary, ...], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Solid(boundary=boundary).bind(rectangle(2, 2), "solid", "e")


def test_conflicts_between_entries_are_refused() -> None:
    both = (*ROLLERS, SolidBoundary("right", pressure=1e3, between=(1.0, 2.0)))
    with pytest.raises(BadInput, match="x is fixed where a pressure acts"):
        Solid(boundary=both).bind(rectangle(2, 2), "solid", "e")


def test_a_solid_needs_a_plane_a_fine_model_and_a_density() -> None:
    with pytest.raises(BadInput, match="needs a rectangle"):
        Solid().bind(build_mesh(Domain("interval", (1.0,), (2,))), "solid", "e")
    with pytest.raises(BadInput, match="needs a fine model"):
        Solid(boundary=ROLLERS).bind(rectangle(2, 2), "solid")
    model, _ = model_of(Solid(9.81, ROLLERS), rectangle(2, 2))
    step = step_of(model)
    without = answer(model, {"e": elastic()}, model.begin(), step)
    del without["e"]["density"]
    with pytest.raises(BadInput, match="gives no density"):
        model.advance(model.begin(), without, step)


def test_uniform_pressure_on_a_held_block_is_hydrostatic() -> None:
    """All strains but the vertical one are zero: sigma = -p (M_1 / M, 1, ...), with the pressure taken at the top."""
    mesh = rectangle(3, 3)
    ends = (SolidBoundary("bottom", ("y",)), SolidBoundary("top", pressure=5e3))
    model, _ = model_of(Solid(0.0, (*ROLLERS[:2], *ends)), mesh)
    laws = {"e": elastic(1e8, 0.3)}
    u, _ = solve(model, laws, step_of(model))
    stress = answer(model, laws, u, step_of(model))["e"]["stress"]
    C = stiffness(1e8, 0.3)
    assert stress == pytest.approx(np.tile(-5e3 * C[1] / C[1, 1], (len(stress), 1)), rel=1e-8, abs=1e-5)
    assert VOLUME @ stress[0] < 0


def along(path: tuple[At, ...]) -> tuple[Composition, dict[str, object]]:
    """A block on rollers under 1 kPa that follows ``path``."""
    sides = (SolidBoundary("left", ("x",)), SolidBoundary("bottom", ("y",)))
    return model_of(Solid(boundary=(*sides, SolidBoundary("top", pressure=1e3, path=path))), rectangle(2, 2))[0], {
        "e": elastic(1e7, 0.3)
    }


@pytest.mark.parametrize(("t", "share"), [(0.5, 0.5), (1.0, 1.0), (1.5, 0.25), (2.0, -0.5), (5.0, -0.5)])
def test_a_load_follows_its_path(t: float, share: float) -> None:
    model, laws = along((At(1.0, 1.0), At(2.0, -0.5)))
    whole, _ = along(())
    start = model.begin()
    part, all_of_it = (solve(m, laws, Step(1, t, t, start))[0]["displacement"] for m in (model, whole))
    assert part == pytest.approx(share * all_of_it, rel=1e-9, abs=1e-18)


def test_nothing_is_extrapolated_over_a_turn_of_the_load() -> None:
    model, _ = along((At(1.0, 1.0), At(2.0, 0.0)))
    start = model.begin()
    rate = {"displacement": np.full_like(start["displacement"], 1e-3)}
    before, after = (model.predict(Step(2, t, 0.25, start, rate))["displacement"] for t in (0.75, 1.25))
    assert np.abs(before).max() > 0
    assert not after.any()
    assert np.abs(model.predict(Step(2, 1.5, 0.25, start, rate))["displacement"]).max() > 0  # it falls already


@pytest.mark.parametrize(
    ("boundary", "said"),
    [(SolidBoundary("top", ("y",), path=(At(0.0, 1.0),)), "no pressure"),
     (SolidBoundary("top", pressure=1.0, path=(At(1.0, 1.0), At(1.0, 0.0))), "increase")],
)  # fmt: skip
def test_a_path_that_makes_no_sense_is_refused(boundary: SolidBoundary, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Solid(boundary=(*ROLLERS, boundary)).bind(rectangle(2, 2), "solid", "e")

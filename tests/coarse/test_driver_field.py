"""Material points along paths: prescribed drives, prescribed stresses, and mixtures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from linear_answers import Law, elastic, march, solve, stiffness

from hpcms import coarse
from hpcms.coarse.composition import Composition
from hpcms.coarse.driver import Driver
from hpcms.contracts import Arrays, Step
from hpcms.errors import BadInput
from hpcms.problem.mesh import Domain, build_mesh

C = stiffness(1e8, 0.2)
UP = (0.0, 1e-3, 0.0, 0.0, 0.0, 0.0)
NONE = (0.0,) * 6


@dataclass(frozen=True)
class Entry:
    time: float
    gradient: tuple[float, ...] | None = None
    strain: tuple[float, ...] | None = None
    deformation: tuple[float, ...] | None = None
    stress: tuple[float, ...] | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Point:
    path: tuple[Entry, ...]


def points(driver: Driver, *paths: tuple[Entry, ...]) -> Composition:
    mesh = build_mesh(Domain("points", (), (len(paths),)))
    return coarse.compose({"driver": (driver, "e")}, mesh, sites=[Point(path) for path in paths])


def maxwell(E: float = 1e8, nu: float = 0.2, eta: float = 1e12) -> tuple[Law, dict[str, np.ndarray]]:
    """Elastic in volume, Maxwell in shear; backward Euler. The second is its memory, renewed by the caller."""
    D = np.eye(6) - np.outer(np.r_[1, 1, 1, 0, 0, 0], np.r_[1, 1, 1, 0, 0, 0]) / 3
    mu = E / 2 / (1 + nu)
    memory = {"creep": np.zeros((1, 6))}

    def law(drive: Arrays) -> Arrays:
        dt = drive["dt"][0]
        factor = 1 / (1 + mu * dt / eta)
        tangent = stiffness(E, nu) - 2 * mu * (1 - factor) * D
        trial = (drive["strain"] - memory["creep"]) @ stiffness(E, nu)
        stress = trial - (1 - factor) * trial @ D
        memory["next"] = memory["creep"] + stress @ D * dt / (2 * eta)
        return {"stress": stress, "tangent": np.tile(tangent, (len(stress), 1, 1))}

    return law, memory


def test_a_strain_path_is_followed_without_any_equation() -> None:
    model = points(Driver(), (Entry(0.0, strain=NONE), Entry(10.0, strain=UP), Entry(20.0, strain=NONE)))
    for t, share in ((5.0, 0.5), (10.0, 1.0), (12.5, 0.75), (30.0, 0.0)):
        step = Step(1, t, 5.0, model.begin())
        u, sweeps = solve(model, {"e": elastic()}, step)
        assert u["strain"] == pytest.approx(share * np.array([UP]))
        assert len(sweeps) == 1
        assert sweeps[0].residual == 0
        assert sweeps[0].reason == "driver PRESCRIBED"


def test_a_gradient_path_asks_for_gradients_only() -> None:
    model = points(Driver("gradient"), (Entry(0.0, gradient=(1.0, 2.0, 3.0)),), (Entry(0.0, gradient=(0.0, 0.0, 5.0)),))
    step = Step(1, 1.0, 1.0, model.begin())
    drives = model.sites(model.predict(step), step)
    assert list(drives["e"]) == ["gradient"]
    assert np.array_equal(drives["e"]["gradient"], [[1, 2, 3], [0, 0, 5]])
    assert model.summary(model.predict(step), step) == {"largest_gradient": 5.0}


def test_temperatures_come_from_the_path_or_the_parameters() -> None:
    warm = (Entry(0.0, strain=NONE, temperature=250.0), Entry(2.0, strain=NONE, temperature=270.0))
    model = points(Driver(temperature=255.0), warm, (Entry(0.0, strain=UP),), (Entry(0.0, temperature=260.0),))
    step = Step(1, 1.0, 1.0, model.begin())
    drive = model.sites(model.predict(step), step)["e"]
    assert np.array_equal(drive["temperature"], [260.0, 255.0, 260.0])
    assert np.array_equal(drive["strain"], [NONE, UP, NONE])
    assert np.array_equal(drive["dt"], np.ones(3))


def test_a_given_stress_finds_its_strain_at_each_point() -> None:
    push = (0.0, -2e4, 0.0, 0.0, 0.0, 1e3)
    model = points(Driver(), (Entry(0.0, stress=push),), (Entry(0.0, strain=UP),), (Entry(0.0, stress=NONE),))
    u, sweeps = solve(model, {"e": elastic()}, Step(1, 1.0, 1.0, model.begin()))
    assert u["strain"] == pytest.approx(np.array([np.linalg.solve(C, push), UP, NONE]), abs=1e-15)
    assert len(sweeps) == 2


def test_confined_compression_holds_the_other_strains() -> None:
    push = (0.0, -2e4, 0.0, 0.0, 0.0, 0.0)
    model = points(Driver(held=("11", "33", "23", "13", "12")), (Entry(0.0, stress=push),))
    u, _ = solve(model, {"e": elastic()}, Step(1, 1.0, 1.0, model.begin()))
    assert u["strain"] == pytest.approx(np.array([[0, -2e4 / C[1, 1], 0, 0, 0, 0]]), rel=1e-9)


def test_creep_under_a_given_stress_is_that_of_the_dashpot() -> None:
    """Free of side pressure: d(eps)/dt = s_22 / (2 eta) with the deviator s_22 = 2/3 sigma."""
    model = points(Driver(), (Entry(0.0, stress=(0.0, -3e4, 0.0, 0.0, 0.0, 0.0)),))
    law, memory = maxwell()
    u, dt, rates = model.begin(), 1e3, []
    for n in range(1, 4):
        before = u["strain"]
        u, _ = solve(model, {"e": law}, Step(n, n * dt, dt, u))
        memory["creep"] = memory["next"]
        rates.append((u["strain"] - before)[0, 1] / dt)
    assert rates[1:] == pytest.approx([-2e4 / 2e12] * 2, rel=1e-6)


def test_two_drivers_follow_the_same_points() -> None:
    path = (Entry(0.0, gradient=(1.0, 0.0, 0.0), strain=UP),)
    mesh = build_mesh(Domain("points", (), (1,)))
    fields = {"warm": (Driver("gradient"), "k"), "squeezed": (Driver("strain"), "e")}
    model = coarse.compose(fields, mesh, sites=[Point(path)])
    u = march(model, {"k": lambda d: {}, "e": elastic()}, model.begin(), 1.0, 2)
    assert np.array_equal(u["strain"], [UP])
    assert np.array_equal(u["gradient"], [[1.0, 0.0, 0.0]])


def test_paths_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadInput, match="point 1 gives no gradient"):
        points(Driver("gradient"), (Entry(0.0, gradient=(1.0, 0.0, 0.0)),), (Entry(0.0, strain=UP),))
    with pytest.raises(BadInput, match="point 0 gives no strain"):
        points(Driver(), ())
    mesh = build_mesh(Domain("points", (), (2,)))
    with pytest.raises(BadInput, match=r"2 points need as many \[\[sites\]\]"):
        Driver().bind(mesh, "driver", "e", [Point((Entry(0.0, strain=UP),))])
    with pytest.raises(BadInput, match="paths are for material points"):
        Driver().bind(build_mesh(Domain("interval", (1.0,), (2,))), "driver", "e")
    with pytest.raises(BadInput, match="needs a fine model"):
        Driver().bind(build_mesh(Domain("points", (), (1,))), "driver", None, [Point((Entry(0.0, strain=UP),))])


def test_a_deformation_path_starts_at_the_identity() -> None:
    """Nine components, linear in time, nothing else is passed down."""
    rest, end = tuple(np.eye(3).ravel()), (1.0, 2.0, 0, 0, 1, 0, 0, 0, 1)
    c = points(Driver("deformation"), (Entry(0.0, deformation=rest), Entry(1.0, deformation=end)))
    np.testing.assert_array_equal(c.begin()["deformation"], [rest])
    step = Step(1, 0.5, 0.5, c.begin())
    drive = c.sites(c.predict(step), step)["e"]
    assert set(drive) == {"deformation"}
    np.testing.assert_allclose(drive["deformation"], [0.5 * (np.array(rest) + end)], atol=1e-15)

"""The path of an image whose phases belong to a fine model: contract, closed forms, and bad input by the command line."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from scipy.optimize import brentq

from hpcms.cli import main
from hpcms.errors import BadInput, NumericalFailure
from hpcms.fine.damage import Damage, DamagePhase
from hpcms.fine.hyperelastic import Hyperelastic, RubberPhase
from hpcms.fine.nonlinear_conduction import NonlinearConduction, PowerLawPhase
from hpcms.homogenize import homogenize
from hpcms.kernels.hex8_finite import neo_hooke_plain
from hpcms.model_path import MODELS, model_path

DISC = (np.hypot(*np.mgrid[-2.5:3, -2.5:3]) < 1.8).astype(np.uint8)
LAYERS = np.array([0, 0, 1, 1, 1, 1], np.uint8).reshape(6, 1, 1)
REST = {"checks", "fractions", "plane", "cpu_s", "wall_s", "peak_memory_bytes"}
BENT = np.array([[1.3, 0.2, -0.1], [-0.1, 0.9, 0.15], [0.2, 0.1, 0.8]])


def run(tmp_path: Path, image: np.ndarray, *words: str) -> dict:
    """The object that the command prints."""
    np.save(tmp_path / "image.npy", image)
    result = CliRunner().invoke(main, ["homogenize", str(tmp_path / "image.npy"), *words, "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def stretched(k: float, lam: float, mu: float) -> float:
    """P11 of neo-Hooke at F = diag(k, 1, 1)."""
    return mu * (k - 1 / k) + 0.5 * lam * (k**2 - 1) / k


def test_one_rubber_is_the_analytic_stress_all_the_way(tmp_path: Path) -> None:
    end = ",".join(map(str, BENT.ravel()))
    found = run(tmp_path, np.zeros((2, 3, 2), np.uint8), "--law", "0=hyperelastic:E=1MPa,nu=0.3", "--deformation", end,
                "--steps", "4", "--tangent")  # fmt: skip
    assert set(found) == REST | {"path"}
    assert len(found["path"]) == 4
    lame = RubberPhase(1e6, 0.3).lame
    for n, step in enumerate(found["path"], 1):
        F = np.eye(3) + n / 4 * (BENT - np.eye(3))
        W, P, A = neo_hooke_plain(F, *lame)
        np.testing.assert_allclose(step["deformation"], F.ravel(), atol=1e-14)
        np.testing.assert_allclose(step["stress"], P.ravel(), atol=1e-9 * np.abs(P).max())
        np.testing.assert_allclose(step["tangent"], A.reshape(9, 9), atol=1e-9 * np.abs(A).max())
        assert step["energy"] == pytest.approx(float(W), rel=1e-9)
    assert max(found["checks"].values()) < 1e-9


def test_rubber_layers_in_series_carry_one_stress(tmp_path: Path) -> None:
    """Across the layers the stretches share the mean, and P11 is one: a scalar equation of one phase at a time."""
    found = run(tmp_path, LAYERS, "--law", "0=hyperelastic:E=1,nu=0.3", "--law", "1=hyperelastic:E=10,nu=0.2",
                "--deformation", "1.6,0,0,0,1,0,0,0,1", "--steps", "3", "--tolerance", "1e-10")  # fmt: skip
    a, b = RubberPhase(1.0, 0.3).lame, RubberPhase(10.0, 0.2).lame
    for step in found["path"]:
        mean = step["deformation"][0]
        k = brentq(
            lambda k, m: stretched(k, *a) - stretched((3 * m - k) / 2, *b), 1.0, 3 * mean - 1, args=(mean,), xtol=1e-14
        )
        assert step["stress"][0] == pytest.approx(stretched(k, *a), rel=1e-9)
    assert found["fractions"] == pytest.approx({"0": 1 / 3, "1": 2 / 3})


def test_the_energy_is_the_work_along_the_path() -> None:
    model = Hyperelastic({"0": RubberPhase(1.0, 0.3), "1": RubberPhase(8.0, 0.3)})
    drives = MODELS["hyperelastic"].drives({"deformation": BENT}, 16)
    path = model_path(DISC, "hyperelastic", model, drives).path
    P = np.array([np.zeros(9), *[step["stress"] for step in path]])
    work = ((P[1:] + P[:-1]) / 2).sum(axis=0) @ (BENT - np.eye(3)).ravel() / 16
    assert path[-1]["energy"] == pytest.approx(work, rel=1e-2)


def test_a_rubber_step_that_fails_says_what_to_do() -> None:
    model = Hyperelastic({"0": RubberPhase(1.0, 0.3), "1": RubberPhase()}, max_iterations=1)
    drives = MODELS["hyperelastic"].drives({"deformation": np.diag([3.0, 1, 1])}, 1)
    with pytest.raises(NumericalFailure, match="step 1 did not converge") as caught:
        model_path(DISC, "hyperelastic", model, drives)
    assert "smaller steps" in caught.value.hint


EDGE = 3 / 8  # square of the strain at which AT1 begins, in sqrt(Gc / (E l))


@pytest.mark.parametrize("kind", ["AT1", "AT2"])
def test_a_uniform_bar_breaks_by_the_law_of_one_dimension(tmp_path: Path, kind: str) -> None:
    """(1 - d) E eps^2 = Gc w'(d) / (c l); with E = Gc = l = 1 the strain is its own unit. Pham et al. 2011."""
    words = ["--law", "0=damage:E=1,nu=0,Gc=1", "--model", f"length=1,residual_stiffness=1e-9,kind={kind}"]
    path = ["--load", "11", "--strain", "0.9", "--steps", "9", "--spacing", "0.1", "--tolerance", "1e-10"]
    found = run(tmp_path, np.zeros((2, 3, 1), np.uint8), *words, *path)
    assert set(found) == REST | {"path"}
    for n, step in enumerate(found["path"], 1):
        x = n / 10
        d = max(0.0, 1 - EDGE / x**2) if kind == "AT1" else x**2 / (1 + x**2)
        np.testing.assert_allclose(step["strain"], x * np.eye(6)[0], atol=1e-14)
        np.testing.assert_allclose(step["stress"], (1 - d) ** 2 * x * np.eye(6)[0], atol=1e-7)
        assert (step["damage_largest"], step["damage_mean"]) == pytest.approx((d, d), abs=1e-7)
        assert step["energy"] == pytest.approx((1 - d) ** 2 * x**2 / 2, abs=1e-7)
        assert step["dissipation"] == pytest.approx(EDGE * d if kind == "AT1" else d**2 / 2, abs=1e-7)
    assert max(found["checks"].values()) < 1e-9


def test_a_layer_that_breaks_beside_one_that_does_not(tmp_path: Path) -> None:
    """Local AT2 in series: one stress x / (1 + x^2)^2 = E y, and a third of the strain x with two thirds of y is the mean."""
    found = run(tmp_path, LAYERS, "--law", "0=damage:E=1,nu=0,Gc=1", "--law", "1=damage:E=10,nu=0", "--load", "11",
                "--model", "length=1,kind=AT2,gradient=false,residual_stiffness=1e-9,damage_tolerance=1e-9",
                "--strain", "0.3", "--steps", "3", "--tolerance", "1e-10")  # fmt: skip
    for step in found["path"]:
        mean = step["strain"][0]
        x = brentq(lambda x, m: (x + 2 * x / (1 + x**2) ** 2 / 10) / 3 - m, 0.0, 3 * mean, args=(mean,), xtol=1e-14)
        assert step["stress"][0] == pytest.approx(x / (1 + x**2) ** 2, rel=1e-6)
        assert step["damage_largest"] == pytest.approx(x**2 / (1 + x**2), rel=1e-6)


def test_before_damage_begins_the_cell_is_the_elastic_one(tmp_path: Path) -> None:
    """AT1 keeps its stiffness up to a strength: what --elastic gives."""
    found = run(tmp_path, DISC, "--law", "0=damage:E=1,nu=0.3,Gc=1", "--law", "1=damage:E=10,nu=0.3", "--model", "length=0.5",
                "--load", "12", "--strain", "0.02", "--steps", "2", "--tolerance", "1e-8")  # fmt: skip
    C = homogenize(DISC, elastic={0: (1.0, 0.3), 1: (10.0, 0.3)}, tolerance=1e-8).stiffness
    for step in found["path"]:
        np.testing.assert_allclose(step["stress"], C @ step["strain"], atol=1e-7)
        assert step["damage_largest"] == step["dissipation"] == 0.0


def test_damage_keeps_the_balance_of_energy() -> None:
    """Work is what is stored and dissipated, with order two in the step by the rule of trapezoids."""
    model, gaps = Damage({"0": DamagePhase(1.0, 0.2, 1.0), "1": DamagePhase(4.0, 0.2)}, 3.0, "AT2", tolerance=1e-8), []
    for steps in (8, 16):
        drives = MODELS["damage"].drives({"load": "11", "strain": 0.4}, steps)
        path = model_path(DISC, "damage", model, drives).path
        stress = np.array([0.0, *[step["stress"][0] for step in path]])
        work = (stress[1:] + stress[:-1]).sum() / 2 * 0.4 / steps
        gaps.append(abs(work - path[-1]["energy"] - path[-1]["dissipation"]))
        assert np.all(np.diff([step["damage_mean"] for step in path]) > 0)
    assert gaps[1] < 0.35 * gaps[0]
    assert gaps[1] < 1e-2 * path[-1]["dissipation"]


def test_a_power_of_the_gradient(tmp_path: Path) -> None:
    """Layers in series: one flux, and the mean of (q / k)^(1/m) is the gradient."""
    found = run(tmp_path, LAYERS, "--law", "0=nonlinear_conduction:k=2,m=3,small_gradient=1e-7", "--gradient", "1.8,0,0",
                "--law", "1=nonlinear_conduction:k=5,m=0.5,small_gradient=1e-7", "--steps", "3", "--tangent")  # fmt: skip
    for n, step in enumerate(found["path"], 1):
        q = brentq(lambda q, g: ((q / 2) ** (1 / 3) + 2 * (q / 5) ** 2) / 3 - g, 0.0, 1e3, args=(0.6 * n,), xtol=1e-14)
        assert step["gradient"] == pytest.approx([0.6 * n, 0, 0])
        assert step["flux"] == pytest.approx([-q, 0, 0], rel=1e-7, abs=1e-9)
        slope = 3 / ((q / 2) ** (-2 / 3) / 6 + 8 * q / 50)
        assert step["tangent"][0][0] == pytest.approx(-slope, rel=1e-6)
        assert step["temperature"] == 293.15
    assert max(found["checks"].values()) < 1e-9


def test_layers_that_warm(tmp_path: Path) -> None:
    """The conductivity in series at every temperature; its integral is the Kirchhoff flux of a bar."""
    found = run(tmp_path, LAYERS, "--law", "0=nonlinear_conduction:k=2,b=4e-3,T0=300", "--temperature", "250:400",
                "--law", "1=nonlinear_conduction:k=5,b=4e-3,T0=300", "--gradient", "1,0,0", "--steps", "4",
                "--tangent")  # fmt: skip
    T = np.array([step["temperature"] for step in found["path"]])
    k = np.array([-step["flux"][0] for step in found["path"]])
    np.testing.assert_allclose(T, [250, 300, 350, 400])
    np.testing.assert_allclose(k, (1 + 4e-3 * (T - 300)) * 3 / (1 / 2 + 2 / 5), rtol=1e-8)
    np.testing.assert_allclose([step["tangent_temperature"][0] for step in found["path"]], -4e-3 / 0.3, rtol=1e-7)
    whole = 3 / (1 / 2 + 2 / 5) * (150 + 4e-3 / 2 * (100**2 - 50**2))
    assert float(((k[1:] + k[:-1]) / 2).sum() * 50) == pytest.approx(whole, rel=1e-8)


CELLS = {
    "hyperelastic": (Hyperelastic({"0": RubberPhase(1.0, 0.3), "1": RubberPhase(8.0, 0.3)}, 1e-3, 1e-1),
                     {"deformation": np.diag([1.05, 1, 1])}),
    "damage": (Damage({"0": DamagePhase(1.0, 0.2, 1.0), "1": DamagePhase(8.0, 0.2)}, 2.0, "AT2", tolerance=1e-3),
               {"load": "11", "strain": 0.05}),
    "nonlinear_conduction": (
        NonlinearConduction({"0": PowerLawPhase(1.0, 2.0, temperature_coefficient=1e-3), "1": PowerLawPhase(5.0)}, 1e-3),
        {"gradient": (1.0, 0.0, 0.0)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MODELS))
def test_the_memory_that_a_cell_needs_is_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = CELLS[name]
    image = np.random.default_rng(0).integers(0, 2, (16, 16, 16)).astype(np.uint8)
    drives = MODELS[name].drives(given, 1)
    model_path(image[:3], name, model, drives)
    tracemalloc.start()
    model_path(image, name, model, drives)
    peak = tracemalloc.get_traced_memory()[1] / image.size
    tracemalloc.stop()
    assert 0.8 < peak / MODELS[name].bytes < 1.15
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100 * image.size))
    with pytest.raises(BadInput, match="do not fit in the free memory"):
        model_path(image, name, model, drives)


RUBBER = ["--law", "0=hyperelastic:E=1,nu=0.3", "--law", "1=hyperelastic:E=10"]
LAWS = ["--law", "0=elastic:E=1", "--law", "1=elastic:E=10"]
CRACK, SIZED = ["--law", "0=damage:E=1,Gc=1", "--law", "1=damage:E=9"], ["--load", "11", "--strain", "0.1"]
HEAT, DOWN = (
    ["--law", "0=nonlinear_conduction:k=2,b=0.01,T0=341", "--law", "1=nonlinear_conduction:k=9"],
    ["--gradient", "1,0,0"],
)
LONG = ["--model", "length=1"]
STRETCH = ["--deformation", "1.1,0,0,0,1,0,0,0,1"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([*STRETCH, "--law", "0=hyperelastik:E=1"], "did you mean 'hyperelastic'?"),
        ([*STRETCH, "--law", "0=hyperelastic:E=-1"], "youngs_modulus: must be >= 0"),
        ([*STRETCH, "--law", "0=hyperelastic:E=1,nu=0.5"], "poisson_ratio: must be >= 0 and < 0.5"),
        ([*STRETCH, "--law", "0=hyperelastic:E=1,yield=2"], "yield_stress"),
        ([*STRETCH, "--law", "0=hyperelastic:E=1"], "label 1 and no phase of that name"),
        ([*STRETCH, "--law", "0=hyperelastic:E=0", "--law", "1=hyperelastic:E=0"], "no phase in the image has a stiff"),
        ([*STRETCH, "--law", "0=hyperelastic:E=1", "--law", "1=elastic:E=1"], "are not solved together"),
        (RUBBER, "deformation: is needed"),
        ([*RUBBER, "--deformation", "1,2"], "needs 9 finite numbers"),
        ([*RUBBER, "--deformation", "nan,0,0,0,1,0,0,0,1"], "--deformation nan"),
        ([*RUBBER, "--deformation", "-1,0,0,0,1,0,0,0,1"], "turns the cell inside out"),
        ([*RUBBER, "--deformation", "-1,0,0,0,-1,0,0,0,1", "--steps", "3"], "turns the cell inside out"),
        ([*RUBBER, *STRETCH, "--steps", "0"], "steps: must be between"),
        ([*RUBBER, *STRETCH, "--tolerance", "2"], "tolerance"),
        ([*RUBBER, *STRETCH, "--load", "12"], "takes no --load"),
        ([*RUBBER, *STRETCH, "--strain", "0.1"], "it takes --deformation"),
        ([*RUBBER, *STRETCH, "--boundary", "traction"], "takes no --boundary"),
        ([*RUBBER, *STRETCH, "--model", "speed=1"], "speed"),
        ([*RUBBER, *STRETCH, "--model", "phases=1"], "keys of hyperelastic: tolerance"),
        ([*RUBBER, *STRETCH, "--model", "max_iterations=0"], "max_iterations"),
        ([*CRACK, *SIZED], "--model: length: missing key"),
        ([*CRACK, *SIZED, "--model", "length=0"], "length: must be > 0"),
        ([*CRACK, *SIZED, "--model", "length=1kg"], "length"),
        ([*CRACK, *SIZED, "--model", "length=1,kind=AT3"], "kind"),
        ([*CRACK, *SIZED, "--model", "length=1,plane=xy"], "keys of damage: length, kind"),
        ([*CRACK, *SIZED, "--model", "length"], "is not KEY=VALUE"),
        ([*CRACK, *SIZED, "--model", "length=1,length=2"], "length is given twice"),
        ([*CRACK, *LONG, "--load", "11"], "--law damage needs a load and its size"),
        ([*CRACK, *LONG, "--strain", "0.1"], "--law damage needs a load and its size"),
        ([*CRACK, *LONG, "--load", "11", "--strain", "nan"], "strain: must be a number"),
        ([*CRACK, *LONG, *SIZED, "--stress-free", "22"], "takes no --stress-free"),
        ([*CRACK, *LONG, *STRETCH], "takes no --deformation"),
        ([*LONG, *SIZED, "--law", "0=damage:E=1", "--law", "1=damage:E=2"], "no phase in the image breaks"),
        ([*LONG, *SIZED, "--law", "0=damage:E=1,Gc=-1"], "toughness: must be >= 0"),
        ([*LONG, *SIZED, *LAWS], "--model does not go with --law elastic"),
        (HEAT, "gradient: is needed"),
        ([*HEAT, "--gradient", "1,2"], "needs 3 finite numbers"),
        ([*HEAT, "--gradient", "0,0,0"], "must not be zero"),
        ([*HEAT, "--gradient", "1,0,x"], "--gradient 1,0,x"),
        ([*HEAT, *DOWN, "--load", "11"], "takes no --load"),
        ([*HEAT, *DOWN, "--temperature", "-3"], "temperature: must be > 0 K"),
        ([*HEAT, *DOWN, "--temperature", "warm"], "--temperature warm"),
        ([*HEAT, *DOWN, "--temperature", "200:300:400"], "is not T or T:T"),
        ([*HEAT, *DOWN, "--temperature", "200:300"], "takes two steps or more"),
        ([*HEAT, *DOWN, "--temperature", "1:300", "--steps", "3"], "the conductivity of phase 0 is -4.8"),
        ([*DOWN, "--law", "0=nonlinear_conduction:k=-1"], "conductivity: must be > 0"),
        ([*DOWN, "--law", "0=nonlinear_conduction:m=2"], "conductivity: missing key"),
        ([*LAWS, *SIZED, "--temperature", "200:300"], "--temperature: one number is needed here"),
        ([*LAWS, *SIZED, *DOWN], "--gradient does not go with --law elastic"),
        ([*LAWS, *STRETCH, "--load", "12", "--strain", "0.1"], "--deformation does not go with --law elastic"),
        ([*STRETCH, "--elastic", "0=1,0.3"], "--deformation goes with --law only"),
    ],
)
def test_bad_options(tmp_path: Path, options: list[str], text: str) -> None:
    np.save(tmp_path / "disc.npy", DISC)
    result = CliRunner().invoke(main, ["homogenize", str(tmp_path / "disc.npy"), *options])
    assert result.exit_code == 2, result.output
    assert text in result.stderr


def test_a_whole_number_is_a_setting_of_a_model() -> None:
    from hpcms.cli.loading import _built
    from hpcms.fine import find

    model = _built("--model", "damage", find("damage"), "max_alternations=2,length=1mm", {"phases": {}})
    assert model.max_alternations == 2
    assert isinstance(model.max_alternations, int)

"""The stress-strain path of an image: contract, closed forms, mixed loads, the plane, and bad input by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hpcms.cli import main
from hpcms.cli.loading import law_of
from hpcms.errors import BadInput
from hpcms.kernels.cell_elastic import ElasticCell, labelled
from hpcms.kernels.laws import find
from hpcms.loading import Loading, load_path, refuse_what_does_not_fit

SOFT = find("j2")(youngs_modulus=1.0, poisson_ratio=0.3, yield_stress=0.005, hardening=0.05)
STIFF = find("elastic")(youngs_modulus=10.0, poisson_ratio=0.3)
DISC = (np.hypot(*np.mgrid[-2.5:3, -2.5:3]) < 1.8).astype(np.uint8)
STEP = {"strain", "stress", "energy", "dissipation", "excess", "iterations", "parts", "linear_iterations", "residual"}


def test_the_object_for_programs() -> None:
    found = load_path(DISC, {0: SOFT, "1": STIFF}, Loading("12", 0.01, 3, tangent=True))
    plain = json.loads(json.dumps(found.json(), allow_nan=False))
    assert set(plain) == set(found) == {"path", "checks", "fractions", "plane", "cpu_s", "wall_s", "peak_memory_bytes"}
    assert len(found) == 7
    assert found["plane"]
    assert all(set(step) == STEP | {"tangent"} for step in plain["path"])
    np.testing.assert_allclose([step["strain"][5] for step in plain["path"]], 0.01 * 2**0.5 / 3 * np.arange(1, 4))
    assert max(found.checks.values()) < 1e-9
    stress = [step["stress"][5] for step in plain["path"]]
    stored = sum((b + a) / 2 for a, b in zip([0.0, *stress], stress, strict=False)) * 0.01 * 2**0.5 / 3
    last = plain["path"][-1]
    assert 0.0 < last["excess"] < 0.3 * last["dissipation"]
    np.testing.assert_allclose(last["energy"] + last["dissipation"], stored, rtol=0.1)


def test_the_plane_is_the_layer() -> None:
    """Where the load leaves the plane the cell is solid; the answers agree."""
    flat, solid = (load_path(DISC, {0: SOFT, 1: STIFF}, Loading("12", 0.01, 2, free, tolerance=1e-9))
                   for free in ((), ("23",)))  # fmt: skip
    assert (flat.plane, solid.plane) == (True, False)
    np.testing.assert_allclose(flat.path[-1]["stress"], solid.path[-1]["stress"], atol=1e-9)


@pytest.mark.parametrize("boundary", ["displacement", "traction"])
@pytest.mark.parametrize("stiff", [10.0, 0.0])
def test_boundary_conditions_are_those_of_the_linear_cell(boundary: str, stiff: float) -> None:
    image = np.random.default_rng(0).integers(0, 2, (4, 5, 3)).astype(np.uint8)
    image[1:3, 1:4, 1] = 0
    E, nu = np.array([1.0, stiff]), np.array([0.3, 0.3])
    if stiff == 0.0:  # one hole inside
        image[:] = 0
        image[2, 2, 1] = 1
    lam, mu = E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))
    laws = {k: find("elastic")(youngs_modulus=E[k], poisson_ratio=nu[k]) for k in (0, 1)}
    load = Loading("11", 0.01, 1, tolerance=1e-10, boundary=boundary)
    found = load_path(image, laws, load)
    want = ElasticCell(*labelled(lam[image], mu[image]), boundary=boundary).solve(load.at(1), 1e-10).stress
    np.testing.assert_allclose(found.path[0]["stress"], want, rtol=1e-7, atol=1e-9)
    assert max(found.checks.values()) < 1e-9


def test_boundary_conditions_bound_the_periodic_cell_also_in_the_plane() -> None:
    """Huet 1990: traction <= periodic <= displacement, here of the energy of a plastic cell."""
    energies = [load_path(DISC, {0: SOFT, 1: STIFF}, Loading("12", 0.01, 3, boundary=boundary)).path[-1]
                for boundary in ("traction", "periodic", "displacement")]  # fmt: skip
    stress = [step["stress"][5] for step in energies]
    assert stress[0] < stress[1] < stress[2]


def test_a_bar_of_one_phase_is_the_law() -> None:
    found = load_path(np.zeros((2, 2, 2), np.uint8), {0: SOFT}, Loading("11", 0.02, 2, ("22", "33"), tangent=True))
    stress, tangent = found.path[-1]["stress"], np.array(found.path[-1]["tangent"])
    p = (0.02 - 0.005) / (1 + 0.05)  # E (eps - p) = yield + H p
    np.testing.assert_allclose(stress[0], 0.005 + 0.05 * p, rtol=1e-5)
    np.testing.assert_allclose(stress[1:3], 0, atol=1e-8)
    np.testing.assert_allclose(tangent[0, 0], 0.05 / 1.05, rtol=1e-3)
    assert not tangent[1].any()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (("14", 0.01), "unknown component '14'"),
        (("12", np.nan), "strain: must be a number"),
        (("12", 0.01, 0), "steps: must be between"),
        (("11", 0.01, 1, ("11",)), "are not the one that is loaded"),
        (("11", 0.01, 1, (), -1.0), "duration >= 0"),
        (("11", 0.01, 1, (), 1.0, 293.0, False, 1e-6, "open"), "known: periodic, displacement, traction"),
    ],
)
def test_loads_are_checked(values: tuple, text: str) -> None:
    with pytest.raises(BadInput) as caught:
        Loading(*values)
    assert text in f"{caught.value} {caught.value.hint}"


def test_an_image_beyond_memory_is_refused() -> None:
    image = np.broadcast_to(np.zeros((), np.uint8), (10**4, 10**4, 10**4))
    with pytest.raises(BadInput, match="do not fit in the free memory"):
        refuse_what_does_not_fit(image, [SOFT], False)


def test_laws_from_the_command_line() -> None:
    assert law_of("0=j2:E=1 MPa,nu=0.3,yield=5000,hardening=50 kPa") == (
        "0", find("j2")(youngs_modulus=1e6, yield_stress=5e3, hardening=5e4),
    )  # fmt: skip
    assert law_of("2=norton:E=1,n=4,A=2,mean_dilatation=true")[1] == find("norton")(
        youngs_modulus=1.0, n=4.0, A=2.0, mean_dilatation=True
    )
    grain = law_of("a=crystal:c11=3,c12=1,c44=1,yield=1,drag=1,n=5,slip_rate=1,orientation=10/20/30")
    assert grain[1].orientation == (10.0, 20.0, 30.0)


LAWS = ["--law", "0=j2:E=1,nu=0.3,yield=0.005", "--law", "1=elastic:E=10"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "disc.npy"
    np.save(path, DISC)
    return path


def test_the_command(image: Path) -> None:
    words = [str(image), *LAWS, "--load", "12", "--strain", "0.01", "--steps", "2", "--json"]
    result = CliRunner().invoke(main, ["homogenize", *words])
    assert result.exit_code == 0, result.stderr
    assert len(json.loads(result.stdout.splitlines()[-1])["path"]) == 2
    assert "checks: hill_mandel" in result.stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--load", "12", "--strain", "0.01", "--law", "0=j2:E=1"], "yield_stress: missing key"),
        (["--load", "12", "--strain", "0.01", "--law", "0=j3:E=1"], "unknown law 'j3'"),
        (["--load", "12", "--strain", "0.01", "--law", "0=elastic"], "is not PHASE=LAW:KEY=VALUE"),
        (["--load", "12", "--strain", "0.01", "--law", "0=elastic:E"], "is not KEY=VALUE"),
        (["--load", "12", "--strain", "0.01", "--law", "0=elastic:E=1,E=2"], "youngs_modulus is given twice"),
        (
            ["--load", "12", "--strain", "0.01", "--law", "0=elastic:E=1,nu=0.5"],
            "poisson_ratio: must be > -1 and < 0.5",
        ),
        (["--load", "12", "--strain", "0.01", "--law", "0=elastic:E=nan"], "youngs_modulus"),
        (["--load", "12", "--strain", "0.01", "--law", "0=elastic:E=1"], "label 1 and no phase of that name"),
        (["--load", "12", "--strain", "0.01", *LAWS, "--law", "0=elastic:E=1"], "phase 0 is given twice"),
        ([*LAWS, "--strain", "0.01"], "--law needs a load and its size"),
        ([*LAWS, "--load", "12"], "--law needs a load and its size"),
        ([*LAWS, "--load", "12", "--strain", "nan"], "strain: must be a number"),
        ([*LAWS, "--load", "12", "--strain", "0.1", "--stress-free", "12"], "not the one that is loaded"),
        ([*LAWS, "--load", "12", "--strain", "0.1", "--elastic", "0=1,0.3"], "--law goes without"),
        (["--elastic", "0=1,0.3", "--strain", "0.1"], "--strain goes with --law only"),
    ],
)
def test_bad_options(image: Path, options: list[str], text: str) -> None:
    result = CliRunner().invoke(main, ["homogenize", str(image), *options])
    assert result.exit_code == 2
    assert text in result.stderr


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([[0.0, np.nan]]), "not finite"),
        (np.zeros(4, np.uint8), "2 or 3 axes"),
        (np.array([["a", "b"]]), "must be real numbers"),
    ],
)
def test_bad_images(array: np.ndarray, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        load_path(array, {0: SOFT}, Loading("12", 0.01))

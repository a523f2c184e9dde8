"""The commands as a user meets them: text, exit code, and JSON as the last line of stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hpcms.cli import main

COMMANDS = (
    "init", "run", "validate", "plan", "resume", "status", "report", "verify", "zoom", "homogenize", "submit", "doctor",
)  # fmt: skip


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def last_object(result: Result) -> Any:
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "job.toml"
    assert call("init", path).exit_code == 0
    return path


@pytest.fixture(scope="module")
def finished(job: Path) -> tuple[Path, Result]:
    """The starter job, run once."""
    run = job.parent / "run"
    return run, call("run", job, "--size", "ci", "--on", "inline", "--out", run, "--set", "time.steps=2", "--json")


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    result = call("--help")
    assert result.exit_code == 0
    assert set(main.commands) == set(COMMANDS)
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout
        assert call(name, "--help").exit_code == 0
    code = "import sys, hpcms.cli; print([m for m in ('numpy', 'numba', 'dask', 'pint', 'zarr') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version() -> None:
    assert call("--version").stdout.startswith("hpcms, version ")


def test_init_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text("mine")
    result = call("init", path)
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert path.read_text() == "mine"
    assert call("init", tmp_path).exit_code == 2, "a folder stands for job.toml in it"
    assert call("init", tmp_path / "none" / "job.toml").exit_code == 2


def test_the_starter_job_is_valid_at_every_size(job: Path) -> None:
    for size in ((), ("--size", "ci"), ("--size", "node"), ("--size", "cluster")):
        assert call("validate", job, *size).exit_code == 0
    result = call("validate", job, "--json")
    assert last_object(result)["ok"] is True
    assert "job.toml: ok (1 fine and 1 coarse models, 8 steps, sizes ci, node)" in result.stderr


def test_validate_prints_all_problems_on_stderr(job: Path) -> None:
    bad = job.with_name("bad.toml")
    bad.write_text(job.read_text().replace("steps = 8", "steps = 0").replace('"0.3 m"', '"-1 m"'))
    result = call("validate", bad, "--json")
    assert result.exit_code == 2
    assert f'{bad}:15:8: domain.size: must be > 0 (got "-1 m")' in result.stderr
    assert f"{bad}:20:9: time.steps: must be >= 1" in result.stderr
    found = last_object(result)
    assert (found["exit_code"], len(found["problems"])) == (2, 2)
    assert call("validate", bad).stdout == ""


def test_run_ends_with_one_object_and_says_where_it_went(finished: tuple[Path, Result]) -> None:
    run, result = finished
    assert result.exit_code == 0, result.stderr
    summary = last_object(result)
    keys = "state_hash steps wall_s cpu_s peak_memory_bytes work_s span_s lower_bound_s claims"
    assert set(keys.split()) <= set(summary)
    assert summary["steps"] == 2, "--set overrides the size"
    assert f"run: {run}" in result.stderr
    assert "mean temperature: " in result.stderr
    assert "100%" in result.stderr, "progress as plain lines"
    assert result.stdout.count("\n") == 1


def test_a_run_can_be_looked_at(finished: tuple[Path, Result]) -> None:
    run, _ = finished
    assert last_object(call("status", run, "--json"))["state"] == "done"
    assert "state" in call("status", run).stdout
    assert Path(last_object(call("report", run, "--json"))["report"]).is_file()
    zoomed = call("zoom", run, "--region", 1, "--step", 2, "--json")
    assert last_object(zoomed)["models"]["wall"]["difference"] <= 1e-12
    again = last_object(call("resume", run, "--json"))
    assert again["state_hash"] == last_object(finished[1])["state_hash"]


def test_a_run_never_overwrites(finished: tuple[Path, Result], job: Path) -> None:
    result = call("run", job, "--on", "inline", "--out", finished[0])
    assert result.exit_code == 2
    assert "is not an empty folder" in result.stderr


@pytest.mark.parametrize("command", ["status", "report", "resume"])
def test_folders_that_are_no_runs(command: str, tmp_path: Path) -> None:
    assert "no such run" in call(command, tmp_path / "none").stderr
    result = call(command, tmp_path)
    assert result.exit_code == 2
    assert "is not the folder of a run" in result.stderr


def test_plan(job: Path) -> None:
    result = call("plan", job, "--on", "inline", "--json")
    assert result.exit_code == 0, result.stderr
    assert {"tasks", "memory_bytes", "files", "core_hours", "critical_path_s"} <= set(last_object(result))
    assert "core-hours" in call("plan", job, "--on", "inline").stdout


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["time.steps"], "--set time.steps: is not KEY=VALUE"),
        (["=3"], "--set =3: is not KEY=VALUE"),
        (["time.steps=x"], 'time.steps: must be an integer (got "x")'),
        (["time.step=3"], "time.step: unknown key"),
        (["time.steps=1\nx=2"], "time.steps: must be an integer"),
    ],
)
def test_bad_overrides(job: Path, tmp_path: Path, settings: list[str], expected: str) -> None:
    options = [word for setting in settings for word in ("--set", setting)]
    result = call("run", job, "--out", tmp_path / "run", *options)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert not (tmp_path / "run").exists()


def test_bad_options_are_bad_input(job: Path) -> None:
    for args in (["frobnicate"], ["run"], ["run", job, "--size", "huge"], ["zoom", job, "--region", "-1", "--step", 1]):
        result = call(*args)
        assert result.exit_code == 2
        assert "Traceback" not in result.output


@pytest.fixture(scope="module")
def laminate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = np.zeros((4, 4, 4), np.uint8)
    image[:2] = 1
    path = tmp_path_factory.mktemp("images") / "laminate.npy"
    np.save(path, image)
    return path


def test_homogenize_a_laminate(laminate: Path) -> None:
    result = call("homogenize", laminate, "--conductivity", "0=1", "--conductivity", "1=10 W/(m K)", "--json")
    assert result.exit_code == 0, result.stderr
    K = np.array(last_object(result)["conductivity"])
    np.testing.assert_allclose(K, np.diag([20 / 11, 5.5, 5.5]), atol=1e-6)
    assert "conductivity (W/(m K))" in result.stderr
    one = call("homogenize", laminate, "--conductivity", "0=1", "--conductivity", "1=10", "--load", "11", "--json")
    assert last_object(one)["conductivity"][1][1] is None, "a load that was not asked for"


def test_homogenize_elastic_units_are_optional(laminate: Path) -> None:
    words = ("--load", "22", "--json")
    plain = call("homogenize", laminate, "--elastic", "0=1e6,0.2", "--elastic", "1=2e6,0.2", *words)
    units = call("homogenize", laminate, "--elastic", "0=1 MPa,0.2", "--elastic", "1=2MPa,0.2", *words)
    assert last_object(plain)["stiffness"] == last_object(units)["stiffness"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "give one of --elastic, --conductivity, --fluid, --viscosity or --law"),
        (
            ["--elastic", "0=1,0.3", "--conductivity", "0=1"],
            "give one of --elastic, --conductivity, --fluid, --viscosity or --law",
        ),
        (["--elastic", "0=1"], "--elastic 0=1: is not PHASE=E,NU"),
        (["--elastic", "1e9,0.3"], "is not PHASE=VALUE"),
        (["--elastic", "0=1MPaa,0.3"], 'unknown unit "MPaa"'),
        (["--elastic", "0=1,0.5"], "needs E >= 0 and -1 < NU < 0.5"),
        (["--elastic", "0=nan,0.3"], "must be finite"),
        (["--conductivity", "0=-1"], "must be >= 0"),
        (["--conductivity", "0=1 K"], "wrong dimension"),
        (["--conductivity", "0=1", "--conductivity", "0=2"], "phase 0 is given twice"),
        (["--conductivity", "0=1"], "no phase of that name"),
        (["--conductivity", "0=1", "--crop", "0:2"], "--crop 0:2: is not X0:X1,Y0:Y1,Z0:Z1"),
        (["--conductivity", "0=1", "--crop", "0:9,:,:"], "crop: axis 0"),
        (["--conductivity", "0=1", "--threshold", "otzu"], "--threshold otzu"),
        (["--conductivity", "0=1", "--tolerance", "2"], "tolerance"),
        (["--conductivity", "0=1,2"], "--conductivity 0=1,2: is not PHASE=K"),
        (["--conductivity", "0=1,1,1,0,0,2", "--conductivity", "1=1"], "negative eigenvalue"),
        (["--elastic", "0=1,2,3", "--elastic", "1=1,0.3"], "the stiffness is not positive definite"),
        (["--elastic", "0=1,2,3,4"], "is not PHASE=E,NU"),
        (["--fluid", "0=rigid"], "--fluid 0=rigid: "),
        (["--fluid", "0=0"], "the viscosity must be > 0"),
        (["--fluid", "0=1e-3 Pa"], "wrong dimension"),
        (["--fluid", "0=1", "--fluid", "1=1"], "no voxel is solid"),
        (["--fluid", "7=1"], "no voxel of the image is liquid"),
        (["--fluid", "0=1", "--boundary", "traction"], "is not there for the permeability, only periodic"),
        (["--fluid", "0=1", "--load", "12"], "unknown load '12'"),
        (["--fluid", "0=1", "--spacing", "1um,2um"], "needs one voxel edge or three"),
        (["--fluid", "0=1", "--spacing", "1 s"], "wrong dimension"),
        (["--viscosity", "0=nan"], "must be finite"),
        (["--viscosity", "0=rigid", "--viscosity", "1=rigid"], "there is no liquid"),
        (["--viscosity", "0=1", "--load", "11"], "a liquid cannot be stretched along one axis alone"),
        (["--viscosity", "0=1", "--fluid", "0=1"], "give one of"),
        (["--viscosity", "0=1"], "no phase of that name"),
        (["--viscosity", "0=1", "--max-iterations", "0"], "max-iterations"),
        (["--law", "0=elastic:E=1", "--fluid", "0=1"], "--law goes without --fluid"),
        (["--law", "0=elastic:E=1", "--max-iterations", "3"], "--law goes without --max-iterations"),
        (["--law", "0=elastic:E=1", "--threads", "2"], "--law goes without --threads"),
        (["--elastic", "0=1,0.3", "--threads", "0"], "threads"),
    ],
)
def test_homogenize_bad_options(laminate: Path, options: list[str], expected: str) -> None:
    result = call("homogenize", laminate, *options)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_verify_judges_claims_and_fails_with_three(job: Path) -> None:
    path = job.with_name("claims.toml")
    claim = '[[claims]]\nid = "own"\nquantity = "no_such_quantity"\nwant = 1.0\ntolerance = 0.1\nbasis = "none"\n'
    path.write_text(job.read_text() + claim)
    result = call("verify", path, "--json")
    assert result.exit_code == 3
    verdict = last_object(result)
    assert [c["passed"] for c in verdict["claims"]] == [False]
    assert "A04" in verdict["missing"]
    assert "0 of 1 claims hold" in result.stderr
    assert "claims failed: own" in result.stderr


def test_the_command_itself(tmp_path: Path) -> None:
    """A real process: a mistake ends with 2, a message and no traceback; a closed pipe ends it silently."""
    path = tmp_path / "job.toml"
    path.write_text("a = \n")
    done = subprocess.run(
        [sys.executable, "-m", "hpcms.cli", "validate", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"{path}:1:5: TOML: invalid value")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run([sys.executable, "-m", "hpcms.cli", "--help"], stdout=closed, check=False, stderr=-1)
    assert (done.returncode, done.stderr) == (1, b"")


def test_validate_puts_the_problem_together(job: Path) -> None:
    """What only shows with mesh and image still has its place in the file."""
    path = job.with_name("later.toml")
    path.write_text(job.read_text().replace('fine = "wall"\n', ""))
    result = call("validate", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{path}:44:1: coarse.heat: needs a fine model")
    np.save(job.with_name("flat.npy"), np.zeros((8, 8), np.uint8))
    text = job.read_text()
    head, tail = text[: text.index('generator = "laminate"')], text[text.index("phases = [") :]
    path.write_text(f'{head}image = "flat.npy"\nthreshold = "otsu"\nwindow = 4\n{tail}')
    result = call("validate", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{path}:25:13: microstructure.threshold: the image has one grey value only")

"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

import hpcms
from hpcms.cli.commands import main
from hpcms.store.run import open_run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

JOB = """
schema_version = 1
title = "Heat through walls of different fractions"

[domain]
kind = "interval"
size = "1 m"
elements = 4

[time]
end = "10 d"
steps = 2

[microstructure]
generator = "laminate"
phases = ["air", "ice"]
shape = [8, 1, 1]
fraction = 0.25

[fine.wall]
model = "power_law.py"
conductivity = "2.107 W/(m K)"
exponent = 2.0

[coarse.heat]
model = "heat"
fine = "wall"
initial = "-10 degC"
boundary = [{ side = "left", temperature = "-20 degC" }, { side = "right", temperature = "-10 degC" }]
"""


def hpcms_command(*args: object) -> subprocess.CompletedProcess[str]:
    words = [str(Path(sys.executable).with_name("hpcms")), *map(str, args)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job beside the README's fine model."""
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "power_law.py").write_text(example, encoding="utf-8")
    path = tmp_path / "job.toml"
    path.write_text(JOB, encoding="utf-8")
    return path


def test_the_fine_model_is_as_short_as_told() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 30


def test_the_fine_model_runs_where_plugins_are_allowed(job: Path) -> None:
    out = job.parent / "out"
    done = hpcms_command("run", job, "--on", "inline", "--plugins", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    run = open_run(out)
    tangent = run.read("sites/wall/tangent")
    assert len(tangent) >= 4
    assert tangent[:, 0, 0] == pytest.approx(-2.107 * 0.25**2)  # a quarter of the cell is ice
    assert np.ptp(run.read("coarse/temperature")) == pytest.approx(10.0)
    assert json.loads(done.stdout.splitlines()[-1])["state_hash"] == run.head.state_hash
    assert hpcms_command("report", out).returncode == 0


def test_the_fine_model_is_refused_without(job: Path) -> None:
    done = hpcms_command("run", job, "--on", "inline", "--out", job.parent / "out")
    assert done.returncode == 2
    assert re.search(r"job\.toml:\d+:\d+: fine\.wall\.model: ", done.stderr)
    assert "--plugins" in done.stderr
    assert not (job.parent / "out").exists()


def commands() -> list[tuple[str, str]]:
    """Each command that the README names, with what stands behind it."""
    shown = re.findall(r"`hpcms ([a-z]+)([^`]*)`", README)
    return [(name, rest.replace("\\|", "|")) for name, rest in shown]


@pytest.mark.parametrize(("name", "rest"), commands())
def test_every_command_exists_with_its_options(name: str, rest: str) -> None:
    assert name in main.commands
    known = {word for p in main.commands[name].params if isinstance(p, click.Option) for word in p.opts}
    assert set(re.findall(r"--[a-z-]+", rest)) <= known


def test_the_readme_names_every_command() -> None:
    assert {name for name, _ in commands()} == set(main.commands)


def test_every_file_exists() -> None:
    named = re.findall(r"\]\(([^)]+)\)|`?((?:jobs|slurm|scripts)/[\w./]+\w)", README)
    paths = {one or other for one, other in named}
    assert {"scripts/run", "scripts/test", "jobs/snow_footing.toml", "slurm/example.toml"} <= paths
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_names_in_python_exist() -> None:
    for name in re.findall(r"`hpcms\.([a-z_]+)\(", README):
        assert callable(getattr(hpcms, name))

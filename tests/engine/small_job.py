"""A small job with two scales and a few seconds of work, and a way to run it in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner, Result

from hpcms import engine
from hpcms.cli import main

ROOT = Path(__file__).parents[2]

JOB = """
schema_version = 1
title = "Heat and creep in a small block of snow"

[domain]
kind = "rectangle"
size = ["2 m", "1 m"]
elements = [2, 1]

[time]
end = "40 d"
steps = 4

[microstructure]
image = "snow.tif"
threshold = "otsu"
phases = ["air", "ice"]
coarsen = 4
window = 5
seed = 3

[fine.conduction]
model = "conduction"
[fine.conduction.phases.ice]
conductivity = "2.107 W/(m K)"
density = "917 kg/m^3"
heat_capacity = "2000 J/(kg K)"
[fine.conduction.phases.air]
conductivity = "0.024 W/(m K)"
density = "1.2 kg/m^3"
heat_capacity = "1005 J/(kg K)"

[fine.creep]
model = "solid"
tolerance = 1e-7
[fine.creep.phases.ice]
youngs_modulus = "9.33 GPa"
poisson_ratio = 0.325
density = "917 kg/m^3"
[fine.creep.phases.ice.creep]
A = "3.5e-25 Pa^-3 s^-1"
n = 3
reference_temperature = "-10 degC"
activation_energy_below = "60 kJ/mol"
activation_energy_above = "115 kJ/mol"
[fine.creep.phases.air]

[coarse.heat]
model = "heat"
fine = "conduction"
initial = "-19 degC"
boundary = [{ side = "top", temperature = { mean = "-19 degC", amplitude = "11 K", period = "365 d" } }]

[coarse.solid]
model = "solid"
fine = "creep"
gravity = "9.81 m/s^2"
boundary = [
  { side = "bottom", fixed = ["x", "y"] },
  { side = "left", fixed = ["x"] },
  { side = "top", between = ["0.5 m", "1.5 m"], pressure = "20 kPa" },
]

[coupling]
batch = 3
"""


def write_job(folder: Path) -> Path:
    """The job file beside its image."""
    shutil.copy(ROOT / "jobs" / "data" / "snow.tif", folder / "snow.tif")
    path = folder / "job.toml"
    path.write_text(JOB, encoding="utf-8")
    return path


def command(*args: object) -> list[str]:
    """``hpcms ARGS`` as a process of its own."""
    return [str(Path(sys.executable).with_name("hpcms")), *map(str, args)]


def spawn(*args: object, **environment: str) -> subprocess.Popen[bytes]:
    """Start ``hpcms ARGS`` in a session of its own."""
    return subprocess.Popen(
        command(*args), env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


@dataclass
class At:
    """Progress that does something when step ``number`` is committed: to stop there, raise in ``action``."""

    number: int
    action: Callable[[], object]
    notes: list[str] = field(default_factory=list)
    steps: int = 0

    def step(self, done: float, total: float, text: str, eta: float | None) -> None:
        self.steps += 1
        if self.steps == self.number:
            self.action()

    def note(self, text: str) -> None:
        self.notes.append(text)


class CrashError(Exception):
    """The driver is gone, as far as the run can tell."""


def crash() -> None:
    """Leave a run at once."""
    raise CrashError


def cut_off(job: Path, out: Path, after: int = 2) -> Path:
    """A run that died right after its commit ``after``."""
    with contextlib.suppress(CrashError):
        engine.run(job, out=out, progress=At(after, crash))
    return out


def until(found: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not found():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing within {seconds} s")
        time.sleep(0.01)


def committed(out: Path, step: int) -> bool:
    """Whether a run has the manifest of ``step``."""
    return (out / "manifests" / f"{step:08d}.json").exists()


def said(out: Path) -> str:
    """What a run says of its state."""
    try:
        return str(json.loads((out / "status.json").read_text(encoding="utf-8"))["state"])
    except (OSError, ValueError):
        return ""


def run_command(*args: object) -> Result:
    """``hpcms ARGS`` to its end, in this process: that saves the seconds of a start."""
    return CliRunner().invoke(main, [str(arg) for arg in args])

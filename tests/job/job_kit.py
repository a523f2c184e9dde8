"""A valid job of the real models that loads fast, and a way to break it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcms.errors import BadInput
from hpcms.job import load_job

VALID = """\
schema_version = 1
title = "A wall"

[domain]
kind = "rectangle"
size = ["6 m", "4 m"]
elements = [4, 3]

[time]
end = "365 d"
steps = 12
min_step = "1 d"

[microstructure]
generator = "laminate"
shape = [4, 4, 4]
phases = ["air", "ice"]

[fine.snow]
model = "conduction"
tolerance = 1e-8

[fine.snow.phases.ice]
conductivity = "2.107 W/(m K)"

[fine.snow.phases.air]
conductivity = "0.024 W/(m K)"

[coarse.heat]
model = "heat"
fine = "snow"
initial = "-19 degC"
boundary = [
  { side = "top", temperature = { mean = "-19 degC", amplitude = "11 K", period = "365 d", phase = "0 deg" } },
  { side = "bottom", flux = "0.05 W/m^2" },
]

[coupling]
scheme = "nested"
tolerance = 1e-6

[petsc]
heat_ksp_type = "cg"

[[claims]]
id = "A04.x"
quantity = "conductivity"
want = 0.39
tolerance = 0.2
basis = "closed form"

[size.ci]
domain.elements = [2, 2]
time.steps = 4
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "job.toml"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def changed(old: str, new: str) -> str:
    """The valid job with one place changed; the place must be there once."""
    assert VALID.count(old) == 1, old
    return VALID.replace(old, new)


def problems(folder: Path, text: str, **options: object) -> list[str]:
    """What is wrong with a job, without the folder in front of the names."""
    path = write(folder, text)
    with pytest.raises(BadInput) as caught:
        load_job(path, **options)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]

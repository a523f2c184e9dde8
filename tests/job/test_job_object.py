"""A loaded job: values in SI, sizes and overrides, what may change between a run and its resumption."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import pytest
from job_kit import VALID, changed, problems, write

from hpcms.errors import BadInput
from hpcms.job import load_job, validate
from hpcms.job.job import compare
from hpcms.job.schema import Rectangle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def footing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footing")
    (folder / "data").mkdir()
    shutil.copy(ROOT / "jobs/data/snow.tif", folder / "data")
    return Path(shutil.copy(Path(__file__).parent / "snow_footing.toml", folder))


def test_the_footing(footing: Path) -> None:
    job = load_job(footing)
    assert job.domain == Rectangle((6.0, 4.0), (12, 8), (2.0, 2.0))
    assert job.time.end == 31536000.0
    ice = job.fine["creep"].params.phases["ice"]
    assert ice.youngs_modulus == 9.33e9
    assert ice.creep.reference_temperature == 263.15
    assert job.fine["creep"].params.phases["air"].youngs_modulus in (0.0, None)
    assert job.coarse["heat"].fine == "conduction"
    assert job.coarse["heat"].params.boundary[0].temperature.amplitude == 11.0
    assert job.coarse["solid"].params.boundary[3].pressure == 40000.0
    assert job.petsc["solid_pc_type"] == "lu"
    assert job.claims[0].want == 0.39
    assert job.sizes == ("ci", "node", "cluster")
    assert job.text == footing.read_text()
    assert job.file(job.images()[0]).is_file()


def test_sizes_override_keys(footing: Path) -> None:
    ci, cluster = load_job(footing, "ci"), validate(footing, "cluster")
    assert (ci.time.steps, ci.microstructure.window if ci.microstructure else 0) == (4, 4)
    assert ci.domain.elements == (4, 3)
    assert cluster.domain.elements == (200, 125)
    assert cluster.time.steps == 12
    with pytest.raises(BadInput, match='unknown size "huge"'):
        load_job(footing, "huge")


def test_a_size_that_the_file_does_not_set_is_the_file_itself(tmp_path: Path) -> None:
    path = write(tmp_path, VALID)
    assert load_job(path, "cluster").resolved() == load_job(path).resolved() | {"size": "cluster"}


def test_overrides_come_last_and_are_named_in_messages(tmp_path: Path) -> None:
    path = write(tmp_path, VALID)
    job = load_job(path, "ci", {"time.steps": 7, "coupling.batch": 2, "fine.snow.phases.ice.conductivity": "1 W/(m K)"})
    assert (job.time.steps, job.coupling.batch) == (7, 2)
    assert job.fine["snow"].params.phases["ice"].conductivity == 1.0
    (found,) = problems(tmp_path, VALID, overrides={"time.steps": 0})
    assert found == "job.toml: time.steps: must be >= 1 and <= 1e+07 (got 0) (given as an override)"
    assert "unknown key" in problems(tmp_path, VALID, overrides={"time.stepz": 0})[0]
    assert "is not a dotted key" in problems(tmp_path, VALID, overrides={"time..steps": 0})[0]


def test_size_keys_point_to_their_own_line(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, changed("domain.elements = [2, 2]", "domain.elements = [2, -2]"))
    assert found.startswith("job.toml:53:23: size.ci.domain.elements[1]: must be >= 1")


def test_resolved_is_plain_si_and_stable(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, VALID))
    resolved = job.resolved()
    assert json.loads(json.dumps(resolved, allow_nan=False)) == resolved
    assert resolved["time"] == {"end": 31536000.0, "steps": 12, "min_step": 86400.0}
    assert resolved["fine"]["snow"]["phases"]["ice"]["conductivity"] == 2.107
    assert resolved["coarse"]["heat"]["model"] == "heat"
    assert pickle.loads(pickle.dumps(job)).resolved() == resolved
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.title = "x"


@pytest.mark.parametrize(
    ("old", "new", "key", "physics"),
    [
        ('title = "A wall"', 'title = "Another"', "title", False),
        ("tolerance = 0.2", "tolerance = 0.3", "claims", False),
        ('heat_ksp_type = "cg"', 'heat_ksp_type = "gmres"', "petsc.heat_ksp_type", False),
        ('min_step = "1 d"', 'min_step = "1 h"', "time.min_step", False),
        ('scheme = "nested"', "max_sweeps = 3", "coupling.max_sweeps", False),
        ('scheme = "nested"', "batch = 3", "coupling.batch", True),
        ("steps = 12", "steps = 13", "time.steps", True),
        ('"2.107 W/(m K)"', '"2.108 W/(m K)"', "fine.snow.phases.ice.conductivity", True),
        ('amplitude = "11 K"', 'amplitude = "12 K"', "coarse.heat.boundary", True),
        ("tolerance = 1e-6", "tolerance = 1e-5", "coupling.tolerance", True),
        ('period = "365 d"', 'period = "31536000 s"', None, False),
    ],
)
def test_what_changes_the_physics(tmp_path: Path, old: str, new: str, key: str | None, physics: bool) -> None:
    before = load_job(write(tmp_path, VALID))
    after = load_job(write(tmp_path, changed(old, new)))
    diff = before.diff(after)
    assert list(diff.changed) == ([key] if key else [])
    assert diff.physics == ((key,) if physics else ())
    assert (before.physics_hash != after.physics_hash) == physics
    assert compare(json.loads(json.dumps(before.resolved())), after.resolved()) == diff
    if physics:
        assert "(changes the physics)" in diff.lines()[0]


def test_the_image_is_part_of_the_physics(footing: Path) -> None:
    image = footing.parent / "data/snow.tif"
    before, bytes_before = load_job(footing).physics_hash, image.read_bytes()
    image.write_bytes(bytes_before + b"\0")
    assert load_job(footing).physics_hash != before
    image.write_bytes(bytes_before)
    assert load_job(footing).physics_hash == before


def test_a_copy_of_the_job_finds_its_files_by_folder(footing: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(footing, tmp_path / "job.toml"))
    with pytest.raises(BadInput, match="no such file"):
        load_job(copy)
    assert load_job(copy, folder=footing.parent).physics_hash == load_job(footing).physics_hash


PLUGIN = """
from dataclasses import dataclass
from typing import Annotated, ClassVar
from hpcms.contracts import Unit

@dataclass(frozen=True)
class Mine:
    stiffness: tuple[tuple[float, ...], ...] = ((1.0,),)
    k: Annotated[float, Unit("W/(m K)", above=0)] = 1.0
    fine: str = ""
    drives: ClassVar[tuple[str, ...]] = ("gradient",)

MODEL = Mine
"""


def plugin_job(folder: Path, table: str) -> str:
    (folder / "mine.py").write_text(PLUGIN)
    return VALID.replace('fine = "snow"', 'fine = "own"') + f'\n[fine.own]\nmodel = "mine.py"\n{table}\n'


def test_a_model_beside_the_job_needs_permission(tmp_path: Path) -> None:
    text = plugin_job(tmp_path, 'k = "3 W/(m K)"')
    assert "files of your own need --plugins" in problems(tmp_path, text)[0]
    assert load_job(write(tmp_path, text), plugins=True).fine["own"].params.k == 3.0
    outside = text.replace("mine.py", "../mine.py")
    assert "must stay in the folder" in problems(tmp_path, outside, plugins=True)[0]


@pytest.mark.parametrize(
    ("stiffness", "expected"),
    [
        ("[[2.0, 1.0], [1.0, 2.0]]", ""),
        ("[[1.0, 2.0], [2.0, 1.0]]", "is not positive definite (smallest eigenvalue -1)"),
        ("[[2.0, 1.0], [0.0, 2.0]]", "must be symmetric"),
        ("[[2.0, 1.0], [1.0]]", "must be a square matrix"),
    ],
)
def test_tensors_are_positive_definite(tmp_path: Path, stiffness: str, expected: str) -> None:
    text = plugin_job(tmp_path, f"stiffness = {stiffness}")
    if expected:
        assert f"fine.own.stiffness: {expected}" in problems(tmp_path, text, plugins=True)[0]
    else:
        load_job(write(tmp_path, text), plugins=True)


def test_circular_references_are_printed(tmp_path: Path) -> None:
    text = plugin_job(tmp_path, 'fine = "b"')
    for name, target in (("b", "c"), ("c", "own"), ("d", "d"), ("e", "none")):
        text += f'[fine.{name}]\nmodel = "mine.py"\nfine = "{target}"\n'
    found = problems(tmp_path, text, plugins=True)
    assert [line.split(": ", 1)[1].split("\n")[0] for line in found] == [
        "fine.b.fine: circular reference: b -> c -> own -> b",
        "fine.d.fine: circular reference: d -> d",
        'fine.e.fine: no such fine model (got "none")',
    ]


def test_volume_fractions_add_up(tmp_path: Path) -> None:
    text = VALID.replace('generator = "laminate"\nshape = [4, 4, 4]\nphases = ["air", "ice"]', "")
    text = text.replace("[microstructure]", "").replace('"conduction"\ntolerance = 1e-8', '"laminate"')
    text = text.replace("[fine.snow]", '[fine.snow]\nphysics = "conduction"')
    one = text.replace('"2.107 W/(m K)"', '"2.107 W/(m K)"\nfraction = 0.25')
    (found,) = problems(tmp_path, one)
    assert "fine.snow.phases: the volume fractions add up to 0.25, not to 1" in found
    both = one.replace('"0.024 W/(m K)"', '"0.024 W/(m K)"\nfraction = 0.75')
    assert load_job(write(tmp_path, both)).microstructure is None

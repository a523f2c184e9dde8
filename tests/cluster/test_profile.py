"""SLURM profiles: what is read, what is refused and how it is said, and what sbatch gets."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.cluster import jobs, open_executor
from hpcms.cluster.profile import Profile, find, read
from hpcms.errors import BadInput

FOLDER = Path(__file__).parents[2] / "slurm"


def profile_of(tmp_path: Path, text: str) -> Profile:
    path = tmp_path / "p.toml"
    path.write_text(text)
    return read(str(path))


def test_the_profiles_of_the_project_are_valid() -> None:
    assert read("local").partition == "main"
    assert read("example") == read("")  # the example shows the defaults
    assert {p.stem for p in FOLDER.glob("*.toml")} == {"example", "local"}


def test_all_keys(tmp_path: Path) -> None:
    found = profile_of(
        tmp_path,
        'workers = 8\npartition = "long"\naccount = "a.b"\ncores = 4\nprocesses = 4\nmem_per_cpu = "2 GiB"\n'
        'walltime = "2-12:00:00"\ndirectives = ["--constraint=avx512"]\nprologue = ["module load x"]\n'
        'python = "/p"\nscratch = "/s"\ninterface = "ib0"\nhost = "n1"\nqueue_wait = 5\nlost_after = 6\n',
    )
    assert found.memory == 4 * 2 * 2**30
    assert jobs.count(found, 9) == 3
    lines = jobs.directives(found, Path("/run"))
    assert {"--mem-per-cpu=2048M", "--time=2-12:00:00", "--constraint=avx512", "--account=a.b"} <= set(lines)


WRONG = [
    ("walltime = 3600", "walltime: must be a string"),
    ("walltime = 01:00:00", "p.toml"),  # TOML's own time of day
    ('walltime = "1 hour"', "walltime: must be like"),
    ('mem = "1 GB"\nmem_per_cpu = "1 GB"', "2:1: mem_per_cpu: give either mem or mem_per_cpu"),
    ("mem = 4000", "mem: must be a string with a unit"),
    ('mem = "4000"', "mem: must be a string with a unit"),
    ('mem = "0 GB"', "mem: must be"),
    ("cores = 0", "cores: must be a whole number"),
    ("cores = true", "cores: must be a whole number"),
    ("cores = 2.0", "cores: must be a whole number"),
    ("cores = 2\nprocesses = 3", "2:1: processes: 3 workers x 1 threads need 3 cores, there are 2"),
    ('\npartion = "a"', "2:1: partion: unknown key, did you mean 'partition'?"),
    ('partition = "a b"', "partition: must be a word"),
    ('partition = "a\\n#SBATCH --uid=0"', "partition: must be a word"),
    ('account = "$(id)"', "account: must be a word"),
    ('directives = ["--time=1"]', "--time is set by hpcms"),
    ('directives = ["; rm x"]', "directives: must be like"),
    ('directives = "--x"', "directives: must be a list"),
    ('prologue = ["a\\nb"]', "prologue: must be one line"),
    ('python = "/p\\u0000"', "python: must be a path"),
    ("cores = [", "p.toml"),
    ("cores = 1\ncores = 2", "p.toml"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_wrong_profiles(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        profile_of(tmp_path, text)
    assert said in str(caught.value)
    assert "p.toml" in str(caught.value)
    assert caught.value.hint


def test_all_errors_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        profile_of(tmp_path, 'cores = 0\nwalltime = 1\nfoo = 2\nmem = "1 GB"\nmem_per_cpu = "1 GB"\n')
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("name", ["nowhere", "locl", "missing.toml", "../slurm/local", "."])
def test_unknown_profiles(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught, open_executor(f"slurm:{name}", None, tmp_path):
        raise AssertionError("opened")
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_working_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "local.toml").write_text("cores = 3\n")
    monkeypatch.chdir(tmp_path)
    assert read("local").cores == 3
    assert find("example") == FOLDER / "example.toml"


ANY_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)


@given(ANY_TEXT, ANY_TEXT)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_no_value_leaves_its_quotes(value: str, name: str) -> None:
    """bash reads back from the script exactly the words that went in, whatever they hold."""
    profile = Profile(mem=2**30, python="/bin/echo")
    script = jobs.script(profile, Path("/logs"), Path("/settings"), name, {"X": value})
    head, _, command = script.rpartition("\nexec ")
    assert shlex.split(command)[-2:] == ["/settings", name]
    body = head + '\nprintf %s "$X"'
    said = subprocess.run(["bash", "-c", body], capture_output=True, timeout=30, check=True)
    assert said.stdout == value.encode()


def test_strange_log_folders_are_refused_or_escaped() -> None:
    profile = Profile(mem=2**30)
    assert '--output="/a b/50%%/%j.txt"' in jobs.directives(profile, Path("/a b/50%"))
    for bad in ('/a"b', "/a\nb", "/a\\b"):
        with pytest.raises(BadInput):
            jobs.directives(profile, Path(bad))

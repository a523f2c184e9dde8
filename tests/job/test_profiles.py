"""Machine files for SLURM: strict, with positions, and nothing in them reaches a command line unchecked."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcms.errors import BadInput
from hpcms.job.profile import Profile, find_profile, load_profile


def load(folder: Path, text: str) -> Profile:
    path = folder / "site.toml"
    path.write_text(text)
    return load_profile(path)


def test_a_profile(tmp_path: Path) -> None:
    profile = load(tmp_path, 'workers = 8\ncores = 2\nmemory = "4 GiB"\nwalltime = "1-02:00"\npartition = "long"\n')
    assert profile.walltime_s == 26 * 3600
    assert profile.options() == [
        "--time=1-02:00", "--ntasks=1", "--cpus-per-task=2", "--mem=4096M", "--partition=long",
    ]  # fmt: skip
    assert load(tmp_path, 'mem_per_cpu = "2 GB"').options()[-1] == "--mem-per-cpu=1907M"


@pytest.mark.parametrize(
    ("walltime", "seconds"),
    [("90", 5400), ("10:30", 630), ("02:03:04", 7384), ("1-0", 86400), ("2-03:00", 183600), ("1-00:00:01", 86401)],
)
def test_forms_of_walltime(walltime: str, seconds: float) -> None:
    assert Profile(walltime=walltime).walltime_s == seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('memory = "4 GB"\nmem_per_cpu = "1 GB"', "site.toml:2:1: mem_per_cpu: cannot be given together with memory"),
        ("walltime = 01:00:00", "site.toml:1:12: walltime: must be a text (got 01:00:00)"),
        ("walltime = 01:00:00", "hint: text stands in quotes"),
        ("walltime = 1:00:00", "site.toml:1:13: TOML: expected newline or end of document"),
        ('walltime = "soon"', 'walltime: is no time that a run can use (got "soon")'),
        ('walltime = "4"', "walltime: is no time that a run can use"),
        ("cores = 0", "cores: must be >= 1"),
        ("memory = 4", "memory: missing unit (got 4)"),
        ('memory = "4 kB"', "memory: must be >= 1e+06 B"),
        ('partition = "a b"', "partition: must be one word"),
        ('partition = "a\\nb"', "partition: must be one word"),
        ('directives = ["-N 3"]', "directives[0]: is no option of sbatch"),
        ('directives = ["--wrap=x;rm"]', "directives[0]: is no option of sbatch"),
        ('directives = ["--time=3"]', "directives[0]: has a key of its own"),
        ('setup = ["a\\n#SBATCH --x"]', "setup[0]: must be one line of text"),
        ("wokers = 3", 'wokers: unknown key\n    hint: did you mean "workers"?'),
    ],
)
def test_mistakes(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(tmp_path, text)
    assert expected in str(caught.value)


def test_profiles_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/site.toml").touch()
    assert find_profile("site", (tmp_path / "none", tmp_path)) == tmp_path / "slurm/site.toml"
    assert find_profile("my/own.toml", (tmp_path,)) == Path("my/own.toml")
    with pytest.raises(BadInput, match='there is no profile "other"') as caught:
        find_profile("other", (tmp_path,))
    assert caught.value.hint == "profiles: site"
    with pytest.raises(BadInput, match="is not the name of a profile"):
        find_profile("../site", (tmp_path,))

"""``doctor`` and ``submit``: what the machine can do, and the script that SLURM gets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcms.cli import main
from hpcms.cli.doctor import CHECKS, _library
from hpcms.cli.running import patient
from hpcms.cli.submit import write_script
from hpcms.cluster.profile import Profile
from hpcms.errors import BadInput


def test_doctor_finds_this_machine_fit() -> None:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    names = [check["name"] for check in found["checks"]]
    for name in ("python", "PETSc", "MPI", "BLAS", "numba cache", "SLURM", "disk", "memory", "fonts"):
        assert name in names
    assert found["ok"]
    assert len(CHECKS) <= len(names)


def test_a_library_that_is_missing_or_crashes_is_a_finding() -> None:
    missing = _library("x", "import no_such_library", "install it")
    assert (missing.state, missing.hint) == ("fail", "install it")
    assert "No module named" in missing.found
    assert _library("x", "import os; os.abort()", "").state == "fail"
    assert _library("x", "raise SystemExit(3)", "", needed=False).state == "warn"


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(main, ["init", "job.toml"])
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/site.toml").write_text(
        'walltime = "02:00:00"\nmem = "2 GiB"\npartition = "main"\nprologue = ["module load x"]\n'
    )
    return tmp_path / "job.toml"


def test_submit_shows_its_script(job: Path) -> None:
    words = ["submit", "job.toml", "--on", "slurm:site", "--out", "r", "--ahead", "600", "--dry-run"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.stderr
    for line in (
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --signal=B:USR1@600",
        "#SBATCH --time=02:00:00",
        "#SBATCH --partition=main",
        "#SBATCH --mem=2048M",
        "module load x",
    ):
        assert f"\n{line}\n" in result.stdout
    assert f"hpcms.cli run {job} --on slurm:site --out {job.parent}/r --json &" in result.stdout
    assert not (job.parent / "r.sbatch").exists()
    subprocess.run(["bash", "-n"], input=result.stdout, text=True, check=True)


def test_words_in_the_script_are_quoted() -> None:
    script = write_script(["run", "a b; rm -rf $HOME/'x'.toml"], Path("/tmp/r"), Profile())
    assert """run 'a b; rm -rf $HOME/'"'"'x'"'"'.toml' &""" in script
    with pytest.raises(BadInput):
        write_script([], Path("/tmp/r\n#SBATCH --x"), Profile())


FAKE = """#!/usr/bin/env bash
# stands for the driver: commits as often as COMMITS says, then stops or ends
echo "$@" >> {folder}/calls
[ "$EXIT" != 75 ] || trap 'exit 75' USR1
mkdir -p {folder}/r; touch {folder}/r/job.toml
[ "$COMMITS" = 0 ] || date +%N > {folder}/r/head.json
[ -z "${{WAIT:-}}" ] || {{ touch {folder}/ready; sleep 30 & wait $!; }}
exit "$EXIT"
"""


def script_with_fakes(folder: Path) -> Path:
    """The script with a small program in place of the driver and of scontrol."""
    (folder / "driver").write_text(FAKE.format(folder=folder))
    (folder / "scontrol").write_text(f'#!/usr/bin/env bash\necho "$@" >> {folder}/requeued\n')
    text = write_script(["run", "job"], folder / "r", Profile())
    lines = [line if "-m hpcms.cli" not in line else f"  {folder}/driver {line.split('hpcms.cli')[1]}"
             for line in text.splitlines()]  # fmt: skip
    path = folder / "script"
    path.write_text("\n".join(lines))
    for name in ("driver", "scontrol", "script"):
        (folder / name).chmod(0o755)
    return path


def surroundings(folder: Path, code: int, commits: int) -> dict[str, str]:
    path = f"{folder}:{os.environ['PATH']}"
    return {"PATH": path, "EXIT": str(code), "COMMITS": str(commits), "SLURM_JOB_ID": "7"}


def turn(path: Path, code: int, commits: int) -> int:
    env = surroundings(path.parent, code, commits)
    return subprocess.run([path], env=env, check=False, capture_output=True, timeout=60).returncode


def requeued(folder: Path) -> int:
    file = folder / "requeued"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_the_script_queues_itself_again_while_steps_are_committed(tmp_path: Path) -> None:
    path = script_with_fakes(tmp_path)
    assert turn(path, 75, commits=1) == 0
    assert turn(path, 75, commits=1) == 0
    assert requeued(tmp_path) == 2
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["run job", f"resume {tmp_path}/r --json"], "after the first commit it goes on"
    assert [turn(path, 75, commits=0) for _ in range(3)] == [0, 0, 75], "three turns without a commit"
    assert requeued(tmp_path) == 4
    assert turn(path, 3, commits=0) == 3, "a failure is passed on and not queued again"
    assert requeued(tmp_path) == 4


@pytest.mark.parametrize("slow", [False, True], ids=["", "the driver ends before the shell looks"])
def test_the_signal_ahead_of_the_end_reaches_the_driver(tmp_path: Path, slow: bool) -> None:
    path = script_with_fakes(tmp_path)
    if slow:
        path.write_text(path.read_text().replace("2>/dev/null' USR1", "2>/dev/null; sleep 0.3' USR1"))
    env = surroundings(tmp_path, 75, 1) | {"WAIT": "1"}
    with subprocess.Popen([path], env=env) as process:
        for _ in range(600):
            if (tmp_path / "ready").exists():
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(timeout=20) == 0
    assert requeued(tmp_path) == 1


def test_the_signal_does_no_harm_while_a_run_starts_or_ends() -> None:
    with patient():
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL

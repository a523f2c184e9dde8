"""Workers in jobs of a real SLURM on this machine: cancelled, refused, and gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hpcms.cluster import open_executor
from hpcms.contracts import Executor, Ref
from hpcms.errors import ResourceFailure, WorkersLost
from tests.cluster import tasks
from tests.cluster.slurm_local import PROFILE, jobs, slurm_local

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]
T = 100.0  # s


def wait_until_no_jobs(seconds: float) -> dict[str, str]:
    end = time.monotonic() + seconds
    while (left := jobs()) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def wait_for_two(executor: Executor) -> None:
    end = time.monotonic() + 60.0
    while len(executor.describe()["addresses"]) < 2:
        assert time.monotonic() < end
        time.sleep(0.2)


def chains(executor: Executor, seconds: float) -> list[Ref]:
    """Six chains of four steps of some seconds, each with a state that stays on its worker."""
    refs = [executor.submit(tasks.draw, i, 500, key=f"0/{i}") for i in range(6)]
    for n in range(1, 5):
        refs = [executor.submit(tasks.step, ref, n, seconds, key=f"{n}/{i}") for i, ref in enumerate(refs)]
    return refs


def test_a_cancelled_job_is_replaced_and_the_answer_is_the_same(tmp_path: Path) -> None:
    with open_executor("inline", None, tmp_path / "inline") as inline:
        expected = [inline.result(ref, T).tobytes() for ref in chains(inline, 0.0)]
    with open_executor(f"slurm:{PROFILE}", None, tmp_path / "slurm") as executor:
        refs = chains(executor, 0.2)
        wait_for_two(executor)
        first = sorted(jobs())[0]
        subprocess.run(["scancel", first], check=True)
        assert [executor.result(ref, T).tobytes() for ref in refs] == expected
        wait_for_two(executor)
        assert first not in jobs()
        assert executor.retries_log
        assert not [reason for _, reason in executor.retries_log if reason.endswith("died at it")]  # nobody's fault
        assert "worker slurm-" in (tmp_path / "slurm" / "log.txt").read_text()
    assert not wait_until_no_jobs(20.0)
    assert sorted(p.name for p in (tmp_path / "slurm").iterdir()) == ["log.txt", "slurm"]


DRIVER = """
import sys
from pathlib import Path
from hpcms.cluster import open_executor
from tests.cluster import tasks
if __name__ == "__main__":
    with open_executor(sys.argv[1], 1, Path(sys.argv[2])) as executor:
        ref = executor.submit(tasks.slow, 1, 600.0, key="slow")
        print("ready", flush=True)
        executor.result(ref, 1000.0)
"""


def test_no_jobs_are_left_when_the_driver_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, f"slurm:{PROFILE}", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        assert jobs()
        driver.kill()
    assert not wait_until_no_jobs(30.0)


def test_a_job_that_slurm_refuses_is_told_at_once(tmp_path: Path) -> None:
    profile = tmp_path / "wrong.toml"
    profile.write_text('partition = "nowhere"\nhost = "127.0.0.1"\n')
    with pytest.raises(ResourceFailure, match="partition"), open_executor(f"slurm:{profile}", 1, tmp_path / "run"):
        raise AssertionError("opened")


def test_a_profile_whose_jobs_end_at_once_is_told(tmp_path: Path) -> None:
    profile = tmp_path / "wrong.toml"
    profile.write_text(PROFILE.read_text() + 'prologue = ["exit 1"]\n')
    with pytest.raises(ResourceFailure, match="ended before"), open_executor(f"slurm:{profile}", 2, tmp_path / "run"):
        raise AssertionError("opened")


def test_a_job_that_ends_before_its_worker_comes_is_replaced(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    profile = tmp_path / "slow.toml"
    profile.write_text(PROFILE.read_text() + f'prologue = ["[ -e {flag} ] || {{ touch {flag}; sleep 600; }}"]\n')

    def cancel() -> None:
        while not flag.exists():
            time.sleep(0.1)
        subprocess.run(["scancel", *jobs()], check=True)

    with ThreadPoolExecutor(1) as pool:
        cancelled = pool.submit(cancel)
        with open_executor(f"slurm:{profile}", 1, tmp_path / "run") as executor:
            assert executor.result(executor.submit(tasks.add, 1, 1, key="two"), T) == 2
        cancelled.result()


def test_all_jobs_cancelled_and_none_back(tmp_path: Path) -> None:
    with open_executor(f"slurm:{PROFILE}", 1, tmp_path, lost_after=2.0) as executor:
        ref = executor.submit(tasks.slow, 1, 600.0, key="slow")
        subprocess.run(["scancel", *jobs()], check=True)
        start = time.monotonic()
        with pytest.raises(WorkersLost):
            executor.result(ref, T)
        assert time.monotonic() - start < 30.0
    assert not wait_until_no_jobs(20.0)


def test_two_slurms_side_by_side_and_nothing_left() -> None:
    outer = os.environ["SLURM_CONF"]
    with slurm_local(nodes=1) as folder:
        assert os.environ["SLURM_CONF"] == str(folder / "slurm.conf") != outer
        assert jobs() == {}
        pids = [int(p.read_text()) for p in folder.rglob("*.pid")]
        assert len(pids) >= 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert os.environ["SLURM_CONF"] == outer
    assert not folder.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and " Z " not in status(pid)]


def status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""

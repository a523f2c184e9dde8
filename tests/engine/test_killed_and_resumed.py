"""Kill, stop and disturb real runs; what is left must go on to the same bits."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from small_job import command, spawn, write_job

from hpcms import engine

MOMENTS = 24


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Hash and seconds of a run that nobody disturbs; the seconds are those of a warm start, import included."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = write_job(folder)
    engine.run(job, out=folder / "warm")
    begin = time.monotonic()
    subprocess.run(command("run", job, "--out", folder / "out"), check=True, capture_output=True)
    return {"hash": json.loads((folder / "out/summary.json").read_text())["state_hash"], "s": time.monotonic() - begin}


def resume_until_done(job: Path, out: Path) -> str:
    """`hpcms resume`, or `hpcms run` where the run had not begun; the final hash."""
    verb = ["resume", out] if (out / "how.json").exists() else ["run", job, "--out", out]
    done = subprocess.run(command(*verb, "--json"), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout.splitlines()[-1])["state_hash"])


def killed_at(job: Path, share: float, whole: float, on: str) -> Path:
    """Start a run, kill -9 its driver after ``share`` of the time, wait until it is gone."""
    out = job.parent / "out"
    process = spawn("run", job, "--on", on, "--out", out)
    time.sleep(share * whole)
    process.kill()
    process.wait(timeout=30)
    return out


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_driver_killed(job: Path, undisturbed: dict[str, object], share: float) -> None:
    out = killed_at(job, share, float(str(undisturbed["s"])), "inline")
    assert resume_until_done(job, out) == undisturbed["hash"]


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(MOMENTS))
def test_driver_killed_at_a_random_moment(job: Path, undisturbed: dict[str, object], seed: int) -> None:
    share = float(np.random.default_rng(seed).uniform(0.2, 1.0))
    out = killed_at(job, share, float(str(undisturbed["s"])), "local:2" if seed % 4 == 0 else "inline")
    assert resume_until_done(job, out) == undisturbed["hash"]


def workers_of(pid: int) -> list[psutil.Process]:
    """The processes below the driver that do the fine solves: the ones that nothing hangs below."""
    leaves = [p for p in psutil.Process(pid).children(recursive=True) if not p.children()]
    return [p for p in leaves if "resource_tracker" not in " ".join(p.cmdline())]


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(4))
def test_worker_killed(job: Path, undisturbed: dict[str, object], seed: int) -> None:
    rng, out = np.random.default_rng(seed), job.parent / "out"
    process = spawn("run", job, "--on", "local:2", "--out", out)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and "running" not in status(out):
        time.sleep(0.02)
    time.sleep(float(rng.uniform(0, 0.5)))
    victims = workers_of(process.pid)
    if victims and process.poll() is None:
        victims[int(rng.integers(len(victims)))].kill()
    assert process.wait(timeout=240) == 0, (out / "log.txt").read_text()
    assert json.loads((out / "summary.json").read_text())["state_hash"] == undisturbed["hash"]


def status(out: Path) -> str:
    try:
        return str(json.loads((out / "status.json").read_text())["state"])
    except (OSError, ValueError):
        return ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_cleanly(job: Path, undisturbed: dict[str, object], number: int) -> None:
    out = job.parent / "out"
    process = spawn("run", job, "--out", out)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and status(out) != "running":
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(timeout=60) in (75, 0)
    if status(out) != "done":
        assert status(out) == "stopped"
        assert resume_until_done(job, out) == undisturbed["hash"]


def test_the_end_of_the_allocation_stops_before_a_step(job: Path) -> None:
    out = job.parent / "out"
    end = str(int(time.time()) + 5)
    process = spawn("run", job, "--out", out, SLURM_JOB_END_TIME=end)
    assert process.wait(timeout=120) == 75
    assert status(out) == "stopped"


def test_no_orphans(job: Path) -> None:
    process = spawn("run", job, "--on", "local:2", "--out", job.parent / "out")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and status(job.parent / "out") != "running":
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(timeout=30)
    _, alive = psutil.wait_procs(children, timeout=100)
    assert not alive


def test_a_second_driver_is_refused(job: Path) -> None:
    out = job.parent / "out"
    process = spawn("run", job, "--out", out)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (out / "lease.json").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGSTOP)
    second = subprocess.run(command("resume", out), capture_output=True, text=True, timeout=120, check=False)
    os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.wait(timeout=30)
    assert second.returncode == 5
    assert re.search(rf"\b{process.pid}\b", second.stderr)


def test_changed_physics_is_refused_with_a_diff(job: Path, undisturbed: dict[str, object]) -> None:
    out = killed_at(job, 0.8, float(str(undisturbed["s"])), "inline")
    text = job.read_text(encoding="utf-8")
    job.write_text(text.replace("20 kPa", "21 kPa"), encoding="utf-8")
    refused = subprocess.run(command("resume", out), capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 2
    assert "pressure" in refused.stderr or "boundary" in refused.stderr
    assert "Traceback" not in refused.stderr
    job.write_text(text.replace("Heat and creep", "Creep and heat"), encoding="utf-8")
    assert resume_until_done(job, out) == undisturbed["hash"]

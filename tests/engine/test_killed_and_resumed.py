"""Kill, stop and disturb real runs; what is left must go on to the same bits."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from small_job import At, committed, cut_off, run_command, said, spawn, until

from hpcms import engine
from hpcms.cli.running import patient
from hpcms.engine.summary import Summary
from hpcms.errors import BadInput, Stopped, StorageFailure

MOMENTS = 24
STEP = 0.4  # s, about one step of the small job
START = 1.5  # s, about what a driver needs from its first file to its first commit


def killed(job: Path, step: int, delay: float, on: str = "inline") -> Path:
    """A run whose driver got kill -9 some time after the commit of ``step``; -1: after it began."""
    out = job.parent / "out"
    with spawn("run", job, "--on", on, "--out", out) as process:
        until(lambda: committed(out, step) if step >= 0 else (out / "how.json").exists())
        time.sleep(delay)
        process.kill()
        assert process.wait(timeout=30) == -signal.SIGKILL
    return out


@pytest.mark.parametrize(("step", "delay"), [(-1, 0.5), (2, 0.1)])
def test_driver_killed(job: Path, finished: Summary, step: int, delay: float) -> None:
    out = killed(job, step, delay)
    assert engine.status(out)["state"] == "interrupted"
    assert engine.resume(out).state_hash == finished.state_hash


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(MOMENTS))
def test_driver_killed_at_a_random_moment(job: Path, finished: Summary, seed: int) -> None:
    rng = np.random.default_rng(seed)
    step = int(rng.integers(-1, 4))
    out = killed(job, step, float(rng.uniform(0, STEP if step >= 0 else START)), "inline" if seed % 4 else "local:2")
    assert engine.resume(out, on="inline").state_hash == finished.state_hash


def workers_of(pid: int) -> list[psutil.Process]:
    """The worker processes below a driver: what Python has spawned and nothing hangs below (MPI has a helper there)."""
    leaves = [p for p in psutil.Process(pid).children(recursive=True) if not p.children()]
    return [p for p in leaves if "spawn_main" in " ".join(p.cmdline())]


def run_and_kill_a_worker(job: Path, seed: int) -> Summary:
    """Two workers; one of them is killed at a random moment of the steps after the first."""
    rng, victims = np.random.default_rng(seed), []

    def kill() -> None:
        workers = workers_of(os.getpid())
        assert len(workers) == 2
        victim = workers[int(rng.integers(2))]
        victims.append(victim.pid)
        victim.kill()

    timer = threading.Timer(float(rng.uniform(0, 2 * STEP)), kill)
    summary = engine.run(job, on="local:2", out=job.parent / "out", progress=At(1, timer.start))
    timer.join()
    assert victims
    return summary


def test_worker_killed(job: Path, finished: Summary) -> None:
    assert run_and_kill_a_worker(job, 99).state_hash == finished.state_hash


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(6))
def test_worker_killed_at_a_random_moment(job: Path, finished: Summary, seed: int) -> None:
    assert run_and_kill_a_worker(job, seed).state_hash == finished.state_hash


def test_a_second_driver_is_refused_and_sigterm_stops_cleanly(job: Path, finished: Summary) -> None:
    out = job.parent / "out"
    with spawn("run", job, "--on", "inline", "--out", out) as process:
        until(lambda: said(out) == "running")
        os.kill(process.pid, signal.SIGSTOP)
        assert engine.status(out)["state"] == "running"
        with pytest.raises(StorageFailure, match=rf"\bpid {process.pid}\b") as caught:
            engine.resume(out)
        os.kill(process.pid, signal.SIGCONT)
        process.terminate()
        assert process.wait(timeout=60) == 75
    assert caught.value.exit_code == 5
    assert engine.status(out)["state"] == "stopped"
    assert engine.resume(out).state_hash == finished.state_hash


def test_the_early_signal_of_slurm_stops_after_the_step(job: Path, finished: Summary) -> None:
    out = job.parent / "out"
    with patient(), pytest.raises(Stopped, match="SIGUSR1"):
        engine.run(job, out=out, progress=At(2, lambda: os.kill(os.getpid(), signal.SIGUSR1)))
    known = engine.status(out)
    assert (known["state"], known["committed"]["step"]) == ("stopped", 3)  # which had begun
    assert engine.resume(out).state_hash == finished.state_hash


def test_no_step_starts_that_the_allocation_would_cut(
    job: Path, finished: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 5))
    with pytest.raises(Stopped, match="allocation") as caught:
        engine.run(job, out=job.parent / "out")
    assert caught.value.exit_code == 75
    assert engine.status(job.parent / "out")["committed"]["step"] == 0
    monkeypatch.delenv("SLURM_JOB_END_TIME")
    assert engine.resume(job.parent / "out").state_hash == finished.state_hash


@pytest.mark.faults
def test_no_orphans(job: Path) -> None:
    out = job.parent / "out"
    with spawn("run", job, "--on", "local:2", "--out", out) as process:
        until(lambda: said(out) == "running")
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=100)
    assert not alive


def test_changed_physics_is_refused_with_a_diff(job: Path, finished: Summary) -> None:
    out, text = cut_off(job, job.parent / "out"), job.read_text(encoding="utf-8")
    job.write_text(text.replace("20 kPa", "21 kPa"), encoding="utf-8")
    refused = run_command("resume", out)
    assert refused.exit_code == 2
    assert "coarse.solid.boundary" in refused.stderr
    assert "Traceback" not in refused.stderr
    job.write_text(text.replace("Heat and creep", "Creep and heat"), encoding="utf-8")
    told = At(0, lambda: None)
    assert engine.resume(out, progress=told).state_hash == finished.state_hash
    assert any("title" in note for note in told.notes)


def test_a_changed_image_is_refused(job: Path) -> None:
    out, image = cut_off(job, job.parent / "out"), job.parent / "snow.tif"
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(data)
    with pytest.raises(BadInput, match="image"):
        engine.resume(out)


def test_a_damaged_newest_commit_is_told_and_the_one_before_gives_the_same_bits(job: Path, finished: Summary) -> None:
    out = cut_off(job, job.parent / "out", after=3)
    newest = out / "manifests" / "00000003.json"
    newest.write_bytes(newest.read_bytes()[:-40])
    refused = run_command("resume", out)
    assert refused.exit_code == 5
    assert "00000003.json" in refused.stderr
    assert "--generation 2" in refused.stderr
    with pytest.raises(StorageFailure, match=r"00000007\.json"):
        engine.resume(out, generation=7)
    done = run_command("resume", out, "--generation", 2, "--on", "inline")
    assert done.exit_code == 0, done.stderr
    assert engine.status(out)["committed"]["state_hash"] == finished.state_hash

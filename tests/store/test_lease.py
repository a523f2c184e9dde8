from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_kit import CONTEXT, advance, create

from hpcms.errors import STORAGE, StorageFailure
from hpcms.store import lease as lease_module
from hpcms.store.commit import RunStore
from hpcms.store.lease import STALE, Holder, Lease, born, holder


def hold(root: Path, ready: object) -> None:
    """A driver that takes the lease and then does nothing."""
    _lease = Lease(root)
    ready.set()  # type: ignore[attr-defined]
    time.sleep(60)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[object]:
    """A real process that holds the lease of ``tmp_path``."""
    ready = CONTEXT.Event()
    process = CONTEXT.Process(target=hold, args=(tmp_path, ready), daemon=True)
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_second_driver_is_refused_and_told_who_holds_the_run(tmp_path: Path, driver: object) -> None:
    with pytest.raises(StorageFailure) as caught:
        Lease(tmp_path)
    assert caught.value.exit_code == STORAGE
    assert f"host {socket.gethostname()}, pid {driver.pid}, since " in str(caught.value)  # type: ignore[attr-defined]
    assert "last heartbeat" in str(caught.value)


def test_the_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path, driver: object) -> None:
    os.kill(driver.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    driver.join()  # type: ignore[attr-defined]
    started = time.monotonic()
    lease = Lease(tmp_path)
    assert time.monotonic() - started < 5
    found = holder(tmp_path)
    assert found is not None
    assert found.pid == os.getpid()
    lease.release()
    assert not (tmp_path / "lease.json").exists()


def test_a_zombie_counts_as_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30
    while born(process.pid) != "dead" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert born(process.pid) == "dead"
    process.wait()
    assert born(process.pid) == "dead"


def forged(root: Path, silent: float = 0.0, **change: object) -> None:
    """A lease as another process would have left it, ``silent`` seconds ago."""
    lease = Lease(root)
    body = json.loads((root / "lease.json").read_text())
    lease.release()
    (root / "lease.json").write_text(
        json.dumps({**body, "token": "other", "heartbeat": time.time() - silent, **change})
    )


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"host": "elsewhere", "silent": STALE - 60}, True),
        ({"host": "elsewhere", "silent": STALE + 1}, False),
        ({"host": "elsewhere", "job": "17", "restart": "0"}, False),  # requeued: this process is its next life
        ({"host": "elsewhere", "job": "17", "restart": "1"}, True),
        ({"host": "elsewhere", "job": "18", "restart": "0"}, True),
        ({"born": "1", "job": "17", "restart": "1"}, False),  # died within this life of the job
        ({}, True),
        ({"born": "1"}, False),  # the same pid, but another process
        ({"boot": "before"}, False),
        ({"pid": 2**22 + 1}, False),
        ({"pid": "rubbish"}, False),
    ],
)
def test_who_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], refused: bool
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    if "job" not in change:
        change = {"job": "", **change}
    forged(tmp_path, **change)  # type: ignore[arg-type]
    if refused:
        with pytest.raises(StorageFailure, match="another driver holds this run"):
            Lease(tmp_path)
    else:
        Lease(tmp_path).release()


def test_a_driver_that_lost_its_lease_commits_no_more(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        first = advance(store, 0)
        forged_lease = {**json.loads((tmp_path / "lease.json").read_text()), "token": "other", "host": "elsewhere"}
        (tmp_path / "lease.json").write_text(json.dumps(forged_lease))
        with pytest.raises(StorageFailure, match="lost its lease to host elsewhere"):
            advance(store, 1)
        assert store.head == first
    assert json.loads((tmp_path / "lease.json").read_text())["token"] == "other"  # close() left it alone


def test_the_heart_beats_and_close_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "HEARTBEAT", 0.02)
    lease = Lease(tmp_path)
    first = holder(tmp_path)
    deadline = time.monotonic() + 30
    while holder(tmp_path) == first and time.monotonic() < deadline:
        time.sleep(0.02)
    found = holder(tmp_path)
    assert isinstance(found, Holder)
    assert isinstance(first, Holder)
    assert found.heartbeat > first.heartbeat
    assert (found.token, found.since) == (first.token, first.since)
    lease.release()
    assert not lease._thread.is_alive()


def race(root: Path) -> bool:
    try:
        Lease(root)
    except StorageFailure:
        return False
    time.sleep(1.0)
    return True


def test_of_drivers_that_start_together_one_wins(tmp_path: Path) -> None:
    forged(tmp_path, boot="before")  # all of them find a stale lease
    with CONTEXT.Pool(4) as pool:
        assert pool.map(race, [tmp_path] * 4, chunksize=1).count(True) == 1


def test_opening_fails_without_keeping_the_lease(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        advance(store, 0)
    (tmp_path / "head.json").write_text("{")
    for _ in range(2):
        with pytest.raises(StorageFailure, match=r"head\.json"):
            RunStore.open(tmp_path)
    assert not (tmp_path / "lease.json").exists()

"""What happens when workers, the scheduler or the driver die, hang or are strangers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import Client

from hpcms.cluster import certificates, hubline, open_executor
from hpcms.cluster.remote import RemoteExecutor
from hpcms.errors import DeadlineExceeded, Stopped, TaskFailed, WorkersLost
from tests.cluster import tasks

T = 100.0  # s
MPI_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_JOB_ID")


@pytest.fixture(scope="module")
def rundir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def executor(rundir: Path) -> Iterator[RemoteExecutor]:
    with pytest.MonkeyPatch.context() as patch:
        for name in MPI_VARIABLES:
            patch.setenv(name, "0")
        context = open_executor("local:2", None, rundir, hung_after=3.0)
        opened = context.__enter__()
    with contextlib.closing(opened):
        assert isinstance(opened, RemoteExecutor)
        yield opened


def workers_of(executor: RemoteExecutor) -> list[int]:
    return tasks.worker_processes(executor._hub.process.pid)


@pytest.mark.parametrize("how", ["kill", "segfault", "exit", "stop"])
def test_a_task_whose_worker_dies_is_run_again(
    executor: RemoteExecutor, rundir: Path, tmp_path: Path, how: str
) -> None:
    start = time.monotonic()
    refs = [executor.submit(tasks.die_once, str(tmp_path), i, how, key=f"{how}/{i}") for i in range(1)]
    calm = [executor.submit(tasks.add, i, 1, key=f"{how}/calm/{i}") for i in range(20)]
    assert executor.results(refs, T) == [0]
    assert executor.results(calm, T) == list(range(1, 21))
    executor.release([*refs, *calm])
    assert f"{how}/0" in [key for key, reason in executor.retries_log if reason.endswith("died at it")]
    line = next(x for x in (rundir / "log.txt").read_text().splitlines() if f"lost at task {how}/0" in x)
    assert "worker local-" in line
    assert time.monotonic() - start < 60.0


def test_lost_results_are_computed_again(executor: RemoteExecutor) -> None:
    ref = executor.submit(tasks.draw, 3, 100, key="lost/a")
    after = executor.submit(tasks.add, ref, 1.0, key="lost/b")
    before = executor.result(after, T)
    for pid in workers_of(executor):
        os.kill(pid, signal.SIGKILL)
    again = executor.submit(tasks.add, after, 1.0, key="lost/c")
    assert executor.result(again, T).tobytes() == (before + 1.0).tobytes()
    assert executor.result(ref, T).tobytes() == tasks.draw(3, 100).tobytes()
    assert any(key.startswith("lost/") for key, _ in executor.retries_log)


def test_an_answer_that_came_outlives_its_worker_and_its_state_is_made_again(executor: RemoteExecutor) -> None:
    ref = executor.submit(tasks.solve, 5, key="outlives/a")
    assert executor.done([ref], T) == [ref]
    stopped = workers_of(executor)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)  # nobody is there to be asked
    assert executor.result(ref, 1.0) == tasks.solve(5).answer
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)
    after = executor.submit(tasks.solve, 6, ref, key="outlives/b")
    assert executor.result(after, T) == tasks.solve(6, tasks.solve(5)).answer


def test_poison_is_given_up_and_the_others_live(executor: RemoteExecutor, rundir: Path) -> None:
    bad = {"three": executor.submit(tasks.die, key="three"), "one": executor.submit(tasks.die, key="one", retries=0)}
    good = [executor.submit(tasks.add, i, 1, key=f"innocent/{i}") for i in range(30)]
    after = executor.submit(tasks.add, bad["three"], 1, key="heir")
    assert executor.results(good, T) == list(range(1, 31))
    for ref in (*bad.values(), after):
        with pytest.raises(TaskFailed) as caught:
            executor.result(ref, T)
        assert caught.value.key == ("three" if ref is after else ref.key)
        assert caught.value.poison
    died = [key for key, reason in executor.retries_log if reason.endswith("died at it")]
    assert [died.count(key) for key in bad] == [3, 1]
    assert not [key for key in died if key.startswith("innocent")]
    assert "task three" in (rundir / "log.txt").read_text()


def test_a_worker_that_computes_without_a_pause_is_left_alone(executor: RemoteExecutor) -> None:
    assert executor.result(executor.submit(tasks.grind, 4.5, key="grind"), T) == 1
    assert "grind" not in [key for key, _ in executor.retries_log]


def knock(address: str, context: ssl.SSLContext | None) -> bytes:
    """Connect, say something, and give back the answer; b"" when the door is shut."""
    host, port = address.removeprefix("tls://").split(":")
    try:
        with contextlib.ExitStack() as stack:
            line = stack.enter_context(socket.create_connection((host, int(port)), timeout=5.0))
            if context is not None:
                line = stack.enter_context(context.wrap_socket(line))
            line.sendall(b"hello")
            return line.recv(1)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_a_stranger_without_our_certificate_is_refused(executor: RemoteExecutor, rundir: Path, tmp_path: Path) -> None:
    bare, foreign, ours = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(3))
    for context in (bare, foreign, ours):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    own = certificates.issue(tmp_path)
    foreign.load_cert_chain(own["cert"], own["key"])
    worker_sees = executor.result(executor.submit(tasks.environment, key="where"), T)
    tls = Path(worker_sees["HPCMS_JOURNAL"]) / "tls"
    ours.load_cert_chain(tls / "cert.pem", tls / "key.pem")
    for address in (executor._ready, executor.describe()["addresses"][0]):
        assert address.startswith("tls://127.0.0.1:")
        assert [knock(address, c) for c in (None, bare, foreign)] == [b"", b"", b""]
        assert knock(address, ours)  # so it was the certificate
    assert "TLS handshake failed" in (rundir / "log.txt").read_text()
    with pytest.raises(OSError):  # noqa: PT011  (which one depends on who closes first)
        Client(executor._ready.replace("tls", "tcp"), timeout=1, set_as_default=False)
    assert [oct(p.stat().st_mode & 0o777) for p in (tls, tls / "key.pem")] == ["0o700", "0o600"]


def test_workers_have_one_thread_and_nothing_of_the_driver_s_mpi(executor: RemoteExecutor) -> None:
    found = executor.result(executor.submit(tasks.environment, key="environment"), T)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        assert found[name] == "1"
    assert not set(found) & set(MPI_VARIABLES)


def test_deadlines(executor: RemoteExecutor) -> None:
    ref = executor.submit(tasks.slow, 1, 3.0, key="deadline")
    with pytest.raises(DeadlineExceeded):
        executor.done([ref], 0.2)
    with pytest.raises(DeadlineExceeded):
        executor.result(ref, 0.2)
    assert executor.result(ref, T) == 1


def test_workers_lost_and_nothing_left(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_executor("local:2", None, tmp_path, lost_after=0.1) as executor:
        hub = psutil.Process(executor._hub.process.pid)
        family = [hub, *hub.children(recursive=True)]
        assert len(family) >= 3
        ref = executor.submit(tasks.slow, 1, 60.0, key="slow")
        time.sleep(0.5)
        for pid in workers_of(executor):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkersLost):
            executor.result(ref, T)
        family += hub.children(recursive=True)
    assert not psutil.wait_procs(family, timeout=20.0)[1]
    assert [p.name for p in tmp_path.iterdir()] == ["log.txt"]
    assert capfd.readouterr() == ("", "")  # all that dask has to say is in the log


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP])
def test_scheduler_dies_or_hangs(tmp_path: Path, way: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubline, "SILENCE", 10.0)  # it also has to start within that, beside other tests
    with open_executor("local:2", None, tmp_path) as executor:
        assert isinstance(executor, RemoteExecutor)
        ref = executor.submit(tasks.slow, 1, 60.0, key="slow")
        time.sleep(0.5)
        workers = [psutil.Process(pid) for pid in workers_of(executor)]
        assert len(workers) == 2
        os.kill(executor._hub.process.pid, way)
        start = time.monotonic()
        with pytest.raises(Stopped, match="scheduler") as caught:
            executor.result(ref, T)
        assert time.monotonic() - start < 30.0
        with pytest.raises(Stopped):
            executor.done([ref], T)
    assert caught.value.exit_code == 75
    assert not psutil.wait_procs(workers, timeout=10.0)[1]


DRIVER = """
import sys, time
from pathlib import Path
from hpcms.cluster import open_executor
from tests.cluster import tasks
if __name__ == "__main__":
    with open_executor("local:2", None, Path(sys.argv[1])) as executor:
        refs = [executor.submit(tasks.die, "stop", key="stop"), executor.submit(tasks.grind, 600.0, key="grind")]
        time.sleep(1.0)
        print("ready", flush=True)
        executor.results(refs, 1000.0)
"""


def test_no_orphans_when_the_driver_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        family = psutil.Process(driver.pid).children(recursive=True)
        assert len(tasks.worker_processes(driver.pid)) == 2
        assert len(family) > 2
        driver.kill()
    _, alive = psutil.wait_procs(family, timeout=15.0)
    assert not alive

"""Who may commit to a run: one driver, named in ``lease.json`` with host, pid, start time and heartbeat."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcms.errors import StorageFailure
from hpcms.store.files import read_file, replace

HEARTBEAT = 10.0  # seconds between heartbeats
STALE = 120.0  # seconds without a heartbeat after which a lease of another host is taken over
LOCK_WAIT = 20.0  # seconds to wait for the lock around a change of the lease; it is held for milliseconds
NAME = "lease.json"


@dataclass(frozen=True)
class Holder:
    """A driver. ``born`` and ``boot`` tell this process from a later one with the same pid; ``job`` and ``restart``
    tell a SLURM job from its own earlier life, which SLURM ended before it requeued the job.
    """

    host: str
    pid: int
    born: str
    boot: str
    token: str
    since: float
    heartbeat: float
    job: str = ""
    restart: str = ""

    @classmethod
    def me(cls) -> Holder:
        now = time.time()
        job, restart = os.environ.get("SLURM_JOB_ID", ""), os.environ.get("SLURM_RESTART_COUNT", "0")
        token = uuid.uuid4().hex
        return cls(socket.gethostname(), os.getpid(), born(os.getpid()), boot(), token, now, now, job, restart)

    def gone(self) -> bool:
        """Whether this driver certainly or, on another host, by its silence no longer runs."""
        same_job = self.job and self.job == os.environ.get("SLURM_JOB_ID")
        if same_job and self.restart != os.environ.get("SLURM_RESTART_COUNT", "0"):
            return True
        if self.host != socket.gethostname():
            return time.time() - self.heartbeat > STALE
        return self.boot != boot() or born(self.pid) != self.born

    def text(self) -> str:
        return f"host {self.host}, pid {self.pid}, since {time.time() - self.since:.0f} s"


def boot() -> str:
    """Identity of this boot of the machine, empty where the system does not tell."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def born(pid: int) -> str:
    """Start time of a live process (clock ticks since boot); ``dead``; ``alive`` where the system tells no more."""
    with suppress(OSError):
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "dead" if state in "ZX" else rest[18]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "dead"
    except (PermissionError, OverflowError):
        pass
    return "alive"


@contextmanager
def locked(rundir: Path) -> Iterator[None]:
    """Serialise changes of the lease. Where a file system has no locks, the lease itself must do."""
    handle = os.open(rundir / "lease.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StorageFailure(f"{rundir}/lease.lock: held for more than {LOCK_WAIT:.0f} s") from None
                time.sleep(0.02)
            except OSError:
                break
        yield
    finally:
        os.close(handle)


def holder(rundir: Path) -> Holder | None:
    """Who holds the lease, None where nobody does. A lease that cannot be read counts as nobody's."""
    try:
        body = json.loads(read_file(rundir, NAME, 2**16))
        return Holder(
            str(body["host"]), int(body["pid"]), str(body["born"]), str(body["boot"]), str(body["token"]),
            float(body["since"]), float(body["heartbeat"]), str(body["job"]), str(body["restart"]),
        )  # fmt: skip
    except (StorageFailure, ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None


class Lease:
    """The right to commit, held by a heartbeat until ``release``."""

    def __init__(self, rundir: Path) -> None:
        self.rundir, self.mine = rundir, Holder.me()
        with locked(rundir):
            other = holder(rundir)
            if other is not None and not other.gone():
                raise StorageFailure(
                    f"{rundir}: another driver holds this run: {other.text()}, "
                    f"last heartbeat {max(time.time() - other.heartbeat, 0):.0f} s ago",
                    f"wait for it or stop it; a driver that died is replaced at once on its own host, "
                    f"after {STALE:.0f} s from another one",
                )
            self._write()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="hpcms-lease", daemon=True)
        self._thread.start()

    def _write(self) -> None:
        body = asdict(self.mine) | {"heartbeat": time.time()}
        replace(self.rundir / NAME, json.dumps(body, indent=1).encode())

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            # a full disk or a lost lease is reported by the next commit; the heart only beats
            with suppress(StorageFailure, OSError), self.held():
                self._write()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Do something while the lease is certainly ours."""
        with locked(self.rundir):
            other = holder(self.rundir)
            if other is None or other.token != self.mine.token:
                raise StorageFailure(
                    f"{self.rundir}: this driver lost its lease" + (f" to {other.text()}" if other else ""),
                    "the other driver goes on with this run; nothing of it was overwritten",
                )
            yield

    def release(self) -> None:
        """Give the lease back; harmless when it is not ours any more."""
        self._stop.set()
        self._thread.join()
        with suppress(StorageFailure, OSError), self.held():
            (self.rundir / NAME).unlink()

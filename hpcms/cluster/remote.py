"""The executor on dask workers, wherever they run."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from hpcms.cluster import guard
from hpcms.cluster.blame import user_key
from hpcms.cluster.environment import numba_cache
from hpcms.cluster.hub import security
from hpcms.cluster.hubline import HubLine
from hpcms.cluster.logfile import RunLog
from hpcms.cluster.task import Ref, TaskError, pack, references, run
from hpcms.contracts import Ref as AnyRef
from hpcms.errors import DeadlineExceeded, Stopped, TaskFailed, WorkersLost

RESUME = "see log.txt of the run; resume goes on from the last committed step"
OPENING = 180.0  # s for the hub and its first worker to come up


@dataclass
class Settings:
    """How to bring the workers up. ``deaths``: workers that one task may kill; ``lost_after``: s without workers."""

    kind: str
    workers: int
    rundir: Path
    deaths: int = 3
    lost_after: float = 120.0
    tls: dict[str, str] | None = None
    profile: dict[str, Any] = field(default_factory=dict)


class RemoteExecutor:
    """See ``hpcms.contracts.Executor``. Not to be called from several threads at once."""

    def __init__(self, settings: Settings) -> None:
        self.workers = settings.workers
        self.retries_log: list[tuple[str, str]] = []
        self._settings = settings
        self._state = threading.Condition()  # guards what follows; events of the hub and of tasks notify it
        self._finished: set[str] = set()
        self._addresses: list[str] = []
        self._empty_since: float | None = time.monotonic()
        self._gone = ""
        self._ready = ""
        self._closing = False
        self._futures: dict[str, Future[Any]] = {}
        self._serial = itertools.count()
        self._waiting: list[tuple[Future[Any], bytes, list[Future[Any]]]] = []
        self._log = RunLog(settings.rundir)
        self._folder = Path(tempfile.mkdtemp(prefix=".cluster-", dir=settings.rundir))
        self._scratch = Path(tempfile.mkdtemp(prefix="hpcms-"))
        self._stack = contextlib.ExitStack()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        s = self._settings
        variables = {guard.JOURNAL: str(self._folder), "NUMBA_CACHE_DIR": str(numba_cache())}
        orders = {"kind": s.kind, "workers": s.workers, "deaths": s.deaths, "tls": s.tls, "profile": s.profile,
                  "journal": str(self._folder), "scratch": str(self._scratch)}
        self._hub = HubLine(orders, variables, self._log.path, self._hear)
        self._stack.callback(self._hub.close, 10.0)
        self._wait(lambda: self._ready and self._addresses, OPENING, "the workers to start")
        self._client = Client(self._ready, security=security(s.tls), set_as_default=False, timeout=60,
                              direct_to_workers=True, name="hpcms")
        self._stack.callback(self._client.close, 5)
        self._loop: Any = self._client.loop

    def _hear(self, event: dict[str, Any]) -> None:
        """An event of the hub, in the listener's thread."""
        with self._state:
            if self._closing:
                return
            if "ready" in event:
                self._ready = event["ready"]
            if "workers" in event:
                self._addresses = event["addresses"]
                self._empty_since = None if self._addresses else self._empty_since or time.monotonic()
            if "lost" in event:
                self._note_loss(event)
            if "gone" in event:
                self._gone = event["gone"]
                self._log.line(self._gone)
            self._state.notify_all()

    def _note_loss(self, event: dict[str, Any]) -> None:
        running = event["running"]
        again = event["tasks"] + event["results"]
        self._log.line(
            f"worker {event['name']} ({event['lost']}) lost at task {running or 'none'}; "
            f"to be run again: {', '.join(again) or 'nothing'}"
        )
        for key in event["tasks"]:
            self.retries_log.append((key, f"worker {event['name']} died" + (" at it" if key == running else "")))
        for key in event["results"]:
            self.retries_log.append((key, f"its result was lost with worker {event['name']}"))

    # -- the contract

    def submit(self, function: Any, *args: Any, key: str, retries: int = 2) -> Ref:
        ref = Ref(key)
        if key in self._futures:
            return ref
        inputs = references(args)
        name = getattr(function, "__name__", type(function).__name__)
        packet = pack(key, function, args, inputs)
        sources = [self._futures[r.key] for r in inputs]
        # The number keeps a key that was released and is used again, perhaps with other arguments, apart.
        future = self._futures[key] = Future((name, key, next(self._serial)), self._client)
        if retries + 1 != self._settings.deaths:
            self._hub.tell({"limit": [key, retries + 1]})
        with self._state:
            first = not self._waiting
            self._waiting.append((future, packet, sources))
        if first:
            self._loop.add_callback(self._send)
        future.add_done_callback(self._on_done)
        return ref

    def _send(self) -> None:
        """Send all tasks submitted since the last call, in one message and in their order."""
        with self._state:
            tasks, self._waiting = self._waiting, []
        futures, packets, sources = zip(*tasks, strict=True)
        self._client.map(run, packets, sources, key=[f.key for f in futures], pure=False)

    def _on_done(self, future: Future[Any]) -> None:
        key = user_key(future.key)
        with self._state:
            if self._futures.get(key) is future:
                self._finished.add(key)
                self._state.notify_all()

    def result(self, ref: AnyRef, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        future = self._futures[ref.key]
        while True:
            self._wait(lambda: ref.key in self._finished, deadline - time.monotonic(), f"task {ref.key}")
            try:
                return future.result(timeout=max(0.001, min(deadline - time.monotonic(), 5.0)))
            except TimeoutError:
                if time.monotonic() >= deadline:
                    raise DeadlineExceeded(f"task {ref.key} gave no result within {timeout:g} s") from None
            except TaskError as error:
                self._log.line(f"task {error.key} failed:\n{error.trace}")
                raise TaskFailed(error.key, error.cause) from error.error
            except KilledWorker as error:
                raise self._poison(user_key(error.task)) from None
            except CancelledError:
                # dask cancels what it waits for when the connection breaks; the hub's listener knows why.
                with contextlib.suppress(DeadlineExceeded):
                    self._wait(lambda: False, 10.0, "the reason")
                raise Stopped(f"the scheduler dropped task {ref.key}", hint=RESUME) from None

    def _poison(self, key: str) -> TaskFailed:
        cause = f"it killed {self._settings.deaths} workers in a row and is not run again"
        self._log.line(f"task {key}: {cause}")
        return TaskFailed(key, cause, poison=True)

    def done(self, refs: Iterable[AnyRef], timeout: float) -> list[AnyRef]:
        wanted = list(refs)
        found: list[AnyRef] = []

        def some() -> bool:
            found[:] = [r for r in wanted if r.key in self._finished]
            return bool(found) or not wanted

        self._wait(some, timeout, f"one of {len(wanted)} tasks")
        return found

    def release(self, refs: Iterable[AnyRef]) -> None:
        for ref in refs:
            future = self._futures.pop(ref.key, None)
            if future is not None:
                future.release()
            with self._state:
                self._finished.discard(ref.key)

    def describe(self) -> dict[str, Any]:
        return {"kind": self._settings.kind, "workers": self.workers, "addresses": list(self._addresses),
                "versions": self._log.versions()}

    def close(self) -> None:
        with self._state:
            self._closing = True
        self._futures.clear()
        self._stack.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._log.close()

    def __enter__(self) -> RemoteExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- waiting

    def _wait(self, ready: Callable[[], Any], timeout: float, what: str) -> None:
        """Sleep until ``ready()``; the end of the hub, of all workers, or of the patience wakes with an error."""
        deadline = time.monotonic() + timeout
        with self._state:
            while not ready():
                now = time.monotonic()
                self._check_alive(now)
                if now >= deadline:
                    raise DeadlineExceeded(f"waited {timeout:g} s for {what}", hint="see log.txt of the run")
                end = deadline if self._empty_since is None else min(deadline, self._lost_at())
                self._state.wait(end - now)

    def _lost_at(self) -> float:
        patience = self._settings.lost_after if self._ready else OPENING
        return (self._empty_since or 0.0) + patience

    def _check_alive(self, now: float) -> None:
        if self._gone:
            raise Stopped(self._gone, hint=RESUME)
        if self._empty_since is not None and now >= self._lost_at():
            raise WorkersLost(f"no worker was left for {self._settings.lost_after:g} s",
                              hint=RESUME)


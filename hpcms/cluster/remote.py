"""The executor on dask workers, wherever they run."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from distributed import Client, Future
from distributed.protocol import pickle
from distributed.scheduler import KilledWorker

from hpcms.cluster import guard
from hpcms.cluster.blame import user_key
from hpcms.cluster.certificates import issue
from hpcms.cluster.environment import cores
from hpcms.cluster.hubline import HubLine
from hpcms.cluster.jobs import cancel
from hpcms.cluster.logfile import RunLog
from hpcms.cluster.node import security
from hpcms.cluster.ref import Ref, TaskError, references, to_driver
from hpcms.cluster.task import ANSWER, SUBMIT, pack
from hpcms.contracts import Ref as AnyRef
from hpcms.errors import DeadlineExceeded, HpcmsError, ResourceFailure, Stopped, TaskFailed, WorkersLost

WORD = 5.0  # s until the hub has told what the scheduler has
RESUME = "see log.txt of the run; resume goes on from the last committed step"


@dataclass
class Settings:
    """How to bring the workers up.

    ``deaths``: workers that one task may kill. Seconds: ``opening`` for the first worker to come, ``lost_after``
    without any worker until we give up, ``hung_after`` without a sign of life until a worker is killed.
    """

    kind: str
    workers: int
    rundir: Path
    deaths: int = 3
    opening: float = 180.0
    lost_after: float = 120.0
    hung_after: float = 30.0
    profile: dict[str, Any] = field(default_factory=dict)


class _LossError(Exception):
    """A worker was lost during an exchange, which may have been with that worker."""


class RemoteExecutor:
    """See ``hpcms.contracts.Executor``. To be called from one thread at a time."""

    clock = staticmethod(time.time)

    def __init__(self, settings: Settings) -> None:
        self.workers = settings.workers
        self.retries_log: list[tuple[str, str]] = []
        self._settings = settings
        self._state = threading.Condition()  # guards what follows; events of the hub and of tasks notify it
        self._finished: set[str] = set()
        self._addresses: dict[str, int] = {}  # of the workers, with their processes
        self._empty_since: float | None = time.monotonic()
        self._patience = settings.opening
        self._gone = self._ready = self._failure = self._refused = ""
        self._closing = False
        self._lost: set[str] = set()  # addresses of workers
        self._jobs: list[str] = []
        self._waiting: list[tuple[Any, bytes, list[Any], str]] = []  # tasks for the scheduler, see ``BlamingScheduler``
        self._places: dict[str, str] = {}  # by process: the worker's address
        self._released: list[Any] = []  # keys that nobody needs any more, not yet told
        self._answers: dict[str, bytes] = {}  # what came along with the word that a task is done
        self._futures: dict[str, Future[Any]] = {}
        self._serial = itertools.count()
        self._stack = contextlib.ExitStack()
        self._log = RunLog(settings.rundir)
        self._stack.callback(self._log.close)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        s = self._settings
        scratch = tempfile.mkdtemp(prefix="hpcms-")
        folder = tempfile.mkdtemp(prefix=".cluster-", dir=s.rundir.resolve()) if s.kind == "slurm" else scratch
        for path in (folder, scratch):
            self._stack.callback(shutil.rmtree, path, ignore_errors=True)
        tls = issue(Path(folder) / "tls")
        variables = {guard.JOURNAL: folder, guard.HUNG_AFTER: f"{s.hung_after:g}"}
        orders = {"kind": s.kind, "workers": s.workers, "deaths": s.deaths, "tls": tls, "profile": s.profile,
                  "logs": str(s.rundir.resolve() / "slurm"),
                  "folder": folder, "scratch": scratch, "variables": variables}  # fmt: skip
        if s.kind == "local" and s.workers > cores():
            self._log.line(f"{s.workers} workers share {cores()} cores")
        self._hub = HubLine(orders, variables, self._log.path, self._hear)
        self._stack.callback(self._hub.close, 15.0)
        try:
            self._wait(lambda: self._refused or (self._ready and self._addresses), s.opening, "the first worker")
        except Stopped as error:  # nothing has begun that could be resumed
            raise ResourceFailure(str(error), hint="see log.txt of the run") from None
        if not self._addresses:
            raise ResourceFailure(f"no workers from SLURM: {self._refused}", hint="correct the profile")
        self._patience = s.lost_after
        self._client = Client(self._ready, security=security(tls), set_as_default=False, timeout=60,
                              direct_to_workers=True, name="hpcms")  # fmt: skip
        self._listen_to_client()
        link: Any = self._client.scheduler_comm
        link.interval = 0.0  # s; by default a message waits 10 ms after the one before
        self._stack.callback(self._close_client)
        self._loop: Any = self._client.loop

    # -- what the hub says, in the listener's thread

    def _hear(self, event: dict[str, Any]) -> None:
        with self._state:
            if self._closing:
                return
            self._ready = event.get("ready", self._ready)
            if "addresses" in event:
                self._addresses = event["addresses"]
                # Processes of two nodes may have the same number; a task at the wrong one of them is only slower.
                self._places = {str(pid): address for address, pid in self._addresses.items()}
                self._empty_since = None if self._addresses else self._empty_since or time.monotonic()
            if "job" in event:
                self._jobs.append(event["job"])
            if "lost" in event:
                self._note_loss(event)
            if "refused" in event:
                self._refused = event["refused"]
                self._log.line(f"no workers from SLURM: {self._refused}")
            if "failed" in event:
                self._failure = f": {event['failed']}"
            if "gone" in event:
                self._gone = event["gone"] + self._failure
                self._log.line(self._gone)
            self._state.notify_all()

    def _note_loss(self, event: dict[str, Any]) -> None:
        self._lost.add(event["lost"])
        running, name = event["running"], event["name"]
        keys = event["tasks"] + event["results"]
        again = ", ".join(keys[:20]) + (f" and {len(keys) - 20} more" if len(keys) > 20 else "") or "nothing"
        self._log.line(f"worker {name} ({event['lost']}) lost at task {running or 'none'}; to be run again: {again}")
        for key in event["tasks"]:
            self.retries_log.append((key, f"worker {name} died at it" if key == running else f"worker {name} died"))
        for key in event["results"]:
            self.retries_log.append((key, f"its result was lost with worker {name}"))

    # -- the contract

    def submit(self, function: Any, *args: Any, key: str, retries: int = 2, near: str = "") -> Ref:
        """``retries``: how often it is run again when its worker died at it; an exception is final."""
        ref = Ref(key)
        if key in self._futures:
            return ref
        inputs = references(args)
        packet, sources = pack(key, function, args, inputs), [self._futures[r.key].key for r in inputs]
        future = self._futures[key] = self._future(function, key)
        if retries + 1 != self._settings.deaths:
            self._hub.tell({"limit": [key, retries + 1]})
        with self._state:
            first = not self._waiting
            self._waiting.append((future.key, packet, sources, self._places.get(near.rpartition(":")[2], "")))
        if first:
            self._loop.add_callback(self._send)
        return ref

    def _listen_to_client(self) -> None:
        """Hear the scheduler's words in the client's loop, without the thread and the task that dask has for callbacks."""
        handlers: Any = self._client._stream_handlers
        handlers[ANSWER] = self._on_done
        for word in ("key-in-memory", "task-erred", "cancelled-keys"):

            def heard(handler: Callable[..., Any] = handlers[word], **message: Any) -> None:
                handler(**message)
                for key in message.get("keys") or (message["key"],):
                    self._on_done(key)

            handlers[word] = heard

    def _future(self, function: Any, key: str) -> Future[Any]:
        # The number keeps a key that was released and is used again, perhaps with other arguments, apart.
        name = getattr(function, "__name__", type(function).__name__)
        return Future((name, key, next(self._serial)), self._client)

    def _send(self) -> None:
        """Send all that was submitted and released since the last call in one message; runs in the loop."""
        with self._state:
            tasks, self._waiting = self._waiting, []
            gone, self._released = self._released, []
        for key in gone:
            self._client.refcount.pop(key, None)
            if state := self._client.futures.pop(key, None):
                state.cancel()
        if tasks or gone:
            self._client._send_to_scheduler({"op": SUBMIT, "tasks": tasks, "gone": gone})

    def _on_done(self, key: Any, answer: bytes = b"") -> None:
        """It has a result (``answer``: what we get of it, if that came along), or failed, or was dropped by the scheduler."""
        name = user_key(key)
        with self._state:
            future = self._futures.get(name)
            if future is not None and future.key == key:
                if answer:
                    self._answers[name] = answer
                self._finished.add(name)
                self._state.notify_all()

    def result(self, ref: AnyRef, timeout: float) -> Any:
        return self.results([ref], timeout)[0]

    def results(self, refs: Sequence[AnyRef], timeout: float) -> list[Any]:
        """The values of many Refs. What has not come by itself is asked for in one exchange."""
        what = f"task {refs[0].key}" if len(refs) == 1 else f"{len(refs)} tasks"
        deadline = time.monotonic() + timeout
        missing = [r.key for r in refs]

        def complete() -> bool:
            while missing and missing[-1] in self._finished:
                missing.pop()
            return not missing

        self._wait(complete, timeout, what)
        asked = {r.key: self._futures[r.key] for r in refs if r.key not in self._answers}
        values = dict(zip(asked, self._asked(list(asked.values()), deadline, what), strict=True)) if asked else {}
        return [to_driver(values[r.key]) if r.key in values else pickle.loads(self._answers[r.key]) for r in refs]

    def _asked(self, futures: list[Future[Any]], deadline: float, what: str) -> list[Any]:
        """Results that are with their workers."""
        for future in futures:  # in this order: which failure is told must not depend on which came first
            if future.status == "error":
                raise self._failed(future.exception())
        while True:
            # dask knocks at the door of a dead worker until its own timeout; it is quicker to ask anew.
            with contextlib.suppress(_LossError):
                gathered = self._client.gather(futures, asynchronous=True, direct=True)
                return list(self._await(gathered, deadline - time.monotonic(), what))

    def _failed(self, error: BaseException) -> HpcmsError:
        if isinstance(error, TaskError):
            self._log.line(f"task {error.key} failed:\n{error.trace}")
            failed = TaskFailed(error.key, error.cause)
            failed.__cause__ = error.error
            return failed
        if isinstance(error, KilledWorker):
            key, cause = user_key(error.task), "it killed its worker again and again and is not run any more"
            # The hub tells of the loss on another line, which may be the slower one.
            with contextlib.suppress(HpcmsError):
                self._wait(lambda: error.last_worker.address in self._lost, WORD, "the loss of a worker")
            self._log.line(f"task {key}: {cause}")
            return TaskFailed(key, cause, poison=True)
        return Stopped(f"the scheduler dropped a task: {type(error).__name__}: {error}", hint=RESUME)

    def _await(self, work: Coroutine[Any, Any, Any], timeout: float, what: str) -> Any:
        """The result of a coroutine in the client's loop, unless something breaks meanwhile."""
        losses = len(self._lost)
        running = asyncio.run_coroutine_threadsafe(work, self._loop.asyncio_loop)
        running.add_done_callback(lambda _: self._notify())
        try:
            self._wait(lambda: running.done() or len(self._lost) != losses, timeout, what)
            if not running.done():
                raise _LossError
            return running.result()
        except (TaskError, KilledWorker) as error:  # a lost result could not be made again
            raise self._failed(error) from None
        except (OSError, CancelledError) as error:
            # The connection broke, or dask dropped what it waited for: the hub's listener learns why.
            with contextlib.suppress(DeadlineExceeded):
                self._wait(lambda: False, 10.0, "the reason")
            raise Stopped(f"no connection to the scheduler while waiting for {what}: {error}", hint=RESUME) from None
        finally:
            running.cancel()

    def _notify(self) -> None:
        with self._state:
            self._state.notify_all()

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
            with self._state:
                future = self._futures.pop(ref.key, None)
                if future is not None:
                    future._cleared = True  # ``_send`` says so, with the tasks that are submitted next
                    self._released.append(future.key)
                self._finished.discard(ref.key)
                self._answers.pop(ref.key, None)

    def describe(self) -> dict[str, Any]:
        return {"kind": self._settings.kind, "workers": self.workers, "addresses": list(self._addresses),
                "versions": self._log.versions()}  # fmt: skip

    def close(self) -> None:
        with self._state:
            self._closing = True
        self._futures.clear()
        self._stack.close()
        if self._gone and self._jobs:  # the hub could not do it itself
            cancel(self._jobs)

    def _close_client(self) -> None:
        with contextlib.suppress(OSError):  # there may be nobody left to say goodbye to
            self._client.close(2 if self._gone else 5)

    def __enter__(self) -> RemoteExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- waiting

    def _wait(self, ready: Callable[[], Any], timeout: float, what: str) -> None:
        """Sleep until ``ready()``; the end of the hub, of all workers, or of the patience wakes with an error."""
        deadline = time.monotonic() + timeout
        with self._state:
            if self._released and not self._waiting and not self._gone:
                self._loop.add_callback(self._send)
            while self._gone or not ready():
                if self._gone:
                    raise Stopped(self._gone, hint=RESUME)
                now = time.monotonic()
                lost = None if self._empty_since is None else self._empty_since + self._patience
                if lost is not None and now >= lost:
                    raise WorkersLost(f"there was no worker for {self._patience:g} s", hint=RESUME)
                if now >= deadline:
                    raise DeadlineExceeded(f"waited {timeout:g} s for {what}", hint="see log.txt of the run")
                self._state.wait((deadline if lost is None else min(deadline, lost)) - now)

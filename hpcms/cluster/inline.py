"""The executor that runs each task at once, in this process: the specification of the others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from hpcms.cluster.logfile import RunLog
from hpcms.cluster.ref import Ref, TaskError, exchange, failure, references, to_driver
from hpcms.contracts import Ref as AnyRef
from hpcms.errors import TaskFailed


class InlineExecutor:
    """See ``hpcms.contracts.Executor``. A task that kills its process kills the driver here."""

    workers = 1
    clock = staticmethod(time.time)

    def __init__(self, rundir: Path) -> None:
        self.retries_log: list[tuple[str, str]] = []
        self._values: dict[str, Any] = {}
        self._failed: dict[str, TaskError] = {}
        self._log = RunLog(rundir)

    def submit(self, function: Any, *args: Any, key: str, retries: int = 2, near: str = "") -> Ref:
        if key in self._values or key in self._failed:
            return Ref(key)
        broken = [self._failed[r.key] for r in references(args) if r.key in self._failed]
        if broken:
            self._failed[key] = broken[0]
            return Ref(key)
        values = exchange(args, lambda v: self._values[v.key] if isinstance(v, Ref) else v)
        try:
            self._values[key] = function(*values)
        except (Exception, SystemExit) as error:
            self._failed[key] = failure(key, error)
            self._log.line(f"task {key} failed:\n{self._failed[key].trace}")
        return Ref(key)

    def result(self, ref: AnyRef, timeout: float) -> Any:
        if ref.key in self._failed:
            failed = self._failed[ref.key]
            raise TaskFailed(failed.key, failed.cause) from failed.error
        return to_driver(self._values[ref.key])

    def value(self, ref: AnyRef) -> Any:
        """The whole result, None where there is none."""
        return self._values.get(ref.key)

    def results(self, refs: Sequence[AnyRef], timeout: float) -> list[Any]:
        return [self.result(ref, timeout) for ref in refs]

    def done(self, refs: Iterable[AnyRef], timeout: float) -> list[AnyRef]:
        return list(refs)

    def release(self, refs: Iterable[AnyRef]) -> None:
        for ref in refs:
            self._values.pop(ref.key, None)
            self._failed.pop(ref.key, None)

    def describe(self) -> dict[str, Any]:
        return {"kind": "inline", "workers": 1, "addresses": [], "versions": self._log.versions()}

    def close(self) -> None:
        self._values.clear()
        self._failed.clear()
        self._log.close()

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

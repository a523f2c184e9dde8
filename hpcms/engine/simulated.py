"""An executor whose workers exist on paper only: every task is really run, in this process, and simulated clocks say when.

A task is run when it is submitted, from the same inputs that it would have on a cluster; it ends, by the clock of its worker,
after the CPU time that it took. The driver sees a result no earlier than that, so the order of arrival acts on the iterates as
it would in a real run. The driver's own CPU time, coarse solves included, passes on its clock while the workers go on.

Where workers, driver and scheduler share cores, what the driver, the scheduler and messages use is not there for the tasks, and
the other way round: all clocks then run slower, by a lag that grows with that use.

Workers take tasks in the order of submission. A task goes to the worker that it is to be near, else to that which holds its
inputs, unless another one could start it sooner with the messages counted in, and the time until somebody sees that, and it
would wait for more than twice its length. What a machine takes for messages and dispatch is in ``hpcms.plan.machine``.
"""

from __future__ import annotations

import bisect
import dataclasses
import heapq
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from hpcms.cluster.inline import InlineExecutor
from hpcms.cluster.ref import Ref, references
from hpcms.contracts import Ref as AnyRef
from hpcms.contracts import TaskRecord
from hpcms.errors import DeadlineExceeded
from hpcms.plan.machine import Machine

STEAL = 0.1  # s until an idle worker takes what waits at another one: dask looks so often
WORTH = 2.0  # times its own length that a task must have to wait before it is moved from where its inputs are


@dataclasses.dataclass(frozen=True)
class _Run:
    """When and where a task ran, by the simulated clocks; ``size``: bytes of its result."""

    start: float
    end: float
    worker: int
    size: int


class SimulatedExecutor:
    """See ``hpcms.contracts.Executor``. ``first_task``: seconds that each worker takes to load its kernels."""

    def __init__(self, machine: Machine, rundir: Path, first_task: float = 0.0) -> None:
        self.machine, self.workers, self.first_task = machine, machine.workers, first_task
        self.retries_log: list[tuple[str, str]] = []
        self._inner = InlineExecutor(rundir)
        self._runs: dict[str, _Run] = {}
        self._free = [(0.0, w) for w in range(self.workers)]  # a heap; entries that are out of date are dropped
        self._at = [0.0] * self.workers  # from when on each worker is free
        self._servers = [0.0] * max(machine.agents, 1)
        self._loaded: set[int] = set()
        self._now, self._mark = 0.0, time.process_time()
        self._lag = [(0.0, 0.0)]  # from when on, and by how much the clocks are late in all
        self._epoch = time.time()

    # ------------------------------------------------------------------ clocks

    def clock(self) -> float:
        return self._wall(self._driver())

    def _driver(self) -> float:
        """The driver's time: what its own work has taken since the last look is added."""
        mark = time.process_time()
        self._share(mark - self._mark)
        self._now, self._mark = self._now + mark - self._mark, mark
        return self._now

    def _share(self, seconds: float) -> None:
        """What is not a task uses a core for so long while workers do."""
        if self.machine.cores:
            busy = sum(at > self._now for at in self._at)
            late = seconds * ((busy + 1) / self.machine.cores - 1.0)
            if late > 0.0:
                self._lag.append((self._now, self._lag[-1][1] + late))

    def _wall(self, at: float) -> float:
        """Seconds since the epoch."""
        return self._epoch + at + self._lag[max(bisect.bisect(self._lag, (at, np.inf)) - 1, 0)][1]

    def _wait(self, until: float) -> None:
        self._now = max(self._driver(), until)

    # ------------------------------------------------------------------ tasks

    def submit(self, function: Any, *args: Any, key: str, retries: int = 2, near: str = "") -> Ref:
        if key in self._runs:
            return Ref(key)
        now = self._driver()
        began = time.perf_counter()
        ref = self._inner.submit(function, *args, key=key, retries=retries)
        used = time.process_time() - self._mark
        self._mark += used  # the driver has not spent that
        cost = min(used, time.perf_counter() - began)  # threads that write files side by side use more than they last
        self._share(self.machine.link)
        self._runs[key] = self._schedule(now, cost, [self._runs[r.key] for r in references(args)], ref, near)
        return ref

    def _schedule(self, now: float, cost: float, inputs: Sequence[_Run], ref: Ref, near: str) -> _Run:
        m = self.machine
        there = max((run.end for run in inputs), default=0.0)
        while self._at[self._free[0][1]] != self._free[0][0]:
            heapq.heappop(self._free)
        size = sum(run.size for run in inputs)
        moved = there + (m.latency + size / m.bandwidth if inputs else 0.0)
        worker, start = self._free[0][1], max(self._free[0][0], moved)
        if inputs or near:
            largest = max(inputs, key=lambda run: run.size).worker if inputs else -1
            owner = int(near.rpartition(":")[2]) if near else largest
            own = max(self._at[owner], there if owner == largest else moved)
            stays = own <= start + max(STEAL, WORTH * cost)
            worker, start = (owner, own) if stays else (worker, start + STEAL)
        agent = worker % len(self._servers)
        self._servers[agent] = told = max(now, self._servers[agent]) + 1.0 / m.dispatch
        start = max(start, told + m.latency)
        value = self._inner.value(ref)
        if worker not in self._loaded and hasattr(value, "to_driver"):  # of a fine model, not an image that is read
            self._loaded.add(worker)
            cost += self.first_task
        self._at[worker] = start + cost + m.overhead
        heapq.heappush(self._free, (self._at[worker], worker))
        return _Run(start, start + cost, worker, nbytes(value))

    def _end(self, ref: AnyRef) -> float:
        return self._runs[ref.key].end + self.machine.latency

    # ------------------------------------------------------------------ results

    def result(self, ref: AnyRef, timeout: float) -> Any:
        return self.results([ref], timeout)[0]

    def results(self, refs: Sequence[AnyRef], timeout: float) -> list[Any]:
        self._wait(max((self._end(ref) for ref in refs), default=0.0))
        self._share(self.machine.turn)
        return [stamped(self._inner.result(ref, timeout), self._record) for ref in refs]

    def done(self, refs: Iterable[AnyRef], timeout: float) -> list[AnyRef]:
        refs, now = list(refs), self._driver()
        first = min((self._end(ref) for ref in refs), default=now)
        if first > now + timeout:
            self._wait(now + timeout)
            raise DeadlineExceeded(f"nothing ended within {timeout} s of simulated time")
        self._wait(first)
        return [ref for ref in refs if self._end(ref) <= self._now]

    def _record(self, record: TaskRecord) -> TaskRecord:
        """The record with the simulated clocks on it."""
        run = self._runs.get(record.key)
        if run is None:
            return record
        start, end = self._wall(run.start), self._wall(run.end)
        return dataclasses.replace(
            record, worker=f"simulated:{run.worker}", start=start, end=end, cpu_s=run.end - run.start
        )

    def release(self, refs: Iterable[AnyRef]) -> None:
        self._inner.release(refs)  # when and where they ran is kept: later tasks may ask

    def describe(self) -> dict[str, Any]:
        return {**self._inner.describe(), "kind": "simulated", "workers": self.workers}

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> SimulatedExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def stamped(value: Any, stamp: Callable[[TaskRecord], TaskRecord]) -> Any:
    """The same with ``stamp`` applied to a record in it."""
    if isinstance(value, TaskRecord):
        return stamp(value)
    return tuple(stamped(v, stamp) for v in value) if type(value) is tuple else value


def nbytes(value: Any) -> int:
    """Bytes of the arrays in a result."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(nbytes(v) for v in value.values())
    if isinstance(value, tuple | list):
        return sum(nbytes(v) for v in value)
    return nbytes(vars(value)) if dataclasses.is_dataclass(value) and not isinstance(value, TaskRecord) else 0

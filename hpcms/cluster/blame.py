"""dask's scheduler, as this software needs it: it blames the death of a worker on the task that it was at, and on no other;
it takes tasks from the driver without a graph around them; and it hands on what the driver gets of a result.

A fine task of 20 ms cannot afford the way of a graph (a layer, its expression, its materialisation and order, a thread for each),
nor a question for the result after the word that it is there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dask._task_spec import GraphNode, Task, TaskRef
from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

from hpcms.cluster import journal
from hpcms.cluster.task import ANSWER, SUBMIT, run

FOREIGN_DEATHS = 30  # a task that so many workers died around is given up whoever is to blame
PAUSE = 0.001  # s between two messages to a worker; dask waits 5 ms, which a sweep of short tasks does again and again


class Say(Protocol):
    def __call__(self, **event: Any) -> None: ...


def user_key(key: Any) -> str:
    """Our key from dask's, which is (function name, key, number)."""
    return str(key[1]) if isinstance(key, tuple) and len(key) == 3 else str(key)


class BlamingScheduler(Scheduler):
    """dask counts a death against all tasks assigned to a worker; here only the running one counts.

    ``deaths``: a task that killed so many workers is given up; ``limits`` overrides it by key.
    """

    def __init__(
        self, *args: Any, journal: Path, say: Say, deaths: int, limits: Mapping[str, int], **options: Any
    ) -> None:
        super().__init__(*args, allowed_failures=deaths - 1, **options)
        self._journal, self._say, self._deaths, self._limits = journal, say, deaths, limits
        self._around: Counter[str] = Counter()
        self.stream_handlers[SUBMIT] = self._submit

    def _submit(self, client: str, tasks: Sequence[tuple[Any, bytes, Sequence[Any], str]], gone: Sequence[Any]) -> None:
        """New tasks in their order: key, packet, keys of their inputs, address of the worker that it is to be near.

        Then ``gone``: keys of results that are not needed any more.
        """
        stimulus = f"{SUBMIT}-{time.time()}"
        if tasks:
            self._add(client, tasks, stimulus)
        if gone:
            self.client_releases_keys(keys=gone, client=client, stimulus_id=stimulus)

    def _add(self, client: str, tasks: Sequence[tuple[Any, bytes, Sequence[Any], str]], stimulus: str) -> None:
        graph: dict[Any, GraphNode] = {
            key: Task(key, run, packet, *map(TaskRef, inputs)) for key, packet, inputs, _ in tasks
        }
        keys = set(graph)
        if self._find_lost_dependencies(graph, keys):
            self.report({"op": "cancelled-keys", "keys": keys, "reason": "lost dependencies"}, client=client)
            self.client_releases_keys(keys=keys, client=client, stimulus_id=stimulus)
            return
        near = {key: [address] for key, _, _, address in tasks if address}
        self._create_taskstate_from_graph(
            dsk=graph, keys=keys, ordered={key: i for i, key in enumerate(graph)}, client=client,
            annotations_by_type={"workers": near, "allow_other_workers": dict.fromkeys(near, True)} if near else {},
            global_annotations=None, stimulus_id=stimulus, submitting_task=None, span_metadata={"collections": []},
            start=time.time(),
        )  # fmt: skip

    def stimulus_task_finished(
        self, worker: str, stimulus_id: str, key: Any, run_id: int, metadata: dict[str, Any], **more: Any
    ) -> Any:
        answer = metadata.pop(ANSWER, None)
        found = super().stimulus_task_finished(worker, stimulus_id, key, run_id, metadata, **more)
        ts = self.tasks.get(key)
        if answer is not None and ts is not None and ts.state == "memory":
            for client in ts.who_wants or ():  # before dask's own word that the task is done
                found[1].setdefault(client.client_key, []).insert(0, {"op": ANSWER, "key": key, "answer": answer})
        return found

    async def remove_worker(self, address: str, *, stimulus_id: str, expected: bool = False, close: bool = True) -> Any:
        ws = self.workers.get(self.coerce_address(address))
        if ws is not None:
            running = journal.read(self._journal, ws.address)
            waiting = sorted(user_key(ts.key) for ts in ws.processing)
            lost = sorted(user_key(ts.key) for ts in ws.has_what if len(ts.who_has or ()) == 1)
            if not expected:
                self._judge(ws, running)
            self._say(lost=ws.address, name=str(ws.name), running=running, tasks=waiting, results=lost)
        return await super().remove_worker(address, stimulus_id=stimulus_id, expected=expected, close=close)

    def _judge(self, ws: Any, running: str | None) -> None:
        """Set the counts so that dask's own increment by one gives what is just."""
        for ts in ws.processing:
            key = user_key(ts.key)
            self._around[key] += 1
            if self._around[key] >= FOREIGN_DEATHS:
                ts.suspicious = self._deaths
            elif running is not None and journal.clip(key) != running:
                ts.suspicious -= 1
            elif key in self._limits and ts.suspicious + 1 >= self._limits[key]:
                ts.suspicious = self._deaths


class Headcount(SchedulerPlugin):
    """Tells the driver how many workers there are, each time that changes."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        scheduler.stream_comms[worker].interval = PAUSE
        self._tell(scheduler)

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        self._tell(scheduler)

    def _tell(self, scheduler: Scheduler) -> None:
        """Each worker's address and process."""
        self._say(workers=len(scheduler.workers), addresses={a: w.pid for a, w in sorted(scheduler.workers.items())})

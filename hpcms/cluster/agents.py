"""One agent a worker: it owns its batches and their state and works off a queue of its own.

A scheduler that hands out every task costs about a millisecond a task, in one place; with millions of regions that place holds
everybody up. Here all tasks of one batch (the number at the end of a key) belong to one agent. What is submitted between two
questions for results travels as a few bundles to each agent: the scheduler sees bundles, whose number grows with the workers
and not with the regions. A bundle is a task like others, so one that is lost with its worker is run again, and an idle worker
may take one over.

Results stay in their bundle, where it was run; what is asked for is taken out there and travels alone.
"""

from __future__ import annotations

import itertools
import logging
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar

from hpcms.cluster.ref import Ref, TaskError, exchange, failure, references, to_driver
from hpcms.contracts import Executor
from hpcms.contracts import Ref as AnyRef
from hpcms.errors import TaskFailed

LOG = logging.getLogger("hpcms.cluster")
UNSENT = Ref("")
PIECES = 4  # bundles an agent gets at once, if it can: an idle worker may take one over
MOST = 256  # batches of a bundle


@dataclass(frozen=True)
class Item:
    """A task in a bundle."""

    key: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    near: str = ""


@dataclass(frozen=True)
class Inside:
    """Stands for a result: of the same bundle, of another one (``source``: its number), or of a task in no bundle."""

    key: str
    source: int

    OWN: ClassVar[int] = -1
    OUTER: ClassVar[int] = -2


def work_off(items: Sequence[Item], sources: Sequence[dict[str, Any]], outer: Mapping[str, Any]) -> dict[str, Any]:
    """Results of all items by key, on the worker; of one that failed, or that needs one that failed, the error."""
    found: dict[str, Any] = {}
    for item in items:
        try:
            found[item.key] = item.function(*_opened(item.args, found, sources, outer))
        except TaskError as error:
            found[item.key] = error
        except Exception as error:
            found[item.key] = failure(item.key, error)
    return found


def _opened(
    args: tuple[Any, ...], own: Mapping[str, Any], sources: Sequence[Mapping[str, Any]], outer: Mapping[str, Any]
) -> tuple[Any, ...]:
    def value(v: Any) -> Any:
        if not isinstance(v, Inside):
            return v
        got = (sources[v.source] if v.source >= 0 else own if v.source == Inside.OWN else outer)[v.key]
        if isinstance(got, TaskError):
            raise got
        return got

    return exchange(args, value)


def take_out(bundle: dict[str, Any], keys: Sequence[str]) -> list[Any]:
    """What the driver gets of some results of a bundle."""
    return [to_driver(bundle[key]) for key in keys]


def pieces(items: Sequence[Item]) -> list[list[Item]]:
    """``PIECES`` bundles, or more, of about equal numbers of batches; the tasks of a batch stay together, in their order."""
    batches: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        batches[_number(item.key)].append(item)
    groups, count = list(batches.values()), min(max(PIECES, math.ceil(len(batches) / MOST)), len(batches))
    cuts = [round(i * len(groups) / count) for i in range(count + 1)]
    return [[item for group in groups[a:b] for item in group] for a, b in itertools.pairwise(cuts)]


def _number(key: str) -> int:
    """The batch that a key ends with, or -1."""
    tail = key.rpartition("/")[2]
    return int(tail) if tail.isdigit() else -1


class Agents:
    """See ``hpcms.contracts.Executor``. ``inner`` runs the bundles, and as they are the tasks of no batch."""

    def __init__(self, inner: Executor) -> None:
        self.inner, self.workers, self.retries_log = inner, inner.workers, inner.retries_log
        self._outbox: dict[int, list[Item]] = defaultdict(list)
        self._home: dict[str, Ref] = {}  # the bundle of each task that was sent
        self._items: dict[str, dict[str, Item]] = {}  # by bundle: the tasks whose results may still be asked for
        self._serial = itertools.count()

    def clock(self) -> float:
        return self.inner.clock()

    # ------------------------------------------------------------------ sending

    def submit(self, function: Any, *args: Any, key: str, retries: int = 2, near: str = "") -> AnyRef:
        batch, inputs = _number(key), [ref for ref in references(args) if ref.key in self._home]
        if batch < 0 and not inputs:
            return self.inner.submit(function, *args, key=key, retries=retries, near=near)
        if key not in self._home:
            if any(self._home[ref.key] is UNSENT and _number(ref.key) != batch for ref in inputs):
                self._flush()  # a bundle may need only what is in itself or was sent before
            self._outbox[max(batch, 0) % self.workers].append(Item(key, function, args, near))
            self._home[key] = UNSENT
        return Ref(key)

    def _flush(self) -> None:
        """Send what was submitted since, as bundles."""
        boxes, self._outbox = self._outbox, defaultdict(list)
        for agent, items in sorted(boxes.items()):
            for piece in pieces(items):
                self._send(agent, piece)

    def _send(self, agent: int, items: list[Item]) -> None:
        own = {item.key for item in items}
        sources: dict[str, int] = {}  # other bundles that these items need
        outer: dict[str, Ref] = {}

        def swap(v: Any) -> Any:
            if not isinstance(v, Ref):
                return v
            if v.key in own:
                return Inside(v.key, Inside.OWN)
            if v.key in self._home:
                return Inside(v.key, sources.setdefault(self._home[v.key].key, len(sources)))
            return Inside(outer.setdefault(v.key, v).key, Inside.OUTER)

        closed = [Item(i.key, i.function, exchange(i.args, swap)) for i in items]
        near = statistics.mode(i.near for i in items)
        name = f"agent-{agent}.{next(self._serial)}"
        bundle = Ref(self.inner.submit(work_off, closed, [Ref(k) for k in sources], outer, key=name, near=near).key)
        for key in own:
            self._home[key] = bundle
        self._items[name] = {item.key: item for item in items}

    def _one_by_one(self, bundle: str) -> None:
        """A bundle kills its workers: send its tasks each alone, so that the one to blame is found."""
        for item in self._items.pop(bundle).values():
            self._send(max(_number(item.key), 0) % self.workers, [item])

    # ------------------------------------------------------------------ results

    def result(self, ref: AnyRef, timeout: float) -> Any:
        return self.results([ref], timeout)[0]

    def results(self, refs: Sequence[AnyRef], timeout: float) -> list[Any]:
        self._flush()
        try:
            found = self._taken(refs, timeout)
        except TaskFailed as error:
            items = self._items.get(error.key) if error.poison else None
            if items is None:
                raise
            if len(items) == 1:
                raise TaskFailed(next(iter(items)), error.cause, poison=True) from error
            self._one_by_one(error.key)
            return self.results(refs, timeout)
        for ref in refs:  # in this order: which failure is told must not depend on which came first
            value = found[ref.key]
            if isinstance(value, TaskError):
                LOG.info("task %s failed:\n%s", value.key, value.trace)
                raise TaskFailed(value.key, value.cause) from value.error
        return [found[ref.key] for ref in refs]

    def _taken(self, refs: Sequence[AnyRef], timeout: float) -> dict[str, Any]:
        """Values by key: one exchange for all that is in bundles, one for the rest."""
        wanted: dict[str, list[str]] = defaultdict(list)
        direct = [ref for ref in refs if ref.key not in self._home]
        for ref in refs:
            if ref.key in self._home:
                wanted[self._home[ref.key].key].append(ref.key)
        taken = [
            self.inner.submit(take_out, Ref(bundle), keys, key=f"{bundle}.out-{next(self._serial)}")
            for bundle, keys in wanted.items()
        ]
        try:
            values = self.inner.results(taken, timeout) if taken else []
            found = {
                k: v for keys, vs in zip(wanted.values(), values, strict=True) for k, v in zip(keys, vs, strict=True)
            }
            rest = self.inner.results(direct, timeout) if direct else []
        finally:
            self.inner.release(taken)
        return found | {ref.key: value for ref, value in zip(direct, rest, strict=True)}

    def done(self, refs: Iterable[AnyRef], timeout: float) -> list[AnyRef]:
        self._flush()
        refs = list(refs)
        at = {ref.key: self._home.get(ref.key, ref) for ref in refs}
        ready = {r.key for r in self.inner.done(list({r.key: r for r in at.values()}.values()), timeout)}
        return [ref for ref in refs if at[ref.key].key in ready]

    def release(self, refs: Iterable[AnyRef]) -> None:
        """A bundle goes when nothing in it is needed any more."""
        self._flush()
        for ref in refs:
            home = self._home.pop(ref.key, None)
            if home is None:
                self.inner.release([ref])
                continue
            del self._items[home.key][ref.key]
            if not self._items[home.key]:
                del self._items[home.key]
                self.inner.release([home])

    def describe(self) -> dict[str, Any]:
        return {**self.inner.describe(), "agents": self.workers}

    def close(self) -> None:
        self.inner.close()

    def __enter__(self) -> Agents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""Where the time of the workers went that no task filled, from the task records of a run.

A gap of a worker ends with a task (or with the run). Up to the moment at which the inputs of that task are there, the worker
waits for them: for a coarse solve where one runs, for the store where a commit runs, else for other fine tasks (imbalance).
What is left of the gap after that moment is what the scheduler, the wire and the driver take.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence

from hpcms.contracts import TaskRecord

CAUSES = ("coarse", "imbalance", "io", "scheduler")
Spans = list[tuple[float, float]]


def idle(records: Iterable[TaskRecord], workers: int) -> dict[str, float]:
    """Idle seconds of all workers between the first task and the last, by cause. A driver that solves nothing fine is no worker.

    Workers that never had a task count as waiting for others (imbalance).
    """
    records = list(records)
    lanes: dict[str, list[TaskRecord]] = defaultdict(list)
    for r in records:
        lanes[r.worker].append(r)
    lanes = {w: rs for w, rs in lanes.items() if any(r.kind == "fine" for r in rs)}
    found = dict.fromkeys(CAUSES, 0.0)
    if not lanes:
        return found
    first, last = min(r.start for r in records), max(r.end for r in records)
    ends: dict[str, float] = {}
    for r in records:
        ends[r.key] = max(ends.get(r.key, 0.0), r.end)
    coarse, commits = (merged((r.start, r.end) for r in records if r.kind == k) for k in ("coarse", "commit"))
    for lane in lanes.values():
        for begin, end, ready in _gaps(lane, ends, first, last):
            ready = min(max(ready, begin), end)
            waited, stored = overlap(coarse, begin, ready), overlap(commits, begin, ready)
            stored = min(stored, ready - begin - waited)
            found["coarse"] += waited
            found["io"] += stored
            found["imbalance"] += ready - begin - waited - stored
            found["scheduler"] += end - ready
    found["imbalance"] += max(workers - len(lanes), 0) * (last - first)
    return found


def _gaps(
    lane: list[TaskRecord], ends: dict[str, float], first: float, last: float
) -> list[tuple[float, float, float]]:
    """Begin, end, and the time at which the inputs of the task that ends the gap were there."""
    gaps, at = [], first
    for r in sorted(lane, key=lambda r: r.start):
        if r.start > at:
            gaps.append((at, r.start, max((ends[i] for i in r.inputs if i in ends), default=first)))
        at = max(at, r.end)
    return [*gaps, (at, last, last)] if last > at else gaps


def merged(spans: Iterable[tuple[float, float]]) -> Spans:
    """The union of intervals, in order and apart."""
    out: Spans = []
    for a, b in sorted(spans):
        if out and a <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], b))
        else:
            out.append((a, b))
    return out


def overlap(spans: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """Seconds of [begin, end] that lie in the intervals of ``merged``."""
    at, total = max(bisect_left(spans, (begin, begin)) - 1, 0), 0.0
    while at < len(spans) and spans[at][0] < end:
        total += max(min(end, spans[at][1]) - max(begin, spans[at][0]), 0.0)
        at += 1
    return total

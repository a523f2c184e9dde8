"""Lower bounds on the time of a run, from its own task records.

T1     the work: CPU seconds of all tasks
LB0    max(T1 / P, the slowest batch's own chain, the coarse chain)
LB1    the same with the strain path known: each batch runs once a step (its longest task of the step), one coarse solve a step
LB2    the span: the longest chain of tasks that had to wait for one another

LB1 is an estimate from below: a batch that knew its drive might still need more than one of its tasks.
``hpcms.plan.replay`` computes it where the fine models can be run again.

Source: R. L. Graham, SIAM J. Appl. Math. 17 (1969) 416-429: no schedule on P workers beats max(T1 / P, span).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from hpcms.contracts import TaskRecord


@dataclass(frozen=True)
class Bounds:
    """Seconds; ``workers`` is P."""

    work_s: float
    span_s: float
    lower_bound_s: float
    lb1_s: float
    coarse_s: float
    slowest_chain_s: float
    workers: int


def span(records: Iterable[TaskRecord]) -> float:
    """The longest path through the tasks, weighted by CPU seconds. A task run twice counts with its longest run."""
    costs: dict[str, float] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    for r in records:
        costs[r.key] = max(costs.get(r.key, 0.0), r.cpu_s)
        inputs[r.key] = r.inputs
    finish: dict[str, float] = {}
    for key in costs:  # depth first without recursion: a chain may be long
        stack = [key]
        while stack:
            k = stack[-1]
            waiting = [i for i in inputs[k] if i in costs and i not in finish]
            if waiting and len(stack) <= len(costs):
                stack.extend(waiting)
                continue
            stack.pop()
            finish[k] = costs[k] + max((finish[i] for i in inputs[k] if i in finish), default=0.0)
    return max(finish.values(), default=0.0)


def chain_of(key: str) -> str:
    """Tasks of one batch of one model form a chain: ``fine/creep/3.0.2/7`` belongs to ``creep/7``."""
    parts = key.split("/")
    return f"{parts[1]}/{parts[-1]}" if len(parts) > 2 else key


def step_of(key: str) -> str:
    """The step of a task: ``fine/creep/3.0.2/7`` and ``coarse/3.a0-4`` belong to step 3."""
    parts = key.split("/")
    return parts[2 if len(parts) > 2 else -1].partition(".")[0]


def bounds(records: Iterable[TaskRecord], workers: int) -> Bounds:
    """T1, span, LB0 and LB1 for ``workers`` workers."""
    records = list(records)
    chains: dict[str, float] = defaultdict(float)
    once: dict[tuple[str, str], float] = defaultdict(float)  # by chain and step: the longest task
    solve: dict[str, float] = {}  # by step: the shortest coarse solve
    for r in records:
        chain, step = chain_of(r.key), step_of(r.key)
        if r.kind == "fine":
            chains[chain] += r.cpu_s
            once[chain, step] = max(once[chain, step], r.cpu_s)
        elif r.kind == "coarse":
            solve[step] = min(solve.get(step, r.cpu_s), r.cpu_s)
    known: dict[str, float] = defaultdict(float)
    for (chain, _), seconds in once.items():
        known[chain] += seconds
    work = sum(r.cpu_s for r in records)
    coarse, least = sum(r.cpu_s for r in records if r.kind == "coarse"), sum(solve.values())
    other = sum(r.cpu_s for r in records if r.kind not in ("fine", "coarse"))
    slowest = max(chains.values(), default=0.0)
    lower = max(work / max(workers, 1), slowest, coarse)
    lb1 = max((sum(known.values()) + least + other) / max(workers, 1), *known.values(), least, 0.0)
    return Bounds(work, span(records), lower, lb1, coarse, slowest, workers)

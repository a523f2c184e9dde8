"""LB1: the time that a run would take if the drives of all regions were known from the start.

Each region follows its own drives, step by step, with as many iterations as its records need to be as good as the schemes
demand, and waits for nobody; no coarse solve is in its way:

    LB1 = max(work / P, the slowest batch's chain, one coarse solve a step)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array, Arrays
from hpcms.coupling import error_of, remembers
from hpcms.plan.cells import Cells
from hpcms.plan.machine import Costs

MOST = 40  # iterations a step


@dataclass(frozen=True)
class Known:
    """Seconds. ``iterations``: Newton iterations of all regions and steps."""

    lb1: float
    work: float
    slowest: float
    iterations: int


def known_path(
    cells: Mapping[str, Cells], path: Sequence[Mapping[str, Arrays]], costs: Costs, workers: int, tolerance: float
) -> Known:
    """``cells`` at rest, ``path``: by step and model, the drives of all regions."""
    sums = {m: np.zeros(c.count) for m, c in cells.items()}
    count = 0
    for m, c in cells.items():
        state = c.state
        for step in path:
            state, spent, iterations = _step(c, step[m], state, tolerance, costs)
            sums[m] += spent
            count += iterations
    work = float(sum(s.sum() for s in sums.values())) + costs.coarse * len(path)
    chains = [float(np.add.reduceat(sums[m], c.starts).max()) for m, c in cells.items()]
    return Known(max(work / workers, *chains, costs.coarse * len(path)), work, max(chains), count)


def _step(c: Cells, drive: Arrays, history: Arrays, tolerance: float, costs: Costs) -> tuple[Arrays, Array, int]:
    """The state at the end of a step, the seconds of each region, all iterations."""
    verb = c.model.iterate if hasattr(c.model, "iterate") else c.model.solve
    guesses, spent, total = set(c.model.guesses), np.zeros(c.count), 0
    state, todo, before = dict(history), np.arange(c.count), dict(history)
    for _ in range(MOST):
        given = {n: (state if n in guesses else before)[n][todo] for n in before}
        answers, new, outcomes = verb({n: v[todo] for n, v in drive.items()}, given, c.seeds[todo])
        iterations = np.array([o.iterations for o in outcomes])
        total += int(iterations.sum())
        spent[todo] += costs.of(c.name, todo, iterations)
        for n, v in new.items():
            if state[n] is before[n]:
                state[n] = before[n].copy()
            state[n][todo] = v
        todo = todo[error_of(answers, c.model.pairing, remembers(c.model)) > tolerance]
        if not len(todo):
            break
    return state, spent, total

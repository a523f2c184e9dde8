"""The fine side of a simulated run: real numerics, all regions of a request at once, states in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpcms.contracts import Array, Arrays, FineRequest, Outcome
from hpcms.coupling import remembers


@dataclass
class Cells:
    """One fine model with the committed ``state`` of its S regions. ``trials``: by time step, the last states told."""

    name: str
    model: Any
    batches: Sequence[tuple[int, int]]
    state: Arrays
    trials: dict[int, Arrays] = field(default_factory=dict)
    has: dict[int, Array] = field(default_factory=dict)  # by time step: rows with a trial
    open: int = 1  # the time step that is not committed yet

    def __post_init__(self) -> None:
        table = np.array(self.batches, dtype=np.int64).reshape(-1, 2)
        self.starts, self.sizes = table[:, 0], table[:, 1] - table[:, 0]
        self.count = int(self.sizes.sum())
        self.seeds = np.zeros(self.count, np.uint64)

    def rows(self, batches: Array) -> Array:
        """All rows of batches, in their order."""
        sizes = self.sizes[batches]
        if (sizes == 1).all():
            return self.starts[batches]
        return np.concatenate([np.arange(s, s + n) for s, n in zip(self.starts[batches], sizes, strict=True)])

    def solve(self, request: FineRequest) -> tuple[Array, Arrays, Arrays, list[Outcome]]:
        """Rows, answers, new states and outcomes of each region. The states count once they are ``keep``-ed."""
        rows = self.rows(request.batches)
        before = {name: value[rows] for name, value in self._history(request.step, rows).items()}
        if request.step in self.trials:
            tried = self.has[request.step][rows]
            for name in self.model.guesses:
                before[name] = before[name].copy()
                before[name][tried] = self.trials[request.step][name][rows[tried]]
        work_on = getattr(self.model, request.verb, self.model.solve)
        answers, state, outcomes = work_on(request.drive, before, self.seeds[rows])
        return rows, answers, state, list(outcomes)

    def _history(self, step: int, rows: Array) -> Arrays:
        """Committed states, or for a step ahead the last trials of the open one; a region without memory may have none there."""
        if step == self.open or (self.open not in self.trials and not remembers(self.model)):
            return self.state
        if remembers(self.model) and not self.has[self.open][rows].all():
            raise RuntimeError("a step ahead was asked of a region without a trial in this one")
        return self.trials[self.open]

    def keep(self, step: int, rows: Array, state: Arrays) -> None:
        """The newest trial of these rows."""
        if step not in self.trials:
            self.trials[step] = {name: value.copy() for name, value in self.state.items()}
            self.has[step] = np.zeros(self.count, bool)
        for name, value in state.items():
            self.trials[step][name][rows] = value
        self.has[step][rows] = True

    def reject(self) -> None:
        """Forget the trials of a step that is not accepted, and what was ahead of it."""
        self.trials, self.has = {}, {}

    def commit(self) -> None:
        """The trials of the open step become the history of the next one; none where no region was asked."""
        self.state = self.trials.pop(self.open, self.state)
        self.has.pop(self.open, None)
        self.open += 1

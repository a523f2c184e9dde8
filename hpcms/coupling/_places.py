"""Which worker a batch is for: where it is at home, and its state with it, as long as that one has not more to do than others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

FEW = 8  # batches that are looked at for one whose worker is free
FULL = 2  # batches that a worker has before others take over what would wait there


@dataclass(frozen=True)
class Places:
    """Batch b is at home with worker b modulo ``workers``. ``busy``: by step in the works, how many batches each worker has."""

    workers: int
    busy: Sequence[Counter[int]]

    def load(self, worker: int) -> int:
        """Batches that a worker has."""
        return sum(batches[worker] for batches in self.busy)

    def soonest(self, queue: Sequence[int]) -> int:
        """Where in the queue the batch is that runs first: of the last few the one whose worker has least to do."""
        few = range(len(queue) - 1, max(len(queue) - 1 - FEW, -1), -1)
        return min(few, key=lambda i: self.load(queue[i] % self.workers))

    def worker(self, batch: int) -> int:
        """Where a batch is to run."""
        home = batch % self.workers
        if self.load(home) < FULL:
            return home
        least = min(range(self.workers), key=self.load)
        return home if self.load(home) <= self.load(least) + 1 else least

"""A machine that exists on paper: what tasks cost, and how long messages take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hpcms.contracts import Array


@dataclass(frozen=True)
class Machine:
    """``latency``: s until a drive or an answer is there; ``bandwidth``: bytes/s of a worker's link; ``dispatch``: tasks a
    scheduler starts in a second; ``agents``: nodes that keep their own queue, each as fast as the scheduler; ``tick``: the
    driver takes what has come every so many seconds; ``ahead``: tasks that wait at the workers meanwhile, over ``workers``;
    ``overhead``: s from the end of a task until its worker begins another; ``cores``: those that the workers, the driver and
    the scheduler share, 0 where each has its own. CPU s beside the tasks, in all these together: ``link`` for the messages of
    each task, ``turn`` whenever the driver takes results.
    """

    workers: int
    latency: float = 0.0
    bandwidth: float = np.inf
    dispatch: float = np.inf
    agents: int = 1
    tick: float = 0.0
    ahead: float = 0.0
    overhead: float = 0.0
    cores: int = 0
    link: float = 0.0
    turn: float = 0.0


@dataclass(frozen=True)
class Costs:
    """CPU seconds. ``fine``: by model, (S,) of one Newton iteration of each region; ``evaluation``: what a task takes
    beside its iterations, as a share of one; ``batch``: of a task, whatever it holds; ``coarse``: of a coarse solve;
    ``jitter``: sigma of a lognormal factor of mean one, drawn for every task anew.
    """

    fine: Mapping[str, Array]
    coarse: float
    evaluation: float = 0.15
    batch: float = 0.0
    jitter: float = 0.0
    by_model: Mapping[str, float] = field(default_factory=dict)  # evaluation where it differs

    def of(self, model: str, rows: Array, iterations: Array) -> Array:
        """(n,) seconds of regions that made so many iterations."""
        seconds: Array = self.fine[model][rows] * (iterations + self.by_model.get(model, self.evaluation))
        return seconds


def lognormal(count: int, sigma: float, seed: int, median: float = 1.0) -> Array:
    """(count,) seconds with the given median: cells of one mesh that differ in how hard they are."""
    drawn: Array = median * np.exp(sigma * np.random.default_rng(seed).standard_normal(count))
    return drawn

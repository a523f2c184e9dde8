"""Bundles: what is in them, what happens when one fails, and how few tasks the scheduler sees."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.cluster import open_executor
from hpcms.cluster.agents import MOST, PIECES, Agents, Item, pieces
from hpcms.cluster.inline import InlineExecutor
from hpcms.cluster.remote import RemoteExecutor
from hpcms.errors import TaskFailed
from tests.cluster import tasks

T = 100.0  # s


class Counting(InlineExecutor):
    """Says how many tasks it was given, and what it still holds."""

    workers = 3
    asked = 0

    def submit(self, function: Any, *args: Any, key: str, retries: int = 2, near: str = "") -> Any:
        self.asked += 1
        return super().submit(function, *args, key=key, retries=retries)

    @property
    def held(self) -> int:
        return len(self._values)


def test_the_scheduler_sees_bundles_not_batches_and_forgets_them(tmp_path: Path) -> None:
    inner = Counting(tmp_path)
    with Agents(inner) as agents:
        state = [agents.submit(tasks.draw, b, 10, key=f"begin/{b}") for b in range(600)]
        for sweep in range(3):
            new = [agents.submit(tasks.add, ref, 1.0, key=f"fine/{sweep}/{b}") for b, ref in enumerate(state)]
            taken = [agents.submit(np.sum, ref, key=f"take/fine/{sweep}/{b}") for b, ref in enumerate(new)]
            sums = agents.results(taken, T)
            agents.release([*state, *taken])
            state = new
        np.testing.assert_allclose(sums, [tasks.draw(b, 10).sum() + 30 for b in range(600)], rtol=1e-12)
        assert (
            inner.asked == 3 * 3 * PIECES * 2
        )  # sweeps, agents, bundles, each with a task that takes out; the first holds begin too
        agents.release(state)
        assert inner.held == 0


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8), st.booleans()), max_size=30))
@settings(max_examples=40, deadline=None)
def test_any_graph_gives_what_inline_gives(workers: int, graph: list[tuple[int, int, bool]]) -> None:
    """Tasks of batches, some without a number, each on any earlier one, asked for at any moment."""
    found = []
    for kind in (InlineExecutor, Agents):
        inner = Quiet()
        inner.workers = workers
        executor: Any = inner if kind is InlineExecutor else Agents(inner)
        refs: list[Any] = []
        values = []
        for i, (batch, back, ask) in enumerate(graph):
            key = f"t{i}/{batch}" if batch else f"t{i}/labels"
            inputs = [refs[-1 - back % len(refs)], refs[-1]] if refs else [1, 2]
            refs.append(executor.submit(tasks.total, inputs, key=key))
            if ask:
                values.append(executor.result(refs[-1], T))
        found.append([*values, *executor.results(refs, T)])
    assert found[0] == found[1]


class Quiet(InlineExecutor):
    """Without a log."""

    def __init__(self) -> None:
        self.retries_log, self._values, self._failed = [], {}, {}


def test_bundles_keep_the_tasks_of_a_batch_together() -> None:
    items = [Item(f"{name}/{b}", tasks.add, ()) for b in range(MOST * PIECES + 5) for name in ("fine", "take")]
    cut = pieces(items)
    assert len(cut) == PIECES + 1
    assert [item for piece in cut for item in piece] == items
    assert all(len(piece) % 2 == 0 for piece in cut)
    assert max(map(len, cut)) <= 2 * (MOST + 1)


def test_one_that_fails_fails_alone(tmp_path: Path) -> None:
    with open_executor("inline", None, tmp_path, agents=True) as executor:
        refs = [
            executor.submit(tasks.fail if b == 3 else tasks.draw, b, *(() if b == 3 else (4,)), key=f"f/{b}")
            for b in range(8)
        ]
        with pytest.raises(TaskFailed, match="ValueError: 3") as caught:
            executor.results(refs, T)
        assert caught.value.key == "f/3"
        assert len(executor.results(refs[:3], T)) == 3
    assert "f/3 failed" in (tmp_path / "log.txt").read_text()


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_executor("local:2", None, tmp_path_factory.mktemp("run"), agents=True) as opened:
        yield opened


def test_a_bundle_that_kills_its_worker_is_taken_apart_and_the_task_named(executor: Any) -> None:
    refs = [executor.submit(tasks.die if b == 5 else tasks.pid, key=f"poison/{b}") for b in range(12)]
    with pytest.raises(TaskFailed) as caught:
        executor.results(refs, T)
    assert caught.value.key == "poison/5"
    assert caught.value.poison
    assert len(executor.results([r for r in refs if r.key != "poison/5"], T)) == 11


def test_bundles_that_died_with_their_worker_are_made_again(executor: Any) -> None:
    assert isinstance(executor.inner, RemoteExecutor)
    state = [executor.submit(tasks.draw, b, 50, key=f"lost/{b}") for b in range(10)]
    executor.results(state[:1], T)
    for pid in tasks.worker_processes(executor.inner._hub.process.pid):
        os.kill(pid, signal.SIGKILL)
    after = [executor.submit(tasks.add, ref, 1.0, key=f"lost/after/{b}") for b, ref in enumerate(state)]
    for b, value in enumerate(executor.results(after, T)):
        assert value.tobytes() == (tasks.draw(b, 50) + 1.0).tobytes()

"""What every executor does; the inline one is the specification."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hpcms.cluster import open_executor
from hpcms.contracts import Executor
from hpcms.errors import BadInput, StorageFailure, TaskFailed
from tests.cluster import tasks
from tests.cluster.slurm_local import PROFILE

T = 60.0  # s; generous, the machine may be busy


KINDS = [
    "inline",
    "local:2",
    "inline agents",
    "local:2 agents",
    pytest.param(f"slurm:{PROFILE}", marks=pytest.mark.slurm),
]


@pytest.fixture(scope="module", params=KINDS)
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    if request.param.startswith("slurm"):
        request.getfixturevalue("slurm")
    on, _, agents = request.param.partition(" ")
    with open_executor(on, None, tmp_path_factory.mktemp("run"), agents=bool(agents)) as opened:
        yield opened


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return request.node.name


def test_value(executor: Executor, key: str) -> None:
    assert executor.result(executor.submit(tasks.add, 1, 2, key=key), T) == 3


def test_refs_at_top_level_and_one_level_down(executor: Executor, key: str) -> None:
    one = executor.submit(tasks.add, 0, 1, key=f"{key}/1")
    two = executor.submit(tasks.add, one, one, key=f"{key}/2")
    assert executor.result(executor.submit(tasks.total, [one, two, 3], key=f"{key}/list"), T) == 6
    assert executor.result(executor.submit(tasks.total, (one, two), key=f"{key}/tuple"), T) == 3
    assert executor.result(executor.submit(tasks.total, {"a": two, "b": two}, key=f"{key}/dict"), T) == 4


def test_arrays_keep_their_bits(executor: Executor, key: str) -> None:
    ref = executor.submit(tasks.draw, 7, 1000, key=f"{key}/draw")
    twice = executor.submit(tasks.add, ref, ref, key=f"{key}/twice")
    assert executor.result(twice, T).tobytes() == (2 * tasks.draw(7, 1000)).tobytes()


def test_the_driver_gets_its_part_and_the_next_task_the_whole(executor: Executor, key: str) -> None:
    first = executor.submit(tasks.solve, 1, key=f"{key}/first")
    second = executor.submit(tasks.solve, 2, first, key=f"{key}/second")
    assert executor.results([second, first], T) == [
        float((tasks.draw(2, 100) + tasks.draw(1, 100)).sum()), float(tasks.draw(1, 100).sum())
    ]  # fmt: skip


def test_same_key_is_the_same_task(executor: Executor, key: str, tmp_path: Path) -> None:
    first = executor.submit(tasks.note, str(tmp_path), "runs", key=key)
    again = executor.submit(tasks.note, str(tmp_path), "runs", key=key)
    assert (executor.result(first, T), executor.result(again, T)) == (1, 1)
    assert first.key == again.key == key


def test_exception_is_not_retried_and_names_its_key(executor: Executor, key: str, tmp_path: Path) -> None:
    ref = executor.submit(tasks.fail, "no such grain", key=key)
    with pytest.raises(TaskFailed, match="ValueError: no such grain") as caught:
        executor.result(ref, T)
    assert caught.value.key == key
    assert not caught.value.poison
    assert "Traceback" not in str(caught.value)


def test_an_error_of_ours_is_the_cause(executor: Executor, key: str) -> None:
    with pytest.raises(TaskFailed) as caught:
        executor.result(executor.submit(tasks.fail_to_store, key=key), T)
    assert isinstance(caught.value.__cause__, StorageFailure)


def test_a_task_on_a_failed_input_names_the_input(executor: Executor, key: str) -> None:
    bad = executor.submit(tasks.fail, "x", key=f"{key}/bad")
    with pytest.raises(TaskFailed) as caught:
        executor.result(executor.submit(tasks.add, bad, 1, key=f"{key}/after"), T)
    assert caught.value.key == f"{key}/bad"


def test_done_returns_failed_ones_too(executor: Executor, key: str) -> None:
    refs = {executor.submit(tasks.fail, "x", key=f"{key}/bad"), executor.submit(tasks.add, 1, 1, key=f"{key}/good")}
    seen: set[str] = set()
    while refs:
        found = executor.done(refs, T)
        assert found
        refs -= set(found)
        seen |= {r.key for r in found}
    assert seen == {f"{key}/bad", f"{key}/good"}


def test_done_of_nothing_is_nothing(executor: Executor) -> None:
    assert executor.done([], T) == []


def test_a_released_key_runs_again(executor: Executor, key: str, tmp_path: Path) -> None:
    first = executor.submit(tasks.note, str(tmp_path), "runs", key=key)
    assert executor.result(first, T) == 1
    executor.release([first])
    assert executor.result(executor.submit(tasks.note, str(tmp_path), "runs", key=key), T) == 2


def test_releasing_an_input_early_does_no_harm(executor: Executor, key: str) -> None:
    ref = executor.submit(tasks.draw, 1, 5, key=f"{key}/in")
    after = executor.submit(tasks.add, ref, 1.0, key=f"{key}/out")
    executor.release([ref])
    np.testing.assert_array_equal(executor.result(after, T), tasks.draw(1, 5) + 1.0)


def test_describe(executor: Executor) -> None:
    said = executor.describe()
    assert said["kind"] in ("inline", "local", "slurm")
    assert said["workers"] == executor.workers
    assert {"python", "numpy", "distributed"} <= set(said["versions"])


UNKNOWN = ["", "here", "inline:2", "local:", "local:0", "local:x", "local:-1", "local:²", "slurm:"]


@pytest.mark.parametrize("on", UNKNOWN)
def test_unknown_executor(on: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught, open_executor(on, None, tmp_path):
        raise AssertionError("opened")
    assert caught.value.hint

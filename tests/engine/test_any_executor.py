"""The final state has the same bits wherever and in whatever order the tasks ran."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcms import engine
from hpcms.cluster.inline import InlineExecutor
from hpcms.cluster.ref import Ref, references
from hpcms.engine import running, tasks
from hpcms.engine.summary import Summary
from hpcms.store.run import open_run


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_local_workers(job: Path, finished: Summary, workers: int) -> None:
    summary = engine.run(job, on=f"local:{workers}", out=job.parent / "out")
    assert summary.workers == workers
    assert summary.state_hash == finished.state_hash


@pytest.mark.parametrize("on", ["inline", "local:2"])
def test_workers_with_queues_of_their_own(job: Path, finished: Summary, on: str) -> None:
    summary = engine.run(job, on=on, out=job.parent / "out", overrides={"coupling.agents": True, "coupling.batch": 1})
    alone = engine.run(job, out=job.parent / "alone", overrides={"coupling.batch": 1})
    assert summary.state_hash == alone.state_hash
    assert len(open_run(summary.rundir).records()) == len(open_run(alone.rundir).records())


class LastFirst(InlineExecutor):
    """Runs nothing until somebody waits, then whatever the seed says; results arrive in that order."""

    def __init__(self, rundir: Path, seed: int) -> None:
        super().__init__(rundir)
        self.rng, self.waiting = np.random.default_rng(seed), {}

    def submit(self, function: Any, *args: Any, key: str, retries: int = 2, near: str = "") -> Any:
        self.waiting[key] = (function, args, retries)
        return Ref(key)

    def _run(self, key: str) -> None:
        function, args, retries = self.waiting.pop(key)
        for needed in references(args):
            if needed.key in self.waiting:
                self._run(needed.key)
        super().submit(function, *args, key=key, retries=retries)

    def done(self, refs: Any, timeout: float) -> Any:
        refs = list(refs)
        one = refs[self.rng.integers(len(refs))]
        if one.key in self.waiting:
            self._run(one.key)
        return [one]

    def release(self, refs: Any) -> None:
        """Keep everything: what is released here may still be needed by a task that has not run yet."""


@pytest.mark.parametrize("seed", range(3))
def test_any_order(job: Path, finished: Summary, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def shuffled(on: str, workers: int | None, rundir: Path, agents: bool) -> Iterator[LastFirst]:
        with LastFirst(rundir, seed) as executor:
            yield executor

    monkeypatch.setattr(running, "open_executor", shuffled)
    assert engine.run(job, out=job.parent / "out").state_hash == finished.state_hash


def test_the_batch_size_moves_no_bit_of_the_fields(job: Path, finished: Summary) -> None:
    other = open_run(engine.run(job, out=job.parent / "out", overrides={"coupling.batch": 5}).rundir)
    usual = open_run(finished.rundir)
    for name in ("coarse/displacement", "coarse/temperature"):
        assert other.read(name).tobytes() == usual.read(name).tobytes()


def test_history_comes_from_the_process_that_wrote_it_and_else_from_the_file(
    job: Path, finished: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits either way; a run that has all its history in memory reads no file."""
    read = []
    true = tasks.commit.read_fine
    monkeypatch.setattr(tasks.commit, "read_fine", lambda *args: read.append(args) or true(*args))
    assert engine.run(job, out=job.parent / "kept").state_hash == finished.state_hash
    assert not read
    monkeypatch.setattr(tasks.Held, "get", lambda *_: None)
    assert engine.run(job, out=job.parent / "read").state_hash == finished.state_hash
    assert read


def test_what_another_driver_wrote_or_an_older_step_is_forgotten(tmp_path: Path) -> None:
    plan = object()
    sink, state = tasks.commit.Sink(str(tmp_path), 3, plan, "one"), {"x": np.ones(2)}  # type: ignore[arg-type]
    for other in ({"driver": "two"}, {"root": "/elsewhere"}):
        tasks.Held.of(sink).keep(3, "creep", 0, state)
        assert tasks.Held.of(dataclasses.replace(sink)).get(3, "creep", 0) is state
        assert tasks.Held.of(dataclasses.replace(sink, **other)).get(3, "creep", 0) is None
        assert tasks.Held.of(sink).get(3, "creep", 0) is None
    held = tasks.Held.of(sink)
    for batch in (0, 1):
        held.keep(3, "creep", batch, state)
    held.keep(4, "creep", 0, state)
    assert [held.get(*at) is state for at in ((3, "creep", 0), (3, "creep", 1), (4, "creep", 0))] == [False, True, True]
    held.keep(5, "creep", 0, state)
    assert held.get(3, "creep", 1) is None

"""The final state has the same bits wherever and in whatever order the tasks ran."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcms import engine
from hpcms.cluster.inline import InlineExecutor
from hpcms.engine import running
from hpcms.store.run import open_run


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """What the first test has found, for the others."""
    return {}


def state_hash(job: Path, reference: dict[str, Any]) -> str:
    """The hash of the undisturbed inline run, computed once."""
    if "hash" not in reference:
        reference["hash"] = engine.run(job, on="inline", out=job.parent / "inline").state_hash
    return str(reference["hash"])


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_local_workers(job: Path, reference: dict[str, Any], workers: int) -> None:
    summary = engine.run(job, on=f"local:{workers}", out=job.parent / "out")
    assert summary.workers == workers
    assert summary.state_hash == state_hash(job, reference)


class LastFirst(InlineExecutor):
    """Runs nothing until somebody waits, then whatever the seed says; results arrive in that order."""

    def __init__(self, rundir: Path, seed: int) -> None:
        super().__init__(rundir)
        self.rng, self.waiting = np.random.default_rng(seed), {}

    def submit(self, function: Any, *args: Any, key: str, retries: int = 2) -> Any:
        from hpcms.cluster.task import Ref

        self.waiting[key] = (function, args, retries)
        return Ref(key)

    def _run(self, key: str) -> None:
        from hpcms.cluster.task import references

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
def test_any_order(job: Path, reference: dict[str, Any], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    @contextlib.contextmanager
    def shuffled(on: str, workers: int | None, rundir: Path) -> Iterator[LastFirst]:
        with LastFirst(rundir, seed) as executor:
            yield executor

    monkeypatch.setattr(running, "open_executor", shuffled)
    assert engine.run(job, out=job.parent / "out").state_hash == state_hash(job, reference)


def test_the_batch_size_moves_no_bit_of_the_fields(job: Path) -> None:
    folders = [engine.run(job, out=job.parent / f"b{n}", overrides={"coupling.batch": n}).rundir for n in (2, 5)]
    runs = [open_run(Path(folder)) for folder in folders]
    fields = [run.read("coarse/displacement", run.head.step).tobytes() for run in runs]
    assert fields[0] == fields[1]

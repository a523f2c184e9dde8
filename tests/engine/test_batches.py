"""How many regions a task takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcms import engine
from hpcms.engine import build
from hpcms.engine.build import batch_rows
from hpcms.job import load_job

costs = st.floats(1e-8, 1e3)
counts = st.integers(1, 10**8)


@given(costs, counts)
def test_tasks_are_neither_short_nor_long_nor_too_many(cost: float, count: int) -> None:
    rows = batch_rows(np.array([cost]), count)
    assert 1 <= rows <= count
    assert -(-count // rows) <= 1.5 * build.LIVE_TASKS
    if 1 < rows < count:
        assert rows * cost >= 0.6 * min(build.SHORTEST, count * cost / build.FEWEST)
    if rows > 1 and count < build.LIVE_TASKS:
        assert rows * cost <= 1.5 * build.LONGEST


@given(costs, counts)
def test_dear_regions_never_share_a_task_with_more(cost: float, count: int) -> None:
    assert batch_rows(np.array([2 * cost]), count) <= batch_rows(np.array([cost]), count)


def test_a_run_that_goes_on_keeps_its_batches(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, auto = job.parent / "auto", {"coupling.batch": "auto"}
    done = engine.run(job, out=out, overrides=auto)
    rows = json.loads((out / "how.json").read_text())["rows"]
    monkeypatch.setattr(build, "SHORTEST", 1e9)
    monkeypatch.setattr(build, "FEWEST", 1)
    other = build.build(load_job(job, overrides=auto))
    assert any(part.batches[0][1] != rows[name] for name, part in other.parts.items())  # a new run would cut otherwise
    assert engine.resume(out, generation=1).state_hash == done.state_hash

"""Other ways to the same answer: fields in turns or at once, on ranks, fine models asked once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_job import run_command

from hpcms import engine
from hpcms.engine.summary import Summary
from hpcms.store.run import OpenedRun, open_run

TIGHT = {"coupling.tolerance": 1e-10, "fine.creep.tolerance": 1e-9, "time.steps": 2}
FIELDS = ("coarse/temperature", "coarse/displacement")


def made(job: Path, name: str, **more: Any) -> tuple[OpenedRun, Summary]:
    settings = {key.replace("__", "."): value for key, value in more.items()}
    summary = engine.run(job, out=job.parent / name, overrides={**TIGHT, **settings})
    return open_run(summary.rundir), summary


def difference(one: OpenedRun, other: OpenedRun) -> float:
    """The largest difference of a field relative to its largest value."""
    assert one.head.t == other.head.t
    pairs = [(one.read(name), other.read(name)) for name in FIELDS]
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in pairs)


def test_at_once_as_in_turns(job: Path) -> None:
    turns, of_turns = made(job, "turns", coupling__fields="staggered")
    once, of_once = made(job, "once", coupling__fields="monolithic")
    assert difference(turns, once) < 1e-8
    assert np.max(np.abs(turns.read("coarse/displacement"))) > 1e-6
    for summary in (of_turns, of_once):
        assert all(summary.coupling[key] > 0 for key in ("sweeps", "coarse_iterations", "messages", "bytes"))
    assert of_turns.coupling["bytes"] != of_once.coupling["bytes"]


def test_one_rank_and_two(job: Path) -> None:
    alone, _ = made(job, "alone", coupling__ranks=1)
    both, summary = made(job, "both", coupling__ranks=2)
    assert difference(alone, both) < 1e-10
    assert summary.coupling["messages"] > 0


def test_a_chain_asks_each_fine_model_once_a_step(job: Path) -> None:
    done = run_command(
        "run", job, "--on", "inline", "--out", job.parent / "out", "--set", "coupling.scheme=chain", "--json"
    )
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["coupling"]["sweeps"] == summary["steps"] == 4
    assert {name: found["solves"] for name, found in summary["coupling"]["fine"].items()} == {
        "conduction": 4 * 8, "creep": 4 * 8,
    }  # fmt: skip
    assert f"{summary['coupling']['messages']} messages" in done.stdout + done.stderr


@pytest.mark.parametrize("scheme", ["chain", "nested"])
def test_heat_alone_is_the_same_homogenised_first_or_asked_every_time(job: Path, scheme: str) -> None:
    """Conduction is linear: what goes up is the conductivity, and no more is needed."""
    text = job.read_text(encoding="utf-8")
    head, _, rest = text.partition("[coarse.solid]")
    job.write_text(head + rest[rest.index("[coupling]") :], encoding="utf-8")
    run, _ = made(job, scheme, coupling__scheme=scheme)
    other, _ = made(job, "other", coupling__scheme="nested")
    a, b = run.read("coarse/temperature"), other.read("coarse/temperature")
    assert np.max(np.abs(a - b)) < 1e-8 * np.max(np.abs(b))
    assert np.ptp(b) > 1.0

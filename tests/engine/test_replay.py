"""A run without barrier, told once more in the order that it has recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_job import run_command

from hpcms import engine
from hpcms.errors import BadInput
from hpcms.store.run import open_run

AHEAD = {"coupling.scheme": "speculative"}


def test_the_recorded_order_gives_the_same_bits_elsewhere(job: Path) -> None:
    """Two workers, then none; without the order the iterates, and so the bits, are others."""
    first = engine.run(job, on="local:2", out=job.parent / "first", overrides=AHEAD)
    again = engine.run(job, out=job.parent / "again", overrides=AHEAD, replay=first.rundir)
    assert again.state_hash == first.state_hash
    told = [[meta["order"]["told"] for meta in open_run(r.rundir).steps()[1:]] for r in (first, again)]
    assert told[0] == told[1]
    other = engine.run(job, out=job.parent / "other", overrides=AHEAD)
    assert other.state_hash != first.state_hash


def test_what_has_no_order_or_is_another_job_is_refused_and_nothing_is_made(job: Path) -> None:
    nested, out = engine.run(job, out=job.parent / "nested"), job.parent / "out"
    with pytest.raises(BadInput, match="no order to replay"):
        engine.run(job, out=out, replay=nested.rundir)
    with pytest.raises(BadInput, match="another job"):
        engine.run(job, out=out, overrides={"time.steps": 2}, replay=nested.rundir)
    assert run_command("run", job, "--out", out, "--replay", job.parent / "nowhere").exit_code == 2
    assert not out.exists()

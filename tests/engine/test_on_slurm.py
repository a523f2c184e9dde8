"""The small job on a real SLURM of this machine, a worker's job cancelled in mid-run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_job import At

from hpcms import engine
from hpcms.engine.summary import Summary
from tests.cluster.slurm_local import PROFILE, jobs, slurm_local

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module", autouse=True)
def slurm() -> Iterator[Path]:
    """A SLURM of two nodes with one core each."""
    with slurm_local() as folder:
        yield folder


def test_a_cancelled_worker_leaves_no_trace_in_the_state(job: Path, finished: Summary) -> None:
    cancelled: list[str] = []

    def cancel() -> None:
        cancelled.append(min(jobs(), key=int))
        subprocess.run(["scancel", cancelled[0]], check=True)

    out = job.parent / "out"
    summary = engine.run(job, on=f"slurm:{PROFILE}", out=out, progress=At(1, cancel))
    assert cancelled
    assert cancelled[0] not in jobs()
    assert summary.workers == 2
    assert summary.state_hash == finished.state_hash
    assert os.environ["SLURM_CONF"]


def test_a_run_stopped_on_slurm_goes_on_inline(job: Path, finished: Summary) -> None:
    from small_job import CrashError, crash

    out = job.parent / "out"
    with pytest.raises(CrashError):
        engine.run(job, on=f"slurm:{PROFILE}", out=out, progress=At(2, crash))
    assert engine.resume(out, on="inline").state_hash == finished.state_hash

"""Every job of the project, at its smallest size: valid, run to its end, and true to its claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcms import api
from hpcms.engine.planning import built
from hpcms.job import load_job
from hpcms.verify.claims import format_claim

JOBS = sorted((Path(__file__).parents[1] / "jobs").glob("*.toml"))


def test_there_are_jobs() -> None:
    assert "snow_footing" in {job.stem for job in JOBS}


@pytest.mark.parametrize("size", ["ci", "node"])
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_valid(job: Path, size: str) -> None:
    loaded = load_job(job, size=size)
    assert built(loaded).plan.times[-1] == loaded.time.end
    assert loaded.claims


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_runs_and_keeps_its_claims(job: Path, tmp_path: Path) -> None:
    """Claims that need more than the job's own run are those of ``hpcms verify``."""
    summary = api.run(job, size="ci", on="inline", out=tmp_path / "run")
    assert summary.series or summary.steps
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
    assert [format_claim(claim) for claim in summary.claims if not claim["passed"]] == []

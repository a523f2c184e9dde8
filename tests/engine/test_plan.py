"""What a plan says, beside what the run then took."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from small_job import command, run_command

from hpcms import engine
from hpcms.engine import planning
from hpcms.engine.summary import Summary
from hpcms.errors import BadInput, ResourceFailure
from hpcms.job import load_job
from hpcms.store.run import open_run


def test_the_figures_of_a_plan_are_those_of_the_run(finished: Summary) -> None:
    run = open_run(finished.rundir)
    problem = planning.built(load_job(Path(finished.rundir).parent / "job.toml"))
    sweeps = finished.coupling["sweeps"] / finished.steps
    figures = planning.estimate(problem, "inline", sweeps)
    assert figures["steps"] == finished.steps
    assert figures["regions"] == len(run.read("sites/creep/stress"))
    assert figures["tasks"] == len(run.records())
    files = list((Path(finished.rundir) / "state.zarr").glob("fine_*/*/c.*"))
    assert figures["files"] == pytest.approx(len(files), rel=0.3)  # static arrays are written once
    assert sweeps == pytest.approx(planning.SWEEPS, rel=0.3)


def test_the_memory_of_a_plan_is_that_of_a_process_of_its_own(job: Path) -> None:
    figures = planning.estimate(planning.built(load_job(job)), "inline", planning.SWEEPS)
    run = command("run", job, "--on", "inline", "--out", job.parent / "own", "--json")
    done = subprocess.run(run, capture_output=True, text=True, timeout=240, check=True)
    peak = json.loads(done.stdout.splitlines()[-1])["peak_memory_bytes"]
    assert figures["memory_bytes"] == pytest.approx(peak, rel=0.5)


def test_more_workers_more_memory_less_time(job: Path) -> None:
    one, four = (engine.plan(job, on=f"local:{n}").figures for n in (1, 4))
    assert four["core_hours"] - one["core_hours"] == pytest.approx(3 * planning.START / 3600)  # kernels to load
    assert one["memory_bytes"] < four["memory_bytes"]
    assert one["critical_path_s"] == four["critical_path_s"] <= four["wall_s"] < one["wall_s"]


TOO_MUCH = ("domain.elements=[100, 50]", "microstructure.coarsen=1", "microstructure.window=20")


def test_a_job_that_does_not_fit_is_refused_before_anything_is_made(job: Path) -> None:
    settings = [word for setting in TOO_MUCH for word in ("--set", setting)]
    done = run_command("run", job, "--out", job.parent / "out", *settings)
    assert done.exit_code == 4, done.stderr
    assert "GB of memory" in done.stderr
    assert not (job.parent / "out").exists()


def test_a_plan_is_refused_too_and_measured_by_the_memory_of_the_slurm_jobs(job: Path, tmp_path: Path) -> None:
    profile = tmp_path / "tiny.toml"
    profile.write_text('workers = 3\nmem = "100 MB"\n', encoding="utf-8")
    with pytest.raises(ResourceFailure, match=r"SLURM profile have 0\.3 GB"):
        engine.plan(job, on=f"slurm:{profile}")
    profile.write_text('workers = 3\nmem = "4 GB"\n', encoding="utf-8")
    assert engine.plan(job, on=f"slurm:{profile}").figures["workers"] == 3


@pytest.mark.parametrize("on", ["bogus", "local:", "local:two", "slurm:nowhere"])
def test_an_unknown_executor_leaves_nothing_behind(job: Path, on: str) -> None:
    with pytest.raises(BadInput, match="unknown"):
        engine.run(job, on=on, out=job.parent / "out")
    assert not (job.parent / "out").exists()


@pytest.mark.parametrize(
    ("on", "elements", "said"),
    [
        ("local:9", "[1, 1]", "9 workers for 8 fine solves"),
        (f"local:{99 * planning.cores()}", "[40, 30]", "would only wait"),
    ],
)
def test_more_workers_than_can_work_are_refused(job: Path, on: str, elements: str, said: str) -> None:
    for name in ("plan", "run"):
        done = run_command(name, job, "--on", on, "--set", f"domain.elements={elements}")
        assert done.exit_code == 2, done.stderr
        assert said in done.stderr
    done = run_command("validate", job, "--on", "local:99999")
    assert done.exit_code == 2
    assert "workers" in done.stderr


def test_a_plan_says_where_its_cost_is_only_a_bound(job: Path) -> None:
    assert not engine.plan(job).figures["at_most"]
    levels = engine.plan(Path(__file__).parents[2] / "jobs" / "plate_with_hole.toml", size="ci")
    assert dict(levels.table())["core-hours"].partition(",")[2].startswith(" at most")

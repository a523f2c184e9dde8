"""A step that does not work is halved; one that cannot work ends the run with what failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_job import At, run_command

from hpcms import engine
from hpcms.errors import NumericalFailure
from hpcms.store.run import open_run


def test_a_step_is_halved_until_it_works(job: Path) -> None:
    told = At(0, lambda: None)
    summary = engine.run(job, out=job.parent / "out", overrides={"coupling.max_sweeps": 4}, progress=told)
    steps = open_run(summary.rundir).steps()
    assert any("rejected" in note and "without convergence" in note for note in told.notes)
    assert summary.steps > 4
    assert steps[-1]["t"] == pytest.approx(40 * 86400.0, rel=1e-15)
    assert {s["t"] for s in steps} > {n * 864000.0 for n in range(5)}  # the planned times are kept
    assert all(s["sweeps"][-1]["residual"] <= 1e-6 for s in steps[1:])


def test_a_run_of_halved_steps_resumes_to_the_same_bits(job: Path) -> None:
    from small_job import CrashError, crash

    fewer = {"coupling.max_sweeps": 4}
    whole = engine.run(job, out=job.parent / "whole", overrides=fewer)
    for after in (1, 3):
        out = job.parent / f"cut{after}"
        with pytest.raises(CrashError):
            engine.run(job, out=out, overrides=fewer, progress=At(after, crash))
        assert engine.resume(out).state_hash == whole.state_hash


def test_a_region_that_cannot_be_solved_is_named_with_exit_code_3(job: Path) -> None:
    out = job.parent / "out"
    settings = ["--set", "fine.creep.max_iterations=1", "--set", "time.min_step=4 d"]
    done = run_command("run", job, "--on", "inline", "--out", out, *settings)
    assert done.exit_code == 3, done.stderr
    assert "region 0" in done.stderr
    assert "creep" in done.stderr
    assert "Traceback" not in done.stderr
    known = engine.status(out)
    assert known["state"] == "failed"
    assert known["committed"]["step"] == 0
    assert "region 0" in known["why"]


def test_no_sweep_is_accepted_that_did_not_converge(job: Path) -> None:
    with pytest.raises(NumericalFailure, match="1 sweeps without convergence"):
        engine.run(job, out=job.parent / "out", overrides={"coupling.max_sweeps": 1, "time.min_step": "5 d"})

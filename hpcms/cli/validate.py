"""``hpcms validate``: all that is wrong with a job file, or one line that it is fine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpcms.cli.options import job_argument, json_option, plugins_option, size_option
from hpcms.cli.output import Output
from hpcms.errors import BadInput

if TYPE_CHECKING:
    from hpcms.job import Job


@click.command()
@job_argument
@size_option
@click.option("--on", help="Also check that the job fits there: inline, local[:N] or slurm[:PROFILE].")
@plugins_option
@json_option
def validate(job: Path, size: str | None, on: str | None, plugins: bool, as_json: bool) -> None:
    """Check a job file, the files that it names, and show every problem. Nothing is run."""
    from hpcms.job import load_job

    out = Output(as_json)
    checked = load_job(job, size, plugins=plugins)
    _build(checked, on)
    sizes = f", sizes {', '.join(checked.sizes)}" if checked.sizes else ""
    models = f"{len(checked.fine)} fine and {len(checked.coarse)} coarse models"
    out.say(f"{job}: ok ({models}, {checked.time.steps} steps{sizes})")
    out.result({"ok": True, "job": str(job), "size": size, "physics_hash": checked.physics_hash})


def _build(job: Job, on: str | None) -> None:
    """What only shows when mesh, fields and image are put together; its place in the file is looked up."""
    from hpcms.engine.build import build
    from hpcms.engine.planning import estimate, refuse
    from hpcms.job import located

    try:
        problem = build(job)
    except BadInput as error:
        raise located(job, error) from error
    if on:
        refuse(estimate(problem, on, sample=1), on)

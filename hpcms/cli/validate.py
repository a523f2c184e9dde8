"""``hpcms validate``: all that is wrong with a job file, or one line that it is fine."""

from __future__ import annotations

from pathlib import Path

import click

from hpcms.cli.options import job_argument, json_option, plugins_option, size_option
from hpcms.cli.output import Output


@click.command()
@job_argument
@size_option
@plugins_option
@json_option
def validate(job: Path, size: str | None, plugins: bool, as_json: bool) -> None:
    """Check a job file and show every problem at once. Nothing is run."""
    from hpcms.job import load_job

    out = Output(as_json)
    checked = load_job(job, size, plugins=plugins)
    sizes = f", sizes {', '.join(checked.sizes)}" if checked.sizes else ""
    models = f"{len(checked.fine)} fine and {len(checked.coarse)} coarse models"
    out.say(f"{job}: ok ({models}, {checked.time.steps} steps{sizes})")
    out.result({"ok": True, "job": str(job), "size": size, "physics_hash": checked.physics_hash})

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
@plugins_option
@json_option
def validate(job: Path, size: str | None, plugins: bool, as_json: bool) -> None:
    """Check a job file and the files that it names, and show every problem. Nothing is run."""
    from hpcms.job import load_job

    out = Output(as_json)
    checked = load_job(job, size, plugins=plugins)
    _build(checked)
    sizes = f", sizes {', '.join(checked.sizes)}" if checked.sizes else ""
    models = f"{len(checked.fine)} fine and {len(checked.coarse)} coarse models"
    out.say(f"{job}: ok ({models}, {checked.time.steps} steps{sizes})")
    out.result({"ok": True, "job": str(job), "size": size, "physics_hash": checked.physics_hash})


def _build(job: Job) -> None:
    """What only shows when mesh, fields and image are put together; its place in the file is looked up."""
    from hpcms.engine.build import build
    from hpcms.job import located

    try:
        build(job)
    except BadInput as error:
        raise located(job, error) from error

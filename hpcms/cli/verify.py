"""``hpcms verify``: all claims of all jobs, a line each, and what no claim covers yet."""

from __future__ import annotations

from pathlib import Path

import click

from hpcms.cli.options import SIZES, json_option
from hpcms.cli.output import Output


@click.command()
@click.argument("jobs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--size", type=click.Choice(SIZES), default="ci", show_default=True, help="The size of the jobs.")
@click.option("--on", default="inline", show_default=True, help="inline, local[:N] or slurm[:PROFILE].")
@json_option
def verify(jobs: tuple[Path, ...], size: str, on: str, as_json: bool) -> None:
    """Compute every claim of the JOBS (default: all that come with hpcms) and compare it with what is known."""
    from hpcms.verify import format_claim, rows
    from hpcms.verify.runner import verify as compute

    out = Output(as_json)
    result = compute(list(jobs) or None, size=size, on=on, progress=lambda name: click.echo(f"{name} ...", err=True))
    claims, missing = result["claims"], result["missing"]
    for claim in claims:
        out.say(format_claim(claim))
    if not jobs:
        titles = rows()
        for row in missing:
            out.say(f"missing {row}  {titles[row]}")
    failed = [claim["id"] for claim in claims if not claim["passed"]]
    out.say(f"{len(claims) - len(failed)} of {len(claims)} claims hold, {len(missing)} rows without a claim")
    out.result(result)
    if failed:
        out.fail(f"claims failed: {', '.join(dict.fromkeys(failed))}")

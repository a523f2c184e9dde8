"""``hpcms status``, ``report`` and ``zoom``: commands that look at a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcms.cli.options import json_option, run_folder, rundir_argument
from hpcms.cli.output import Output, table


@click.command()
@rundir_argument
@json_option
def status(rundir: Path, as_json: bool) -> None:
    """Show how far a run is and whether anybody is working on it."""
    from hpcms import engine

    _show(engine.status(run_folder(rundir)), as_json)


@click.command()
@rundir_argument
@json_option
def report(rundir: Path, as_json: bool) -> None:
    """Write the report of a run: one HTML page, and VTKHDF files for ParaView."""
    from hpcms.report import write_report

    out = Output(as_json)
    path = write_report(run_folder(rundir))
    out.say(f"report: {path}")
    out.result({"report": str(path)})


@click.command()
@rundir_argument
@click.option("--region", type=click.IntRange(min=0), required=True, help="The region's number.")
@click.option("--step", type=click.IntRange(min=0), required=True, help="A committed step.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the fields of the region go.")
@json_option
def zoom(rundir: Path, region: int, step: int, out: Path | None, as_json: bool) -> None:
    """Solve one region of a run again, alone, from its stored drive and history."""
    from hpcms import engine

    _show(engine.zoom(run_folder(rundir), region, step, out=out), as_json)


def _show(values: dict[str, Any], as_json: bool) -> None:
    out = Output(as_json)
    rows = [(name.replace("_", " "), _text(value)) for name, value in values.items() if not isinstance(value, dict)]
    for name, inner in values.items():
        if isinstance(inner, dict):
            rows += [(f"{name} {key}".replace("_", " "), _text(value)) for key, value in inner.items()]
    out.say(table(rows))
    out.result(values)


def _text(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 100 else text[:99] + "…"

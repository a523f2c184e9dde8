"""``hpcms status``, ``report`` and ``zoom``: commands that look at a run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
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
    out.say(table(list(_rows(values))))
    if values.get("state") in ("interrupted", "stopped"):
        out.say(f"hpcms resume {values['rundir']} goes on from the last committed step.")
    out.result(values)


def _rows(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Name and value, one line each, for people; what is empty is left out."""
    for name, value in values.items():
        words = f"{above} {name}".strip().replace("_", " ")
        if isinstance(value, dict):
            yield from _rows(value, words)
        elif name == "updated":
            yield words, datetime.fromtimestamp(value).strftime("%Y-%m-%d %H:%M:%S")
        elif value not in (None, "", []):
            yield words, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(each) for each in value) + "]"
    return str(value)

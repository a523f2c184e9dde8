"""``hpcms run``, ``resume`` and ``plan``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hpcms.cli.options import (
    job_argument,
    json_option,
    on_option,
    overrides,
    plugins_option,
    run_folder,
    rundir_argument,
    set_option,
    size_option,
)
from hpcms.cli.output import Output, amount, table
from hpcms.cli.progress import Progress


@click.command()
@job_argument
@size_option
@on_option
@click.option("--out", type=click.Path(path_type=Path), help="The folder of the run; default: a new one under runs/.")
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="RUNDIR",
    help="Repeat the order of answers of that run: the same bits in schemes without barrier.",
)
@set_option
@plugins_option
@json_option
def run(
    job: Path,
    size: str | None,
    on: str,
    out: Path | None,
    replay: Path | None,
    settings: tuple[str, ...],
    plugins: bool,
    as_json: bool,
) -> None:
    """Run a job."""
    from hpcms import api

    with Progress() as progress, patient():
        summary = api.run(
            job, size=size, on=on, out=out, plugins=plugins, overrides=overrides(settings), progress=progress,
            replay=replay and run_folder(replay),
        )  # fmt: skip
    _finish(summary.json(), as_json)


@click.command()
@rundir_argument
@click.option("--on", help="Where fine solves run; default: where the run was before.")
@click.option(
    "--generation", type=click.IntRange(min=0), help="Go back to this commit and drop later ones; default: the last."
)
@json_option
def resume(rundir: Path, on: str | None, generation: int | None, as_json: bool) -> None:
    """Go on with a run from its last committed step."""
    from hpcms import api

    with Progress() as progress, patient():
        summary = api.resume(run_folder(rundir), on=on, progress=progress, generation=generation)
    _finish(summary.json(), as_json)


@click.command()
@job_argument
@size_option
@on_option
@set_option
@plugins_option
@click.option("--calibrate", is_flag=True, help="Measure how fast this machine is: core-hours within 30 %.")
@json_option
def plan(
    job: Path, size: str | None, on: str, settings: tuple[str, ...], plugins: bool, calibrate: bool, as_json: bool
) -> None:
    """Show what a job will cost: tasks, memory, files, core-hours, critical path. Nothing is run."""
    from hpcms import engine

    out = Output(as_json)
    changes = overrides(settings)
    planned = engine.plan(job, size=size, on=on, plugins=plugins, overrides=changes, calibrate=calibrate)
    out.say(table(planned.table()))
    out.result(planned.json())


@contextmanager
def patient() -> Iterator[None]:
    """SLURM's word ahead of the end is for the steps; while a run starts or writes its report, it must not kill it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _finish(summary: dict[str, Any], as_json: bool) -> None:
    """Where the run went, its last values, its claims. A failed claim is a failed run."""
    from hpcms.verify import format_claim

    out = Output(as_json)
    times = f"{amount(summary['wall_s'], 's')} wall, {amount(summary['cpu_s'], 's')} CPU"
    out.say(f"{summary['title']}: {summary['steps']} steps in {times}, {amount(summary['peak_memory_bytes'], 'B')}")
    c = summary["coupling"]
    traffic = f"{c['messages']} messages with {amount(c['bytes'], 'B')} between fields and ranks"
    out.say(f"  {c['sweeps']} sweeps, {c['coarse_iterations']} coarse iterations, {traffic}")
    for name, series in summary.get("series", {}).items():
        if series["values"]:
            out.say(f"  {name.replace('_', ' ')}: {amount(float(series['values'][-1]), series['unit'])}")
    for claim in summary["claims"]:
        out.say(f"  {format_claim(claim)}")
    out.say(f"run: {summary['rundir']}")
    out.result(summary)
    failed = [claim["id"] for claim in summary["claims"] if not claim["passed"]]
    if failed:
        out.fail(f"{len(failed)} of {len(summary['claims'])} claims failed: {', '.join(failed)}")

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

SECONDS, RATE = click.FloatRange(min=0), click.FloatRange(min=0, min_open=True)


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
@click.option(
    "--simulate",
    type=click.IntRange(1, 10**6),
    metavar="WORKERS",
    help="Also run the job here, once, with the clocks of so many workers: wall time, bounds, idle time.",
)
@click.option("--latency", type=SECONDS, default=1e-3, show_default=True, help="Simulated: s until a message is there.")
@click.option("--bandwidth", type=RATE, default=1e9, show_default=True, help="Simulated: bytes/s of a worker's link.")
@click.option(
    "--dispatch", type=RATE, default=1e3, show_default=True, help="Simulated: tasks/s that a queue hands out."
)
@click.option(
    "--agents", type=click.IntRange(min=1), default=1, show_default=True, help="Simulated: nodes with a queue."
)
@click.option(
    "--here",
    is_flag=True,
    help="Simulated: messages as on this machine, measured first; and its cores, if they suffice.",
)
@json_option
def plan(
    job: Path, size: str | None, on: str, settings: tuple[str, ...], plugins: bool, calibrate: bool,
    simulate: int | None, latency: float, bandwidth: float, dispatch: float, agents: int, here: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show what a job will cost: tasks, memory, files, core-hours, critical path. Nothing is run unless simulated."""
    from hpcms import engine
    from hpcms.plan.machine import Machine

    out, changes = Output(as_json), overrides(settings)
    planned = engine.plan(job, size=size, on=on, plugins=plugins, overrides=changes, calibrate=calibrate)
    out.say(table(planned.table()))
    figures = planned.json()
    if simulate:
        machine = Machine(simulate, latency, bandwidth, dispatch, agents)
        machine = engine.here(machine) if here else machine
        with Progress() as progress:
            seen = engine.simulate(job, machine, size=size, plugins=plugins, overrides=changes, progress=progress)
        out.say(f"simulated on {simulate} workers: {amount(seen['wall_s'], 's')} wall")
        out.say("\n".join(how_close(seen, simulate)))
        figures = {**figures, "simulated": seen}
    out.result(figures)


def how_close(seen: dict[str, Any], workers: int) -> list[str]:
    """Work, bounds and idle time of a run, for people."""
    wall = seen["lower_bound_s"] / seen["efficiency"] if seen["efficiency"] else 0.0  # first task to last
    available = workers * wall
    bounds = {"LB0": seen["lower_bound_s"], "LB1": seen["lb1_s"], "span": seen["span_s"]}
    ratios = ", ".join(f"{name} {amount(s, 's')} (x {wall / s:.2f})" for name, s in bounds.items() if s > 0)
    lines = [f"  work T1 {amount(seen['work_s'], 's')}; lower bounds: {ratios}"]
    idle = {name: s for name, s in seen["idle_s"].items() if s >= 0.005 * available}
    if idle and available > 0:
        lines.append("  workers idle: " + ", ".join(f"{n} {100 * s / available:.0f} %" for n, s in idle.items()))
    if seen["ahead"].get("records"):
        a = seen["ahead"]
        kept = f"{100 * a['accepted']:.0f} % of {a['records']} records kept"
        lines.append(f"  ahead of the open step: {kept}, {amount(a['wasted_s'], 's')} of work lost")
    return lines


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
    for line in how_close(summary, summary["workers"]):
        out.say(line)
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

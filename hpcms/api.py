"""What Python users and the command line call: a run with its claims and its report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpcms import engine
from hpcms.engine.dialogue import Progress
from hpcms.engine.running import how_of, job_of
from hpcms.engine.summary import Summary
from hpcms.store.run import open_run
from hpcms.verify.claims import evaluate
from hpcms.verify.context import Context


def run(
    job: Path | str,
    *,
    size: str | None = None,
    on: str = "inline",
    out: Path | str | None = None,
    plugins: bool = False,
    overrides: Mapping[str, object] | None = None,
    progress: Progress | None = None,
    replay: Path | str | None = None,
) -> Summary:
    """Run a job file into the folder ``out``, check its claims and write its report.

    ``size``: ci, node or cluster. ``on``: inline, local[:N] or slurm[:PROFILE]. ``overrides``: dotted keys of the job.
    ``replay``: the folder of a run whose order of answers is repeated, for the same bits in schemes without barrier.
    """
    settings = {"size": size, "on": on, "out": out, "plugins": plugins, "overrides": overrides, "replay": replay}
    return _finish(engine.run(job, progress=progress, **settings))


def resume(
    rundir: Path | str, *, on: str | None = None, progress: Progress | None = None, generation: int | None = None
) -> Summary:
    """Go on with a run from its last committed step, then check its claims and write its report.

    ``generation``: go back to this commit first, where a later one is damaged.
    """
    return _finish(engine.resume(rundir, on=on, progress=progress, generation=generation))


def _finish(summary: Summary) -> Summary:
    rundir = Path(summary.rundir)
    how = how_of(rundir)
    context = Context(job_of(rundir, how), rundir / "claims", finished=open_run(rundir), overrides=how["overrides"])
    summary.claims = evaluate(context)
    summary.write(rundir)
    from hpcms.report import write_report  # here: the plotting library is not needed before

    write_report(rundir)
    return summary

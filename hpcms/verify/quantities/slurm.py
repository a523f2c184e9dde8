"""The job under a real SLURM: that of the site where there is one, else a private one brought up for the claim."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hpcms.engine import run
from hpcms.errors import NumericalFailure, ResourceFailure
from hpcms.store.run import open_run
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scancel", "squeue", "munged")
SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "slurm-local"
PROFILE = SCRIPT.parents[1] / "slurm" / "local.toml"
PATIENCE = 60.0  # s for a command of SLURM


def _called(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise ResourceFailure(f"{words[0]} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


@contextlib.contextmanager
def private_slurm() -> Iterator[None]:
    """A slurmctld with two node daemons on this machine, and ``SLURM_CONF`` set to it."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing or not SCRIPT.exists():
        raise ResourceFailure(
            f"there is no SLURM on this machine: {', '.join(missing) or SCRIPT} not found",
            hint="as root: apt-get install slurm-wlm munge",
        )
    before = os.environ.get("SLURM_CONF")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: the path of a socket has at most 107 letters
    try:
        _called(sys.executable, str(SCRIPT), "up", str(folder), "--nodes", "2")
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        yield
    finally:
        with contextlib.suppress(ResourceFailure, subprocess.TimeoutExpired):
            _called(sys.executable, str(SCRIPT), "down", str(folder))
        os.environ.pop("SLURM_CONF", None)
        if before is not None:
            os.environ["SLURM_CONF"] = before
        shutil.rmtree(folder, ignore_errors=True)


class JobKiller:
    """Progress of a run that looks at the queue after each step, and cancels a job of workers after one of them."""

    def __init__(self, out: Path, after: int) -> None:
        self.out, self.after, self.cancelled = out, after, ""
        self.nodes: set[str] = set()
        self.jobs: set[str] = set()

    def step(self, done: float, total: float, text: str, eta: float | None) -> None:
        """Called after each commit."""
        rows = [line.split() for line in _called("squeue", "-h", "-t", "R", "-o", "%i %N").splitlines()]
        self.jobs |= {row[0] for row in rows}
        self.nodes |= {row[1] for row in rows if len(row) > 1}
        if open_run(self.out).head.step == self.after and rows:
            self.cancelled = rows[0][0]
            _called("scancel", self.cancelled)

    def note(self, text: str) -> None:
        """Nothing to do."""


def _done(context: Context, after: int) -> tuple[JobKiller, str]:
    """The job's run on two nodes of SLURM, one job of workers cancelled behind step ``after``; and its hash."""

    def make() -> tuple[JobKiller, str]:
        folder = context.folder("slurm")
        with private_slurm():
            killer = JobKiller(folder / "run", after)
            job, on = context.job, f"slurm:{PROFILE}"
            how = {"size": job.size, "overrides": context.overrides}
            out = run(job.path, on=on, out=folder / "run", progress=killer, **how)
        return killer, out.state_hash

    made: tuple[JobKiller, str] = context.once(f"slurm {after}", make)
    return made


@further_runs
def nodes_in_use(context: Context, cancel_after: int) -> float:
    """Node daemons on which SLURM ran jobs of this run at the same time or one after the other."""
    return float(len(_done(context, cancel_after)[0].nodes))


@further_runs
def differing_after_scancel(context: Context, cancel_after: int) -> float:
    """1 where the final hash differs from the job's own run although one job of workers was cancelled, else 0."""
    killer, state_hash = _done(context, cancel_after)
    if not killer.cancelled:
        raise NumericalFailure("no job of workers was there to be cancelled")
    return float(state_hash != context.run.head.state_hash)


def places_named_in_code(context: Context) -> float:
    """Lines of the package that set a partition, account, node list or service class of SLURM to a fixed word."""
    fixed = re.compile(r"""(--(partition|account|nodelist|qos)[= ]|#SBATCH -[pACw] )[A-Za-z0-9]""")
    package = Path(__file__).resolve().parents[2]
    files = [p for p in package.rglob("*.py") if p != Path(__file__).resolve()]
    lines = [line for p in files for line in p.read_text(encoding="utf-8").splitlines()]
    return float(sum(bool(fixed.search(line)) for line in lines))


QUANTITIES = {
    "nodes_in_use": nodes_in_use,
    "differing_after_scancel": differing_after_scancel,
    "places_named_in_code": places_named_in_code,
}

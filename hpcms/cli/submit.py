"""``hpcms submit``: a batch script for SLURM. The driver stops in time, commits, and is queued again until done."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpcms.cli.options import job_argument, json_option, plugins_option, size_option
from hpcms.cli.output import Output
from hpcms.errors import BadInput, ResourceFailure

if TYPE_CHECKING:
    from hpcms.cluster.profile import Profile

STALLS = 3  # ends without a new commit after which the script stops queueing itself again
SAFE = re.compile(r"[A-Za-z0-9_./+=-]+")  # what may stand in a line that begins with #SBATCH
PATIENCE = 60  # seconds for sbatch to answer

SCRIPT = """\
#!/usr/bin/env bash
#SBATCH --job-name={name}
#SBATCH --output={run}.slurm.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{ahead}
{options}
set -u
cd {folder}
{setup}
trap 'told=1; kill -USR1 $(jobs -p) 2>/dev/null' USR1   # SLURM tells this shell; the driver commits and ends with 75
trap 'told=1; kill -TERM $(jobs -p) 2>/dev/null' TERM
committed() {{ cksum {run}/head.json 2>/dev/null || echo none; }}
before=$(committed)
if [ -f {run}/head.json ]; then
  {resume} &
else
  [ ! -f {run}/job.toml ] || rm -rf {run}   # begun, but without a first step
  {start} &
fi
driver=$!
told=1
while [ "$told" = 1 ]; do told=0; wait "$driver"; code=$?; done   # a signal ends wait with a code of its own: ask again
[ "$code" = 75 ] || exit "$code"
if [ "$(committed)" = "$before" ]; then echo stalled >> {run}.stalls; else : > {run}.stalls; fi
if [ "$(wc -l < {run}.stalls)" -ge {stalls} ]; then
  echo "hpcms: no step was committed in {stalls} turns; not queued again" >&2
  exit 75
fi
scontrol requeue "$SLURM_JOB_ID"
"""


@click.command()
@job_argument
@size_option
@click.option("--on", default="slurm", show_default=True, metavar="slurm[:PROFILE]", help="A file in slurm/.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder of the run; default: a new one under runs/.")
@click.option("--ahead", type=click.IntRange(30, 86400), default=300, show_default=True, help="Stop so early, s.")
@click.option("--dry-run", is_flag=True, help="Show the script and submit nothing.")
@plugins_option
@json_option
def submit(
    job: Path, size: str | None, on: str, out: Path | None, ahead: int, dry_run: bool, plugins: bool, as_json: bool
) -> None:
    """Hand a job to SLURM: a batch script that runs the driver, which asks for the workers."""
    from hpcms.job import load_job

    output = Output(as_json)
    loaded = load_job(job, size, plugins=plugins)
    run = out or Path("runs") / f"{loaded.path.stem}-{size or 'as-is'}-{time.strftime('%Y%m%d-%H%M%S')}"
    script = write_script(_command(job, size, on, run, plugins), run.absolute(), _profile(on), ahead)
    if dry_run:
        output.say(script)
        output.result({"script": script})
        return
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise BadInput(f"{run}: is not an empty folder", "choose another --out")
    number, path = _sbatch(script, run.absolute())
    output.say(f"submitted as SLURM job {number}; run: {run}; script: {path}")
    output.result({"slurm_job": number, "rundir": str(run), "script": str(path)})


def _profile(on: str) -> Profile:
    """The profile of ``slurm:PROFILE``; plain ``slurm`` takes the site's default."""
    from hpcms.cluster.profile import read

    kind, _, name = on.partition(":")
    if kind != "slurm":
        raise BadInput(f"--on {on}: submit is for SLURM", "--on slurm:PROFILE, or run it here: hpcms run")
    return read(name)


def _command(job: Path, size: str | None, on: str, run: Path, plugins: bool) -> list[str]:
    words = ["run", str(job.absolute()), "--on", on, "--out", str(run.absolute()), "--json"]
    return words + (["--size", size] if size else []) + (["--plugins"] if plugins else [])


def write_script(command: list[str], run: Path, profile: Profile, ahead: int = 300) -> str:
    """The batch script of the driver. Every word that comes from outside is quoted."""
    if not SAFE.fullmatch(str(run)):
        raise BadInput(f"{run}: SLURM cannot write its log beside such a name", "letters, digits and _ . / + = - only")
    hpcms = [profile.python or sys.executable, "-m", "hpcms.cli"]
    named = {"time": profile.walltime, "partition": profile.partition, "account": profile.account}
    options = [f"--{name}={value}" for name, value in named.items() if value]
    options += ["--ntasks=1", f"--mem={profile.memory // 2**20}M", *profile.directives]
    return SCRIPT.format(
        name=f"hpcms-{run.name}",
        run=run,
        ahead=ahead,
        options="\n".join(f"#SBATCH {option}" for option in options),
        folder=shlex.quote(str(Path.cwd())),
        setup="\n".join(profile.prologue),
        start=shlex.join([*hpcms, *command]),
        resume=shlex.join([*hpcms, "resume", str(run), "--json"]),
        stalls=STALLS,
    )


def _sbatch(script: str, run: Path) -> tuple[str, Path]:
    """Write the script beside the run and submit it; the number of the SLURM job."""
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        raise ResourceFailure("sbatch is not on this machine", "submit from a node of the cluster; see hpcms doctor")
    path = run.with_name(f"{run.name}.sbatch")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script, encoding="utf-8")
    try:
        done = subprocess.run(
            [sbatch, "--parsable", str(path)], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ResourceFailure(f"sbatch did not answer within {PATIENCE} s", "see: sinfo, scontrol ping") from error
    if done.returncode:
        raise ResourceFailure(f"sbatch refused the job: {done.stderr.strip()[:500]}", f"the script is {path}")
    return done.stdout.strip().split(";")[0], path

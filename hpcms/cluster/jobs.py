"""What sbatch is told, and how jobs are taken back. No dask in here."""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hpcms.cluster.profile import Profile
from hpcms.errors import BadInput


def script(profile: Profile, logs: Path, settings: Path, name: str, variables: Mapping[str, str]) -> str:
    """The batch script of one job of workers; all values are quoted, what is unquoted was checked by the profile."""
    command = [profile.python or sys.executable, "-P", "-m", "hpcms.cluster.node", str(settings), name]
    lines = ["#!/bin/bash"]
    lines += [f"#SBATCH {d}" for d in directives(profile, logs)]
    lines += [f"export {variable}={shlex.quote(value)}" for variable, value in variables.items()]
    lines += [*profile.prologue, "exec " + shlex.join(command)]
    return "\n".join(lines) + "\n"


def directives(profile: Profile, logs: Path) -> list[str]:
    """The options of sbatch for one job; its output goes to a file by job number in ``logs``."""
    if any(c in '"\\' or not c.isprintable() for c in str(logs)):
        raise BadInput(f"SLURM cannot write its output to {str(logs)!r}", hint="choose another --out")
    path = str(logs).replace("%", "%%")
    memory = f"--mem-per-cpu={_mega(profile.mem_per_cpu)}M" if profile.mem_per_cpu else f"--mem={_mega(profile.mem)}M"
    found = ["--job-name=hpcms-worker", "--ntasks=1", f"--cpus-per-task={profile.cores}", memory]
    found += [f"--time={profile.walltime}", f'--output="{path}/%j.txt"']
    found += [f"--partition={profile.partition}"] if profile.partition else []
    found += [f"--account={profile.account}"] if profile.account else []
    return [*found, *profile.directives]


def count(profile: Profile, workers: int) -> int:
    """How many jobs hold ``workers`` processes."""
    return math.ceil(workers / profile.processes)


def names(job: str, processes: int) -> list[str]:
    """The names of the workers of a job, as dask's cluster expects them."""
    return [job] if processes == 1 else [f"{job}-{i}" for i in range(processes)]


def cancel(numbers: list[str]) -> None:
    """Take the jobs back, whatever state they are in."""
    if numbers:
        subprocess.run(["scancel", *numbers], check=False, timeout=20, capture_output=True)


def _mega(size: int) -> int:
    return math.ceil(size / 2**20)

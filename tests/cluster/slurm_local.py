"""A real SLURM of this machine for a test: ``with slurm_local() as folder: ...`` runs with SLURM_CONF set."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm-local"
PROFILE = Path(__file__).parents[2] / "slurm" / "local.toml"


@contextlib.contextmanager
def slurm_local(nodes: int = 2, cpus: int = 1) -> Iterator[Path]:
    """slurmctld and ``nodes`` slurmd of ``cpus`` cores each, in a folder of their own; all gone at the end.

    Use it with ``on="slurm:local"`` or, from another folder, ``on=f"slurm:{PROFILE}"``.
    """
    before = os.environ.get("SLURM_CONF")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: the path of a socket has at most 107 letters
    try:
        _call("up", str(folder), "--nodes", str(nodes), "--cpus", str(cpus))
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        yield folder
    finally:
        _call("down", str(folder))
        os.environ.pop("SLURM_CONF", None)
        if before is not None:
            os.environ["SLURM_CONF"] = before
        shutil.rmtree(folder)


def _call(*words: str) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"slurm-local {' '.join(words)}: {done.stdout}{done.stderr}")


def jobs() -> dict[str, str]:
    """Number and state of each job."""
    said = subprocess.run(["squeue", "-h", "-o", "%i %T"], capture_output=True, text=True, check=True, timeout=30)
    return dict(line.split() for line in said.stdout.splitlines())

"""``hpcms doctor``: is this machine fit to run? A line a check, with what to do where it is not."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from hpcms.cli.options import json_option
from hpcms.cli.output import Output, amount, table
from hpcms.errors import RESOURCES

DEADLINE = 120  # seconds for a library to start; MPI is slow on a busy machine
MEMORY = 2e9
DISK = 2e9


@dataclass(frozen=True)
class Check:
    """``state``: ok, warn (runs, but not as well) or fail (does not run)."""

    name: str
    state: str
    found: str
    hint: str = ""


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this machine and say what to do where something is missing."""
    out = Output(as_json)
    checks = [check for examine in CHECKS for check in examine()]
    out.say(table([(c.state, c.name, c.found) for c in checks]))
    for check in checks:
        if check.hint and check.state != "ok":
            out.say(f"{check.name}: {check.hint}")
    out.result({"checks": [asdict(check) for check in checks], "ok": all(c.state != "fail" for c in checks)})
    if any(c.state == "fail" for c in checks):
        raise click.exceptions.Exit(RESOURCES)


def _python() -> Iterator[Check]:
    good = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield Check("python", "ok" if good else "fail", platform.python_version(), "needs Python 3.11 or 3.12")


def _processors() -> Iterator[Check]:
    yield Check("cores", "ok", f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}")


def _memory() -> Iterator[Check]:
    import psutil

    memory = psutil.virtual_memory()
    state = "ok" if memory.available >= MEMORY else "warn"
    found = f"{amount(memory.available, 'B')} free of {amount(memory.total, 'B')}"
    yield Check("memory", state, found, "the jobs of size ci need up to 2 GB: close something")


def _disk() -> Iterator[Check]:
    for name, folder in (("disk", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        writable = os.access(folder, os.W_OK)
        state = "fail" if not writable else "ok" if free >= DISK else "warn"
        found = f"{amount(free, 'B')} free in {folder}" if writable else f"{folder} cannot be written to"
        yield Check(name, state, found, "runs go to runs/ in the current folder, or where --out says")


def _library(name: str, code: str, hint: str, needed: bool = True) -> Check:
    """Start a library in a process of its own: a crash in there is a finding, not our end."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
    except subprocess.TimeoutExpired:
        return Check(name, "fail" if needed else "warn", f"does not start within {DEADLINE} s", hint)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Check(name, "fail" if needed else "warn", last[:100], hint)
    return Check(name, "ok", " ".join(done.stdout.split())[:100])


def _petsc() -> Iterator[Check]:
    code = (
        "from petsc4py import PETSc; A = PETSc.Mat().createAIJ((2, 2)); A.setUp();"
        "A[0, 0] = 2; A[1, 1] = 4; A.assemble(); b = A.createVecLeft(); b.set(1); x = b.duplicate();"
        "k = PETSc.KSP().create(); k.setOperators(A); k.setType('preonly'); k.getPC().setType('lu'); k.solve(b, x);"
        "assert abs(x.sum() - 0.75) < 1e-14; print('.'.join(map(str, PETSc.Sys.getVersion())))"
    )
    yield _library("PETSc", code, "run ./scripts/setup, or set PETSC_DIR to the PETSc of your site and build again")


def _mpi() -> Iterator[Check]:
    yield _library("MPI", "from mpi4py import MPI; print(MPI.Get_library_version().split(',')[0])", "install an MPI")
    found = shutil.which("mpiexec")
    hint = "coarse solves on several ranks (coupling.ranks) need it"
    yield Check("mpiexec", "ok" if found else "warn", found or "not found", hint)


def _blas() -> Iterator[Check]:
    code = (
        "import numpy, json; c = numpy.show_config('dicts')['Build Dependencies']['blas'];"
        "print('numpy:', c.get('name'), c.get('version'))"
    )
    yield _library("BLAS", code, "reinstall numpy")
    yield _system_blas()


def _system_blas() -> Check:
    """The reference BLAS makes PETSc's direct solvers three times slower."""
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"):
        library = Path(folder) / "libblas.so.3"
        if library.exists():
            real = library.resolve()
            slow = "blas/" in str(real) and "openblas" not in str(real)
            hint = "install libopenblas0-pthread: factorisations get three times faster"
            return Check("BLAS of PETSc", "warn" if slow else "ok", str(real), hint)
    return Check("BLAS of PETSc", "ok", "not Debian's")


def _numba() -> Iterator[Check]:
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parents[1])
    writable = os.access(folder, os.W_OK)
    hint = "set NUMBA_CACHE_DIR to a folder on a local disk; otherwise every process compiles again"
    yield Check("numba cache", "ok" if writable else "warn", str(folder), hint)


def _slurm() -> Iterator[Check]:
    missing = [name for name in ("sbatch", "squeue", "scancel", "sinfo") if not shutil.which(name)]
    found = f"not found: {', '.join(missing)}" if missing else str(shutil.which("sbatch"))
    yield Check("SLURM", "warn" if missing else "ok", found, "needed for --on slurm and hpcms submit only")


def _fonts() -> Iterator[Check]:
    code = "from matplotlib import font_manager as f; print(f.findfont('DejaVu Sans', fallback_to_default=False))"
    yield _library("fonts", code, "the report's plots need DejaVu Sans, which matplotlib brings", needed=False)


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _processors,
    _memory,
    _disk,
    _petsc,
    _mpi,
    _blas,
    _numba,
    _slurm,
    _fonts,
)

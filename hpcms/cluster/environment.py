"""What a worker process finds in its environment: one thread, no MPI of the driver, one numba cache a node."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from hpcms.errors import BadInput

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# A worker that finds these believes it is a rank of the driver's MPI world and hangs in MPI_Init.
MPI_PREFIXES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "HYDRA_", "MPIEXEC_")
# A job submitted from inside a job must not inherit the size of the outer one; where to find SLURM stays.
SLURM_PREFIXES = ("SLURM_", "SBATCH_", "SRUN_")
SLURM_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")


def cores() -> int:
    """Cores that this process may use (affinity and cgroup limits counted)."""
    from dask.system import cpu_count  # here, because dask takes half a second that most commands need not wait

    return max(1, min(len(os.sched_getaffinity(0)), int(cpu_count())))


def default_workers(available: int | None = None) -> int:
    """Workers for ``available`` cores (default: those of this machine): one a core."""
    return max(1, cores() if available is None else available)


def check_threads(workers: int, threads: int, available: int) -> None:
    """Refuse more threads than cores: ``workers`` processes of ``threads`` threads on ``available`` cores."""
    if workers * threads > available:
        raise BadInput(
            f"{workers} workers x {threads} threads need {workers * threads} cores, there are {available}",
            hint=f"ask for at most {max(1, available // threads)} workers",
        )


def clean(environ: Mapping[str, str], *, keep_slurm: bool = True) -> dict[str, str]:
    """A copy of ``environ`` fit for a worker: no MPI variables, one thread, our modules importable."""
    dropped = MPI_PREFIXES if keep_slurm else MPI_PREFIXES + SLURM_PREFIXES
    kept = {k: v for k, v in environ.items() if k in SLURM_KEPT or not k.startswith(dropped)}
    return kept | worker_variables()


def worker_variables() -> dict[str, str]:
    """The variables that every worker gets, wherever it runs."""
    return {
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        "PYTHONPATH": os.pathsep.join(import_paths()),
        "DASK_LOGGING__DISTRIBUTED": "warning",
    }


def import_paths() -> list[str]:
    """Folders on the driver's import path beyond the installation: what the driver can import, a worker can."""
    fixed = {Path(p).resolve() for p in (sys.prefix, sys.base_prefix, sys.exec_prefix)}

    def foreign(entry: str) -> bool:
        path = Path(entry).resolve()
        return path.is_dir() and not any(root == path or root in path.parents for root in fixed)

    return list(dict.fromkeys(str(Path(p).resolve()) for p in sys.path if p and foreign(p)))

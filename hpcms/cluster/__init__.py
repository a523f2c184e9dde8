"""Where tasks run: in this process, on the cores of this machine, or on SLURM. The only room that imports dask."""

from __future__ import annotations

from hpcms.cluster.environment import check_threads, cores, default_workers
from hpcms.cluster.opening import open_executor

__all__ = ["check_threads", "cores", "default_workers", "open_executor"]

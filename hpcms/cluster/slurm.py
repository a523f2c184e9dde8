"""Worker processes in SLURM jobs, kept at their number by dask-jobqueue. Runs in the hub."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from pathlib import Path
from typing import Any

from dask_jobqueue.slurm import SLURMCluster, SLURMJob

from hpcms import cachedir
from hpcms.cluster import environment, jobs
from hpcms.cluster.blame import BlamingScheduler, Say
from hpcms.cluster.profile import Profile

LOOK_EVERY = 3.0  # s
STILLBORN = 3  # so many jobs in a row without a worker: something is wrong with the profile
submitted: list[str] = []  # numbers of all jobs of this process


class Job(SLURMJob):
    """One job. Its script is ours; its life is dask-jobqueue's."""

    def __init__(self, scheduler: str, name: str, *, profile: Profile, settings: dict[str, Any], say: Say,
                 **options: Any) -> None:  # fmt: skip
        super().__init__(scheduler, name, **options)
        self._profile, self._say, self.processes = profile, say, profile.processes
        self._folder, self._logs = Path(settings["folder"]), Path(settings["logs"])
        self._variables = environment.worker_variables() | settings["variables"]
        self._node = {
            "scheduler": scheduler,
            "tls": settings["tls"],
            "processes": profile.processes,
            "memory": profile.memory,
            "scratch": profile.scratch,
            "place": {"interface": profile.interface} if profile.interface else {},
        }

    def job_script(self) -> str:
        path = self._folder / "node.json"
        path.write_text(json.dumps(self._node))
        return jobs.script(self._profile, self._logs, path, self.name, self._variables)

    async def _submit_job(self, script_filename: str) -> Any:
        """sbatch without the variables of a job that we may be in ourselves, or of this node."""
        variables = environment.clean(os.environ, keep_slurm=False)
        if variables.get("NUMBA_CACHE_DIR") == str(cachedir.numba_cache()):
            del variables["NUMBA_CACHE_DIR"]
        try:
            out = await self._call(["sbatch", script_filename], env=variables)
        except (OSError, RuntimeError) as error:
            self._say(refused=str(error))
            raise
        submitted.append(self._job_id_from_submit_output(out))
        self._say(job=submitted[-1])
        return out


def cluster(settings: dict[str, Any], scheduler: dict[str, Any], say: Say) -> SLURMCluster:
    """The cluster, to be entered with ``async with``; it keeps the workers' number by itself."""
    profile = Profile(**settings["profile"])
    place = {"interface": profile.interface} if profile.interface else {"host": profile.host or None}
    Path(settings["logs"]).mkdir(exist_ok=True)
    kind: Any = Job  # dask-jobqueue's annotation asks for an instance where it wants the class
    return SLURMCluster(
        job_cls=kind,
        asynchronous=True,
        name="slurm",
        silence_logs=False,
        security=scheduler["security"],
        scheduler_cls=BlamingScheduler,
        scheduler_options={**scheduler, **place},
        cores=profile.cores,
        processes=profile.processes,
        memory=f"{profile.memory}B",
        profile=profile,
        settings=settings,
        say=say,
    )


async def keep(made: SLURMCluster, settings: dict[str, Any], say: Say) -> None:
    """Replace each job that ends, as long as this runs.

    ``adapt`` replaces the jobs of workers that were lost. It waits for ever for a job that ended before its workers
    came, so those are looked for here.
    """
    number = jobs.count(Profile(**settings["profile"]), int(settings["workers"]))
    made.adapt(minimum_jobs=number, maximum_jobs=number, interval="2s")
    scheduler: Any = made.scheduler
    stillborn = 0
    while True:
        await asyncio.sleep(LOOK_EVERY * (1 if stillborn < STILLBORN else 10))
        known = {str(w.name) for w in scheduler.workers.values()}
        absent = {name: job for name, job in made.workers.items() if not known & set(jobs.names(name, job.processes))}
        if known:
            stillborn = 0
        for name in await _ended(absent):
            made.workers.pop(name, None)  # adapt notices that it is missing
            stillborn += 1
        if stillborn >= STILLBORN:
            say(refused=f"{stillborn} jobs ended before their workers came, see {settings['logs']}")


async def _ended(absent: dict[str, Job]) -> list[str]:
    """Those of the jobs that SLURM does not know any more; none when SLURM does not answer."""
    if not absent:
        return []
    try:
        said = await Job._call(["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i"])
    except (OSError, RuntimeError):
        return []
    return [name for name, job in absent.items() if job.job_id and job.job_id not in said.split()]

"""From the word after ``--on`` to an open executor."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

from hpcms.cluster.agents import Agents
from hpcms.cluster.environment import default_workers
from hpcms.cluster.profile import read
from hpcms.contracts import Executor
from hpcms.errors import BadInput, ResourceFailure

CHOICES = "inline, local, local:N, slurm, slurm:PROFILE"


@contextlib.contextmanager
def open_executor(
    on: str,
    workers: int | None,
    rundir: Path,
    *,
    deaths: int = 3,
    lost_after: float | None = None,
    hung_after: float = 30.0,
    agents: bool = False,
) -> Iterator[Executor]:
    """The executor that ``on`` names, with ``workers`` worker processes; with ``agents`` each keeps a queue of its own.

    Default of ``workers``: what ``on`` or the SLURM profile says, or one a core. ``deaths``: a task that killed so
    many workers is not run again. ``lost_after``: seconds without any worker after which ``WorkersLost`` is raised
    (default: 120, or what the profile says). ``hung_after``: seconds without a sign of life after which a worker is
    killed and its task run again. ``rundir/log.txt`` gets what dask and we have to say.
    """
    kind, colon, detail = on.partition(":")
    if on == "inline":
        from hpcms.cluster.inline import InlineExecutor

        with InlineExecutor(Path(rundir)) as inline:
            yield Agents(inline) if agents else inline
        return
    if kind not in ("local", "slurm") or (colon and not detail):
        raise BadInput(f"unknown executor {on!r}", hint=f"choose one of: {CHOICES}")
    number = _number(on, detail) if kind == "local" and colon else workers
    if number is not None and number < 1:
        raise BadInput(f"the number of workers must be at least 1 (got {number})")
    from hpcms.cluster.remote import RemoteExecutor, Settings

    settings = Settings(kind, number or default_workers(), Path(rundir), deaths=deaths, hung_after=hung_after)
    if kind == "slurm":
        profile = read(detail)
        settings.profile, settings.workers = dataclasses.asdict(profile), number or profile.workers
        settings.opening, settings.lost_after = float(profile.queue_wait), float(profile.lost_after)
        if shutil.which("sbatch") is None:
            raise ResourceFailure("there is no sbatch on this machine", hint="use --on local, or log in where SLURM is")
    settings.lost_after = lost_after or settings.lost_after
    with RemoteExecutor(settings) as remote:
        yield Agents(remote) if agents else remote


def _number(on: str, detail: str) -> int:
    if not detail.isascii() or not detail.isdigit() or not 1 <= int(detail) <= 4096:
        raise BadInput(f"{on!r}: the number of workers must be between 1 and 4096", hint="for instance local:2")
    return int(detail)

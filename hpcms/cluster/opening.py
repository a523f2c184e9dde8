"""From the word after ``--on`` to an open executor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hpcms.cluster.environment import default_workers
from hpcms.contracts import Executor
from hpcms.errors import BadInput

CHOICES = "inline, local, local:N, slurm, slurm:PROFILE"


@contextlib.contextmanager
def open_executor(
    on: str,
    workers: int | None,
    rundir: Path,
    *,
    deaths: int = 3,
    lost_after: float = 120.0,
    hung_after: float = 20.0,
) -> Iterator[Executor]:
    """The executor that ``on`` names, with ``workers`` worker processes (default: what ``on`` says, or one a core).

    ``deaths``: a task that killed so many workers is not run again. ``lost_after``: seconds without any worker
    after which ``WorkersLost`` is raised. ``hung_after``: seconds without a sign of life after which a worker is
    killed and its task run again. ``rundir/log.txt`` gets what dask and we have to say.
    """
    kind, colon, detail = on.partition(":")
    if on == "inline":
        from hpcms.cluster.inline import InlineExecutor

        with InlineExecutor(Path(rundir)) as inline:
            yield inline
        return
    if kind not in ("local", "slurm") or (colon and not detail):
        raise BadInput(f"unknown executor {on!r}", hint=f"choose one of: {CHOICES}")
    number = _number(on, detail) if kind == "local" and colon else workers
    if number is not None and number < 1:
        raise BadInput(f"the number of workers must be at least 1 (got {number})")
    from hpcms.cluster.remote import RemoteExecutor, Settings

    settings = Settings(
        kind, number or default_workers(), Path(rundir), deaths=deaths, lost_after=lost_after, hung_after=hung_after
    )
    with RemoteExecutor(settings) as remote:
        yield remote


def _number(on: str, detail: str) -> int:
    if not detail.isascii() or not detail.isdigit() or not 1 <= int(detail) <= 4096:
        raise BadInput(f"{on!r}: the number of workers must be between 1 and 4096", hint="for instance local:2")
    return int(detail)

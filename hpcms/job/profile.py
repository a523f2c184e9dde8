"""Machine files: how to ask SLURM for workers. Apart from job files, so that a job runs anywhere unchanged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path as File
from typing import Annotated, Any

from hpcms.contracts import Unit
from hpcms.errors import BadInput
from hpcms.job.fields import INVALID, table
from hpcms.job.positions import Lines
from hpcms.job.problems import Problems, printable, show
from hpcms.job.read import read_document

NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
WORD = re.compile(r"[A-Za-z0-9_.,:@+-]{1,100}")
WALLTIME = re.compile(r"(?:(\d{1,3})-)?(\d{1,3})(?::(\d{1,2}))?(?::(\d{1,2}))?")
DIRECTIVE = re.compile(r"--[a-z][a-z-]*(?:=[A-Za-z0-9_.,:@/+*-]+)?")
OWN = ("--time", "--mem", "--mem-per-cpu", "--cpus-per-task", "--ntasks", "--signal", "--requeue", "--open-mode")

Bytes = Annotated[float, Unit("B", least=1e6)]


@dataclass(frozen=True)
class Profile:
    """One worker is one SLURM job with ``cores`` and ``memory`` (or ``mem_per_cpu``), asked for ``walltime`` at a time.

    ``directives``: further options of sbatch. ``setup``: shell lines before the worker starts, such as module loads.
    ``ahead``: how long before the end of the walltime the driver is told to stop.
    """

    workers: Annotated[int, Unit("", least=1, most=10**6)] = 2
    cores: Annotated[int, Unit("", least=1, most=1024)] = 1
    memory: Bytes | None = None
    mem_per_cpu: Bytes | None = None
    walltime: str = "01:00:00"
    ahead: Annotated[float, Unit("s", least=30, most=86400)] = 300.0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    directives: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()

    @property
    def walltime_s(self) -> float:
        """The walltime in seconds; SLURM's forms: MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS."""
        found = WALLTIME.fullmatch(self.walltime)
        if not found:
            raise BadInput(f'walltime: is no time (got "{self.walltime}")')
        days, *parts = (int(part) if part else 0 for part in found.groups())
        if found[1] is None and found[4] is None:
            parts = [0, *parts[:2]]  # MM or MM:SS
        return float(days * 86400 + parts[0] * 3600 + parts[1] * 60 + parts[2])

    def options(self) -> list[str]:
        """The options of sbatch for one worker."""
        chosen = [f"--time={self.walltime}", "--ntasks=1", f"--cpus-per-task={self.cores}"]
        chosen += [f"--mem={self.memory / 2**20:.0f}M"] if self.memory else []
        chosen += [f"--mem-per-cpu={self.mem_per_cpu / 2**20:.0f}M"] if self.mem_per_cpu else []
        named = {name: getattr(self, name) for name in ("partition", "account", "qos", "constraint")}
        return chosen + [f"--{name}={value}" for name, value in named.items() if value] + list(self.directives)


def find_profile(name: str, folders: tuple[File, ...]) -> File:
    """The file of a profile: a path that ends in .toml, or NAME for ``slurm/NAME.toml`` in one of ``folders``."""
    if name.endswith(".toml"):
        return File(name)
    if not NAME.fullmatch(name):
        raise BadInput(f"{printable(name)}: is not the name of a profile", "letters, digits, - and _")
    places = [folder / "slurm" / f"{name}.toml" for folder in folders]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        known = ", ".join(sorted({p.stem for folder in folders for p in (folder / "slurm").glob("*.toml")}))
        raise BadInput(f'there is no profile "{name}"', f"profiles: {known}" if known else f"write {places[0]}")
    return found


def load_profile(path: File | str) -> Profile:
    """A checked profile, or ``BadInput`` with all problems."""
    name = printable(str(path))
    document = read_document(File(path), name)
    problems = Problems(name, document.index.marks, Lines(document.index.text))
    profile = table(Profile, document.tree, (), problems)
    if profile is not INVALID:
        _check(profile, problems)
    problems.check()
    checked: Profile = profile
    return checked


def _check(profile: Profile, problems: Problems) -> None:
    if profile.memory is not None and profile.mem_per_cpu is not None:
        problems.add(("mem_per_cpu",), "cannot be given together with memory", "keep one of them", at_key=True)
    if not WALLTIME.fullmatch(profile.walltime) or not profile.walltime_s > profile.ahead:
        hint = 'such as "04:00:00" or "2-00:00:00", longer than ahead'
        problems.add(("walltime",), f"is no time that a run can use (got {show(profile.walltime)})", hint)
    for name in ("partition", "account", "qos", "constraint"):
        value: Any = getattr(profile, name)
        if value is not None and not WORD.fullmatch(value):
            problems.add((name,), f"must be one word (got {show(value)})")
    for i, directive in enumerate(profile.directives):
        if not DIRECTIVE.fullmatch(directive):
            problems.add(("directives", i), f"is no option of sbatch (got {show(directive)})", 'such as "--exclusive"')
        elif directive.split("=")[0] in OWN:
            problems.add(("directives", i), f"has a key of its own or belongs to hpcms (got {show(directive)})")
    for i, line in enumerate(profile.setup):
        if not line.isprintable():
            problems.add(("setup", i), "must be one line of text")

"""The machine file of a SLURM site: slurm/PROFILE.toml. Nothing about a site is known anywhere else."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hpcms.cluster.environment import check_threads
from hpcms.errors import BadInput

LARGEST = 65536  # bytes of a profile
_WORD = re.compile(r"[\w.,+@:-]+", re.ASCII)
_TIME = re.compile(r"(\d+-)?\d{1,3}(:\d{1,2}){1,2}|\d+-\d{1,2}", re.ASCII)
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT])(i?)B", re.ASCII)
_DIRECTIVE = re.compile(r"--[a-z][a-z-]*(=[\w.,+@:/%*\[\]-]+)?", re.ASCII)
_OURS = ("--job-name", "--partition", "--account", "--ntasks", "--cpus-per-task", "--mem", "--mem-per-cpu",
         "--time", "--output", "--error", "--wrap", "--array", "--export", "--chdir", "--nodes")  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """What one job of worker processes asks of SLURM. Empty text: SLURM's or our own choice.

    ``mem`` and ``mem_per_cpu`` in bytes, one of them zero; ``queue_wait`` and ``lost_after`` in seconds.
    """

    partition: str = ""
    account: str = ""
    workers: int = 1  # worker processes in all
    cores: int = 1  # of one job
    processes: int = 1  # worker processes of one job, one thread each
    mem: int = 0
    mem_per_cpu: int = 0
    walltime: str = "01:00:00"
    directives: tuple[str, ...] = ()  # further lines for sbatch, such as "--constraint=avx512"
    prologue: tuple[str, ...] = ()  # shell lines before the workers start, such as "module load openmpi"
    python: str = ""  # default: the Python of the driver
    scratch: str = ""  # a folder local to the node; default: $TMPDIR or /tmp
    interface: str = ""  # network interface of driver and workers, such as "ib0"
    host: str = ""  # address of the driver's node as the workers see it
    queue_wait: int = 86400
    lost_after: int = 600

    @property
    def memory(self) -> int:
        """Bytes of one job."""
        return self.mem or self.mem_per_cpu * self.cores


def find(name: str) -> Path | None:
    """The file of a profile: a path to a .toml, or a name in ./slurm or in slurm/ beside the package.

    "" means ``default.toml`` where there is one, and None where there is not.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise BadInput(f"no such profile: {name}", hint="give the path of a .toml file")
        return path
    folders = (Path.cwd() / "slurm", Path(__file__).resolve().parents[2] / "slurm")
    found = {p.stem: p for folder in reversed(folders) if folder.is_dir() for p in sorted(folder.glob("*.toml"))}
    if name in found or not name:
        return found.get(name or "default")
    near = difflib.get_close_matches(name, found, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise BadInput(f"unknown SLURM profile {name!r}", hint=f"{hint}there are: {', '.join(sorted(found)) or 'none'}")


def read(name: str) -> Profile:
    """The profile that ``name`` (see ``find``) names; all that is wrong with it is told at once."""
    path = find(name)
    if path is None:
        return Profile(mem=4 * 10**9)
    try:
        raw = path.read_bytes()
        if len(raw) > LARGEST:
            raise BadInput(f"{path}: larger than {LARGEST} bytes", hint="is this a SLURM profile?")
        text = raw.decode("utf-8")
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"{path}: {error}", hint="a profile is a TOML file, see slurm/example.toml") from None
    return check(table, str(path), text)


def check(table: dict[str, Any], file: str, text: str) -> Profile:
    """Turn a table into a Profile."""
    problems: list[str] = []
    values: dict[str, Any] = {}

    def blame(key: str, what: str) -> None:
        at = next((i for i, line in enumerate(text.splitlines(), 1) if re.match(rf"\s*{re.escape(key)}\s*=", line)), 1)
        problems.append(f"{file}:{at}:1: {key}: {what}")

    for key, value in table.items():
        if key not in _CHECKS:
            near = difflib.get_close_matches(key, _CHECKS, 1)
            blame(key, f"unknown key{f', did you mean {near[0]!r}?' if near else ''}")
            continue
        try:
            values[key] = _CHECKS[key](value)
        except ValueError as error:
            blame(key, f"{error} (got {value!r})")
    if "mem" in table and "mem_per_cpu" in table:
        blame("mem_per_cpu", "give either mem or mem_per_cpu, not both")
    if "mem" not in table and "mem_per_cpu" not in table:
        values["mem"] = 4 * 10**9
    profile = Profile(**values)
    if not problems:
        try:
            check_threads(profile.processes, 1, profile.cores)
        except BadInput as error:
            blame("processes", str(error))
    if problems:
        raise BadInput("\n".join(problems), hint="see slurm/example.toml", problems=tuple(problems))
    return profile


def _text(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    def test(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"must be a string {what}")
        if not pattern.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return test


def _count(low: int, high: int) -> Callable[[Any], int]:
    def test(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return test


def _bytes(value: Any) -> int:
    match = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    if match is None or not (size := float(match[1])):
        raise ValueError('must be a string with a unit, like "4 GB"')
    base = 1024 if match[3] else 1000
    return int(size * base ** ("kMGT".index(match[2]) + 1))


def _lines(test: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    def check_all(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError("must be a list of strings")
        return tuple(test(v) for v in value)

    return check_all


def _directive(value: Any) -> str:
    line = _text(_DIRECTIVE, 'like "--constraint=avx512"')(value)
    if line.split("=")[0] in _OURS:
        raise ValueError(f"{line.split('=')[0]} is set by hpcms or by a key of its own")
    return line


_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f]+")
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "partition": _text(_WORD, "a word"),
    "account": _text(_WORD, "a word"),
    "workers": _count(1, 1_000_000),
    "cores": _count(1, 4096),
    "processes": _count(1, 4096),
    "mem": _bytes,
    "mem_per_cpu": _bytes,
    "walltime": _text(_TIME, 'like "01:00:00" or "2-12:00:00"'),
    "directives": _lines(_directive),
    "prologue": _lines(_text(_ONE_LINE, "one line of shell")),
    "python": _text(_ONE_LINE, "a path"),
    "scratch": _text(_ONE_LINE, "a path"),
    "interface": _text(_WORD, "a word"),
    "host": _text(_WORD, "a host name or an address"),
    "queue_wait": _count(1, 10**9),
    "lost_after": _count(1, 10**9),
}
assert list(_CHECKS) == [f.name for f in fields(Profile)]

"""All that is wrong with one job, collected with its place in the file, so that a user sees everything at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from hpcms.errors import BadInput
from hpcms.job.positions import Lines, Mark, Path

LONGEST = 60  # characters of a foreign text in a message


def clean(text: str, limit: int = LONGEST) -> str:
    """A foreign text made fit for a terminal: no control characters, not too long."""
    return printable(text if len(text) <= limit else text[: limit - 1] + "…")


def printable(text: str) -> str:
    """No control characters: a job file must not be able to move the cursor of a terminal."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def show(value: object) -> str:
    """A value as the job file would write it, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 128:
        return "an integer of more than 38 digits"
    if isinstance(value, str):
        return f'"{clean(value)}"'
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    return clean(str(value))


def key_name(path: Path) -> str:
    """``coarse.solid.boundary[2].side``; parts that are no bare keys are quoted."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            bare = part.replace("-", "").replace("_", "").isalnum() and part.isascii()
            name += ("." if name else "") + (clean(part) if bare else json.dumps(clean(part), ensure_ascii=False))
    return name or "job"


def did_you_mean(word: str, known: Any, what: str = "known") -> str:
    """A hint: the nearest of ``known``, or all of them when nothing is near."""
    names = sorted(known)
    near = [name for name in names if name.lower() == word.lower()] or get_close_matches(word[:LONGEST], names, 1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"{what}: {', '.join(names)}" if names else ""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong; ``line`` and ``column`` are 0 where the file has no such place."""

    line: int
    column: int
    key: str
    text: str
    hint: str = ""

    def render(self, name: str) -> str:
        """``job.toml:12:9: macro.dt: must be > 0 (got -1.0)`` and the hint on a line of its own."""
        place = f"{name}:{self.line}:{self.column}" if self.line else name
        hint = f"\n    hint: {printable(self.hint)}" if self.hint else ""
        return printable(f"{place}: {self.key}: {self.text}") + hint


@dataclass
class Problems:
    """The problems of one file. ``moved`` says where a value really stands after a size or an option has changed it."""

    name: str
    marks: Mapping[Path, Mark] = field(default_factory=dict)
    lines: Lines = field(default_factory=lambda: Lines(""))
    moved: dict[Path, Path | None] = field(default_factory=dict)  # None: given on the command line
    found: set[Problem] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.found)

    def scratch(self) -> Problems:
        """An empty list for the same file, to try something."""
        return Problems(self.name, self.marks, self.lines, self.moved)

    def source(self, path: Path) -> Path | None:
        """The path under which the file gives what stands at ``path`` now."""
        for n in range(len(path), 0, -1):
            if path[:n] in self.moved:
                origin = self.moved[path[:n]]
                return None if origin is None else (*origin, *path[n:])
        return path

    def add(self, path: Path, text: str, hint: str = "", at_key: bool = False) -> None:
        """A problem with the value at ``path``, or with the key itself."""
        source = self.source(path)
        if source is None:
            self.found.add(Problem(0, 0, key_name(path), f"{text} (given as an override)", hint))
            return
        place = next((source[:n] for n in range(len(source), 0, -1) if source[:n] in self.marks), None)
        mark = self.marks[place] if place is not None else Mark(0, 0, 0)
        line, column = self.lines(mark.key if at_key else mark.start)
        self.found.add(Problem(line, column, key_name(source), text, hint))

    def add_at(self, offset: int, key: str, text: str, hint: str = "") -> None:
        """A problem at an offset of the text."""
        self.found.add(Problem(*self.lines(offset), key, text, hint))

    def error(self) -> BadInput:
        """All of them as one error, in the order of the file."""
        lines = tuple(problem.render(self.name) for problem in sorted(self.found))
        return BadInput("\n".join(lines), problems=lines)

    def check(self) -> None:
        """Raise if anything was found."""
        if self.found:
            raise self.error()

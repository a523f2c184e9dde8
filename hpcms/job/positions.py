"""Where each key and value of a TOML text stands. The standard reader gives no positions, hence this second pass.

The text has been accepted by ``tomllib`` before, so nothing is checked here; only the prefix of a broken text is read
to find what it repeats. Paths are tuples: ``("coarse", "solid", "boundary", 2, "side")``.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
SPACE = re.compile(r"[ \t]*")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^,\]}\s#]*|[^,\]}\s#]+")  # a date and a time may have a space in between
NESTING = re.compile(r"""["']|\#[^\n]*|[\[\]{}.=,\n]""")


@dataclass(frozen=True)
class Mark:
    """Offsets into the text: where the key starts, and the value as ``text[start:end]``."""

    key: int
    start: int
    end: int


def string_end(text: str, pos: int) -> int:
    """The offset after the string that opens at ``pos``; of an unclosed one, the end of its line or of the text."""
    quote = text[pos]
    if text.startswith(quote * 3, pos):
        stop = re.compile(quote * 3 + (r"|\\." if quote == '"' else ""), re.DOTALL)
        while (found := stop.search(text, pos + 3)) and found[0][0] == "\\":
            pos = found.end() - 3
        if not found:
            return len(text)
        end = found.end()  # the text may itself end in one or two quotes
        return end + next(n for n in (2, 1, 0) if text.startswith(quote * n, end))
    stop = re.compile(rf"{quote}|\n" + (r"|\\." if quote == '"' else ""))
    pos += 1
    while (found := stop.search(text, pos)) and found[0][0] == "\\":
        pos = found.end()
    return found.end() if found else len(text)


def too_deep(text: str, limit: int) -> int | None:
    """Where brackets, or the parts of a dotted key, first nest deeper than ``limit``; the text may be broken."""
    depth = dots = pos = 0
    while found := NESTING.search(text, pos):
        pos, what = found.end(), found[0]
        if what in "\"'":
            pos = string_end(text, found.start())
            continue
        depth += (what in "[{") - (what in "]}")
        dots = dots + 1 if what == "." else 0
        if depth > limit or dots > limit:
            return found.start()
    return None


def unclosed(text: str) -> int | None:
    """Where the first string opens that never closes."""
    pos = 0
    while found := NESTING.search(text, pos):
        pos, start = found.end(), found.start()
        if found[0] in "\"'":
            pos = string_end(text, start)
            quote = text[start] * (3 if text.startswith(text[start] * 3, start) else 1)
            if pos - start < 2 * len(quote) or not text.endswith(quote, start, pos):
                return start
    return None


class Lines:
    """Offsets to lines and columns, both from 1."""

    def __init__(self, text: str) -> None:
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]

    def __call__(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


@dataclass
class Index:
    """``marks``: by path. ``statements``: (offset, path) of every key and header in the order of the text."""

    text: str
    marks: dict[Path, Mark] = field(default_factory=dict)
    statements: list[tuple[int, Path]] = field(default_factory=list)
    _arrays: dict[Path, int] = field(default_factory=dict)  # arrays of tables and their length so far
    _table: Path = ()
    _pos: int = 0

    def read(self) -> Index:
        """Scan the whole text."""
        while self._skip(BLANK) < len(self.text):
            if self.text[self._pos] == "[":
                self._header()
            else:
                self._pair(self._table)
        return self

    def read_prefix(self) -> Index:
        """Scan a broken text as far as it goes."""
        try:
            return self.read()
        except (ValueError, IndexError):
            return self

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self._pos)
        self._pos = found.end() if found else self._pos
        return self._pos

    def _key(self) -> list[str]:
        """The parts of a dotted key, each bare or quoted."""
        parts: list[str] = []
        while True:
            start = self._skip(SPACE)
            if self.text[start] in "\"'":
                self._pos = string_end(self.text, start)
                parts.append(next(iter(tomllib.loads(f"{self.text[start : self._pos]} = 0"))))
            elif self._skip(BARE_KEY) > start:
                parts.append(self.text[start : self._pos])
            else:
                raise ValueError("not a key")
            if self.text[self._skip(SPACE)] != ".":
                return parts
            self._pos += 1

    def _inside(self, parts: list[str]) -> Path:
        """The path of a header, through the last element of every array of tables on the way."""
        path: Path = ()
        for part in parts:
            path = (*path, part)
            if path in self._arrays:
                path = (*path, self._arrays[path] - 1)
        return path

    def _header(self) -> None:
        start = self._pos
        many = self.text.startswith("[[", start)
        self._pos += 2 if many else 1
        parts = self._key()
        self._pos += 2 if many else 1
        if many:
            path = (*self._inside(parts[:-1]), parts[-1])
            self._arrays[path] = self._arrays.get(path, 0) + 1
            self.marks.setdefault(path, Mark(start, start, self._pos))
            self._table = (*path, self._arrays[path] - 1)
        else:
            self._table = self._inside(parts)
        self.statements.append((start, self._table))
        self._note(self._table, Mark(start, start, self._pos))
        self.marks[self._table] = Mark(start, start, self._pos)  # its own header is better than that of a child

    def _note(self, path: Path, mark: Mark) -> None:
        """A path and the tables on the way to it that have no place of their own."""
        for n in range(1, len(path) + 1):
            self.marks.setdefault(path[:n], mark)

    def _pair(self, table: Path) -> None:
        start = self._pos
        path = (*table, *self._key())
        self.statements.append((start, path))
        if self.text[self._pos] != "=":
            raise ValueError("not a pair")
        self._pos += 1
        begin = self._skip(SPACE)
        self._note(path, Mark(start, begin, begin))  # first the tables on the way: a value may hold further keys
        self._value(path)
        self.marks[path] = Mark(start, begin, self._pos)

    def _value(self, path: Path) -> None:
        start = self._pos
        if self.text[start] in "\"'":
            self._pos = string_end(self.text, start)
        elif self.text[start] == "[":
            self._array(path)
        elif self.text[start] == "{":
            self._inline(path)
        elif self._skip(SCALAR) == start:
            raise ValueError("not a value")

    def _array(self, path: Path) -> None:
        self._pos += 1
        count = 0
        while self.text[self._skip(BLANK)] != "]":
            start = self._pos
            self._value((*path, count))
            self.marks[(*path, count)] = Mark(start, start, self._pos)
            count += 1
            if self.text[self._skip(BLANK)] == ",":
                self._pos += 1
        self._pos += 1

    def _inline(self, path: Path) -> None:
        self._pos += 1
        while self.text[self._skip(BLANK)] != "}":
            self._pair(path)
            if self.text[self._skip(BLANK)] == ",":
                self._pos += 1
        self._pos += 1

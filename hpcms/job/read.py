"""From a path to a checked TOML tree. The file is untrusted: size and nesting are capped before anything is parsed."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from hpcms.errors import BadInput
from hpcms.job.positions import Index, Lines, Path, too_deep, unclosed
from hpcms.job.problems import Problems, key_name

LARGEST = 512 * 1024  # bytes
DEEPEST = 16  # nested brackets, or parts of a dotted key
REPEATED = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Cannot redefine", "Duplicate inline")
UNCLOSED = ("Expected \"'", "Unterminated string", "Illegal character '\\n'")
QUOTES = 'text, quantities and dates stand in quotes: "10 kPa"'


@dataclass(frozen=True)
class Document:
    """``raw``: the text as it stands in the file; ``tree``: what it says; ``index``: where it says it."""

    path: File
    raw: str
    tree: dict[str, Any]
    index: Index


def read_document(path: File, name: str) -> Document:
    """The document of a job file, or ``BadInput``."""
    raw = _read_text(path, name)
    text = raw.replace("\r\n", "\n")
    problems = Problems(name, lines=Lines(text))
    offset = too_deep(text, DEEPEST)
    if offset is not None:
        problems.add_at(offset, "TOML", f"nesting is deeper than {DEEPEST}", "a job needs five levels at most")
        raise problems.error()
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        _explain(error, text, problems)
        raise problems.error() from error
    return Document(path, raw, tree, Index(text).read())


def _read_text(path: File, name: str) -> str:
    """The file as text; each way in which this can go wrong has its own message."""
    try:
        if path.is_dir():
            raise BadInput(f"{name}: is a directory", "name the job file in it, for example job.toml")
        if not path.is_file():
            known = sorted(p.name for p in path.parent.glob("*.toml"))[:10] if path.parent.is_dir() else []
            found = f"job files there: {', '.join(known)}" if known else "`hpcms init` writes a starter job"
            raise BadInput(f"{name}: no such file", found)
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise BadInput(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > LARGEST:
        raise BadInput(f"{name}: larger than {LARGEST // 1024} KiB", "a job file holds keys; data are files it names")
    if data.startswith(b"\xef\xbb\xbf"):
        raise BadInput(f"{name}:1:1: file: begins with a byte order mark", "save it as UTF-8 without BOM")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8", "replace")) + 1
        text = f"{name}:{line}:{column}: file: not UTF-8 (byte 0x{data[error.start]:02x})"
        raise BadInput(text, "save it as UTF-8") from error


def _explain(error: Exception, text: str, problems: Problems) -> None:
    """The reader's message with its place; for a repeated key the place where it is repeated."""
    message = str(error)
    place = re.search(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if place is None:
        digits = re.search(r"\d{4000,}", text)
        what = "an integer is beyond 2^63" if digits else "not valid TOML"
        problems.add_at(digits.start() if digits else 0, "TOML", what)
        return
    message = message[: place.start()]
    offset = len(text) if place[1] is None else problems.lines.starts[int(place[1]) - 1] + int(place[2]) - 1
    if message.startswith(REPEATED) and _explain_repeated(offset, text, problems):
        return
    opening = unclosed(text) if message.startswith(UNCLOSED) else None
    if opening is not None:
        problems.add_at(opening, "TOML", "a text is opened and not closed", "close it with the same quote")
        return
    plain = message[:1].lower() + message[1:]
    hints = {"invalid value": QUOTES, "expected newline or end of document": f"one key a line; {QUOTES}"}
    hint = next((h for start, h in hints.items() if plain.startswith(start)), "")
    problems.add_at(offset, "TOML", plain, hint)


def _explain_repeated(offset: int, text: str, problems: Problems) -> bool:
    """Find the statement before ``offset`` and what it repeats; False if that is not clear."""
    index = Index(text).read_prefix()
    earlier = [(start, path) for start, path in index.statements if start < offset]
    if not earlier:
        return False
    start, path = earlier[-1]
    firsts = [s for s, p in earlier[:-1] if _clash(p, path)]
    hint = f"first given in line {problems.lines(firsts[0])[0]}" if firsts else "a table or key is given once"
    problems.add_at(start, key_name(path), "duplicate key or table", hint)
    return True


def _clash(one: Path, other: Path) -> bool:
    return one == other[: len(one)] or other == one[: len(other)]

"""Text for people and one JSON object for programs. With ``--json`` stdout ends with the object, people read stderr."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from hpcms.errors import NUMERICAL


class Output:
    """``json``: was ``--json`` given?"""

    def __init__(self, json: bool) -> None:
        self.json = json

    def say(self, text: str = "") -> None:
        """A line for people."""
        click.echo(text, err=self.json)

    def result(self, value: Mapping[str, Any]) -> None:
        """The object for programs, where asked for."""
        if self.json:
            click.echo(json_line(value))

    def fail(self, text: str) -> NoReturn:
        """End with the exit code of a numerical failure after the result has been shown."""
        click.echo(f"error: {text}", err=True)
        raise click.exceptions.Exit(NUMERICAL)


def json_line(value: Any) -> str:
    """One line of JSON; what is not a number is null."""
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return _plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns of texts, left-aligned, two spaces apart."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def amount(value: float, unit: str) -> str:
    """Bytes and seconds as people say them; other numbers with four digits."""
    if unit == "B":
        for name in ("B", "kB", "MB", "GB"):
            if abs(value) < 1000:
                return f"{value:.3g} {name}"
            value /= 1000
        return f"{value:.3g} TB"
    if unit == "s" and value >= 60:
        hours, rest = divmod(round(value), 3600)
        return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
    return f"{value:.4g} {unit}".rstrip()

"""Plain-text tables and numbers for people, without colour or box characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Sequence[Any]


def number(value: Any, digits: int = 4) -> str:
    """A number with ``digits`` significant digits, a large count in groups of three, a range as ``a to b``."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, list | tuple):
        return (" to " if len(value) == 2 else ", ").join(number(v, digits) for v in value)
    return str(value)


def seconds(value: float) -> str:
    """A time of a clock: 0.42 s, 12.3 s, 4 min 05 s, 2 h 03 min."""
    if value < 60:
        return f"{value:.3g} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes in binary units: 1.4 GiB."""
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    power = 0
    while abs(value) >= 1000 and power < len(units) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.3g} {units[power]}"


def table(head: Row, rows: Iterable[Row]) -> str:
    """Columns padded to the same width; a column that holds only numbers is aligned to the right."""
    body = [[number(cell) for cell in row] for row in rows]
    names = [str(cell) for cell in head]
    widths = [max(len(line[i]) for line in [names, *body]) for i in range(len(names))]
    right = [bool(body) and all(_numeric(line[i]) for line in body) for i in range(len(names))]
    lines = [names, ["-" * width for width in widths], *body]
    padded = [
        "  ".join(
            cell.rjust(width) if flag else cell.ljust(width)
            for cell, width, flag in zip(line, widths, right, strict=True)
        )
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in padded)


def _numeric(text: str) -> bool:
    try:
        float(text.replace("\u202f", ""))
    except ValueError:
        return False
    return True


def claims(found: Iterable[Mapping[str, Any]]) -> str:
    """One line a claim: pass or FAIL, id, quantity, got, want, tolerance, basis."""
    head = ("", "id", "quantity", "got", "want", "tolerance", "basis")
    rows = [("pass" if c.get("passed") else "FAIL", *(c.get(key) for key in head[1:])) for c in found]
    return table(head, rows)

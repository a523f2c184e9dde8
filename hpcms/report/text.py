"""Plain-text tables and numbers for people, without colour or box characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Sequence[Any]


def number(value: Any, digits: int = 4) -> str:
    """A number with ``digits`` significant digits, a large count in groups of three."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, list | tuple):
        return values(value, digits)
    return str(value)


def values(found: Sequence[Any], digits: int = 4) -> str:
    """A few values one by one, many by their ends and count."""
    if len(found) <= 4 or not all(isinstance(value, int | float) for value in found):
        return ", ".join(number(value, digits) for value in found)
    return f"{number(min(found), digits)} … {number(max(found), digits)} ({len(found)} values)"


def wanted(claim: Mapping[str, Any]) -> str:
    """What a claim wants: a value, values, or without a tolerance a range."""
    want = claim.get("want")
    if isinstance(want, list | tuple) and len(want) == 2 and claim.get("tolerance") is None:
        return f"{number(want[0])} to {number(want[1])}"
    return number(want)


def quantity(claim: Mapping[str, Any]) -> str:
    """The quantity of a claim with its options."""
    options = ", ".join(f"{key}={number(value)}" for key, value in dict(claim.get("options") or {}).items())
    return f"{claim.get('quantity')} ({options})" if options else str(claim.get("quantity"))


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
    rows = [
        (
            "pass" if c.get("passed") else "FAIL",
            c.get("id"),
            quantity(c),
            c.get("got"),
            wanted(c),
            c.get("tolerance"),
            c.get("basis"),
        )
        for c in found
    ]
    return table(head, rows)

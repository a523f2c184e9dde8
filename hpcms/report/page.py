"""The page: which sections there are, their pictures and tables, and the HTML around them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from hpcms.report import cells, fields, history, levels, measures, text, work
from hpcms.report.data import Data
from hpcms.report.profiles import profiles
from hpcms.report.style import Picture


@dataclass(frozen=True)
class Table:
    """Rows of plain text; ``numeric`` columns are aligned to the right; ``marks``: passed or failed, by row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()
    marks: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Section:
    """A heading with an opening sentence, tables and pictures. ``note``: what could not be shown, and why."""

    anchor: str
    title: str
    lead: str = ""
    pictures: tuple[Picture, ...] = ()
    table: Table | None = None
    columns: int = 2
    note: str = ""


@dataclass(frozen=True)
class Fact:
    """A number of the heading."""

    name: str
    value: str


def sections(data: Data) -> list[Section]:
    """All sections that this run has something for."""
    builders: tuple[tuple[str, Callable[[Data], Section | None]], ...] = (
        ("Claims", _claims),
        ("Settlement", _settlement),
        ("Fields at the end", _fields),
        ("Levels", _levels),
        ("Worst regions", _cells),
        ("Material points", _paths),
        ("Over time", _series),
        ("Spread of the regions", _spread),
        ("Tasks on workers", _timeline),
        ("Efficiency", _efficiency),
        ("Convergence", _convergence),
    )
    found = [_guarded(title, build, data) for title, build in builders]
    return [section for section in found if section is not None]


def _guarded(title: str, build: Callable[[Data], Section | None], data: Data) -> Section | None:
    """A section whose data has an unexpected form becomes a note; a damaged store is still an error."""
    try:
        return build(data)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        return Section(_anchor(title), title, note=f"This part could not be drawn: {type(error).__name__}: {error}")


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _section(title: str, lead: str, pictures: list[Picture], **more: Any) -> Section | None:
    if not pictures and more.get("table") is None:
        return None
    return Section(_anchor(title), title, lead, tuple(pictures), **more)


def _claims(data: Data) -> Section | None:
    if not data.claims:
        return None
    table = Table(
        head=("", "id", "quantity", "got", "want", "tolerance", "basis"),
        rows=tuple(_claim(claim) for claim in data.claims),
        numeric=(3, 4, 5),
        marks=tuple(bool(claim.get("passed")) for claim in data.claims),
    )
    passed = sum(table.marks)
    lead = f"{passed} of {len(table.marks)} claims hold. Each one compares a computed value with a known one."
    return _section("Claims", lead, [], table=table)


def _claim(claim: Mapping[str, Any]) -> tuple[str, ...]:
    """The row of a claim; where the known value is from, and why there is no computed one."""
    basis, error = str(claim.get("basis") or ""), claim.get("error")
    told = [text.number(claim.get("got")), text.wanted(claim), text.number(claim.get("tolerance"))]
    return (str(claim.get("id")), text.quantity(claim), *told, f"{basis}; not computed: {error}" if error else basis)


def _settlement(data: Data) -> Section | None:
    made = history.settlement(data)
    return _section("Settlement", "", [made] if made else [])


def _fields(data: Data) -> Section | None:
    return _section("Fields at the end", "", fields.coarse_fields(data)) or _section("Fields", "", profiles(data))


def _levels(data: Data) -> Section | None:
    if not levels.chosen(data):
        return None
    table = Table(levels.HEAD, levels.rows(data), numeric=tuple(range(len(levels.HEAD))))
    return _section("Levels", levels.lead(data), levels.pictures(data), table=table, note=levels.note(data))


def _cells(data: Data) -> Section | None:
    made, ranked = cells.worst_windows(data), measures.severity(data)
    if not made or ranked is None:
        return None
    lead = "Each picture is a slice of the cell; voids are light grey, and all share one colour scale."
    if len(made) < len(ranked.values):
        return _section(
            "Worst regions", f"Those with the largest {ranked.name}, largest first. {lead}", made, columns=3
        )
    return _section("Regions", lead, made, columns=3)


def _paths(data: Data) -> Section | None:
    if data.geometry is not None and data.geometry.dimension > 0:
        return None
    return _section("Material points", "", history.paths(data))


def _series(data: Data) -> Section | None:
    return _section("Over time", "", history.other_series(data))


def _spread(data: Data) -> Section | None:
    return _section(
        "Spread of the regions", "Every region has a window of its own, so the answers differ.", history.spread(data)
    )


def _timeline(data: Data) -> Section | None:
    made = work.timeline(data)
    return _section("Tasks on workers", "", [made] if made else [])


def _efficiency(data: Data) -> Section | None:
    bounds, wall = measures.bounds(data), data.summary.get("wall_s")
    if not bounds or not isinstance(wall, int | float):
        return None
    rows = [
        (
            bound.name,
            text.seconds(bound.seconds),
            f"{wall / bound.seconds:.2f}" if bound.seconds > 0 else "–",
            bound.meaning,
        )
        for bound in bounds
    ]
    rows.append(("wall time", text.seconds(float(wall)), "1.00", "what the clock on the wall says, from start to end"))
    table = Table(("time", "value", "wall / value", "meaning"), tuple(rows), numeric=(1, 2))
    made = work.efficiency(data)
    return _section("Efficiency", measures.idle(data), [made] if made else [], table=table)


def _convergence(data: Data) -> Section | None:
    table = _exchange(data)
    lead = (
        "The energy gap is the largest relative violation of the Hill-Mandel condition in any exchange."
        if table
        else ""
    )
    return _section("Convergence", lead, work.convergence(data), table=table)


def _exchange(data: Data) -> Table | None:
    """Totals of the run: what each scale did, and what the two exchanged."""
    total = dict(data.summary.get("coupling") or {})
    if not total:
        return None
    coarse = {"rounds": total.get("sweeps"), "linear": total.get("coarse_iterations"), **total}
    rows = [("coarse, sweeps", coarse)]
    rows += [(f"{name}, solves", {"rounds": counts.get("solves"), **counts}) for name, counts in _tables(total)]
    keys = ("rounds", "newton", "linear", "messages", "bytes", "energy_gap")
    head = ("model", "number", "Newton iterations", "linear iterations", "messages", "bytes", "energy gap")
    body = tuple((name, *(text.number(counts.get(key), 2) for key in keys)) for name, counts in rows)
    return Table(head, body, numeric=tuple(range(1, len(head))))


def _tables(total: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted((str(name), counts) for name, counts in dict(total.get("fine") or {}).items())


def facts(data: Data) -> list[Fact]:
    """The numbers of the heading."""
    summary, found = data.summary, []
    found.append(Fact("steps", text.number(summary.get("steps", max(data.numbers, default=0)))))
    if len(data.times):
        clock = measures.scale(data.times, "s")
        found.append(Fact("time reached", f"{clock(data.times[-1]):.4g} {clock.symbol}"))
    ranked = measures.severity(data)
    if ranked is not None:
        found.append(Fact("regions", str(len(ranked.values))))
    if measures.worker_count(data):
        found.append(Fact("workers", str(measures.worker_count(data))))
    for key, name in (("wall_s", "wall time"), ("cpu_s", "CPU time")):
        if isinstance(summary.get(key), int | float):
            found.append(Fact(name, text.seconds(float(summary[key]))))
    if isinstance(summary.get("peak_memory_bytes"), int | float):
        found.append(Fact("peak memory", text.size(summary["peak_memory_bytes"])))
    return found


def render(data: Data, parts: list[Section], files: Sequence[str] = ()) -> str:
    """The self-contained HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["embed"] = _embed
    state_hash = str(data.summary.get("state_hash") or data.state_hash)
    template = environment.from_string(
        resources.files("hpcms.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    return template.render(
        data=data,
        sections=parts,
        facts=facts(data),
        state_hash=state_hash,
        failed=sum(not claim.get("passed") for claim in data.claims),
        files=["figures/", *files],
    )


def _embed(made: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(made.png).decode("ascii")

"""Which level answered for which region, how wrong that may be, what it saved, and what the monitor has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.monitor.choice import FINE, LINEAR, RULES, SURROGATE, bit
from hpcms.report import measures, text
from hpcms.report.data import Data
from hpcms.report.fields import deformed, draw_mesh
from hpcms.report.style import BLUE, GREEN, GREY, ORANGE, RED, Picture, figure, picture

NAMES = {LINEAR: "linear", SURROGATE: "surrogate", FINE: "fine"}
COLOURS = {LINEAR: GREY, SURROGATE: ORANGE, FINE: BLUE}
NAMED = 12  # regions that a sentence lists
HEAD = (
    "step",
    "linear",
    "surrogate",
    "fine",
    "answers",
    "fine solves",
    "spot checks",
    "measured error",
    "expected error",
)


@dataclass(frozen=True)
class Step:
    """One step of one fine model. ``regions``: by level; ``asked``: answers given in all sweeps, ``solves`` of them solved.

    ``measured``, ``expected``: largest relative errors, nan where there are none; ``checks``: how many were measured.
    """

    number: int
    t: float
    regions: dict[int, int]
    asked: int
    solves: int
    checks: int
    measured: float
    expected: float


def chosen(data: Data) -> list[str]:
    """Fine models of the run that choose levels."""
    return [fine for fine in data.fines if f"sites/{fine}/level" in data.arrays]


def steps(data: Data, fine: str) -> list[Step]:
    """All committed steps that hold answers."""
    found = []
    for meta in data.steps:
        number = int(meta["step"])
        level = data.read(f"sites/{fine}/level", number)
        if level is None:
            continue
        counts = meta.get("fine", {}).get(fine, {})
        seen, told = (_known(data, fine, f"{kind}_error", number) for kind in ("measured", "expected"))
        found.append(
            Step(
                number, float(meta["t"]), {k: int((level == k).sum()) for k in NAMES}, int(counts.get("asked", 0)),
                int(counts.get("solves", 0)), len(seen), seen.max(initial=-1.0) if len(seen) else np.nan,
                told[told > 0].max() if (told > 0).any() else np.nan,
            )
        )  # fmt: skip
    return found


def _known(data: Data, fine: str, name: str, number: int) -> Array:
    """Errors that somebody knows."""
    values = data.read(f"sites/{fine}/{name}", number)
    return np.zeros(0) if values is None else values[values >= 0]


def lead(data: Data) -> str:
    """What the levels saved, and what the monitor found, in sentences."""
    return " ".join(part for fine in chosen(data) for part in (_saved(data, fine), _monitor(data, fine)))


def _saved(data: Data, fine: str) -> str:
    taken = steps(data, fine)
    asked, solves = sum(s.asked for s in taken), sum(s.solves for s in taken)
    if not asked:
        return ""
    factor = f", {asked / solves:.1f} times fewer than one for each" if solves else ""
    return f"{fine}: {asked} answers took {solves} fine solves{factor}; {asked - solves} were saved."


def flagged(data: Data, fine: str, name: str) -> Array:
    """Regions that an indicator has flagged in the last step."""
    flags = data.read(f"sites/{fine}/flags")
    return np.zeros(0, np.int64) if flags is None else np.flatnonzero(flags.astype(np.int64) & bit(name))


def _monitor(data: Data, fine: str) -> str:
    """One sentence on each indicator of the model."""
    params = data.resolved.get("fine", {}).get(fine, {})
    said = []
    if "lessons" in params:
        regions = flagged(data, fine, "outside")
        said.append(
            f"Outside of the hull of what the surrogate had been taught when they were asked: {_listed(regions)}."
        )
    for name, what in (("scale_ratio", "Scale separation fails in"), ("ellipticity", "Loss of ellipticity in")):
        if name not in params:
            continue
        if params[name] is None:
            said.append(f"The {RULES[name].text} is not watched.")
        else:
            limit = f"({RULES[name].text} {'above' if RULES[name].above else 'below'} {params[name]:g})"
            said.append(f"{what} {_listed(flagged(data, fine, name))} {limit}.")
    return " ".join(said)


def _listed(regions: Array) -> str:
    """``2 regions: 4, 17``, cut after some."""
    if not len(regions):
        return "no region"
    more = ", ..." if len(regions) > NAMED else ""
    return (
        f"{len(regions)} region{'s' if len(regions) > 1 else ''}: {', '.join(map(str, regions[:NAMED].tolist()))}{more}"
    )


def note(data: Data) -> str:
    """Why a level has switched itself off, step by step; empty where none has."""
    said: dict[str, list[int]] = {}
    for meta in data.steps:
        for fine, notes in dict(meta.get("notes") or {}).items():
            for each in notes if fine in chosen(data) else ():
                said.setdefault(f"{fine}: {each}", []).append(int(meta["step"]))
    return "; ".join(f"{each} (step {', '.join(map(str, at))})" for each, at in said.items())


def rows(data: Data) -> tuple[tuple[str, ...], ...]:
    """The table: regions by level, solves and errors of every step."""
    several = len(chosen(data)) > 1
    return tuple(
        (
            f"{fine} {s.number}" if several else str(s.number), *(str(s.regions[k]) for k in NAMES), str(s.asked), str(s.solves),
            str(s.checks), _error(s.measured), _error(s.expected),
        )
        for fine in chosen(data) for s in steps(data, fine)
    )  # fmt: skip


def _error(value: float) -> str:
    return text.number(value, 2) if np.isfinite(value) else "–"


def pictures(data: Data) -> list[Picture]:
    """Of every model: regions by level over the steps, where they lie at the end, and errors over the steps."""
    found: list[Picture | None] = []
    for fine in chosen(data):
        found += [_over_time(data, fine), _map(data, fine), _errors(data, fine)]
    return [made for made in found if made is not None]


def _over_time(data: Data, fine: str) -> Picture:
    taken = steps(data, fine)
    fig, axes = figure(5.2, 2.9)
    at, bottom = np.arange(len(taken)), np.zeros(len(taken))
    for level, name in NAMES.items():
        count = np.array([s.regions[level] for s in taken], float)
        if count.any():
            axes.bar(at, count, bottom=bottom, color=COLOURS[level], label=name, width=0.8)
        bottom += count
    shown = np.unique(np.linspace(0, len(taken) - 1, min(len(taken), 12)).astype(int))
    axes.set_xticks(shown, [str(taken[k].number) for k in shown])
    axes.set(xlabel="step", ylabel="regions")
    fig.legend(loc="outside upper right", ncols=3)
    return picture(
        fig, f"levels_{fine}", f"Regions of {fine} by the level that answered for them in the accepted sweep."
    )


def _map(data: Data, fine: str) -> Picture | None:
    level = data.read(f"sites/{fine}/level")
    sites = None if data.geometry is None else data.geometry.sites.get(fine)
    if (
        level is None
        or sites is None
        or data.geometry is None
        or data.geometry.dimension != 2
        or len(sites) != len(level)
    ):
        return None
    mesh = deformed(data)
    fig, axes = figure(5.2, 4.2)
    x, y = mesh.follow(sites).T
    draw_mesh(axes, mesh, GREY, 0.35)
    size = float(np.clip(9000.0 / len(x), 1.5, 40.0))
    for value, name in NAMES.items():
        on = level == value
        if on.any():
            axes.scatter(x[on], y[on], s=size, c=COLOURS[value], lw=0, zorder=2, label=f"{name} ({on.sum()})")
    _ring(data, fine, axes, x, y, size)
    fig.legend(loc="outside upper left", ncols=3)
    at = measures.scale(data.times, "s")
    caption = f"Where each level answered, after {at(data.times[-1]):.4g} {at.symbol}"
    ringed = any(len(flagged(data, fine, name)) for name in MARKS)
    return picture(fig, f"level_map_{fine}", caption + ("; rings: flagged by the monitor." if ringed else "."))


MARKS = {"scale_ratio": ("no scale separation", RED), "ellipticity": ("loss of ellipticity", GREEN)}


def _ring(data: Data, fine: str, axes: Any, x: Array, y: Array, size: float) -> None:
    """Rings around the regions that homogenisation does not serve."""
    for k, (name, (label, colour)) in enumerate(MARKS.items()):
        at = flagged(data, fine, name)
        if len(at):
            axes.scatter(
                x[at], y[at], s=size * (2.2 + k), fc="none", ec=colour, lw=1.1, zorder=3, label=f"{label} ({len(at)})"
            )


def _errors(data: Data, fine: str) -> Picture | None:
    """Largest expected and measured errors, on a logarithmic axis."""
    taken = steps(data, fine)
    fig, axes = figure(5.2, 2.9)
    drawn = False
    for values, label, colour, mark in (
        ([s.measured for s in taken], "measured by spot checks", BLUE, "o"),
        ([s.expected for s in taken], "expected of cheap answers", RED, "s"),
    ):
        on = [(s.number, v) for s, v in zip(taken, values, strict=True) if v > 0]
        if on:
            axes.semilogy(*zip(*on, strict=True), color=colour, marker=mark, label=label)
            drawn = True
    if not drawn:
        return None
    axes.set_xticks(sorted({s.number for s in taken})[:: max(1, len(taken) // 10)])
    axes.set(xlabel="step", ylabel="largest relative error")
    fig.legend(loc="outside upper right", ncols=2)
    return picture(fig, f"level_errors_{fine}", f"Largest error of answers of {fine} that no fine solve gave.")

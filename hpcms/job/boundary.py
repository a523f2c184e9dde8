"""Boundary conditions before there is a mesh: sides that exist, conditions that agree, a body that is held.

Works on any coarse model whose parameters have ``boundary``: entries with ``side``, ``between`` and conditions.
A condition *prescribes* a component of the unknown (``fixed``, ``temperature``) or *loads* it (``pressure``, ``flux``).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from hpcms.job.positions import Path
from hpcms.job.problems import Problems, did_you_mean, show
from hpcms.job.schema import Domain, Interval, Plane

SLACK = 1e-9  # of the length of a side
AXES = ("x", "y")
CONDITIONS = ("temperature", "flux", "fixed", "pressure")


def check_boundary(name: str, params: Any, domain: Domain, problems: Problems) -> None:
    """All conditions of one coarse field."""
    entries = getattr(params, "boundary", None)
    if not isinstance(entries, tuple):
        return
    path: Path = ("coarse", name, "boundary")
    good = [(i, e) for i, e in enumerate(entries) if _check_entry(e, (*path, i), domain, problems)]
    for (i, one), (k, other) in combinations(good, 2):
        clash = _clash(one, other)
        if clash and _overlap(one, other, domain):
            text = f"conflicting boundary conditions: {clash} on the {show(other.side)} side, see boundary[{i}]"
            problems.add((*path, k), text, "a part of a side: between = [...]")
    if len(good) == len(entries):
        _check_held(params, [e for _, e in good], path, domain, problems)


def _lengths(domain: Domain) -> dict[str, float]:
    """The sides there are, and how long each one is."""
    if isinstance(domain, Plane):
        width, height = domain.size
        return {"left": height, "right": height, "bottom": width, "top": width}
    return {"left": 0.0, "right": 0.0} if isinstance(domain, Interval) else {}


def _check_entry(entry: Any, path: Path, domain: Domain, problems: Problems) -> bool:
    """One entry on its own."""
    before, lengths = len(problems), _lengths(domain)
    if entry.side not in lengths:
        hint = did_you_mean(entry.side, lengths, "sides")
        problems.add((*path, "side"), f"no such side (got {show(entry.side)})", hint)
        return False
    between = getattr(entry, "between", None)
    if between is not None:
        low, high = between
        slack = SLACK * lengths[entry.side]
        if isinstance(domain, Interval):
            problems.add((*path, "between"), "an end of an interval has no parts", at_key=True)
        elif not -slack <= low < high <= lengths[entry.side] + slack:
            text = f"must be [low, high] within 0 and {lengths[entry.side]:g} m (got [{low:g} m, {high:g} m])"
            problems.add((*path, "between"), text)
    possible = [c for c in CONDITIONS if hasattr(entry, c)]
    given = [c for c in possible if getattr(entry, c) not in (None, ())]
    if possible and not given:
        problems.add(path, f"gives no condition; one of {', '.join(possible)}")
    if "temperature" in given and "flux" in given:
        problems.add(path, "conflicting boundary conditions: temperature and flux in one entry")
    for component in getattr(entry, "fixed", ()):
        if component not in AXES:
            problems.add((*path, "fixed"), f"no such component (got {show(component)})", "there are: x, y")
    if _prescribed(entry) & _loaded(entry) and "flux" not in given:
        axis = _normal(entry.side)
        problems.add(path, f"conflicting boundary conditions: {axis} is fixed where a pressure acts")
    _check_wave(getattr(entry, "temperature", None), path, problems)
    return len(problems) == before


def _check_wave(wave: Any, path: Path, problems: Problems) -> None:
    if hasattr(wave, "mean") and hasattr(wave, "amplitude") and wave.mean < abs(wave.amplitude):
        text = f"falls below 0 K (mean {wave.mean:g} K, amplitude {wave.amplitude:g} K)"
        problems.add((*path, "temperature"), text)


def _normal(side: str) -> str:
    return "x" if side in ("left", "right") else "y"


def _prescribed(entry: Any) -> set[str]:
    """Components of the unknown that the entry prescribes."""
    heat = {"T"} if getattr(entry, "temperature", None) is not None else set()
    return heat | set(getattr(entry, "fixed", ()))


def _loaded(entry: Any) -> set[str]:
    """Components that the entry loads."""
    heat = {"T"} if getattr(entry, "flux", None) is not None else set()
    return heat | ({_normal(entry.side)} if getattr(entry, "pressure", None) is not None else set())


def _clash(one: Any, other: Any) -> str:
    """What two entries of one side disagree about."""
    if one.side != other.side:
        return ""
    if (_prescribed(one) & _loaded(other)) | (_loaded(one) & _prescribed(other)):
        return "prescribed and loaded"
    twice = getattr(one, "temperature", None), getattr(other, "temperature", None)
    return "two temperatures" if None not in twice and twice[0] != twice[1] else ""


def _overlap(one: Any, other: Any, domain: Domain) -> bool:
    """Do two entries of the same side share more than a point?"""
    length = _lengths(domain)[one.side]
    if not length:
        return True
    a, b = getattr(one, "between", None) or (0.0, length), getattr(other, "between", None) or (0.0, length)
    return min(a[1], b[1]) - max(a[0], b[0]) > SLACK * length


def _check_held(params: Any, entries: list[Any], path: Path, domain: Domain, problems: Problems) -> None:
    """Without enough prescribed values the system is singular."""
    if getattr(params, "steady", False) and not any("T" in _prescribed(e) for e in entries):
        text = "no temperature is given anywhere: the steady state is not determined"
        problems.add(path, text, 'such as { side = "left", temperature = "0 degC" }')
    if not isinstance(domain, Plane) or not all(hasattr(e, "fixed") for e in entries):
        return
    if not entries and not hasattr(params, "gravity"):
        return  # no entry tells what kind of field this is
    rows = [row for e in entries for component in e.fixed for row in _rigid(e, component, domain)]
    held = int(np.linalg.matrix_rank(np.array(rows))) if rows else 0
    if held < 3:
        text = f"the body is not held: {3 - held} of its 3 rigid motions are free (missing Dirichlet condition)"
        problems.add(path, text, 'such as { side = "bottom", fixed = ["x", "y"] }')


def _rigid(entry: Any, component: str, domain: Plane) -> list[list[float]]:
    """What (shift along x, along y, rotation) do to a component at both ends of the entry's part of a side."""
    width, height = domain.size
    length = _lengths(domain)[entry.side]
    ends = entry.between or (0.0, length)
    across = {"left": 0.0, "right": 1.0, "bottom": 0.0, "top": 1.0}[entry.side]
    rows = []
    for end in ends:
        x, y = (across, end / height) if _normal(entry.side) == "x" else (end / width, across)
        rows.append([1.0, 0.0, -y] if component == "x" else [0.0, 1.0, x])
    return rows

"""Nodal fields of an interval: curves over x at several times."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps

from hpcms.contracts import Array
from hpcms.report import measures
from hpcms.report.data import Data
from hpcms.report.measures import KELVIN
from hpcms.report.style import Picture, figure, picture

TIMES = 6  # curves in a picture


def profiles(data: Data) -> list[Picture]:
    """One picture for every nodal field with one value a node."""
    if data.geometry is None or data.geometry.dimension != 1:
        return []
    made = []
    for name in sorted(path.split("/")[1] for path in data.arrays if path.startswith("coarse/")):
        held = data.history(f"coarse/{name}")
        nodes = len(data.geometry.points)
        if held is not None and held.values[0].size == nodes:
            made.append(_profile(data.geometry.points[:, 0], name, held.t, held.values.reshape(-1, nodes)))
    return made


def _profile(x: Array, name: str, t: Array, values: Array) -> Picture:
    order = np.argsort(x, kind="stable")
    picked = np.unique(np.linspace(0, len(t) - 1, TIMES).round().astype(int))
    clock = measures.scale(t, "s")
    shift, unit = (KELVIN, measures.Scale(1.0, "°C")) if name == "temperature" else (0.0, _unit(name, values))
    fig, axes = figure(5.2, 3.4)
    for rank, k in enumerate(picked):
        colour = colormaps["viridis"](0.9 * rank / max(1, len(picked) - 1))
        text = f"{clock(t[k]):.4g} {clock.symbol}"
        axes.plot(x[order], unit(values[k] - shift)[order], color=colour, label=text)
    words = name.replace("_", " ")
    axes.set(xlabel="x (m)", ylabel=measures.label(words, unit.symbol))
    axes.legend(title="time")
    return picture(fig, f"profile_{name}", f"{words.capitalize()} along the interval at several times.")


def _unit(name: str, values: Array) -> measures.Scale:
    return measures.scale(values, "m") if name == "displacement" else measures.Scale(1.0, "SI units")

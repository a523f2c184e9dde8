"""Pictures over time: settlement with the weather, other series, stress-strain paths; and the spread of answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.report import measures
from hpcms.report.data import Data
from hpcms.report.measures import KELVIN, Scale, Series
from hpcms.report.style import BLUE, CYCLE, GREY, RED, Picture, figure, picture

PATHS = 8  # material points whose path is drawn
_TENSOR = ("11", "22", "33", "23", "13", "12")


def settlement(data: Data) -> Picture | None:
    """Settlement over time (cm over days for a footing on snow), and the temperature of the surface below it."""
    found = measures.series(data)
    sinking, surface = found.get("settlement"), found.get("surface_temperature")
    if sinking is None or not sinking.t.max() > 0:  # at the start nothing has sunk yet
        return None
    rows = 1 if surface is None else 2
    size, heights = 2.9 + 1.4 * (rows - 1), [2.0, 1.0][:rows]
    fig, axes = figure(10.2, size, nrows=rows, sharex=True, squeeze=False, height_ratios=heights)
    unit, clock = draw_settlement(axes[0, 0], sinking)
    if surface is not None:
        axes[1, 0].plot(clock(surface.t), surface.values - KELVIN, "o-", color=RED, clip_on=False, zorder=3)
        axes[1, 0].set(ylabel="surface\ntemperature (°C)")
        axes[0, 0].set(xlabel="")
        axes[1, 0].set(xlabel=f"time ({clock.symbol})")
        fig.align_ylabels(axes[:, 0])
    end = f"{unit(sinking.values[-1]):.3g} {unit.symbol} after {clock(sinking.t[-1]):.4g} {clock.symbol}"
    caption = f"Settlement of the footing, positive downwards: {end}."
    if surface is not None:
        caption += " Below it, the temperature at the surface."
    return picture(fig, "settlement", caption + " Each mark is a committed step.", wide=True)


def draw_settlement(axes: Any, sinking: Series) -> tuple[Scale, Scale]:
    """Settlement over time, downwards as the footing goes; it starts at zero, before the load. Returns the units."""
    unit, clock = measures.scale(sinking.values, sinking.unit), measures.scale(sinking.t, "s")
    t, values = clock(sinking.t), unit(sinking.values) + 0.0  # no minus zero
    if t[0] > 0:
        t, values = np.concatenate([[0.0], t]), np.concatenate([[0.0], values])
    axes.plot(t, values, "o-", color=BLUE, clip_on=False, zorder=3)
    axes.fill_between(t, values, color=BLUE, alpha=0.08, lw=0)
    axes.set(xlabel=f"time ({clock.symbol})", ylabel=f"settlement ({unit.symbol})", xlim=(0, t[-1]))
    axes.invert_yaxis()
    return unit, clock


def other_series(data: Data) -> list[Picture]:
    """Every further series of the summary, one picture each."""
    made, every = [], measures.series(data)
    for name, found in sorted(every.items()):
        drawn = name == "settlement" or (name == "surface_temperature" and "settlement" in every)
        if not drawn and len(found.t) > 1:
            made.append(_series(name, found))
    return made


def _series(name: str, found: Series) -> Picture:
    words = name.replace("_", " ")
    clock = measures.scale(found.t, "s")
    values, symbol = found.values, found.unit
    if found.unit == "K" and "temperature" in name:
        values, symbol = found.values - KELVIN, "°C"
    elif found.unit or "strain" in name:
        unit = measures.scale(found.values, found.unit)
        values, symbol = unit(found.values), unit.symbol
    fig, axes = figure(5.2, 2.8)
    axes.plot(clock(found.t), values, "o-", color=BLUE)
    axes.set(xlabel=f"time ({clock.symbol})", ylabel=measures.label(words, symbol))
    return picture(fig, f"series_{name}", f"{words.capitalize()} over time.")


def paths(data: Data) -> list[Picture]:
    """Stress over strain of material points, each in the component that it is strained in most."""
    made = []
    for fine in data.fines:
        stress, strain = data.history(f"sites/{fine}/stress"), data.history(f"sites/{fine}/strain")
        if stress is None or strain is None or stress.values.shape != strain.values.shape or strain.values.ndim != 3:
            continue
        main = np.argmax(np.abs(strain.values).max(axis=0), axis=1)
        for component in np.unique(main):
            points = np.flatnonzero(main == component)
            shear = np.sqrt(2.0) if component >= 3 else 1.0  # Mandel to tensor component
            eps, sigma = strain.values[:, :, component] / shear, stress.values[:, :, component] / shear
            made.append(_path(fine, _TENSOR[component], points, eps, sigma))
    return made


def _path(fine: str, component: str, points: Array, eps: Array, sigma: Array) -> Picture:
    """``eps``, ``sigma``: (steps, all points)."""
    unit, part = measures.scale(sigma[:, points], "Pa"), measures.scale(eps[:, points], "")
    shown = points[np.unique(np.linspace(0, len(points) - 1, min(PATHS, len(points))).round().astype(int))]
    fig, axes = figure(5.2, 3.6)
    for rank, point in enumerate(shown):
        x, y = np.concatenate([[0.0], eps[:, point]]), np.concatenate([[0.0], sigma[:, point]])
        axes.plot(part(x), unit(y), "o-", ms=3, color=CYCLE[rank % len(CYCLE)], alpha=0.9, label=f"point {point}")
    axes.axhline(0, color=GREY, lw=0.8)
    xlabel, ylabel = (
        measures.label(f"strain {component}", part.symbol),
        measures.label(f"stress {component}", unit.symbol),
    )
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if len(shown) > 1:
        axes.legend(ncols=2)
    which = f"point {shown[0]}" if len(shown) == 1 else f"{len(shown)} points"
    caption = f"Stress over strain of {which} of {fine}, component {component}."
    return picture(fig, f"path_{fine}_{component}", caption)


def spread(data: Data) -> list[Picture]:
    """How the answers differ between the regions: a histogram of the size of each."""
    made = []
    for fine in data.fines:
        for answer, name, unit in (
            ("stress", "equivalent stress", "Pa"),
            ("tangent", "", "W/(m K)"),
            ("density", "density", "kg/m³"),
        ):
            values = data.read(f"sites/{fine}/{answer}")
            if values is None or len(values) < 8:
                continue
            if answer == "stress" and data.geometry is not None and data.geometry.dimension:
                continue  # in a domain it says where a region lies, not how its window differs
            if answer == "tangent":
                if values.shape[1:] != (3, 3):
                    continue
                name, values = "conductivity", -np.trace(values, axis1=1, axis2=2) / 3.0
            elif answer == "stress":
                values = measures.equivalent_stress(values)
            if np.ptp(values) > 1e-9 * np.abs(values).max(initial=0.0):
                made.append(_histogram(fine, name, np.ravel(values), unit))
    return made


def _histogram(fine: str, name: str, values: Array, unit: str) -> Picture:
    suited = measures.scale(values, unit)
    shown = suited(values[np.isfinite(values)])
    fig, axes = figure(5.2, 2.8)
    middle, width = float(np.mean(shown)), float(np.ptp(shown))
    pad = 0.0 if width > 1e-12 * abs(middle) else max(abs(middle) * 1e-3, 1e-12)
    axes.hist(
        shown,
        bins=min(30, max(6, len(shown) // 6)),
        range=(shown.min() - pad, shown.max() + pad),
        color=BLUE,
        alpha=0.85,
    )
    axes.axvline(middle, color=RED, lw=1.6)
    axes.set(xlabel=measures.label(name, suited.symbol), ylabel="number of regions")
    caption = (
        f"{name.capitalize()} of the {len(shown)} regions of {fine} at the last step. "
        f"The line is the mean, {middle:.4g} {suited.symbol}; standard deviation {np.std(shown):.3g} {suited.symbol}."
    )
    return picture(fig, f"spread_{fine}_{name.split()[-1]}", caption)

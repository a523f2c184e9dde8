"""Maps of a plane domain: nodal fields on the deformed mesh, stress and creep rate at the Gauss points."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.patches import Rectangle

from hpcms.contracts import Array
from hpcms.report import measures
from hpcms.report.data import Data
from hpcms.report.measures import KELVIN
from hpcms.report.mesh import Deformed, deform
from hpcms.report.style import GREY, INK, RED, Picture, bare, colour_bar, figure, haloed, picture

WORST = 3  # regions that are ringed on the map and shown in detail


def coarse_fields(data: Data) -> list[Picture]:
    """Temperature, vertical displacement, stress and creep rate at the end, as far as the run has them."""
    if data.geometry is None or data.last is None or data.geometry.dimension != 2:
        return []
    made = (_temperature(data), _sinking(data), _loads(data), _creep_rate(data))
    return [found for found in made if found is not None]


def deformed(data: Data) -> Deformed:
    """The mesh at the last step; only for a plane domain."""
    assert data.geometry is not None
    u = data.read("coarse/displacement")
    return deform(data.geometry, u if u is not None and u.ndim == 2 and u.shape[1] == 2 else None)


def draw_nodal(axes: Any, mesh: Deformed, values: Array, cmap: str) -> Any:
    """A nodal field with the mesh on it; returns what a colour bar needs."""
    triangulation, at_corners = mesh.triangles(values)
    shown = axes.tripcolor(triangulation, at_corners, shading="gouraud", cmap=cmap)
    draw_mesh(axes, mesh, "white", 0.35)
    return shown


def draw_mesh(axes: Any, mesh: Deformed, colour: str, alpha: float) -> None:
    """Cell edges, thinner where there are many, the domain before loading, and the equal axes of a map."""
    width = float(np.clip(18.0 / np.sqrt(len(mesh.outlines)), 0.1, 0.6))
    axes.add_collection(
        PolyCollection(list(mesh.outlines), facecolors="none", edgecolors=colour, linewidths=width, alpha=alpha)
    )
    low, size = mesh.geometry.points.min(axis=0), np.ptp(mesh.geometry.points, axis=0)
    axes.add_patch(Rectangle(low, size[0], size[1], fill=False, ls=(0, (4, 3)), lw=0.7, ec=GREY, clip_on=False))
    least, most = _extent(mesh)
    axes.set(aspect="equal", xlabel="x (m)", ylabel="y (m)", xlim=(least[0], most[0]), ylim=(least[1], most[1]))
    bare(axes)


def _extent(mesh: Deformed) -> tuple[Array, Array]:
    """Corners of a box around the mesh before and after, with a small margin."""
    both = np.vstack([mesh.geometry.points, mesh.points])
    margin = 0.012 * float(np.ptp(both, axis=0).max())
    return both.min(axis=0) - margin, both.max(axis=0) + margin


def draw_footing(axes: Any, data: Data, mesh: Deformed) -> None:
    """The loaded strip as a block on the moved surface."""
    foot = measures.footing(data)
    if foot is None:
        return
    x, height = mesh.surface(np.linspace(foot.left, foot.right, 21)).T
    thick = 0.05 * float(np.ptp(mesh.geometry.points[:, 1]))
    block = Rectangle((x.min(), height.mean()), np.ptp(x), thick, fc=INK, ec="none", zorder=3, clip_on=False)
    axes.add_patch(block)
    top = max(float(height.mean()) + thick, _extent(mesh)[1][1])
    unit = measures.scale(foot.pressure, "Pa")
    text = f"{unit(foot.pressure):.3g} {unit.symbol}"
    axes.annotate(text, (float(x.mean()), top), (0, 2), textcoords="offset points", ha="center", annotation_clip=False)


def _ending(data: Data, mesh: Deformed) -> str:
    """When the picture is from, and how much the motion is enlarged."""
    clock = measures.scale(data.times, "s")
    reached = f"{clock(data.times[-1]):.4g} {clock.symbol}"
    if mesh.magnification == 1.0:
        return f"after {reached}; displacements are to scale."
    return f"after {reached}; displacements are drawn {mesh.magnification:g} times as large."


def _canvas(mesh: Deformed) -> tuple[Any, Any]:
    """A figure 5.2 inches wide whose height suits the domain."""
    width, height = np.subtract(*_extent(mesh)[::-1])
    return figure(5.2, float(np.clip(0.8 + 3.72 * height / width, 1.6, 6.5)))


def _map(data: Data, values: Array, text: str, cmap: str, name: str, caption: str) -> Picture:
    mesh = deformed(data)
    fig, axes = _canvas(mesh)
    colour_bar(fig, draw_nodal(axes, mesh, values, cmap), axes, text)
    draw_footing(axes, data, mesh)
    return picture(fig, name, f"{caption} {_ending(data, mesh)} The dashed line is the domain before loading.")


def _temperature(data: Data) -> Picture | None:
    values = data.read("coarse/temperature")
    if values is None or values.ndim != 1:
        return None
    return _map(data, values - KELVIN, "temperature (°C)", "cividis", "temperature", "Temperature")


def _sinking(data: Data) -> Picture | None:
    u = data.read("coarse/displacement")
    if u is None or u.ndim != 2 or u.shape[1] != 2 or not np.any(u):
        return None
    unit = measures.scale(u[:, 1], "m")
    text = measures.label("vertical displacement", unit.symbol)
    return _map(data, unit(u[:, 1]), text, "viridis", "displacement", "Vertical displacement")


def _loads(data: Data) -> Picture | None:
    """Equivalent stress (or flux) at the sites, with the worst ones ringed."""
    measure = measures.severity(data)
    if measure is None:
        return None
    return _sites(data, measure.fine, measure.values, measure.unit, measure.name, WORST)


def _creep_rate(data: Data) -> Picture | None:
    for fine in data.fines:
        rate = data.read(f"sites/{fine}/creep_rate")
        if rate is not None and rate.ndim == 2 and rate.shape[1] == 6 and np.any(rate):
            return _sites(data, fine, measures.equivalent_strain(rate), "1/s", "equivalent creep rate", 0)
    return None


def _sites(data: Data, fine: str, values: Array, unit: str, name: str, rings: int) -> Picture | None:
    """A dot at each Gauss point on the deformed mesh."""
    sites = None if data.geometry is None else data.geometry.sites.get(fine)
    if sites is None or len(values) != len(sites):
        return None
    mesh = deformed(data)
    fig, axes = _canvas(mesh)
    suited = measures.scale(values, unit)
    x, y = mesh.follow(sites).T
    draw_mesh(axes, mesh, GREY, 0.35)
    size = float(np.clip(9000.0 / len(x), 1.5, 46.0))
    shown = axes.scatter(x, y, c=suited(values), s=size, cmap="viridis", lw=0, zorder=2)
    colour_bar(fig, shown, axes, measures.label(name, suited.symbol))
    for rank, site in enumerate(measures.worst(values, rings), start=1):
        axes.scatter(x[site], y[site], s=size + 45, fc="none", ec=RED, lw=1.6, zorder=4)
        number = axes.annotate(
            str(rank), (x[site], y[site]), (8, -4), textcoords="offset points", color=RED, weight="bold"
        )
        haloed(number)
    draw_footing(axes, data, mesh)
    caption = f"{name.capitalize()} at the {len(x)} Gauss points {_ending(data, mesh)}"
    if rings:
        below = f"fine_{fine}/phase" in data.arrays
        caption += f" Rings mark the regions {'that are shown in detail below' if below else 'with the largest'}."
    return picture(fig, "sites_" + name.split()[-1], caption)

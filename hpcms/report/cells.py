"""The worst regions: what the fine model saw inside their windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from hpcms.contracts import Array
from hpcms.folded import unfolded
from hpcms.report import measures
from hpcms.report.data import Data
from hpcms.report.fields import WORST
from hpcms.report.style import FAINT, GREY, RED, Picture, bare, colour_bar, figure, picture

_VOID, _SOLIDS = "#eceff2", ("#8fa9bd", "#c3d3df", "#5e7f99", "#d9c8a9")


@dataclass(frozen=True)
class Cell:
    """One region at the last step. ``phase``: (nx, ny, nz) labels into ``names``; ``voids``: labels that carry no load;
    ``creep``: (nx, ny, nz) equivalent creep strain or None; ``load``: how hard it is loaded, in ``unit``.
    """

    fine: str
    region: int
    phase: Array
    creep: Array | None
    load: float
    unit: str
    measure: str
    names: tuple[str, ...] = ()
    voids: tuple[int, ...] = ()

    @property
    def void(self) -> Array:
        """(nx, ny, nz) where there is nothing that carries."""
        return np.isin(self.phase, self.voids)

    @property
    def fractions(self) -> str:
        """Volume fractions of the phases: ice 59 %."""
        labels = [label for label in np.unique(self.phase) if label not in self.voids]
        shares = [f"{self.name(int(label))} {100 * np.mean(self.phase == label):.0f} %" for label in labels]
        return ", ".join(shares) or "empty"

    def name(self, label: int) -> str:
        return self.names[label] if label < len(self.names) else f"phase {label}"


def worst_cells(data: Data, count: int = WORST) -> list[Cell]:
    """The ``count`` regions with the largest stress (or flux) at the last step, largest first."""
    ranked = measures.severity(data)
    if ranked is None:
        return []
    names, voids = _phases(data, ranked.fine)
    found = []
    for region in measures.worst(ranked.values, count):
        phase = data.read_region(f"fine_{ranked.fine}/phase", region)
        if phase is None or phase.ndim != 3:
            continue
        creep = voxel_creep(data.read_region(f"fine_{ranked.fine}/creep_strain", region), phase)
        load = float(ranked.values[region])
        found.append(Cell(ranked.fine, region, phase, creep, load, ranked.unit, ranked.name, names, voids))
    return found


def _phases(data: Data, fine: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of the phases and the labels of voids. A model labels its phases in the order of its own table in the job;
    a phase of a solid without stiffness is a void.
    """
    table = dict(dict(data.resolved.get("fine") or {}).get(fine) or {}).get("phases") or {}
    voids = [k for k, phase in enumerate(table.values()) if not phase.get("youngs_modulus", 1.0)]
    return tuple(str(name) for name in table), tuple(voids)


def voxel_creep(history: Array | None, phase: Array) -> Array | None:
    """(nx, ny, nz) equivalent creep strain, the mean over the Gauss points of a voxel; history (nx, ny, nz, .., 6)."""
    if history is None or history.ndim < 4 or history.shape[-1] != 6:
        return None
    size = measures.equivalent_strain(history).reshape(*history.shape[:3], -1).mean(axis=-1)
    size = unfolded(size, phase.shape)
    return np.asarray(size) if size.shape == phase.shape else None


def worst_windows(data: Data) -> list[Picture]:
    """A slice of each of the worst cells through its most strained voxel, with one colour scale for all."""
    cells = worst_cells(data)
    strains = [cell.creep for cell in cells if cell.creep is not None]
    top = max((float(creep.max()) for creep in strains), default=0.0)
    return [_window(data, rank, cell, top) for rank, cell in enumerate(cells, start=1)]


def _window(data: Data, rank: int, cell: Cell, top: float) -> Picture:
    nx, ny = cell.phase.shape[:2]
    fig, axes = figure(3.5, float(np.clip(1.35 + 2.75 * ny / nx, 2.0, 7.0)))
    place = _place(data, cell)
    depth = draw_slice(fig, axes, cell, top)
    axes.set_title(f"{rank}   region {cell.region}", color=RED)
    if place is not None:
        _locator(axes, data, place)
    unit = measures.scale(cell.load, cell.unit)
    text = f"Region {cell.region}"
    if place is not None:
        text += f" at x = {place[0]:.3g} m, y = {place[1]:.3g} m"
    text += f": {cell.measure} {unit(cell.load):.3g} {unit.symbol}, {cell.fractions}"
    if cell.creep is not None and cell.creep.max() > 0:
        strain = measures.scale(cell.creep.max(), "")
        text += f", largest equivalent creep strain {strain(cell.creep.max()):.3g} {strain.symbol}"
    return picture(fig, f"cell_{rank}", f"{text}. Slice at z = {depth} of {cell.phase.shape[2]} voxels.")


def draw_slice(fig: Any, axes: Any, cell: Cell, top: float) -> int:
    """The slice through the most strained voxel, by creep strain up to ``top`` or else by phase; returns its z."""
    creep = cell.creep if cell.creep is not None and top > 0 else None
    where = int(np.argmax(creep if creep is not None else ~cell.void))
    depth = int(np.unravel_index(where, cell.phase.shape)[2])
    nx, ny = cell.phase.shape[:2]
    how = {"origin": "lower", "extent": (0, nx, 0, ny), "interpolation": "nearest"}
    solids = iter(_SOLIDS * 64)
    colours = [_VOID if label in cell.voids else next(solids) for label in range(256)]
    axes.imshow(cell.phase[:, :, depth].T, cmap=ListedColormap(colours), norm=Normalize(0, 255), **how)
    if creep is not None:
        unit = measures.scale(top, "")
        shown = np.ma.masked_where(cell.void[:, :, depth].T, unit(creep[:, :, depth].T))
        image = axes.imshow(shown, cmap="viridis", norm=Normalize(0, unit(top)), **how)
        colour_bar(fig, image, axes, measures.label("equivalent creep strain", unit.symbol), below=ny / nx)
    else:
        labels = [int(label) for label in np.unique(cell.phase)]
        handles = [Patch(fc=colours[label], ec=GREY, lw=0.5, label=cell.name(label)) for label in labels]
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.18 * nx / ny), ncols=3)
    axes.add_patch(Rectangle((0, 0), nx, ny, fill=False, ec=GREY, lw=0.8))
    axes.set(xlabel="x (voxels)", ylabel="y (voxels)", aspect="equal")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    bare(axes)
    return depth


def _place(data: Data, cell: Cell) -> Array | None:
    """(2,) m where the region sits in the domain."""
    geometry = data.geometry
    if geometry is None or geometry.dimension == 0 or cell.region >= len(geometry.sites.get(cell.fine, ())):
        return None
    return np.asarray(geometry.sites[cell.fine][cell.region])


def _locator(axes: Any, data: Data, place: Array) -> None:
    """A small map of the domain with a dot, in the corner above the slice."""
    assert data.geometry is not None
    low, size = data.geometry.points.min(axis=0), np.ptp(data.geometry.points, axis=0)
    small = axes.inset_axes((0.76, 1.02, 0.24, 0.14))
    small.add_patch(Rectangle((low[0], low[1]), size[0], max(size[1], 0.05 * size[0]), fc=FAINT, ec=GREY, lw=0.7))
    small.plot(place[0], place[1], "o", color=RED, ms=4)
    small.set(aspect="equal", xticks=[], yticks=[])
    bare(small)

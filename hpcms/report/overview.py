"""One picture that tells the whole story: settlement, a field with its sites, one cell. For the README."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from hpcms.report import cells, fields, history, measures
from hpcms.report.data import Data
from hpcms.report.style import RED, Picture, colour_bar, picture


def overview(data: Data) -> Picture | None:
    """The coarse field with the worst site ringed, its cell, and the settlement; None for a run without one of them."""
    if data.geometry is None or data.geometry.dimension != 2:
        return None
    ranked, worst = measures.severity(data), cells.worst_cells(data, 1)
    sinking, values = measures.series(data).get("settlement"), data.read("coarse/temperature")
    if ranked is None or not worst or ranked.fine not in data.geometry.sites:
        return None
    if sinking is None or not sinking.t.max() > 0 or values is None:
        return None
    mesh = fields.deformed(data)
    figure = FigureCanvasAgg(Figure(figsize=(11.0, 3.6), layout="constrained")).figure
    field, cell, curve = figure.subplots(ncols=3, width_ratios=[1.45, 0.95, 1.15])
    colour_bar(
        figure,
        fields.draw_nodal(field, mesh, values - measures.KELVIN, "cividis"),
        field,
        "temperature (°C)",
        below=1.0,
    )
    fields.draw_footing(field, data, mesh)
    sites = mesh.follow(data.geometry.sites[ranked.fine])
    place = sites[worst[0].region]
    field.plot(*sites.T, ".", color="white", ms=float(np.clip(60 / np.sqrt(len(sites)), 0.3, 3.5)), alpha=0.7)
    field.plot(*place, "o", mfc="none", mec=RED, mew=1.8, ms=9)
    top = 0.0 if worst[0].creep is None else float(worst[0].creep.max())
    cells.draw_slice(figure, cell, worst[0], top)
    for corner in (0, worst[0].phase.shape[1]):
        link = ConnectionPatch(place, (0, corner), "data", "data", axesA=field, axesB=cell, color=RED, lw=0.9, zorder=5)
        link.set_in_layout(False)
        figure.add_artist(link)
    history.draw_settlement(curve, sinking)
    field.set_title("coarse: the whole domain", pad=18)
    cell.set_title("fine: a cell at each Gauss point", pad=18)
    curve.set_title("what follows: settlement", pad=18)
    return picture(
        figure, "overview", "The coarse field, one of its cells, and what follows for the footing.", wide=True
    )

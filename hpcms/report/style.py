"""How the figures look, and how a figure becomes a picture of the page."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patheffects import withStroke

# Okabe and Ito, Color Universal Design (2008): told apart with every common colour blindness
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, INK, GREY, FAINT = "#56B4E9", "#CC79A7", "#1f2933", "#7b8794", "#e4e7eb"
CYCLE = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
KINDS = {"fine": BLUE, "coarse": RED, "commit": GREEN, "begin": ORANGE}

DPI = 180
_FONTS = ("Inter", "Helvetica Neue", "Helvetica", "Arial", "Liberation Sans")


def _family() -> list[str]:
    """The first of the page's fonts that is here, then the one that matplotlib ships (it has every glyph we use)."""
    here = set(fontManager.get_font_names())
    return [*[name for name in _FONTS if name in here][:1], "DejaVu Sans"]


def looks() -> Any:
    """A context in which figures are drawn in the style of the page."""
    return rc_context(
        {
            "font.family": _family(),
            "font.size": 9.5,
            "mathtext.fontset": "dejavusans",
            "axes.titlesize": 10.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelcolor": INK,
            "axes.edgecolor": GREY,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "grid.color": FAINT,
            "grid.linewidth": 0.8,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.major.size": 3,
            "ytick.major.size": 3,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "lines.markersize": 4.5,
            "text.color": INK,
            "image.cmap": "viridis",
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
        }
    )


@dataclass(frozen=True)
class Picture:
    """A figure of the page. ``name``: file name without ending; ``wide``: takes the whole width of the page."""

    name: str
    caption: str
    png: bytes
    wide: bool = False


def figure(width: float, height: float, **layout: Any) -> tuple[Figure, Any]:
    """A figure of ``width`` x ``height`` inches and its axes (``layout``: as for ``Figure.subplots``)."""
    canvas = FigureCanvasAgg(Figure(figsize=(width, height), layout="constrained"))
    return canvas.figure, canvas.figure.subplots(**layout)


def picture(fig: Figure, name: str, caption: str, wide: bool = False) -> Picture:
    """The figure as PNG. The software's name and date are left out, so equal data give equal bytes."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(name, caption, buffer.getvalue(), wide)


def colour_bar(fig: Figure, mappable: Any, axes: Axes, text: str, below: float = 0.0) -> Any:
    """A slim colour bar with its label, as long as the side of the axes that it stands at: the right one, or the lower
    one of axes whose height is ``below`` times their width.
    """
    box = (0.0, -0.26 / below, 1.0, 0.045 / below) if below else (1.03, 0.0, 0.035, 1.0)
    cax = axes.inset_axes(box)
    bar = fig.colorbar(mappable, cax=cax, label=text, orientation="horizontal" if below else "vertical")
    bar.outline.set_visible(False)
    return bar


def haloed(fig_text: Any) -> None:
    """A white edge around a text, so it can be read on any ground."""
    fig_text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def bare(axes: Axes) -> None:
    """No grid and no frame: for maps and images."""
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)

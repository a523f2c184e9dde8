"""Write everything that belongs to a report into the run directory."""

from __future__ import annotations

from pathlib import Path

from hpcms.report import cells, page, vtkhdf
from hpcms.report.data import Data
from hpcms.report.load import load
from hpcms.report.overview import overview
from hpcms.report.style import Picture, looks


def write_report(rundir: Path) -> Path:
    """Write report.html, figures/*.png, coarse.vtkhdf and fine_worst.vtkhdf into ``rundir``; returns the page's path.

    A report can be written at any time, also of a run that is still going: it shows what is committed.
    """
    return write(load(Path(rundir)))


def write(data: Data) -> Path:
    """As `write_report`, from a view that is already open."""
    with looks():
        parts = page.sections(data)
        front = overview(data)
    pictures = [made for part in parts for made in part.pictures] + ([front] if front else [])
    _figures(data.rundir / "figures", pictures)
    exports = [vtkhdf.write_coarse(data, data.rundir / "coarse.vtkhdf")]
    exports += [vtkhdf.write_cell(cell, data.rundir / "fine_worst.vtkhdf") for cell in cells.worst_cells(data, 1)]
    path = data.rundir / "report.html"
    path.write_text(page.render(data, parts, [made.name for made in exports if made]), encoding="utf-8")
    return path


def _figures(folder: Path, pictures: list[Picture]) -> None:
    folder.mkdir(exist_ok=True)
    for made in pictures:
        (folder / f"{made.name}.png").write_bytes(made.png)

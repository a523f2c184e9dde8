"""The one place of this room that knows how a run lies on disk: it fills the `Data` view and never changes the run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.report.data import Data, Geometry
from hpcms.store.run import OpenedRun, open_run


def load(rundir: Path) -> Data:
    """The view of the run in ``rundir``."""
    opened = open_run(rundir)
    state, why = _status(rundir)
    return Data(
        rundir=rundir,
        job_text=opened.job_text,
        resolved=opened.resolved,
        summary=_json(rundir / "summary.json"),
        steps=opened.steps(),
        records=opened.records(),
        state=state,
        why=why,
        state_hash=opened.head.state_hash,
        geometry=_geometry(opened),
        arrays=_changing(opened),
        reader=_Reader(opened),
    )


def _changing(opened: OpenedRun) -> frozenset[str]:
    """Paths of the fields, answers and fine states; not the coordinates and constants."""
    stepped = {path for path in opened.paths if opened.specs[path].stepped and "/" in path}
    return frozenset(stepped | {path for path in opened.paths if path.startswith("fine_")})


@dataclass(frozen=True)
class _Reader:
    """Arrays of an opened run. Step 0 is the start: nothing was asked yet, so it holds no answers at the sites."""

    opened: OpenedRun

    def read(self, path: str, step: int) -> Array | None:
        return None if self._before_any_answer(path, step) else self.opened.read(path, step)

    def read_region(self, path: str, region: int, step: int) -> Array | None:
        return None if self._before_any_answer(path, step) else self.opened.read_region(path, region, step)

    def _before_any_answer(self, path: str, step: int) -> bool:
        return step == 0 and path.startswith("sites/")


def _geometry(opened: OpenedRun) -> Geometry | None:
    """The mesh and the sites of every fine model; a domain with x alone is an interval."""
    points = _points(opened, "coarse")
    if points is None:
        return None
    cells = opened.read("coarse/cells") if "coarse/cells" in opened.paths else np.zeros((0, 4))
    models = sorted({path.split("/")[1] for path in opened.paths if path.startswith("sites/")})
    sites = {model: _points(opened, f"sites/{model}") for model in models}
    found = {model: place for model, place in sites.items() if place is not None}
    return Geometry(points, cells.astype(np.int64), found)


def _points(opened: OpenedRun, group: str) -> Array | None:
    """(n, 2) m coordinates of the items of a group; y is 0 where there is none."""
    if f"{group}/x" not in opened.paths:
        return None
    x = opened.read(f"{group}/x")
    y = opened.read(f"{group}/y") if f"{group}/y" in opened.paths else np.zeros_like(x)
    return np.column_stack([x, y])


def _status(rundir: Path) -> tuple[str, str]:
    """What the run last said of itself, and why it ended; one that says running without a process was interrupted."""
    known = _json(rundir / "status.json")
    state, pid = str(known.get("state") or ""), known.get("pid")
    if state in ("starting", "running"):
        state = "running" if isinstance(pid, int) and os.path.exists(f"/proc/{pid}") else "interrupted"
    return state, str(known.get("why") or "")


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none or it was cut off while it was written."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

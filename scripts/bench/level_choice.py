#!/usr/bin/env python
"""Fine solves that the level choice saves: a plate with a hole, every region solved against only where it is called for.

A table and, with --json, one JSON line last; two to four minutes, --full (a finer mesh) about ten. ``saved_solves`` is the
number of fine solves of the full two-scale run over that of the chosen one, counted by the runs themselves, with the
one solve for the tangent at rest; it counts only where both goals (how far the hole widens and narrows) are within 1 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import hpcms
from hpcms.engine.build import domain_of
from hpcms.job import load_job
from hpcms.problem.mesh import build_mesh
from hpcms.verify.quantities.levels import count, goals

JOB = Path(__file__).parents[2] / "jobs" / "plate_with_hole.toml"
CHOICE = {"fine.where_needed.stress": "70 MPa", "fine.where_needed.similar": 0.15}
LOADS = ("48 MPa", "50 MPa", "52 MPa")
LIMIT = 0.01


def case(load: str, elements: tuple[int, int], folder: Path) -> dict[str, float]:
    """One load: fine solves and CPU seconds of both runs, and the error of the goals."""
    boundary = [
        {"side": "left", "fixed": ["x"]},
        {"side": "bottom", "fixed": ["y"]},
        {"side": "right", "pressure": f"-{load}"},
    ]
    common: dict[str, Any] = {"domain.elements": list(elements), "coarse.solid.boundary": boundary}
    mesh = build_mesh(domain_of(load_job(JOB, overrides=common)))
    found: dict[str, Any] = {}
    for name, own in (("cell", {"coarse.solid.fine": "cell"}), ("where_needed", CHOICE)):
        out = folder / f"{name} {load}"
        summary = hpcms.run(JOB, on="inline", out=out, overrides={**common, **own})
        run = hpcms.open_run(out)
        found[name] = count(run, name), summary.cpu_s, goals(run, mesh)
    (full, cpu, true), (chosen, cheap, got) = found["cell"], found["where_needed"]
    error = float(abs(got / true - 1).max())
    return {
        "full": full, "chosen": chosen + 1, "error": error, "cpu_full": cpu, "cpu_chosen": cheap,
        "saved": full / (chosen + 1) if error <= LIMIT else 0.0,
    }  # fmt: skip


def measure(elements: tuple[int, int] = (20, 14), loads: tuple[str, ...] = LOADS) -> dict[str, dict[str, float]]:
    """``saved_solves`` over the loads; zero where the error in a goal is above 1 %."""
    with tempfile.TemporaryDirectory() as folder:
        rows = {load: case(load, elements, Path(folder)) for load in loads}
    print(f"{elements[0]} x {elements[1]} cells, {4 * elements[0] * elements[1]} regions")
    print(f"{'load':>8} {'all':>7} {'chosen':>7} {'saved':>7} {'error':>8} {'CPU s':>8} {'chosen':>8}")
    for load, r in rows.items():
        print(
            f"{load:>8} {r['full']:7.0f} {r['chosen']:7.0f} {r['saved']:6.1f}x {r['error']:8.1e} "
            f"{r['cpu_full']:8.1f} {r['cpu_chosen']:8.1f}"
        )
    saved = [r["saved"] for r in rows.values()]
    return {"saved_solves": {"median": statistics.median(saved), "min": min(saved), "max": max(saved)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--full", action="store_true")
    given = parser.parse_args()
    found = measure((32, 24) if given.full else (20, 14))
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()

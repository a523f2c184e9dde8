"""Converged values of jobs/reference_problem.toml with error bars, from three refinements on both scales.

    python scripts/bench/reference_table.py [--json] [--on local:2] [--write FILE]

Nine runs: meshes of 8 x 6, 16 x 12, 32 x 24 elements times cells of 8^2, 16^2, 32^2 voxels. On each scale, the other one finest,
three values f1, f2, f3 give the rest f3 - f(0) of a geometric sequence, (f3 - f2) / (r - 1) with r = (f2 - f1) / (f3 - f2). The
converged value is that of the finest run plus both rests. The bar is the sum of: on each scale the rest itself, as it is known
no better than by the order that r shows; where r does not lie between 1.5 and 8, three times the larger of the last difference
and a quarter of the first.
``--json``: the JSON line only.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hpcms import engine
from hpcms.job import load_job
from hpcms.store.run import open_run
from hpcms.verify.quantities.reference import FIGURES, values

JOB = Path(__file__).parents[2] / "jobs" / "reference_problem.toml"
MESHES = ((8, 6), (16, 12), (32, 24))
CELLS = (8, 16, 32)


def solved(mesh: tuple[int, int], edge: int, on: str, folder: Path) -> np.ndarray:
    """``FIGURES`` of one run."""
    overrides: dict[str, object] = {"domain.elements": list(mesh), "microstructure.shape": [edge, edge, 1]}
    out = folder / f"{mesh[0]}-{edge}"
    engine.run(JOB, out=out, on=on, overrides=overrides)
    return values(open_run(out), load_job(JOB, overrides=overrides))


def rest(f: np.ndarray) -> tuple[float, float, float]:
    """What is missing from f[2] to the limit, the bar on it, and the observed order (NaN where there is none)."""
    first, second = f[1] - f[0], f[2] - f[1]
    ratio = first / second if second else math.inf
    if 1.5 <= ratio <= 8.0:
        missing = second / (ratio - 1)
        return missing, abs(missing), math.log2(ratio)
    return 0.0, 3 * max(abs(first) / 4, abs(second)), math.nan


def table(grid: np.ndarray) -> list[dict[str, Any]]:
    """``grid``: (meshes, cells, figures)."""
    rows = []
    for k, (name, unit) in enumerate(FIGURES.items()):
        coarse, fine = rest(grid[:, -1, k]), rest(grid[-1, :, k])
        rows.append({
            "figure": name, "unit": unit, "value": grid[-1, -1, k] + coarse[0] + fine[0], "bar": coarse[1] + fine[1],
            "order_mesh": coarse[2], "order_cell": fine[2], "grid": grid[:, :, k].tolist(),
        })  # fmt: skip
    return rows


def text(rows: list[dict[str, Any]]) -> str:
    """The table for people."""
    lines = ["| figure | unit | converged | +- | order in H | order in h |", "| --- | --- | --- | --- | --- | --- |"]
    for r in rows:
        digits = max(0, 1 - math.floor(math.log10(r["bar"])))
        orders = [f"{r[key]:.1f}" if np.isfinite(r[key]) else "-" for key in ("order_mesh", "order_cell")]
        lines.append(
            f"| {r['figure']} | {r['unit']} | {r['value']:.{digits}f} | {r['bar']:.{digits}f} | {' | '.join(orders)} |"
        )
    for r in rows:
        lines += ["", f"{r['figure']}, {r['unit']}:", "", "| mesh | " + " | ".join(f"{n}^2" for n in CELLS) + " |"]
        lines.append("| --- " * (len(CELLS) + 1) + "|")
        for mesh, row in zip(MESHES, r["grid"], strict=True):
            lines.append(f"| {mesh[0]} x {mesh[1]} | " + " | ".join(f"{v:.6f}" for v in row) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--on", default="local:2")
    parser.add_argument("--write", type=Path, help="a file for the table")
    given = parser.parse_args()
    grid = np.zeros((len(MESHES), len(CELLS), len(FIGURES)))
    with tempfile.TemporaryDirectory() as folder:
        for i, mesh in enumerate(MESHES):
            for j, edge in enumerate(CELLS):
                began = time.monotonic()
                grid[i, j] = solved(mesh, edge, given.on, Path(folder))
                print(
                    f"# {mesh[0]} x {mesh[1]}, {edge}^2: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
                )
    rows = table(grid)
    if given.write:
        given.write.write_text(text(rows) + "\n", encoding="utf-8")
    if not given.json:
        print(text(rows))
    print(json.dumps({"rows": [{k: v if v == v else None for k, v in r.items()} for r in rows]}))


if __name__ == "__main__":
    main()

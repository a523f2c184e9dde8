#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../../.venv/bin/python" "$0" "$@"'
"""Elastic and conducting voxel cells: CPU time by case beside the cost of the transforms alone and of streaming.

The cell is a sphere of fraction 0.2 in a cube (E = 1 and the contrast, nu = 0.3; strain 11, residual 1e-6). "mirrored": the
sphere stands in the middle, so the image is even along the axes; "general": it stands off the middle (or the symmetry is not
used), so the whole cell is solved. The floor is the preconditioner alone (transforms and Green operator) times the iterations;
streaming is the time that the reads and writes of vectors and waves take beyond the cache. Seconds include the set-up of a cell.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import measure
import numpy as np

from hpcms.kernels import cell_scalar
from hpcms.kernels.cell_elastic import ElasticCell
from hpcms.kernels.cell_scalar_periodic import PeriodicCell

RADIUS = (0.6 / (4.0 * np.pi)) ** (1.0 / 3.0)
PASSES, WAVES = 12, 4  # reads and writes of a vector, and of the waves, in an iteration


def sphere(n: int, shift: int = 0) -> np.ndarray:
    """(n, n, n) uint8; shifted by voxels along every axis."""
    x = (np.arange(n) + 0.5) / n - 0.5
    inside = x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2 < RADIUS**2
    return np.roll(inside.astype(np.uint8), shift, (0, 1, 2))


def lame(E: float, nu: float = 0.3) -> tuple[float, float]:
    return E * nu / ((1.0 + nu) * (1.0 - 2.0 * nu)), E / (2.0 * (1.0 + nu))


def elastic(
    n: int, contrast: float, mirrored: bool, double: bool, yardstick: measure.Yardstick, repeats: int
) -> dict[str, Any]:
    """One load of one cell."""
    phase, moduli = sphere(n, 0 if mirrored else n // 5), np.array([lame(1.0), lame(contrast)])
    cells: list[ElasticCell] = []

    def solve() -> Any:
        cells[:] = [ElasticCell(phase, moduli, double=double)]
        return cells[0].solve(np.eye(6)[0], 1e-6)

    other = None
    if yardstick.works:
        other = lambda: yardstick.seconds("rve_ref.py", str(n), f"{contrast:g}", "supp", "f8", "2")  # noqa: E731
    seconds, state, ratio = measure.alternating(solve, other, repeats)
    cell = cells[0]
    if cell.frame.mirrored is not mirrored or state.residual > 1e-6:
        raise SystemExit("the case is not what its name says")
    box = cell.box(cell.kinds[0])
    loads, vector, W = cell._cells([0]), np.ones((1, box.length), box.kind), box.waves(1)
    floor = state.iterations * measure.median(lambda: box.preconditioned(vector, loads, W), 3)
    bytes_once = (PASSES * box.length + WAVES * W.size) * box.kind.itemsize
    passes = state.iterations * bytes_once * measure.stream()
    kind = "double" if double else "mixed"
    name = f"elastic {n} contrast {contrast:g} {'mirrored' if mirrored else 'general'} {kind}"
    return row(
        name, seconds, state.iterations, phase.size, floor, passes, ratio, elastic_peak(n, contrast, mirrored, double)
    )


def six(n: int, repeats: int, whole: bool) -> dict[str, Any]:
    """All six loads over one load, for the sphere (``whole``: two of them say all) and for a cell without any symmetry."""
    phase, moduli = sphere(n, n // 5), np.array([lame(1.0), lame(10.0)])
    if not whole:
        phase[: n // 8, : n // 4, : n // 3] = 1
    one, _, _ = measure.alternating(lambda: ElasticCell(phase, moduli).solve(np.eye(6)[0], 1e-6), None, repeats)
    all_six, (_, states), _ = measure.alternating(
        lambda: ElasticCell(phase, moduli).stiffness(range(6), 1e-6), None, repeats
    )
    steps = sum(state.iterations for state in states)
    return row(
        f"elastic {n} six loads, {'sphere' if whole else 'no symmetry'}",
        all_six,
        steps,
        phase.size,
        None,
        None,
        None,
        None,
    ) | {"six_by_one": all_six / one}


def threads(n: int, mirrored: bool, repeats: int) -> dict[str, Any]:
    """One load with two threads beside one, in turns: what the wall gains."""
    phase, moduli = sphere(n, 0 if mirrored else n // 5), np.array([lame(1.0), lame(10.0)])
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats + 1):
        for count, found in walls.items():
            began = time.perf_counter()
            state = ElasticCell(phase, moduli, threads=count).solve(np.eye(6)[0], 1e-6)
            found.append(time.perf_counter() - began)
    one, two = (statistics.median(found[1:]) for found in walls.values())
    name = f"elastic {n} two threads, {'mirrored' if mirrored else 'general'}"
    return row(name, two, state.iterations, phase.size, None, None, None, None) | {"two_threads": one / two}


def conduction(n: int, contrast: float, mirrored: bool, yardstick: measure.Yardstick, repeats: int) -> dict[str, Any]:
    """One gradient of one cell."""
    phase, k = sphere(n, 0 if mirrored else n // 5), np.array([1.0, contrast])
    edges = (1.0 / n, 1.0 / n, 1.0 / n)
    other = None
    if yardstick.works:
        other = lambda: yardstick.seconds("rve_heat_ref.py", str(n), f"{contrast:g}")  # noqa: E731
    seconds, found, ratio = measure.alternating(
        lambda: cell_scalar.effective(phase, k, edges, 1e-6, axes=(0,)), other, repeats
    )
    steps = found.outcomes[0].linear_iterations
    cell = PeriodicCell(phase, k, edges)
    kind = cell.kinds[0]
    green, source, out = cell._green(0, kind), np.ones(cell.frame.box, kind), np.empty(cell.frame.box, kind)
    floor = steps * measure.median(lambda: green.solve(source, out), 3)
    passes = steps * 11 * source.nbytes * measure.stream()
    name = f"conduction {n} contrast {contrast:g} {'mirrored' if mirrored else 'general'}"
    return row(name, seconds, steps, phase.size, floor, passes, ratio, None)


def row(name: str, seconds: float, steps: int, voxels: int, floor: float | None, passes: float | None, ratio: float | None,
        peak: int | None) -> dict[str, Any]:  # fmt: skip
    return {
        "name": name, "cpu_s": seconds, "iterations": steps, "ns_per_voxel_iteration": 1e9 * seconds / steps / voxels,
        "floor_ratio": seconds / floor if floor else None, "stream_ratio": seconds / passes if passes else None,
        "peak_memory_bytes": measure.own_peak() if peak is None else peak, "yardstick_ratio": ratio,
    }  # fmt: skip


def elastic_peak(n: int, contrast: float, mirrored: bool, double: bool) -> int:
    """Peak memory of the solve in a process of its own, beyond interpreter and kernels."""
    return measure.peak_of(f"""
import sys
sys.path.insert(0, {str(measure.Path(__file__).parent)!r})
import numpy as np
from cell import lame, sphere
from hpcms.kernels.cell_elastic import ElasticCell
moduli = np.array([lame(1.0), lame({contrast})])
ElasticCell(sphere(32, {0 if mirrored else 5}), moduli, double={double}).solve(np.eye(6)[0], 1e-6)
phase = sphere({n}, {0 if mirrored else n // 5})
mark()
ElasticCell(phase, moduli, double={double}).solve(np.eye(6)[0], 1e-6)
""")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--json", action="store_true", help="for symmetry with the other commands: the last line is JSON"
    )
    parser.add_argument("--full", action="store_true", help="128^3 in every variant, more repeats")
    parser.add_argument("--yardstick", help="folder with rve_ref.py and rve_heat_ref.py")
    parser.add_argument("--yardstick-python", help="interpreter with pyfftw for them")
    chosen = parser.parse_args()
    yardstick = measure.Yardstick(chosen.yardstick, chosen.yardstick_python)
    repeats = 5 if chosen.full else 3
    rows = []
    for n, contrast in ((64, 10.0), (128, 10.0), (128, 1000.0)):
        for mirrored in (True, False):
            if n == 128 and contrast > 10.0 and not mirrored and not chosen.full:
                continue
            for double in (True, False):
                rows.append(elastic(n, contrast, mirrored, double, yardstick, repeats if n == 64 or chosen.full else 2))
                print(measure.table(rows[-1:]), flush=True)
    rows += [six(64, repeats, True), six(64, repeats, False)]
    for mirrored in (True, False):
        rows.append(threads(128, mirrored, repeats))
        rows.append(conduction(128 if chosen.full else 64, 100.0, mirrored, yardstick, repeats))
    measure.finish(rows, (*measure.COLUMNS, "six_by_one", "two_threads"))


if __name__ == "__main__":
    main()

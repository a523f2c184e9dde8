#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../../.venv/bin/python" "$0" "$@"'
"""Batches of small elastic cells: throughput per voxel and iteration beside that of one cell of 64^3 of the same kind.

The cells are random voxels of two phases (E = 1 and 10, nu = 0.3, fraction 0.3), six loads each, residual 1e-6. ``ratio`` is the
throughput over that of the 64^3 cell in the same run (goal 0.85). Sizes need no compilation of their own.
``first_call_s``: the first batch of a size in this process; ``later_call_s``: in a fresh one, whose kernels are compiled.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

import measure
import numpy as np
from cell import lame

from hpcms.kernels.cell_elastic import ElasticCell
from hpcms.kernels.cell_elastic_batch import stiffness_of_cells

COLUMNS = (
    "name",
    "cells",
    "cpu_s",
    "iterations",
    "ns_per_voxel_iteration",
    "cells_per_s",
    "ratio",
    "first_call_s",
    "later_call_s",
)


LATER = """
import time
import numpy as np
from hpcms.kernels.cell_elastic_batch import stiffness_of_cells
phases = (np.random.default_rng(0).random((1, 8, 8, 8)) < 0.3).astype(np.uint8)
began = time.perf_counter()
stiffness_of_cells(phases, np.array([[0.6, 0.4], [6.0, 4.0]]))
print(time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--json", action="store_true", help="for symmetry with the other commands: the last line is JSON"
    )
    parser.add_argument("--full", action="store_true", help="ten times as many cells")
    chosen = parser.parse_args()
    rng, moduli = np.random.default_rng(0), np.array([lame(1.0), lame(10.0)])
    whole = (rng.random((64, 64, 64)) < 0.3).astype(np.uint8)
    seconds, state, _ = measure.alternating(lambda: ElasticCell(whole, moduli).solve(np.eye(6)[0], 1e-6), None, 2)
    own = 1e9 * seconds / state.iterations / whole.size
    rows: list[dict[str, Any]] = [{"name": "64^3, one load", "cells": 1, "cpu_s": seconds, "iterations": state.iterations,
                                   "ns_per_voxel_iteration": own, "ratio": 1.0}]  # fmt: skip
    for n, count in ((8, 320), (12, 96), (16, 40), (24, 12), (32, 5)):
        phases = (rng.random((count * (10 if chosen.full else 1), n, n, n)) < 0.3).astype(np.uint8)
        first, _ = measure.cpu(lambda phases=phases: stiffness_of_cells(phases[:1], moduli))
        seconds, found, _ = measure.alternating(lambda phases=phases: stiffness_of_cells(phases, moduli), None, 2)
        if found.residual.max() > 1e-6:
            raise SystemExit("a cell did not converge")
        each = 1e9 * seconds / found.iterations.sum() / n**3
        rows.append({"name": f"{n}^3, six loads", "cells": len(phases), "cpu_s": seconds, "first_call_s": first,
                     "iterations": int(found.iterations.sum()), "ns_per_voxel_iteration": each,
                     "cells_per_s": len(phases) / seconds, "ratio": own / each})  # fmt: skip
    later = subprocess.run(
        [sys.executable, "-c", LATER], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    rows[1]["later_call_s"] = float(later)
    measure.finish(rows, COLUMNS)


if __name__ == "__main__":
    main()

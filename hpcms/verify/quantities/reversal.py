"""A bar under a load that turns: the same in every scheme, and by hand where it is statically determinate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.store.run import OpenedRun
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

FREE = {"coarse.bar.foundation": "0 N/m^4", "fine.cell.scatter": 0.0}


def _path(context: Context) -> list[Any]:
    return list(context.job.coarse["bar"].params.path)


def _all(run: OpenedRun) -> Array:
    """(steps + 1, nodes) displacement, m."""
    return np.array([run.read("coarse/displacement", n).ravel() for n in range(run.head.step + 1)])


@further_runs
def largest_difference_of_schemes(context: Context, schemes: Sequence[str]) -> float:
    """Largest relative difference of the displacement to the run of the job, over all steps and ``schemes``."""
    own = _all(context.run)
    others = [_all(context.variant(f"scheme {name}", {"coupling.scheme": name})) for name in schemes]
    return float(max(np.abs(other - own).max() for other in others) / np.abs(own).max())


@further_runs
def free_bar_over_closed_form(context: Context, schemes: Sequence[str]) -> list[float]:
    """End displacement of the bar of equal layers without supports and body load over that by hand, after all steps, by scheme.

    The stress is then the end load P everywhere; the strain is P / E + creep, which grows by a dt |P|^(n-1) P in every step.
    """
    path, cell, found = _path(context), context.job.fine["cell"].params, []
    load = [{"time": f"{p.time} s", "end": f"{p.end} Pa"} for p in path]
    for name in schemes:
        run = context.variant(f"free {name}", {**FREE, "coarse.bar.path": load, "coupling.scheme": name})
        times = np.array([meta["t"] for meta in run.steps()])
        P = np.interp(times, [0.0, *(p.time for p in path)], [0.0, *(p.end for p in path)])
        crept = cell.rate * float((np.diff(times) * np.abs(P[1:]) ** (cell.n - 1) * P[1:]).sum())
        strain = P[-1] / cell.youngs_modulus + crept
        end = int(np.argmax(run.read("coarse/x")))
        found.append(float(_all(run)[-1, end] / (strain * run.read("coarse/x").max())))
    return found


def end_displacement_at(context: Context, steps: Sequence[int]) -> float:
    """Displacement of the right end at the second of two steps over that at the first."""
    end = int(np.argmax(context.run.read("coarse/x")))
    first, second = (float(context.run.read("coarse/displacement", n).ravel()[end]) for n in steps)
    return second / first


QUANTITIES = {
    "largest_difference_of_schemes": largest_difference_of_schemes,
    "free_bar_over_closed_form": free_bar_over_closed_form,
    "end_displacement_at": end_displacement_at,
}

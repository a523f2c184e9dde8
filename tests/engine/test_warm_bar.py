"""A job whose cells conduct by the temperature of their point: a bar with the flux of the Kirchhoff transform."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hpcms import engine
from hpcms.store.run import open_run

JOB = """
schema_version = 1
title = "A bar that conducts better where it is warm"
[domain]
kind = "interval"
size = "1 m"
elements = {elements}
[time]
end = "1 s"
steps = 1
[microstructure]
phases = ["a", "b"]
generator = "laminate"
shape = [4, 1, 1]
fraction = 0.5
axis = 0
[fine.cell]
model = "nonlinear_conduction"
tolerance = 1e-9
[fine.cell.phases.a]
conductivity = "2 W/(m K)"
temperature_coefficient = "5e-3 1/K"
reference_temperature = "300 K"
[fine.cell.phases.b]
conductivity = "6 W/(m K)"
temperature_coefficient = "5e-3 1/K"
reference_temperature = "300 K"
[coarse.heat]
model = "heat"
fine = "cell"
steady = true
initial = "300 K"
boundary = [{{ side = "left", temperature = "300 K" }}, {{ side = "right", temperature = "500 K" }}]
[coupling]
tolerance = 1e-9
"""


def solved(folder: Path, elements: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    """Flux of all cells, nodes, their temperatures, and the residuals of all sweeps."""
    path = folder / f"bar{elements}.toml"
    path.write_text(JOB.format(elements=elements), encoding="utf-8")
    summary = engine.run(path, out=folder / f"{elements}")
    run = open_run(summary.rundir)
    flux = run.read("sites/cell/flux")[:, 0]
    return (
        flux,
        run.read("coarse/x").ravel(),
        run.read("coarse/temperature").ravel(),
        [sweep["residual"] for sweep in run.steps()[1]["sweeps"]],
    )


def test_the_flux_is_that_of_the_kirchhoff_transform(tmp_path: Path) -> None:
    """k = 3 (1 + b (T - 300)) of the layers in series: q = 3 (200 + b 200^2 / 2) / 1 m, and T from the same integral."""
    exact = 3.0 * (200.0 + 5e-3 * 200.0**2 / 2)
    flux, x, T, residuals = solved(tmp_path, 8)
    assert -flux.mean() == pytest.approx(exact, rel=1e-7)
    psi = exact / 3.0 * x  # theta + b theta^2 / 2; on linear elements the nodal values are exact
    assert pytest.approx(300.0 + (np.sqrt(1 + 2 * 5e-3 * psi) - 1) / 5e-3, rel=1e-9) == T
    near = [r for r in residuals if r < 0.5]  # Newton with the derivative by the temperature
    assert len(near) > 2
    assert all(after <= max(0.2 * r**2, 1e-8) for r, after in pairwise(near))  # down to what the cells are solved to

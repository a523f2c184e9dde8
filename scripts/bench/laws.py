#!/usr/bin/env python
"""CPU time of cells whose phases follow laws. A table and, with --json, one JSON line last; a minute or so, --full a few.

``--against PYTHON SCRIPT`` runs another program of the plane case in alternation: it must print ``cpu=SECONDS`` and, after
``steps:``, the ten shear stresses. The plane case: J2 in plane strain, 256 x 256, ten steps to a tensor shear of 1 %, a disc of
fraction 0.2; matrix E = 1, nu = 0.3, yield 0.005, hardening 0.05; inclusion elastic, E = 10.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from hpcms.kernels.laws import find
from hpcms.loading import Loading, load_path

SAME = 3e-8  # here residuals are measured by the local stresses: 1e-6 of the unbalanced forces of the first step
SOFT = find("j2")(youngs_modulus=1.0, poisson_ratio=0.3, yield_stress=0.005, hardening=0.05)
STIFF = find("elastic")(youngs_modulus=10.0, poisson_ratio=0.3)
SHEAR = Loading("12", 0.01, 10, tolerance=SAME)


def disc(n: int) -> np.ndarray:
    x = (np.arange(n) + 0.5) / n - 0.5
    return (x[:, None] ** 2 + x[None] ** 2 < 0.2 / np.pi).astype(np.uint8)


def ball(n: int) -> np.ndarray:
    x = (np.arange(n) + 0.5) / n - 0.5
    return (x[:, None, None] ** 2 + x[:, None] ** 2 + x**2 < (0.6 / (4 * np.pi)) ** (2 / 3)).astype(np.uint8)


def grains(n: int) -> tuple[np.ndarray, dict[int, Any]]:
    """Eight cubic grains of copper in random orientations."""
    rng, side = np.random.default_rng(1), np.arange(n) * 2 // n
    laws = {k: find("crystal")(c11=168.4e9, c12=121.4e9, c44=75.4e9, yield_stress=20e6, drag=2e6, n=10.0, slip_rate=1e-3,
                               hardening=100e6, orientation=tuple(rng.uniform(0, 360, 3))) for k in range(8)}  # fmt: skip
    return (4 * side[:, None, None] + 2 * side[:, None] + side).astype(np.uint8), laws


def cases(full: bool) -> dict[str, tuple[np.ndarray, dict[int, Any], Loading]]:
    two, pull = {0: SOFT, 1: STIFF}, ("22", "33")
    found = {
        "j2 plane 256": (disc(256), two, SHEAR),
        "j2 plane 256, tangents": (disc(256), two, Loading("12", 0.01, 10, tolerance=SAME, tangent=True)),
        "j2 solid 32, bar": (ball(32), two, Loading("11", 0.01, 5, pull)),
        "fcc solid 16, bar": (*grains(16), Loading("11", 0.01, 5, pull, duration=10.0)),
    }
    if full:
        found["j2 solid 64, bar"] = (ball(64), two, Loading("11", 0.01, 5, pull))
        found["fcc solid 32, bar"] = (*grains(32), Loading("11", 0.01, 5, pull, duration=10.0))
    return found


def measure(image: np.ndarray, laws: dict[int, Any], loading: Loading) -> dict[str, Any]:
    found = load_path(image, laws, loading)
    steps = found.path
    linear = sum(step["linear_iterations"] for step in steps)
    return {
        "cpu_s": found.cpu_s, "iterations": linear, "newton": sum(step["iterations"] for step in steps),
        "ns_per_voxel_iteration": 1e9 * found.cpu_s / linear / image.size, "peak_memory_bytes": found.peak_memory_bytes,
        "stress": [step["stress"][5] / 2**0.5 if loading.component == "12" else step["stress"][0] for step in steps],
        "checks": found.checks,
    }  # fmt: skip


def other(python: str, script: Path) -> tuple[float, list[float]]:
    """CPU seconds and stresses of the other program."""
    done = subprocess.run(
        [python, script.name], cwd=script.parent, check=True, capture_output=True, text=True, timeout=600
    )
    line = next(line for line in done.stdout.splitlines() if "cpu=" in line)
    cpu = re.search(r"cpu=([\d.]+)", line)
    values = line.split("steps:")[1].split("sxx")[0].split()
    return float(cpu[1]) if cpu else np.nan, [float(value) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--against", nargs=2, metavar=("PYTHON", "SCRIPT"))
    options = parser.parse_args()
    result: dict[str, Any] = {"cases": []}
    print(f"{'case':26} {'CPU s':>8} {'Newton':>7} {'CG':>6} {'ns/voxel/CG':>12} {'peak MB':>8}")
    rivals: list[float] = []
    for name, case in cases(options.full).items():
        runs = []
        for _ in range(options.repeat):
            runs.append(measure(*case))
            if options.against and name == "j2 plane 256":
                cpu, stress = other(options.against[0], Path(options.against[1]).resolve())
                rivals.append(cpu)
                result["difference"] = float(np.abs(np.array(stress) / runs[-1]["stress"] - 1).max())
        one = {**runs[0], "name": name, "cpu_s": statistics.median(run["cpu_s"] for run in runs)}
        result["cases"].append(one)
        print(f"{name:26} {one['cpu_s']:8.3f} {one['newton']:7d} {one['iterations']:6d} {one['ns_per_voxel_iteration']:12.1f} "
              f"{one['peak_memory_bytes'] / 1e6:8.0f}", flush=True)  # fmt: skip
    if rivals:
        result["against_cpu_s"] = statistics.median(rivals)
        result["ratio"] = result["cases"][0]["cpu_s"] / result["against_cpu_s"]
        print(
            f"against: {result['against_cpu_s']:.3f} s, ratio {result['ratio']:.2f}, difference {result['difference']:.1e}"
        )
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()

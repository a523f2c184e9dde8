"""Views of invented runs: the numbers are made up, their form is that of a real run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpcms.contracts import Array, TaskRecord
from hpcms.report.data import Data, Geometry

DAY = 86400.0
WIDTH, HEIGHT = 6.0, 4.0


def rectangle(nx: int, ny: int) -> Geometry:
    """A graded mesh of quadrilaterals with 2 x 2 Gauss points a cell."""
    x, y = np.meshgrid(np.linspace(0, WIDTH, nx + 1), HEIGHT * (1 - np.linspace(1, 0, ny + 1) ** 1.3), indexing="ij")
    number = np.arange((nx + 1) * (ny + 1)).reshape(nx + 1, ny + 1)
    cells = np.stack([number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]], axis=-1).reshape(-1, 4)
    points = np.column_stack([x.ravel(), y.ravel()])
    low, high = points[cells[:, 0]], points[cells[:, 2]]
    at = 0.5 + 0.5 / np.sqrt(3) * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    sites = (low[:, None] + at * (high - low)[:, None]).reshape(-1, 2)
    return Geometry(points, cells, {"conduction": sites, "creep": sites})


def footing_run(rundir: Path, nx: int = 12, ny: int = 8, steps: int = 12, workers: int = 2) -> Data:
    """A footing that sinks for a year under a yearly wave of temperature; step 0 is the start."""
    geometry = rectangle(nx, ny)
    x, y = geometry.points.T
    times = np.linspace(0, 365 * DAY, steps + 1)
    held: dict[tuple[str, int], Array] = {}
    for number, t in enumerate(times):
        depth = HEIGHT - y
        wave = 11 * np.exp(-depth / 1.6) * np.sin(2 * np.pi * t / times[-1] - depth / 1.6)
        held["coarse/temperature", number] = 254.15 + wave
        sink = 0.11 * (number / steps) ** 0.7 * np.exp(-(((x - 3) / 1.1) ** 2)) * (y / HEIGHT) ** 1.4
        side = (
            0.04 * (number / steps) ** 0.7 * (x - 3) * np.exp(-(((x - 3) / 1.4) ** 2)) * (y / HEIGHT) * (1 - y / HEIGHT)
        )
        held["coarse/displacement", number] = np.column_stack([side, -sink])
        if number:
            _answers(held, geometry, number)
    return Data(
        rundir=rundir,
        job_text='schema_version = 1\ntitle = "A footing on polar snow"\n# <b> & "quotes" stay as they are\n',
        resolved=_resolved(steps),
        summary=_summary(workers),
        steps=[_step(number, t, steps) for number, t in enumerate(times)],
        records=_records(workers, steps),
        state_hash="5f3a" * 16,
        geometry=geometry,
        arrays=frozenset(path for path, _ in held),
        reader=Held(held),
    )


@dataclass(frozen=True)
class Held:
    """Arrays in memory by path and step."""

    arrays: dict[tuple[str, int], Array]

    def read(self, path: str, step: int) -> Array | None:
        return self.arrays.get((path, step))

    def read_region(self, path: str, region: int, step: int) -> Array | None:
        found = self.read(path, step)
        return None if found is None else found[region]


def _answers(held: dict[tuple[str, int], Array], geometry: Geometry, number: int) -> None:
    """Stress under the footing, strain, conductivity, and small cells of ice and air."""
    random = np.random.default_rng(7)
    count = len(geometry.sites["creep"])
    x, y = geometry.sites["creep"].T
    press = 4e4 * np.exp(-(((x - 3) / (0.6 + 0.5 * (HEIGHT - y))) ** 2)) / (1 + 0.6 * (HEIGHT - y)) + 5.3e3 * (
        HEIGHT - y
    )
    stress = np.zeros((count, 6))
    stress[:, 1] = -press * random.uniform(0.85, 1.15, count)
    stress[:, 0] = stress[:, 2] = 0.3 * stress[:, 1]
    held["sites/creep/stress", number] = stress
    held["sites/creep/strain", number] = stress * 4e-7 * number**0.5
    held["sites/creep/creep_rate", number] = 3e-26 * np.abs(stress) ** 2 * stress * 1.2e4
    held["sites/creep/density", number] = random.normal(542, 30, count)
    held["sites/conduction/flux", number] = random.normal(0, 1, (count, 3))
    held["sites/conduction/tangent", number] = -np.eye(3) * random.normal(0.7, 0.06, (count, 1, 1))
    phase = (random.random((count, 4, 4, 4)) > 0.4).astype(np.uint8)
    phase = np.concatenate([np.concatenate([phase, phase[:, ::-1]], 1)] * 2, 2).repeat(2, axis=3)
    held["fine_creep/phase", number] = phase
    size = 0.02 * number**0.5 * random.random((*phase.shape, 8, 1)) * phase[..., None, None]
    held["fine_creep/creep_strain", number] = size * np.array([-0.5, 1.0, -0.5, 0.1, 0.0, 0.0])


def _resolved(steps: int) -> dict[str, Any]:
    press = {"side": "top", "between": [2.5, 3.5], "pressure": 4e4}
    return {
        "title": "A footing on polar snow",
        "description": "A strip footing on snow creeps for a year; at every Gauss point a window of snow is solved.",
        "domain": {"kind": "rectangle", "size": [WIDTH, HEIGHT]},
        "time": {"end": 365 * DAY, "steps": steps},
        "fine": {"creep": {"phases": {"air": {"youngs_modulus": 0.0}, "ice": {"youngs_modulus": 9.33e9}}}},
        "coarse": {"heat": {"fine": "conduction", "boundary": []}, "solid": {"fine": "creep", "boundary": [press]}},
        "coupling": {"scheme": "nested", "tolerance": 1e-6},
    }


def _step(number: int, t: float, steps: int) -> dict[str, Any]:
    sweeps = [{"residual": 0.3 * 10.0 ** (-1.7 * k), "iterations": 2} for k in range(5 + number % 3)] if number else []
    fine = {"creep": {"newton": 3000 + 40 * number, "linear": 90000 - 800 * number, "solves": 1920}} if number else {}
    wave = 254.15 + 11 * float(np.sin(2 * np.pi * number / steps))
    told = {"settlement": 0.1 * (number / steps) ** 0.7, "surface_temperature": wave, "largest_displacement": 0.11}
    return {"step": number, "t": float(t), "dt": 365 * DAY / steps, "sweeps": sweeps, "fine": fine, "summary": told}


def _summary(workers: int) -> dict[str, Any]:
    claim = {"job": "snow_footing", "quantity": "mean_conductivity", "basis": "Calonne et al. 2011, regression"}
    creep = {"newton": 39120, "linear": 1017600, "solves": 23040, "energy_gap": 3.1e-13}
    return {
        "state_hash": "5f3a" * 16, "steps": 12, "workers": workers,
        "wall_s": 412.3, "cpu_s": 760.2, "peak_memory_bytes": 1.31e9,
        "work_s": 742.0, "span_s": 96.2, "lower_bound_s": 371.0, "lb1_s": 200.0, "efficiency": 0.9,
        "idle_s": {"coarse": 10.0, "imbalance": 20.0, "io": 2.0, "scheduler": 5.0},
        "ahead": {"records": 40, "accepted": 0.8, "cpu_s": 20.0, "wasted_s": 4.0},
        "coupling": {"sweeps": 72, "coarse_iterations": 144, "messages": 0, "bytes": 0, "fine": {"creep": creep}},
        "claims": [
            {**claim, "id": "snow.conductivity", "got": 0.7012, "want": 0.691, "tolerance": 0.2, "passed": True},
            {**claim, "id": "A05", "got": 0.7012, "want": [0.05, 1.1], "tolerance": None, "passed": True},
            {**claim, "id": "A06", "got": 8.31, "want": 8.0, "tolerance": 1e-4, "passed": False},
        ],
    }  # fmt: skip


def _records(workers: int, steps: int) -> tuple[TaskRecord, ...]:
    random = np.random.default_rng(3)
    found, now = [], 1.7e9
    for step in range(1, steps + 1):
        for sweep in range(3):
            ends = []
            for worker in range(workers):
                at = now
                for task in range(3):
                    end = at + random.uniform(1.5, 4.5)
                    found.append(
                        TaskRecord(f"fine/creep/{step}.0.{sweep}/{task}", "fine", f"w{worker}", at, end, end - at)
                    )
                    at = end + 0.05
                ends.append(at)
            now = max(ends)
            found.append(TaskRecord(f"coarse/{step}.0.{sweep}", "coarse", "driver", now, now + 0.6, 0.6))
            now += 0.65
        found.append(TaskRecord(f"commit/creep/{step}/0", "commit", "w0", now, now + 0.4, 0.3))
        now += 0.45
    return tuple(found)


def without(data: Data, *parts: str) -> Data:
    """The same run without the arrays whose path starts with one of ``parts``."""
    return replace(data, arrays=frozenset(path for path in data.arrays if not path.startswith(parts)))


def points_run(rundir: Path, count: int = 3, steps: int = 20) -> Data:
    """Material points under a strain that goes up and back."""
    held: dict[tuple[str, int], Array] = {}
    for number in range(1, steps + 1):
        strain = np.zeros((count, 6))
        strain[:, 0] = 1e-3 * np.sin(np.pi * number / steps) * (1 + np.arange(count))
        held["sites/metal/strain", number] = strain
        held["sites/metal/stress", number] = 2e8 * np.tanh(strain * 900)
    places = np.column_stack([np.arange(count), np.zeros(count)])
    empty = Geometry(places, np.zeros((0, 4), int), {"metal": places})
    steps_list = [
        {"step": n, "t": float(n), "dt": 1.0, "sweeps": [{"residual": 0.0, "iterations": 0}], "fine": {}}
        for n in range(1, steps + 1)
    ]
    return Data(
        rundir, resolved={"title": "Points", "time": {"end": float(steps)}}, steps=steps_list,
        summary={"wall_s": 1.0, "series": {}}, geometry=empty,
        arrays=frozenset(p for p, _ in held), reader=Held(held),
    )  # fmt: skip


def interval_run(rundir: Path, nodes: int = 21) -> Data:
    """Heat along an interval."""
    x = np.linspace(0, 2, nodes)
    cells = np.column_stack([np.arange(nodes - 1), np.arange(1, nodes)])
    middle = np.column_stack([(x[1:] + x[:-1]) / 2, np.zeros(nodes - 1)])
    geometry = Geometry(np.column_stack([x, np.zeros(nodes)]), cells, {"conduction": middle})
    held = {("coarse/temperature", n): 260 + 10 * np.exp(-x / (0.1 + 0.1 * n)) for n in range(10)}
    steps = [{"step": n, "t": 3600.0 * n, "dt": 3600.0, "sweeps": [], "fine": {}} for n in range(10)]
    return Data(
        rundir, resolved={"title": "Interval"}, steps=steps, geometry=geometry,
        arrays=frozenset({"coarse/temperature"}), reader=Held(held),
    )  # fmt: skip

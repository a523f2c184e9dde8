"""The stress-strain path of a voxel image whose phases follow laws: ``hpcms homogenize IMAGE --law ...``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpcms import memory, voxels
from hpcms.contracts import Array
from hpcms.errors import BadInput, NumericalFailure
from hpcms.fine.inelastic import COMPONENTS, HILL, PLANES, condense
from hpcms.kernels.elements import load_bearing
from hpcms.kernels.law_cell import LawSolver, Start, Step
from hpcms.kernels.law_grid import LawGrid
from hpcms.kernels.laws import Law

LOOSE = 1e-3  # relative accuracy of tangents
LIMIT = 40  # Newton iterations a step
EXTRAPOLATED = 2  # steps after which the first iterate is extrapolated: before, cells are mostly elastic


@dataclass(frozen=True, eq=False)
class LoadPath(Mapping[str, Any]):
    """What ``hpcms homogenize --law ... --json`` prints. ``path`` and ``checks`` of a fine model: see ``model_path``.

    ``path``: for each step ``strain``, ``stress`` (Pa) as Mandel vectors 11 22 33 23 13 12 of the means, ``tangent`` (6 x 6,
    where it was asked for), ``energy`` stored; ``dissipation`` by the laws and ``excess``, what backward Euler takes too much,
    both since the start, J/m^3; ``iterations`` (Newton), ``parts`` that the step was cut into, ``linear_iterations`` and
    ``residual``. ``checks``: the worst of the path, each relative: ``hill_mandel``, ``symmetry`` of the tangent, and ``energy``,
    how far stored and dissipated energy exceed the work (zero: nowhere). ``cpu_s``, ``wall_s``: of the solves alone.
    """

    path: list[dict[str, Any]]
    checks: dict[str, float]
    fractions: dict[str, float]
    plane: bool
    cpu_s: float
    wall_s: float
    peak_memory_bytes: int

    def json(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __getitem__(self, key: str) -> Any:
        return self.json()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.json())

    def __len__(self) -> int:
        return len(self.json())


@dataclass(frozen=True)
class Loading:
    """``component`` of the mean strain goes to ``strain`` (a tensor component) in ``steps`` equal steps of ``duration`` s in all.

    ``stress_free``: components whose mean stress stays zero; all others stay unstrained. ``boundary``: the fluctuation is periodic,
    or it vanishes there, so that the boundary moves with the mean strain (displacement), or the traction is that of a uniform
    stress.
    """

    component: str
    strain: float
    steps: int = 1
    stress_free: tuple[str, ...] = ()
    duration: float = 1.0
    temperature: float = 293.15
    tangent: bool = False
    tolerance: float = 1e-6
    boundary: str = "periodic"

    def __post_init__(self) -> None:
        for name in (self.component, *self.stress_free):
            if name not in COMPONENTS:
                raise BadInput(f"load: unknown component {name!r}", f"known: {', '.join(COMPONENTS)}")
        if self.component in self.stress_free or len(set(self.stress_free)) < len(self.stress_free):
            raise BadInput("stress-free components are named once, and are not the one that is loaded")
        if not (np.isfinite(self.strain) and abs(self.strain) <= 1.0):
            raise BadInput(
                f"strain: must be a number of at most 1 in size (got {self.strain!r})", "strains are small here"
            )
        voxels.check_boundary(self.boundary)
        voxels.check_tolerance(self.tolerance)
        check_steps(self.steps)
        if not (0 <= self.duration < np.inf and 0 < self.temperature < np.inf):
            raise BadInput("loading: duration >= 0 s and temperature > 0 K are needed")

    @property
    def free(self) -> tuple[int, ...]:
        return tuple(sorted(COMPONENTS.index(name) for name in self.stress_free))

    def at(self, step: int) -> Array:
        """(6,) Mandel mean strain after a step."""
        place = COMPONENTS.index(self.component)
        strain: Array = np.eye(6)[place] * self.strain * step / self.steps * (2.0**0.5 if place > 2 else 1.0)
        return strain


def check_steps(steps: int) -> None:
    if not 1 <= steps <= 100_000:
        raise BadInput(f"steps: must be between 1 and 100000 (got {steps!r})")


def load_path(
    image: Any,
    laws: Mapping[Any, Law],
    loading: Loading,
    threshold: str | float | None = None,
    crop: Any = None,
    mirror: bool = False,
    spacing: tuple[float, float, float] | None = None,
    dataset: str | None = None,
) -> LoadPath:
    """The path of ``image`` (array or file), whose labels are the keys of ``laws``; other arguments as ``hpcms.homogenize``.

    An image one voxel thick that is loaded in its plane is solved in plane strain. Raises ``BadInput`` before any work,
    ``NumericalFailure`` if a step does not converge or breaks a balance.
    """
    edges = voxels.checked_spacing(spacing)
    phase, used = voxels.indexed(voxels.labels(image, threshold, crop, mirror, dataset), laws)
    own = [next(law for key, law in laws.items() if str(key) == name) for name in used]
    if all(law.void for law in own):
        raise BadInput("homogenize: no phase in the image has a stiffness")
    flat = plane(phase, own, loading)
    refuse_what_does_not_fit(phase, own, flat)
    kept = load_bearing(np.array([not law.void for law in own])[phase])
    averaged = np.array([law.mean_dilatation for law in own])
    load_kernels(own, averaged, loading, flat)
    cpu, wall = time.process_time(), time.perf_counter()
    path, checks = follow(phase, kept, own, averaged, edges, flat, loading, loading.steps)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return LoadPath(path, checks, voxels.fractions(phase, used), flat, cpu, wall, memory.peak())


def load_kernels(laws: list[Law], averaged: Array, loading: Loading, flat: bool) -> None:
    """Strain a few voxels a little, so that compiling or loading the kernels is not counted as solving."""
    phase = (np.arange(4 * len(laws)) % len(laws)).astype(np.uint8).reshape(2, -1, 1)
    solid = np.array([not law.void for law in laws])[phase]
    little = replace(
        loading, strain=1e-6 * loading.strain, steps=1, stress_free=(), boundary="periodic", tolerance=1e-3
    )
    follow(phase, solid, laws, averaged, (1.0, 1.0, 1.0), flat, little, 1)


def plane(phase: Array, laws: list[Law], loading: Loading) -> bool:
    """Can plane quadrilaterals take this load?"""
    inside = {COMPONENTS[k] for k in PLANES["xy"]}
    averaged = any(law.mean_dilatation for law in laws)
    return phase.shape[2] == 1 and {loading.component, *loading.stress_free} <= inside and not averaged


def refuse_what_does_not_fit(phase: Array, laws: list[Law], flat: bool) -> None:
    """Memory of tangents, histories (three of them) and vectors, against what is free."""
    points, numbers, vectors = (4, 6, 2) if flat else (8, 21, 3)
    rows = max(law.rows for law in laws)
    needed = phase.size * (points * (4.0 * numbers + 24.0 * rows) + 8.0 * 20 * vectors + 8.0 * 14)
    memory.refuse_beyond("homogenize", needed, "crop the image or make its voxels coarser")


def follow(phase: Array, kept: Array, laws: list[Law], averaged: Array, edges: tuple[float, float, float], flat: bool,
           loading: Loading, steps: int) -> tuple[list[dict[str, Any]], dict[str, float]]:  # fmt: skip
    """The first ``steps`` steps, and the worst of the checks."""
    if loading.boundary != "periodic":
        pad = [(0, 1), (0, 1), (0, 0 if flat else 1)]
        phase, kept = np.pad(phase, pad), np.pad(kept, pad)
    grid = LawGrid(phase, kept, edges, averaged, flat, loading.free, loading.boundary)
    solver = LawSolver(grid, laws, loading.tolerance, LOOSE, LIMIT)
    directions = (PLANES["xy"] if flat else PLANES[""]) if loading.tangent else ()
    last = Step(
        True, "", u=np.zeros(grid.length), history=solver.rest(), response=np.zeros((len(directions), grid.length))
    )
    move, path, spent, excess = np.zeros(grid.length), [], 0.0, 0.0
    checks = {"hill_mandel": 0.0, "symmetry": 0.0, "energy": 0.0}
    for n in range(1, steps + 1):
        u = last.u + move if n > EXTRAPOLATED else last.u
        dt = loading.duration / loading.steps
        step = solver.step(Start(loading.at(n), np.zeros(6), last.strain, last.u, last.history, u, dt, loading.temperature,
                                 last.response, directions))  # fmt: skip
        if not step.ok:
            raise NumericalFailure(f"homogenize: step {n} did not converge: {step.reason}")
        work = float(step.stress @ (step.strain - last.strain))
        lost = work - (step.energy - last.energy)
        spent, excess = spent + step.dissipated, excess + lost - step.dissipated
        check(checks, step, lost, work)
        path.append({**entry(step, loading), "dissipation": spent, "excess": excess})
        move, last = step.u - last.u, step
    if checks["hill_mandel"] > HILL:
        raise NumericalFailure(f"homogenize: Hill-Mandel gap {checks['hill_mandel']:.1e}: tighten the tolerance")
    return path, checks


def check(checks: dict[str, float], step: Step, lost: float, work: float) -> None:
    """Keeps the worst of each check. ``lost``: work that was not stored; the laws say how much of it they dissipate."""
    size = np.abs(step.tangent).max()
    checks["hill_mandel"] = max(checks["hill_mandel"], step.gap)
    if size > 0:
        checks["symmetry"] = max(checks["symmetry"], float(np.abs(step.tangent - step.tangent.T).max() / size))
    made = max(step.dissipated - lost, 0.0)
    checks["energy"] = max(checks["energy"], made / (abs(work) + abs(step.energy)) if made > 0 else 0.0)


def entry(step: Step, loading: Loading) -> dict[str, Any]:
    """One step as plain numbers."""
    found: dict[str, Any] = {"strain": step.strain.tolist(), "stress": step.stress.tolist()}
    if loading.tangent:
        found["tangent"] = condense(step.tangent, loading.free).tolist()
    return {**found, "energy": step.energy, "iterations": step.newton, "parts": step.cuts,
            "linear_iterations": step.linear, "residual": step.residual}  # fmt: skip

"""Effective conductivity or stiffness of a voxel image: ``hpcms.homogenize(image, ...)``."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hpcms import bounds
from hpcms.contracts import Array, Outcome
from hpcms.errors import BadInput, NumericalFailure
from hpcms.kernels import cell_scalar
from hpcms.kernels.hex8_elastic import ElasticCell
from hpcms.problem import images

LOADS = {"elastic": ("11", "22", "33", "23", "13", "12"), "conductivity": ("11", "22", "33")}
BOUNDARIES = ("periodic", "displacement", "traction")
Phase = Any  # a label as number or text
Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Homogenized(Mapping[str, Any]):
    """Effective properties; as a mapping and by ``json()`` it is the object that ``hpcms homogenize --json`` prints.

    ``conductivity``: (3, 3) W/(m K) or None; ``stiffness``: (6, 6) Pa, Mandel order 11 22 33 23 13 12, or None; columns
    of loads that were not asked for are NaN (null in JSON). ``bounds``: Voigt, Reuss, Hashin-Shtrikman (the last for
    isotropic cells) of the conductivity or of bulk and shear modulus. ``iterations``: by load. ``cpu_s``, ``wall_s``:
    of the solves alone, without reading the image and loading the kernels.
    """

    conductivity: Array | None
    stiffness: Array | None
    bounds: dict[str, Any]
    fractions: dict[str, float]
    iterations: dict[str, int]
    residuals: dict[str, float]
    cpu_s: float
    wall_s: float
    peak_memory_bytes: int

    def json(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts; the property that was not asked for is left out."""
        tensors = {"conductivity": self.conductivity, "stiffness": self.stiffness}
        found = {name: _nulls(tensor) for name, tensor in tensors.items() if tensor is not None}
        rest = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in tensors}
        return {**found, **rest}

    def __getitem__(self, key: str) -> Any:
        return self.json()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.json())

    def __len__(self) -> int:
        return len(self.json())


def homogenize(
    image: Array | Path | str,
    elastic: Mapping[Phase, tuple[float, float]] | None = None,
    conductivity: Mapping[Phase, float] | None = None,
    threshold: str | float | None = None,
    crop: Any = None,
    mirror: bool = False,
    load: str = "all",
    tolerance: float = 1e-6,
    spacing: Spacing | None = None,
    boundary: str = "periodic",
    dataset: str | None = None,
) -> Homogenized:
    """Effective property of ``image`` (an array or a file), whose labels are the keys of the phases.

    ``elastic``: (Young's modulus in Pa, Poisson's ratio) by label; or ``conductivity``: W/(m K) by label;
    zero means void. ``threshold``: labels a grey image, "otsu" or a value: 0 up to it, 1 above. ``crop``: see
    ``images.crop``; ``mirror``: reflect the image to a periodic cell. ``load``: one unit load or "all". ``spacing``:
    voxel edges in m. ``boundary``: "periodic", "displacement" (or temperature) or "traction" (or flux) prescribed.
    Raises ``BadInput`` before any work, ``NumericalFailure`` if a load does not converge.
    """
    kind, values = _properties(elastic, conductivity)
    loads = _loads(load, kind)
    edges = _settings(tolerance, spacing, boundary)
    labels = _labels(image, threshold, crop, mirror, dataset)
    phase, used = _indexed(labels, values)
    properties = np.array([values[key] for key in used], float)
    solve = _SOLVERS[kind]
    _load_kernels(kind, boundary)
    cpu, wall = time.process_time(), time.perf_counter()
    tensor, outcomes = solve(phase, properties, edges, loads, tolerance, boundary)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    for name, outcome in zip(loads, outcomes, strict=True):
        if not outcome.ok:
            raise NumericalFailure(f"homogenize: load {name} did not converge: {outcome.reason}")
    fractions = np.bincount(phase.ravel(), minlength=len(used)) / phase.size
    return Homogenized(
        conductivity=tensor if kind == "conductivity" else None,
        stiffness=tensor if kind == "elastic" else None,
        bounds=_bounds(kind, properties, fractions, 2 if min(phase.shape) == 1 else 3),
        fractions=dict(zip(used, fractions.tolist(), strict=True)),
        iterations={name: outcome.linear_iterations for name, outcome in zip(loads, outcomes, strict=True)},
        residuals={name: outcome.residual for name, outcome in zip(loads, outcomes, strict=True)},
        cpu_s=cpu,
        wall_s=wall,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _properties(elastic: Any, conductivity: Any) -> tuple[str, dict[str, Any]]:
    """Which property is wanted, and its values by label as text; every value is checked."""
    if bool(elastic) == bool(conductivity):
        hint = "for example conductivity={0: 0.024, 1: 2.1}"
        raise BadInput("homogenize: give either elastic or conductivity, with every phase", hint)
    kind, given = ("elastic", elastic) if elastic else ("conductivity", conductivity)
    problems = []
    for key, value in given.items():
        wanted = "a modulus E >= 0 in Pa and -1 < nu < 0.5" if elastic else "a conductivity >= 0 in W/(m K)"
        try:
            numbers = [float(number) for number in (value if elastic else [value])]
        except (TypeError, ValueError):
            numbers = []
        good = len(numbers) == (2 if elastic else 1) and bool(np.isfinite(numbers).all()) and numbers[0] >= 0
        if not good or (elastic and not -1 < numbers[1] < 0.5):
            problems.append(f"{kind} of phase {key}: needs {wanted} (got {value!r})")
    if problems:
        raise BadInput(problems[0], problems=tuple(problems))
    return kind, {str(key): value for key, value in given.items()}


def _loads(load: str, kind: str) -> tuple[str, ...]:
    """The unit loads by name; a gradient may also be called by one digit."""
    known = LOADS[kind]
    name = load * 2 if kind == "conductivity" and len(load) == 1 else load
    if name != "all" and name not in known:
        raise BadInput(f"load: unknown load {load!r}", f"known loads: {', '.join(known)}, all")
    return known if name == "all" else (name,)


def _settings(tolerance: float, spacing: Spacing | None, boundary: str) -> Spacing:
    if not 0 < tolerance < 1:
        raise BadInput(f"tolerance: must be between 0 and 1 (got {tolerance!r})")
    if boundary not in BOUNDARIES:
        raise BadInput(f"boundary: unknown boundary condition {boundary!r}", f"known: {', '.join(BOUNDARIES)}")
    edges = tuple(float(h) for h in spacing or (1.0, 1.0, 1.0))
    if len(edges) != 3 or not all(np.isfinite(h) and h > 0 for h in edges):
        raise BadInput(f"spacing: needs three voxel edges > 0 in m (got {spacing!r})")
    return edges[0], edges[1], edges[2]


def _labels(image: Any, threshold: str | float | None, crop: Any, mirror: bool, dataset: str | None) -> Array:
    if isinstance(image, str | Path):
        name, grey = str(image), images.load_image(image, dataset)
    else:
        name, grey = "image", images.as_image(image)
    labels = images.labels(grey, name) if threshold is None else images.segment(grey, threshold)
    labels = labels if crop is None else images.crop(labels, crop)
    return images.mirror(labels) if mirror else labels


def _indexed(labels: Array, values: dict[str, Any]) -> tuple[Array, tuple[str, ...]]:
    """The image as places in the tuple of labels that occur in it."""
    found = np.flatnonzero(np.bincount(labels.ravel()))
    missing = [str(label) for label in found if str(label) not in values]
    if missing:
        raise BadInput(
            f"homogenize: the image has voxels with label {', '.join(missing[:10])} and no phase of that name",
            f"labels in the image: {', '.join(map(str, found[:20]))}; phases given: {', '.join(values)}",
        )
    place = np.zeros(256, np.uint8)
    place[found] = np.arange(found.size)
    return place[labels], tuple(str(label) for label in found)


def _solve_conduction(
    phase: Array, k: Array, spacing: Spacing, loads: tuple[str, ...], tolerance: float, boundary: str
) -> tuple[Array, tuple[Outcome, ...]]:
    """(3, 3) conductivity with NaN in the columns of loads that are not asked for."""
    axes = [LOADS["conductivity"].index(load) for load in loads]
    found = cell_scalar.effective(phase, k, spacing, tolerance, axes=axes, boundary=boundary)
    return found.conductivity, found.outcomes


def _solve_elastic(
    phase: Array, moduli: Array, spacing: Spacing, loads: tuple[str, ...], tolerance: float, boundary: str
) -> tuple[Array, tuple[Outcome, ...]]:
    """(6, 6) stiffness with NaN in the columns of loads that are not asked for. ``moduli``: (P, 2) E in Pa and nu."""
    E, nu = moduli.T
    mu, lam = E / (2 * (1 + nu)), E * nu / ((1 + nu) * (1 - 2 * nu))
    cell = ElasticCell(lam[phase], mu[phase], spacing, boundary)
    C, outcomes = np.full((6, 6), np.nan), []
    for load in loads:
        column = LOADS["elastic"].index(load)
        state = cell.solve(np.eye(6)[column], tolerance)
        C[:, column] = state.stress
        reason = f"relative residual {state.residual:.2e} after {state.iterations} iterations"
        outcomes.append(Outcome(bool(state.residual <= tolerance), reason, 1, state.iterations, float(state.residual)))
    return C, tuple(outcomes)


_SOLVERS = {"conductivity": _solve_conduction, "elastic": _solve_elastic}


def _load_kernels(kind: str, boundary: str) -> None:
    """Solve a cell of eight voxels, so that compiling or loading the kernels is not counted as solving."""
    cell = (np.arange(8).reshape(2, 2, 2) % 3 == 0).astype(np.uint8)
    contrast = np.array([1.0, 2.0]) if kind == "conductivity" else np.array([[1.0, 0.3], [2.0, 0.3]])
    _SOLVERS[kind](cell, contrast, (1.0, 1.0, 1.0), LOADS[kind][:1], 1e-3, boundary)
    if kind == "conductivity" and boundary == "periodic":
        cell_scalar.load_kernels()


def _bounds(kind: str, properties: Array, fractions: Array, dimension: int) -> dict[str, Any]:
    """Voigt, Reuss and Hashin-Shtrikman bounds; of a flat image those in its plane."""
    if kind == "conductivity":
        return bounds.conductivity(properties, fractions, dimension).json()
    K, G = bounds.bulk_and_shear(properties[:, 0], properties[:, 1], dimension)
    of = {
        "bulk": bounds.bulk(K, G, fractions, dimension).json(),
        "shear": bounds.shear(K, G, fractions, dimension).json(),
    }
    return {name: {which: one[name] for which, one in of.items()} for name in of["bulk"]}


def _nulls(tensor: Array) -> list[list[float | None]]:
    return [[float(entry) if np.isfinite(entry) else None for entry in row] for row in tensor]


class _Function(ModuleType):
    """Importing this file binds ``hpcms.homogenize`` to the module; users call that name, so the module is callable."""

    def __call__(self, *args: Any, **kwargs: Any) -> Homogenized:
        return homogenize(*args, **kwargs)


sys.modules[__name__].__class__ = _Function

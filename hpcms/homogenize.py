"""Effective properties of a voxel image: ``hpcms.homogenize(image, ...)``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hpcms import memory, voxels
from hpcms.contracts import Array
from hpcms.errors import BadInput, NumericalFailure
from hpcms.kernels import cell_scalar
from hpcms.properties import PROPERTIES, Cell, Property
from hpcms.voxels import Phase, Spacing

TENSORS = tuple(name for property in PROPERTIES.values() for name in property.tensors)


@dataclass(frozen=True, eq=False)
class Homogenized(Mapping[str, Any]):
    """Effective properties; as a mapping and by ``json()`` it is the object that ``hpcms homogenize --json`` prints.

    One of these, the others None; columns of loads that were not asked for are NaN (null in JSON). ``conductivity``:
    (3, 3) W/(m K). ``stiffness``: (6, 6) Pa, Mandel order 11 22 33 23 13 12. ``permeability``: (3, 3) m2, with
    ``mobility``, by which the mean velocity is minus the pressure gradient, m2/(Pa s). ``viscosity``: (6, 6) Pa s, mean
    stress by mean rate of strain without divergence, twice the shear viscosity on its diagonal.
    ``bounds``: Voigt, Reuss, Hashin-Shtrikman (the last for isotropic cells) of the conductivity, of bulk and shear
    modulus, or of the shear viscosity (None: unbounded, as a phase is rigid); of anisotropic phases the first two, as
    tensors; of the permeability there are none. ``iterations``: by load. ``cpu_s``, ``wall_s``: of the solves alone,
    without reading the image and loading the kernels.
    """

    bounds: dict[str, Any]
    fractions: dict[str, float]
    iterations: dict[str, int]
    residuals: dict[str, float]
    cpu_s: float
    wall_s: float
    peak_memory_bytes: int
    conductivity: Array | None = None
    stiffness: Array | None = None
    permeability: Array | None = None
    mobility: Array | None = None
    viscosity: Array | None = None

    def json(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts; the properties that were not asked for are left out."""
        tensors = {name: getattr(self, name) for name in TENSORS}
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
    elastic: Mapping[Phase, Any] | None = None,
    conductivity: Mapping[Phase, Any] | None = None,
    threshold: str | float | None = None,
    crop: Any = None,
    mirror: bool = False,
    load: str = "all",
    tolerance: float | None = None,
    spacing: Spacing | None = None,
    boundary: str = "periodic",
    dataset: str | None = None,
    fluid: Mapping[Phase, float] | None = None,
    viscosity: Mapping[Phase, float | str] | None = None,
    max_iterations: int = 2000,
    threads: int = 1,
) -> Homogenized:
    """Effective property of ``image`` (an array or a file), whose labels are the keys of the phases.

    One of ``elastic``: (Young's modulus in Pa, Poisson's ratio) by label, or a (6, 6) Mandel stiffness;
    ``conductivity``: W/(m K) by label, or a (3, 3) tensor; zero means void. ``fluid``: viscosity in Pa s of the labels
    that a liquid flows through, all others are solid. ``viscosity``: Pa s, or "rigid", by label, of a mixture.
    ``threshold``: labels a grey image, "otsu" or a value: 0 up to it, 1 above. ``crop``: see
    ``images.crop``; ``mirror``: reflect the image to a periodic cell. ``load``: one unit load or "all". ``spacing``:
    voxel edges in m, 1 if left out. ``boundary``: "periodic", "displacement" (or temperature) or "traction" (or flux)
    prescribed; flows are periodic. ``tolerance``: relative residual, 1e-6, for ``viscosity`` 1e-4 if left out.
    ``threads``: cores for a periodic stiffness or a conductivity (which takes memory for each); they change no digit.
    Raises ``BadInput`` before any work, ``NumericalFailure`` if a load does not converge.
    """
    given = {"elastic": elastic, "conductivity": conductivity, "fluid": fluid, "viscosity": viscosity}
    wanted, values = _property(given)
    loads = wanted.named(load)
    tolerance = wanted.tolerance if tolerance is None else tolerance
    voxels.check_tolerance(tolerance)
    voxels.check_boundary(boundary)
    for name, number in (("max_iterations", max_iterations), ("threads", threads)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise BadInput(f"{name}: must be a whole number >= 1 (got {number!r})")
    edges = voxels.checked_spacing(spacing)
    labels = voxels.labels(image, threshold, crop, mirror, dataset)
    phase, used = voxels.indexed(labels, values, rest=wanted.rest is not None)
    own = [values.get(name, wanted.rest) for name in used]
    wanted.admit(own, boundary, loads)
    copies = min(threads, len(loads)) if wanted.side_by_side else 1
    memory.refuse_beyond(
        "homogenize", copies * phase.size * wanted.bytes[boundary], "crop the image or make its voxels coarser"
    )
    return _solved(wanted, Cell(phase, own, edges, loads, tolerance, max_iterations, boundary, threads), used)


def _property(given: Mapping[str, Any]) -> tuple[Property, dict[str, Any]]:
    """Which property is wanted, and its values by label as text; every value is checked."""
    named = [name for name, phases in given.items() if phases]
    if len(named) != 1:
        raise BadInput(
            f"homogenize: give one of {', '.join(given)}, with every phase",
            "for example conductivity={0: 0.024, 1: 2.1}",
        )
    wanted, values, problems = PROPERTIES[named[0]], {}, []
    for key, value in given[named[0]].items():
        try:
            values[str(key)] = wanted.value(value)
        except (TypeError, ValueError):
            problems.append(f"{named[0]} of phase {key}: needs {wanted.wanted} (got {value!r})")
    if problems:
        raise BadInput(problems[0], problems=tuple(problems))
    return wanted, values


def _solved(wanted: Property, cell: Cell, used: tuple[str, ...]) -> Homogenized:
    """Solve; the first load that failed is an error that says what to do."""
    _load_kernels(wanted, cell)
    cpu, wall = time.process_time(), time.perf_counter()
    tensor, outcomes = wanted.solve(cell)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    for name, outcome in zip(cell.loads, outcomes, strict=True):
        if not outcome.ok:
            what, _, advice = outcome.reason.partition("; ")
            raise NumericalFailure(f"homogenize: load {name} did not converge: {what}", advice)
    fractions = voxels.fractions(cell.phase, used)
    shares = np.array(list(fractions.values()))
    return Homogenized(
        **wanted.derived(tensor, cell.values),
        bounds=wanted.bounds(cell.values, shares, 2 if min(cell.phase.shape) == 1 else 3),
        fractions=fractions,
        iterations={name: outcome.linear_iterations for name, outcome in zip(cell.loads, outcomes, strict=True)},
        residuals={name: outcome.residual for name, outcome in zip(cell.loads, outcomes, strict=True)},
        cpu_s=cpu,
        wall_s=wall,
        peak_memory_bytes=memory.peak(),
    )


def _load_kernels(wanted: Property, cell: Cell) -> None:
    """Solve a cell of eight voxels, so that compiling or loading the kernels is not counted as solving."""
    count = len(cell.values)
    phase = np.minimum(np.arange(8) % (count + 1), count - 1).astype(np.uint8).reshape(2, 2, 2)
    wanted.solve(replace(cell, phase=phase, tolerance=1e-3, limit=100))
    if wanted is PROPERTIES["conductivity"] and cell.boundary == "periodic":
        cell_scalar.load_kernels()


def _nulls(tensor: Array) -> list[list[float | None]]:
    return [[float(entry) if np.isfinite(entry) else None for entry in row] for row in tensor]


class _Function(ModuleType):
    """Importing this file binds ``hpcms.homogenize`` to the module; users call that name, so the module is callable."""

    def __call__(self, *args: Any, **kwargs: Any) -> Homogenized:
        return homogenize(*args, **kwargs)


sys.modules[__name__].__class__ = _Function

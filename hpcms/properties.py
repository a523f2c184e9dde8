"""The effective properties that ``hpcms.homogenize`` knows: how phases are given, which unit loads there are, who solves them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hpcms import bounds
from hpcms.contracts import Array, Outcome
from hpcms.errors import BadInput
from hpcms.fine.suspension import RIGID
from hpcms.kernels import cell_conductor, cell_scalar, cell_stokes
from hpcms.kernels.cell_elastic import ElasticCell
from hpcms.kernels.outcomes import outcome
from hpcms.voxels import Spacing

AXES = ("11", "22", "33")
STRAINS = (*AXES, "23", "13", "12")
RATES = ("11-22", "11+22-2x33", "23", "13", "12")  # in the order of ``cell_stokes.DEVIATORS``
Solved = tuple[Array, tuple[Outcome, ...]]


@dataclass(frozen=True)
class Cell:
    """``phase``: (nx, ny, nz) places in ``values``; ``loads``: names of the property; ``limit``: iterations a load;
    ``threads``: at most so many, where the solver of the property can use them."""

    phase: Array
    values: list[Any]
    spacing: Spacing
    loads: tuple[str, ...]
    tolerance: float
    limit: int
    boundary: str = "periodic"
    threads: int = 1


class Property(ABC):
    """One effective property. ``tensors``: names of what comes out; ``bytes``: by boundary, what a voxel of a large cell needs."""

    tensors: ClassVar[tuple[str, ...]]
    loads: ClassVar[tuple[str, ...]]
    wanted: ClassVar[str]
    tolerance: ClassVar[float] = 1e-6
    rest: ClassVar[Any] = None  # what a label is that was not named; None: every label must be
    bytes: ClassVar[dict[str, float]]
    side_by_side: ClassVar[bool] = False  # whether threads solve loads at once, each with memory of its own

    @abstractmethod
    def value(self, given: Any) -> Any:
        """A phase's value in the form that ``solve`` takes. Raises ``ValueError`` or ``TypeError`` where it is none."""

    @abstractmethod
    def solve(self, cell: Cell) -> Solved:
        """The first of the tensors, NaN in columns of loads that are not asked for, and the outcomes by load."""

    @abstractmethod
    def bounds(self, values: list[Any], fractions: Array, dimension: int) -> dict[str, Any]:
        """What is known from the fractions alone; of a flat image in its plane."""

    def admit(self, values: list[Any], boundary: str, loads: tuple[str, ...]) -> None:
        """Raises ``BadInput`` for phases that are there together and cannot be solved."""
        if boundary not in self.bytes:
            raise BadInput(
                f"boundary: {boundary!r} is not there for the {self.tensors[0]}, only {', '.join(self.bytes)}"
            )

    def named(self, load: str) -> tuple[str, ...]:
        """The loads that ``load`` means; a gradient may also be called by one digit."""
        name = load * 2 if len(load) == 1 else load
        if name == "all":
            return self.loads
        if name not in self.loads:
            raise BadInput(f"load: unknown load {load!r}", f"known loads: {', '.join(self.loads)}, all")
        return (name,)

    def derived(self, tensor: Array, values: list[Any]) -> dict[str, Array]:
        """All ``tensors`` by name."""
        return {self.tensors[0]: tensor}


class Conductivity(Property):
    """Isotropic phases by one number, W/(m K), others by a symmetric (3, 3) tensor; zero insulates."""

    tensors, loads = ("conductivity",), AXES
    wanted = "a conductivity >= 0 in W/(m K), or a symmetric 3 x 3 tensor without negative eigenvalues"
    bytes: ClassVar = {"periodic": 155.0, "displacement": 120.0, "traction": 205.0}
    side_by_side = True

    def value(self, given: Any) -> Any:
        k = _real(given)
        if k.shape == ():
            if k < 0:
                raise ValueError
            return float(k)
        if k.shape != (3, 3) or not _symmetric(k) or np.linalg.eigvalsh(k).min() < -1e-14 * np.abs(k).max():
            raise ValueError
        return k

    def solve(self, cell: Cell) -> Solved:
        axes = tuple(AXES.index(load) for load in cell.loads)
        stop = (cell.tolerance, cell.limit)
        k = np.array(cell.values) if _all_numbers(cell.values) else self._matrices(cell.values)
        if k.ndim == 1 or cell.boundary != "periodic":
            found = cell_scalar.effective(cell.phase, k, cell.spacing, *stop, axes=axes, boundary=cell.boundary,
                                          threads=cell.threads)  # fmt: skip
        else:
            found = cell_conductor.anisotropic(cell.phase, k, cell.spacing, *stop, axes)
        return found.conductivity, found.outcomes

    def bounds(self, values: list[Any], fractions: Array, dimension: int) -> dict[str, Any]:
        if _all_numbers(values):
            return bounds.conductivity(np.array(values), fractions, dimension).json()
        return bounds.tensors(self._matrices(values), fractions)

    def _matrices(self, values: list[Any]) -> Array:
        return np.array([value * np.eye(3) if isinstance(value, float) else value for value in values])


class Stiffness(Property):
    """Isotropic phases by (Young's modulus in Pa, Poisson's ratio), others by a (6, 6) Mandel stiffness; zero is void."""

    tensors, loads = ("stiffness",), STRAINS
    wanted = "a modulus E >= 0 in Pa and -1 < nu < 0.5, or a symmetric positive definite 6 x 6 Mandel stiffness in Pa"
    bytes: ClassVar = {"periodic": 260.0, "displacement": 390.0, "traction": 880.0}

    def value(self, given: Any) -> Any:
        C = _real(given)
        if C.shape == (2,):
            E, nu = C.tolist()
            if E < 0 or not -1 < nu < 0.5:
                raise ValueError
            return E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))
        if C.shape != (6, 6) or not _symmetric(C) or (C.any() and np.linalg.eigvalsh(C).min() <= 1e-14 * C.max()):
            raise ValueError
        return C

    def solve(self, cell: Cell) -> Solved:
        moduli = np.array(cell.values) if self._isotropic(cell.values) else self._matrices(cell.values)
        columns = [STRAINS.index(load) for load in cell.loads]
        solver = ElasticCell(cell.phase, moduli, cell.spacing, cell.boundary, threads=cell.threads)
        C, states = solver.stiffness(columns, cell.tolerance, cell.limit)
        ends = (outcome(float(s.residual), cell.tolerance, s.iterations, cell.limit) for s in states)
        return C, tuple(ends)

    def bounds(self, values: list[Any], fractions: Array, dimension: int) -> dict[str, Any]:
        if not self._isotropic(values):
            return bounds.tensors(self._matrices(values), fractions)
        lam, mu = np.array(values).T
        K = lam + 2 * mu / 3 if dimension == 3 else lam + mu
        of = {
            "bulk": bounds.bulk(K, mu, fractions, dimension).json(),
            "shear": bounds.shear(K, mu, fractions, dimension).json(),
        }
        return {name: {which: one[name] for which, one in of.items()} for name in of["bulk"]}

    def admit(self, values: list[Any], boundary: str, loads: tuple[str, ...]) -> None:
        super().admit(values, boundary, loads)
        if not any(np.any(value) for value in values):
            raise BadInput("homogenize: no phase in the image has a stiffness", "give one of them E > 0")

    def _isotropic(self, values: list[Any]) -> bool:
        return all(isinstance(value, tuple) for value in values)

    def _matrices(self, values: list[Any]) -> Array:
        from hpcms.kernels.hex8_anisotropic import isotropic

        return np.array([isotropic(*value) if isinstance(value, tuple) else value for value in values])


class Permeability(Property):
    """Slow flow of one liquid, Pa s, through the voxels of the phases that are named; all others are solid, at rest."""

    tensors, loads = ("permeability", "mobility"), AXES
    wanted = "the viscosity > 0 of the liquid in Pa s"
    rest = "solid"
    bytes: ClassVar = {"periodic": 660.0}

    def value(self, given: Any) -> float:
        return _positive(given)

    def admit(self, values: list[Any], boundary: str, loads: tuple[str, ...]) -> None:
        super().admit(values, boundary, loads)
        liquids = sorted({value for value in values if value != self.rest})
        if not liquids:
            raise BadInput("homogenize: no voxel of the image is liquid", "name the phase of the pores")
        if self.rest not in values:
            raise BadInput("homogenize: no voxel is solid, so nothing holds the flow back", "leave out a phase")
        if len(liquids) > 1:
            hint = "give all phases of the pores one viscosity; the permeability does not depend on it"
            raise BadInput(f"homogenize: one liquid fills the pores (got viscosities {liquids})", hint)

    def solve(self, cell: Cell) -> Solved:
        solid = np.array([value == self.rest for value in cell.values])[cell.phase]
        if cell.loads == self.loads:
            K, _, ends = cell_stokes.permeabilities(solid, cell.spacing, cell.tolerance, cell.limit)
            return K, tuple(ends)
        K, outcomes = np.full((3, 3), np.nan), []
        for axis in (AXES.index(load) for load in cell.loads):
            flow = cell_stokes.permeability(solid, cell.spacing, axis, cell.tolerance, cell.limit)
            K[:, axis] = flow.mean
            outcomes.append(flow.outcome)
        return K, tuple(outcomes)

    def bounds(self, values: list[Any], fractions: Array, dimension: int) -> dict[str, Any]:
        return {}  # fractions alone bound no permeability: it grows with the square of the pores

    def derived(self, tensor: Array, values: list[Any]) -> dict[str, Array]:
        (mu,) = {value for value in values if value != self.rest}
        return {"permeability": tensor, "mobility": tensor / mu}


class Viscosity(Property):
    """Slow flow of a mixture of liquids, Pa s, with rigid particles (``"rigid"``) in it."""

    tensors, loads = ("viscosity",), RATES
    wanted = "a viscosity > 0 in Pa s, or 'rigid'"
    tolerance = 1e-4  # of the rates; the stress is then right to its square
    bytes: ClassVar = {"periodic": 550.0}

    def named(self, load: str) -> tuple[str, ...]:
        """Alone only shears: the mean rate has no divergence."""
        if load in AXES or load in RATES[:2]:
            hint = "known loads: 23, 13, 12, all"
            raise BadInput(f"load: a liquid cannot be stretched along one axis alone (got {load!r})", hint)
        return super().named(load)

    def value(self, given: Any) -> float:
        return np.inf if isinstance(given, str) and given == "rigid" else _positive(given)

    def admit(self, values: list[Any], boundary: str, loads: tuple[str, ...]) -> None:
        super().admit(values, boundary, loads)
        if np.isinf(values).all():
            raise BadInput("homogenize: all voxels are rigid, so there is no liquid", "give one phase a viscosity")

    def solve(self, cell: Cell) -> Solved:
        given = np.array(cell.values)
        rigid = np.isinf(given)
        eta = np.where(rigid, RIGID * given[~rigid].max(), given)[cell.phase]
        if cell.loads == self.loads:
            N, _, ends = cell_stokes.viscosities(eta, cell.spacing, cell.tolerance, cell.limit)
            return N, tuple(ends)
        N, outcomes = np.full((6, 6), np.nan), []
        for place in (STRAINS.index(load) for load in cell.loads):
            flow = cell_stokes.viscosity(eta, cell.spacing, np.eye(6)[place], cell.tolerance, cell.limit)
            N[:, place] = flow.mean
            outcomes.append(flow.outcome)
        return N, tuple(outcomes)

    def bounds(self, values: list[Any], fractions: Array, dimension: int) -> dict[str, Any]:
        return bounds.viscosity(np.array(values), fractions, dimension).json()


PROPERTIES: dict[str, Property] = {
    "elastic": Stiffness(),
    "conductivity": Conductivity(),
    "fluid": Permeability(),
    "viscosity": Viscosity(),
}


def _real(given: Any) -> Array:
    values = np.asarray(given, float)
    if not np.isfinite(values).all():
        raise ValueError
    return values


def _positive(given: Any) -> float:
    value = _real(given)
    if value.shape != () or value <= 0:
        raise ValueError
    return float(value)


def _symmetric(tensor: Array) -> bool:
    return bool(np.abs(tensor - tensor.T).max() <= 1e-12 * np.abs(tensor).max())


def _all_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, float) for value in values)

"""What all laws share: the layout of records, the keys that every phase may have, and small tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, get_args

import numpy as np

from hpcms.contracts import Array, Unit
from hpcms.errors import BadInput

STRAIN, TANGENT, ENERGY, DISSIPATION, HISTORY = 0, 6, 27, 28, 29
TRIANGLE = np.triu_indices(6)
VOLUME = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
DEVIATOR = np.eye(6) - np.outer(VOLUME, VOLUME) / 3.0
Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Tagged:
    """Marks a union of dataclasses that are told apart by the key ``name``, whose default is the tag."""

    name: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """What pydantic asks for when it meets the mark."""
        from pydantic_core import core_schema

        options = {getattr(option, self.name): handler.generate_schema(option) for option in get_args(source)}
        return core_schema.tagged_union_schema(options, self.name)


@dataclass(frozen=True, kw_only=True)
class Law:
    """Stress-free strain of a phase: ``eigenstrain`` + ``expansion`` (T - ``reference_temperature``) I; its density."""

    density: Annotated[float, Unit("kg/m^3", least=0)] = 0.0
    expansion: Annotated[float, Unit("1/K")] = 0.0
    reference_temperature: Annotated[float, Unit("K", above=0)] = 293.15
    eigenstrain: Six = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    mean_dilatation: bool = False  # the volume strain of a voxel is its mean: for phases that hardly change volume

    rows: ClassVar[int] = 0
    update: ClassVar[Any]

    @property
    def void(self) -> bool:
        """Has the phase no stiffness at all?"""
        return False

    def free_strain(self, temperature: float) -> Array:
        """(6,) Mandel strain at which the stress is zero."""
        return np.array(self.eigenstrain) + self.expansion * (temperature - self.reference_temperature) * VOLUME

    def parameters(self, dt: float, temperature: float) -> Array:
        """What ``update`` needs for a step of ``dt`` seconds at ``temperature`` K."""
        raise BadInput(f"{type(self).__name__} is not a law")

    def plain(self, strain: Array, history: Array, dt: float, temperature: float) -> tuple[Array, ...]:
        """Stress, tangent, history, energy, dissipation; see the room."""
        raise BadInput(f"{type(self).__name__} is not a law")


@dataclass(frozen=True, kw_only=True)
class Isotropic(Law):
    """Hooke's law."""

    youngs_modulus: Annotated[float, Unit("Pa", least=0)]
    poisson_ratio: Annotated[float, Unit("", above=-1, below=0.5)] = 0.3

    @property
    def void(self) -> bool:
        return self.youngs_modulus == 0.0

    @property
    def moduli(self) -> tuple[float, float]:
        """K and 2 mu in Pa."""
        E, nu = self.youngs_modulus, self.poisson_ratio
        return E / (3.0 * (1.0 - 2.0 * nu)), E / (1.0 + nu)


def hooke(K: float, mu2: float) -> Array:
    """(6, 6) Mandel stiffness."""
    C: Array = K * np.outer(VOLUME, VOLUME) + mu2 * DEVIATOR
    return C


def bunge(angles: tuple[float, float, float]) -> Array:
    """(3, 3) R, whose columns are the crystal's axes in the frame of the cell; Bunge's angles phi1, Phi, phi2 in degrees."""
    a, b, c = np.radians(angles)
    (ca, sa), (cb, sb), (cc, sc) = ((np.cos(x), np.sin(x)) for x in (a, b, c))
    passive = [[ca * cc - sa * sc * cb, sa * cc + ca * sc * cb, sc * sb],
               [-ca * sc - sa * cc * cb, -sa * sc + ca * cc * cb, cc * sb],
               [sa * sb, -ca * sb, cb]]  # fmt: skip
    return np.array(passive).T


def mandel(T: Array) -> Array:
    """(..., 6) of symmetric (..., 3, 3)."""
    r = np.sqrt(2.0)
    parts = (T[..., 0, 0], T[..., 1, 1], T[..., 2, 2], r * T[..., 1, 2], r * T[..., 0, 2], r * T[..., 0, 1])
    return np.stack(parts, axis=-1)


def tensor(v: Array) -> Array:
    """(..., 3, 3) of Mandel (..., 6)."""
    r = np.sqrt(0.5)
    a, b, c, d, e, f = v[..., 0], v[..., 1], v[..., 2], r * v[..., 3], r * v[..., 4], r * v[..., 5]
    return np.stack([np.stack([a, f, e], -1), np.stack([f, b, d], -1), np.stack([e, d, c], -1)], -2)


def rotation(R: Array) -> Array:
    """(6, 6) orthogonal matrix that turns Mandel vectors as R turns vectors."""
    Q: Array = mandel(R @ tensor(np.eye(6)) @ R.T).T
    return Q

"""Bounds on effective properties from phase properties and volume fractions alone, in two or three dimensions.

Voigt (uniform drive) and Reuss (uniform flux) hold for any microstructure, Hashin and Shtrikman for isotropic ones
(J. Mech. Phys. Solids 1962/1963; several phases and moduli that are not ordered alike: Walpole 1966). Each of them is
``Y(z) = 1 / sum f / (y + z) - z``, which grows with z: z = 0 is Reuss, z -> infinity is Voigt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import BadInput


@dataclass(frozen=True)
class Bounds:
    """Bounds of one scalar property in its own unit; ``lower`` and ``upper`` are those of Hashin and Shtrikman."""

    reuss: float
    lower: float
    upper: float
    voigt: float

    def json(self) -> dict[str, Any]:
        """Plain numbers; None for no bound."""
        voigt, reuss, low, high = (
            y if np.isfinite(y) else None for y in (self.voigt, self.reuss, self.lower, self.upper)
        )
        return {"voigt": voigt, "reuss": reuss, "hashin_shtrikman": [low, high]}


def conductivity(k: Array, fractions: Array, dimension: int = 3) -> Bounds:
    """Bounds of the conductivity. ``k``: (P,) >= 0, W/(m K); ``fractions``: (P,); ``dimension``: 2 or 3."""
    k, f = _checked(k, fractions, dimension)
    return _bounds(k, f, (dimension - 1) * float(k.min()), (dimension - 1) * float(k.max()))


def bulk(K: Array, G: Array, fractions: Array, dimension: int = 3) -> Bounds:
    """Bounds of the bulk modulus, in two dimensions of the area modulus in plane strain ``lambda + mu``, Pa."""
    K, f = _checked(K, fractions, dimension)
    G, _ = _checked(G, fractions, dimension)
    factor = 4 / 3 if dimension == 3 else 1.0
    return _bounds(K, f, factor * float(G.min()), factor * float(G.max()))


def shear(K: Array, G: Array, fractions: Array, dimension: int = 3) -> Bounds:
    """Bounds of the shear modulus, Pa; ``K``: bulk or, in two dimensions, area moduli."""
    K, _ = _checked(K, fractions, dimension)
    G, f = _checked(G, fractions, dimension)
    low, high = (_shear_constraint(float(pick(K)), float(pick(G)), dimension) for pick in (np.min, np.max))
    return _bounds(G, f, low, high)


def viscosity(eta: Array, fractions: Array, dimension: int = 3) -> Bounds:
    """Bounds of the viscosity of a mixture, Pa s: those of the shear modulus without compressibility; inf: rigid phases."""
    eta, f = _checked(eta, fractions, dimension, rigid=True)
    factor = 1.5 if dimension == 3 else 1.0  # of ``_shear_constraint`` as K grows
    return _bounds(eta, f, factor * float(eta.min()), factor * float(eta.max()))


def tensors(C: Array, fractions: Array) -> dict[str, Any]:
    """Voigt and Reuss bounds, as tensors, of phases with tensors ``C`` (P, n, n); Reuss is zero where a phase is singular."""
    values = np.linalg.eigvalsh(C)
    regular = bool((values[:, 0] > 1e-14 * values[:, -1]).all())
    voigt = np.einsum("p,pij->ij", fractions, C)
    reuss = np.linalg.inv(np.einsum("p,pij->ij", fractions, np.linalg.inv(C))) if regular else np.zeros_like(voigt)
    return {"voigt": voigt.tolist(), "reuss": reuss.tolist()}


def _shear_constraint(K: float, G: float, dimension: int) -> float:
    """z for shear: what a comparison medium of moduli K and G sets against the shear of an inclusion."""
    if G == 0:
        return 0.0
    return G * (9 * K + 8 * G) / (6 * (K + 2 * G)) if dimension == 3 else K * G / (K + 2 * G)


def _bounds(y: Array, f: Array, low: float, high: float) -> Bounds:
    return Bounds(_mean(y, f, 0.0), _mean(y, f, low), _mean(y, f, high), float(f @ y))


def _mean(y: Array, f: Array, z: float) -> float:
    present = y[f > 0]
    if (present + z <= 0).any():  # a phase without resistance against which nothing is set
        return 0.0
    if np.isinf(z):
        return np.inf
    share, rigid = f[f > 0] / (present + z), np.isinf(present)
    carried = float(share[~rigid] @ present[~rigid] + f[f > 0][rigid].sum())
    return carried / float(share.sum())  # the same without the difference of large numbers


def _checked(y: Array, fractions: Array, dimension: int, rigid: bool = False) -> tuple[Array, Array]:
    """Properties and fractions of the phases that are there; ``rigid``: they may be infinite."""
    y, f = np.asarray(y, float), np.asarray(fractions, float)
    if dimension not in (2, 3):
        raise BadInput(f"bounds: the dimension is 2 or 3 (got {dimension})")
    if y.shape != f.shape or y.ndim != 1 or not y.size:
        raise BadInput(f"bounds: one property for each fraction is needed (got {y.shape} and {f.shape})")
    if not ((np.isfinite(y) | (rigid & (y == np.inf))).all() and (y >= 0).all()):
        raise BadInput(f"bounds: properties must be finite and not negative (got {y.tolist()})")
    if not ((f >= 0).all() and abs(f.sum() - 1) < 1e-9):
        raise BadInput(f"bounds: volume fractions must add up to 1 (got {f.tolist()})")
    return y[f > 0], f[f > 0]

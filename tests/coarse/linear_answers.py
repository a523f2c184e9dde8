"""Fine answers by closed formulas, and a plain loop of sweeps, for the tests of the coarse fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpcms.coarse.composition import Composition
from hpcms.contracts import Advance, Array, Arrays, Step

Law = Callable[[Arrays], Arrays]
VOLUME = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


def conduction(k: float | Array = 0.4, capacity: float = 6e5) -> Law:
    """Fourier's law with a conductivity that is one number or given at each site."""

    def law(drive: Arrays) -> Arrays:
        g = drive["gradient"]
        k_at = np.broadcast_to(k, len(g))[:, None, None] * np.eye(3)
        flux = -np.einsum("sij,sj->si", k_at, g)
        return {"flux": flux, "tangent": -k_at, "capacity": np.full(len(g), capacity)}

    return law


def stiffness(E: float, nu: float) -> Array:
    """(6, 6) isotropic, Mandel."""
    lam, mu = E * nu / (1 + nu) / (1 - 2 * nu), E / 2 / (1 + nu)
    return 2 * mu * np.eye(6) + lam * np.outer(VOLUME, VOLUME)


def elastic(E: float = 1e8, nu: float = 0.2, expansion: float = 0.0, density: float = 330.0) -> Law:
    """sigma = C : eps - expansion (T - 250 K) 1."""
    C = stiffness(E, nu)

    def law(drive: Arrays) -> Arrays:
        eps, n = drive["strain"], len(drive["strain"])
        return {
            "stress": eps @ C - np.outer(drive["temperature"] - 250.0, expansion * VOLUME),
            "tangent": np.tile(C, (n, 1, 1)),
            "tangent_temperature": np.tile(-expansion * VOLUME, (n, 1)),
            "density": np.full(n, density),
        }

    return law


def softening(E: float = 1e8, nu: float = 0.2, expansion: float = 2e3) -> Law:
    """A nonlinear law that depends on temperature and dissipates: stress is c(T) C : eps (1 + |eps|^2 / s^2)."""
    C, s = stiffness(E, nu), 1e-3

    def law(drive: Arrays) -> Arrays:
        eps, T, n = drive["strain"], drive["temperature"], len(drive["strain"])
        c = np.exp(-0.02 * (T - 250.0))
        hard, linear = 1 + np.sum(eps**2, axis=1) / s**2, eps @ C
        stress = (c * hard)[:, None] * linear - np.outer(T - 250.0, expansion * VOLUME)
        tangent = (c * hard)[:, None, None] * C + np.einsum("s,si,sj->sij", 2 * c / s**2, linear, eps)
        return {
            "stress": stress,
            "tangent": tangent,
            "tangent_temperature": -0.02 * (c * hard)[:, None] * linear - expansion * VOLUME,
            "density": np.full(n, 330.0),
            "dissipation": 1e5 * np.sum(eps**2, axis=1) / s**2,
        }

    return law


def answer(model: Composition, laws: Mapping[str, Law], u: Arrays, step: Step) -> dict[str, Arrays]:
    return {name: laws[name](drive) for name, drive in model.sites(u, step).items()}


def first_step(model: Composition, dt: float = 30 * 86400.0) -> Step:
    return Step(1, dt, dt, model.begin())


def solve(
    model: Composition, laws: Mapping[str, Law], step: Step, tolerance: float = 1e-10, most: int = 40
) -> tuple[Arrays, list[Advance]]:
    """Sweep until the residual is below the tolerance."""
    u, sweeps = model.predict(step), []
    while len(sweeps) < most:
        sweeps.append(model.advance(u, answer(model, laws, u, step), step))
        assert sweeps[-1].ok, sweeps[-1].reason
        if sweeps[-1].residual <= tolerance:
            return u, sweeps
        u = sweeps[-1].u
    return u, sweeps


def march(model: Composition, laws: Mapping[str, Law], u: Arrays, dt: float, steps: int, **settings: Any) -> Arrays:
    """The state after ``steps`` equal steps from time zero."""
    for n in range(1, steps + 1):
        u, sweeps = solve(model, laws, Step(n, n * dt, dt, u), **settings)
        assert sweeps[-1].residual <= settings.get("tolerance", 1e-10)
    return u


def slope(sizes: list[float], errors: list[float]) -> float:
    """The order of convergence by least squares in the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])

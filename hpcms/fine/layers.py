"""Layers in series along a bar: the smallest cell with a micro problem of its own. One strain in, one stress out.

The layers i of thickness f_i share the stress sigma; their strains e_i make up the mean strain eps:

    s_i(e_i) = sigma,   sum_i f_i e_i = eps      Newton:  de_i = (sigma - s_i) / k_i,   k_i = ds_i / de_i
    sigma = (eps - sum f e + sum f s / k) / sum(f / k),   A = d sigma / d eps = 1 / sum(f / k)

This sigma is the condensed stress sigma_bar - D K^-1 rho of the linearised cell. Laws of a layer, by ``law``:

    creep       s + E dt a |s|^(n-1) s = E (e - c),    c += dt a |s|^(n-1) s     Norton, backward Euler
    curved      s + E a |s|^(n-1) s = E e                                        Ramberg-Osgood, without memory
    softening   s = E e / (1 + (e / e_0)^2) + eta (e - e_before) / dt            falls beyond e_0; eta keeps it solvable

E_i and a_i differ from layer to layer and from region to region (``scatter``), by the region's number alone.
Sources: F. H. Norton, The Creep of Steel at High Temperatures (1929); W. Ramberg, W. R. Osgood, NACA TN 902 (1943).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit

TINY = 1e-300
CURVED = 10.0  # the share of a condensed stress that is missing over the square of the residual
CUTS = 7  # of a Newton step
FAR = 0.9  # of the slope before: a step that ends with more of it, the other way, went too far
EVALUATION = 0.15  # of a Newton iteration: one look at the laws


@dataclass(frozen=True)
class Layers:
    """State: ``fraction``, ``modulus``, ``rate`` (R, m) of the layers and ``memory`` (R, m): creep strain, or the strain
    before. Guesses: ``local`` (R, m) strains, ``at`` (R, 1) their mean, ``response`` (R, m) d local / d mean.
    """

    youngs_modulus: Annotated[float, Unit("Pa", above=0)]
    rate: Annotated[float, Unit("", least=0)] = 0.0  # a: Pa^-n s^-1 (creep) or Pa^-n (curved)
    n: Annotated[float, Unit("", least=1, most=20)] = 3.0
    law: Literal["creep", "curved", "softening"] = "creep"
    peak: Annotated[float, Unit("", above=0)] = 1.0  # e_0
    viscosity: Annotated[float, Unit("Pa s", least=0)] = 0.0
    count: Annotated[int, Unit("", least=1, most=1000)] = 4
    scatter: Annotated[float, Unit("", least=0, below=1)] = 0.5
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-10
    max_iterations: Annotated[int, Unit("", least=1)] = 60

    drives: ClassVar[tuple[str, ...]] = ("strain", "dt")
    answers: ClassVar[tuple[str, ...]] = ("stress", "tangent", "work")
    guesses: ClassVar[tuple[str, ...]] = ("local", "at", "response")
    pairing: ClassVar[tuple[str, str] | None] = ("strain", "stress")

    @property
    def memory(self) -> bool:
        """Whether the answers depend on the steps before."""
        return self.law != "curved"

    def begin(self, regions: Regions) -> Arrays:
        """At rest."""
        R, m = len(regions), self.count
        draw = np.array([np.random.default_rng(int(i)).random((3, m)) for i in regions.ids]).reshape(R, 3, m)
        fraction = 1 + self.scatter * (2 * draw[:, 0] - 1)
        return {
            "fraction": fraction / fraction.sum(axis=1, keepdims=True),
            "modulus": self.youngs_modulus * (1 + self.scatter * (2 * draw[:, 1] - 1)),
            "rate": self.rate * 10.0 ** (2 * self.scatter * (2 * draw[:, 2] - 1)),
            "memory": np.zeros((R, m)),
            "local": np.zeros((R, m)),
            "at": np.zeros((R, 1)),
            "response": np.ones((R, m)),
        }

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Newton's method with a line search, until the stresses of the layers agree."""
        return self._newton(drive, state, self.max_iterations, self.tolerance)

    def iterate(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """One Newton iteration, or none where the stresses agree already."""
        return self._newton(drive, state, 1, 0.0)

    def _newton(
        self, drive: Arrays, state: Arrays, limit: int, demand: float
    ) -> tuple[Arrays, Arrays, list[Outcome]]:  # fmt: skip
        """``demand``: the residual that an outcome needs to be ok; 0: any finite one."""
        eps, dt, f = np.asarray(drive["strain"], float), np.asarray(drive["dt"], float)[:, None], state["fraction"]
        e = state["local"] + state["response"] * (eps - state["at"])
        s, k = self._law(e, dt, state)
        sigma, A, residual = self._condense(eps, e, s, k, f)
        steps = np.zeros(len(eps), dtype=np.int64)
        best: tuple[Array, ...] = (e, s, k, sigma, A, residual)
        for _ in range(limit):
            todo = ~(best[5] <= self.tolerance)
            if not todo.any():
                break
            steps += todo
            best = self._move(eps, dt, state, best, todo)
        e, s, k, sigma, A, residual = best
        answers = self._answers(eps, sigma, A, residual)
        ok = np.isfinite(residual) & np.isfinite(sigma[:, 0])
        ok &= (residual <= demand) if demand else True
        new = {**state, "memory": self._remember(e, s, dt, state), "local": e, "at": eps.copy()}
        new["response"] = A / np.where(k == 0, TINY, k)
        for name in ("memory", "local", "at", "response"):
            new[name] = np.where(ok[:, None], new[name], state[name])
        words = ("converged", "the layers' stresses do not agree: shorten the step")
        outcomes = [
            Outcome(bool(g), words[not g], int(i), 0, float(r)) for g, i, r in zip(ok, steps, residual, strict=True)
        ]
        return (
            {name: np.where(ok.reshape(-1, *[1] * (v.ndim - 1)), v, 0.0) for name, v in answers.items()},
            new,
            outcomes,
        )

    def _answers(self, eps: Array, sigma: Array, A: Array, residual: Array) -> Arrays:
        size = np.where(residual <= self.tolerance, 0.0, np.abs(sigma[:, 0]))
        error = size * np.minimum(residual, CURVED * residual**2)
        return {
            "stress": sigma,
            "tangent": A[:, :, None],
            "work": (sigma * eps)[:, 0],
            "error": error,
            "lag": size * residual,
        }

    def _move(self, eps: Array, dt: Array, state: Arrays, at: tuple[Array, ...], todo: Array) -> tuple[Array, ...]:
        """One Newton step where ``todo``, cut up to ``CUTS`` times where it goes too far.

        Work is convex for the laws that only rise, so along d its slope g(t) = sum f d (s(e + t d) - sigma) goes from below zero
        to its root and beyond: too far is |g(1)| > ``FAR`` |g(0)|, and the secant through both says how far to go. (The relative
        residual says nothing there: a power law is so flat that it stays near one.) Where g(0) >= 0 the law falls, and a
        residual that is worse than threefold halves the step.
        """
        e, s, k, sigma, A, residual = at
        f, share = state["fraction"], np.where(todo, 1.0, 0.0)[:, None]
        d = (sigma - s) / np.where(k == 0, TINY, k)
        slope0 = (f * d * (s - sigma)).sum(axis=1)
        for _ in range(CUTS):
            trial = e + share * d
            s1, k1 = self._law(trial, dt, state)
            sigma1, A1, r1 = self._condense(eps, trial, s1, k1, f)
            slope1 = (f * d * (s1 - sigma)).sum(axis=1)
            rises = slope0 < 0
            worse = todo & np.where(rises, ~(slope1 <= -FAR * slope0), ~(r1 <= 3.0 * residual))
            if not worse.any():
                break
            part = np.where(rises & np.isfinite(slope1), slope0 / np.where(worse & rises, slope0 - slope1, -1.0), 0.5)
            share = np.where(worse[:, None], share * np.clip(part, 0.1, 0.5)[:, None], share)
        pick = todo[:, None]
        news, olds = (trial, s1, k1, sigma1, A1), (e, s, k, sigma, A)
        moved = [np.where(pick, new, old) for new, old in zip(news, olds, strict=True)]
        return (*moved, np.where(todo, r1, residual))

    def _condense(self, eps: Array, e: Array, s: Array, k: Array, f: Array) -> tuple[Array, Array, Array]:
        """Condensed stress (R, 1), tangent (R, 1) and the relative residual (R,)."""
        with np.errstate(all="ignore"):
            A = 1.0 / (f / k).sum(axis=1, keepdims=True)
            sigma = A * (eps - (f * e).sum(axis=1, keepdims=True) + (f * s / k).sum(axis=1, keepdims=True))
            scale = np.maximum(np.abs(sigma[:, 0]), 1e-6 * np.abs(s).max(axis=1)) + TINY
            residual = np.abs(s - sigma).max(axis=1) / scale
        return sigma, A, residual

    def _law(self, e: Array, dt: Array, state: Arrays) -> tuple[Array, Array]:
        """Stress and tangent of every layer at its strain."""
        E, before = state["modulus"], state["memory"]
        if self.law == "softening":
            x = (e / self.peak) ** 2
            eta = np.divide(self.viscosity, dt, out=np.zeros_like(dt), where=dt > 0)
            return E * e / (1 + x) + eta * (e - before), E * (1 - x) / (1 + x) ** 2 + eta
        trial = E * (e - before) if self.law == "creep" else E * e
        B = E * state["rate"] * (dt if self.law == "creep" else 1.0)
        s = root(np.abs(trial), B, self.n)
        return np.sign(trial) * s, E / (1 + self.n * B * s ** (self.n - 1))

    def _remember(self, e: Array, s: Array, dt: Array, state: Arrays) -> Array:
        if self.law == "curved":
            return state["memory"]
        return e if self.law == "softening" else e - s / state["modulus"]

    def cost(self, regions: Regions) -> Array:
        """Seconds: a few vector operations."""
        return np.full(len(regions), 2e-5)


def root(t: Array, B: Array, n: float) -> Array:
    """s >= 0 with s + B s^n = t: convex, so Newton's method from the right falls to it."""
    s = np.minimum(t, np.divide(t, B, out=np.full_like(t, np.inf), where=B > 0) ** (1 / n))
    for _ in range(60):
        step = (s + B * s**n - t) / (1 + n * B * s ** (n - 1))
        s = s - step
        if np.all(np.abs(step) <= 1e-15 * t):
            break
    return s


MODEL = Layers

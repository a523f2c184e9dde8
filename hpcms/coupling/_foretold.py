"""What a fine model with memory will answer in a step, before anybody is asked: the end of the step before, carried on.

Two laws, both affine around a drive eps*, with a sigma* and a tangent; d eps is the increment of the step before, which ended
at eps, sigma and the temperature T, dt over its dt is r, and B = A d eps:

    trend   eps* = eps + r d eps,    sigma* = sigma + r d sigma,  A;                temperature goes on likewise
    flow    eps* = eps + r s d eps,  sigma* = sigma,              A / s,            s = exp(kappa (T' - T))

``trend`` is exact for what answers to increments by increments (elastic, and plastic along a straight path). ``flow`` is exact
for steady creep of any degree: the same stress flows on, at a rate that the temperature T' of the new step scales. How much it
does is in the tangents: an increment and a temperature that leave the stress as it is have B ds + A_T dT = 0, so that
kappa = - A_T . B / |B|^2; what of A_T is not along B is added as it is. A model that knows s says it: kappa is the slope at one
temperature, and activation energies may change at the next. Each site goes by the law that would have foretold the
step before better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array, Arrays, Faster
from hpcms.coupling._records import Pair, affine

LEAST, MOST = 0.2, 5.0  # what a change of temperature may make of an increment
TINY = 1e-300


@dataclass(frozen=True)
class Told:
    """The end of a step for one fine model; ``answers`` are none at rest."""

    dt: float
    drive: Arrays
    answers: Arrays

    def kept(self, pair: Pair) -> Told:
        """What is needed of it once it is not the last step any more."""
        names = ("tangent", "tangent_temperature") + (pair or ())
        return Told(
            self.dt, *({n: v[n] for n in (*names, "temperature") if n in v} for v in (self.drive, self.answers))
        )


def foretell(
    pair: tuple[str, str], told: Sequence[Told], dt: float, temperature: Array | None, known: Faster | None = None
) -> tuple[Arrays, Arrays]:
    """Drives and the answers there in a step of ``dt`` at ``temperature`` (S,), after at least two steps, the newest last."""
    flowing = _flow(pair, told, dt, temperature, known)
    if len(told) < 3:
        return flowing
    drive, truth = told[-1].drive, told[-1].answers[pair[1]]
    missed = [
        np.linalg.norm(affine(pair, *law, drive)[pair[1]] - truth, axis=-1)
        for law in (
            _trend(pair, told[:-1], told[-1].dt),
            _flow(pair, told[:-1], told[-1].dt, drive.get("temperature"), known),
        )
    ]
    steady = missed[1] <= missed[0]
    out: tuple[Arrays, Arrays] = ({}, {})
    for chosen, flows, goes_on in zip(out, flowing, _trend(pair, told, dt), strict=True):
        for name, value in flows.items():
            chosen[name] = np.where(steady.reshape(-1, *(1,) * (value.ndim - 1)), value, goes_on[name])
    return out


def _trend(pair: tuple[str, str], told: Sequence[Told], dt: float) -> tuple[Arrays, Arrays]:
    before, last = told[-2:]
    ratio = dt / last.dt
    drive = {
        n: v + ratio * (v - before.drive[n]) if n in (pair[0], "temperature") else v for n, v in last.drive.items()
    }
    sigma = last.answers[pair[1]]
    return drive, {**last.answers, pair[1]: sigma + ratio * (sigma - before.answers.get(pair[1], 0.0))}


def _flow(
    pair: tuple[str, str], told: Sequence[Told], dt: float, temperature: Array | None, known: Faster | None
) -> tuple[Arrays, Arrays]:
    before, last = told[-2:]
    moved = last.drive[pair[0]] - before.drive[pair[0]]
    sigma, tangent = last.answers[pair[1]], last.answers["tangent"]
    faster, drive = np.ones((len(sigma), 1)), dict(last.drive)
    if "tangent_temperature" in last.answers and temperature is not None:
        along, warmer = np.einsum("rij,rj->ri", tangent, moved), (temperature - last.drive["temperature"])[:, None]
        slope = last.answers["tangent_temperature"]
        # only where the tangent was computed: a plane model leaves columns out, and with them entries of this slope
        along = np.where((tangent != 0.0).any(axis=1), along, 0.0)
        kappa = -(slope * along).sum(axis=-1, keepdims=True) / np.maximum((along**2).sum(axis=-1, keepdims=True), TINY)
        faster = np.clip(np.exp(np.clip(kappa * warmer, -9.0, 9.0)), LEAST, MOST)
        sigma = sigma + slope * warmer + along * np.log(faster)
        # along B the stress was corrected by the slope that is in the answers; the way goes by the rate that is known
        exact = known(last.drive["temperature"], temperature) if known is not None else None
        faster = faster if exact is None else np.clip(exact, LEAST, MOST)[:, None]
        drive["temperature"] = np.asarray(temperature)
    drive[pair[0]] = last.drive[pair[0]] + dt / last.dt * faster * moved
    return drive, {**last.answers, pair[1]: sigma, "tangent": tangent / faster[:, :, None]}

"""Periodic cells of slow flow solved by Krylov methods on the staggered grid (``stokes_mac``) with Fourier preconditioners.

``permeability``: flow past solid voxels at rest. The symmetric saddle point of velocity and pressure is solved by MINRES
(Paige, Saunders 1975; block preconditioner: Elman, Silvester, Wathen 2014, ch. 4): the inverse of ``shift - lap`` on
the whole grid for the velocity, the identity for the pressure.
``viscosity``: a mixture of viscosities under a mean rate of strain. Conjugate gradients on divergence-free fields, as the
preconditioner, the exact inverse of Stokes' equations for one viscosity, ends in those.
"""

from __future__ import annotations

from typing import NamedTuple

import ducc0
import numpy as np

from hpcms.contracts import Array, Outcome
from hpcms.kernels import stokes_mac
from hpcms.kernels.krylov import advance, direct, dot
from hpcms.kernels.minres import minres
from hpcms.kernels.outcomes import outcome

_PARALLEL = 1e-8  # flows whose combination has less than this share of their dissipation count as the same one


class Flow(NamedTuple):
    """``velocity`` (3, nx, ny, nz) on faces; ``force``: what its viscous stresses leave there, by volume of the cell; ``load``:
    that of the mean rate alone; ``mean``: (3,) superficial velocity or (6,) stress; ``work``: dissipation by volume."""

    velocity: Array
    force: Array
    load: Array
    mean: Array
    work: float
    outcome: Outcome


class _Waves:
    """Fourier transforms of face fields and the symbols of the differences."""

    def __init__(self, shape: tuple[int, ...], h: Array) -> None:
        self.shape = shape
        counts = (*shape[:2], shape[2] // 2 + 1)
        angles = [2 * np.pi / n * np.arange(m) for n, m in zip(shape, counts, strict=True)]
        ends = [(np.exp(1j * t) - 1) / step for t, step in zip(angles, h, strict=True)]
        self.d = [end.reshape([-1 if b == a else 1 for b in range(3)]) for a, end in enumerate(ends)]
        self.square = sum((np.abs(d) ** 2 for d in self.d), np.zeros(counts))
        self.work = np.empty((3, *counts), complex)

    def forward(self, f: Array) -> Array:
        return np.asarray(ducc0.fft.r2c(f, axes=(1, 2, 3), out=self.work, nthreads=1))

    def back(self, w: Array, out: Array) -> Array:
        return np.asarray(
            ducc0.fft.c2r(w, axes=(1, 2, 3), lastsize=self.shape[2], forward=False, inorm=2, out=out, nthreads=1)
        )


def permeability(
    solid: Array, spacing: tuple[float, float, float], axis: int, tolerance: float, limit: int = 3000
) -> Flow:
    """Flow of unit viscosity through the voxels that are not ``solid`` (nx, ny, nz) under a unit force density along ``axis``.

    ``mean`` is then the column of the permeability (m2), ``work`` its diagonal entry from the dissipation. Stops on the true
    residual of momentum and mass in the norm of the preconditioner.
    """
    h = np.array(spacing, float)
    fluid = np.ascontiguousarray(~solid.astype(bool), float)
    free = np.stack([fluid * np.roll(fluid, 1, a) for a in range(3)])
    volume, n = float(np.prod(h)), fluid.size
    waves = _Waves(solid.shape, h)
    wetted = sum(float((fluid != np.roll(fluid, 1, a)).mean()) / h[a] for a in range(3))
    inverse = 1 / (
        volume * (waves.square + max(wetted / max(fluid.mean(), 1 / n), 0.1 / float((h * solid.shape).max())) ** 2)
    )
    b = np.zeros(4 * n)
    b[: 3 * n].reshape(3, *solid.shape)[axis] = volume * free[axis]

    def operator(x: Array, out: Array) -> None:
        parts = [v.reshape(-1, *solid.shape) for v in (x[: 3 * n], x[3 * n :], out[: 3 * n], out[3 * n :])]
        stokes_mac.obstacles(parts[0], -parts[1][0], free, fluid, h, parts[2], parts[3][0])

    def precondition(r: Array, out: Array) -> None:
        w = waves.forward(r[: 3 * n].reshape(3, *solid.shape))
        w *= inverse
        velocity = out[: 3 * n].reshape(3, *solid.shape)
        waves.back(w, velocity)
        velocity *= free
        np.multiply(r[3 * n :], 1 / volume, out=out[3 * n :])

    x, ratio, steps = minres(operator, precondition, b, tolerance, limit)
    u, q = x[: 3 * n].reshape(3, *solid.shape), np.empty(4 * n)
    operator(np.concatenate([x[: 3 * n], np.zeros(n)]), q)
    force = q[: 3 * n].reshape(u.shape) / (volume * n)
    work = dot(u.ravel(), force.ravel())
    precondition(b, q)
    if work * volume * n <= 100 * tolerance**2 * dot(b, q):  # what is left of the iteration where no pore leads through
        u[:], force[:], work = 0.0, 0.0, 0.0
    return Flow(u, force, b[: 3 * n], u.reshape(3, -1).mean(axis=1), work, outcome(ratio, tolerance, steps, limit))


def viscosity(
    eta: Array, spacing: tuple[float, float, float], rate: Array, tolerance: float, limit: int = 3000
) -> Flow:
    """Mean stress (Pa, without pressure) of a mixture ``eta`` (nx, ny, nz), Pa s, under the mean ``rate`` (6,) Mandel, 1/s.

    ``rate`` must be free of divergence. ``work`` is the dissipation ``<sigma : e>`` of the micro fields, W/m3.
    The preconditioner has the least viscosity, so the true residual in its norm bounds the error of the rates in the norm
    of the dissipation; by that of the flow it must be below ``tolerance``, and the mean stress is then right to its square.
    """
    h, edge = np.array(spacing, float), stokes_mac.edges(eta)
    volume, n, reference = float(np.prod(h)), eta.size, float(eta.min())
    waves, still, unused = _Waves(eta.shape, h), np.zeros(6), np.zeros(6)
    square = waves.square.copy()
    square[0, 0, 0] = np.inf
    inverse = 1 / (volume * reference * square)

    def precondition(r: Array, out: Array) -> None:
        """Exact for one viscosity: the part of the force that is a gradient goes into the pressure."""
        w = waves.forward(r)
        share = sum(d * v for d, v in zip(waves.d, w, strict=True)) / square
        for d, v in zip(waves.d, w, strict=True):
            v -= np.conj(d) * share
            v *= inverse
        waves.back(w, out)

    u, total = np.zeros((3, *eta.shape)), np.zeros(6)
    f, z, p = np.empty_like(u), np.empty_like(u), np.zeros_like(u)
    stokes_mac.mixture(u, eta, edge, rate, h, f, total)
    load, r = f.copy(), -f
    precondition(r, z)
    size, power = dot(r.ravel(), z.ravel()), float(total @ rate)
    ratio, steps, old, previous = 0.0, 0, 0.0, np.inf
    least = 1e-13 * float(eta.max()) / reference  # forces of layers seen along are rounding
    while power > 0 and size > least**2 * power:
        while size > tolerance**2 * power and steps < limit:
            direct(z.ravel(), size / old if old > 0 else 0.0, p.ravel())
            stokes_mac.mixture(p, eta, edge, still, h, f, unused)
            alpha = size / dot(p.ravel(), f.ravel())
            advance(alpha, p.ravel(), f.ravel(), u.ravel(), r.ravel())
            power -= alpha * size
            precondition(r, z)
            size, old, steps = dot(r.ravel(), z.ravel()), size, steps + 1
        total[:], old = 0.0, 0.0
        stokes_mac.mixture(u, eta, edge, rate, h, f, total)
        r = -f
        precondition(r, z)
        size, power = max(dot(r.ravel(), z.ravel()), 0.0), float(total @ rate) + dot(u.ravel(), f.ravel())
        ratio = float(np.sqrt(size / power)) if power > 0 else np.inf
        if ratio <= tolerance or steps >= limit or not ratio < 0.5 * previous:
            break
        previous = ratio
    cell = volume * n
    work = (float(total @ rate) + dot(u.ravel(), f.ravel())) / cell
    return Flow(u, f / cell, load / cell, total / cell, work, outcome(ratio, tolerance, steps, limit))


DEVIATORS = np.vstack(  # five orthonormal rates without divergence, Mandel
    [np.array([[1, -1, 0, 0, 0, 0]]) / np.sqrt(2), np.array([[1, 1, -2, 0, 0, 0]]) / np.sqrt(6), np.eye(6)[3:]]
)


def permeabilities(solid: Array, spacing: tuple[float, float, float], tolerance: float, limit: int = 3000) -> tuple[
    Array, Array, list[Outcome]
]:  # fmt: skip
    """(3, 3) permeability and (3, 3) dissipation of the flows it belongs to, m2, with the outcomes by axis.

    The three flows are scaled and mixed such that their dissipation is the work of the mean velocity on the force: with means
    F and dissipations D this is ``F D^-1 F'``, symmetric and not negative.
    """
    flows = [permeability(solid, spacing, axis, tolerance, limit) for axis in range(3)]
    F = np.array([flow.mean for flow in flows]).T
    D = np.array([[dot(a.velocity.ravel(), b.force.ravel()) for b in flows] for a in flows])
    C = _inverse((D + D.T) / 2) @ F.T
    K, E = F @ C, C.T @ D @ C
    return (K + K.T) / 2, (E + E.T) / 2, [flow.outcome for flow in flows]


def viscosities(eta: Array, spacing: tuple[float, float, float], tolerance: float, limit: int = 3000) -> tuple[
    Array, Array, list[Outcome]
]:  # fmt: skip
    """(6, 6) mean stress by mean rate without divergence, and the dissipation of the micro fields, Pa s, with the outcomes.

    The five flows are mixed such that no residual does work on any of them, so that the two tensors agree to rounding.
    """
    flows = [viscosity(eta, spacing, rate, tolerance, limit) for rate in DEVIATORS]
    P = np.array([[dot(a.velocity.ravel(), b.load.ravel()) for b in flows] for a in flows])
    Q = np.array([[dot(a.velocity.ravel(), (b.force - b.load).ravel()) for b in flows] for a in flows])
    C = -_inverse((Q + Q.T) / 2) @ P
    means = 2 * np.r_[np.full(3, eta.mean()), stokes_mac.edges(eta).reshape(3, -1).mean(axis=1)]
    uniform = (DEVIATORS * means) @ DEVIATORS.T
    N, E = uniform + P.T @ C, uniform + C.T @ P + P.T @ C + C.T @ Q @ C
    both = (DEVIATORS.T @ (part + part.T) / 2 @ DEVIATORS for part in (N, E))
    return *both, [flow.outcome for flow in flows]


def _inverse(D: Array) -> Array:
    """Pseudo-inverse of a symmetric matrix, scaled to a unit diagonal; what vanishes drops out."""
    scale = np.sqrt(np.clip(np.diag(D), 0, None))
    unit = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    inverse: Array = unit[:, None] * np.linalg.pinv(unit[:, None] * D * unit, rcond=_PARALLEL, hermitian=True) * unit
    return inverse

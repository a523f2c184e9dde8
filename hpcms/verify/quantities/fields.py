"""Micro fields inside a cell, recovered from nodal values by plain NumPy, and what must hold for them.

This is a second way to the same fields: shape functions are written out here once more and nothing of the kernels is
used. Nodes are the lower corners of voxels; an array with as many nodes as voxels along an axis is periodic there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.engine import zoom
from hpcms.kernels.cell_scalar import fluctuation
from hpcms.store.run import OpenedRun
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

GAUSS = (0.5 - 0.5 / np.sqrt(3.0), 0.5 + 0.5 / np.sqrt(3.0))


def gradients(u: Array, spacing: Sequence[float], voxels: tuple[int, int, int]) -> Array:
    """(..., nx, ny, nz, 8, 3) gradient at the Gauss points of every voxel of nodal values (..., mx, my, mz)."""
    corner = {}
    for at in product((0, 1), repeat=3):
        shifted = u
        for axis, (shift, n) in enumerate(zip(at, voxels, strict=True)):
            shifted = np.take(shifted, (np.arange(n) + shift) % u.shape[axis - 3], axis=axis - 3)
        corner[at] = shifted
    found = np.zeros((*u.shape[:-3], *voxels, 8, 3))
    for g, point in enumerate(product(GAUSS, repeat=3)):
        for at, value in corner.items():
            shape = [x if side else 1 - x for x, side in zip(point, at, strict=True)]
            for axis in range(3):
                others = np.prod([s for a, s in enumerate(shape) if a != axis])
                found[..., g, axis] += value * others * (1 if at[axis] else -1) / spacing[axis]
    return found


def strains(u: Array, mean: Array, spacing: Sequence[float], voxels: tuple[int, int, int]) -> Array:
    """(nx, ny, nz, 8, 6) Mandel strain of a fluctuation ``u`` (3, ...) m on top of a mean strain."""
    g = gradients(u, spacing, voxels)
    pairs = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
    sym = [0.5 * (g[i, ..., j] + g[j, ..., i]) * (1.0 if i == j else np.sqrt(2.0)) for i, j in pairs]
    return np.stack(sym, axis=-1) + mean


def hooke(strain: Array, E: Array, nu: Array) -> Array:
    """Mandel stress of isotropic voxels; ``E``, ``nu``: (nx, ny, nz)."""
    mu, lam = E / (2 * (1 + nu)), E * nu / ((1 + nu) * (1 - 2 * nu))
    trace = strain[..., :3].sum(axis=-1)
    stress: Array = 2 * mu[..., None, None] * strain
    stress[..., :3] += (lam[..., None] * trace)[..., None]
    return stress


class Zoomed:
    """One region of a run, solved again alone: its strains and stresses at the Gauss points."""

    def __init__(self, context: Context, run: OpenedRun, fine: str, region: int = 0) -> None:
        step = run.head.step
        file = zoom(run.root, region, step, context.folder("zoom") / run.root.name)["models"][fine]["file"]
        with np.load(file) as found:
            data = {name: found[name] for name in found.files}
        phases = context.job.fine[fine].params.phases
        resolved = run.resolved["fine"][fine]["phases"]
        self.phase = data["state_phase"].astype(int)
        E = np.array([resolved[name]["youngs_modulus"] for name in phases])[self.phase]
        nu = np.array([resolved[name]["poisson_ratio"] for name in phases])[self.phase]
        self.imposed = run.read(f"sites/{fine}/strain", step)[region]
        self.answered = run.read(f"sites/{fine}/stress", step)[region]
        voxels = (self.phase.shape[0], self.phase.shape[1], self.phase.shape[2])
        self.strain = strains(data["state_displacement"], self.imposed, data["state_spacing"], voxels)
        self.stress = hooke(self.strain, E, nu)

    def mean(self, field: Array) -> Array:
        """Volume mean of a field at the Gauss points."""
        average: Array = field.mean(axis=(0, 1, 2, 3))
        return average


def _zoomed(context: Context, fine: str) -> Zoomed:
    made: Zoomed = context.once(f"zoom {fine}", lambda: Zoomed(context, context.run, fine))
    return made


@further_runs
def mean_strain_error(context: Context, fine: str = "elastic") -> float:
    """|volume mean of the recovered strain - imposed strain| / |imposed strain|."""
    z = _zoomed(context, fine)
    return float(np.linalg.norm(z.mean(z.strain) - z.imposed) / np.linalg.norm(z.imposed))


@further_runs
def mean_stress_error(context: Context, fine: str = "elastic") -> float:
    """|volume mean of the recovered stress - stress that the coarse scale was told| over the latter."""
    z = _zoomed(context, fine)
    return float(np.linalg.norm(z.mean(z.stress) - z.answered) / np.linalg.norm(z.answered))


@further_runs
def traction_jump(context: Context, axis: int, fine: str = "elastic") -> float:
    """Largest difference between the layers of the traction on the planes normal to ``axis``, over its mean size."""
    z = _zoomed(context, fine)
    on = ([0, 5, 4], [5, 1, 3], [4, 3, 2])[axis]
    traction = z.stress[..., on]
    layers = np.array([traction[z.phase == p].mean(axis=(0, 1)) for p in np.unique(z.phase)])
    return float(np.ptp(layers, axis=0).max() / np.linalg.norm(layers.mean(axis=0)))


def _conduction(context: Context, fine: str) -> tuple[Array, Array, Array, Array]:
    """Gradient and flux at the Gauss points from the recovered temperature, phase, and imposed gradient."""
    model, state = context.job.fine[fine].params, context.run
    gradient = state.read(f"sites/{fine}/gradient")[0]
    phase = state.read(f"fine_{fine}/phase")[0]
    k = np.array([p.conductivity or 0.0 for p in model.phases.values()])
    spacing = tuple(state.read(f"fine_{fine}/spacing")[0].tolist())
    T = fluctuation(phase, k, spacing, gradient, model.tolerance)
    local = gradients(T, spacing, phase.shape) + gradient
    return local, -k[phase][..., None, None] * local, phase, gradient


def flux_jump(context: Context, axis: int, fine: str = "conduction") -> float:
    """Difference of the normal flux between the layers, over its mean size."""
    _, flux, phase, _ = _conduction(context, fine)
    layers = np.array([flux[phase == p][..., axis].mean() for p in (0, 1)])
    return float(np.ptp(layers) / abs(layers.mean()))


def layer_gradient_ratio(context: Context, axis: int, fine: str = "conduction") -> float:
    """Gradient across the layers, first phase over second."""
    local, _, phase, _ = _conduction(context, fine)
    return float(local[phase == 0][..., axis].mean() / local[phase == 1][..., axis].mean())


def mean_gradient_error(context: Context, fine: str = "conduction") -> float:
    """|volume mean of the recovered gradient - imposed gradient| / |imposed gradient|."""
    local, _, _, gradient = _conduction(context, fine)
    return float(np.linalg.norm(local.mean(axis=(0, 1, 2, 3)) - gradient) / np.linalg.norm(gradient))


@further_runs
def stress_at_hole(
    context: Context, overrides: dict[str, Any], radius: float, reach: float, fine: str = "elastic"
) -> float:
    """Hoop stress at the rim of a small round hole over the remote uniaxial stress along x.

    Voxels make the rim a staircase, so the stress is taken along the ligament, from the fifth voxel behind the rim to
    ``reach`` radii, and continued to the rim: Airy's function gives it the powers 0, -2 and -4 of r, the factors
    are fitted. ``radius``: of the cell's edge.
    """
    run = context.variant("hole", {k.replace("__", "."): v for k, v in overrides.items()})
    z = Zoomed(context, run, fine)
    n = z.phase.shape[0]
    stress = z.stress[..., 0].mean(axis=(2, 3))
    # the two columns beside the centre, both ligaments
    column = 0.5 * (stress[n // 2 - 1] + stress[n // 2])
    column = 0.5 * (column[n // 2 :] + column[: n // 2][::-1])
    r = (np.arange(n // 2) + 0.5) / n / radius
    used = (r > 1 + 5.0 / (n * radius)) & (r < reach)
    powers = np.stack([r[used] ** -k for k in (0, 2, 4)], axis=1)
    fitted = np.linalg.lstsq(powers, column[used], rcond=None)[0]
    return float(fitted.sum() / z.answered[0])


QUANTITIES = {
    "mean_strain_error": mean_strain_error,
    "mean_stress_error": mean_stress_error,
    "traction_jump": traction_jump,
    "flux_jump": flux_jump,
    "layer_gradient_ratio": layer_gradient_ratio,
    "mean_gradient_error": mean_gradient_error,
    "stress_at_hole": stress_at_hole,
}

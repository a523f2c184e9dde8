"""Cells at finite strain: stresses of a run, and layers across which a stretch is found by a scalar equation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq

from hpcms.contracts import Array
from hpcms.verify.context import Context


def _site(context: Context, fine: str, site: int) -> tuple[Array, Array]:
    """Mean deformation gradient and mean first Piola-Kirchhoff stress in Pa at the end of the run, (3, 3) each."""
    F, P = (context.run.read(f"sites/{fine}/{name}")[site].reshape(3, 3) for name in ("deformation", "stress"))
    return F, P


def finite_stress(context: Context, fine: str, site: int, component: str) -> float:
    """A component of the first Piola-Kirchhoff stress, Pa."""
    _, P = _site(context, fine, site)
    return float(P[int(component[0]) - 1, int(component[1]) - 1])


def turned_stress_gap(context: Context, fine: str, sites: list[int], angle: float) -> float:
    """How far the second site's stress is from that of the first, turned by ``angle`` degrees about z, relative."""
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    (_, P), (_, turned) = (_site(context, fine, site) for site in sites)
    return float(np.abs(turned - np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ P).max() / np.abs(P).max())


def _axial(stretch: float, phase: Any) -> float:
    """Nominal stress of a layer stretched along its normal and held sideways."""
    lam, mu = phase.lame
    return float(mu * (stretch - 1 / stretch) + 0.5 * lam * (stretch**2 - 1) / stretch)


def finite_layer_gap(context: Context, fine: str, site: int) -> float:
    """Relative gap of the stress across the layers to that of the scalar equation, for a stretch along their normal."""
    micro = context.job.microstructure
    if micro is None:
        raise ValueError("the job has no layers")
    soft, stiff = (context.job.fine[fine].params.phases[name] for name in micro.phases)
    F, P = _site(context, fine, site)
    mean, share = float(F[micro.axis, micro.axis]), micro.fraction

    def rest(x: float) -> float:
        return (mean - (1 - share) * x) / share

    x = brentq(lambda x: _axial(x, soft) - _axial(rest(x), stiff), 1e-3, (mean - 1e-3) / (1 - share), xtol=1e-14)
    return abs(float(P[micro.axis, micro.axis]) / _axial(x, soft) - 1.0)


QUANTITIES = {
    "finite_stress": finite_stress,
    "turned_stress_gap": turned_stress_gap,
    "finite_layer_gap": finite_layer_gap,
}

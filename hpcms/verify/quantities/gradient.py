"""Strain-gradient plasticity by geometrically necessary dislocations: smaller is stronger.

    rho_G = |grad eps_p| / b,   tau = alpha G b sqrt(rho),   sigma_flow = sqrt(sigma_0^2 + 3 tau_G^2)

(Ashby 1970; Nix and Gao, J. Mech. Phys. Solids 46, 411-425, 1998). The length l = 3 (alpha G / sigma_0)^2 b measures it:
sigma_flow = sigma_0 sqrt(1 + l |grad eps_p|). In a bent foil the gradient is the curvature; the law at its points is J2.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import BadInput
from hpcms.kernels.laws import at_points
from hpcms.kernels.laws.j2 import J2
from hpcms.verify.context import Context


def metal(context: Context, fine: str) -> J2:
    """The first phase of the job."""
    law = next(iter(context.job.fine[fine].params.phases.values()))
    if not isinstance(law, J2):
        raise BadInput(f"the first phase of {fine!r} has no J2 law")
    return law


def bars(law: J2, stretch: Array) -> tuple[Array, Array]:
    """(n,) axial stress and plastic strain of bars with free sides, by Newton's method on their lateral strains."""
    strain = np.zeros((len(stretch), 6))
    strain[:, 0], strain[:, 1:3] = stretch, -0.3 * stretch[:, None]
    history = np.zeros((len(stretch), law.rows))
    for _ in range(60):
        stress, tangent, new, _, _ = at_points(law, strain, history, 0.0, 293.15)
        if np.abs(stress[:, 1:]).max() <= 1e-12 * law.youngs_modulus:
            break
        strain[:, 1:] -= np.linalg.solve(tangent[:, 1:, 1:], stress[:, 1:, None])[..., 0]
    return stress[:, 0], new[:, 0]


def gnd_density(
    context: Context, fine: str, curvature: float, thickness: float, burgers: float, points: int = 64
) -> float:
    """rho_G of a foil bent far into plasticity, 1/m^2: mean gradient of the plastic strain of its outer half over b."""
    y = np.linspace(0.25 * thickness, 0.5 * thickness, points)
    plastic = bars(metal(context, fine), curvature * y)[1]
    return float(np.polyfit(y, plastic, 1)[0] / burgers)


def taylor_stress(context: Context, alpha: float, shear_modulus: float, burgers: float, density: float) -> float:
    """Flow stress in shear of dislocations of a density (1/m^2), Pa."""
    return alpha * shear_modulus * burgers * float(np.sqrt(density))


def gnd_stress(context: Context, fine: str, alpha: float, shear_modulus: float, burgers: float, curvature: float,
               thickness: float) -> float:  # fmt: skip
    """Taylor's stress of the dislocations that the bent foil needs, Pa."""
    density = gnd_density(context, fine, curvature, thickness, burgers)
    return taylor_stress(context, alpha, shear_modulus, burgers, density)


def hardness_ratio(context: Context, depth: float, alpha: float = 0.3, shear_modulus: float = 48e9, burgers: float = 0.256e-9,
                   slope: float = 0.358, statistical: float = 1e14) -> float:  # fmt: skip
    """Hardness under a cone at ``depth`` in units of h* over that at great depth, from the densities of dislocations.

    A cone of this slope needs rho_G = 3 slope^2 / (2 b h) in the half ball under it; h* is where that equals the statistical one.
    """
    star = 1.5 * slope**2 / (burgers * statistical)
    necessary = 1.5 * slope**2 / (burgers * depth * star)
    hardness, deep = (
        3 * 3**0.5 * taylor_stress(context, alpha, shear_modulus, burgers, rho)
        for rho in (statistical + necessary, statistical)
    )
    return hardness / deep


def foil_moment(law: J2, length: float, thickness: float, surface: float, points: int = 400) -> float:
    """Bending moment a width over thickness^2, Pa: the same strain at the surface for every thickness."""
    curvature = 2.0 * surface / thickness
    strong = replace(law, yield_stress=law.yield_stress * (1.0 + length * curvature) ** 0.5)
    y = (np.arange(points) + 0.5) / points * 0.5 * thickness
    stress = bars(strong, curvature * y)[0]
    return float(2.0 * (stress * y).sum() * 0.5 * thickness / points / thickness**2)


def foil_strength(
    context: Context, fine: str, length: float, thickness: list[float], surface: float = 0.02
) -> list[float]:
    """Moments of foils of these thicknesses (m) over that of a thick one (1 m), length scale ``length`` (m)."""
    law = metal(context, fine)
    bulk = foil_moment(law, length, 1.0, surface)
    return [foil_moment(law, length, h, surface) / bulk for h in thickness]


def foil_steepening(context: Context, fine: str, length: float, thickness: list[float]) -> float:
    """The least growth of that strength from a foil to the next, thinner one."""
    found = foil_strength(context, fine, length, sorted(thickness, reverse=True))
    return min(b / a for a, b in pairwise(found))


QUANTITIES = {
    "gnd_density": gnd_density,
    "gnd_stress": gnd_stress,
    "hardness_ratio": hardness_ratio,
    "foil_strength": foil_strength,
    "foil_steepening": foil_steepening,
}

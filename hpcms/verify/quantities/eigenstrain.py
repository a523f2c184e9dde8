"""Stress-free strains: averaged over cells, and what they bend: bilayers and printed layers.

Levin (1967) for two isotropic phases: alpha = a1 + (a2 - a1) (1/K - 1/K1) / (1/K2 - 1/K1). Timoshenko (1925) for two layers of
equal thickness and modulus, h together, that misfit by d: curvature 1.5 d / h. The beam is the coarse solid in plane strain,
with a law at every Gauss point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hpcms import coarse
from hpcms.coarse.solid import Solid, SolidBoundary
from hpcms.contracts import Array, Arrays, Regions, Step
from hpcms.errors import BadInput, NumericalFailure
from hpcms.fine.inelastic import COMPONENTS, Inelastic
from hpcms.kernels.laws import Law, at_points
from hpcms.kernels.laws._base import mandel, tensor
from hpcms.kernels.laws.elastic import Elastic
from hpcms.problem import generators
from hpcms.problem.mesh import Domain, build_mesh
from hpcms.verify.context import Context


def cell_of(context: Context, fine: str, free: bool, phases: dict[str, Law] | None = None) -> Inelastic:
    """The fine model of the job, under zero stress or under strain."""
    model: Inelastic = context.job.fine[fine].params
    return replace(model, phases=phases or model.phases, stress_components=COMPONENTS if free else ())


def answered(model: Inelastic, phase: Array, temperature: float, strain: Array | None = None) -> Arrays:
    """The answers of one cell; ``phase``: index into the phases of the model."""
    state = model.begin(Regions(np.zeros(1, np.int64), phase[None].astype(np.uint8), tuple(model.phases)))
    given = {"strain": np.zeros((1, 6)) if strain is None else strain[None], "temperature": np.array([temperature])}
    answers, _, outcomes = model.solve({**given, "dt": np.zeros(1)}, state, np.zeros(1, np.uint64))
    if not outcomes[0].ok:
        raise NumericalFailure(f"the cell could not be solved: {outcomes[0].reason}")
    return {name: value[0] for name, value in answers.items()}


def layers_of_two(edge: int) -> Array:
    """Half of the voxels of each phase, in layers."""
    return np.repeat([0, 1], edge // 2)[:, None, None] * np.ones((1, 2, 2), int)


def expansion_of(context: Context, fine: str, phase: Array) -> float:
    """Mean linear expansion of a cell that is heated by 1 K, 1/K."""
    model = cell_of(context, fine, True)
    warm = next(iter(model.phases.values())).reference_temperature + 1.0
    return float(answered(model, phase, warm)["strain"][:3].mean())


def bulk_modulus_of(context: Context, fine: str, phase: Array) -> float:
    """K of a cell from the trace of its stress under a unit dilatation, Pa."""
    model, one = cell_of(context, fine, False), np.array([1.0, 1, 1, 0, 0, 0])
    tangent = answered(model, phase, next(iter(model.phases.values())).reference_temperature)["tangent"]
    return float(one @ tangent @ one) / 9.0


def effective_expansion(context: Context, fine: str, edge: int) -> float:
    """Expansion of layers, 1/K."""
    return expansion_of(context, fine, layers_of_two(edge))


def effective_bulk_modulus(context: Context, fine: str, edge: int) -> float:
    """Bulk modulus of layers, Pa."""
    return bulk_modulus_of(context, fine, layers_of_two(edge))


def levin_gap(context: Context, fine: str, edge: int, fraction: float) -> float:
    """A ball in a cube: its expansion against Levin's relation with its own bulk modulus, relative."""
    phase = np.asarray(generators.sphere((edge, edge, edge), fraction)).astype(int)
    (K1, a1), (K2, a2) = ((law.matrix[:3, :3].sum() / 9, law.expansion) for law in two(cell_of(context, fine, True)))
    share = (1 / bulk_modulus_of(context, fine, phase) - 1 / K1) / (1 / K2 - 1 / K1)
    return float(abs(expansion_of(context, fine, phase) / (a1 + (a2 - a1) * share) - 1))


def two(model: Inelastic) -> list[Any]:
    """The first two phases."""
    return list(model.phases.values())[:2]


def uniform_moduli_gap(context: Context, fine: str, phases: int, edge: int, seed: int = 1) -> float:
    """Random stress-free strains in a cell of one stiffness: largest difference of its own to their volume mean, relative."""
    rng = np.random.default_rng(seed)
    first = next(iter(cell_of(context, fine, True).phases.values()))
    own = rng.standard_normal((phases, 6))
    laws = {str(k): replace(first, expansion=0.0, eigenstrain=tuple(own[k])) for k in range(phases)}
    phase = rng.integers(0, phases, (edge, edge, edge))
    got = answered(cell_of(context, fine, True, laws), phase, first.reference_temperature)["strain"]
    want = own[phase.ravel()].mean(axis=0)
    return float(np.abs(got - want).max() / np.abs(own).max())


def cantilever(law: Law, layers: Any, length: float, elements: tuple[int, int]) -> tuple[Array, Array]:
    """Nodes and displacements of a clamped beam of thickness 1; ``layers(x, y)``: (S, 6) stress-free strains. Linear."""
    mesh = build_mesh(Domain("rectangle", (length, 1.0), elements))
    solid = Solid(boundary=(SolidBoundary("left", ("x", "y")),))
    model = coarse.compose({"solid": (solid, "law")}, mesh)
    step = Step(1, 1.0, 1.0, model.begin())
    u = model.predict(step)
    strain = model.sites(u, step)["law"]["strain"] - layers(*mesh.sites.T)
    stress, tangent = at_points(law, strain, np.zeros((len(strain), law.rows)), 0.0, law.reference_temperature)[:2]
    advance = model.advance(u, {"law": {"stress": stress, "tangent": tangent}}, step)
    model.close()
    if not advance.ok:
        raise NumericalFailure(f"the cantilever could not be solved: {advance.reason}")
    return mesh.nodes, np.asarray(advance.u["displacement"]).reshape(-1, 2)


def deflection(nodes: Array, moved: Array) -> float:
    """Downward displacement of the middle of the free end."""
    end = np.isclose(nodes[:, 0], nodes[:, 0].max()) & np.isclose(nodes[:, 1], 0.5)
    return float(-moved[end, 1][0])


def without_lateral(context: Context, fine: str) -> Law:
    """The first phase of the job with a Poisson ratio of zero: a beam, not a plate."""
    first = next(iter(cell_of(context, fine, True).phases.values()))
    if not isinstance(first, Elastic):
        raise BadInput(f"the first phase of {fine!r} is not elastic")
    return replace(first, poisson_ratio=0.0, expansion=0.0)


def upper_half(y: Array, strain: Array) -> Array:
    """(S, 6) ``strain``, one or one a site, in the upper half of a beam of thickness 1."""
    return np.where(y[:, None] > 0.5, strain, 0.0)


def bilayer_curvature(
    context: Context, fine: str, elements: int = 16, length: float = 10.0, misfit: float = 1e-3
) -> float:
    """Curvature times thickness over misfit of two equal layers, the upper one longer: a parabola through the middle line."""
    longer = misfit * np.array([1.0, 1, 1, 0, 0, 0])
    grid = (int(length * elements), elements)
    law = without_lateral(context, fine)
    nodes, moved = cantilever(law, lambda x, y: upper_half(y, longer), length, grid)
    middle = np.isclose(nodes[:, 1], 0.5) & (nodes[:, 0] > 0.2 * length) & (nodes[:, 0] < 0.8 * length)
    return float(-2.0 * np.polyfit(nodes[middle, 0], moved[middle, 1], 2)[0] / misfit)


def track_cell(tracks: int, edge: int) -> Array:
    """A layer, its normal along the last axis: stripes along the first axis, every other one molten."""
    x = np.arange(edge) * 2 * tracks // edge % 2
    return x[None, :, None] * np.ones((2, 1, 2), int)


def layer_strain(context: Context, fine: str, tracks: int = 2, edge: int = 8) -> Array:
    """(6,) stress-free strain of a printed layer from those of its tracks."""
    model = cell_of(context, fine, True)
    cold = next(iter(model.phases.values())).reference_temperature
    strain: Array = answered(model, track_cell(tracks, edge), cold)["strain"]
    return strain


def printed_deflection(context: Context, fine: str, elements: int = 16, length: float = 10.0) -> list[float]:
    """Tip deflection of a beam whose upper half is printed across it, over 1.5 d L^2 / (2 h) with the layer's strain d:

    with that strain everywhere in the layer, and with its tracks one by one.
    """
    law, model = without_lateral(context, fine), cell_of(context, fine, True)
    across = [1, 2, 0, 3, 4, 5]  # tracks run along the width: the beam's x is their second axis
    mean = layer_strain(context, fine)[across]
    tracks = np.array([phase.eigenstrain for phase in model.phases.values()])[:, across]
    grid = (int(length * elements), elements)
    uniform = cantilever(law, lambda x, y: upper_half(y, mean), length, grid)
    resolved = cantilever(law, lambda x, y: upper_half(y, tracks[np.floor(4 * x).astype(int) % 2]), length, grid)
    return [deflection(*beam) / (1.5 * mean[0] * length**2 / 2.0) for beam in (uniform, resolved)]


def scan_anisotropy(context: Context, fine: str, layers: int, angle: float) -> float:
    """|d1 - d2| / |d1 + d2| of the principal strains in the plane of a stack whose layers are turned by ``angle`` degrees each."""
    first = next(iter(cell_of(context, fine, True).phases.values()))
    own, laws = layer_strain(context, fine), {}
    for k in range(layers):
        c, s = np.cos(np.radians(k * angle)), np.sin(np.radians(k * angle))
        R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        laws[str(k)] = replace(first, expansion=0.0, eigenstrain=tuple(mandel(R @ tensor(own) @ R.T)))
    stack = np.arange(layers)[None, None, :] * np.ones((2, 2, 1), int)
    strain = answered(cell_of(context, fine, True, laws), stack, first.reference_temperature)["strain"]
    low, high = np.linalg.eigvalsh(tensor(strain)[:2, :2])
    return float(abs((high - low) / (high + low)))


QUANTITIES = {
    "effective_expansion": effective_expansion,
    "effective_bulk_modulus": effective_bulk_modulus,
    "levin_gap": levin_gap,
    "uniform_moduli_gap": uniform_moduli_gap,
    "bilayer_curvature": bilayer_curvature,
    "printed_deflection": printed_deflection,
    "scan_anisotropy": scan_anisotropy,
}

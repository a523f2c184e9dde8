"""Effective properties of drawn cells, computed by the job's own fine models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpcms.contracts import Array, Regions
from hpcms.errors import NumericalFailure
from hpcms.problem.generators import GENERATORS
from hpcms.verify.context import Context

Edges = Sequence[int]


def drawn(context: Context, generator: str, shape: Edges, fraction: float = 0.5, axis: int = 0) -> Regions:
    """One region with a drawn cell, or with random voxels ("random"), in the phases of the job."""
    x, y, z = shape
    if generator == "random":
        labels = (np.random.default_rng(context.job.seed).random((x, y, z)) < fraction).astype(np.uint8)
    else:
        labels = GENERATORS[generator]((x, y, z), fraction, axis)
    names = context.job.microstructure.phases if context.job.microstructure else ()
    return Regions(np.zeros(1, np.int64), labels[None], names)


def effective_conductivity(context: Context, regions: Regions, fine: str = "conduction") -> Array:
    """(3, 3) W/(m K): minus the tangent of the fine model, at a gradient of no special direction."""
    model = context.job.fine[fine].params
    drive = {"gradient": np.array([[1.0, -2.0, 0.5]])}
    answers, _, outcomes = model.solve(drive, model.begin(regions), np.zeros(1, np.uint64))
    if not outcomes[0].ok:
        raise NumericalFailure(f"the cell was not solved: {outcomes[0].reason}")
    K: Array = -answers["tangent"][0]
    return K


def conductivity(
    context: Context, generator: str, shape: Edges, component: int, fraction: float = 0.5, axis: int = 0,
    fine: str = "conduction",
) -> float:  # fmt: skip
    """A diagonal entry of the effective conductivity of a drawn cell, W/(m K)."""
    K = effective_conductivity(context, drawn(context, generator, shape, fraction, axis), fine)
    return float(K[component, component])


def answered_conductivity(context: Context, fine: str = "conduction") -> float:
    """Minus flux over gradient along x at the first site of the run, W/(m K)."""
    gradient, flux = (context.run.read(f"sites/{fine}/{name}")[0, 0] for name in ("gradient", "flux"))
    return float(-flux / gradient)


def conductivity_limit(
    context: Context, generator: str, edges: Edges, component: int, fraction: float = 0.5, axis: int = 2
) -> float:
    """The value that three refinements of a plane cell tend to (A. C. Aitken's delta-squared process), W/(m K).

    The flux is singular at the corners of squares, so the error falls slower than the voxel edge; its factor is not
    assumed but taken from the three values.
    """
    a, b, c = (conductivity(context, generator, (n, n, 1), component, fraction, axis) for n in edges)
    return c - (c - b) ** 2 / (c - 2 * b + a)


def plane_conductivities(context: Context, edge: int, fractions: Sequence[float] = (0.5,)) -> list[float]:
    """Both in-plane conductivities of cells with square symmetry: squares, a disc, and random voxels symmetrised."""
    found = []
    for fraction in fractions:
        cells = [drawn(context, g, (edge, edge, 1), fraction, 2) for g in ("checkerboard", "disc")]
        cells.append(_symmetric(drawn(context, "random", (edge // 2, edge // 2, 1), fraction)))
        for regions in cells:
            K = effective_conductivity(context, regions)
            found += [float(K[0, 0]), float(K[1, 1])]
    return found


def _symmetric(regions: Regions) -> Regions:
    """The four quarter turns of a plane image side by side: square symmetry, hence isotropic in plane."""
    image = regions.phases[0, :, :, 0]
    turned = np.block([[image, np.rot90(image)], [np.rot90(image, 3), np.rot90(image, 2)]])
    return Regions(regions.ids, turned[None, :, :, None], regions.names)


def solid_conductivities(context: Context, edge: int, fraction: float) -> list[float]:
    """All three conductivities of a ball and of random voxels in a cube, W/(m K)."""
    found: list[float] = []
    for generator in ("sphere", "random"):
        regions = drawn(context, generator, (edge, edge, edge), fraction)
        found += np.diag(effective_conductivity(context, regions)).tolist()
    return found


def stiffness(context: Context, regions: Regions, fine: str = "elastic") -> Array:
    """(6, 6) Pa, Mandel: the tangent of the fine model at a small strain."""
    model = context.job.fine[fine].params
    drive = {"strain": np.full((1, 6), 1e-6), "temperature": np.full(1, 263.15), "dt": np.full(1, 1e-6)}
    answers, _, outcomes = model.solve(drive, model.begin(regions), np.zeros(1, np.uint64))
    if not outcomes[0].ok:
        raise NumericalFailure(f"the cell was not solved: {outcomes[0].reason}")
    C: Array = answers["tangent"][0]
    return C


def bulk_moduli(context: Context, edge: int, fraction: float) -> list[float]:
    """Effective bulk modulus of a ball and of random voxels in a cube, Pa."""
    return [float(C[:3, :3].sum() / 9) for C in _stiffnesses(context, edge, fraction)]


def shear_moduli(context: Context, edge: int, fraction: float) -> list[float]:
    """Effective shear modulus, averaged over all directions, of a ball and of random voxels in a cube, Pa."""
    return [float((np.trace(C) - C[:3, :3].sum() / 3) / 10) for C in _stiffnesses(context, edge, fraction)]


def _stiffnesses(context: Context, edge: int, fraction: float) -> list[Array]:
    def make() -> list[Array]:
        return [stiffness(context, drawn(context, g, (edge,) * 3, fraction)) for g in ("sphere", "random")]

    made: list[Array] = context.once(f"stiffness {edge} {fraction}", make)
    return made


QUANTITIES = {
    "conductivity": conductivity,
    "answered_conductivity": answered_conductivity,
    "conductivity_limit": conductivity_limit,
    "plane_conductivities": plane_conductivities,
    "solid_conductivities": solid_conductivities,
    "bulk_moduli": bulk_moduli,
    "shear_moduli": shear_moduli,
}

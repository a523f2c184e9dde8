"""How far a rod with a fast wave in its conductivity is from its homogenised twin, both with heat solved by PETSc.

    -(a(x / eps) u')' = 1 on (0, 1), u(0) = u(1) = 0, a(y) = 1 / (2 + sin 2 pi y)

The resolved rod sees a(x / eps) at each Gauss point of a mesh that is fine against eps; the homogenised one is the
job's own two-scale run, where a cell of layers answers at each Gauss point.
Source: A. Bensoussan, J.-L. Lions, G. Papanicolaou, Asymptotic Analysis for Periodic Structures (1978), chapter 1.
"""

from __future__ import annotations

import numpy as np

from hpcms import coarse
from hpcms.contracts import Array, Step
from hpcms.errors import NumericalFailure
from hpcms.job.schema import Interval
from hpcms.problem.mesh import Domain, build_mesh
from hpcms.verify.context import Context

ELEMENTS_A_PERIOD = 128


def resolved(context: Context, periods: int) -> tuple[Array, Array]:
    """Nodes (m) and temperature (K) of the rod with ``periods`` waves, one linear solve."""
    job = context.job
    size = job.domain.size if isinstance(job.domain, Interval) else 1.0
    spec = job.coarse["heat"]
    mesh = build_mesh(Domain("interval", (size,), (ELEMENTS_A_PERIOD * periods,)))
    fine = spec.fine or ""
    heat = coarse.compose({"heat": (spec.params, fine)}, mesh, petsc=job.petsc)
    step = Step(1, 1.0, 1.0, heat.begin())
    u = heat.predict(step)
    gradient = heat.sites(u, step)[fine]["gradient"]
    a = 1.0 / (2.0 + np.sin(2 * np.pi * mesh.sites[:, 0] * periods / size))
    answers = {fine: {"flux": -a[:, None] * gradient, "tangent": -a[:, None, None] * np.eye(3)}}
    advance = heat.advance(u, answers, step)
    heat.close()
    if not advance.ok:
        raise NumericalFailure(f"the resolved rod could not be solved: {advance.reason}")
    return mesh.nodes[:, 0], advance.u["temperature"]


def distance_to_resolved(context: Context, periods: int) -> float:
    """L2 norm of the difference between the resolved rod with ``periods`` waves and the homogenised run, K m^(1/2)."""
    x, u = resolved(context, periods)
    order = np.argsort(x)
    x, u = x[order], u[order]
    nodes, values = context.run.read("coarse/x"), context.run.read("coarse/temperature")
    order = np.argsort(nodes)
    difference = u - np.interp(x, nodes[order], values[order])
    return float(np.sqrt(np.trapezoid(difference**2, x)))


def order_of_convergence(context: Context, periods: list[int]) -> list[float]:
    """log2 of the ratio of the distances at successive numbers of waves, each twice the one before."""
    d = [distance_to_resolved(context, n) for n in periods]
    return [float(np.log(a / b) / np.log(n / m)) for a, b, m, n in zip(d, d[1:], periods, periods[1:], strict=False)]


def homogenised_conductivity(context: Context) -> list[float]:
    """Smallest and largest conductivity along x that a cell of the run answered, W/(m K)."""
    k = -context.run.read(f"sites/{context.job.coarse['heat'].fine}/tangent")[:, 0, 0]
    return [float(k.min()), float(k.max())]


QUANTITIES = {
    "distance_to_resolved": distance_to_resolved,
    "order_of_convergence": order_of_convergence,
    "homogenised_conductivity": homogenised_conductivity,
}

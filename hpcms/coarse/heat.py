"""Heat: rho c dT/dt = -div q + Q, with the heat flow q from a fine model. Backward Euler in time, order h^2 and dt.

Weak form with test function v and inflow g on the boundary:

    int v rho c (T - T_prev) / dt - int grad v . q - int v Q - int_boundary v g = 0

The capacity term is lumped to the nodes, so that a sudden change at the boundary makes no oscillation.
Q is the field's own source and what the fine models dissipate. J. C. Simo, "Numerical analysis and simulation of
plasticity", Handbook of Numerical Analysis VI (1998), has the coupled equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from hpcms.coarse.field import Answers, Balance, Values, asked, need, norm
from hpcms.contracts import Array, Arrays, Step, Unit
from hpcms.errors import BadInput
from hpcms.problem.mesh import Mesh


@dataclass(frozen=True)
class Wave:
    """mean + amplitude sin(2 pi t / period + phase)."""

    mean: Annotated[float, Unit("K", least=0)]
    amplitude: Annotated[float, Unit("K")]
    period: Annotated[float, Unit("s", above=0)]
    phase: Annotated[float, Unit("rad")] = 0.0

    def __call__(self, t: float) -> float:
        return self.mean + self.amplitude * float(np.sin(2 * np.pi * t / self.period + self.phase))


@dataclass(frozen=True)
class HeatBoundary:
    """One of ``temperature`` (constant or a wave) and ``flux`` (into the domain) on a side or a part of it."""

    side: str
    temperature: Annotated[float, Unit("K", least=0)] | Wave | None = None
    flux: Annotated[float, Unit("W/m^2")] | None = None
    between: tuple[Annotated[float, Unit("m")], Annotated[float, Unit("m")]] | None = None


@dataclass(frozen=True)
class Heat:
    """Sides without an entry are insulated. Where two temperatures meet at a corner, the later entry holds.

    ``steady``: no storage of heat, so the step size does not matter.
    """

    initial: Annotated[float, Unit("K", least=0)]
    boundary: tuple[HeatBoundary, ...] = ()
    source: Annotated[float, Unit("W/m^3")] = 0.0
    steady: bool = False

    def bind(self, mesh: Mesh, name: str = "heat", fine: str | None = None, sites: Sequence[Any] = ()) -> HeatOnMesh:
        """The field on a mesh. Raises ``BadInput`` where its boundary conditions make no sense."""
        if mesh.dimension == 0:
            raise BadInput(f"coarse.{name}: heat flows on an interval or a rectangle, not at points")
        return HeatOnMesh(self, mesh, name, asked(fine, name))


def outflow(v: Any, w: Any) -> Any:
    from skfem.helpers import dot, grad

    return dot(grad(v), w.flux)


def supply(v: Any, w: Any) -> Any:
    return v * w.density


def conduction(u: Any, v: Any, w: Any) -> Any:
    from skfem.helpers import dot, grad, mul

    return -dot(grad(v), mul(w.tangent, grad(u)))


def warming(u: Any, v: Any, w: Any) -> Any:
    """Conduction with a flux that depends on the temperature too."""
    from skfem.helpers import dot, grad

    return conduction(u, v, w) - dot(grad(v), w.slope) * u


class HeatOnMesh:
    """See ``field.Bound``. ``source``: (S,) W/m3, one value everywhere unless it is replaced.

    ``warms``: whether the fine model is told the temperature, and answers by it (``tangent_temperature``, W/(m2 K)).
    """

    unknown = "temperature"
    reads: tuple[str, ...] = ()
    warms: bool = False

    def __init__(self, heat: Heat, mesh: Mesh, name: str, fine: str) -> None:
        from hpcms.coarse.assembly import Space

        self.heat, self.mesh, self.name, self.fine = heat, mesh, name, fine
        self.shape = (len(mesh.nodes),)
        self.space = Space(mesh)
        self.source = np.full(len(mesh.sites), heat.source)
        self.inflow = np.zeros(len(mesh.nodes))
        given: dict[int, float | Wave] = {}
        for i, part in enumerate(heat.boundary):
            if (part.temperature is None) == (part.flux is None):
                raise BadInput(f"coarse.{name}.boundary[{i}]: give one of temperature and flux")
            if part.temperature is not None:
                given |= dict.fromkeys(mesh.on(part.side, part.between).tolist(), part.temperature)
            else:
                self.inflow += (part.flux or 0.0) * mesh.share(part.side, part.between)
        if heat.steady and not given:
            hint = "give a temperature on one side, or leave out `steady`"
            raise BadInput(f"coarse.{name}: a steady state without any given temperature is not determined", hint)
        self.fixed = np.array(sorted(given), dtype=np.int64)
        self._given = [given[node] for node in sorted(given)]

    def begin(self) -> Array:
        return np.full(self.shape, self.heat.initial)

    def predict(self, step: Step) -> Array:
        return self.constrain(step.previous[self.unknown], step)

    def constrain(self, value: Array, step: Step) -> Array:
        out = np.array(value, dtype=float)
        out[self.fixed] = [given(step.t) if isinstance(given, Wave) else given for given in self._given]
        return out

    def sites(self, values: Values, step: Step) -> Arrays:
        gradient = np.zeros((len(self.mesh.sites), 3))
        gradient[:, : self.mesh.dimension] = self.space.gradients(values[self.unknown])
        if self.warms:
            return {"gradient": gradient, "temperature": self.space.values(values[self.unknown])}
        return {"gradient": gradient}

    def residual(self, values: Values, answers: Answers, step: Step) -> Balance:
        (flux,) = need(answers, self.fine, ("flux",), self.name)
        conducted = self.space.vector(outflow, flux=flux[:, : self.mesh.dimension])
        supplied = self.space.vector(supply, density=self.source + self._dissipated(answers, step)) + self.inflow
        stored = np.zeros(self.shape)
        if not self.heat.steady:
            change = np.asarray(values[self.unknown]) - step.previous[self.unknown]
            stored = self._capacity(answers) / step.dt * change
        return Balance(stored - conducted - supplied, norm(conducted, supplied, stored))

    def jacobian(self, other: str, values: Values, answers: Answers, step: Step) -> Any:
        if other != self.unknown:
            return None  # the answers carry no derivative of the dissipation; the sweeps take care of it
        d = self.mesh.dimension
        (tangent,) = need(answers, self.fine, ("tangent",), self.name)
        if self.warms:
            (slope,) = need(answers, self.fine, ("tangent_temperature",), self.name)
            matrix = self.space.matrix(warming, tangent=tangent[:, :d, :d], slope=slope[:, :d])
        else:
            matrix = self.space.matrix(conduction, tangent=tangent[:, :d, :d])
        if not self.heat.steady:
            matrix.setdiag(matrix.diagonal() + self._capacity(answers) / step.dt)
        return matrix

    def summary(self, values: Values, step: Step) -> dict[str, float]:
        """Mean temperature of the domain and of its surface (the top; on an interval the left end), K."""
        nodal = np.asarray(values[self.unknown])
        surface = self.mesh.share("top" if self.mesh.dimension == 2 else "left")
        mean = float(self.space.values(nodal) @ self.mesh.weights / self.mesh.weights.sum())
        return {"mean_temperature": mean, "surface_temperature": float(surface @ nodal / surface.sum())}

    def _capacity(self, answers: Answers) -> Array:
        """(N,) J/K, lumped to the nodes."""
        (capacity,) = need(answers, self.fine, ("capacity",), self.name)
        return self.space.vector(supply, density=capacity)

    def _dissipated(self, answers: Answers, step: Step) -> Array:
        """(S,) W/m3, from all fine models that dissipate, in the order of their names."""
        total = np.zeros(len(self.mesh.sites))
        for fine in sorted(answers):
            if "dissipation" in answers[fine] and not self.heat.steady:
                total += answers[fine]["dissipation"] / step.dt
        return total


FIELD = Heat

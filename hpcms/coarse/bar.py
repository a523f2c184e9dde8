"""A bar along x on elastic supports: stress from a fine model, loads that follow a path in time.

Weak form with test displacement v, unit section, foundation stress g(u), body load b and end load P (positive to the right):

    int eps(v) sigma + int v (g(u) + c du/dt - b(t)) - v(L) P(t) = 0,      g(u) = k u (1 - u / a) (1 - u / 2a)

Without ``snap`` (a) the foundation is linear, k u. With it, it falls between two states at rest, u = 0 and u = 2a: beyond the
peak the bar snaps through, and the dashpots c say how fast. The strain is total since time zero.
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
class Load:
    """At ``time``; between two entries linear, after the last constant, before the first from zero."""

    time: Annotated[float, Unit("s", least=0)]
    end: Annotated[float, Unit("Pa")] = 0.0
    body: Annotated[float, Unit("N/m^3")] = 0.0
    stretch: Annotated[float, Unit("m")] = 0.0  # of the right end, where it is held


@dataclass(frozen=True)
class Bar:
    """``held``: which ends are held, "left" or "both"; a held right end follows ``stretch``."""

    path: tuple[Load, ...]
    held: str = "left"
    foundation: Annotated[float, Unit("N/m^4", least=0)] = 0.0
    snap: Annotated[float, Unit("m", above=0)] | None = None
    dashpot: Annotated[float, Unit("Pa s/m^2", least=0)] = 0.0

    def bind(self, mesh: Mesh, name: str = "bar", fine: str | None = None, sites: Sequence[Any] = ()) -> BarOnMesh:
        """The field on a mesh."""
        if mesh.dimension != 1:
            raise BadInput(f"coarse.{name}: a bar needs an interval (got {mesh.domain.kind})")
        if self.held not in ("left", "both"):
            raise BadInput(f"coarse.{name}: held must be 'left' or 'both' (got {self.held!r})")
        if not self.path:
            raise BadInput(f"coarse.{name}: path must have at least one entry")
        return BarOnMesh(self, mesh, name, asked(fine, name))


class BarOnMesh:
    """See ``field.Bound``. Nodes from left to right; two Gauss points a cell, as the mesh has them."""

    unknown = "displacement"
    reads: tuple[str, ...] = ()

    def __init__(self, bar: Bar, mesh: Mesh, name: str, fine: str) -> None:
        import scipy.sparse as sp

        self.bar, self.name, self.fine = bar, name, fine
        n = len(mesh.nodes)
        x = mesh.nodes[:, 0]
        order = np.argsort(x)
        self.left, self.right = int(order[0]), int(order[-1])
        self.shape = (n,)
        self.fixed = np.array(sorted({self.left} | ({self.right} if bar.held == "both" else set())), np.int64)
        ends = mesh.cells[mesh.site_cell]
        h = x[ends[:, 1]] - x[ends[:, 0]]
        rows = np.arange(len(ends))
        # strain at the sites, and the nodes' shares of the length
        self.B: Any = sp.csr_matrix(
            (np.stack([-1 / h, 1 / h], axis=1).ravel(), (np.repeat(rows, 2), ends.ravel())), shape=(len(ends), n)
        )
        self.weights = mesh.weights
        self.share = np.zeros(n)
        for k in range(2):
            np.add.at(self.share, ends[:, k], self.weights / 2)
        # entries of the stiffness: those of the sites, +1 and -1 over h^2, then the diagonal of the supports
        a, b, every = ends[:, 0], ends[:, 1], np.arange(n)
        self.places = (np.concatenate([a, b, a, b, every]), np.concatenate([a, b, b, a, every]))
        self.stiff = self.weights / h**2

    def load(self, t: float, what: str) -> float:
        """Body load, end load or stretch at time ``t``."""
        times = [0.0] + [p.time for p in self.bar.path if p.time > 0]
        first = [getattr(p, what) for p in self.bar.path if p.time == 0]
        values = [first[0] if first else 0.0] + [getattr(p, what) for p in self.bar.path if p.time > 0]
        return float(np.interp(t, times, values))

    def begin(self) -> Array:
        return np.zeros(self.shape)

    def predict(self, step: Step) -> Array:
        """Extrapolated with the rate of the step before, but not across a turn of the load."""
        start = np.asarray(step.previous[self.unknown])
        if self.unknown in step.rate and not self.turned(step):
            start = start + step.dt * step.rate[self.unknown]
        return self.constrain(start, step)

    def turned(self, step: Step) -> bool:
        """Whether a load changes otherwise in this step than in one of the same length before."""
        for what in ("end", "body", "stretch"):
            before, now, after = (self.load(t, what) for t in (step.t - 2 * step.dt, step.t - step.dt, step.t))
            if abs((after - now) - (now - before)) > 1e-6 * max(abs(after - now), abs(now - before), TINY_LOAD):
                return True
        return False

    def constrain(self, value: Array, step: Step) -> Array:
        out = np.array(value, dtype=float)
        out[self.left] = 0.0
        if self.bar.held == "both":
            out[self.right] = self.load(step.t, "stretch")
        return out

    def sites(self, values: Values, step: Step) -> Arrays:
        eps = self.B @ np.asarray(values[self.unknown])
        return {"strain": eps[:, None], "dt": np.full(len(eps), step.dt)}

    def residual(self, values: Values, answers: Answers, step: Step) -> Balance:
        (stress,) = need(answers, self.fine, ("stress",), self.name)
        u, (g, _) = np.asarray(values[self.unknown]), self._foundation(values, step)
        inner = self.B.T @ (self.weights * stress[:, 0]) + self.share * g
        outer = self.share * self.load(step.t, "body")
        if self.bar.held != "both":
            outer[self.right] += self.load(step.t, "end")
        each = abs(self.B).T @ (self.weights * np.abs(stress[:, 0])) / 2
        return Balance(inner - outer, norm(outer, each, 0.0 * u))

    def jacobian(self, other: str, values: Values, answers: Answers, step: Step) -> Any:
        import scipy.sparse as sp

        (tangent,) = need(answers, self.fine, ("tangent",), self.name)
        _, slope = self._foundation(values, step)
        k = self.stiff * tangent[:, 0, 0]
        data = np.concatenate([k, k, -k, -k, self.share * slope])
        return sp.coo_matrix((data, self.places), shape=self.shape * 2).tocsr()

    def _foundation(self, values: Values, step: Step) -> tuple[Array, Array]:
        """Force of the supports and its slope, at the nodes."""
        u, before = np.asarray(values[self.unknown]), np.asarray(step.previous[self.unknown])
        k, a = self.bar.foundation, self.bar.snap
        drag = self.bar.dashpot / step.dt if step.dt > 0 else 0.0
        if a is None:
            return k * u + drag * (u - before), np.full(u.shape, k + drag)
        force = k * u * (1 - u / a) * (1 - u / (2 * a))
        return force + drag * (u - before), k * (1 - 3 * u / a + 1.5 * (u / a) ** 2) + drag

    def summary(self, values: Values, step: Step) -> dict[str, float]:
        """m: the largest displacement and that of the right end."""
        u = np.asarray(values[self.unknown])
        return {"largest_displacement": float(np.abs(u).max()), "end_displacement": float(u[self.right])}


TINY_LOAD = 1e-300
FIELD = Bar

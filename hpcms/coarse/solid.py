"""A solid at rest: div sigma + rho g = 0 in plane strain, small strains, stress and density from a fine model.

Weak form with test displacement v, body weight and pressure p on parts of the boundary (n: outward normal):

    int eps(v) . sigma + int v_y rho g + int_boundary p v . n = 0

The strain is total since time zero. Strain and stress are Mandel vectors; the plane is 11, 22 and 12, the strains
33, 23 and 13 are zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np

from hpcms.coarse.field import Answers, Balance, Values, asked, need, norm
from hpcms.contracts import Array, Arrays, Step, Unit
from hpcms.errors import BadInput
from hpcms.problem.mesh import Mesh

PLANE = [0, 1, 5]  # 11, 22, 12 in the Mandel vector
SQRT2 = float(np.sqrt(2.0))
AXES = {"x": 0, "y": 1}


@dataclass(frozen=True)
class At:
    """The share of a load at ``time``: linear between two entries, from zero before the first, constant after the last."""

    time: Annotated[float, Unit("s", least=0)]
    share: float


@dataclass(frozen=True)
class SolidBoundary:
    """``fixed``: components ("x", "y") that do not move; ``pressure``: positive pushes inwards. On a side or a part.

    ``path``: how much of the pressure acts when; all of it, always, where it is left out.
    """

    side: str
    fixed: tuple[str, ...] = ()
    pressure: Annotated[float, Unit("Pa")] | None = None
    path: tuple[At, ...] = ()
    between: tuple[Annotated[float, Unit("m")], Annotated[float, Unit("m")]] | None = None

    def share(self, t: float) -> float:
        """Of the pressure at time t, s."""
        if not self.path:
            return 1.0
        knots = self.path if self.path[0].time <= 0 else (At(0.0, 0.0), *self.path)
        return float(np.interp(t, [k.time for k in knots], [k.share for k in knots]))


@dataclass(frozen=True)
class Solid:
    """``gravity`` points to -y. ``temperature`` is used where no field of the job gives one."""

    gravity: Annotated[float, Unit("m/s^2", least=0)] = 0.0
    boundary: tuple[SolidBoundary, ...] = ()
    temperature: Annotated[float, Unit("K", above=0)] = 263.15

    def bind(self, mesh: Mesh, name: str = "solid", fine: str | None = None, sites: Sequence[Any] = ()) -> SolidOnMesh:
        """The field on a mesh. Raises ``BadInput`` where its boundary conditions make no sense."""
        if mesh.dimension != 2:
            raise BadInput(f"coarse.{name}: a solid needs a rectangle (got {mesh.domain.kind})")
        return SolidOnMesh(self, mesh, name, asked(fine, name))


def strain(v: Any) -> Any:
    """Mandel strain (11, 22, 12) of a displacement, (3, cells, points)."""
    return np.array([v.grad[0, 0], v.grad[1, 1], (v.grad[0, 1] + v.grad[1, 0]) / SQRT2])


def internal(v: Any, w: Any) -> Any:
    return np.einsum("i...,i...", strain(v), w.stress)


def body(v: Any, w: Any) -> Any:
    return np.einsum("i...,i...", np.asarray(v), w.force)


def stiffness(u: Any, v: Any, w: Any) -> Any:
    return np.einsum("i...,ij...,j...", strain(v), w.tangent, strain(u))


def softening(u: Any, v: Any, w: Any) -> Any:
    return np.einsum("i...,i...", strain(v), w.tangent) * np.asarray(u)


class SolidOnMesh:
    """See ``field.Bound``. ``force``: (S, 2) N/m3 body force beside the weight, zero unless it is replaced."""

    unknown = "displacement"

    def __init__(self, solid: Solid, mesh: Mesh, name: str, fine: str) -> None:
        from hpcms.coarse.assembly import Space

        self.solid, self.mesh, self.name, self.fine = solid, mesh, name, fine
        self.shape = (len(mesh.nodes), 2)
        self.reads = ("temperature",)
        self.space, self.scalar = Space(mesh, 2), Space(mesh)
        self.force = np.zeros((len(mesh.sites), 2))
        self.loads: list[tuple[SolidBoundary, Array]] = []  # nodal forces of the whole pressure, (N, 2) N/m
        self.loaded = np.zeros(len(mesh.nodes))
        fixed: set[int] = set()
        for i, part in enumerate(solid.boundary):
            where = f"coarse.{name}.boundary[{i}]"
            self._check(part, where)
            nodes = mesh.on(part.side, part.between)
            fixed |= {2 * int(node) + AXES[c] for node in nodes for c in part.fixed}
            if part.pressure is not None:
                share = mesh.share(part.side, part.between)
                self.loads.append((part, -part.pressure * share[:, None] * mesh.normal(part.side)))
                self.loaded += share if part.side == "top" else 0.0
        self.fixed = np.array(sorted(fixed), dtype=np.int64)
        self._check_held()

    def _check(self, part: SolidBoundary, where: str) -> None:
        wrong = [c for c in part.fixed if c not in AXES]
        if wrong:
            raise BadInput(f"{where}.fixed: unknown component {wrong[0]!r}", "there are: x, y")
        if not part.fixed and part.pressure is None:
            raise BadInput(f"{where}: give `fixed` or `pressure`")
        if part.path and part.pressure is None:
            raise BadInput(f"{where}.path: there is no pressure that follows it", "give `pressure` too")
        if any(b.time <= a.time for a, b in pairwise(part.path)):
            raise BadInput(f"{where}.path: times have to increase")
        normal = "x" if self.mesh.normal(part.side)[0] else "y"
        if part.pressure is not None and any(self._overlaps(part, p) for p in self.solid.boundary if normal in p.fixed):
            raise BadInput(f"{where}: conflicting boundary conditions: {normal} is fixed where a pressure acts")

    def _overlaps(self, one: SolidBoundary, other: SolidBoundary) -> bool:
        """Whether two entries share more than a point of a side."""
        whole = (0.0, max(self.mesh.domain.size))
        (a, b), (c, d) = one.between or whole, other.between or whole
        return one.side == other.side and min(b, d) > max(a, c)

    def rigid(self) -> Array:
        """(2 N, 3) the motions without strain: along x, along y, a small rotation."""
        x, y = self.mesh.nodes.T
        modes = np.zeros((len(x), 2, 3))
        modes[:, 0, 0] = modes[:, 1, 1] = 1.0
        modes[:, 0, 2], modes[:, 1, 2] = -y, x
        return modes.reshape(-1, 3)

    def _check_held(self) -> None:
        held = np.linalg.matrix_rank(self.rigid()[self.fixed]) if len(self.fixed) else 0
        if held < 3:
            raise BadInput(
                f"coarse.{self.name}: the body is not held: {3 - held} of its 3 rigid motions are free",
                'fix components of sides, such as { side = "bottom", fixed = ["x", "y"] }',
            )

    def begin(self) -> Array:
        return np.zeros(self.shape)

    def predict(self, step: Step) -> Array:
        """Creep goes on: the displacement extrapolated with the rate of the step before, unless a load turns round."""
        start = np.asarray(step.previous[self.unknown])
        if self.unknown in step.rate and not self._turns(step):
            start = start + step.dt * step.rate[self.unknown]
        return self.constrain(start, step)

    def _turns(self, step: Step) -> bool:
        """Whether a load that grew falls from now on, or the other way round."""
        began = step.t - step.dt
        for part, _ in self.loads:
            now = part.share(began)
            if (part.share(step.t) - now) * (now - part.share(began * (1 - 1e-6))) < 0:
                return True
        return False

    def constrain(self, value: Array, step: Step) -> Array:
        out = np.array(value, dtype=float)
        out.reshape(-1)[self.fixed] = 0.0
        return out

    def sites(self, values: Values, step: Step) -> Arrays:
        n = len(self.mesh.sites)
        grad = self.space.gradients(values[self.unknown])
        eps = np.zeros((n, 6))
        eps[:, PLANE] = np.stack([grad[:, 0, 0], grad[:, 1, 1], (grad[:, 0, 1] + grad[:, 1, 0]) / SQRT2], axis=1)
        known = values.get("temperature")
        temperature = np.full(n, self.solid.temperature) if known is None else self.scalar.values(known)
        return {"strain": eps, "temperature": temperature, "dt": np.full(n, step.dt)}

    def residual(self, values: Values, answers: Answers, step: Step) -> Balance:
        (stress,) = need(answers, self.fine, ("stress",), self.name)
        inner = self.space.vector(internal, stress=stress[:, PLANE])
        pushed = sum((part.share(step.t) * force.ravel() for part, force in self.loads), np.zeros(inner.shape))
        outer = self.space.vector(body, force=self.force + self._weight(answers)) + pushed
        return Balance(inner - outer, norm(inner, outer))

    def jacobian(self, other: str, values: Values, answers: Answers, step: Step) -> Any:
        if other == self.unknown:
            (tangent,) = need(answers, self.fine, ("tangent",), self.name)
            return self.space.matrix(stiffness, tangent=tangent[:, PLANE][:, :, PLANE])
        if other == "temperature" and "tangent_temperature" in answers.get(self.fine, {}):
            softer = np.asarray(answers[self.fine]["tangent_temperature"])[:, PLANE]
            return self.space.matrix(softening, self.scalar, tangent=softer)
        return None

    def summary(self, values: Values, step: Step) -> dict[str, float]:
        """Largest displacement and settlement, m: the mean downward displacement of the loaded part of the top."""
        moved = np.asarray(values[self.unknown])
        out = {"largest_displacement": float(np.sqrt((moved**2).sum(axis=1)).max())}
        if self.loaded.any():
            out["settlement"] = float(-(self.loaded @ moved[:, 1]) / self.loaded.sum())
        return out

    def _weight(self, answers: Answers) -> Array:
        """(S, 2) N/m3."""
        if self.solid.gravity == 0:
            return np.zeros_like(self.force)
        (density,) = need(answers, self.fine, ("density",), self.name)
        return np.stack([np.zeros_like(density), -self.solid.gravity * density], axis=1)


FIELD = Solid

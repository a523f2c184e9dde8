"""Material points along prescribed paths: no equation of a domain, the drives are given as functions of time.

Where a path gives stresses, the strains that make them are found by Newton's method with the tangents of the fine
model, point by point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from hpcms.coarse.field import Answers, Balance, Values, asked, need, norm
from hpcms.contracts import Array, Arrays, Step, Unit
from hpcms.errors import BadInput
from hpcms.problem.mesh import Mesh

COMPONENTS = {"11": 0, "22": 1, "33": 2, "23": 3, "13": 4, "12": 5}
WIDTH = {"strain": 6, "gradient": 3, "deformation": 9}


@dataclass(frozen=True)
class Driver:
    """``held``: components whose strain stays zero at points with given stresses (confined compression).

    ``temperature`` is used where the path of a point has none.
    """

    drives: Literal["strain", "gradient", "deformation"] = "strain"
    held: tuple[Literal["11", "22", "33", "23", "13", "12"], ...] = ()
    temperature: Annotated[float, Unit("K", above=0)] = 263.15

    def bind(
        self, mesh: Mesh, name: str = "driver", fine: str | None = None, sites: Sequence[Any] = ()
    ) -> DriverAtSites:
        """``sites``: for each point an object with ``path``: entries with time and gradient, strain or stress."""
        if mesh.dimension != 0:
            raise BadInput(f"coarse.{name}: paths are for material points", 'set domain.kind = "points"')
        if len(sites) != len(mesh.sites):
            raise BadInput(f"coarse.{name}: {len(mesh.sites)} points need as many [[sites]] (got {len(sites)})")
        return DriverAtSites(self, sites, name, asked(fine, name))


class Path:
    """A piecewise linear function of time; constant before its first and after its last entry."""

    def __init__(self, entries: Sequence[Any], key: str) -> None:
        self.times = np.array([entry.time for entry in entries], dtype=float)
        given = [getattr(entry, key, None) for entry in entries]
        self.given = all(value is not None for value in given) and len(given) > 0
        self.values = np.array(given, dtype=float).reshape(len(given), -1) if self.given else np.zeros((0, 0))

    def __call__(self, t: float) -> Array:
        return np.array([np.interp(t, self.times, column) for column in self.values.T])


class DriverAtSites:
    """See ``field.Bound``. The unknown is (S, 6) Mandel strains, (S, 3) gradients or (S, 9) deformation gradients."""

    reads: tuple[str, ...] = ()

    def __init__(self, driver: Driver, sites: Sequence[Any], name: str, fine: str) -> None:
        self.driver, self.name, self.fine, self.unknown = driver, name, fine, driver.drives
        width = WIDTH[self.unknown]
        self.shape = (len(sites), width)
        self.given = [Path(site.path, self.unknown) for site in sites]
        self.stress = [Path(site.path, "stress") for site in sites]
        self.temperature = [Path(site.path, "temperature") for site in sites]
        fixed = np.ones(self.shape, dtype=bool)
        for s in range(len(sites)):
            kinds = (self.given[s], self.stress[s], self.temperature[s])
            if not any(path.given for path in kinds[: 3 if width == 6 else 1]):
                raise BadInput(f"coarse.{name}: the path of point {s} gives no {self.unknown}")
            if width == 6 and self.stress[s].given and not self.given[s].given:
                fixed[s] = [c in driver.held for c in COMPONENTS]
        self.fixed = np.flatnonzero(fixed)

    def begin(self) -> Array:
        rest = np.eye(3).reshape(9) if self.unknown == "deformation" else 0.0
        return np.zeros(self.shape) + rest

    def predict(self, step: Step) -> Array:
        return self.constrain(step.previous[self.unknown], step)

    def constrain(self, value: Array, step: Step) -> Array:
        target = np.zeros(self.shape)
        for s, path in enumerate(self.given):
            if path.given:
                target[s] = path(step.t)
        out = np.array(value, dtype=float)
        out.reshape(-1)[self.fixed] = target.reshape(-1)[self.fixed]
        return out

    def sites(self, values: Values, step: Step) -> Arrays:
        drive = np.array(values[self.unknown], dtype=float)
        if self.unknown != "strain":
            return {self.unknown: drive}
        known = [float(p(step.t)[0]) if p.given else self.driver.temperature for p in self.temperature]
        return {"strain": drive, "temperature": np.array(known), "dt": np.full(len(drive), step.dt)}

    def residual(self, values: Values, answers: Answers, step: Step) -> Balance:
        r, target = np.zeros(self.shape), np.zeros(self.shape)
        if len(self.fixed) < r.size:
            (stress,) = need(answers, self.fine, ("stress",), self.name)
            for s, path in enumerate(self.stress):
                target[s] = path(step.t) if path.given else stress[s]
            r = stress - target
            r.reshape(-1)[self.fixed] = 0.0  # held by whatever force it takes
        return Balance(r.ravel(), norm(target))

    def jacobian(self, other: str, values: Values, answers: Answers, step: Step) -> Any:
        import scipy.sparse as sp

        points, width = self.shape
        if len(self.fixed) == points * width:
            return sp.eye_array(points * width, format="csr")
        (tangent,) = need(answers, self.fine, ("tangent",), self.name)
        columns = np.arange(points * width).reshape(points, 1, width).repeat(width, axis=1)
        ends = np.arange(points * width + 1) * width
        return sp.csr_matrix((tangent.reshape(-1), columns.reshape(-1), ends), shape=(points * width,) * 2)

    def summary(self, values: Values, step: Step) -> dict[str, float]:
        """The largest strain, gradient or deformation gradient of a point, its norm."""
        return {f"largest_{self.unknown}": float(np.linalg.norm(values[self.unknown], axis=1).max())}


FIELD = Driver

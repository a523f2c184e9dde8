"""Several fields on one domain, solved one after the other or together.

Each sweep sees the affine model of the coarse equations that belongs to the iterate u and its answers,

    r_i(u + d) = r_i + sum_j J_ij d_j ,

``staggered``: for each field in order, J_ii d_i = -(r_i + sum_j J_ij d_j) with the newest d_j of the others (block
Gauss-Seidel). ``monolithic``: the whole system at once, as a nested matrix. Both stop at the same u, where all r_i
vanish. Prescribed values are put in before, so PETSc only sees the free entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from hpcms.coarse.field import Bound
from hpcms.coarse.group import Group
from hpcms.coarse.petsc import Solution, Solver, System
from hpcms.contracts import Advance, Array, Arrays, Step
from hpcms.errors import BadInput
from hpcms.monitor.indicators import scale_ratio

Relaxation = float | Mapping[str, float]

# Sums over |J| |u| cannot be more exact than this share of it: a residual below counts as zero.
ROUNDING = 64 * float(np.finfo(float).eps)
# A field whose forces are below this share of |J| |u| is at rest: they are differences of terms that cancel.
REST = float(np.finfo(float).eps) ** 0.5
TINY = 1e-150


class Cut:
    """The free rows and columns of a matrix with a fixed pattern; ``values`` picks their entries."""

    def __init__(self, matrix: sp.csr_matrix, rows: Array, columns: Array) -> None:
        place = sp.csr_matrix((np.arange(1.0, matrix.nnz + 1), matrix.indices, matrix.indptr), shape=matrix.shape)
        part = place[rows][:, columns].tocsr()
        part.sort_indices()
        self.pattern = (part.indptr.astype(np.int32), part.indices.astype(np.int32))
        self.places, self.whole = part.data.astype(np.int64) - 1, (matrix.nnz, matrix.shape)

    def values(self, matrix: sp.csr_matrix) -> Array:
        if (matrix.nnz, matrix.shape) != self.whole:
            raise ValueError("a field changed the pattern of its matrix")
        picked: Array = matrix.data[self.places]
        return picked


@dataclass
class Affine:
    """Residuals (n,), matrices and jumps (n,) to the prescribed values, by field; all for one iterate.

    ``scales``: norm of the forces of each field; ``rest``: norm below which they are no forces but rounding and noise.
    """

    r: list[Array]
    J: dict[tuple[int, int], sp.csr_matrix]
    jump: list[Array]
    residuals: dict[str, float]
    scales: dict[str, float]
    rest: dict[str, float]

    @property
    def finite(self) -> bool:
        parts = [*self.r, *self.jump, *(J.data for J in self.J.values())]
        return all(bool(np.isfinite(part).all()) for part in parts)


class Composition:
    """A ``contracts.CoarseModel`` of ``fields`` in the order of a sweep.

    ``relaxation``: factor on the update of a staggered field, by name; a single number means the first field, whose
    values close the loop while the others follow in full. ``petsc``: options by field prefix (``heat_``, ``solid_``)
    or, monolithic, ``coupled_``. ``ranks``: 0 solves in process, n on a resident group of n MPI ranks, which has
    ``deadline`` seconds for a solve. Monolithic, the options of a field serve its part of the preconditioner.
    """

    def __init__(
        self,
        fields: Sequence[Bound],
        mode: str = "staggered",
        relaxation: Relaxation = 1.0,
        petsc: Mapping[str, str] | None = None,
        ranks: int = 0,
        deadline: float = 120.0,
    ) -> None:
        self.fields, self.mode, self.ranks, self.deadline = list(fields), mode, ranks, deadline
        self.petsc = self._options(petsc or {})
        self._check(relaxation)
        first = self.fields[0].name
        self.relaxation = dict(relaxation) if isinstance(relaxation, Mapping) else {first: float(relaxation)}
        self.free = [np.setdiff1d(np.arange(int(np.prod(f.shape))), f.fixed) for f in self.fields]
        self.sloped: dict[str, Array] = {}
        self._cuts: dict[tuple[int, int], Cut] = {}
        self._systems: dict[str, System] = {}
        self._solvers: dict[str, Solver] = {}
        self._sent: dict[str, dict[tuple[int, int], Array]] = {}
        self._group: Group | None = None

    def _check(self, relaxation: Relaxation) -> None:
        names, unknowns = [f.name for f in self.fields], [f.unknown for f in self.fields]
        if not names:
            raise BadInput("the coarse model has no field", "add a table such as [coarse.heat]")
        if self.mode not in ("staggered", "monolithic"):
            raise BadInput(f"unknown composition {self.mode!r}", "there are: staggered, monolithic")
        for what, values in (("name", names), ("unknown", unknowns)):
            double = [v for v in values if values.count(v) > 1]
            if double:
                raise BadInput(f"two coarse fields have the same {what} {double[0]!r}")
        factors = list(relaxation.values()) if isinstance(relaxation, Mapping) else [relaxation]
        if not all(np.isfinite(w) and w > 0 for w in factors):
            raise BadInput(f"the relaxation must be > 0 (got {relaxation})")
        if self.mode == "monolithic" and any(w != 1 for w in factors):
            raise BadInput("a relaxation makes sense for staggered fields only", 'set fields = "staggered"')
        unknown = set(relaxation) - set(names) if isinstance(relaxation, Mapping) else set()
        if unknown:
            raise BadInput(f"relaxation of unknown field {sorted(unknown)[0]!r}", f"there are: {', '.join(names)}")
        if self.ranks < 0 or not self.deadline > 0:
            raise BadInput(f"ranks must be >= 0 and the deadline > 0 (got {self.ranks} and {self.deadline:g} s)")

    def _options(self, petsc: Mapping[str, str]) -> dict[str, str]:
        options = {name: str(value) for name, value in petsc.items()}
        if self.mode == "staggered":
            return options
        parts = {
            f"coupled_fieldsplit_{name}": value
            for f in self.fields
            for name, value in options.items()
            if name.startswith(f"{f.name}_") and not name.startswith(f"{f.name}_snes_")
        }
        return parts | options

    @property
    def fine_of(self) -> dict[str, str]:
        """Field name -> the fine model that it asks."""
        return {f.name: f.fine for f in self.fields if f.fine is not None}

    def begin(self) -> Arrays:
        return {f.unknown: f.begin() for f in self.fields}

    def predict(self, step: Step) -> Arrays:
        """A first iterate: mostly the values before, with the prescribed ones of this step."""
        return {f.unknown: f.predict(step) for f in self.fields}

    def sites(self, u: Arrays, step: Step) -> dict[str, Arrays]:
        """Drives by fine model. Fields that ask the same model share its drives.

        A model of ``sloped``, which has the positions of its sites, is told |grad eps| / |eps| in 1/m as well.
        """
        drives: dict[str, Arrays] = {}
        for f in self.fields:
            if f.fine is not None:
                drives.setdefault(f.fine, {}).update(f.sites(u, step))
        for name, positions in self.sloped.items():
            drives[name]["strain_slope"] = scale_ratio(positions, drives[name]["strain"], 1.0)
        return drives

    def summary(self, u: Arrays, step: Step) -> dict[str, float]:
        """Named scalars of all fields, in SI units."""
        return {name: value for f in self.fields for name, value in f.summary(u, step).items()}

    def advance(self, u: Arrays, answers: Mapping[str, Arrays], step: Step) -> Advance:
        """One sweep over the fields, or one solve of all of them."""
        model = self._linearise(u, answers, step)
        if not model.finite:
            bad = [n for n, value in model.residuals.items() if not np.isfinite(value)]
            reason = f"the equations of {', '.join(bad) or 'the fields'} are not finite; look at the fine answers"
            return Advance(dict(u), float("inf"), False, reason, residuals=model.residuals)
        before = (self._group.messages, self._group.bytes) if self._group else (0, 0)
        d, solutions, traffic = (self._sweep if self.mode == "staggered" else self._together)(model)
        if self._group:
            traffic = (traffic[0] + self._group.messages - before[0], traffic[1] + self._group.bytes - before[1])
        failed = [s for s in solutions if not s.ok]
        fields = self.fields if not failed else []
        new = dict(u) | {f.unknown: u[f.unknown] + d[i].reshape(f.shape) for i, f in enumerate(fields)}
        return Advance(
            u=new, residual=max(model.residuals.values()), ok=not failed,
            reason="; ".join(s.reason for s in failed or solutions), iterations=sum(s.iterations for s in solutions),
            messages=traffic[0], bytes=traffic[1], residuals=model.residuals,
            detail={"scales": model.scales, "rest": model.rest, "linear_residuals": [s.residual for s in solutions]},
        )  # fmt: skip

    def close(self) -> None:
        """Let go of matrices and ranks; the next solve builds them again."""
        if self._group is not None:
            self._group.stop()
        self._solvers, self._sent, self._group = {}, {}, None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_solvers": {}, "_sent": {}, "_group": None}

    def _linearise(self, u: Arrays, answers: Mapping[str, Arrays], step: Step) -> Affine:
        model = Affine([], {}, [], {}, {}, {})
        for i, f in enumerate(self.fields):
            value, balance = np.asarray(u[f.unknown]), f.residual(u, answers, step)
            target = f.constrain(value, step)
            for j, other in enumerate(self.fields):
                matrix = f.jacobian(other.unknown, u, answers, step) if i == j or other.unknown in f.reads else None
                if matrix is not None:
                    model.J[i, j] = matrix
            terms = float(np.linalg.norm(abs(model.J[i, i]) @ np.abs(value.ravel())))
            scale = max(balance.size, TINY)
            jump = (target - value).ravel()
            off = np.abs(jump).max(initial=0.0) / max(np.abs(target).max(), np.abs(value).max(), TINY)
            model.r.append(balance.residual)
            model.jump.append(jump)
            model.scales[f.name], model.rest[f.name] = scale, REST * terms
            size = float(np.linalg.norm(balance.residual[self.free[i]]))
            model.residuals[f.name] = max((size - ROUNDING * terms) / scale, float(off), 0.0)
        return model

    def _rest(self, model: Affine, i: int, d: Mapping[int, Array]) -> Array:
        """Minus the residual of field i after the known updates ``d``, free entries."""
        r: Array = model.r[i]
        for j, update in d.items():
            if (i, j) in model.J:
                r = r + model.J[i, j] @ update
        rest: Array = -r[self.free[i]]
        return rest

    def _sweep(self, model: Affine) -> tuple[list[Array], list[Solution], tuple[int, int]]:
        d: dict[int, Array] = {}
        solutions, messages, size = [], 0, 0
        for i, f in enumerate(self.fields):
            read = [j for j, other in enumerate(self.fields) if j != i and other.unknown in f.reads]
            messages, size = messages + len(read), size + sum(model.r[j].nbytes for j in read)
            d[i] = model.jump[i].copy()
            solution = self._solve(f.name, [i], model, [self._rest(model, i, d)], {})
            solutions.append(solution)
            if not solution.ok:
                break
            d[i][self.free[i]] += self.relaxation.get(f.name, 1.0) * solution.x[0]
        return list(d.values()), solutions, (messages, size)

    def _together(self, model: Affine) -> tuple[list[Array], list[Solution], tuple[int, int]]:
        """All but the first field hand over their rows, and get their update: two messages each."""
        jumps = dict(enumerate(model.jump))
        rhs = [self._rest(model, i, jumps) for i in jumps]
        # rows by their field's scale, so that one tolerance serves all; a field at rest has none yet
        weights = {
            i: 1.0 / (model.scales[f.name] if model.scales[f.name] > TINY else np.abs(model.J[i, i].data).max())
            for i, f in enumerate(self.fields)
        }
        rows = list(range(len(self.fields)))
        solution = self._solve("coupled", rows, model, [weights[i] * rhs[i] for i in rows], weights)
        d = [jump.copy() for jump in model.jump]
        for i, x in enumerate(solution.x):
            d[i][self.free[i]] += x
        size = sum(J.data.nbytes for (i, _), J in model.J.items() if i > 0) + sum(2 * r.nbytes for r in rhs[1:])
        return d, [solution], (2 * (len(rows) - 1), size)

    def _solve(
        self, prefix: str, rows: list[int], model: Affine, rhs: list[Array], weights: Mapping[int, float]
    ) -> Solution:
        """Solve the system of the fields ``rows``; block (i, j) of it is J[rows[i], rows[j]]."""
        if not any(len(b) for b in rhs):
            return Solution([np.zeros(0) for _ in rows], True, f"{prefix} PRESCRIBED")
        keys = [(i, j) for i in rows for j in rows if (i, j) in model.J]
        for i, j in keys:
            if (i, j) not in self._cuts:
                self._cuts[i, j] = Cut(model.J[i, j], self.free[i], self.free[j])
        data = {
            (rows.index(i), rows.index(j)): weights.get(i, 1.0) * self._cuts[i, j].values(model.J[i, j])
            for i, j in keys
        }
        if prefix not in self._systems:
            blocks = {(rows.index(i), rows.index(j)): self._cuts[i, j].pattern for i, j in keys}
            names = tuple(self.fields[i].name for i in rows)
            self._systems[prefix] = System(prefix, names, tuple(len(self.free[i]) for i in rows), blocks)
        solution = self._hand_over(self._systems[prefix], data, rhs)
        if not solution.ok:
            self._sent.pop(prefix)
        return solution

    def _hand_over(self, system: System, data: dict[tuple[int, int], Array], rhs: list[Array]) -> Solution:
        """Solve in process or on the ranks. Values that are as before stay where they are, and so do their factors."""
        before = self._sent.setdefault(system.prefix, {})
        changed = {k: v for k, v in data.items() if k not in before or not np.array_equal(v, before[k])}
        before.update(changed)
        if self.ranks:
            if self._group is None:
                self._group = Group(self.ranks, self.petsc, self.deadline)
            return self._group.solve(system, changed, rhs)
        if system.prefix not in self._solvers:
            self._solvers[system.prefix] = Solver(system, self.petsc)
        return self._solvers[system.prefix].solve(changed, rhs)

"""Linear systems of one field, or of several fields nested, solved by PETSc. Matrices and solvers are kept.

PETSc is loaded when the first system is built. The same class runs in process and on a group of MPI ranks; each
process hands in its own rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import BadInput

Block = tuple[int, int]
Options = Mapping[str, str]

# A solver may stop by its number of iterations and call that converged; then this true residual decides.
ACCEPTED = 1e-6
DIRECT = ("lu", "cholesky")
LAUNCHER = ("OMPI_", "PMIX_", "PMI_")


@dataclass(frozen=True)
class System:
    """The pattern of a linear system. ``names``: its fields; more than one makes a nested matrix.

    ``blocks``: (i, j) -> CSR (indptr, indices) of row field i, column field j. ``prefix``: of PETSc options.
    """

    prefix: str
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    blocks: Mapping[Block, tuple[Array, Array]]

    def settings(self, given: Options, ranks: int = 1) -> dict[str, str]:
        """The options of this system: ``given``, and what lets nobody need to know PETSc: direct, or as exact.

        The parallel direct solvers add up in the order in which messages arrive, so MUMPS and SuperLU_DIST do not
        give the same bits twice (measured). Unless one of them is named, a direct solver works on the first rank.
        """
        parts = [f"{self.prefix}_fieldsplit_{name}_" for name in self.names] if len(self.names) > 1 else []
        own = {"snes_type": "ksponly", "ksp_rtol": "1e-12", "ksp_max_it": "1000"}
        own |= {"ksp_type": "fgmres", "pc_type": "fieldsplit", "pc_fieldsplit_type": "multiplicative"} if parts else {}
        options = {f"{self.prefix}_{k}": v for k, v in own.items()}
        for p in parts or [f"{self.prefix}_"]:
            options |= {f"{p}ksp_type": "preonly", f"{p}pc_type": "lu"}
        options |= given
        for p in [f"{self.prefix}_", *parts] if ranks > 1 else []:
            if options.get(f"{p}pc_type") in DIRECT and f"{p}pc_factor_mat_solver_type" not in options:
                moved = {k: v for k, v in options.items() if k.startswith(f"{p}pc_")}
                options = {k: v for k, v in options.items() if k not in moved}
                options |= {f"{p}telescope_{k.removeprefix(p)}": v for k, v in moved.items()}
                options |= {f"{p}pc_type": "telescope", f"{p}pc_telescope_reduction_factor": str(ranks)}
        return options


@dataclass(frozen=True)
class Solution:
    """``x``: by field. ``residual``: true relative residual of the linear system. ``reason``: PETSc's, by name."""

    x: list[Array]
    ok: bool
    reason: str
    iterations: int = 0
    residual: float = 0.0


@cache
def load(launched: bool = False) -> Any:
    """PETSc. Unless this process was launched as an MPI rank, it must not take itself for one."""
    if not launched:
        for name in [name for name in os.environ if name.startswith(LAUNCHER)]:
            del os.environ[name]
    import petsc4py

    petsc4py.init(["hpcms", "-no_signal_handler"])  # signals belong to the run, not to PETSc
    from petsc4py import PETSc

    return PETSc


@contextmanager
def in_force(PETSc: Any, options: Options) -> Iterator[None]:
    """PETSc's options are global; ours hold only as long as we build and solve."""
    table = PETSc.Options()
    before = {name: table.getString(name) for name in options if table.hasName(name)}
    for name, value in options.items():
        table.setValue(name, value)
    try:
        yield
    finally:
        for name in options:
            table.delValue(name)
        for name, value in before.items():
            table.setValue(name, value)


def reason_name(solver: Any) -> str:
    """PETSc's converged reason of a KSP or SNES by name."""
    code, names = solver.getConvergedReason(), type(solver).ConvergedReason
    return next((n for n in sorted(vars(names)) if not n.startswith("_") and getattr(names, n) == code), str(code))


class Solver:
    """One system on the ranks of ``comm``. ``rows``: by field, the (first, end) rows of this process."""

    def __init__(self, system: System, options: Options, comm: Any = None, launched: bool = False) -> None:
        self.PETSc = load(launched)
        self.comm = self.PETSc.COMM_SELF if comm is None else comm
        self.system = system
        self.options = system.settings(options, self.comm.size)
        self.rows = [split(n, self.comm.size)[self.comm.rank] for n in system.sizes]
        self.mats: dict[Block, Any] = {}
        self.snes: Any = None

    def solve(self, data: Mapping[Block, Array], rhs: Sequence[Array]) -> Solution:
        """Solve for the right-hand side. Failure is a returned solution.

        ``data``: the blocks whose values changed since the last solve; the others keep theirs, and where nothing
        changed, factors are kept too. Both arguments hold the rows of this process only.
        """
        try:
            with in_force(self.PETSc, self.options):
                self._fill(data)
                if self.snes is None:
                    self._build()
                return self._run(rhs)
        except self.PETSc.Error as error:
            self.mats, self.snes = {}, None  # what PETSc left behind is not to be trusted
            return Solution([], False, f"{self.system.prefix}: PETSc error {error.ierr}: {_last_line(error)}")

    def _fill(self, data: Mapping[Block, Array]) -> None:
        for key, values in data.items():
            i, j = key
            (first, end), (indptr, indices) = self.rows[i], self.system.blocks[key]
            local = (indptr[first : end + 1] - indptr[first]).astype(np.int32)
            csr = (local, indices[indptr[first] : indptr[end]].astype(np.int32), values)
            if key in self.mats:
                self.mats[key].setValuesCSR(*csr)
                self.mats[key].assemble()
            else:
                sizes = [(end - first, self.system.sizes[i]), (self.rows[j][1] - self.rows[j][0], self.system.sizes[j])]
                self.mats[key] = self.PETSc.Mat().createAIJ(sizes, csr=csr, comm=self.comm)

    def _build(self) -> None:
        PETSc, n = self.PETSc, len(self.system.names)
        self.A = self.mats[0, 0]
        if n > 1:
            table = [[self.mats.get((i, j)) for j in range(n)] for i in range(n)]
            self.A = PETSc.Mat().createNest(table, comm=self.comm)
        self.P = self.A
        self.x = PETSc.Vec().create(self.comm)  # on each rank the rows of its fields one after the other
        self.x.setSizes(self.A.getSizes()[0])
        self.x.setType("standard")
        self.b = self.x.duplicate()
        snes = PETSc.SNES().create(self.comm)
        snes.setOptionsPrefix(f"{self.system.prefix}_")
        snes.setFunction(self._function, self.b.duplicate())
        snes.setJacobian(lambda *_: None, self.A, self.P)
        try:
            snes.setFromOptions()
            self._split(snes)
        except PETSc.Error as error:
            given = "options in force: " + ", ".join(f"{k} = {v}" for k, v in self.options.items())
            raise BadInput(f"[petsc] {self.system.prefix}: {_last_line(error)}", given) from error
        self.snes = snes

    def _split(self, snes: Any) -> None:
        """Tell the fields apart, or flatten the nested matrix for a preconditioner that knows no fields."""
        if len(self.system.names) == 1:
            return
        pc = snes.getKSP().getPC()
        if pc.getType() == "fieldsplit":
            pc.setFieldSplitIS(*zip(self.system.names, self.A.getNestISs()[0], strict=True))
        else:
            self.P = self.A.convert("aij", self.PETSc.Mat())
            snes.setJacobian(lambda *_: None, self.A, self.P)

    def _function(self, snes: Any, x: Any, f: Any) -> None:
        """The balance of the affine model: f = A x - b."""
        self.A.mult(x, f)
        f.axpy(-1.0, self.b)

    def _run(self, rhs: Sequence[Array]) -> Solution:
        if len(self.system.names) > 1:
            self.A.assemble()
        if self.P is not self.A:
            self.A.convert("aij", self.P)
        self.b.setArray(np.concatenate(rhs))
        self.x.set(0.0)
        self.snes.solve(None, self.x)
        ksp = self.snes.getKSP()
        r = self.b.duplicate()
        self._function(self.snes, self.x, r)
        size, rest = self.b.norm(), r.norm()
        x = self.x.getArray().copy()
        parts = np.split(x, np.cumsum([end - first for first, end in self.rows])[:-1])
        return self._judge(ksp, parts, rest / size if size > 0 else rest)

    def _judge(self, ksp: Any, x: list[Array], residual: float) -> Solution:
        """Nothing is taken on trust: reasons of both solvers, and the true residual where they only counted."""
        linear, nonlinear, its = reason_name(ksp), reason_name(self.snes), self.snes.getLinearSolveIterations()
        name = self.system.prefix
        if ksp.reason < 0 or self.snes.reason <= 0:
            text = f"{name}: KSP {linear}, SNES {nonlinear} after {its} iterations; choose another {name}_pc_type or "
            return Solution(x, False, text + f"raise {name}_ksp_max_it", its, residual)
        if not np.isfinite(residual):
            return Solution(x, False, f"{name}: KSP {linear}, but the solution is not finite", its, residual)
        if residual > ACCEPTED and linear in ("CONVERGED_ITS", "ITERATING", "CONVERGED_ITERATING"):
            text = f"{name}: KSP {linear}, but the true residual is {residual:.1e}; {name}_ksp_type = preonly needs a "
            return Solution(x, False, text + "direct solver such as lu", its, residual)
        return Solution(x, True, f"{name} {linear}", its, residual)


def split(n: int, ranks: int) -> list[tuple[int, int]]:
    """(first, end) rows of each rank, as even as can be."""
    ends = [n * (rank + 1) // ranks for rank in range(ranks)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _last_line(error: Any) -> str:
    """What PETSc says about an error, without its stack."""
    lines = [line.split("] ", 1)[-1].strip() for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line), "no text")

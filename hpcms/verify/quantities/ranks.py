"""The same coarse equations on other numbers of MPI ranks, with other PETSc options, in turns and at once."""

from __future__ import annotations

from collections.abc import Sequence

from hpcms.store.run import OpenedRun
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs
from hpcms.verify.quantities.dialogue import relative


def _difference(a: OpenedRun, b: OpenedRun) -> float:
    """Largest relative difference of a coarse field at the end of two runs."""
    fields = [p for p in sorted(a.paths) if p.startswith("coarse/") and a.specs[p].stepped]
    return max(relative(a.read(p), b.read(p)) for p in fields)


def _iterations(run: OpenedRun) -> float:
    return float(sum(sweep["iterations"] for meta in run.steps() for sweep in meta.get("sweeps", [])))


@further_runs
def difference_over_ranks(context: Context, ranks: Sequence[int], petsc: dict[str, str]) -> list[float]:
    """Largest relative difference of a coarse field to the run in process, by number of ranks; ``petsc``: options."""
    return [_difference(_solved_by(context, petsc, n), context.run) for n in ranks]


def _solved_by(context: Context, petsc: dict[str, str], ranks: int = 0) -> OpenedRun:
    options = {f"petsc.{key}": value for key, value in petsc.items()}
    name = " ".join(f"{key}={value}" for key, value in petsc.items())
    return context.variant(f"{name} {ranks}", {**options, "coupling.ranks": ranks})


@further_runs
def difference_over_options(context: Context, petsc: dict[str, str]) -> float:
    """Largest relative difference of a coarse field to the run of the job when PETSc is told to solve otherwise."""
    return _difference(_solved_by(context, petsc), context.run)


@further_runs
def iterations_over_direct(context: Context, petsc: dict[str, str]) -> float:
    """Linear iterations of the whole run with other PETSc options over those of the job's own direct solver."""
    return _iterations(_solved_by(context, petsc)) / _iterations(context.run)


@further_runs
def difference_at_once(context: Context) -> float:
    """Largest relative difference of a coarse field between the fields solved at once and in turns."""
    return _difference(context.variant("at once", {"coupling.fields": "monolithic"}), context.run)


QUANTITIES = {
    "difference_over_ranks": difference_over_ranks,
    "difference_over_options": difference_over_options,
    "iterations_over_direct": iterations_over_direct,
    "difference_at_once": difference_at_once,
}

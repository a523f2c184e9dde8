"""PETSc options come from an allow-list: nothing that prints, writes, loads or runs foreign code."""

from __future__ import annotations

from typing import Any

import pytest

from hpcms.job.petsc import check_petsc
from hpcms.job.problems import Problems


def check(name: str, value: Any) -> tuple[dict[str, str], list[str]]:
    problems = Problems("f")
    options = check_petsc({name: value}, ["heat", "solid", "coupled"], problems)
    return options, [f"{p.text} {p.hint}" for p in problems.found]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("solid_ksp_type", "cg", "cg"),
        ("heat_ksp_rtol", 1e-9, "1e-09"),
        ("heat_ksp_max_it", 50, "50"),
        ("solid_pc_hypre_boomeramg_strong_threshold", 0.5, "0.5"),
        ("solid_mat_mumps_icntl_14", 40, "40"),
        ("solid_fieldsplit_x_pc_type", "ilu", "ilu"),
        ("coupled_pc_fieldsplit_type", "multiplicative", "multiplicative"),
        ("solid_mg_levels_ksp_chebyshev_esteig", "0,0.1,0,1.1", "0,0.1,0,1.1"),
        ("solid_snes_linesearch_type", "bt", "bt"),
        ("solid_ksp_error_if_not_converged", True, "true"),
        ("solid_snes_divergence_tolerance", -1.0, "-1.0"),
        ("solid_snes_divergence_tolerance", "-1", "-1"),
    ],
)
def test_allowed(name: str, value: Any, text: str) -> None:
    assert check(name, value) == ({name: text}, [])


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ksp_type", "cg", "does not begin with the name of a coarse field"),
        ("flow_ksp_type", "cg", "does not begin with the name of a coarse field"),
        ("soild_ksp_type", "cg", 'did you mean "solid_"?'),
        ("solid_options_file", "x", "is not on the list"),
        ("solid_log_view", "x", "is not on the list"),
        ("solid_ksp_view", "ascii", "is not allowed"),
        ("solid_ksp_view_mat", "binary", "is not allowed"),
        ("solid_mat_view", "x", "is not allowed"),
        ("solid_ksp_monitor", True, "is not allowed"),
        ("solid_ksp_converged_reason", True, "is not allowed"),
        ("solid_pc_type", "python", "runs foreign code"),
        ("solid_pc_python_type", "os.system", "is not allowed"),
        ("solid_ksp_type", "ascii:out.txt", "is no value"),
        ("solid_ksp_type", "../x", "is no value"),
        ("solid_ksp_type", "/etc/passwd", "is no value"),
        ("solid_ksp_type", "cg -log_view", "is no value"),
        ("solid_ksp_type", "cg\n-info", "is no value"),
        ("solid_ksp_type", "-info", "must not begin with a dash"),
        ("solid_ksp_type", ["cg"], "is no value"),
        ("solid_ksp_rtol", float("nan"), "is no value"),
        ("solid_ksp_max_it", 2**40, "is no value"),
        ("-solid_ksp_type", "cg", "is not a PETSc option"),
        ("solid_ksp type", "cg", "is not a PETSc option"),
        ("solid_KSP_type", "cg", "is not a PETSc option"),
    ],
)
def test_refused(name: str, value: Any, reason: str) -> None:
    options, (found,) = check(name, value)
    assert options == {}
    assert reason in found

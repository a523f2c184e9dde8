"""How PETSc is loaded, and what it must not touch."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from hpcms.coarse.petsc import System, split


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_room_loads_neither_petsc_nor_mpi() -> None:
    code = """
import sys, pkgutil, importlib, hpcms.coarse
for module in pkgutil.iter_modules(hpcms.coarse.__path__):
    importlib.import_module("hpcms.coarse." + module.name)
print(sorted(name for name in sys.modules if name.startswith(("petsc4py", "mpi4py"))))
"""
    assert run(code).strip() == "[]"


def test_a_process_started_by_mpi_does_not_take_itself_for_a_rank() -> None:
    code = """
import os
from hpcms.coarse.petsc import load
print(load().COMM_WORLD.size, [n for n in os.environ if n in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK")])
"""
    traces = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "PMIX_RANK": "3", "PMI_RANK": "3"}
    assert run(code, **traces).strip() == "1 []"


def test_signals_stay_with_the_run() -> None:
    code = """
import os, signal
from hpcms.coarse.petsc import load
signal.signal(signal.SIGTERM, lambda *_: print("stopped cleanly"))
load()
os.kill(os.getpid(), signal.SIGTERM)
"""
    assert run(code).strip() == "stopped cleanly"


@pytest.mark.parametrize(("n", "ranks"), [(10, 1), (10, 3), (2, 4), (0, 2)])
def test_rows_are_split_evenly_and_completely(n: int, ranks: int) -> None:
    parts = split(n, ranks)
    assert len(parts) == ranks
    assert parts[0][0] == 0
    assert parts[-1][1] == n
    assert all(a[1] == b[0] for a, b in pairwise(parts))
    counts = [end - first for first, end in parts]
    assert max(counts) - min(counts) <= 1


def test_the_default_is_a_direct_solver() -> None:
    one = System("heat", ("heat",), (3,), {}).settings({})
    assert (one["heat_ksp_type"], one["heat_pc_type"]) == ("preonly", "lu")
    many = System("coupled", ("heat", "solid"), (3, 4), {}).settings({"coupled_ksp_rtol": "1e-9"})
    assert (many["coupled_pc_type"], many["coupled_ksp_rtol"]) == ("fieldsplit", "1e-9")
    assert many["coupled_fieldsplit_solid_pc_type"] == "lu"


def test_on_ranks_a_direct_solver_works_on_one_unless_a_parallel_one_is_named() -> None:
    system = System("heat", ("heat",), (3,), {})
    plain = system.settings({"heat_pc_type": "cholesky", "heat_pc_factor_shift_type": "nonzero"}, 4)
    assert plain["heat_pc_type"] == "telescope"
    assert plain["heat_pc_telescope_reduction_factor"] == "4"
    assert plain["heat_telescope_pc_type"] == "cholesky"
    assert plain["heat_telescope_pc_factor_shift_type"] == "nonzero"
    named = system.settings({"heat_pc_factor_mat_solver_type": "mumps"}, 4)
    assert (named["heat_pc_type"], named["heat_pc_factor_mat_solver_type"]) == ("lu", "mumps")
    assert system.settings({"heat_pc_type": "gamg"}, 4)["heat_pc_type"] == "gamg"
    nested = System("coupled", ("heat", "solid"), (3, 4), {}).settings({}, 2)
    assert nested["coupled_pc_type"] == "fieldsplit"
    assert nested["coupled_fieldsplit_solid_pc_type"] == "telescope"
    assert nested["coupled_fieldsplit_solid_telescope_pc_type"] == "lu"

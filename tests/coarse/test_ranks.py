"""The resident group of MPI ranks: the same answers, and what happens when a rank or the driver dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from linear_answers import answer, conduction, elastic, first_step, softening, solve

from hpcms import coarse
from hpcms.coarse.composition import Composition
from hpcms.coarse.group import LAUNCH, Group, command, environment
from hpcms.coarse.heat import Heat, HeatBoundary
from hpcms.coarse.petsc import Solver, System
from hpcms.coarse.solid import Solid, SolidBoundary
from hpcms.contracts import Array, Arrays
from hpcms.errors import BadInput, ResourceFailure
from hpcms.problem.mesh import Domain, build_mesh

MESH = build_mesh(Domain("rectangle", (6.0, 4.0), (6, 4), (2.0, 2.0)))
HEAT = Heat(243.0, (HeatBoundary("top", 254.0), HeatBoundary("bottom", flux=0.05)))
SIDES = (SolidBoundary("bottom", ("x", "y")), SolidBoundary("left", ("x",)), SolidBoundary("right", ("x",)))
SOLID = Solid(9.81, (*SIDES, SolidBoundary("top", pressure=4e4, between=(2.5, 3.5))))
LAWS = {"k": conduction(), "e": softening()}

# a tridiagonal system of its own, for the group without any field
N = 40
SYSTEM = System(
    "line", ("line",), (N,),
    {(0, 0): (np.r_[0, np.arange(2, 3 * N - 3, 3), 3 * N - 2].astype(np.int32),
              np.concatenate([[j for j in (i - 1, i, i + 1) if 0 <= j < N] for i in range(N)]).astype(np.int32))},
)  # fmt: skip
VALUES = np.where(SYSTEM.blocks[0, 0][1] == np.repeat(np.arange(N), np.diff(SYSTEM.blocks[0, 0][0])), 2.1, -1.0)
RHS = np.sin(np.arange(N))


def footing(mode: str, ranks: int) -> Composition:
    return coarse.compose({"heat": (HEAT, "k"), "solid": (SOLID, "e")}, MESH, mode, ranks=ranks)


def expected() -> Array:
    return Solver(SYSTEM, {}).solve({(0, 0): VALUES}, [RHS]).x[0]


def ranks_of(group: Group) -> list[psutil.Process]:
    assert group._process is not None
    children = psutil.Process(group._process.pid).children(recursive=True)
    return [p for p in children if "hpcms.coarse.ranks" in p.cmdline() and "-n" not in p.cmdline()]


def gone(processes: list[psutil.Process], seconds: float = 15.0) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def group() -> Iterator[Group]:
    group = Group(2, {}, deadline=60.0)
    assert group.solve(SYSTEM, {(0, 0): VALUES}, [RHS]).ok
    yield group
    group.stop()


@pytest.fixture(scope="module")
def serial() -> dict[str, Arrays]:
    found = {}
    for mode in ("staggered", "monolithic"):
        model = footing(mode, 0)
        found[mode] = solve(model, LAWS, first_step(model), tolerance=1e-12)[0]
    return found


@pytest.mark.parametrize(("mode", "ranks"), [("staggered", 1), ("staggered", 2), ("monolithic", 2), ("monolithic", 4)])
def test_any_number_of_ranks_gives_the_same_answer(mode: str, ranks: int, serial: dict[str, Arrays]) -> None:
    model = footing(mode, ranks)
    try:
        u, sweeps = solve(model, LAWS, first_step(model), tolerance=1e-12)
        for name, values in serial[mode].items():
            assert np.abs(u[name] - values).max() <= 1e-10 * np.abs(values).max()
        alone = footing(mode, 0)
        step = first_step(alone)
        advance = alone.advance(alone.predict(step), answer(alone, LAWS, alone.predict(step), step), step)
        assert advance.reason == sweeps[0].reason
        assert sweeps[0].messages > advance.messages
        assert sweeps[0].bytes > advance.bytes
    finally:
        model.close()


def test_kept_factors_and_a_new_group_give_the_same_bits() -> None:
    laws = {"k": conduction(), "e": elastic(expansion=1e3)}
    model = footing("staggered", 2)
    step = first_step(model)
    u = model.predict(step)
    answers = answer(model, laws, u, step)
    try:
        first, *kept = (model.advance(u, answers, step) for _ in range(6))
        assert kept[0].bytes < first.bytes / 3  # neither patterns nor values travel again
        model.close()
        others = [*kept, model.advance(u, answers, step)]
    finally:
        model.close()
    assert all(np.array_equal(first.u[name], other.u[name]) for name in u for other in others)


def test_options_reach_the_ranks_and_failures_come_back() -> None:
    group = Group(2, {"line_ksp_type": "cg", "line_pc_type": "bjacobi", "line_ksp_max_it": "1"}, 60.0)
    try:
        failed = group.solve(SYSTEM, {(0, 0): VALUES}, [RHS])
        assert not failed.ok
        assert "line: KSP DIVERGED_MAX_IT" in failed.reason
        assert group.starts == 1
        assert not group.failures
        group.options["line_ksp_max_it"] = "100"
        again = group.solve(SYSTEM, {(0, 0): VALUES}, [RHS])
        assert again.reason == "line CONVERGED_RTOL"
        assert again.iterations > 1
        assert again.x[0] == pytest.approx(expected(), rel=1e-9, abs=1e-10)
        group.options["line_pc_type"] = "nonsense"
        group.known.clear()
        with pytest.raises(BadInput, match="nonsense"):
            group.solve(SYSTEM, {(0, 0): VALUES}, [RHS])
    finally:
        group.stop()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_noticed_and_the_solve_repeated(group: Group, rank: int) -> None:
    old = ranks_of(group)
    assert len(old) == 2
    old[rank].send_signal(signal.SIGKILL)
    found = group.solve(SYSTEM, {}, [2 * RHS])
    assert found.x[0] == pytest.approx(2 * expected(), rel=1e-12)
    assert group.starts == 2
    assert len(group.failures) == 1
    assert gone(old)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stopped_rank_is_noticed_within_the_deadline(group: Group, rank: int) -> None:
    old = ranks_of(group)
    old[rank].send_signal(signal.SIGSTOP)
    group.deadline = 1.5
    started = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        start = group._start
        patch.setattr(group, "_start", lambda: (setattr(group, "deadline", 60.0), start()))  # only the first is short
        found = group.solve(SYSTEM, {}, [RHS])
    assert group.failures[0].startswith("no answer within the deadline")
    assert time.monotonic() - started >= 1.5
    assert found.x[0] == pytest.approx(expected(), rel=1e-12)
    assert gone(old)


def test_after_two_failures_it_is_a_resource_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LAUNCH, "/bin/false")
    group = Group(2, {}, 30.0)
    with pytest.raises(ResourceFailure, match="2 MPI ranks failed 2 times: mpiexec ended with code 1"):
        group.solve(SYSTEM, {(0, 0): VALUES}, [RHS])
    assert group.starts == 2


def test_a_launcher_of_another_mpi_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    one = command(1)
    monkeypatch.setattr("hpcms.coarse.group.command", lambda ranks: one)
    with pytest.raises(ResourceFailure, match="asked for 2 MPI ranks, got 1"):
        Group(2, {}, 30.0).solve(SYSTEM, {(0, 0): VALUES}, [RHS])


def test_without_mpiexec_it_is_a_resource_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ResourceFailure, match="mpiexec was not found"):
        Group(2, {}, 30.0).solve(SYSTEM, {(0, 0): VALUES}, [RHS])


def test_a_stranger_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.py"
    stranger.write_text(
        textwrap.dedent("""
        import os, socket
        from hpcms.coarse.wire import Wire
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(os.environ["HPCMS_RANKS_ADDRESS"])
        Wire(sock).send({"token": "0" * 64, "ranks": 2})
        sock.recv(1)
    """)
    )
    monkeypatch.setenv(LAUNCH, f"{sys.executable} {stranger}")
    with pytest.raises(ResourceFailure, match="a stranger called"):
        Group(2, {}, 30.0).solve(SYSTEM, {(0, 0): VALUES}, [RHS])


@pytest.mark.parametrize("how", ["killed", "killed with a stopped rank", "ended"])
def test_no_rank_outlives_the_driver(how: str, tmp_path: Path) -> None:
    code = """
    import sys, time
    sys.path.insert(0, sys.argv[1])
    from test_ranks import Group, RHS, SYSTEM, VALUES, ranks_of
    group = Group(2, {}, 60.0)
    group.solve(SYSTEM, {(0, 0): VALUES}, [RHS])
    import psutil
    print(*(p.pid for p in psutil.Process(group._process.pid).children(recursive=True)), group._process.pid, flush=True)
    time.sleep(float(sys.argv[2]))
    """
    seconds = "0" if how == "ended" else "600"
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent), seconds],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert driver.stdout is not None
    pids = [int(pid) for pid in driver.stdout.readline().split()]
    family = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    assert len(pids) == 4  # two ranks, mpiexec, guard
    if how == "killed with a stopped rank":
        os.kill(pids[1], signal.SIGSTOP)
    if how != "ended":
        driver.kill()
    driver.wait(30)
    driver.stdout.close()
    assert gone(family)


def test_the_environment_of_the_ranks_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_SIZE"):
        monkeypatch.setenv(name, "1")
    kept = environment()
    assert not [name for name in kept if name.startswith(("OMPI_", "PMIX_", "PMI_"))]
    assert kept["OMP_NUM_THREADS"] == "1"

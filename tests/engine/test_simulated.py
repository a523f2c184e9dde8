"""A job on simulated workers: the same bits, and times that no bound contradicts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from small_job import run_command

from hpcms import engine
from hpcms.engine.simulated import SimulatedExecutor
from hpcms.errors import BadInput, DeadlineExceeded
from hpcms.plan.machine import Machine


def work(seconds: float, *after: Any) -> float:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return seconds


def test_clocks(tmp_path: Path) -> None:
    """Two of three equal tasks go at once, the third after one of them, a fourth after its input."""
    with SimulatedExecutor(Machine(2), tmp_path) as executor:
        refs = [executor.submit(work, 0.05, key=f"t{i}") for i in range(3)]
        late = executor.submit(work, 0.02, refs[2], key="late")
        began = executor.clock()
        with pytest.raises(DeadlineExceeded):
            executor.done([late], 0.0)
        first = executor.done(refs, 1.0)
        assert {ref.key for ref in first} <= {"t0", "t1"}
        assert executor.results(refs, 1.0) == [0.05] * 3
        assert executor.clock() - began >= 0.1 - 0.02
        assert executor.result(late, 1.0) == 0.02
        assert executor.clock() - began >= 0.12 - 0.02


def test_messages_take_time(tmp_path: Path) -> None:
    with SimulatedExecutor(Machine(1, latency=100.0, dispatch=0.01), tmp_path) as executor:
        began = executor.clock()
        executor.results([executor.submit(work, 0.001, key=f"t{i}") for i in range(3)], 1.0)
        assert executor.clock() - began == pytest.approx(3 * 100 + 2 * 100, abs=1)


@pytest.mark.parametrize("workers", [1, 3])
def test_nested_gives_the_same_bits_and_no_time_below_the_bounds(job: Path, workers: int) -> None:
    real = engine.run(job, out=job.parent / "run")
    seen = engine.simulate(job, Machine(workers, latency=1e-3))
    assert seen["state_hash"] == real.state_hash
    assert min(seen["t_over_lb0"], seen["t_over_lb2"]) > 1 - 1e-9
    assert seen["lb1_s"] <= seen["lower_bound_s"] + 1e-9
    assert set(seen["idle_s"]) == {"coarse", "imbalance", "io", "scheduler"}


def test_ahead_on_simulated_workers(job: Path) -> None:
    """A scheduler that starts 10 tasks a second: who comes first waits for the others, long beside a coarse solve."""
    seen = engine.simulate(job, Machine(4, dispatch=10.0), overrides={"coupling.scheme": "speculative"})
    assert seen["ahead"]["records"] > 0
    assert 0 <= seen["ahead"]["accepted"] <= 1
    assert 0 <= seen["ahead"]["wasted_s"] <= seen["ahead"]["cpu_s"] < seen["work_s"]


def test_the_command(job: Path) -> None:
    done = run_command("plan", job, "--simulate", "2", "--latency", "0.01", "--json")
    seen = json.loads(done.stdout.splitlines()[-1])["simulated"]
    assert seen["machine"]["workers"] == 2
    assert seen["machine"]["latency"] == 0.01
    assert seen["wall_s"] > 0


def test_more_workers_than_regions_are_refused(job: Path) -> None:
    with pytest.raises(BadInput, match="more than"):
        engine.simulate(job, Machine(10**5), overrides={"coupling.batch": "auto"})


def test_what_the_driver_uses_is_not_there_for_workers_on_the_same_cores(tmp_path: Path) -> None:
    """Two workers and the driver on two cores: while it works for a second, all take one and a half."""
    took = []
    for cores in (0, 2):
        with SimulatedExecutor(Machine(2, cores=cores), tmp_path) as executor:
            began = executor.clock()
            refs = [executor.submit(work, 0.3, key=f"t{i}") for i in range(2)]
            work(0.2)
            executor.results(refs, 1.0)
            took.append(executor.clock() - began)
    assert took[0] == pytest.approx(0.3, abs=0.04)
    assert took[1] == pytest.approx(0.3 + 0.2 / 2, abs=0.04)


def test_messages_use_the_cores_of_tasks(tmp_path: Path) -> None:
    """On two cores nothing is lost while one is free; where both compute, half of what messages use."""
    with SimulatedExecutor(Machine(2, cores=2, link=0.4, turn=0.2), tmp_path) as executor:
        began = executor.clock()
        refs = [executor.submit(work, seconds, key=f"{i}") for i, seconds in enumerate((0.1, 0.3, 0.3))]
        executor.results(refs[:1], 1.0)
        executor.result(refs[2], 1.0)
        assert executor.clock() - began == pytest.approx(0.1 + 0.3 + 0.4 / 2 + 0.2 / 2, abs=0.05)


def test_a_worker_begins_the_next_task_only_after_the_overhead(tmp_path: Path) -> None:
    with SimulatedExecutor(Machine(1, overhead=10.0), tmp_path) as executor:
        began = executor.clock()
        executor.results([executor.submit(work, 0.001, key=f"t{i}") for i in range(3)], 1.0)
        assert executor.clock() - began == pytest.approx(2 * 10, abs=1)


class Answer:
    def to_driver(self) -> float:
        return 1.0


def answer(_: Any = None) -> Answer:
    return Answer()


def test_each_worker_loads_before_its_first_task_of_a_fine_model(tmp_path: Path) -> None:
    """Not before it reads an image, and once."""
    with SimulatedExecutor(Machine(2), tmp_path, first_task=10.0) as executor:
        began = executor.clock()
        image = executor.submit(work, 0.02, key="image")
        executor.result(image, 1.0)
        assert executor.clock() - began < 1.0
        refs = [executor.submit(answer, image, key=f"t{i}", near=f"simulated:{i % 2}") for i in range(6)]
        executor.results(refs, 1.0)
        assert executor.clock() - began == pytest.approx(10.0, abs=0.5)


def test_batches_stay_with_their_worker_unless_that_is_busy_for_longer_than_stealing_takes(tmp_path: Path) -> None:
    for seconds, workers in ((0.01, 1), (0.2, 2)):
        with SimulatedExecutor(Machine(2), tmp_path) as executor:
            first = executor.submit(work, 0.001, key="state")
            keys = [executor.submit(work, seconds, first, key=f"t{i}").key for i in range(4)]
            assert len({executor._runs[key].worker for key in keys}) == workers


def test_a_machine_is_measured_with_tasks_that_do_nothing() -> None:
    machine = engine.here(Machine(2, bandwidth=1e9))
    assert (machine.workers, machine.bandwidth) == (2, 1e9)
    assert machine.cores >= 1
    assert 1e-5 < machine.latency < 1.0
    assert 1.0 < machine.dispatch < 1e6
    assert 0.0 <= machine.overhead < 1.0
    assert 0.0 < machine.link < 1.0
    assert 0.0 <= machine.turn < 1.0

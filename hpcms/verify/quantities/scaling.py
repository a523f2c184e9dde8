"""What it costs to have many workers: CPU time beside the work, bits that must not move, weak scaling on simulated clocks."""

from __future__ import annotations

import time
from dataclasses import replace

import psutil

from hpcms.cluster import open_executor
from hpcms.contracts import Executor
from hpcms.plan.machine import Machine
from hpcms.plan.study import history
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

REST = 3.0  # s
ROUNDS = 3


def burn(seconds: float) -> float:
    """CPU seconds spent, at least so many."""
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass
    return time.process_time() - start


def spent(processes: list[psutil.Process]) -> float:
    """CPU seconds of those that are still there."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


@further_runs
def cpu_beside_the_work(context: Context, tasks: int, seconds: float) -> float:
    """CPU time of driver, scheduler and workers that is not work, over the work: ``tasks`` tasks of ``seconds`` on 2 workers.

    What the processes take while nothing is asked of them is subtracted, as a share of the wall time.
    """
    with open_executor("local", 2, context.folder("beside")) as executor:
        me = psutil.Process()
        executor.results([executor.submit(burn, 0.0, key=f"warm/{i}") for i in range(8)], 60.0)
        processes = [me, *me.children(recursive=True)]
        idle, began = spent(processes), time.monotonic()
        time.sleep(REST)
        idle = (spent(processes) - idle) / (time.monotonic() - began)  # CPU seconds a second
        return min(_beside(executor, f"burn/{i}", tasks, seconds, processes, idle) for i in range(ROUNDS))


def _beside(
    executor: Executor, name: str, tasks: int, seconds: float, processes: list[psutil.Process], idle: float
) -> float:
    """One round of it; the least of several is taken, as a machine that others use too only adds."""
    before, began = spent(processes), time.monotonic()
    refs = [executor.submit(burn, seconds, key=f"{name}/{i}") for i in range(tasks)]
    work = sum(executor.results(refs, 600.0))
    executor.release(refs)
    return float((spent(processes) - before - work - idle * (time.monotonic() - began)) / work)


@further_runs
def runs_with_other_bits(context: Context, on: list[str]) -> float:
    """How many of the executors ``on`` end the job with another state than the run itself."""
    wanted = context.run.head.state_hash
    hashes = [context.variant(f"on {name.replace(':', ' ')}", {}, on=name).head.state_hash for name in on]
    return float(sum(found != wanted for found in hashes))


@further_runs
def weak_scaling(context: Context, nodes: int, cores: int) -> float:
    """Simulated: time on one node over that on ``nodes``, with four regions of 1 s an iteration for each of ``cores`` workers.

    Messages take 1 ms, a link carries 1 GB/s, the one queue hands out 1,000 tasks a second. The scheme is condensed.
    """

    def wall(count: int) -> float:
        workers = count * cores
        study = replace(history(3), elements=2 * workers, sigma=0.0)
        machine = Machine(workers, latency=1e-3, bandwidth=1e9, dispatch=1e3)
        return study.run("condensed", machine=machine).time

    return wall(1) / wall(nodes)


QUANTITIES = {
    "cpu_beside_the_work": cpu_beside_the_work,
    "runs_with_other_bits": runs_with_other_bits,
    "weak_scaling": weak_scaling,
}

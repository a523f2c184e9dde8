"""One rank of the resident group: ``mpiexec -n N python -m hpcms.coarse.ranks``. See ``group`` for the other end.

Rank 0 talks to the driver and hands out the rows; all ranks keep their matrices, factors and solvers. A rank that
waits sleeps: the fine solves need the cores.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from hpcms.coarse.guard import die_with_parent
from hpcms.coarse.petsc import Solver, System, split
from hpcms.coarse.wire import Wire
from hpcms.contracts import Array
from hpcms.errors import HpcmsError

ADDRESS, TOKEN = "HPCMS_RANKS_ADDRESS", "HPCMS_RANKS_TOKEN"
LONGEST_NAP = 2e-3
HEAD = 1  # MPI tag


class Rank:
    """The systems that this rank knows. ``comm``: all ranks."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.solvers: dict[str, Solver] = {}

    def system(self, head: dict[str, Any], arrays: list[Array]) -> None:
        """A new system, or an old one anew: its pattern and options."""
        arrays = self.comm.bcast(arrays)
        blocks = {(i, j): (arrays[2 * k], arrays[2 * k + 1]) for k, (i, j) in enumerate(head["blocks"])}
        system = System(head["prefix"], tuple(head["names"]), tuple(head["sizes"]), blocks)
        self.solvers[system.prefix] = Solver(system, head["options"], self.comm, launched=True)

    def solve(self, head: dict[str, Any], arrays: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Scatter the changed values and the right-hand side, solve, gather the solution on rank 0."""
        solver = self.solvers[head["prefix"]]
        sizes, blocks, queue = solver.system.sizes, solver.system.blocks, iter(arrays)
        data = {}
        for i, j in head["changed"]:
            ends = [blocks[i, j][0][end] for _, end in split(sizes[i], self.comm.size)]
            data[i, j] = self._scatter(queue, np.diff([0, *ends]))
        counts = [np.array([end - first for first, end in split(n, self.comm.size)]) for n in sizes]
        solution = solver.solve(data, [self._scatter(queue, count) for count in counts])
        x = [self._gather(part, count) for part, count in zip(solution.x, counts, strict=False)]
        kept = {name: getattr(solution, name) for name in ("ok", "reason", "iterations", "residual")}
        return kept, x

    def _scatter(self, queue: Iterator[Array], counts: Array) -> Array:
        """The next array of rank 0, cut into ``counts`` entries a rank."""
        part = np.empty(int(counts[self.comm.rank]))
        self.comm.Scatterv([next(queue), counts] if self.comm.rank == 0 else None, part)
        return part

    def _gather(self, part: Array, counts: Array) -> Array:
        whole = np.empty(int(counts.sum()) if self.comm.rank == 0 else 0)
        self.comm.Gatherv(np.ascontiguousarray(part), [whole, counts] if self.comm.rank == 0 else None)
        return whole

    def obey(self, head: dict[str, Any], arrays: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Do what a message says. An error that a user can meet is an answer; any other one ends the group."""
        try:
            if head["do"] == "solve":
                return self.solve(head, arrays)
            self.system(head, arrays)
            return {"ok": True}, []
        except HpcmsError as error:
            return {"bad": str(error), "hint": error.hint}, []


def lead(rank: Rank, wire: Wire) -> None:
    """Rank 0: pass on what the driver asks, until it is gone."""
    while True:
        try:
            head, arrays, _ = wire.receive()
        except ConnectionError:
            head, arrays = {"do": "stop"}, []
        for other in range(1, rank.comm.size):
            rank.comm.send(head, other, HEAD)
        if head["do"] == "stop":
            return
        answer, arrays = rank.obey(head, arrays)
        wire.send(answer, arrays)


def follow(rank: Rank) -> None:
    """The other ranks: sleep until rank 0 says something."""
    nap = 0.0
    while True:
        if not rank.comm.Iprobe(0, HEAD):
            nap = min(LONGEST_NAP, nap + 5e-5)
            time.sleep(nap)
            continue
        nap, head = 0.0, rank.comm.recv(None, 0, HEAD)
        if head["do"] == "stop":
            return
        rank.obey(head, [])


def main() -> None:
    """Join the group and serve."""
    die_with_parent()
    address, token = os.environ.pop(ADDRESS), os.environ.pop(TOKEN)
    from mpi4py import MPI

    rank = Rank(MPI.COMM_WORLD)
    if rank.comm.rank > 0:
        follow(rank)
        return
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(address)
    wire = Wire(sock)
    wire.send({"token": token, "ranks": rank.comm.size})
    lead(rank, wire)


if __name__ == "__main__":
    main()

"""The driver's end of a resident group of MPI ranks that solves linear systems and keeps their factors.

Every solve has a deadline. A rank that died or hangs is noticed within it; the group is started again, gets the
systems and values anew, and the solve is repeated. After the second failure a ``ResourceFailure`` is raised.
"""

from __future__ import annotations

import hmac
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcms.coarse import guard
from hpcms.coarse.petsc import LAUNCHER, Block, Options, Solution, System
from hpcms.coarse.ranks import ADDRESS, TOKEN
from hpcms.coarse.wire import Wire
from hpcms.contracts import Array
from hpcms.errors import BadInput, ResourceFailure

ATTEMPTS = 2
START = 90.0  # seconds that a start may take at least: MPI is slow on a loaded machine
LAUNCH = "HPCMS_MPIEXEC"  # the site's own launcher with its options, before "-n N"


class Group:
    """``ranks`` processes; ``deadline``: seconds for each solve. Starts with the first solve."""

    def __init__(self, ranks: int, options: Options, deadline: float) -> None:
        self.ranks, self.options, self.deadline = ranks, dict(options), deadline
        self.systems: dict[str, System] = {}
        self.data: dict[str, dict[Block, Array]] = {}
        self.known: set[str] = set()
        self.messages = self.bytes = self.starts = 0
        self.failures: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self._log: Any = None

    def solve(self, system: System, changed: Mapping[Block, Array], rhs: Sequence[Array]) -> Solution:
        """Like ``petsc.Solver.solve`` with all rows; ``changed``: the blocks with new values."""
        prefix = system.prefix
        self.systems[prefix] = system
        self.data.setdefault(prefix, {}).update(changed)
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(prefix, changed, rhs)
            except OSError as error:  # a deadline or a cut connection
                self.failures.append(self._why(error))
                self.stop()
        raise ResourceFailure(
            f"the group of {self.ranks} MPI ranks failed {ATTEMPTS} times: {self.failures[-1]}",
            hint="look at memory and at the MPI installation, or set coupling.ranks = 0",
        )

    def _attempt(self, prefix: str, changed: Mapping[Block, Array], rhs: Sequence[Array]) -> Solution:
        if self._wire is None:
            self._start()
        until = time.monotonic() + self.deadline
        if prefix not in self.known:
            self._describe(prefix, until)
            changed = self.data[prefix]
            self.known.add(prefix)
        keys = sorted(changed)
        head = {"do": "solve", "prefix": prefix, "changed": keys}
        answer, x = self._ask(head, [*(changed[k] for k in keys), *rhs], until)
        if not answer["ok"]:
            self.known.discard(prefix)  # after a failure nothing that was kept is trusted
        return Solution(x, answer["ok"], answer["reason"], answer["iterations"], answer["residual"])

    def _describe(self, prefix: str, until: float) -> None:
        system = self.systems[prefix]
        head = {
            "do": "system", "prefix": prefix, "names": system.names, "sizes": system.sizes,
            "blocks": list(system.blocks), "options": self.options,
        }  # fmt: skip
        self._ask(head, [array for pattern in system.blocks.values() for array in pattern], until)

    def _ask(self, head: dict[str, Any], arrays: Sequence[Array], until: float) -> tuple[dict[str, Any], list[Array]]:
        if self._wire is None:
            raise ConnectionError("no group is running")
        sent = self._wire.send(head, arrays, until)
        answer, back, received = self._wire.receive(until)
        self.messages, self.bytes = self.messages + 2, self.bytes + sent + received
        if "bad" in answer:
            raise BadInput(answer["bad"], answer["hint"])
        return answer, back

    def _start(self) -> None:
        """Launch the ranks and wait for rank 0 to call."""
        self.starts += 1
        token = secrets.token_hex(32)
        until = time.monotonic() + max(self.deadline, START)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        with tempfile.TemporaryDirectory(prefix="hpcms-") as folder, socket.socket(socket.AF_UNIX) as listener:
            address = str(Path(folder) / "ranks")  # the folder is readable by this user only
            listener.bind(address)
            listener.listen(1)
            self._process = subprocess.Popen(
                [sys.executable, "-I", guard.__file__, *command(self.ranks)],
                env=environment() | {ADDRESS: address, TOKEN: token},
                stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True,
            )  # fmt: skip
            self._wire = Wire(self._accept(listener, until))
        head, _, _ = self._wire.receive(until)
        if not hmac.compare_digest(str(head.get("token")), token):
            raise ConnectionError("a stranger called")
        if head["ranks"] != self.ranks:
            self.stop()
            hint = f"set {LAUNCH} to the launcher of the MPI that mpi4py uses"
            raise ResourceFailure(f"asked for {self.ranks} MPI ranks, got {head['ranks']}", hint)

    def _accept(self, listener: socket.socket, until: float) -> socket.socket:
        listener.settimeout(0.1)
        while time.monotonic() < until:
            try:
                return listener.accept()[0]
            except TimeoutError:
                if self._process is not None and self._process.poll() is not None:
                    raise ConnectionError(f"mpiexec ended with code {self._process.returncode}") from None
        raise TimeoutError("the ranks did not start in time")

    def _why(self, error: OSError) -> str:
        """The error and the last words of the ranks."""
        text = "no answer within the deadline" if isinstance(error, TimeoutError) else str(error)
        if self._log is None:
            return text
        self._log.seek(0)
        words = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip(" -*")]
        return text if not words else f"{text}; {words[-1][:200]}"

    def stop(self) -> None:
        """End all ranks. The next solve starts them again."""
        if self._wire is not None:
            self._wire.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()  # the guard sees it and ends mpiexec, which ends its ranks
            try:
                self._process.wait(10 * guard.PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._log is not None:
            self._log.close()
        self._wire, self._process, self._log, self.known = None, None, None, set()

    def __del__(self) -> None:
        self.stop()


def command(ranks: int) -> list[str]:
    """The launcher with its arguments."""
    own = os.environ.get(LAUNCH, "").split()
    if not own:
        mpiexec = shutil.which("mpiexec")
        if mpiexec is None:
            raise ResourceFailure("mpiexec was not found", "install MPI, or set coupling.ranks = 0")
        own = [mpiexec, "--oversubscribe", "--bind-to", "none"]
        own += ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return [*own, "-n", str(ranks), sys.executable, "-m", "hpcms.coarse.ranks"]


def environment() -> dict[str, str]:
    """Ours without the traces of a launcher that may have started us; one thread a rank."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHER)}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

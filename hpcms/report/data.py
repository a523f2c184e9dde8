"""The view of a run that everything in this room reads. It knows nothing of files; `load` fills it.

A piece that is missing reads as ``None``; a damaged store raises ``StorageFailure``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hpcms.contracts import Array, TaskRecord


class Reader(Protocol):
    """Where the arrays come from; None where a step does not hold one."""

    def read(self, path: str, step: int) -> Array | None:
        """The whole array."""
        ...

    def read_region(self, path: str, region: int, step: int) -> Array | None:
        """One row of it, without the others in memory."""
        ...


class Nothing:
    """The reader of a run that holds no array."""

    def read(self, path: str, step: int) -> Array | None:
        return None

    def read_region(self, path: str, region: int, step: int) -> Array | None:
        return None


@dataclass(frozen=True)
class Geometry:
    """The mesh and the sites. ``points``: (N, 2) m, y is 0 in one dimension; ``cells``: (C, 4), (C, 2) or (0, 4);
    ``sites``: fine model -> (S, 2) m, a region stands at each site.
    """

    points: Array
    cells: Array
    sites: Mapping[str, Array]

    @property
    def dimension(self) -> int:
        """0: material points, 1: an interval, 2: a plane domain."""
        if not len(self.cells):
            return 0
        return 1 if self.cells.shape[1] == 2 else 2


@dataclass(frozen=True)
class History:
    """An array over time. ``t``: (n,) s; ``values``: (n, ...)."""

    t: Array
    values: Array


@dataclass(frozen=True)
class Data:
    """What the report shows of a run. ``arrays``: the paths that the last committed step holds."""

    rundir: Path
    job_text: str = ""
    resolved: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[Mapping[str, Any]] = ()
    records: Sequence[TaskRecord] = ()
    state: str = ""
    why: str = ""
    state_hash: str = ""
    geometry: Geometry | None = None
    arrays: frozenset[str] = frozenset()
    reader: Reader = field(default_factory=Nothing)

    @cached_property
    def numbers(self) -> list[int]:
        """Numbers of the committed steps, ascending."""
        return [int(step["step"]) for step in self.steps]

    @cached_property
    def times(self) -> Array:
        """(n,) end times of the committed steps in s."""
        return np.array([float(step["t"]) for step in self.steps])

    @property
    def last(self) -> int | None:
        return self.numbers[-1] if self.numbers else None

    def read(self, path: str, step: int | None = None) -> Array | None:
        """The array ``path`` at ``step`` (default: the last one), or None where the run has none."""
        number = self.last if step is None else step
        if number is None or path not in self.arrays:
            return None
        return self.reader.read(path, number)

    def read_region(self, path: str, region: int) -> Array | None:
        """Row ``region`` of the array ``path`` at the last step, or None where the run has none."""
        if self.last is None or path not in self.arrays:
            return None
        return self.reader.read_region(path, region, self.last)

    def history(self, path: str) -> History | None:
        """The array ``path`` at all committed steps that hold it (step 0, the start, has no answers at the sites)."""
        found = [(t, self.read(path, number)) for number, t in zip(self.numbers, self.times, strict=True)]
        held = [(t, values) for t, values in found if values is not None]
        if not held or len({values.shape for _, values in held}) > 1:
            return None
        return History(np.array([t for t, _ in held]), np.stack([values for _, values in held]))

    @cached_property
    def fines(self) -> list[str]:
        """Names of the fine models whose answers the run holds, in alphabetical order."""
        return sorted(
            {path.split("/")[1] for path in self.arrays if path.startswith("sites/") and path.count("/") == 2}
        )

    def answers(self, fine: str) -> list[str]:
        """Names of the arrays at the sites of ``fine``."""
        prefix = f"sites/{fine}/"
        return sorted(path[len(prefix) :] for path in self.arrays if path.startswith(prefix))

    @property
    def title(self) -> str:
        return str(self.resolved.get("title") or self.rundir.name)

    @property
    def description(self) -> str:
        return str(self.resolved.get("description") or "")

    @property
    def end(self) -> float | None:
        """The time at which the job ends, s."""
        value = self.resolved.get("time", {}).get("end")
        return float(value) if isinstance(value, int | float) else None

    @property
    def status(self) -> str:
        """``done``, ``running``, ``stopped``, ``failed``, ``interrupted``; by the time reached if the run is silent."""
        if self.state:
            return self.state
        reached = self.times[-1] if len(self.times) else -np.inf
        return "done" if self.end is not None and reached >= self.end * (1 - 1e-9) else "stopped"

    @property
    def claims(self) -> list[Mapping[str, Any]]:
        return list(self.summary.get("claims") or ())

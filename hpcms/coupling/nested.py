"""Nested: every fine model is solved to convergence in every coarse iteration (FE squared).

    repeat:  answers = fine(drives(u));  residual, u+ = coarse(u, answers)
    until    residual <= tolerance

The coarse step is a Newton step with the consistent tangents of the fine models, so the residual falls quadratically
near the solution. Far from it a step may overshoot: the update is cut by a line search (``_search``).

Source: F. Feyel, J.-L. Chaboche, Comput. Methods Appl. Mech. Eng. 183 (2000) 309-330.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from hpcms.contracts import Advance, Array, Arrays, CoarseRequest, FineRequest, Look, Request, Talk
from hpcms.coupling._rows import Rows
from hpcms.coupling._search import Search


def record_of(step: Advance) -> dict[str, Any]:
    """What a sweep leaves in the run's records."""
    kept = ("residual", "iterations", "reason", "messages", "bytes")
    return {name: getattr(step, name) for name in kept} | {"fields": dict(step.residuals)}


@dataclass
class Nested:
    """See ``hpcms.contracts.Scheme``."""

    look: Look
    talk: Talk
    failed: str = ""
    finished: bool = False
    sweeps: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Arrays] = field(default_factory=dict)
    drives: dict[str, Arrays] = field(default_factory=dict)
    verb: str = "solve"
    _rows: dict[str, Rows] = field(default_factory=dict)
    _told: dict[str, Array] = field(default_factory=dict)  # by model: which batches
    _asked: bool = False
    _search: Search = field(default_factory=Search)

    needs: ClassVar[tuple[str, ...]] = ()  # of a fine model: "tangent", "iterate"
    barrier: ClassVar[bool] = True  # nothing is decided before all answers of a request are told

    def __post_init__(self) -> None:
        self.u = self.look.u

    @classmethod
    def begin(cls, look: Look, talk: Talk, before: Any = None) -> Self:
        """The scheme of one step; nothing is taken over from the step before."""
        return cls(look, talk)

    @property
    def done(self) -> bool:
        return self.finished or bool(self.failed)

    @property
    def _sweep(self) -> int:
        return len(self.sweeps)

    def ask(self, idle: int | None = None) -> Sequence[Request]:
        """The fine requests of this sweep, then, when all are told, the coarse one."""
        if self.done or self._asked:
            return []
        self._asked = True
        if not self.drives:
            self.drives = self.look.sites(self.u)
            self.answers, self._told = {}, {}
            if self.drives:
                return [self._request(m, d) for m, d in sorted(self.drives.items())]
        return [CoarseRequest((self._sweep, "coarse"), self.u, dict(self.answers), self.look.index)]

    def _request(self, model: str, drive: Arrays) -> FineRequest:
        if model not in self._rows:
            self._rows[model] = Rows.of(self.talk, model, drive)
        count = self._rows[model].count
        self._told[model], self.answers[model] = np.zeros(count, bool), {}
        key = (self._sweep, "fine", model)
        return FineRequest(key, model, drive, np.arange(count), self.verb, self.look.index)

    def tell(self, key: tuple[Any, ...], result: Any, batches: Array | None = None) -> bool:
        """Answers of a fine model or the advance of the coarse one; a second tell of the same key changes nothing."""
        if self.done or key[0] != self._sweep:
            return False
        if key[1] == "coarse":
            self._advance(result)
            return True
        told = self._told[key[2]]
        picked = np.arange(len(told)) if batches is None else batches
        if told[picked].all():
            return False
        self._rows[key[2]].put(self.answers[key[2]], result, picked, ~told[picked])
        told[picked] = True
        if all(done.all() for done in self._told.values()):
            self._asked = False
        return True

    def _advance(self, step: Advance) -> None:
        self.sweeps.append(record_of(step))
        if not step.ok:
            self.failed = f"coarse solve failed: {step.reason}"
        elif self._merit(step) <= self.talk.tolerance:
            self.finished = True
        elif self._sweep >= self.talk.max_sweeps:
            self.failed = f"{self.talk.max_sweeps} sweeps without convergence (residual {step.residual:.2e})"
        else:
            self._next(step)
            self._asked, self.drives = False, {}

    def _merit(self, step: Advance) -> float:
        """What has to fall below the tolerance."""
        return step.residual

    def _next(self, step: Advance) -> None:
        self.u = self._search.next(self.u, step)


SCHEME = Nested

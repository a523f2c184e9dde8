"""Nested: every fine model is solved to convergence in every coarse iteration (FE squared).

    repeat:  answers = fine(drives(u));  residual, u+ = coarse(u, answers)
    until    residual <= tolerance

The coarse step is a Newton step with the consistent tangents of the fine models, so the residual falls quadratically
near the solution. Far from it a step may overshoot: a residual that grows by more than ``GROWTH`` is answered by
halving the update, at most ``HALVINGS`` times in a row.

Sources: F. Feyel, J.-L. Chaboche, Comput. Methods Appl. Mech. Eng. 183 (2000) 309-330; step halving as in
C. T. Kelley, Iterative Methods for Linear and Nonlinear Equations, SIAM 1995, section 8.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpcms.contracts import Advance, Arrays, CoarseRequest, FineRequest, Request

GROWTH = 2.0
HALVINGS = 4


@dataclass
class Nested:
    """One step. ``u``: first iterate; ``sites(u)``: drives by fine model; ``tolerance``: on the relative residual.

    After ``done``, ``failed`` is empty or says why; ``u`` and ``answers`` belong together; ``sweeps`` has a record
    for each round.
    """

    u: Arrays
    sites: Callable[[Arrays], dict[str, Arrays]]
    tolerance: float
    max_sweeps: int
    failed: str = ""
    finished: bool = False
    sweeps: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Arrays] = field(default_factory=dict)
    drives: dict[str, Arrays] = field(default_factory=dict)
    _told: dict[tuple[Any, ...], Arrays] = field(default_factory=dict)
    _asked: bool = False
    _base: Arrays | None = None  # the last iterate whose residual was accepted
    _base_residual: float = float("inf")
    _halvings: int = 0

    @property
    def done(self) -> bool:
        return self.finished or bool(self.failed)

    @property
    def _sweep(self) -> int:
        return len(self.sweeps)

    def ask(self) -> Sequence[Request]:
        """The fine requests of this sweep, then, when all are told, the coarse one."""
        if self.done or self._asked:
            return []
        self._asked = True
        if not self.drives:
            self.drives = self.sites(self.u)
            self._told = {}
            if self.drives:
                return [FineRequest((self._sweep, "fine", m), m, d) for m, d in sorted(self.drives.items())]
        return [CoarseRequest((self._sweep, "coarse"), self.u, dict(self.answers))]

    def tell(self, key: tuple[Any, ...], result: Any) -> None:
        """Answers of a fine model or the advance of the coarse one; a second tell of the same key changes nothing."""
        if self.done or key[0] != self._sweep:
            return
        if key[1] == "coarse":
            self._advance(result)
        elif key not in self._told:
            self._told[key] = result
            if len(self._told) == len(self.drives):
                self.answers = {k[2]: self._told[k] for k in sorted(self._told)}
                self._asked = False

    def _record(self, step: Advance) -> None:
        kept = ("residual", "iterations", "reason", "messages", "bytes")
        self.sweeps.append({name: getattr(step, name) for name in kept} | {"fields": dict(step.residuals)})

    def _advance(self, step: Advance) -> None:
        self._record(step)
        if not step.ok:
            self.failed = f"coarse solve failed: {step.reason}"
        elif step.residual <= self.tolerance:
            self.finished = True
        elif self._sweep >= self.max_sweeps:
            self.failed = f"{self.max_sweeps} sweeps without convergence (residual {step.residual:.2e})"
        else:
            self._next(step)
            self._asked, self.drives = False, {}

    def _next(self, step: Advance) -> None:
        grew = step.residual > GROWTH * self._base_residual
        if grew and self._base is not None and self._halvings < HALVINGS:
            self._halvings += 1
            self.u = {name: 0.5 * (self._base[name] + value) for name, value in self.u.items()}
            return
        self._base, self._base_residual, self._halvings = self.u, step.residual, 0
        self.u = step.u


SCHEME = Nested

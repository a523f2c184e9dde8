"""Alternating: the loops swapped. For every fine iteration the coarse problem is solved to convergence.

    repeat:  records = iterate(drives(u));  repeat  residual, u+ = coarse(u, records at drives(u))  until residual <= tolerance
    until    the first residual of a round is <= tolerance, and the records' errors are too

Between two fine iterations the records answer as affine laws, sigma0 + A (eps - eps0). Here for comparison: it saves fine
iterations where the coarse scale needs many of its own, such as several fields in turns.

Source: N. Lange, G. Huetter, B. Kiefer, Comput. Methods Appl. Mech. Eng. 382 (2021) 113886, where both orders are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hpcms.contracts import Advance, Array, Arrays, CoarseRequest, Request
from hpcms.coupling._records import affine
from hpcms.coupling._search import Search
from hpcms.coupling.condensed import Condensed
from hpcms.coupling.nested import record_of

ROUNDS = 20  # coarse solves between two fine iterations, at most


@dataclass
class Alternating(Condensed):
    """See ``hpcms.contracts.Scheme``."""

    _inner: int = 0
    _rounds: int = 0
    _outer: Advance | None = None  # the first coarse solve of the round
    _within: Search = field(default_factory=Search)  # of the coarse solves of a round; ``_search``: of the rounds

    def ask(self, idle: int | None = None) -> Sequence[Request]:
        """As condensed; between the fine iterations the coarse solve again, at the newest iterate."""
        asked = super().ask(idle)
        if self._outer is None or not asked or not isinstance(asked[0], CoarseRequest):
            return asked
        at = self.look.sites(self.u)
        answers: dict[str, Arrays] = {
            m: affine(self.talk.pairing.get(m), self.drives[m], a, at[m]) for m, a in self.answers.items()
        }
        return [CoarseRequest((self._sweep, "coarse"), self.u, answers, self.look.index)]

    def tell(self, key: tuple[Any, ...], result: Any, batches: Array | None = None) -> bool:
        """A coarse result that is not the last of its round goes back to the coarse model."""
        if key[1] != "coarse" or self.done or key[0] != self._sweep:
            return super().tell(key, result, batches)
        self.sweeps.append(record_of(result))
        if not result.ok:
            self.failed = f"coarse solve failed: {result.reason}"
        elif self._outer is None:
            self._first(result)
        else:
            self._inner += 1
            if result.residual <= self.talk.tolerance or self._inner >= ROUNDS:
                self._turn()
            else:
                self.u, self._asked = self._within.next(self.u, result), False
        return True

    def _first(self, step: Advance) -> None:
        """The coarse solve with fresh records: they are good enough, or the drives went too far, or a round begins."""
        self._rounds += 1
        merit = self._merit(step)
        if merit <= self.talk.tolerance:
            self.finished = True
            return
        if self._rounds >= self.talk.max_sweeps:
            self.failed = f"{self._rounds} rounds without convergence (residual {step.residual:.2e})"
            return
        at = self.u
        self._next(step)
        self._asked = False
        if self.u is not step.u:
            self.drives = {}
            return
        self._outer, self._inner, self._within = step, 1, Search()
        self._within.next(at, step)

    def _turn(self) -> None:
        """The next fine iteration, at the iterate where the round ended."""
        self._outer, self._asked, self.drives = None, False, {}


SCHEME = Alternating

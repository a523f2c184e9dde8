"""Alternating: the loops swapped. For every fine iteration the coarse problem is solved to convergence.

    repeat:  records = iterate(drives(u));  repeat  residual, u+ = coarse(u, records at drives(u))  until residual <= tolerance
    until    the first residual of a round is <= tolerance, and the records' errors are too

Between two fine iterations the records answer as affine laws, sigma0 + A (eps - eps0). Here for comparison: it saves fine
iterations where the coarse scale needs many of its own, such as several fields in turns.

Source: N. Lange, G. Huetter, B. Kiefer, Comput. Methods Appl. Mech. Eng. 382 (2021) 113886, where both orders are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpcms.contracts import Advance, Array, Arrays, CoarseRequest, Request
from hpcms.coupling._level import PATIENCE
from hpcms.coupling._records import affine
from hpcms.coupling.condensed import Condensed
from hpcms.coupling.nested import record_of

ROUNDS = 20  # coarse solves between two fine iterations


@dataclass
class Alternating(Condensed):
    """See ``hpcms.contracts.Scheme``."""

    _inner: int = 0
    _outer: Advance | None = None  # the first coarse solve of the round

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
        first = self._outer is None
        ends = first and self._merit(result) <= self.talk.tolerance
        if not result.ok or ends or self._sweep + 1 >= self.talk.max_sweeps * ROUNDS:
            self._outer = None
            self._advance(result)
            return True
        self.sweeps.append(record_of(result))
        if first:
            self._outer, self._inner = result, 0
        self._inner += 1
        if self._outer is not None and (
            (not first and result.residual <= self.talk.tolerance) or self._inner >= ROUNDS
        ):
            self._turn(self._outer)
        else:
            self.u, self._asked = result.u, False
        return True

    def _turn(self, first: Advance) -> None:
        """The next fine iteration; progress is judged by the first residual of each round."""
        merit = self._merit(first)
        self._waited = 0 if merit < self._least else self._waited + 1
        self._least = min(self._least, merit)
        if self._waited >= PATIENCE:
            self.verb, self._waited = "solve", 0
        self._outer, self._asked, self.drives = None, False, {}


SCHEME = Alternating

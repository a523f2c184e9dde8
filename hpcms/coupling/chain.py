"""Chain: information goes up only. The fine models are asked once, then the coarse model is solved with their answers.

For linear fine models (conduction, elasticity) the answers carry the effective property as tangent, so this is
"homogenise, then solve" and exact. For others it is the first iteration of a nested run and no more; what it leaves out
is what the downward path would have told.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpcms.contracts import Advance
from hpcms.coupling.nested import Nested, record_of


@dataclass
class Chain(Nested):
    """One step: fine once, coarse once. ``tolerance`` and ``max_sweeps`` are not needed."""

    def _advance(self, step: Advance) -> None:
        self.sweeps.append(record_of(step))
        self.u, self.finished = step.u, step.ok
        self.failed = "" if step.ok else f"coarse solve failed: {step.reason}"


SCHEME = Chain

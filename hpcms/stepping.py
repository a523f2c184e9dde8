"""How long a step is: the planned interval, halved while it is rejected. Runs and simulated runs go by the same rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpcms.contracts import Array, Arrays
from hpcms.errors import NumericalFailure

SHARE = 64  # the smallest step, unless told: a planned one over this


class StepRejected(NumericalFailure):
    """This step did not work with this step size."""


@dataclass
class StepSize:
    """Of one step that begins at ``t``, s. ``target``: the end of the planned interval that it lies in."""

    t: float
    target: float
    dt: float

    @classmethod
    def within(cls, times: Sequence[float], t: float, cut: float = 0.0) -> StepSize:
        """``times``: planned, ascending; ``cut``: what the step before leaves to try (``next``), 0: the whole interval."""
        target = next(end for end in times if end > t * (1 + 1e-12))
        whole = target - t
        dt = min(cut or whole, whole)
        return cls(t, target, whole if whole - dt < 1e-9 * whole else dt)

    @property
    def end(self) -> float:
        """When the step ends; exactly the planned time where it is the last of its interval."""
        return self.target if self.dt == self.target - self.t else self.t + self.dt

    @property
    def next(self) -> float:
        """What to try after this one: twice as long within the same planned interval; 0: the whole of the next one."""
        return 0.0 if self.end == self.target else 2 * self.dt

    def halve(self, least: float, index: int, error: StepRejected) -> None:
        """Raises ``NumericalFailure`` where that is shorter than ``least``."""
        self.dt /= 2
        if self.dt < least:
            raise NumericalFailure(
                f"step {index} fails down to the smallest step of {least:.4g} s: {error}",
                hint="lower time.min_step, loosen coupling.tolerance, or look at the region with `hpcms zoom`",
            ) from error


def rate(before: Mapping[str, Array], after: Arrays, dt: float) -> Arrays:
    """Change per second of the coarse state over a step."""
    return {name: (after[name] - before[name]) / dt for name in after}

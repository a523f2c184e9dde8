"""How an iteration ended, in words that say what to do."""

from __future__ import annotations

from collections.abc import Sequence

from hpcms.contracts import Outcome


def outcome(ratio: float, tolerance: float, iterations: int, limit: int) -> Outcome:
    """How the iteration ended, with what to do where it failed. ``ratio``: true residual by load."""
    if ratio <= tolerance:
        return Outcome(True, "converged", 1, iterations, ratio)
    advice = "raise max_iterations" if iterations >= limit else "loosen the tolerance: rounding limits this contrast"
    reason = f"relative residual {ratio:.2e} after {iterations} iterations, wanted {tolerance:.2e}; {advice}"
    return Outcome(False, reason, 1, iterations, ratio)


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """The worst of several loads, with their iterations together."""
    worst = max(outcomes, key=lambda outcome: (not outcome.ok, outcome.residual))
    iterations = sum(outcome.linear_iterations for outcome in outcomes)
    return Outcome(worst.ok, worst.reason, 1, iterations, worst.residual)

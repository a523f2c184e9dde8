"""Line search along a coarse update: the residual at the new iterate has to be smaller than one of the last few.

A scheme sees relative residuals, over the size of the forces at the iterate itself. Where an iterate is far off, its forces are
too, and the quotient stays near one however wrong it is: a search by it accepts anything. So the residuals of two iterates are
compared over the *same* forces, those of the accepted one,

    m(u) = max over fields f of |r_f(u)| / max(F_f(base), forces below which the coarse model takes f to be at rest)

Newton's direction falls for |r|^2 with slope -2 |r|^2; the parabola through that and the two values has its least at

    t = m0^2 / (m0^2 + m1^2)        of the last update, kept between ``LEAST`` and ``MOST``

An update from rest may overshoot the forces and still be a good one: an iterate whose relative residual is below ``FINE`` of
that of the accepted one balances forces of its own size, and is taken.

Fields solved in turns do not fall in every turn, hence the few: not the last, but the largest of the last ``WINDOW`` counts.

Sources: C. T. Kelley, Iterative Methods for Linear and Nonlinear Equations, SIAM 1995, sections 8.1 and 8.3.1 (parabola);
L. Grippo, F. Lampariello, S. Lucidi, SIAM J. Numer. Anal. 23 (1986) 707-716 (window).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hpcms.contracts import Advance, Arrays

WINDOW = 2  # accepted iterates that the new one is compared with
CUTS = 8  # of one update; then it is taken as it is
LEAST, MOST = 0.1, 0.5
ENOUGH = 1e-4  # of the decrease that the slope promises
FINE = 0.5  # relative residual over that of the accepted iterate that needs no cut


def sizes(step: Advance) -> tuple[dict[str, float], dict[str, float]]:
    """Residuals by field in the unit of the field's forces, and what to compare them with: those forces, or what counts as rest.

    Relative where the coarse model tells no forces.
    """
    relative = dict(step.residuals) or {"": step.residual}
    scales, rest = step.detail.get("scales", {}), step.detail.get("rest", {})
    force = {name: scales.get(name, 1.0) for name in relative}
    found = {name: value * force[name] for name, value in relative.items()}
    return found, {name: max(value, rest.get(name, 0.0)) for name, value in force.items()}


@dataclass
class Search:
    """``base``: the iterate accepted last, with its residuals by field (``window``, the newest last) and its ``force``."""

    base: Arrays | None = None
    window: list[dict[str, float]] = field(default_factory=list)
    force: dict[str, float] = field(default_factory=dict)
    relative: float = 1.0  # residual of ``base``, over its own forces
    share: float = 1.0  # of the update from ``base`` that was tried last
    cuts: int = 0

    def next(self, u: Arrays, step: Advance, error: float = 0.0) -> Arrays:
        """What to try after ``u``: the iterate that the coarse model proposes, or a part of the update that led to ``u``.

        ``error``: relative, of the answers at u; a residual is not known to better than that.
        """
        found, force = sizes(step)
        found = {name: max(value, error * force[name]) for name, value in found.items()}
        relative = max(step.residual, error)
        if self.base is not None and self.cuts < CUTS:
            least = max(self._merit(w) for w in self.window)
            now = self._merit(found)
            if not now <= (1 - ENOUGH * self.share) * least and not relative <= FINE * self.relative:
                return self._cut(u, self._merit(self.window[-1]), now)
        self.base, self.force, self.relative, self.share, self.cuts = u, force, relative, 1.0, 0
        self.window = [*self.window, found][-WINDOW:]
        return step.u

    def _merit(self, found: dict[str, float]) -> float:
        return max((value / self.force[name] for name, value in found.items() if self.force[name] > 0), default=0.0)

    def _cut(self, u: Arrays, before: float, now: float) -> Arrays:
        assert self.base is not None
        part = before**2 / (before**2 + now**2) if now < 1e100 else 0.0
        part = min(max(part, LEAST), MOST)
        self.share, self.cuts = self.share * part, self.cuts + 1
        return {name: self.base[name] + part * (value - self.base[name]) for name, value in u.items()}

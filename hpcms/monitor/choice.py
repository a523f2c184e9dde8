"""One level of answer for each region, from indicators with declared thresholds.

Every indicator that passes its threshold asks for at least a certain level; a region gets the highest that is asked
for. An indicator that is not a number counts as passed: what cannot be judged is not trusted. The choice depends on
the indicators of the region alone, so neither the order of regions nor the number of workers changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import BadInput

LEVELS = ("skip", "linear", "surrogate", "fine", "concurrent")
SKIP, LINEAR, SURROGATE, FINE, CONCURRENT = range(5)


@dataclass(frozen=True)
class Rule:
    """``level``: what is asked for at least; ``above``: where the indicator is larger than the threshold, or smaller."""

    level: int
    above: bool
    text: str


RULES = {
    "change": Rule(LINEAR, True, "change of the drive"),
    "linear_error": Rule(SURROGATE, True, "predicted error of the linear answer"),
    "surrogate_error": Rule(FINE, True, "predicted error of the surrogate"),
    "outside": Rule(FINE, True, "distance from the surrogate's training set"),
    "stress": Rule(FINE, True, "stress"),
    "scale_ratio": Rule(CONCURRENT, True, "scale ratio l |grad eps| / |eps|"),
    "adiabaticity": Rule(CONCURRENT, False, "adiabaticity"),
    "copy_number": Rule(CONCURRENT, False, "copy number"),
    "ellipticity": Rule(CONCURRENT, False, "ellipticity"),
}


def bit(name: str) -> int:
    """The bit that an indicator has wherever flags are kept."""
    return 1 << list(RULES).index(name)


def reasons(flags: int) -> tuple[str, ...]:
    """The indicators that passed their threshold, by flags as ``bit`` sets them."""
    return tuple(name for name in RULES if flags & bit(name))


@dataclass(frozen=True)
class Thresholds:
    """A threshold for each indicator that is watched; None: not watched."""

    change: float | None = None
    linear_error: float | None = None
    surrogate_error: float | None = None
    outside: float | None = None
    stress: float | None = None
    scale_ratio: float | None = None
    adiabaticity: float | None = None
    copy_number: float | None = None
    ellipticity: float | None = None


@dataclass(frozen=True)
class Choice:
    """``level``: (R,) uint8, index into ``LEVELS``. ``passed``: (R,) uint16, bit k for the k-th of ``RULES``."""

    level: Array
    passed: Array
    watched: tuple[str, ...]

    def count(self) -> dict[str, int]:
        """Regions by level."""
        found = np.bincount(self.level, minlength=len(LEVELS))
        return {name: int(n) for name, n in zip(LEVELS, found, strict=True) if n}

    def why(self, region: int) -> tuple[str, ...]:
        """The indicators that passed their threshold in a region."""
        return reasons(int(self.passed[region]))

    def without_separation(self) -> list[str]:
        """A line for each region that homogenisation cannot serve, with the reason."""
        return [
            f"region {r}: {' and '.join(RULES[name].text for name in self.why(r) if RULES[name].level == CONCURRENT)}"
            for r in np.flatnonzero(self.level == CONCURRENT).tolist()
        ]


def choose(
    indicators: Mapping[str, Array], thresholds: Thresholds, available: tuple[str, ...] = LEVELS, least: int = SKIP
) -> Choice:
    """The level of every region. ``available``: the next higher one is taken where a level is not there.

    ``least``: what a region gets where nothing is passed.
    """
    watched = tuple(f.name for f in fields(thresholds) if getattr(thresholds, f.name) is not None)
    missing = [name for name in watched if name not in indicators]
    if missing or not indicators:
        raise BadInput(f"monitor: no values of the indicator {', '.join(missing) or 'at all'}")
    count = len(next(iter(indicators.values())))
    level, passed = np.full(count, least, np.uint8), np.zeros(count, np.uint16)
    for name in watched:
        value, rule = np.asarray(indicators[name], float), RULES[name]
        limit = getattr(thresholds, name)
        over = ~(value <= limit) if rule.above else ~(value >= limit)  # not a number passes
        level[over] = np.maximum(level[over], rule.level)
        passed[over] |= bit(name)
    return Choice(_raised(available)[level], passed, watched)


def _raised(available: tuple[str, ...]) -> Array:
    """(5,) the level that stands in for each: itself, or the next higher one that is there, or else the highest."""
    unknown = [name for name in available if name not in LEVELS]
    if unknown or not available:
        raise BadInput(f"monitor: no such level {unknown[:1]}", f"levels: {', '.join(LEVELS)}")
    there = sorted(LEVELS.index(name) for name in available)
    return np.array([next((k for k in there if k >= wanted), there[-1]) for wanted in range(5)], np.uint8)

"""Quantities at the boundary: "10 kPa" becomes 10000.0. Inside, everything is SI.

The units themselves come from pint. A text is checked against a small grammar first, because it is untrusted and
``m**9**9**9`` would keep a general parser busy for ever.
"""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from functools import cache
from typing import Any

NUMBER = re.compile(
    r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?|[+-]?(?:nan|inf|infinity)\b)\s*(.*)", re.DOTALL | re.I
)
NAME = r"(?:[^\W\d]|[°µΩ%])\w*+"  # possessive: one way to read a text, so no exponential search
POWER = r"(?:\s*+(?:\^|\*\*)\s*+[+-]?\d{1,2}(?![\d^*]))?+"
UNIT = re.compile(rf"(?:\s*+(?:{NAME}{POWER}|1(?=\s*/)|[()/·⋅]|\*(?!\*)))*+\s*+")
LONGEST = 60
DIMENSIONLESS = ("", "1")
COMMON = (
    "m", "mm", "cm", "km", "um", "nm", "s", "min", "h", "d", "year", "ms", "us", "ns", "K", "degC", "kg", "g", "t",
    "mg", "Pa", "kPa", "MPa", "GPa", "bar", "atm", "J", "kJ", "MJ", "eV", "W", "kW", "mW", "N", "kN", "MN", "mol",
    "rad", "deg", "Hz", "kHz", "MHz", "GHz", "V", "A", "C", "F", "ohm", "S", "T", "Wb", "H", "L", "percent",
)


class QuantityError(ValueError):
    """What is wrong with a quantity, as a message, and a hint."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


@cache
def _registry() -> Any:
    import pint  # half a second, so only when a job has units

    return pint.UnitRegistry(cache_folder=None)


@cache
def _unit(text: str) -> Any:
    """The pint unit of a text, or ``QuantityError``."""
    if len(text) > LONGEST or not UNIT.fullmatch(text):
        raise QuantityError(f'"{text[:LONGEST]}" is not a unit', 'write units like "W/(m K)" or "Pa^-3 s^-1"')
    for name in re.findall(NAME, text):
        if not _known(name):
            near = _nearest(name)
            hint = f'did you mean "{near}"?' if near else "see the units of pint"
            raise QuantityError(f'unknown unit "{name}"', hint)
    try:
        return _registry().parse_units(text.replace("⋅", "*").replace("·", "*"))
    except Exception as error:  # the parser raises many kinds, all of them about this text
        raise QuantityError(f'"{text}" is not a unit', 'write units like "W/(m K)" or "Pa^-3 s^-1"') from error


def _known(name: str) -> bool:
    try:
        return name in _registry() or name == "%"
    except Exception:  # the same parser on a single foreign word
        return False


def _nearest(name: str) -> str:
    same = [unit for unit in COMMON if unit.lower() == name.lower()]
    return (same or get_close_matches(name, COMMON, 1) or [""])[0]


def split(text: str) -> tuple[float, str]:
    """The number and the unit of a quantity."""
    found = NUMBER.fullmatch(text)
    if not found:
        raise QuantityError(f'must be a number with a unit (got "{text[:LONGEST]}")')
    try:
        number = float(found[1])
    except ValueError as error:
        raise QuantityError(f'must be a number with a unit (got "{text[:LONGEST]}")') from error
    if not math.isfinite(number):
        raise QuantityError(f'must be finite (got "{text[:LONGEST]}")')
    return number, found[2].strip()


@cache
def to_si(text: str, symbol: str) -> float:
    """The value of ``text`` in ``symbol`` (SI). "-10 degC" in K is 263.15: a temperature alone is absolute."""
    number, unit_text = split(text)
    example = f'write it with a unit, for example "{number:g} {symbol}"'
    if not unit_text:
        if symbol in DIMENSIONLESS:
            raise QuantityError(f'must be a number without quotes (got "{text}")', f"write {number:g}")
        raise QuantityError(f'missing unit (got "{text}")', example)
    unit, target = _unit(unit_text), _unit(symbol if symbol not in DIMENSIONLESS else "dimensionless")
    if unit == target:
        return number
    if unit.dimensionality != target.dimensionality:
        wanted = symbol if symbol not in DIMENSIONLESS else "a number without a unit"
        celsius = unit_text == "C" and symbol == "K"
        hint = f'did you mean "{number:g} degC"?' if celsius else f'for example "1 {symbol}"'
        raise QuantityError(f'wrong dimension: "{text}" cannot be given in {wanted}', "" if wanted != symbol else hint)
    try:
        value = float(_registry().Quantity(number, unit).to(target).magnitude)
    except (ValueError, ArithmeticError) as error:
        raise QuantityError(f'"{text}" cannot be given in {symbol}') from error
    if not math.isfinite(value):
        raise QuantityError(f'must be finite (got "{text}")')
    return float(f"{value:.15g}")  # 60 kJ is 60000 J, without the last bit of the conversion


def si_or_number(text: str, symbol: str) -> float:
    """Like ``to_si``, but a number without a unit is taken as SI: for the command line."""
    number, unit = split(text)
    return to_si(text, symbol) if unit else number

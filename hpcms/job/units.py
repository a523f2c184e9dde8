"""Quantities at the boundary: "10 kPa" becomes 10000.0. Inside, everything is SI.

pint knows the units. What reaches it is a text of a strict form, because a job file is untrusted: names, small powers,
products, quotients and one level of brackets. Values are decimals until the end, so that they are rounded once.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from typing import Any

LONGEST = 60  # characters of a unit, and of a foreign text in a message
DIMENSIONLESS = ("", "1")
NUMBER = re.compile(r"\s*([+-]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,4})?|[+-]?(?:nan|inf)\b)\s*(.*)",
                    re.DOTALL | re.I)  # fmt: skip

NAME = r"(?:[^\W\d_]+|%|°[CF]?)"
POWER = r"(?:\s*(?:\*\*|\^)\s*[+-]?[0-9]{1,2}(?:\.[0-9]{1,2})?)?"
FACTOR = rf"(?:{NAME}(?:[0-9]{{1,2}}|{POWER})|1(?=\s*/))"
PRODUCT = rf"{FACTOR}(?:(?:\s*[*/]\s*|\s+){FACTOR})*"
TERM = rf"(?:{FACTOR}|\(\s*{PRODUCT}\s*\){POWER})"
FORM = re.compile(rf"{TERM}(?:(?:\s*[*/]\s*|\s+){TERM})*")
SAME = str.maketrans({"²": "2", "³": "3", "·": "*", "⋅": "*"})

NO_PREFIX = ("minute", "hour", "day", "week", "month", "degree_Celsius", "degree_Fahrenheit")  # "dd" is a slip
USUAL = [p + u for u in ("Pa", "m", "s", "g", "K", "J", "W", "N", "mol", "Hz") for p in ("", *"kMGmunc")]
USUAL += ["degC", "min", "hour", "day", "week", "year", "bar", "percent", "deg", "rad"]
HINT = 'write units like "W/(m K)" or "Pa^-3 s^-1"'


class QuantityError(ValueError):
    """What is wrong with a quantity, as a message, and a hint."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


@cache
def _registry() -> Any:
    """Loaded with the first quantity: pint takes a while."""
    from pint import UnitRegistry

    return UnitRegistry(non_int_type=Decimal)


@cache
def unit(text: str) -> Any:
    """The unit of a text. ``a/b c`` is (a/b) c, as in other programs."""
    plain = text.translate(SAME)
    if len(text) > LONGEST or not FORM.fullmatch(plain):
        hint = "a bracket is not closed" if text.count("(") > text.count(")") else HINT
        raise QuantityError(f'"{text[:LONGEST]}" is not a unit', hint)
    for name in re.findall(NAME, plain):
        found = _registry().parse_unit_name(name)
        if name != "%" and (not found or (found[0][0] and found[0][1] in NO_PREFIX)):
            raise QuantityError(f'unknown unit "{name}"', _nearest(name))
    try:
        return _registry().parse_units(re.sub(rf"({NAME})([0-9])", r"\1^\2", plain))
    except (ArithmeticError, ValueError, TypeError) as error:
        raise QuantityError(f'"{text}" is not a unit', HINT) from error


def _nearest(name: str) -> str:
    same = [known for known in USUAL if known.lower() == name.lower()]
    near = same or get_close_matches(name, USUAL, 1)
    return f'did you mean "{near[0]}"?' if near else HINT


def split(text: str) -> tuple[Decimal, str]:
    """The number and the unit of a quantity."""
    found = NUMBER.fullmatch(text)
    if not found or len(found[1]) > LONGEST:
        raise QuantityError(f'must be a number with a unit (got "{text[:LONGEST]}")')
    return Decimal(found[1]), found[2].strip()


@cache
def to_si(text: str, symbol: str) -> float:
    """The value of ``text`` in ``symbol`` (SI). "-10 degC" in K is 263.15: a temperature alone is absolute."""
    number, unit_text = split(text)
    plain = symbol in DIMENSIONLESS
    shown = text.split()[0][:LONGEST]
    if not unit_text:
        if plain:
            raise QuantityError(f'must be a number without quotes (got "{text}")', f"write {shown}")
        raise QuantityError(f'missing unit (got "{text}")', f'for example "{shown} {symbol}"')
    _finite(number, text)
    given, target = unit(unit_text), _registry().dimensionless if plain else unit(symbol)
    if given.dimensionality != target.dimensionality:
        wanted = "without a unit" if plain else f"in {symbol}"
        celsius = unit_text == "C" and symbol == "K"
        hint = f'did you mean "{shown} degC"?' if celsius else "" if plain else f'for example "1 {symbol}"'
        raise QuantityError(f'wrong dimension: "{text}" cannot be given {wanted}', hint)
    try:
        value = _registry().Quantity(number, given).to(target).magnitude
    except (ArithmeticError, ValueError, TypeError) as error:  # out of range, or a logarithmic unit
        raise QuantityError(f'"{text}" cannot be converted to {symbol or "a number"}', HINT) from error
    return _finite(value, text)


def _finite(value: Decimal, text: str) -> float:
    if not math.isfinite(number := float(value)):
        raise QuantityError(f'must be finite (got "{text[:LONGEST]}")')
    return number


def si_or_number(text: str, symbol: str) -> float:
    """Like ``to_si``, but a number without a unit is taken as SI: for the command line."""
    number, unit_text = split(text)
    return to_si(text, symbol) if unit_text else _finite(number, text)

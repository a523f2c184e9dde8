"""Quantities at the boundary: "10 kPa" becomes 10000.0. Inside, everything is SI.

A table and a small grammar of our own, because the text is untrusted and because a general library of units takes
longer to load than a whole job takes to check. Conversions are exact fractions, rounded once; a test compares every
entry with an independent library.
Values: SI Brochure, 9th edition (2019), tables 2-8; the year is the Julian year of 365.25 days.
"""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from typing import NamedTuple

LONGEST = 60
DIMENSIONLESS = ("", "1")
NUMBER = re.compile(
    r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?|[+-]?(?:nan|inf|infinity)\b)\s*(.*)", re.DOTALL | re.I
)
TOKEN = re.compile(r"\s*(?:([^\W\d_]+|%|°C?)(\d{0,2})|(\*\*|\^)\s*([+-]?\d{1,2}(?:\.\d{1,2})?)|([*/()·⋅])|(1)(?=\s*/))")

PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3,
    "u": -6, "µ": -6, "μ": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
# name: factor, then the powers of m kg s A K mol cd. These take prefixes.
PREFIXED: dict[str, tuple[str, str]] = {
    "m": ("1", "m"), "g": ("1e-3", "kg"), "s": ("1", "s"), "A": ("1", "A"), "K": ("1", "K"), "mol": ("1", "mol"),
    "cd": ("1", "cd"), "Hz": ("1", "s-1"), "N": ("1", "m kg s-2"), "Pa": ("1", "m-1 kg s-2"),
    "J": ("1", "m2 kg s-2"), "W": ("1", "m2 kg s-3"), "C": ("1", "s A"), "V": ("1", "m2 kg s-3 A-1"),
    "F": ("1", "m-2 kg-1 s4 A2"), "ohm": ("1", "m2 kg s-3 A-2"), "Ω": ("1", "m2 kg s-3 A-2"),
    "S": ("1", "m-2 kg-1 s3 A2"), "Wb": ("1", "m2 kg s-2 A-1"), "T": ("1", "kg s-2 A-1"),
    "H": ("1", "m2 kg s-2 A-2"), "L": ("1e-3", "m3"), "l": ("1e-3", "m3"), "t": ("1e3", "kg"),
    "bar": ("1e5", "m-1 kg s-2"), "eV": ("1.602176634e-19", "m2 kg s-2"), "cal": ("4.184", "m2 kg s-2"),
    "M": ("1e3", "m-3 mol"), "P": ("0.1", "m-1 kg s-1"), "Da": ("1.66053906892e-27", "kg"), "rad": ("1", ""),
}  # fmt: skip
RADIANS = str(math.pi / 180)
PLAIN: dict[str, tuple[str, str]] = {
    "min": ("60", "s"), "h": ("3600", "s"), "d": ("86400", "s"), "week": ("604800", "s"), "year": ("31557600", "s"),
    "yr": ("31557600", "s"), "minute": ("60", "s"), "hour": ("3600", "s"), "day": ("86400", "s"),
    "second": ("1", "s"), "meter": ("1", "m"), "metre": ("1", "m"), "kelvin": ("1", "K"),
    "pascal": ("1", "m-1 kg s-2"), "angstrom": ("1e-10", "m"), "Å": ("1e-10", "m"), "micron": ("1e-6", "m"),
    "inch": ("0.0254", "m"), "ft": ("0.3048", "m"), "atm": ("101325", "m-1 kg s-2"),
    "psi": ("6894.757293168361", "m-1 kg s-2"), "percent": ("0.01", ""), "%": ("0.01", ""),
    "ppm": ("1e-6", ""),
    "deg": (RADIANS, ""), "°": (RADIANS, ""), "degree": (RADIANS, ""), "degC": ("1", "K"), "°C": ("1", "K"),
    "celsius": ("1", "K"),
}  # fmt: skip
PLURAL = ("minute", "hour", "day", "week", "year", "second", "meter", "metre", "degree")
CELSIUS = ("degC", "°C", "celsius")
ZERO_CELSIUS = Fraction("273.15")
MOST_BITS = 20000
SUPERSCRIPTS = str.maketrans("²³", "23")
HINT = 'write units like "W/(m K)" or "Pa^-3 s^-1"'


class QuantityError(ValueError):
    """What is wrong with a quantity, as a message, and a hint."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class Measure(NamedTuple):
    """``factor`` to SI, and the powers of the base units by name (none is zero)."""

    factor: Fraction
    powers: dict[str, Fraction]

    def times(self, other: Measure, power: Fraction) -> Measure:
        """This unit times ``other`` to the power."""
        powers = dict(self.powers)
        for base, n in other.powers.items():
            powers[base] = powers.get(base, Fraction(0)) + n * power
        return Measure(self.factor * _power(other.factor, power), {base: n for base, n in powers.items() if n})


def _power(factor: Fraction, power: Fraction) -> Fraction:
    """``factor`` to ``power``; brackets in brackets must not make numbers of millions of digits."""
    digits = max(factor.numerator.bit_length(), factor.denominator.bit_length())
    if digits * abs(power) > MOST_BITS:
        raise QuantityError("the unit is out of range", HINT)
    if power.denominator == 1:
        return factor**power.numerator
    return Fraction(float(factor) ** float(power))


ONE = Measure(Fraction(1), {})


def _measure(entry: tuple[str, str], exponent: int = 0) -> Measure:
    """A table entry as numbers: ("1", "m-1 kg s-2") with the prefix ten to ``exponent``."""
    found = re.findall(r"([A-Za-z]+)(-?\d*)", entry[1])
    powers = {base: Fraction(int(power or 1)) for base, power in found}
    return Measure(Fraction(entry[0]) * Fraction(10) ** exponent, powers)


@cache
def named(name: str) -> Measure | None:
    """The unit of one name, with or without a prefix."""
    if name in PREFIXED:
        return _measure(PREFIXED[name])
    single = name[:-1] if name.endswith("s") and name[:-1] in PLURAL else name
    if single in PLAIN:
        return _measure(PLAIN[single])
    for prefix, exponent in PREFIXES.items():
        rest = name.removeprefix(prefix)
        if rest != name and rest in PREFIXED:
            return _measure(PREFIXED[rest], exponent)
    return None


@cache
def unit(text: str) -> Measure:
    """The unit of a text: names, powers, products, quotients and brackets, from left to right."""
    if len(text) > LONGEST:
        raise QuantityError(f'"{text[:LONGEST]}" is not a unit', HINT)
    text = text.translate(SUPERSCRIPTS)
    tokens, pos = [], 0
    while text[pos:].strip():
        found = TOKEN.match(text, pos)
        if not found:
            raise QuantityError(f'"{text}" is not a unit', HINT)
        tokens.append(found)
        pos = found.end()
    try:
        measure, rest = _product(tokens, text)
    except ArithmeticError as error:  # a broken power of something very large or small
        raise QuantityError("the unit is out of range", HINT) from error
    if rest or not tokens:
        raise QuantityError(f'"{text}" is not a unit', HINT)
    return measure


Tokens = list[re.Match[str]]


def _product(tokens: Tokens, text: str) -> tuple[Measure, Tokens]:
    """Factors up to a closing bracket or the end, and what is left. ``a/b c`` is (a/b) c, as in other programs."""
    total, sign, open_ended = ONE, 1, True
    while tokens and tokens[0][5] != ")":
        if tokens[0][5] and tokens[0][5] != "(":
            if open_ended:
                break
            sign, open_ended, tokens = (-1 if tokens[0][5] == "/" else 1), True, tokens[1:]
            continue
        factor, tokens = _factor(tokens, text)
        total, sign, open_ended = total.times(factor, Fraction(sign)), 1, False
    if open_ended:
        raise QuantityError(f'"{text}" is not a unit', HINT)
    return total, tokens


def _factor(tokens: Tokens, text: str) -> tuple[Measure, Tokens]:
    """A name, a bracket or 1, and its power."""
    first, rest = tokens[0], tokens[1:]
    if first[5] == "(":
        measure, rest = _product(rest, text)
        if not rest:
            raise QuantityError(f'"{text}" is not a unit', "a bracket is not closed")
        rest = rest[1:]
    elif first[1]:
        known = named(first[1])
        if known is None:
            raise QuantityError(f'unknown unit "{first[1]}"', _nearest(first[1]))
        measure = ONE.times(known, Fraction(first[2] or 1))  # m2 is m^2
    elif first[6]:
        measure = ONE
    else:
        raise QuantityError(f'"{text}" is not a unit', HINT)
    if rest and rest[0][3]:
        return ONE.times(measure, Fraction(rest[0][4])), rest[1:]
    return measure, rest


def _nearest(name: str) -> str:
    known = [*PREFIXED, *PLAIN, *(p + u for p in ("k", "M", "G", "m", "u", "n", "c") for u in PREFIXED)]
    same = sorted((k for k in known if k.lower() == name.lower()), key=lambda k: k[:1] not in "kMG")
    near = same or get_close_matches(name, known, 1)
    return f'did you mean "{near[0]}"?' if near else HINT


def split(text: str) -> tuple[Fraction, str]:
    """The number and the unit of a quantity."""
    found = NUMBER.fullmatch(text)
    if not found:
        raise QuantityError(f'must be a number with a unit (got "{text[:LONGEST]}")')
    try:
        return Fraction(found[1]), found[2].strip()
    except ValueError as error:
        wrong = "must be finite" if found[1][-1:].isalpha() else "must be a number with a unit"
        raise QuantityError(f'{wrong} (got "{text[:LONGEST]}")') from error


@cache
def to_si(text: str, symbol: str) -> float:
    """The value of ``text`` in ``symbol`` (SI). "-10 degC" in K is 263.15: a temperature alone is absolute."""
    number, unit_text = split(text)
    plain = symbol in DIMENSIONLESS
    shown = text.split()[0][:LONGEST] if text.split() else ""
    if not unit_text:
        if plain:
            raise QuantityError(f'must be a number without quotes (got "{text}")', f"write {shown}")
        raise QuantityError(f'missing unit (got "{text}")', f'for example "{shown} {symbol}"')
    given, target = unit(unit_text), ONE if plain else unit(symbol)
    if given.powers != target.powers:
        wanted = "without a unit" if plain else f"in {symbol}"
        celsius = unit_text == "C" and symbol == "K"
        hint = f'did you mean "{shown} degC"?' if celsius else "" if plain else f'for example "1 {symbol}"'
        raise QuantityError(f'wrong dimension: "{text}" cannot be given {wanted}', hint)
    value = number * given.factor / target.factor + (ZERO_CELSIUS if unit_text in CELSIUS else 0)
    return _finite(value, text)


def _finite(value: Fraction, text: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise QuantityError(f'must be finite (got "{text[:LONGEST]}")') from error


def si_or_number(text: str, symbol: str) -> float:
    """Like ``to_si``, but a number without a unit is taken as SI: for the command line."""
    number, unit_text = split(text)
    return to_si(text, symbol) if unit_text else _finite(number, text)

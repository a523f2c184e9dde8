"""Quantities: right values, plain messages, and nothing that a hostile text can do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.job.units import QuantityError, si_or_number, to_si


@pytest.mark.parametrize(
    ("text", "symbol", "value"),
    [
        ("10 kPa", "Pa", 1e4),
        ("10kPa", "Pa", 1e4),
        ("-10 degC", "K", 263.15),
        ("20 °C", "K", 293.15),
        ("11 K", "K", 11.0),
        ("365 d", "s", 31536000.0),
        ("3.5e-25 Pa^-3 s^-1", "Pa^-3 s^-1", 3.5e-25),
        ("60 kJ/mol", "J/mol", 60000.0),
        ("180 deg", "rad", math.pi),
        ("2.107 W/(m K)", "W/(m K)", 2.107),
        ("2.107 W m^-1 K^-1", "W/(m K)", 2.107),
        ("5 %", "", 0.05),
        ("9.81 m/s²", "m/s^2", 9.81),
        ("9.81 m s**-2", "m/s^2", 9.81),
        ("2 MPa m^0.5", "Pa m^0.5", 2e6),
        ("3 1/s", "s^-1", 3.0),
        ("1 W/(m degC)", "W/(m K)", 1.0),
        ("7 mM", "mol/m^3", 7.0),
        (".5 um", "m", 5e-7),
        ("0.1 m", "m", 0.1),
    ],
)
def test_values(text: str, symbol: str, value: float) -> None:
    assert to_si(text, symbol) == value


@pytest.mark.parametrize(
    ("text", "symbol", "message", "hint"),
    [
        ("10", "Pa", "missing unit", 'for example "10 Pa"'),
        ("10 kPaa", "Pa", 'unknown unit "kPaa"', 'did you mean "kPa"?'),
        ("10 kpa", "Pa", 'unknown unit "kpa"', 'did you mean "kPa"?'),
        ("10 Mpa", "Pa", 'unknown unit "Mpa"', 'did you mean "MPa"?'),
        ("10 kg", "Pa", "wrong dimension", 'for example "1 Pa"'),
        ("-10 C", "K", "wrong dimension", 'did you mean "-10 degC"?'),
        ("5 W/m K", "W/(m K)", "wrong dimension", "W/(m K)"),
        ("0.5", "", "must be a number without quotes", "write 0.5"),
        ("10 pa", "Pa", "wrong dimension", 'for example "1 Pa"'),
        ("10 dB", "", "cannot be converted", ""),
        ("nan Pa", "Pa", "must be finite", ""),
        ("-inf Pa", "Pa", "must be finite", ""),
        ("1e999 Pa", "Pa", "must be finite", ""),
        ("ten Pa", "Pa", "must be a number with a unit", ""),
        ("", "Pa", "must be a number with a unit", ""),
        ("1 (m", "m", "is not a unit", "not closed"),
        ("1 m)", "m", "is not a unit", ""),
        ("1 m//s", "m/s", "is not a unit", ""),
        ("1 m^2^2", "m", "is not a unit", ""),
    ],
)
def test_messages(text: str, symbol: str, message: str, hint: str) -> None:
    with pytest.raises(QuantityError) as caught:
        to_si(text, symbol)
    assert message in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "symbol", "value"),
    [
        ("0 degC", "K", 273.15),
        ("32 degF", "K", 273.15),
        ("2 celsius", "K", 275.15),
        ("5 W/degC", "W/K", 5.0),
        ("6 degC^2", "K^2", 6.0),
        ("7 degC/m", "K/m", 7.0),
    ],
)
def test_a_temperature_alone_is_absolute_and_in_a_product_a_difference(text: str, symbol: str, value: float) -> None:
    assert to_si(text, symbol) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["1 dd", "1 kh", "1 mmin", "1 mdegC", "1 Ks", "1 delta_degC", "1 import"])
def test_slips_are_no_units(text: str) -> None:
    with pytest.raises(QuantityError, match=r"unknown unit|is not a unit"):
        to_si(text, "s")


@pytest.mark.parametrize(
    "text",
    [
        "1 ((((km^99)^99)^99)^99)",
        "1 (Ym^99)^0.5",
        "1 (Ym^99)^99 (Ym^99)^99",
        "1e9999 m",
        "1 m m m ^",
        "1 km999",
        f"1 {'m ' * 29}(",
        f"1 {'m' * 5000}",
        f"1 {'(' * 5000}",
        f"{'1' * 5000} m",
    ],
)
def test_hostile_texts_end_at_once(text: str) -> None:
    with pytest.raises(QuantityError):
        to_si(text, "m")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=20) | st.text("1mkPas*/^() -.eE°²", max_size=20).map("1 {}".format))
def test_any_text_is_a_number_or_a_message(text: str) -> None:
    try:
        value = to_si(text, "m/s^2")
    except QuantityError:
        return
    assert math.isfinite(value)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.floats(-1e15, 1e15, allow_subnormal=False))
def test_the_same_unit_changes_no_bit(number: float) -> None:
    assert to_si(f"{number!r} W/(m K)", "W/(m K)") == number


def test_numbers_of_the_command_line_may_leave_the_unit_out() -> None:
    assert si_or_number("9.33e9", "Pa") == 9.33e9 == si_or_number("9.33 GPa", "Pa")
    with pytest.raises(QuantityError):
        si_or_number("inf", "Pa")

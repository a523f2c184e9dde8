"""Plain-text tables and numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.report import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"),
        (12, "12"),
        (1234567, "1\u202f234\u202f567"),
        ([0.05, 1.1], "0.05, 1.1"),
        ([1, 2, 3, 4.5, 0], "0 … 4.5 (5 values)"),
        (None, "–"),
        (True, "yes"),
        ("a", "a"),
        (1e-10, "1e-10"),
    ],
)
def test_numbers_are_short(value: object, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.4211, "0.421 s"), (245, "4 min 05 s"), (59.99, "60 s"), (7380, "2 h 03 min"), (3599.8, "1 h 00 min")],
)
def test_times_read_like_a_clock(value: float, shown: str) -> None:
    assert text.seconds(value) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (1000, "0.977 KiB"), (1.5 * 2**30, "1.5 GiB")])
def test_sizes_are_binary(count: float, shown: str) -> None:
    assert text.size(count) == shown


def test_a_table_aligns_numbers_to_the_right() -> None:
    lines = text.table(("name", "value"), [("long name", 1.5), ("b", 54321)]).splitlines()
    assert lines == ["name        value", "---------  ------", "long name     1.5", "b          54\u202f321"]


cells = st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=12)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.lists(st.tuples(cells.filter(str.strip), cells), max_size=6))
def test_columns_start_at_the_same_place(rows: list[tuple[str, str]]) -> None:
    lines = text.table(("a", "b"), rows).splitlines()
    assert len(lines) == 2 + len(rows)
    width = max(1, *(len(first) for first, _ in rows)) if rows else 1
    assert lines[1].split("  ")[0] == "-" * width


def test_claims_say_which_one_fails() -> None:
    claim = {"id": "A05", "quantity": "k", "got": 0.7, "want": [0.1, 1.0], "tolerance": None, "basis": "book"}
    found = text.claims([{**claim, "passed": True}, {**claim, "id": "A06", "passed": False}]).splitlines()
    assert found[2].startswith("pass  A05")
    assert found[3].startswith("FAIL  A06")
    assert "0.1 to 1" in found[2]


def test_a_want_is_a_range_only_without_a_tolerance() -> None:
    assert text.wanted({"want": [1.0, 2.0]}) == "1 to 2"
    assert text.wanted({"want": [1.0, 2.0], "tolerance": 0.1}) == "1, 2"
    assert text.wanted({"want": 3.5, "tolerance": 0.1}) == "3.5"
    assert text.quantity({"quantity": "k", "options": {"edge": 16, "copies": [1, 2]}}) == "k (edge=16, copies=1, 2)"

"""Whatever a job file contains, the answer is a job or ``BadInput``."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from job_kit import VALID

from hpcms.errors import BadInput
from hpcms.job import load_job

PIECES = (
    '"', "'", '"""', "[", "]", "{", "}", "[[", "]]", "=", ".", ",", "\n", "#", "\\", "\t", "\x00", "é", "\ufeff", "1",
    "-", "nan", "-inf", "true", "1e400", "9" * 30, '"1 Pa"', '"-1 K"', "[]", "{}", "[1, 2]", "07:32:00", "x", "fine",
    "size", "model", "\r", "[[sites]]\n", "[size.ci]\n", "domain.kind", "0.0", '"1 m^-99"', "[[[[[[[[[[[[[[[[[[[[",
)  # fmt: skip
VALUES = st.sampled_from(
    ["1", "-1", "0", "1.5", "nan", "true", '""', '"x"', '"1 s"', '"1 Pa"', '"-5 degC"', "[]", "[1]", "{}", "{a=1}"]
)


def attempt(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.toml"
        path.write_bytes(data)
        with contextlib.suppress(BadInput):
            load_job(path, "ci")


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
@example(b"schema_version = 1\n" + b"\xff")
def test_random_bytes(data: bytes) -> None:
    attempt(data)
    attempt(VALID.encode() + data)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=3))
def test_mutations_of_a_valid_job(edits: list[tuple[int, int, str]]) -> None:
    text = VALID
    for place, length, piece in edits:
        text = text[:place] + piece + text[place + length :]
    attempt(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_any_value_in_the_place_of_another(data: Any) -> None:
    lines = VALID.split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        n = data.draw(st.integers(1, len(lines) - 1))
        if "=" in lines[n] and not lines[n].startswith("  "):
            lines[n] = f"{lines[n].split('=')[0]}= {data.draw(VALUES)}"
        elif data.draw(st.booleans()):
            lines[n] = ""
    attempt("\n".join(lines).encode())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from(["time", "time.steps", "domain.kind", "fine", "coarse.heat", "a..b", "", "size", "x" * 99]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers()),
        max_size=2,
    )
)
def test_any_overrides(overrides: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.toml"
        path.write_text(VALID)
        with contextlib.suppress(BadInput):
            load_job(path, overrides=overrides)

"""Errors become a message, a hint and an exit code in one place, and a traceback only ever goes to a file."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hpcms import errors
from hpcms.cli.failures import Guarded

RAISED: dict[str, BaseException] = {
    "bad": errors.BadInput("wrong", "right", ("a:1:1: k: wrong", "a:2:1: k: wrong")),
    "numerical": errors.NumericalFailure("diverged", "smaller steps"),
    "resources": errors.WorkersLost("no worker left"),
    "storage": errors.StorageFailure("bit flip"),
    "stopped": errors.Stopped("stopped at step 3", "hpcms resume RUN"),
    "memory": MemoryError(),
    "full": OSError(errno.ENOSPC, "No space left on device", "/data/x"),
    "denied": PermissionError(errno.EACCES, "Permission denied", "/data/x"),
    "bug": ZeroDivisionError("a bug"),
    "interrupt": KeyboardInterrupt(),
    "usage": click.UsageError("no such thing"),
}


@click.group(cls=Guarded)
def group() -> None:
    pass


@group.command("raise")
@click.argument("what")
@click.option("--json", is_flag=True)
def _raise(what: str, json: bool) -> None:
    raise RAISED[what]


@pytest.mark.parametrize(
    ("what", "code", "text"),
    [
        ("bad", 2, "wrong\n    hint: right"),
        ("numerical", 3, "error: diverged\n    hint: smaller steps"),
        ("resources", 4, "error: no worker left"),
        ("storage", 5, "error: bit flip"),
        ("stopped", 75, "error: stopped at step 3\n    hint: hpcms resume RUN"),
        ("memory", 4, "error: out of memory"),
        ("full", 5, "error: no space left: /data/x"),
        ("denied", 5, "error: not permitted: /data/x"),
        ("bug", 1, "hpcms failed unexpectedly: ZeroDivisionError"),
        ("interrupt", 130, "interrupted"),
        ("usage", 2, "no such thing"),
    ],
)
def test_codes_and_texts(what: str, code: int, text: str) -> None:
    result = CliRunner().invoke(group, ["raise", what])
    assert result.exit_code == code
    assert text in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_json_is_the_last_line_also_of_a_failure() -> None:
    result = CliRunner().invoke(group, ["raise", "bad", "--json"])
    found = json.loads(result.stdout.splitlines()[-1])
    problems = ["a:1:1: k: wrong", "a:2:1: k: wrong"]
    assert found == {"error": "wrong", "hint": "right", "problems": problems, "exit_code": 2}


def test_the_traceback_is_in_the_named_file() -> None:
    result = CliRunner().invoke(group, ["raise", "bug"])
    path = Path(result.stderr.split("the details are in ")[1].split(";")[0])
    text = path.read_text()
    path.unlink()
    assert "Traceback" in text
    assert "ZeroDivisionError: a bug" in text

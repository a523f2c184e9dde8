"""Progress: plain lines where nobody watches, a bar on a terminal, nothing left behind."""

from __future__ import annotations

import pytest

from hpcms.cli.output import amount, json_line, table
from hpcms.cli.progress import Progress


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(terminal=False) as progress:
        for done in range(1, 101):
            progress.step(done, 100, f"step {done}", eta=100.0 - done)
        progress.note("a step was rejected")
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "  1%  01:39 left  step 1"
    assert lines[-2:] == ["100%  00:00 left  step 100", "a step was rejected"]
    assert len(lines) < 10, "a hundred quick steps are not a hundred lines"


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(terminal=True)
    progress.step(1.5, 6.0, "t = 1 [d]", eta=3723.0)
    progress.note("rejected [red]")
    progress.close()
    progress.close()
    err = capsys.readouterr().err
    assert "25%" in err
    assert "1:02:03 left" in err
    assert "t = 1 [d]" in err
    assert "rejected [red]" in err


def test_times_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(terminal=False).step(0, 0, eta=float("inf"))
    assert capsys.readouterr().err == "100%\n"


def test_amounts_and_tables() -> None:
    assert [amount(v, "B") for v in (12, 25.3e9, 3e15)] == ["12 B", "25.3 GB", "3e+03 TB"]
    assert [amount(v, "s") for v in (0.5, 65, 7322)] == ["0.5 s", "1 min 5 s", "2 h 2 min"]
    assert amount(0.25, "") == "0.25"
    assert table([("a", "bcd"), ("ef", "")]) == "a   bcd\nef"
    assert table([]) == ""


def test_json_has_no_nan() -> None:
    assert json_line({"a": float("nan"), "b": (1, 2.0), "c": None}) == '{"a": null, "b": [1, 2.0], "c": null}'

"""The section on levels: what was saved, where each level answered, errors, flags, and why a level is off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpcms.monitor.choice import bit
from hpcms.report import levels, page, style
from hpcms.report.data import Data
from hpcms.report.style import looks
from tests.report import synthetic


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    """A run of three steps whose creeping model chooses levels; step 0 has no answers."""
    monkeypatch.setattr(style, "DPI", 40)
    plain = synthetic.footing_run(tmp_path, nx=3, ny=2, steps=3)
    assert plain.geometry is not None
    count = len(plain.geometry.sites["creep"])
    held = dict(plain.reader.arrays)  # type: ignore[attr-defined]
    for number in (1, 2, 3):
        level = np.ones(count)
        level[: 4 * number], level[0] = 3.0, 2.0
        flags = np.zeros(count)
        flags[[1, 2]] = bit("stress") + bit("scale_ratio")
        measured = np.full(count, -1.0)
        measured[3] = 0.002 * number
        values = {
            "level": level,
            "flags": flags,
            "measured_error": measured,
            "expected_error": np.where(level == 1, 0.001, -1.0),
        }
        held |= {(f"sites/creep/{name}", number): value for name, value in values.items()}
    steps = [dict(meta) for meta in plain.steps]
    for meta in steps[1:]:
        meta["fine"] = {"creep": {"solves": 10, "asked": 5 * count}}
    steps[2]["notes"] = {"creep": ["the linear level is off: all 7 regions below the threshold had to be solved"]}
    resolved = dict(plain.resolved)
    resolved["fine"] = {"creep": {"model": "levels", "scale_ratio": 0.25, "ellipticity": None}}
    arrays = frozenset(path for path, _ in held)
    return replace(plain, reader=synthetic.Held(held), arrays=arrays, steps=steps, resolved=resolved)


def test_the_section_says_what_was_saved_and_what_was_flagged(run: Data) -> None:
    count = len(run.geometry.sites["creep"]) if run.geometry else 0
    asked, told = 15 * count, levels.lead(run)
    assert f"{asked} answers took 30 fine solves, {asked / 30:.1f} times fewer" in told
    assert f"{asked - 30} were saved" in told
    assert "Scale separation fails in 2 regions: 1, 2 (scale ratio l |grad eps| / |eps| above 0.25)." in told
    assert "The ellipticity is not watched." in told
    assert levels.note(run) == (
        "creep: the linear level is off: all 7 regions below the threshold had to be solved (step 2)"
    )


def test_the_table_counts_regions_by_level_and_shows_the_largest_errors(run: Data) -> None:
    count = len(run.geometry.sites["creep"]) if run.geometry else 0
    assert [row[0] for row in levels.rows(run)] == ["1", "2", "3"]
    last = levels.rows(run)[-1]
    assert last[1:4] == (str(count - 12), "1", "11")
    assert last[4:7] == (str(5 * count), "10", "1")
    assert (float(last[7]), float(last[8])) == (0.006, 0.001)


def test_the_page_draws_levels_over_time_on_the_domain_and_the_errors(run: Data) -> None:
    with looks():
        section = next(s for s in page.sections(run) if s.title == "Levels")
    assert [p.name for p in section.pictures] == ["levels_creep", "level_map_creep", "level_errors_creep"]
    assert "rings: flagged" in section.pictures[1].caption
    assert section.note.startswith("creep: the linear level is off")


def test_a_run_without_levels_has_no_such_section(tmp_path: Path) -> None:
    assert levels.chosen(synthetic.footing_run(tmp_path, nx=2, ny=2, steps=2)) == []

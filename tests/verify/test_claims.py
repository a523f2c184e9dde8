"""Claims: judged right, never a crash, and moved by their inputs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from hpcms.job import load_job
from hpcms.verify import Context, evaluate, format_claim, judge, row_of, rows
from hpcms.verify import quantities as registry
from hpcms.verify.runner import shipped, verify

JOBS = Path(__file__).parents[2] / "jobs"
FOR_USERS = {"final_value", "tomogram_density"}  # measures for jobs of their own
DONE = ["U01", "U02", "U03", "U04", "U05", "A01", "A02", "A04", "A05", "A06", "A07", "A12", "A13", "A21", "B01", "B23",
        "B39", "C33", "C51"]  # fmt: skip


def changed(tmp_path: Path, name: str, *swaps: tuple[str, str], claims: str | None = None) -> Path:
    """A copy of a shipped job with other text; ``claims`` replaces all its claims."""
    text = (JOBS / name).read_text(encoding="utf-8")
    if claims is not None:
        text = text[: text.index("[[claims]]")] + claims
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def claim(quantity: str, want: object, tolerance: float | None = 1e-9, options: str = "") -> str:
    lines = [f'[[claims]]\nid = "A02"\nquantity = "{quantity}"\nwant = {want}\nbasis = "test"']
    lines += [f"tolerance = {tolerance}"] if tolerance is not None else []
    return "\n".join([*lines, f"options = {{ {options} }}", ""])


def results(path: Path, tmp_path: Path, further: bool = True) -> list[dict[str, object]]:
    return evaluate(Context(load_job(path, "ci"), tmp_path / "eval"), further)


def test_the_catalogue_has_every_row_once_with_a_short_title() -> None:
    found = rows()
    assert [sum(row.startswith(letter) for row in found) for letter in "ABCU"] == [28, 56, 54, 6]
    assert all(re.fullmatch(r"[ABCU]\d\d", row) for row in found)
    assert len(set(found.values())) == len(found)
    assert all(10 < len(title) < 75 and "\n" not in title for title in found.values())


@pytest.mark.parametrize(
    ("got", "want", "tolerance", "absolute", "passed"),
    [
        (1.0, 1.0, 0.0, False, True),
        (1.05, 1.0, 0.1, False, True),
        (1.2, 1.0, 0.1, False, False),
        (105.0, 100.0, 0.1, True, False),
        (1e-11, 0.0, 1e-10, False, True),
        (1e-9, 0.0, 1e-10, False, False),
        (2.0, (1.0, 3.0), None, False, True),
        (3.1, (1.0, 3.0), None, False, False),
        ([1.0, 2.0], (1.0, 3.0), None, False, True),
        ([1.0, 4.0], (1.0, 3.0), None, False, False),
        ([], 1.0, 1.0, False, False),
        (float("nan"), (0.0, 1.0), None, False, False),
        (float("inf"), 1.0, 1e300, True, False),
        ([1.0, float("nan")], 1.0, 0.1, False, False),
    ],
)
def test_judge(got: object, want: object, tolerance: float | None, absolute: bool, passed: bool) -> None:
    assert judge(got, want, tolerance, absolute) is passed  # type: ignore[arg-type]


def test_a_claim_that_cannot_be_computed_has_failed_and_says_why(tmp_path: Path) -> None:
    claims = claim("finl_values", 1) + claim("final_values", 1) + claim("final_values", 1, options='field = "nothing"')
    path = changed(tmp_path, "dialogue.toml", claims=claims)
    unknown, no_option, no_field = results(path, tmp_path)
    assert not any(r["passed"] for r in (unknown, no_option, no_field))
    assert "did you mean 'final_values'" in str(unknown["error"])
    assert "field" in str(no_option["error"])
    assert "coarse/nothing" in str(no_field["error"])
    assert format_claim(unknown).startswith("FAILED A02   dialogue: finl_values() is nothing, want 1 (1e-09 relative)")


def test_a_wrong_number_fails(tmp_path: Path) -> None:
    options = 'field = "value"'
    claims = claim("final_values", 0.6666666666666667, options=options) + claim("final_values", 0.66, options=options)
    right, wrong = results(changed(tmp_path, "dialogue.toml", claims=claims), tmp_path)
    assert right["passed"]
    assert not wrong["passed"]
    assert "error" not in wrong
    assert format_claim(right).startswith("ok     A02   dialogue: final_values(field=value) is [0.6666667,")


def test_claims_that_need_further_runs_are_left_to_verify(tmp_path: Path) -> None:
    path = JOBS / "dialogue.toml"
    assert [r["quantity"] for r in results(path, tmp_path, further=False)] == ["final_values", "directions"]
    assert len(results(path, tmp_path)) == 3


def test_verify_lists_what_is_missing_and_survives_a_job_that_it_cannot_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("schema_version = 1\ntitle = 3\n", encoding="utf-8")
    seen: list[str] = []
    found = verify([JOBS / "dialogue.toml", broken], progress=seen.append)
    assert seen == ["dialogue", "broken"]
    assert [c["passed"] for c in found["claims"]] == [True, True, True, False]
    assert found["missing"] == [row for row in rows() if row != "A02"]
    assert "title" in found["claims"][-1]["error"]


def test_inputs_move_the_answers_by_the_formula(tmp_path: Path) -> None:
    """10 % more on an input, and the answer is what the closed form says for it."""
    one = changed(tmp_path, "dialogue.toml", ("c = 0.5", "c = 0.55"), ("0.6666666666666667", str(1 / 1.55)),
                  ("want = 0.5", "want = 0.45"))  # fmt: skip
    assert all(r["passed"] for r in results(one, tmp_path / "one"))
    options = 'generator = "laminate", shape = [8, 4, 4], axis = 0, component = 0'
    harmonic_mean = claim("conductivity", 22 / 12, options=options)
    two = changed(tmp_path, "bounds_and_laminates.toml", ('"10 W/(m K)"', '"11 W/(m K)"'), claims=harmonic_mean)
    (harmonic,) = results(two, tmp_path / "two")
    assert harmonic["passed"], harmonic
    (masses,) = results(
        changed(tmp_path, "added_mass.toml", claims=claim("error_factor", 0.55, 1e-6, "mass_ratio = 0.55")),
        tmp_path / "three",
    )
    assert masses["passed"], masses


def test_every_claim_asks_a_quantity_with_options_that_it_takes() -> None:
    known, used = registry.names(), set()
    for path in shipped():
        for each in load_job(path, "ci").claims:
            assert each.quantity in known, (path.name, each.quantity)
            inspect.signature(registry.find(each.quantity)).bind(None, **each.options)
            used.add(each.quantity)
    assert sorted(set(known) - used - FOR_USERS) == [], "quantities that no job asks for"


def test_the_rows_that_are_done_have_claims() -> None:
    covered = {row_of(each.id) for path in shipped() for each in load_job(path, "ci").claims}
    assert set(DONE) <= covered

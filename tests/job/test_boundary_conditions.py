"""Boundary conditions are checked in the job file, before there is a mesh."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_kit import VALID, problems, write

from hpcms.job import load_job

HEAD, TAIL = VALID.split("[coarse.heat]")
TAIL = TAIL[TAIL.index("[coupling]") :].replace("heat_ksp_type", "f_ksp_type")
HELD = '{side = "bottom", fixed = ["x", "y"]}'


def job(model: str, entries: str, more: str = "", kind: str = "") -> str:
    initial = 'initial = "0 degC"' if model == "heat" else ""
    text = f'[coarse.f]\nmodel = "{model}"\nfine = "snow"\n{initial}\n{more}\nboundary = [\n{entries}\n]\n{TAIL}'
    return (HEAD if not kind else HEAD.replace('"rectangle"', f'"{kind}"')) + text


@pytest.mark.parametrize(
    ("model", "entries", "expected"),
    [
        ("heat", '{side = "tpo", flux = "1 W/m^2"}', 'boundary[0].side: no such side (got "tpo")'),
        ("heat", '{side = "top"}', "boundary[0]: gives no condition; one of temperature, flux"),
        (
            "heat",
            '{side = "top", flux = "1 W/m^2", temperature = "0 degC"}',
            "boundary[0]: conflicting boundary conditions: temperature and flux",
        ),
        (
            "heat",
            '{side = "top", flux = "1 W/m^2"},\n{side = "top", temperature = "0 degC"}',
            'boundary[1]: conflicting boundary conditions: prescribed and loaded on the "top" side, see boundary[0]',
        ),
        (
            "heat",
            '{side = "top", temperature = "1 degC"},\n{side = "top", temperature = "0 degC", between = ["1 m", "2 m"]}',
            "boundary[1]: conflicting boundary conditions: two temperatures",
        ),
        ("heat", '{side = "top", flux = "1 W/m^2", between = ["2 m", "1 m"]}', "must be [low, high] within 0 and 6 m"),
        ("heat", '{side = "left", flux = "1 W/m^2", between = ["0 m", "5 m"]}', "must be [low, high] within 0 and 4 m"),
        (
            "heat",
            '{side = "top", temperature = {mean = "5 K", amplitude = "11 K", period = "1 d"}}',
            "boundary[0].temperature: falls below 0 K",
        ),
        ("solid", f'{HELD}, {{side = "top", fixed = ["z"]}}', 'boundary[1].fixed: no such component (got "z")'),
        ("solid", f'{HELD}, {{side = "top"}}', "boundary[1]: gives no condition; one of fixed, pressure"),
        (
            "solid",
            f'{HELD},\n{{side = "bottom", pressure = "1 Pa"}}',
            "boundary[1]: conflicting boundary conditions: prescribed and loaded",
        ),
        (
            "solid",
            f'{HELD},\n{{side = "top", fixed = ["y"], pressure = "1 Pa"}}',
            "boundary[1]: conflicting boundary conditions: y is fixed where a pressure acts",
        ),
        ("solid", "", "the body is not held: 3 of its 3 rigid motions are free"),
        ("solid", '{side = "left", fixed = ["x"]}', "the body is not held: 1 of its 3 rigid motions are free"),
        (
            "solid",
            '{side = "left", fixed = ["y"]}, {side = "bottom", fixed = ["x"]}',
            "the body is not held: 1 of its 3 rigid motions are free",
        ),
    ],
)
def test_conditions_that_make_no_sense(tmp_path: Path, model: str, entries: str, expected: str) -> None:
    (found,) = problems(tmp_path, job(model, entries))
    assert expected in found
    assert ": coarse.f.boundary" in found


@pytest.mark.parametrize(
    ("model", "entries"),
    [
        ("heat", ""),
        ("heat", '{side = "top", flux = "1 W/m^2"}, {side = "top", flux = "2 W/m^2", between = ["1 m", "2 m"]}'),
        (
            "heat",
            '{side = "top", temperature = "1 degC", between = ["0 m", "3 m"]},'
            '{side = "top", temperature = "0 degC", between = ["3 m", "6 m"]}',
        ),
        ("solid", HELD),
        ("solid", '{side = "left", fixed = ["x"]}, {side = "bottom", fixed = ["y"]}'),
        ("solid", '{side = "left", fixed = ["y"]}, {side = "bottom", fixed = ["x"]}, {side = "top", fixed = ["x"]}'),
        ("solid", f'{HELD}, {{side = "top", fixed = ["x"], pressure = "1 Pa"}}'),
        ("solid", '{side = "bottom", fixed = ["x", "y"], between = ["1 m", "2 m"]}'),
    ],
)
def test_conditions_that_make_sense(tmp_path: Path, model: str, entries: str) -> None:
    assert load_job(write(tmp_path, job(model, entries))).coarse["f"].model == model


def test_a_steady_state_needs_a_temperature(tmp_path: Path) -> None:
    flux = '{side = "top", flux = "1 W/m^2"}'
    (found,) = problems(tmp_path, job("heat", flux, "steady = true"))
    assert "coarse.f.boundary: no temperature is given anywhere" in found
    load_job(write(tmp_path, job("heat", f'{flux}, {{side = "left", temperature = "0 degC"}}', "steady = true")))


def test_sides_of_an_interval(tmp_path: Path) -> None:
    def interval(entries: str) -> str:
        text = job("heat", entries, kind="interval").replace('size = ["6 m", "4 m"]', 'size = "6 m"')
        return text.replace("elements = [4, 3]", "elements = 4").replace("elements = [2, 2]", "elements = 2")

    load_job(write(tmp_path, interval('{side = "left", temperature = "0 degC"}')))
    assert "no such side" in problems(tmp_path, interval('{side = "top", temperature = "0 degC"}'))[0]
    parts = interval('{side = "left", temperature = "0 degC", between = ["0 m", "1 m"]}')
    assert "an end of an interval has no parts" in problems(tmp_path, parts)[0]


SITES = """
[[sites]]
name = "a"
path = [{ time = "0 s", strain = [0, 0, 0, 0, 0, 0] }, { time = "1 d", strain = [0.01, 0, 0, 0, 0, 0] }]
"""


def points(sites: str, more: str = "") -> str:
    text = HEAD.replace('"rectangle"', '"points"').replace('size = ["6 m", "4 m"]', "").replace("elements = [4, 3]", "")
    tail = TAIL.replace("domain.elements = [2, 2]", "")
    return f'{text}[coarse.f]\nmodel = "driver"\nfine = "snow"\n{more}\n{sites}\n{tail}'


def test_material_points_follow_their_paths(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, points(SITES)))
    assert job.sites[0].path[1].strain == (0.01, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert job.sites[0].path[1].time == 86400.0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (SITES, "", "sites: missing key"),
        (SITES, SITES + SITES, 'sites[1].name: used twice (got "a")'),
        ('time = "1 d"', 'time = "0 d"', "sites[0].path[1].time: must be after the entry before it"),
        ("[0.01, 0, 0, 0, 0, 0]", "[0.01, 0, 0]", "sites[0].path[1].strain: must have 6 entries"),
        ("[0.01, 0, 0, 0, 0, 0] }", "[0.01, 0, 0, 0, 0, 0], temperature = '1 K' }", "the first entry strain"),
        (", strain = [0.01, 0, 0, 0, 0, 0]", "", "sites[0].path[1]: imposes nothing"),
        ("strain = [0,", "gradient = [0,", "sites[0].path[0].gradient: must have 3 entries"),
        ("strain = [0, 0, 0, 0, 0, 0]", "gradient = [0, 0, 0]", "path[0].gradient[0]: missing unit"),
    ],
)
def test_paths_that_make_no_sense(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = points(SITES)
    assert old in text
    assert expected in "\n".join(problems(tmp_path, text.replace(old, new)))


def test_a_path_gives_what_its_field_follows(tmp_path: Path) -> None:
    found = problems(tmp_path, points(SITES, 'drives = "gradient"'))
    assert "sites[0].path[0]: gives no gradient" in found[0]

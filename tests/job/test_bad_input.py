"""Every kind of bad job file: the place, the key, the message and the hint, and nothing but ``BadInput``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from job_kit import VALID, changed, problems, write

from hpcms.errors import BadInput
from hpcms.job import load_job


def message(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load_job(path)
    assert caught.value.exit_code == 2
    return f"{caught.value} {caught.value.hint}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file" in message(tmp_path / "nothing.toml")
    assert "hpcms init" in message(tmp_path / "nothing.toml")
    assert "is a directory" in message(tmp_path)
    assert "cannot be read" in message(Path("a\x00b.toml")) or "no such file" in message(Path("a\x00b.toml"))
    assert "File name too long" in message(tmp_path / ("x" * 5000))
    path = tmp_path / "job.toml"
    path.write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert "job.toml:1:1: file: begins with a byte order mark" in message(path)
    path.write_bytes(b"a = 1\nb = '\xc3\xa4' # \xff\n")
    assert "job.toml:2:11: file: not UTF-8 (byte 0xff)" in message(path)
    path.write_bytes(b"# " + b"x" * 600_000)
    assert "larger than 512 KiB" in message(path)
    path.unlink()
    os.mkfifo(path)
    assert "no such file" in message(path), "a pipe would block for ever"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = [" * 2000, "nesting is deeper than 16"),
        ("a = " + "[" * 17 + "]" * 17, "job.toml:1:21: TOML: nesting is deeper than 16"),
        ("a" + ".a" * 100_000 + " = 1", "nesting is deeper than 16"),
        ("a = 1\nb = [1, 2", "job.toml:2:10: TOML: unclosed array"),
        ("a = \n", "job.toml:1:5: TOML: invalid value"),
        ("walltime = 01:00:00:00\n", "job.toml:1:20: TOML: expected newline or end of document"),
        ("x = ten\n", "text, quantities and dates stand in quotes"),
        ("x = 'a\ny = 1\n", "job.toml:1:5: TOML: a text is opened and not closed"),
        ("z = 'b'\nx = \"a\ny = 1\n", "job.toml:2:5: TOML: a text is opened and not closed"),
        ('x = """a\ny = 1\n', "job.toml:1:5: TOML: a text is opened and not closed"),
        ("x = '''a\ny = 1\n", "job.toml:1:5: TOML: a text is opened and not closed"),
        ("x = 1\n[a\n", "job.toml:2:3: TOML: "),
        ("x = 1 y = 2\n", "job.toml:1:7: TOML: expected newline"),
        ('x = "\\q"\n', "job.toml:1:"),
        ("= 1\n", "job.toml:1:1: TOML: invalid statement"),
        ("x = " + "9" * 5000, "job.toml:1:5: TOML: an integer is beyond 2^63"),
        ("x = 1\ny = 2\n  x = 3\n", "job.toml:3:3: x: duplicate key or table\n    hint: first given in line 1"),
        ("[a]\nx = 1\n[b]\n[a]\n", "job.toml:4:1: a: duplicate key or table\n    hint: first given in line 1"),
        ("[a]\nb.c = 1\n[a.b]\n", "job.toml:3:1: a.b: duplicate key or table"),
        ("p = { x = 1, x = 2 }\n", "job.toml:1:14: p.x: duplicate key or table"),
        ("p = { x = 1 }\n[p.y]\n", "job.toml:2:1: p.y: duplicate key or table"),
    ],
)
def test_texts_that_are_not_toml(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("schema_version = 1\n", "", "job.toml:1:1: schema_version: missing key"),
        ("schema_version = 1\n", "schema_version = 2\n", "job.toml:1:18: schema_version: is newer than this hpcms"),
        ("schema_version = 1\n", "schema_version = '1'\n", "job.toml:1:18: schema_version: must be an integer"),
        ("schema_version = 1\n", "schema_version = true\n", "job.toml:1:18: schema_version: must be an integer"),
        ("schema_version = 1\n", "schema_version = 0\n", "job.toml:1:18: schema_version: must be 1 (got 0)"),
        ('title = "A wall"\n', "", "job.toml:1:1: title: missing key"),
        ("[coupling]\n", "[copuling]\n", 'copuling: unknown key\n    hint: did you mean "coupling"?'),
        ("end = ", "endd = ", 'job.toml:10:1: time.endd: unknown key\n    hint: did you mean "end"?'),
        ("end = ", "endd = ", "job.toml:9:1: time.end: missing key"),
        ('end = "365 d"', "end = 365", "job.toml:10:7: time.end: missing unit (got 365)"),
        ('end = "365 d"', 'end = "365 dd"', 'job.toml:10:7: time.end: unknown unit "dd"'),
        ('end = "365 d"', 'end = "365 m"', "job.toml:10:7: time.end: wrong dimension"),
        ('end = "365 d"', 'end = "0 d"', 'job.toml:10:7: time.end: must be > 0 (got "0 d")'),
        ('end = "365 d"', 'end = "-1 d"', 'job.toml:10:7: time.end: must be > 0 (got "-1 d")'),
        ('end = "365 d"', "end = 01:00:00", "job.toml:10:7: time.end: must be a quantity in s (got 01:00:00)"),
        ("steps = 12", "steps = 0", "job.toml:11:9: time.steps: must be >= 1 and <= 1e+07 (got 0)"),
        ("steps = 12", "steps = 12.0", "job.toml:11:9: time.steps: must be an integer (got 12.0)"),
        ("steps = 12", "steps = true", "job.toml:11:9: time.steps: must be an integer (got true)"),
        ("steps = 12", 'steps = "12"', 'job.toml:11:9: time.steps: must be an integer (got "12")'),
        ("steps = 12", "steps = 9999999999999999999", "time.steps: must be below 2^63"),
        ("steps = 12", "steps = 1979-05-27", "time.steps: must be an integer (got 1979-05-27)"),
        ('min_step = "1 d"', 'min_step = "-1 d"', 'job.toml:12:12: time.min_step: must be > 0 (got "-1 d")'),
        ('min_step = "1 d"', 'min_step = "60 d"', "time.min_step: must not be longer than a step"),
        ('kind = "rectangle"', 'kind = "circle"', '"plate_with_hole" or "interval" or "points" (got "circle")'),
        (
            'kind = "rectangle"',
            "",
            'domain.kind: missing key\n    hint: one of "rectangle", "plate_with_hole", "interval"',
        ),
        ("elements = [4, 3]", "elements = [4]", "job.toml:7:12: domain.elements: must have 2 entries"),
        ("elements = [4, 3]", "elements = [4, 0]", "job.toml:7:16: domain.elements[1]: must be >= 1"),
        ("elements = [4, 3]", "elements = [99999, 99999]", "domain.elements: more than 100000000 elements"),
        ('size = ["6 m", "4 m"]', 'size = ["6 m", "-4 m"]', 'job.toml:6:16: domain.size[1]: must be > 0 (got "-4 m")'),
        ("shape = [4, 4, 4]", "shape = [4096, 4096, 4096]", "microstructure.shape: more than 1073741824 voxels"),
        ("shape = [4, 4, 4]", "shape = [4, 4, 4]\nwindow = 8", "window: has no meaning beside a generator"),
        ("shape = [4, 4, 4]\n", "", "microstructure.shape: missing key"),
        ("shape = [4, 4, 4]", 'shape = [4, 4, 4]\nimage = "a.tif"', "cannot have an image and a generator"),
        ('generator = "laminate"\n', "", "microstructure: needs an image or a generator"),
        ('"laminate"\n', '"sphere"\nfraction = 0.6\n', "fraction: must be <= 0.5235 for a sphere (got 0.6)"),
        ('phases = ["air", "ice"]', 'phases = ["ice", "ice"]', "microstructure.phases: names a phase twice"),
        ('phases = ["air", "ice"]', 'phases = ["air", "ic"]', 'no parameters for phase "ic"'),
        ('phases = ["air", "ice"]', 'phases = ["air", "ic"]', 'undefined phase\n    hint: did you mean "ic"?'),
        ('model = "conduction"', 'model = "conductoin"', "job.toml:20:9: fine.snow.model: unknown fine model"),
        ('model = "conduction"', 'model = "os:system"', "job.toml:20:9: fine.snow.model: is not the name of a model"),
        ('model = "conduction"', 'model = "my.py"', "files of your own need --plugins"),
        ('model = "conduction"\n', "", "job.toml:19:1: fine.snow.model: missing key"),
        ("tolerance = 1e-8", "tolerance = 1e-30", "job.toml:21:13: fine.snow.tolerance: must be >= 1e-15 and <= 0.1"),
        ("tolerance = 1e-8", "tolerance = 0.9", "job.toml:21:13: fine.snow.tolerance: must be >= 1e-15 and <= 0.1"),
        ("tolerance = 1e-6", "tolerance = 10", "coupling.tolerance: must be >= 1e-14 and <= 0.1 (got 10)"),
        ("tolerance = 1e-6", "tolerance = nan", "coupling.tolerance: must be finite (got nan)"),
        ("tolerance = 1e-6", "tolerance = -inf", "coupling.tolerance: must be finite (got -inf)"),
        ('model = "heat"', 'model = "haet"', "coarse.heat.model: no coarse field is called 'haet'"),
        ('fine = "snow"', 'fine = "snwo"', 'coarse.heat.fine: no such fine model (got "snwo")'),
        ('fine = "snow"', 'fine = "snwo"', 'did you mean "snow"?'),
        ('fine = "snow"', "fine = 3", "coarse.heat.fine: must be the name of a fine model (got 3)"),
        ('scheme = "nested"', 'scheme = "nest"', 'coupling.scheme: unknown scheme (got "nest")'),
        ('scheme = "nested"', 'scheme = "nested"\nrelaxation = {heta = 0.5}', "relaxation.heta: no such coarse field"),
        (
            'scheme = "nested"',
            'scheme = "nested"\nfields = "monolithic"\nrelaxation = 0.5',
            "coupling.relaxation: is for staggered fields",
        ),
        ('heat_ksp_type = "cg"', 'heat_ksp_view = "ascii:x"', "petsc.heat_ksp_view: is not allowed"),
        ("want = 0.39", "want = [1.0, 0.5]", "claims[0].want: must be [low, high] (got [1, 0.5])"),
        ("want = 0.39", "want = [0.5, 1.0]", "claims[0].tolerance: a range has no tolerance"),
        ("tolerance = 0.2\n", "", "claims[0].tolerance: missing key"),
        ("tolerance = 0.2\n", "tolerance = -0.2\n", "claims[0].tolerance: must be >= 0 (got -0.2)"),
        ("[size.ci]", "[size.cI]", 'size.cI: unknown size\n    hint: did you mean "ci"?'),
        ("time.steps = 4", "time.steps = 0", "job.toml:54:14: size.ci.time.steps: must be >= 1"),
        ("time.steps = 4", "time.stepps = 4", "job.toml:54:1: size.ci.time.stepps: unknown key"),
        ("time.steps = 4", "schema_version = 1", "size.ci.schema_version: cannot be changed by a size"),
        ("[size.ci]", '[[sites]]\nname = "a"\n[size.ci]', 'sites: belongs to domain.kind = "points"'),
    ],
)
def test_mistakes_and_their_places(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, changed(old, new)))


def test_all_problems_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = VALID.replace("steps = 12", "steps = 0").replace('"6 m"', '"-6 m"').replace("0.39", "nan")
    text = text.replace('conductivity = "2.107 W/(m K)"', "conductivity = 2.107")
    found = problems(tmp_path, text)
    assert [line.split(": ")[1] for line in found] == [
        "domain.size[0]", "time.steps", "fine.snow.phases.ice.conductivity", "claims[0].want",
    ]  # fmt: skip


def test_the_valid_job_is_valid(tmp_path: Path) -> None:
    assert load_job(write(tmp_path, VALID)).sizes == ("ci",)
    assert load_job(write(tmp_path, VALID.replace("\n", "\r\n"))).text.count("\r\n") == VALID.count("\n")


def test_staggered_options_on_a_monolithic_solver(tmp_path: Path) -> None:
    text = changed('scheme = "nested"', 'fields = "monolithic"').replace("heat_ksp_type", "heat_snes_type")
    (found,) = problems(tmp_path, text)
    assert "petsc.heat_snes_type: is for staggered fields" in found


def image_job(name: str) -> str:
    generator = 'generator = "laminate"\nshape = [4, 4, 4]'
    return changed(generator, f'image = "{name}"\nthreshold = "otsu"\nwindow = 4')


def test_images_stay_in_the_folder_of_the_job(tmp_path: Path) -> None:
    folder, outside = tmp_path / "jobs", tmp_path / "secret.tif"
    folder.mkdir()
    outside.write_bytes(b"x")
    (folder / "link.tif").symlink_to(outside)
    (folder / "loop.tif").symlink_to(folder / "loop.tif")
    (folder / "up").symlink_to(tmp_path)
    (folder / "good.tif").write_bytes(b"x")
    (folder / "alias.tif").symlink_to(folder / "good.tif")
    (folder / "folder.tif").mkdir()
    for name, expected in (
        ("../secret.tif", "must stay in the folder of the job"),
        (str(outside), "must stay in the folder of the job"),
        ("link.tif", "leads out of the folder of the job"),
        ("up/secret.tif", "leads out of the folder of the job"),
        ("loop.tif", "microstructure.image"),
        ("none.tif", "no such file: none.tif"),
        ("good.exe", "unknown kind of image"),
        ("folder.tif", "is a directory"),
        ("a\\u0000b.tif", "is no file name"),
        ("", "unknown kind of image"),
    ):
        (found,) = problems(folder, image_job(name))
        assert expected in found, name
    for name in ("good.tif", "alias.tif"):
        assert load_job(write(folder, image_job(name))).images() == (name,)


def test_a_window_is_needed_for_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"x")
    (found,) = problems(tmp_path, image_job("a.npy").replace("window = 4", ""))
    assert "microstructure.window: missing key" in found


def test_a_bad_file_has_no_side_effect(tmp_path: Path) -> None:
    problems(tmp_path, changed("steps = 12", "steps = 0"))
    assert [p.name for p in tmp_path.iterdir()] == ["job.toml"]

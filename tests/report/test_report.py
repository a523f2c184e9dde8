"""The whole report of invented runs: what is there is shown, what is missing is no error."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from hpcms.contracts import TaskRecord
from hpcms.report import cells, history, page, style, work
from hpcms.report.data import Data
from hpcms.report.style import looks
from hpcms.report.write import write
from tests.report import synthetic


@pytest.fixture(autouse=True, scope="module")
def _coarse_pixels() -> Iterator[None]:
    """Figures with fewer pixels: the tests look at what is there, not at how sharp it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 40)
        yield


VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags close, and collects headings, images and links to elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.outside: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(found)
        self.anchors |= {found["id"]} if found.get("id") else set()
        for key in ("src", "href"):
            value = found.get(key) or ""
            if value.startswith("#"):
                self.links.add(value[1:])
            elif value and not value.startswith("data:"):
                self.outside.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def footing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rundir = tmp_path_factory.mktemp("footing")
    write(synthetic.footing_run(rundir, nx=4, ny=3, steps=4))
    return rundir


def test_the_page_stands_alone(footing: Path) -> None:
    found = read(footing / "report.html")
    assert found.open == []
    assert found.outside == []
    assert found.links <= found.anchors
    html = (footing / "report.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_every_section_of_a_full_run_is_there(footing: Path) -> None:
    found = read(footing / "report.html")
    assert found.headings == [
        "Claims", "Settlement", "Fields at the end", "Worst regions", "Over time", "Spread of the regions",
        "Tasks on workers", "Efficiency", "Convergence", "Job file",
    ]  # fmt: skip
    assert "could not be drawn" not in found.text
    assert "1 of 3 claims does not hold" in found.text
    assert '<b> & "quotes" stay as they are' in found.text  # the job text is shown, not interpreted


def test_pictures_are_embedded_with_words_and_kept_as_files(footing: Path) -> None:
    found = read(footing / "report.html")
    files = {path.read_bytes() for path in (footing / "figures").glob("*.png")}
    for image in found.images:
        png = base64.b64decode(str(image["src"]).removeprefix("data:image/png;base64,"))
        assert png.startswith(b"\x89PNG")
        assert png in files
        assert len(str(image["alt"])) > 20
    assert len(files) == len(found.images) + 1  # and the overview for the README
    assert (footing / "figures" / "overview.png").stat().st_size > 5_000
    assert (footing / "coarse.vtkhdf").is_file()
    assert (footing / "fine_worst.vtkhdf").is_file()


def test_the_same_run_gives_the_same_page(footing: Path, tmp_path: Path) -> None:
    again = write(synthetic.footing_run(tmp_path, nx=4, ny=3, steps=4))
    assert again.read_bytes() == (footing / "report.html").read_bytes()


def test_the_first_window_is_the_most_loaded_region(tmp_path: Path) -> None:
    data = synthetic.footing_run(tmp_path, nx=4, ny=3, steps=2)
    worst = cells.worst_cells(data)
    stress = data.read("sites/creep/stress")
    assert worst[0].region == int(np.argmax(np.abs(stress[:, 1])))
    assert worst[0].load > worst[1].load > worst[2].load
    assert worst[0].creep.shape == worst[0].phase.shape
    assert not worst[0].creep[worst[0].void].any()
    assert worst[0].fractions == f"ice {100 * worst[0].phase.mean():.0f} %"


def test_labels_follow_the_order_of_the_models_own_phases(tmp_path: Path) -> None:
    data = synthetic.footing_run(tmp_path, nx=2, ny=2, steps=1)
    phases = {"ice": {"youngs_modulus": 9.33e9}, "air": {"youngs_modulus": 0.0}}
    swapped = cells.worst_cells(replace(data, resolved={**data.resolved, "fine": {"creep": {"phases": phases}}}))[0]
    assert np.array_equal(swapped.void, swapped.phase == 1)
    assert swapped.fractions == f"ice {100 * np.mean(swapped.phase == 0):.0f} %"
    unnamed = cells.worst_cells(replace(data, resolved={}))[0]
    assert not unnamed.void.any()
    assert "phase 0" in unnamed.fractions


MISSING = (
    (("coarse/",), "Fields at the end", True),  # the stress at the sites is still there
    (("coarse/displacement", "fine_creep/creep_strain"), "Worst regions", True),
    (("sites/",), "Worst regions", False),
    (("coarse/", "sites/", "fine_"), "Fields at the end", False),
)


@pytest.mark.parametrize(("parts", "heading", "there"), MISSING)
def test_a_missing_piece_is_no_error(tmp_path: Path, parts: tuple[str, ...], heading: str, there: bool) -> None:
    data = synthetic.without(synthetic.footing_run(tmp_path, nx=2, ny=2, steps=1), *parts)
    found = read(write(data))
    assert (heading in found.headings) is there
    assert "could not be drawn" not in found.text


def test_a_run_that_has_just_begun_says_so(tmp_path: Path) -> None:
    found = read(write(Data(tmp_path, job_text="title = 1")))
    assert "No step is committed yet" in found.text
    assert found.headings == ["Job file"]
    start = synthetic.footing_run(tmp_path, nx=2, ny=2, steps=1)
    start = replace(start, steps=start.steps[:1], summary={}, records=())
    assert "could not be drawn" not in read(write(start)).text


def test_data_of_an_unknown_form_become_a_note(tmp_path: Path) -> None:
    data = synthetic.footing_run(tmp_path, nx=2, ny=2, steps=1)
    odd = replace(data, steps=[*data.steps[:-1], {**data.steps[-1], "sweeps": [{"residual": {}}]}])
    found = read(write(odd))
    assert "This part could not be drawn" in found.text
    assert "Efficiency" in found.headings


def many_points(rundir: Path) -> Data:
    return synthetic.points_run(rundir, count=40)


@pytest.mark.parametrize(
    ("make", "headings"),
    [
        (synthetic.points_run, ["Material points", "Convergence"]),
        (synthetic.interval_run, ["Fields"]),
        (many_points, ["Material points", "Spread of the regions", "Convergence"]),
    ],
)
def test_other_kinds_of_jobs(tmp_path: Path, make: Callable[[Path], Data], headings: list[str]) -> None:
    found = read(write(make(tmp_path)))
    assert found.headings == headings
    assert "could not be drawn" not in found.text


def test_constant_fields_and_extreme_numbers_are_drawn(tmp_path: Path) -> None:
    data = synthetic.footing_run(tmp_path, nx=2, ny=2, steps=1)
    for change in (np.zeros_like, lambda a: a * 1e30):
        held = {key: a if a.dtype == np.uint8 else change(a) for key, a in data.reader.arrays.items()}
        flat = replace(data, reader=synthetic.Held(held))
        assert "could not be drawn" not in read(write(flat)).text


@pytest.mark.parametrize("state", ["done", "running", "stopped", "failed", "interrupted"])
def test_the_state_of_the_run_is_told(tmp_path: Path, state: str) -> None:
    data = replace(synthetic.interval_run(tmp_path), state=state, why="because <so>")
    html = page.render(data, [])
    assert re.search(rf'class="status {state}">{state}<', html)
    assert "because &lt;so&gt;" in html


def test_lanes_name_the_driver_and_number_the_workers() -> None:
    def record(kind: str, worker: str, start: float) -> TaskRecord:
        return TaskRecord(f"{kind}/{start}", kind, worker, start, start + 1, 1.0)

    tasks = [record("fine", "b:9", 2.0), record("fine", "a:7", 3.0), record("coarse", "z:1", 5.0)]
    assert work.lanes(tasks) == {"z:1": "driver", "b:9": "worker 1", "a:7": "worker 2"}
    assert list(work.lanes([record("fine", "z:1", 1.0), record("coarse", "z:1", 2.0)]).values()) == ["driver"]


def test_many_workers_are_counted_instead_of_drawn(tmp_path: Path) -> None:
    data = synthetic.footing_run(tmp_path, nx=3, ny=2, steps=1, workers=work.LANES + 5)
    with looks():
        made = work.timeline(data)
    assert made is not None
    assert "Tasks at work over time" in made.caption


def test_each_point_is_drawn_in_the_component_that_it_moves_in(tmp_path: Path) -> None:
    data = synthetic.points_run(tmp_path, count=2, steps=3)
    held = {key: values.copy() for key, values in data.reader.arrays.items()}
    for (path, _), values in held.items():
        if path.endswith("strain"):
            values[1] = np.roll(values[1], 5)  # the second point is sheared
    with looks():
        made = history.paths(replace(data, reader=synthetic.Held(held)))
    assert [found.name for found in made] == ["path_metal_11", "path_metal_12"]
    assert "point 1 of metal" in made[1].caption

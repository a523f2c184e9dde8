"""The report of a run that was written by the real store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hpcms.contracts import Arrays
from hpcms.errors import StorageFailure
from hpcms.report import style, write_report
from hpcms.report.data import Data
from hpcms.report.load import load
from hpcms.store.commit import Layout, RunStore, write_fine
from tests.report import synthetic

BATCH = 8


def commit(data: Data, rundir: Path) -> Path:
    """Store the invented run as the engine would."""
    layout = Layout(
        nodes=data.geometry.points, sites=data.geometry.sites, batch=dict.fromkeys(data.geometry.sites, BATCH),
        static=("phase",), constants={"coarse/cells": data.geometry.cells},
    )  # fmt: skip
    with RunStore.create(rundir, data.job_text, data.resolved, 1, layout) as store:
        phase = data.read("fine_creep/phase")
        for number, step in zip(data.numbers, data.steps, strict=True):
            state: Arrays = {"phase": phase, "creep_strain": _at_rest(data, number)}
            entries = []
            for batch, low in enumerate(range(0, len(phase), BATCH)):
                rows = (low, min(low + BATCH, len(phase)))
                part = {name: values[slice(*rows)] for name, values in state.items()}
                entries += write_fine(store.sink(number), "creep", batch, rows, part)
            coarse = {name: data.read(f"coarse/{name}", number) for name in ("temperature", "displacement")}
            answers = {} if number == 0 else {fine: _answers(data, fine, number) for fine in data.fines}
            store.commit(
                number, step["t"], coarse, answers, entries, {k: step[k] for k in ("dt", "sweeps", "fine", "summary")}
            )
        store.append_records(data.records)
    (rundir / "summary.json").write_text(json.dumps(data.summary), encoding="utf-8")
    return rundir


def _at_rest(data: Data, number: int) -> np.ndarray:
    last = data.read("fine_creep/creep_strain")
    return np.zeros_like(last) if number == 0 else data.read("fine_creep/creep_strain", number)


def _answers(data: Data, fine: str, number: int) -> Arrays:
    return {name: data.read(f"sites/{fine}/{name}", number) for name in data.answers(fine)}


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return synthetic.footing_run(tmp_path_factory.mktemp("run"), nx=3, ny=1, steps=2)


@pytest.fixture(scope="module")
def rundir(invented: Data) -> Path:
    return commit(invented, invented.rundir)


def test_what_was_committed_is_what_the_view_shows(invented: Data, rundir: Path) -> None:
    found = load(rundir)
    assert found.arrays == invented.arrays
    assert found.numbers == invented.numbers
    assert np.array_equal(found.times, invented.times)
    assert list(found.records) == list(invented.records)
    assert found.resolved == invented.resolved
    assert found.job_text == invented.job_text
    for path in found.arrays:
        for number in found.numbers[1:]:
            assert np.array_equal(found.read(path, number), invented.read(path, number))
    assert np.array_equal(found.geometry.points, invented.geometry.points)
    assert np.array_equal(found.geometry.cells, invented.geometry.cells)
    assert np.array_equal(found.geometry.sites["creep"], invented.geometry.sites["creep"])


def test_the_start_has_no_answers(rundir: Path) -> None:
    found = load(rundir)
    assert found.read("sites/creep/stress", 0) is None
    assert found.read("coarse/temperature", 0) is not None
    history = found.history("sites/creep/stress")
    assert history is not None
    assert np.array_equal(history.t, found.times[1:])


def test_one_region_is_read_alone(invented: Data, rundir: Path) -> None:
    found = load(rundir).read_region("fine_creep/creep_strain", 9)
    assert np.array_equal(found, invented.read("fine_creep/creep_strain")[9])


def test_a_report_is_written_beside_the_run(rundir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 40)
    before = load(rundir).state_hash
    path = write_report(rundir)
    assert path == rundir / "report.html"
    html = path.read_text(encoding="utf-8")
    assert "could not be drawn" not in html
    assert "Worst regions" in html
    assert load(rundir).state_hash == before


def test_status_is_what_the_run_said_of_itself(rundir: Path) -> None:
    assert load(rundir).status == "done"  # the end was reached
    status = rundir / "status.json"
    for said, expected in (
        ({"state": "stopped", "why": "walltime"}, "stopped"),
        ({"state": "running", "pid": 2**30}, "interrupted"),
    ):
        status.write_text(json.dumps(said), encoding="utf-8")
        assert load(rundir).status == expected
    status.write_text("{ cut off", encoding="utf-8")
    assert load(rundir).status == "done"
    status.unlink()


def test_a_damaged_store_is_an_error_and_no_page(
    invented: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "DPI", 40)
    run = commit(invented, tmp_path / "run")
    chunk = sorted((run / "state.zarr/coarse/temperature").glob("c.2*"))[0]
    body = bytearray(chunk.read_bytes())
    body[len(body) // 2] ^= 1
    chunk.write_bytes(bytes(body))
    with pytest.raises(StorageFailure, match="temperature"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure, match="holds no committed step"):
        write_report(tmp_path)

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from store_kit import CONTEXT, PHASE, SITES, advance, answers, coarse, create, drive, fine, layout

import hpcms
from hpcms.errors import StorageFailure
from hpcms.store.run import OpenedRun, open_run


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> OpenedRun:
    root = tmp_path_factory.mktemp("run")
    with create(root) as store:
        for step in range(3):
            advance(store, step)
    return open_run(root)


def whole(step: int, name: str) -> np.ndarray:
    return np.concatenate([fine(step, batch)[name] for batch in range(3)])


def test_the_head_the_job_and_the_steps_are_told(opened: OpenedRun) -> None:
    assert (opened.head.step, opened.head.t, opened.seeds) == (2, 20.0, 7)
    assert opened.job_text == "title = 'kit'\n"
    assert opened.resolved == {"title": "kit", "size": [1, 2]}
    steps = opened.steps()
    assert [(s["step"], s["t"]) for s in steps] == [(0, 0.0), (1, 10.0), (2, 20.0)]
    assert steps[2]["state_hash"] == opened.head.state_hash
    assert opened.meta(1)["sweeps"] == [{"residual": 1e-7}]
    assert {"time", "coarse/x", "coarse/cells", "sites/creep/stress", "fine_creep/phase"} <= opened.paths
    assert opened.records() == []


def test_arrays_regions_and_histories_are_read(opened: OpenedRun) -> None:
    assert np.array_equal(opened.read("coarse/displacement", 1), coarse(1)["displacement"])
    assert np.array_equal(opened.read("sites/creep/tangent"), answers(2)["creep"]["tangent"])
    assert np.array_equal(opened.read("fine_creep/phase", 0), PHASE)
    for region in range(SITES):
        found = opened.history("creep", 1, region)
        assert sorted(found) == ["creep_strain", "phase"]
        assert np.array_equal(found["creep_strain"], whole(1, "creep_strain")[region : region + 1])
        assert np.array_equal(found["phase"], PHASE[region : region + 1])
        assert np.array_equal(opened.read_region("sites/creep/stress", region), answers(2)["creep"]["stress"][region])


def test_what_is_not_there_is_a_plain_error(opened: OpenedRun, tmp_path: Path) -> None:
    for read, message in (
        (lambda: opened.read("coarse/nothing"), "array coarse/nothing: not in step 2; this run holds"),
        (lambda: opened.read("sites/creep/stress", 0), "array sites/creep/stress: not in step 0"),
        (lambda: opened.read("coarse/temperature", 3), "step 3 is not committed: steps 0 to 2 are"),
        (lambda: opened.read("coarse/temperature", -1), "step -1 is not committed"),
        (lambda: opened.history("creep", 1, SITES), "region 7 does not exist"),
        (lambda: opened.history("flow", 1, 0), "the run holds no state of it"),
        (lambda: open_run(tmp_path), "holds no committed step"),
        (lambda: open_run(tmp_path / "nowhere"), "no such run"),
        (lambda: open_run(opened.root, generation=9), r"manifests/00000009\.json: missing"),
    ):
        with pytest.raises(StorageFailure, match=message):
            read()


def test_the_tree_has_units_coordinates_and_scales(opened: OpenedRun) -> None:
    tree = opened.tree
    assert {"/coarse", "/sites/creep", "/fine_creep"} <= set(tree.groups)
    temperature = tree["coarse/temperature"]
    assert temperature.dims == ("step", "node")
    assert temperature.attrs["units"] == "K"
    assert temperature.coords["time"].values.tolist() == [0.0, 10.0, 20.0]
    assert {temperature.coords[name].attrs["units"] for name in ("x", "y")} == {"m"}
    assert temperature.coords["time"].attrs["units"] == "s"
    assert np.array_equal(tree["coarse/x"].values, layout().nodes[:, 0])
    assert tree["sites/creep/stress"].dims == ("step", "site", "mandel")
    assert tree["sites/creep/tangent"].dims == ("step", "site", "mandel", "mandel_2")
    assert tree["coarse/cells"].dims == ("cells_item", "n4")  # not the array's own name: that would be an index
    assert tree["fine_creep/phase"].dims == ("region", "voxel_x", "voxel_y", "voxel_z")
    assert [entry["asset"] for entry in tree.attrs["multiscales"]["layout"]] == ["fine_creep", "coarse"]


def test_the_tree_has_the_values_and_nan_before_an_array_began(opened: OpenedRun) -> None:
    tree = opened.tree
    for step in range(3):
        assert np.array_equal(tree["coarse/displacement"][step].values, coarse(step)["displacement"])
        assert np.array_equal(tree["fine_creep/creep_strain"][step].values, whole(step, "creep_strain"))
    assert np.array_equal(tree["fine_creep/creep_strain"][1, 5].values, whole(1, "creep_strain")[5])
    stress = tree["sites/creep/stress"].values
    assert np.isnan(stress[0]).all()
    assert np.array_equal(stress[2], answers(2)["creep"]["stress"])


def test_the_tree_is_lazy(opened: OpenedRun, tmp_path: Path) -> None:
    root = Path(shutil.copytree(opened.root, tmp_path / "run"))
    for path in (root / "state.zarr/fine_creep").rglob("c.*"):
        path.unlink()
    tree = open_run(root).tree
    assert tree["coarse/temperature"].values.shape == (3, 12)
    with pytest.raises(StorageFailure, match="missing"):
        _ = tree["fine_creep/creep_strain"].values


def test_nothing_can_be_written_through_the_tree(opened: OpenedRun) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in opened.root.rglob("*"))
    tree = opened.tree
    tree["coarse/temperature"].load()[0] = 1.0
    assert np.array_equal(opened.read("coarse/temperature", 0), coarse(0)["temperature"])
    assert sorted((path, path.stat().st_mtime_ns) for path in opened.root.rglob("*")) == before


def test_plain_xarray_reads_the_store_on_disk(opened: OpenedRun) -> None:
    with xr.open_datatree(opened.root / "state.zarr", engine="zarr", consolidated=False) as tree:
        assert tree["coarse/temperature"].shape == (3, 12)
        assert set(tree["coarse"].coords) >= {"x", "y"}
        assert np.array_equal(tree["coarse/temperature"].values[2], coarse(2)["temperature"])
        assert np.array_equal(tree["fine_creep/creep_strain"].values[1], whole(1, "creep_strain"))
        assert tree["time"].values.tolist() == [0.0, 10.0, 20.0]


def test_an_earlier_generation_is_read_as_it_was(opened: OpenedRun) -> None:
    earlier = open_run(opened.root, generation=1)
    assert earlier.head.step == 1
    assert earlier.tree["coarse/temperature"].shape == (2, 12)


def test_the_package_offers_it(opened: OpenedRun) -> None:
    assert hpcms.open_run(opened.root).head == opened.head


def endless(root: Path) -> None:
    drive(root, 10_000, keep=2)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Path]:
    """A run on which a driver of its own process works."""
    process = CONTEXT.Process(target=endless, args=(tmp_path,), daemon=True)
    process.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "head.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    yield tmp_path
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()


def test_a_run_opened_earlier_stays_as_it_was(tmp_path: Path) -> None:
    with create(tmp_path, keep=2) as store:
        advance(store, 0)
        run = open_run(tmp_path)
        for step in range(1, 5):
            advance(store, step)
    assert run.head.step == 0
    assert run.tree["coarse/temperature"].shape == (1, 12)
    assert run.verify() == []
    assert fine_read(run, 0) == "pruned"


def fine_read(run: OpenedRun, step: int) -> str:
    try:
        found = run.read("fine_creep/creep_strain", step)
    except StorageFailure as error:
        return "pruned" if "was pruned" in str(error) else str(error)
    return "right" if np.array_equal(found, whole(step, "creep_strain")) else "wrong"


def test_a_reader_beside_a_driver_sees_whole_steps_only(busy: Path) -> None:
    seen = []
    deadline = time.monotonic() + 60
    while len(set(seen)) < 4 and time.monotonic() < deadline:
        run = open_run(busy)
        step = run.head.step
        seen.append(step)
        assert np.array_equal(run.read("coarse/temperature", step), coarse(step)["temperature"])
        assert run.tree["coarse/temperature"].shape == (step + 1, 12)
        assert fine_read(run, step) in ("right", "pruned")  # the driver may be two steps on meanwhile
        assert run.verify() == []
    assert len(set(seen)) >= 4
    assert seen == sorted(seen)


def test_killed_at_random_moments_it_goes_on_to_the_same_hash(tmp_path: Path) -> None:
    """Twenty seeded moments; each driver takes up what the one before left."""
    with create(tmp_path / "undisturbed", keep=2) as store:
        hashes = [advance(store, step).state_hash for step in range(6)]
    rng = np.random.default_rng(11)
    root, rounds, done = tmp_path / "run", 0, 0
    for _ in range(20):
        process = CONTEXT.Process(target=drive, args=(root, 5, 2))
        process.start()
        process.join(float(rng.uniform(0.02, 0.25)))
        process.kill()
        process.join()
        if (root / "head.json").exists():
            run = open_run(root)
            assert run.head.state_hash == hashes[run.head.step]
            assert run.verify() == []
            if run.head.step == 5:
                rounds, done = rounds + 1, done + 1
                root = tmp_path / f"run{rounds}"
    drive(root, 5, 2)
    assert [step["state_hash"] for step in open_run(root).steps()] == hashes

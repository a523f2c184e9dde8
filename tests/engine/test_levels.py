"""Runs whose regions are answered at different levels: the same bits with workers and after a resumption, and zoomed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_job import cut_off

from hpcms import engine
from hpcms.engine.build import domain_of
from hpcms.job import load_job
from hpcms.monitor.choice import bit
from hpcms.monitor.indicators import scale_ratio
from hpcms.problem.mesh import build_mesh
from hpcms.store.run import open_run

PLATE = Path(__file__).parents[2] / "jobs" / "plate_with_hole.toml"
GOAL = {"at": ["0 mm", "1 mm"], "component": "y", "tolerance": "20 nm"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plate as a job file of its own: small, with groups and spot checks."""
    text = PLATE.read_text()
    text = text[: text.index("[size.ci]")].replace("elements = [20, 12]", "elements = [4, 4]")
    text = text.replace('stress = "65 MPa"', 'stress = "65 MPa"\nsimilar = 0.1\nanchors = 2').replace("1000", "16")
    path = tmp_path_factory.mktemp("plate") / "job.toml"
    path.write_text(text)
    return path


def test_the_levels_are_the_same_for_any_workers(small: Path, tmp_path: Path) -> None:
    found = {}
    for on in ("inline", "local:2"):
        out, own = tmp_path / on.replace(":", ""), {"fine.where_needed.goal": GOAL}
        found[on] = engine.run(small, on=on, out=out, overrides=own).state_hash
    assert found["inline"] == found["local:2"]
    levels = open_run(tmp_path / "inline").read("sites/where_needed/level")
    assert set(np.unique(levels)) >= {1.0, 3.0}


def test_regions_without_separation_of_scales_are_named_for_any_batches(small: Path, tmp_path: Path) -> None:
    own = {"fine.where_needed.length": "0.2 mm", "fine.where_needed.scale_ratio": 0.4, "coupling.batch": 5}
    engine.run(small, on="inline", out=tmp_path / "run", overrides=own)
    run, job = open_run(tmp_path / "run"), load_job(small, overrides=own)
    mesh = build_mesh(domain_of(job))
    strain, flags = (run.read(f"sites/where_needed/{name}") for name in ("strain", "flags"))
    above = scale_ratio(mesh.sites, strain, 2e-4) > 0.4
    assert 0 < above.sum() < len(above)
    assert np.array_equal(flags.astype(int) & bit("scale_ratio") > 0, above)
    assert np.all(run.read("sites/where_needed/level")[above] == 3)


def test_a_run_that_was_cut_off_goes_on_to_the_same_bits(small: Path, tmp_path: Path) -> None:
    whole = engine.run(small, on="inline", out=tmp_path / "whole")
    out = cut_off(small, tmp_path / "cut", after=1)
    assert engine.resume(out).state_hash == whole.state_hash
    zoomed = engine.zoom(out, region=15, step=2)["models"]["where_needed"]
    assert zoomed["ok"]
    assert zoomed["differences"]["stress"] < 1e-2

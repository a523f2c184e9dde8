"""One region, solved again alone from what the store holds of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_job import run_command

from hpcms import engine
from hpcms.engine.summary import Summary
from hpcms.folded import unfolded
from hpcms.store.run import open_run

TOLERANCE = 2e-7  # twice that of the job's fine models: each of the two solves may use its own
TANGENT = 2e-3  # twice the tolerance on the energy of the tangent's fields


@pytest.mark.parametrize(("region", "step"), [(0, 1), (5, 4), (7, 2)])
def test_alone_as_among_the_others(finished: Summary, tmp_path: Path, region: int, step: int) -> None:
    found = engine.zoom(finished.rundir, region, step, out=tmp_path)
    assert set(found["models"]) == {"conduction", "creep"}
    run = open_run(finished.rundir)
    for name, one in found["models"].items():
        assert one["ok"]
        assert one["energy_gap"] < 1e-10
        stored = run.read_region(f"sites/{name}/{'stress' if name == 'creep' else 'flux'}", region, step)
        alone = np.array(one["answers"]["stress" if name == "creep" else "flux"])
        assert np.max(np.abs(alone - stored)) <= TOLERANCE * np.max(np.abs(stored))
        for answer, difference in one["differences"].items():
            assert difference <= (TANGENT if answer.startswith("tangent") else TOLERANCE), answer
        saved = np.load(one["file"])
        assert np.array_equal(saved["state_phase"], run.history(name, step, region)["phase"][0])
    state = np.load(found["models"]["creep"]["file"])["state_creep_strain"]
    stored = run.history("creep", step, region)["creep_strain"][0]
    assert stored.size == state.size // 2  # half of the mirrored cell says all; zoom writes the whole
    size, want = np.linalg.norm(state, axis=(-1, -2)), unfolded(np.linalg.norm(stored, axis=(-1, -2)), state.shape)
    assert np.max(np.abs(size - want)) <= 1e-5 * np.max(want)
    assert np.any(stored)


@pytest.mark.parametrize(("region", "step"), [(8, 1), (0, 0), (0, 5)])
def test_what_is_not_there_is_refused(finished: Summary, region: int, step: int) -> None:
    done = run_command("zoom", finished.rundir, "--region", region, "--step", step)
    assert done.exit_code == 2
    assert "is not there" in done.stderr
    assert "hint" in done.stderr

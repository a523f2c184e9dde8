"""What `hpcms status` says of a run in each of its states. Running and stopped: see test_killed_and_resumed.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_job import At, cut_off, run_command

from hpcms import engine
from hpcms.engine.summary import Summary
from hpcms.errors import BadInput, StorageFailure


def test_done(finished: Summary) -> None:
    said = run_command("status", finished.rundir, "--json")
    assert said.exit_code == 0
    known = json.loads(said.stdout.splitlines()[-1])
    assert known["state"] == "done"
    assert known["committed"]["state_hash"] == finished.state_hash
    assert known["committed"]["step"] == 4


def test_running(job: Path) -> None:
    out, seen = job.parent / "out", []
    engine.run(job, out=out, progress=At(2, lambda: seen.append(engine.status(out))))
    assert seen[0]["state"] == "running"
    assert seen[0]["committed"]["step"] == 2
    assert seen[0]["seconds_left"] > 0
    assert engine.status(out)["state"] == "done"


def test_failed(job: Path) -> None:
    known = engine.status(cut_off(job, job.parent / "out"))
    assert known["state"] == "failed"
    assert known["committed"]["step"] == 2


def test_before_the_first_commit(finished: Summary, tmp_path: Path) -> None:
    (tmp_path / "job.toml").touch()
    shutil.copy(Path(finished.rundir) / "how.json", tmp_path)
    known = engine.status(tmp_path)
    assert (known["state"], known["committed"]) == ("interrupted", {})


def test_no_run_and_a_damaged_one(finished: Summary, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        engine.status(tmp_path)
    run = Path(shutil.copytree(finished.rundir, tmp_path / "run"))
    (run / "head.json").write_text("{", encoding="utf-8")
    with pytest.raises(StorageFailure) as caught:
        engine.status(run)
    assert "--generation 4" in caught.value.hint

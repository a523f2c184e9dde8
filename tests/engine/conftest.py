"""A small job for every test that wants one, and one run of it for those that only look."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_job import write_job

from hpcms import engine
from hpcms.engine.summary import Summary


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job in a folder of its own."""
    return write_job(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """The small job, run inline and undisturbed. Not to be changed: copy it where a test damages something."""
    folder = tmp_path_factory.mktemp("finished")
    return engine.run(write_job(folder), out=folder / "run")

"""A small job for every test that wants one."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_job import write_job


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job in a folder of its own."""
    return write_job(tmp_path)

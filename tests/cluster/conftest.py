"""What the tests of several files of this room use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.slurm_local import slurm_local


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """A SLURM of two nodes with one core each."""
    with slurm_local() as folder:
        yield folder

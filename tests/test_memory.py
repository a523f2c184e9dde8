"""The peak of a process is its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from hpcms import memory

CHILD = "from hpcms import memory; print(memory.peak())"


def test_what_a_process_touches_counts() -> None:
    before = memory.peak()
    np.ones(before // 8 + 2**24).sum()  # more than the process has ever had
    assert memory.peak() >= before + 2**26


def test_a_child_does_not_inherit_the_peak_of_its_parent() -> None:
    np.ones(2**26).sum()  # 512 MB
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=60, check=True)
    assert int(child.stdout) < 2**28 < memory.peak()

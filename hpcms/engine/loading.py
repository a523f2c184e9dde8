"""What a fresh worker takes before its first solve is as fast as the next one: modules and compiled kernels."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from hpcms.cluster.environment import clean

PATIENCE = 600.0  # s, with all kernels to be compiled


def loading(work: Sequence[tuple[Any, ...]]) -> float:
    """CPU seconds that a new process takes for all ``work``, (model, drive, state, seeds), over those of doing it again."""
    words = [sys.executable, "-m", "hpcms.engine.loading"]
    done = subprocess.run(
        words, input=pickle.dumps(list(work)), capture_output=True, timeout=PATIENCE, check=True, env=clean(os.environ)
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    """In the new process."""
    began = time.process_time()
    work = pickle.load(sys.stdin.buffer)
    for model, *task in work:
        model.solve(*task)
    first = time.process_time()
    for model, *task in work:
        model.solve(*task)
    print(max(2 * first - began - time.process_time(), 0.0))


if __name__ == "__main__":
    main()

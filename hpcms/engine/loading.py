"""What a fresh worker takes before its first solve is as fast as the next one: modules and compiled kernels."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from hpcms.cluster.environment import clean
from hpcms.cluster.task import pack, run
from hpcms.errors import ResourceFailure

PATIENCE = 600.0  # s, with all kernels to be compiled
HINT = "hpcms run JOB --on inline shows what happens"


def loading(work: Sequence[tuple[Any, ...]]) -> float:
    """CPU seconds that a new process takes for all ``work``, (model, drive, state, seeds), over those of doing it again."""
    words, packet = [sys.executable, "-m", "hpcms.engine.loading"], pack("loading", twice, [list(work)], [])
    try:
        done = subprocess.run(
            words, input=packet, capture_output=True, timeout=PATIENCE, env=clean(os.environ), check=True
        )
    except subprocess.TimeoutExpired:
        raise ResourceFailure(f"the first solve of a new process takes longer than {PATIENCE:g} s", HINT) from None
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines() or ["no word of why"]
        raise ResourceFailure(f"a new process failed at its first solve: {last[-1]}", HINT) from None
    return float(done.stdout.split()[-1])


def twice(work: Sequence[tuple[Any, ...]]) -> float:
    """CPU seconds of the second time."""
    for _ in range(2):
        began = time.process_time()
        for model, *task in work:
            model.solve(*task)
    return time.process_time() - began


def main() -> None:
    """In the new process, which like a worker has dask already."""
    began = time.process_time()
    second = run(sys.stdin.buffer.read())
    print(max(time.process_time() - began - 2 * second, 0.0))


if __name__ == "__main__":
    main()

"""How fast this machine is beside the one on which the costs of the fine models were fitted."""

from __future__ import annotations

import time
from statistics import mean

import numpy as np

from hpcms.contracts import Regions
from hpcms.fine.solid import Creep, Solid, SolidPhase

REFERENCE = 0.0085  # CPU seconds of ``probe`` on the machine of the fit


def probe() -> float:
    """CPU seconds of three warm steps of a small creeping cell."""
    rng = np.random.default_rng(0)
    octant = (rng.random((5, 5, 5)) < 0.7).astype(np.uint8)
    image = np.pad(octant, [(0, 5)] * 3, mode="symmetric")
    ice = SolidPhase(9.33e9, 0.325, creep=Creep(3.5e-25))
    model = Solid({"void": SolidPhase(), "ice": ice}, plane="xy")
    state = model.begin(Regions(np.zeros(1, np.int64), image[None], ("void", "ice")))
    spent = 0.0
    for step in range(4):
        strain = -1e-5 * (step + 1) * np.array([[0.3, 1.0, 0.0, 0.0, 0.0, 0.2]])
        drive = {"strain": strain, "temperature": np.full(1, 258.0), "dt": np.full(1, 86400.0)}
        start = time.thread_time()
        _, state, _ = model.solve(drive, state, np.zeros(1, np.uint64))
        spent += (time.thread_time() - start) * (step > 0)  # the first one loads the kernels
    return spent


def speed(seconds: float = 3.0) -> float:
    """Times as fast as the machine of the fit; below one where it is slower or busy.

    The mean over ``seconds``: a shared machine is fast and slow in turns, for tenths of a second each, and a run sees them all.
    """
    probe()  # loads the kernels
    spent: list[float] = []
    end = time.monotonic() + seconds
    while not spent or time.monotonic() < end:
        spent.append(probe())
    return REFERENCE / mean(spent)

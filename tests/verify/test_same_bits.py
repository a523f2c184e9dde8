"""A cell gives the same bits in the process that compiles its kernels and in one that loads them from the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "import hashlib; import numpy as np; im = (np.random.default_rng(0).random((9, 8, 7)) < 0.4).astype(np.uint8);"
TAIL = "; print(hashlib.sha256(b''.join(np.ascontiguousarray(x).tobytes() for x in found)).hexdigest())"
CONDUCTION = """
from hpcms.kernels.cell_scalar import effective
found = [effective(im, np.array([1.0, 9.0]), (1.0, 1.0, 1.0), 1e-6).conductivity]
"""
CREEP = """
from hpcms.contracts import Regions
from hpcms.fine.solid import Creep, Solid, SolidPhase
model = Solid({"a": SolidPhase(10e9, 0.3, 1000.0, Creep(1e-23, 3.0)), "b": SolidPhase()}, tolerance=1e-8)
drive = {"strain": np.array([[1e-3, -1e-3, 0, 0, 0, 4e-3]]), "temperature": np.full(1, 263.15), "dt": np.full(1, 0.33)}
answers, state, _ = model.solve(drive, model.begin(Regions(np.arange(1), im[None], ("a", "b"))), np.zeros(1, np.uint64))
found = [answers[name] for name in sorted(answers)]
"""


def digest(cache: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code.rstrip() + TAIL], env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True, text=True, check=True, timeout=280,
    )  # fmt: skip
    return done.stdout


# compiling the creep kernels takes half a minute, so they wait for the long suite
@pytest.mark.parametrize(
    "code", [pytest.param(CONDUCTION, id="conduction"), pytest.param(CREEP, id="creep", marks=pytest.mark.faults)]
)
def test_compiled_here_or_loaded(tmp_path: Path, code: str) -> None:
    compiled = digest(tmp_path, code)
    assert len(compiled) == 65
    assert digest(tmp_path, code) == compiled

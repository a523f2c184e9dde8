"""A small run whose every value is a function of its step, so any process can write it and any test can check it."""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from hpcms.contracts import Array, Arrays
from hpcms.errors import StorageFailure
from hpcms.store.commit import Entry, Head, Layout, RunStore, Sink, write_fine
from hpcms.store.pyramid import write_pyramid

NODES, SITES, BATCH = 12, 7, 3
ROWS = [(0, 3), (3, 6), (6, 7)]
PHASE = np.random.default_rng(0).integers(0, 2, (SITES, 4, 4, 4)).astype(np.uint8)

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["hpcms.store.run", "store_kit"])


def layout(keep: int = 0) -> Layout:
    return Layout(
        nodes=np.random.default_rng(1).random((NODES, 2)),
        sites={"creep": np.random.default_rng(2).random((SITES, 2))},
        batch={"creep": BATCH},
        static=("phase",),
        units={"temperature": "K", "stress": "Pa"},
        dims={"phase": ("voxel_x", "voxel_y", "voxel_z")},
        constants={"coarse/cells": np.arange(12).reshape(3, 4)},
        keep=keep,
    )


def create(root: Path, keep: int = 0) -> RunStore:
    return RunStore.create(root, "title = 'kit'\n", {"title": "kit", "size": (1, 2)}, 7, layout(keep))


def coarse(step: int) -> Arrays:
    rng = np.random.default_rng([step, 1])
    return {"temperature": rng.random(NODES), "displacement": rng.random((NODES, 2))}


def answers(step: int) -> dict[str, Arrays]:
    rng = np.random.default_rng([step, 2])
    return {"creep": {"stress": rng.random((SITES, 6)), "tangent": rng.random((SITES, 6, 6))}} if step else {}


def fine(step: int, batch: int) -> Arrays:
    lo, hi = ROWS[batch]
    strain = np.random.default_rng([step, 3]).random((SITES, 4, 4, 4, 6))
    return {"phase": PHASE[lo:hi], "creep_strain": strain[lo:hi]}


def write(sink: Sink, batch: int) -> list[Entry]:
    return write_fine(sink, "creep", batch, ROWS[batch], fine(sink.step, batch))


def conflicting(sink: Sink, seed: int) -> str:
    """Write batch 0 with data that no other process has; the text of the failure, if any."""
    try:
        write_fine(sink, "creep", 0, ROWS[0], {"a": np.random.default_rng(seed).random((BATCH, 50))})
    except StorageFailure as error:
        return str(error)
    return ""


def advance(store: RunStore, step: int) -> Head:
    sink = store.sink(step)
    entries = [entry for batch in range(len(ROWS)) for entry in write(sink, batch)]
    return store.commit(step, 10.0 * step, coarse(step), answers(step), entries, {"sweeps": [{"residual": 1e-7}]})


def steps_of(store: RunStore) -> int:
    """Committed steps so far."""
    return len(store._headers)


def drive(root: Path, last: int, keep: int = 0, crash_at: str = "") -> None:
    """A driver: take the run up, or begin it, and go on to step ``last``."""
    os.environ["HPCMS_CRASH_AT"] = crash_at
    begun = (root / "head.json").exists()
    with RunStore.open(root) if begun else create(root, keep) as store:
        for step in range(steps_of(store), last + 1):
            advance(store, step)


def in_process(function: Any, *args: Any) -> int:
    """Run in a process of its own; its exit code, minus the signal where one killed it."""
    process = CONTEXT.Process(target=function, args=args)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def field(sizes: list[int], seed: int) -> Array:
    """(2, ...) a positive field for pyramids."""
    return np.random.default_rng(seed).uniform(1.0, 2.0, (2, *sizes))


def write_field(folder: Path, name: str, seed: int) -> None:
    write_pyramid(folder, name, field([3, 8, 5], seed)[None], units="K")

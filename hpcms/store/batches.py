"""The fine arrays of a step, batch by batch: written and read by workers, each file by one writer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpcms.contracts import Array, Arrays
from hpcms.errors import StorageFailure
from hpcms.store.chunks import Entry, read_chunk, write_chunk
from hpcms.store.files import crash, together
from hpcms.store.layout import Plan, named
from hpcms.store.manifest import Table, load_head, load_header, tables_of

# seconds until a new head written by the driver must be seen on other nodes: network file systems cache names
VISIBLE = 60.0


@dataclass(frozen=True)
class Sink:
    """Where the fine arrays of a step are written, and read once the step is committed. Small; travels to workers.

    ``driver``: the token of the one that made it.
    """

    root: str
    step: int
    plan: Plan
    driver: str


def write_fine(sink: Sink, model: str, batch: int, rows: tuple[int, int], state: Arrays) -> list[Entry]:
    """On a worker: write the state of one batch, one file an array, durably. May run twice with the same data."""
    regions, size = sink.plan.grids[model]
    if tuple(rows) != (batch * size, min((batch + 1) * size, regions)) or rows[0] >= regions:
        raise ValueError(f"batch {batch} of {model} is not rows {rows} of {regions} regions, {size} a batch")

    def put(field: str) -> Entry:
        data, path = np.asarray(state[field]), f"fine_{model}/{named(field)}"
        shape = (regions, *data.shape[1:])
        spec = sink.plan.spec(path, shape, data.dtype, "region", stepped=field not in sink.plan.static)
        return write_chunk(Path(sink.root), spec, sink.step, batch, data)

    entries = together(put, sorted(state))
    crash("fine", sink.step)
    return entries


def read_fine(sink: Sink, model: str, batch: int) -> Arrays:
    """On a worker: the committed state of one batch, every file verified."""
    root, deadline = Path(sink.root), time.monotonic() + VISIBLE
    head, seal, fine_from = load_head(root)
    while sink.step > head.step and time.monotonic() < deadline:
        time.sleep(0.1)
        head, seal, fine_from = load_head(root)
    if sink.step > head.step:
        raise StorageFailure(f"step {sink.step} is not committed: the last one is {head.step}")
    header = load_header(root, sink.step, seal if sink.step == head.step else None)
    tables = {p: t for p, t in tables_of(root, header).items() if p.startswith(f"fine_{model}/")}
    check_kept(sink.step, max(fine_from, header.fine_from), f"fine_{model}")
    return {p.split("/")[1]: read_chunk(root, table.entries[batch], batch) for p, table in tables.items()}


def check_kept(step: int, fine_from: int, path: str) -> None:
    """Fine arrays of old steps are gone on purpose when the job keeps only some."""
    if step < fine_from:
        raise StorageFailure(
            f"array {path}: step {step} was pruned, steps from {fine_from} on are kept",
            "set coupling.keep = 0 to keep the fine history of all steps",
        )


def read_array(root: Path, table: Table) -> Array:
    """All items of an array in one step, verified file by file."""
    spec = table.spec
    whole = np.zeros(spec.shape, spec.dtype)
    for batch, entry in enumerate(table.entries):
        lo, hi = spec.span(batch)
        whole[slice(lo, hi) if spec.shape else ()] = read_chunk(root, entry, batch)
    return whole

"""The stored state: levels that agree, pieces that can be read alone, one writer a chunk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import StorageFailure
from hpcms.store.commit import Layout, RunStore, write_fine
from hpcms.store.pyramid import prolong, read_level, restrict, write_pyramid
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs


def _field(context: Context, path: str) -> Array:
    """[step, region, space] one component of a fine field of the run, over all steps."""
    run = context.run
    first = [run.read(path, n) for n in range(run.head.step + 1)]
    return np.array([values[:, 0] if values.ndim == 5 else values for values in first], dtype=float)


def _pyramid(context: Context, path: str) -> tuple[Path, Array, int]:
    def make() -> tuple[Path, Array, int]:
        folder = context.folder("pyramid")
        field = _field(context, path)
        return folder, field, write_pyramid(folder, "field", field)

    made: tuple[Path, Array, int] = context.once(f"pyramid {path}", make)
    return made


@further_runs
def restrict_after_prolong_error(context: Context, path: str) -> float:
    """Largest |restrict(prolong(x)) - x| over all stored levels, steps and regions, over the largest |x|."""
    folder, field, levels = _pyramid(context, path)
    steps, regions, *sizes = field.shape
    worst = 0.0
    for level in range(1, levels):
        for step in range(steps):
            for region in range(regions):
                x = read_level(folder, "field", level, step, region)
                back = restrict(prolong(x, level, sizes), level - 1, sizes)
                worst = max(worst, float(np.abs(back - x).max()))
    return worst / float(np.abs(field).max())


@further_runs
def mean_spread_of_levels(context: Context, path: str) -> float:
    """Largest difference between the mean of a level and that of the field itself, over the mean size of the field.

    The mean of a level is taken here as an integral: every cell counts with the voxels that it covers.
    """
    folder, field, levels = _pyramid(context, path)
    steps, regions, *sizes = field.shape
    worst = 0.0
    for step in range(steps):
        for region in range(regions):
            fine = field[step, region]
            size = float(np.abs(fine).mean())
            for level in range(levels if size else 0):
                x = read_level(folder, "field", level, step, region)
                for axis, n in enumerate(sizes):
                    covered = np.bincount(np.arange(n) // 2**level)
                    x = x * covered.reshape([-1 if a == axis else 1 for a in range(len(sizes))])
                worst = max(worst, abs(float(x.sum()) / fine.size - float(fine.mean())) / size)
    return worst


@further_runs
def pieces_not_readable_alone(context: Context, path: str) -> float:
    """Pieces (level, step, region) that cannot be read, or read differently, when all files of the others are gone."""
    folder, field, levels = _pyramid(context, path)
    rng = np.random.default_rng(context.job.seed)
    bad = 0
    for level in range(levels):
        step, region = int(rng.integers(field.shape[0])), int(rng.integers(field.shape[1]))
        wanted = read_level(folder, "field", level, step, region)
        alone = context.folder("alone") / str(level)
        own = f"c.{step}.{region}."
        shutil.copytree(folder, alone, ignore=lambda _, names, own=own: [
            name for name in names if name.startswith("c.") and not name.startswith(own)
        ])  # fmt: skip
        kept = [p for p in alone.rglob("c.*") if p.parent.parent.name == str(level)]
        try:
            bad += len(kept) != 1 or read_level(alone, "field", level, step, region).tobytes() != wanted.tobytes()
        except StorageFailure:
            bad += 1
    return float(bad)


@further_runs
def differing_across_processes(context: Context, on: str = "local:2") -> float:
    """Arrays of the last step that workers wrote and this process reads other than one process wrote and read them.

    Negative where fewer than two processes wrote, because then nothing was shown.
    """
    alone, spread = context.run, context.variant(f"on {on}", {}, on=on)
    writers = {r.worker for r in spread.records() if r.kind == "commit"}
    if len(writers) < 2:
        return -1.0
    return float(sum(alone.read(p).tobytes() != spread.read(p).tobytes() for p in sorted(alone.paths)))


def files_with_two_writers(context: Context) -> float:
    """Files of fine state that more than one commit task of the run writes."""
    run = context.run
    writers: dict[str, set[str]] = {}
    for record in run.records():
        parts = record.key.split("/")
        if record.kind == "commit" and len(parts) == 4:  # of a batch; the driver's own has no batch
            _, model, step, batch = parts
            for path, spec in run.specs.items():
                if path.startswith(f"fine_{model}/") and (spec.stepped or step == "0"):
                    writers.setdefault(spec.file(spec.key(int(step), int(batch))), set()).add(record.key)
    if not writers:
        raise StorageFailure("the run has no commit tasks")
    return float(sum(len(tasks) > 1 for tasks in writers.values()))


@further_runs
def second_writer_refused(context: Context) -> float:
    """1 where a second writer of a chunk with other data is refused and the first data stay."""
    points = np.zeros((4, 1))
    layout = Layout(nodes=points, sites={"cells": points}, batch={"cells": 2})
    with RunStore.create(context.folder("two writers"), "", {}, 0, layout) as store:
        sink = store.sink(0)
        write_fine(sink, "cells", 0, (0, 2), {"value": np.array([1.0, 2.0])})
        try:
            write_fine(sink, "cells", 0, (0, 2), {"value": np.array([1.0, 3.0])})
        except StorageFailure:
            return 1.0
    return 0.0


QUANTITIES = {
    "restrict_after_prolong_error": restrict_after_prolong_error,
    "mean_spread_of_levels": mean_spread_of_levels,
    "pieces_not_readable_alone": pieces_not_readable_alone,
    "differing_across_processes": differing_across_processes,
    "files_with_two_writers": files_with_two_writers,
    "second_writer_refused": second_writer_refused,
}

"""A run opened for reading, also while a driver works on it. It shows committed steps only and trusts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcms.contracts import Array, Arrays, TaskRecord
from hpcms.errors import StorageFailure
from hpcms.store import housekeeping, manifest
from hpcms.store.batches import check_kept, read_array
from hpcms.store.chunks import Entry, read_chunk
from hpcms.store.commit import sealed_texts
from hpcms.store.files import Missing
from hpcms.store.layout import Spec
from hpcms.store.manifest import Head, Header, Table
from hpcms.store.trace import read_records
from hpcms.store.verified import VerifiedStore

if TYPE_CHECKING:
    import xarray as xr


def open_run(path: Path | str, generation: int | None = None) -> OpenedRun:
    """Open the run in folder ``path`` for reading, as its head has it or as an earlier commit left it."""
    root = Path(path).absolute()
    if not root.is_dir():
        raise StorageFailure(f"{root}: no such run")
    if not manifest.begun(root):
        raise StorageFailure(f"{root}: holds no committed step", "a run is the folder that `hpcms run --out` has made")
    try:
        return OpenedRun(root, generation)
    except StorageFailure as error:
        raise type(error)(str(error), error.hint or manifest.offer(root)) from error


class OpenedRun:
    """``head``: the last step seen when the run was opened. ``paths``: its arrays. ``job_text``, ``resolved``: the job.

    Reading an array verifies its files; what is damaged, missing or pruned raises ``StorageFailure``.
    """

    def __init__(self, root: Path, generation: int | None = None) -> None:
        self.root = root
        self._fine_from = 0
        if generation is None:
            head, seal, self._fine_from = manifest.load_head(root)
            self._headers = manifest.chain(root, head.step, seal)
        else:
            self._headers = manifest.chain(root, generation, None)
        last = self._headers[-1]
        self.head: Head = last.head
        self._fine_from = max(self._fine_from, last.fine_from)
        self._plan, self.job_text, self.resolved = sealed_texts(root, last)
        self.specs: dict[str, Spec] = {path: t.spec for path, t in manifest.tables_of(root, last).items()}
        self.paths = frozenset(self.specs)
        self.seeds = last.seeds

    # ------------------------------------------------------------------------------------------------------- steps

    def steps(self) -> list[dict[str, Any]]:
        """What was committed with each step, and ``step``, ``t`` (s), ``state_hash``."""
        keys = ("step", "t", "state_hash")
        return [{**header.meta, **{key: getattr(header.head, key) for key in keys}} for header in self._headers]

    def meta(self, step: int) -> dict[str, Any]:
        """What was committed with one step."""
        return dict(self._header(step).meta)

    def records(self) -> list[TaskRecord]:
        """The executed tasks, in the order in which they were recorded."""
        return read_records(self.root)

    def _header(self, step: int) -> Header:
        if not 0 <= step < len(self._headers):
            raise StorageFailure(f"step {step} is not committed: steps 0 to {self.head.step} are")
        return self._headers[step]

    # ------------------------------------------------------------------------------------------------------ arrays

    def _table(self, path: str, step: int) -> Table:
        header = self._header(step)
        table = manifest.tables_of(self.root, header).get(path)
        if table is None:
            known = f"; this run holds {', '.join(sorted(self.paths))}" if path not in self.paths else ""
            raise StorageFailure(f"array {path}: not in step {step}{known}")
        if path.startswith("fine_") and table.spec.stepped:
            check_kept(step, self._fine_from, path)
        return table

    def read(self, path: str, step: int | None = None) -> Array:
        """The array ``path`` (without the step axis) at ``step`` (default: the last one)."""
        number = self.head.step if step is None else step
        table = self._table(path, number)
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if table.spec.nbytes(table.spec.count) > available:
            raise StorageFailure(
                f"array {path}: {table.spec.nbytes(table.spec.count)} bytes do not fit into memory ({available} bytes)",
                "read single regions, or part of the array through the tree",
            )
        try:
            return read_array(self.root, table)
        except Missing:
            if self._pruned_meanwhile(path, number):
                check_kept(number, manifest.load_head(self.root)[2], path)
            raise

    def read_region(self, path: str, region: int, step: int | None = None) -> Array:
        """Row ``region`` of the array ``path`` at ``step``, read without the others."""
        number = self.head.step if step is None else step
        table = self._table(path, number)
        spec = table.spec
        if not 0 <= region < spec.count:
            raise StorageFailure(f"array {path}: region {region} does not exist, there are {spec.count}")
        batch, row = divmod(region, spec.rows)
        try:
            return np.asarray(read_chunk(self.root, table.entries[batch], batch, slice(row, row + 1))[0])
        except Missing:
            if self._pruned_meanwhile(path, number):
                check_kept(number, manifest.load_head(self.root)[2], path)
            raise

    def history(self, model: str, step: int, region: int) -> Arrays:
        """The fine state of one region after ``step``; each array has a leading axis of 1, as a fine model takes it."""
        prefix = f"fine_{model}/"
        found = sorted(path for path in manifest.tables_of(self.root, self._header(step)) if path.startswith(prefix))
        if not found:
            raise StorageFailure(f"fine model {model}: the run holds no state of it")
        return {path.removeprefix(prefix): self.read_region(path, region, step)[None] for path in found}

    def _pruned_meanwhile(self, path: str, step: int) -> bool:
        """Whether a driver that went on has pruned a file that was there when the run was opened."""
        fixed = path in self.specs and not self.specs[path].stepped
        return path.startswith("fine_") and not fixed and step < manifest.load_head(self.root)[2]

    def _find(self, spec: Spec, step: int, key: str) -> Entry | None:
        """The committed entry of a chunk; None where the array did not exist yet in that step."""
        if spec.path not in self._header(step).arrays:
            return None
        table = self._table(spec.path, step)
        found = {entry.key: entry for entry in table.entries}.get(key)
        if found is None:
            raise StorageFailure(f"array {spec.path}, chunk {key}: is not part of the run")
        return found

    @cached_property
    def tree(self) -> xr.DataTree:
        """All arrays over all committed steps, lazily. Values of a step in which an array did not exist yet are NaN."""
        store = VerifiedStore(self.root, self.specs, len(self._headers), self._find)
        import xarray as xr  # here, because it takes two seconds that most commands need not wait

        opened: Any = xr.open_datatree  # its annotation knows no Zarr store, which its Zarr engine takes
        tree: xr.DataTree = opened(
            store, engine="zarr", consolidated=False, decode_times=False, mask_and_scale=False, cache=False
        )
        time = xr.Variable(("step",), np.array([h.head.t for h in self._headers]), {"units": "s"})
        for node in tree.subtree:
            if "step" in node.dataset.sizes:
                node.coords["time"] = time
        return tree

    # ------------------------------------------------------------------------------------------------------ verify

    def verify(self) -> list[str]:
        """Read everything that the run should hold. Returns what is wrong, array and chunk named; empty if nothing."""
        problems: list[str] = []
        wanted = housekeeping.documents(self.specs, len(self._headers))
        for path, document in wanted.items():
            try:
                housekeeping.read_metadata(self.root, {path: document}, len(self._headers), more=2**40)
            except StorageFailure as error:
                problems.append(str(error))
        for header in self._headers:
            try:
                tables = manifest.load_tables(self.root, header.head.step, header.chunks)
            except StorageFailure as error:
                problems.append(str(error))
                continue
            problems += self._verify_step(header, tables)
        return problems

    def _verify_step(self, header: Header, tables: Mapping[str, Table]) -> list[str]:
        problems = []
        for path, table in tables.items():
            if header.arrays.get(path) != table.hash():
                problems.append(f"array {path}, step {header.head.step}: its file list does not match the manifest")
            pruned = path.startswith("fine_") and table.spec.stepped and header.head.step < self._fine_from
            for batch, entry in enumerate(() if pruned else table.entries):
                try:
                    read_chunk(self.root, entry, batch)
                except StorageFailure as error:
                    if not (isinstance(error, Missing) and self._pruned_meanwhile(path, header.head.step)):
                        problems.append(str(error))
        if manifest.state_hash(header.arrays) != header.head.state_hash:
            problems.append(f"step {header.head.step}: the state hash does not match its arrays")
        return problems

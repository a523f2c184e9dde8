"""The commit protocol: a step becomes part of the run at once or not at all.

Order: files of the new step (each durable) -> their folders -> Zarr metadata -> file list -> manifest -> head pointer.
Only the last one, an atomic rename, makes the step committed. A committed file is never written again.
"""

from __future__ import annotations

import functools
import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from hpcms.contracts import Array, Arrays, TaskRecord
from hpcms.errors import StorageFailure
from hpcms.store import files, housekeeping, manifest, trace
from hpcms.store.batches import Sink, check_kept, read_array, read_fine, write_fine
from hpcms.store.chunks import Entry, write_chunk
from hpcms.store.files import crash
from hpcms.store.layout import Layout, Plan, named
from hpcms.store.lease import Lease
from hpcms.store.manifest import Head, Header, Table

__all__ = ["CRASH_POINTS", "Entry", "Head", "Layout", "RunStore", "Sink", "read_fine", "write_fine"]

CRASH_POINTS = (
    "chunk-temp", "fine", "coarse-part", "chunks", "synced", "metadata-part", "metadata", "chunk-list",
    "manifest-temp", "manifest", "head-temp", "head", "prune-part", "pruned",
)  # fmt: skip
PACKAGES = ("hpcms", "numpy", "scipy", "numba", "petsc4py", "zarr")
MAX_JOB = 2**26


class RunStore:
    """The driver's hand on a run: it holds the lease and is the only one that commits."""

    def __init__(self, root: Path, lease: Lease) -> None:
        self.root, self._lease = root, lease
        self._headers: list[Header] = []
        self._tables: dict[str, Table] = {}  # of the last step, static ones included
        self._metadata: dict[str, Any] = {}
        self._sealed: dict[str, str] = {}
        self._fine_from, self._seeds = 0, 0
        self._fixed: Arrays = {}

    # ------------------------------------------------------------------------------------------------ begin and end

    @classmethod
    def create(cls, rundir: Path, job_text: str, resolved: Mapping[str, Any], seeds: int, layout: Layout) -> RunStore:
        """A new run in ``rundir``. Nothing is committed yet; step 0 is the first commit.

        What is left of a run that died before its first commit is removed; a run with a commit is refused.
        """
        root = Path(rundir).absolute()
        with files.storing(root, 0):
            root.mkdir(parents=True, exist_ok=True)
        plan = Plan.of(layout)
        if manifest.begun(root):
            hint = "" if (root / manifest.HEAD).exists() else f"its {manifest.HEAD} is lost; {manifest.offer(root)}"
            raise StorageFailure(
                f"{root}: already holds a run", hint or "resume it, or choose another folder with --out"
            )
        if (root / "state.zarr").exists() and not (root / "manifests").is_dir():
            raise StorageFailure(f"{root}/state.zarr: exists, but is not of a run", "choose another folder with --out")
        self = cls(root, Lease(root))
        try:
            self._start(job_text, resolved, plan)
        except BaseException:
            self.close()
            raise
        self.plan, self._seeds, self._fixed = plan, int(seeds), layout.fixed()
        return self

    def _start(self, job_text: str, resolved: Mapping[str, Any], plan: Plan) -> None:
        for path in [self.root / p for p in ("state.zarr", "manifests", trace.NAME)] + files.leftovers(self.root):
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
        job = job_text.encode()
        text = json.dumps(resolved, default=files.plain, indent=1).encode()
        sealed, seal = files.seal(asdict(plan))
        for file, data in (
            ("job.toml", job), ("manifests/job.toml", job), ("resolved.json", text), ("manifests/layout.json", sealed),
        ):  # fmt: skip
            files.replace(self.root / file, data)
        self._sealed = {"job": files.digest(job), "resolved": files.digest(text), "layout": seal}

    @classmethod
    def open(cls, rundir: Path, generation: int | None = None) -> RunStore:
        """Take up a run: verify the head, take the lease, remove what no commit holds.

        ``generation`` goes back to an earlier commit (all later ones are dropped) and writes the metadata anew.
        """
        root = Path(rundir).absolute()
        if not root.is_dir():
            raise StorageFailure(f"{root}: no such run")
        self = cls(root, Lease(root))
        try:
            self._take_up(generation)
        except StorageFailure as error:
            self.close()
            raise type(error)(str(error), error.hint or manifest.offer(root)) from error
        except BaseException:
            self.close()
            raise
        return self

    def _take_up(self, generation: int | None) -> None:
        if generation is None:
            if not manifest.begun(self.root):
                raise StorageFailure(f"{self.root}: holds no committed step", "start the run anew with `hpcms run`")
            head, seal, self._fine_from = manifest.load_head(self.root)
            self._headers = manifest.chain(self.root, head.step, seal)
        else:
            with suppress(StorageFailure):  # a damaged head is what one goes back for
                self._fine_from = manifest.load_head(self.root)[2]
            self._headers = manifest.chain(self.root, generation, None)
        last = self._headers[-1]
        self._fine_from = max(self._fine_from, last.fine_from)
        check_kept(last.head.step, self._fine_from, "fine history")
        self.plan, _, _ = sealed_texts(self.root, last)
        self._sealed, self._seeds = dict(last.sealed), last.seeds
        self._tables = manifest.tables_of(self.root, last)
        manifest.check_files(self.root, self._tables.values())
        specs = {path: table.spec for path, table in self._tables.items()}
        wanted = housekeeping.documents(specs, last.head.step + 1)
        if generation is None:
            self._metadata = housekeeping.read_metadata(self.root, wanted, last.head.step + 1)
        else:
            with self._lease.held():
                manifest.write_head(self.root, last, self._fine_from)
        housekeeping.clean(self.root, specs, last.head.step, self._fine_from)
        housekeeping.write_metadata(self.root, wanted, self._metadata)
        self._metadata = wanted

    def close(self) -> None:
        """Give the lease back."""
        self._lease.release()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -------------------------------------------------------------------------------------------------------- read

    @property
    def head(self) -> Head:
        """The last committed step."""
        if not self._headers:
            raise StorageFailure(f"{self.root}: holds no committed step yet")
        return self._headers[-1].head

    @property
    def seeds(self) -> int:
        """The root seed of the run."""
        return self._seeds

    @property
    def job_text(self) -> str:
        """The job file as it was when the run began; ``job.toml`` in the run may have been edited since."""
        return files.read_file(self.root, "manifests/job.toml", MAX_JOB).decode()

    def meta(self, step: int) -> dict[str, Any]:
        """What was committed with a step."""
        return dict(self._headers[step].meta)

    def paths(self) -> list[str]:
        """The arrays of the last committed step."""
        return sorted(self._tables)

    def read(self, path: str, step: int | None = None) -> Array:
        """The array ``path`` at a committed step (default: the last), verified."""
        header = self._headers[self.head.step if step is None else step]
        tables = self._tables if header is self._headers[-1] else manifest.tables_of(self.root, header)
        if path not in tables:
            raise StorageFailure(f"array {path}: not in step {header.head.step}")
        if path.startswith("fine_") and tables[path].spec.stepped:
            check_kept(header.head.step, self._fine_from, path)
        return read_array(self.root, tables[path])

    def sink(self, step: int) -> Sink:
        """The address of the fine arrays of a step: of the next one to write, of a committed one to read."""
        return Sink(str(self.root), step, self.plan, self._lease.mine.token)

    # ------------------------------------------------------------------------------------------------------- write

    def append_records(self, records: Sequence[TaskRecord]) -> None:
        """Add to the record of executed tasks."""
        trace.append_records(self.root, records)

    def clean(self) -> list[str]:
        """Remove files of a step that was written in part and is not going to be committed. Returns their names."""
        specs = {path: table.spec for path, table in self._tables.items()}
        return housekeeping.clean(self.root, specs, len(self._headers) - 1, self._fine_from)

    def commit(
        self, step: int, t: float, coarse: Arrays, answers: Mapping[str, Arrays], entries: Iterable[Entry],
        meta: Mapping[str, Any],
    ) -> Head:  # fmt: skip
        """Make a step part of the run. ``coarse``: field -> [node, ...]; ``answers``: model -> name -> [site, ...];
        ``entries``: what ``write_fine`` gave back, in any order; ``meta``: anything that JSON can hold.
        """
        if step != len(self._headers):
            raise ValueError(f"step {step} does not follow step {len(self._headers) - 1}")
        with self._lease.held():
            pass
        tables = self._gather(step, [*entries, *self._write_own(step, t, coarse, answers)])
        crash("chunks", step)
        self._sync(tables)
        crash("synced", step)
        every = {**self._tables, **tables}
        wanted = housekeeping.documents({path: table.spec for path, table in every.items()}, step + 1)
        housekeeping.write_metadata(self.root, wanted, self._metadata, step)
        self._metadata = wanted
        crash("metadata", step)
        stepped = {path: table for path, table in tables.items() if table.spec.stepped or step == 0}
        listed, seal = manifest.chunk_list(stepped)
        files.replace(self.root / manifest.name(step, "chunks.json"), listed)
        crash("chunk-list", step)
        header = self._header(step, t, every, seal, meta)
        files.replace(self.root / manifest.name(step), files.seal(header.body())[0], "manifest-temp", step)
        crash("manifest", step)
        with self._lease.held():
            manifest.write_head(self.root, header, header.fine_from, "head-temp")
        crash("head", step)
        self._headers.append(header)
        self._tables = every
        self._prune(header)
        return header.head

    def _write_own(self, step: int, t: float, coarse: Arrays, answers: Mapping[str, Arrays]) -> list[Entry]:
        """Time, coarse fields, answers at the sites, and with step 0 the coordinates and other constants."""
        arrays: Arrays = {
            "time": np.asarray(float(t)),
            **{f"coarse/{named(k)}": np.asarray(v) for k, v in coarse.items()},
        }
        arrays |= {f"sites/{m}/{named(k)}": np.asarray(v) for m, found in answers.items() for k, v in found.items()}
        arrays |= self._fixed if step == 0 else {}
        half = sorted(arrays)[len(arrays) // 2]

        def write(path: str) -> list[Entry]:
            if path == half:
                crash("coarse-part", step)
            data = arrays[path]
            lead = self.plan.lead(path, len(data)) if data.ndim else ""
            spec = self.plan.spec(path, data.shape, data.dtype, lead, stepped=path not in self._fixed)
            return [write_chunk(self.root, spec, step, b, data) for b in range(spec.batches())]

        return [entry for entries in files.together(write, sorted(arrays)) for entry in entries]

    def _gather(self, step: int, entries: list[Entry]) -> dict[str, Table]:
        """The files by array and batch: each exactly once, none missing, nothing static changed."""
        found: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            if found.setdefault(entry.spec.path, {}).setdefault(entry.key, entry) != entry:
                raise StorageFailure(f"array {entry.spec.path}, chunk {entry.key}: two writers with different data")
        tables = {}
        for path, chunks in sorted(found.items()):
            spec = next(iter(chunks.values())).spec
            keys = [spec.key(step, batch) for batch in range(spec.batches())]
            old = self._tables.get(path)
            if {e.spec for e in chunks.values()} | ({old.spec} if old else set()) != {spec}:
                raise ValueError(f"array {path}: shape or type differs between batches or from the step before")
            if missing := sorted(set(keys) - set(chunks)):
                raise StorageFailure(
                    f"array {path}, chunk {missing[0]}: was not written, {len(missing)} chunks missing"
                )
            table = Table(spec, tuple(chunks[key] for key in keys))
            if old and not spec.stepped:
                if old.hash() != table.hash():
                    raise StorageFailure(f"array {path}: declared static, but changed in step {step}")
                table = old
            tables[path] = table
        lost = [p for p, old in self._tables.items() if old.spec.stepped and p not in tables]
        if lost:
            raise ValueError(f"step {step} lacks the arrays {', '.join(lost)} of the step before")
        return tables

    def _sync(self, tables: Mapping[str, Table]) -> None:
        """Make the names of all new files durable; each must have the size that its writer reported."""
        folders = set()
        for path, table in tables.items():
            if table.entries and table.entries[0].stored:
                folder = self.root / "state.zarr" / path
                folders |= {folder, *[p for p in folder.parents if p.is_relative_to(self.root)]}
        files.together(files.sync_folder, sorted(folders))
        manifest.check_files(self.root, tables.values())

    def _header(self, step: int, t: float, every: Mapping[str, Table], seal: str, meta: Mapping[str, Any]) -> Header:
        arrays = {path: table.hash() for path, table in every.items()}
        keep = max(self.plan.keep, 2)
        fine_from = max(self._fine_from, step - keep + 1) if self.plan.keep else self._fine_from
        header = Header(
            head=Head(step, float(t), step, manifest.state_hash(arrays)),
            parent=self._headers[-1].seal if self._headers else "", sealed=self._sealed, seeds=self._seeds,
            versions={package: _version(package) for package in PACKAGES}, arrays=arrays, chunks=seal,
            origin=self._headers[0].chunks if self._headers else seal, fine_from=fine_from,
            meta=json.loads(files.canonical({**meta, "committed": time.time()})),
        )  # fmt: skip
        return replace(header, seal=files.seal(header.body())[1])

    def _prune(self, header: Header) -> None:
        """Remove fine arrays that the new head no longer keeps; only now, when it is durable."""
        for old in range(self._fine_from, header.fine_from):
            tables = manifest.load_tables(self.root, old, self._headers[old].chunks)
            housekeeping.prune(self.root, tables.values(), header.head.step)
        self._fine_from = header.fine_from
        crash("pruned", header.head.step)


def sealed_texts(root: Path, header: Header) -> tuple[Plan, str, dict[str, Any]]:
    """The layout, the job file and the resolved job of a run, as its manifest has them."""
    body, _ = files.unseal(root, "manifests/layout.json", header.sealed.get("layout", ""))
    texts = {"job": "manifests/job.toml", "resolved": "resolved.json"}
    data = {key: files.read_file(root, path, MAX_JOB) for key, path in texts.items()}
    for key, path in texts.items():
        if files.digest(data[key]) != header.sealed.get(key):
            raise StorageFailure(f"{path}: is not the file that the run was started with", "put the original back")
    try:
        return Plan.parse(body), data["job"].decode(), dict(json.loads(data["resolved"]))
    except (ValueError, TypeError, RecursionError) as error:
        raise StorageFailure(f"resolved.json: not valid: {error}") from error


@functools.cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

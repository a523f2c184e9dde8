"""Run a job, or go on with one: open the executor and the store once, loop, write the summary."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcms import memory
from hpcms.cluster import open_executor
from hpcms.contracts import Executor
from hpcms.engine.build import Problem
from hpcms.engine.dialogue import Progress
from hpcms.engine.exchange import Exchange
from hpcms.engine.loop import Loop
from hpcms.engine.planning import built, estimate, refuse
from hpcms.engine.stop import watch
from hpcms.engine.summary import Summary, ahead, coupling, efficiency, peak, series, write_json
from hpcms.errors import BadInput, HpcmsError, StorageFailure
from hpcms.job import Job, compare, load_job
from hpcms.store.commit import Layout, RunStore
from hpcms.store.lease import holder
from hpcms.store.manifest import begun
from hpcms.store.run import OpenedRun, open_run

DEADLINE = 3600.0  # seconds without any finished task after which a run gives up
MANY = 10**4  # batches beyond which each worker keeps a queue of its own
UNITS = {
    "temperature": "K", "displacement": "m", "strain": "1", "deformation": "1", "stress": "Pa", "tangent": "Pa", "gradient": "K/m",
    "flux": "W/m2", "work": "J/m3", "energy": "J/m3", "dissipation": "J/m3", "creep_rate": "1/s", "density": "kg/m3",
    "capacity": "J/(m3 K)", "excess": "J/m3", "dt": "s", "creep_strain": "1", "conductivity": "W/(m K)", "x": "m", "y": "m",
    "z": "m", "strain_slope": "1/m", "level": "1", "flags": "1", "expected_error": "1", "measured_error": "1",
}  # fmt: skip


class Silent:
    """Progress that nobody looks at."""

    def step(self, done: float, total: float, text: str, eta: float | None) -> None: ...

    def note(self, text: str) -> None: ...


def run(
    job: Path | str,
    *,
    size: str | None = None,
    on: str = "inline",
    out: Path | str | None = None,
    plugins: bool = False,
    overrides: Mapping[str, object] | None = None,
    progress: Progress | None = None,
    replay: Path | str | None = None,
) -> Summary:
    """Run a job file from its start into ``out`` (default runs/NAME-TIME), which must not exist or be empty.

    ``replay``: the folder of a run of the same job; answers are told in its order, whatever comes first this time.
    """
    loaded = load_job(Path(job), size=size, overrides=overrides, plugins=plugins)
    orders, rows = orders_of(replay, loaded) if replay is not None else ([], None)
    problem = built(loaded, rows)
    refuse(estimate(problem, on, sample=1), on)
    rundir = Path(out) if out is not None else default_folder(loaded)
    if rundir.exists() and (not rundir.is_dir() or any(rundir.iterdir())):
        hint = f"go on with it: hpcms resume {rundir}; or choose another --out"
        raise BadInput(f"{rundir} is not an empty folder", hint)
    rundir.mkdir(parents=True, exist_ok=True)
    how = {
        "job": str(loaded.path.resolve()), "size": size, "on": on, "plugins": plugins,
        "overrides": dict(overrides or {}), "physics": loaded.physics_hash, "rows": rows_of(problem),
    }  # fmt: skip
    write_json(rundir / "how.json", how)
    return _execute(problem, created(problem, rundir), rundir, on, progress, True, orders)


def orders_of(rundir: Path | str, job: Job) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """By step, the order in which a run of the same job was told its answers, and its workers; the rows of its batches."""
    how = how_of(Path(rundir))
    if how["physics"] != job.physics_hash:
        raise BadInput(
            f"{rundir} is a run of another job, or at other settings", "replay it with its own job and --set"
        )
    orders = [meta.get("order") for meta in open_run(rundir).steps()[1:]]
    if not all(orders):
        hint = "the order matters, and is recorded, in the schemes barrier_free and speculative"
        raise BadInput(f"{rundir} has no order to replay", hint)
    return [dict(order) for order in orders if order], how["rows"]


def created(problem: Problem, rundir: Path) -> RunStore:
    """The empty store of a run that begins."""
    job = problem.job
    return RunStore.create(rundir, job.text, job.resolved(), job.seed, layout_of(problem))


def resume(
    rundir: Path | str, on: str | None = None, progress: Progress | None = None, generation: int | None = None
) -> Summary:
    """Go on from the last committed step; refused where the job file has changed the physics since.

    ``generation``: go back to this commit and drop the later ones; the way out when the newest is damaged.
    """
    rundir = Path(rundir)
    how = how_of(rundir)
    loaded = job_of(rundir, how)
    fresh = generation is None and not (rundir / "head.json").exists()  # it died before its first commit
    if not fresh:
        refuse_changes(rundir, loaded, how, progress or Silent())
    problem = built(loaded, how["rows"])
    store = created(problem, rundir) if fresh else RunStore.open(rundir, generation)
    return _execute(problem, store, rundir, on or how["on"], progress, fresh)


def refuse_changes(rundir: Path, job: Job, how: dict[str, Any], tell: Progress) -> None:
    """A run goes on with the physics that it began with; other changes are told and taken."""
    old = json.loads((rundir / "resolved.json").read_text(encoding="utf-8"))
    changed = compare(old, job.resolved())
    if changed.physics:
        text = "\n  ".join(["the job file has changed since the run began:", *changed.lines()])
        raise BadInput(text, hint="undo the change, or start a new run")
    if changed.changed:
        tell.note("changed since the run began: " + "; ".join(changed.lines()))
    if job.physics_hash != how["physics"]:
        raise BadInput("an image of the job has changed since the run began", hint="restore it, or start a new run")


def how_of(rundir: Path) -> dict[str, Any]:
    """How the run was started."""
    try:
        return dict(json.loads((rundir / "how.json").read_text(encoding="utf-8")))
    except OSError as error:
        raise BadInput(f"{rundir} is not a run", "give the folder that `hpcms run` has printed") from error
    except ValueError as error:
        raise StorageFailure(f"{rundir / 'how.json'} is damaged: {error}") from error


def job_of(rundir: Path, how: dict[str, Any]) -> Job:
    """The job of a run, read again from where it was."""
    return load_job(Path(how["job"]), size=how["size"], overrides=how["overrides"], plugins=how["plugins"])


def default_folder(job: Job) -> Path:
    """runs/NAME-SIZE-DATE in the current folder."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / f"{job.path.stem}-{job.size or 'as-is'}-{stamp}"
    return next(p for p in (base, *(base.with_name(f"{base.name}-{i}") for i in range(2, 1000))) if not p.exists())


def layout_of(problem: Problem) -> Layout:
    """How the store lays out this problem."""
    mesh, parts = problem.mesh, problem.parts
    return Layout(
        nodes=mesh.nodes,
        sites=dict.fromkeys(parts, mesh.sites),
        batch=rows_of(problem),
        static=("phase",),
        units=UNITS,
        constants={"coarse/cells": mesh.cells} if len(mesh.cells) else {},
        keep=problem.job.coupling.keep,
    )


def rows_of(problem: Problem) -> dict[str, int]:
    """Regions of a batch by fine model: the store is cut up like the tasks."""
    return {name: part.batches[0][1] for name, part in problem.parts.items()}


def agents_for(problem: Problem, on: str) -> bool:
    """Whether workers keep queues of their own: what the job says, else where a scheduler would be asked too often."""
    wanted = problem.job.coupling.agents
    return sum(len(p.batches) for p in problem.parts.values()) > MANY and on != "inline" if wanted == "auto" else wanted


@contextlib.contextmanager
def closing(store: RunStore) -> Iterator[RunStore]:
    """Give the lease back whatever happens."""
    try:
        yield store
    finally:
        store.close()


def _execute(
    problem: Problem, store: RunStore, rundir: Path, on: str, progress: Progress | None, fresh: bool,
    orders: Sequence[dict[str, Any]] = (),
) -> Summary:  # fmt: skip
    began, cpu = time.monotonic(), time.process_time()
    executor = open_executor(on, None, rundir, agents=agents_for(problem, on))
    workers, retries = drive(problem, store, executor, rundir, progress, on, fresh, orders)
    return summarise(problem, rundir, on, workers, retries, time.monotonic() - began, time.process_time() - cpu)


def drive(
    problem: Problem, store: RunStore, opening: contextlib.AbstractContextManager[Executor], rundir: Path,
    progress: Progress | None = None, on: str = "", fresh: bool = True, orders: Sequence[dict[str, Any]] = (),
) -> tuple[int, list[Any]]:  # fmt: skip
    """All steps of a run; closes all that it is given. The workers there were, and the tasks that ran again."""
    with closing(store), watch() as stop, Status(rundir, on) as status, opening as executor:
        exchange = Exchange(executor, problem.parts, problem.seed, DEADLINE, stop.check)
        loop = Loop(problem.coarse, exchange, store, problem.plan, stop, Both(progress or Silent(), status))
        if orders:
            loop.replay, loop.repeated_workers = iter([order["told"] for order in orders]), int(orders[0]["workers"])
        try:
            if fresh:
                loop.start()
            else:
                loop.resume()
            loop.run()
        finally:
            problem.coarse.close()
        return executor.workers, list(executor.retries_log)


@dataclass
class Both:
    """Progress for people and for `hpcms status`."""

    people: Progress
    status: Status

    def step(self, done: float, total: float, text: str, eta: float | None) -> None:
        self.people.step(done, total, text, eta)
        self.status.say(state="running", t=done, end=total, text=text, seconds_left=eta)

    def note(self, text: str) -> None:
        self.people.note(text)
        self.status.note(text)


class Status:
    """RUNDIR/status.json: running, done, stopped or failed, and why."""

    def __init__(self, rundir: Path, on: str) -> None:
        self.path = rundir / "status.json"
        self.known: dict[str, Any] = {"state": "starting", "on": on, "pid": os.getpid(), "notes": []}

    def say(self, **news: Any) -> None:
        """Replace the file."""
        self.known.update(news, updated=time.time())
        with contextlib.suppress(OSError):  # a full disk must not hide the real failure
            write_json(self.path, self.known)

    def note(self, text: str) -> None:
        """Remember the last notes."""
        self.say(notes=[*self.known["notes"], text][-50:])

    def __enter__(self) -> Status:
        self.say()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.say(state="done", seconds_left=0.0)
        elif isinstance(error, HpcmsError) and error.exit_code == 75:
            self.say(state="stopped", why=str(error))
        else:
            self.say(state="failed", why=str(error) or type(error).__name__)


def status(rundir: Path | str) -> dict[str, Any]:
    """How far a run is; a run whose driver no longer holds its lease was interrupted."""
    rundir = Path(rundir)
    how = how_of(rundir)
    try:
        known = dict(json.loads((rundir / "status.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        known = {"state": "starting"}
    driver = holder(rundir)
    if known["state"] in ("running", "starting") and (driver is None or driver.gone()):
        known["state"] = "interrupted"
    head = dataclasses.asdict(open_run(rundir).head) if begun(rundir) else {}
    return {"rundir": str(rundir), "job": how["job"], "size": how["size"], **known, "committed": head}


def summarise(
    problem: Problem, rundir: Path, on: str, workers: int, retries: list[Any], wall: float, cpu: float
) -> Summary:  # fmt: skip
    """The summary of a finished run, written to RUNDIR/summary.json."""
    opened: OpenedRun = open_run(rundir)
    records, steps = opened.records(), opened.steps()
    own = on == "inline"
    drivers = {r.worker for r in records if r.kind == "coarse"}
    elsewhere = 0.0 if own else sum(r.cpu_s for r in records if r.worker not in drivers)
    summary = Summary(
        rundir=str(rundir), title=problem.job.title, size=problem.job.size, on=on, workers=workers,
        state_hash=opened.head.state_hash, steps=opened.head.step, wall_s=wall, cpu_s=cpu + elsewhere,
        peak_memory_bytes=memory.peak() if own else peak(records, memory.peak()),
        **efficiency(records, workers), ahead=ahead(records, steps), coupling=coupling(steps), series=series(steps),
        retries=retries,
    )  # fmt: skip
    summary.write(rundir)
    return summary

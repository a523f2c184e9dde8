"""The words and contracts that all rooms share. Nothing here computes.

Arrays travel as plain dictionaries ``name -> array``; the leading axis of a fine array is the region.
Units are SI. Symmetric tensors are Mandel vectors of 6 in the order 11 22 33 23 13 12 (shear times sqrt 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import GenericAlias
from typing import Annotated, Any, Protocol, get_args, get_origin, runtime_checkable

from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Unit:
    """Marks a parameter field with its SI unit: ``Annotated[float, Unit("Pa")]``; the job file writes "10 kPa".

    ``above`` and ``below`` are exclusive bounds in SI; ``least`` and ``most`` inclusive ones.
    """

    symbol: str
    above: float | None = None
    below: float | None = None
    least: float | None = None
    most: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """What pydantic asks for when it meets the mark; how a text becomes a number is the context of the reading."""
        from pydantic_core import core_schema

        if get_origin(source) is tuple:  # the mark is that of every entry
            entries = tuple(e if e is Ellipsis else Annotated[e, self] for e in get_args(source))
            return handler.generate_schema(GenericAlias(tuple, entries))
        bounds = {"gt": self.above, "ge": self.least, "lt": self.below, "le": self.most}
        number = {**handler(source), **{name: bound for name, bound in bounds.items() if bound is not None}}
        if source is not float:
            return number
        return core_schema.with_info_before_validator_function(lambda v, info: info.context(v, self, info), number)


@dataclass(frozen=True)
class Regions:
    """A batch of R regions in which a fine model stands in.

    ``ids``: (R,) int64. ``phases``: (R, nx, ny, nz) uint8, index into ``names``.
    ``spacing``: voxel edges in m. ``mirrored``: all phases are even along all axes, of an even number of voxels.
    """

    ids: Array
    phases: Array
    names: tuple[str, ...]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mirrored: bool = False

    def __len__(self) -> int:
        return int(self.ids.shape[0])


@dataclass(frozen=True)
class Outcome:
    """How the solve of one region ended. A failed region is an outcome, never an exception."""

    ok: bool
    reason: str = "converged"  # what happened and, where it failed, what to do
    iterations: int = 0  # Newton iterations
    linear_iterations: int = 0
    residual: float = 0.0  # relative, true (recomputed) residual
    solves: int = 1  # fine solves that it took: 0 where a cheaper level has answered
    note: str = ""  # what the run's record is to say, once


@runtime_checkable
class FineModel(Protocol):
    """A frozen dataclass of parameters with three verbs on a batch of regions. Pure and picklable: it may run twice.

    ``drives`` and ``answers`` name the arrays that go down and come up; ``guesses`` names the state arrays that
    are only starting values of the iteration (they move no answer by more than the tolerance);
    ``pairing`` names the work-conjugate (drive, answer) for the Hill-Mandel check against answer "work".
    """

    drives: tuple[str, ...]
    answers: tuple[str, ...]
    guesses: tuple[str, ...]
    pairing: tuple[str, str] | None

    def begin(self, regions: Regions) -> Arrays:
        """State at rest, every array with leading axis R. It carries all that ``solve`` needs (images too)."""
        ...

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers, new state and outcomes. ``state`` is not changed. ``seeds``: (R,) uint64."""
        ...

    def cost(self, regions: Regions) -> Array:
        """(R,) expected CPU seconds of one solve, for the plan."""
        ...


@runtime_checkable
class Iterates(Protocol):
    """The verb of a fine model that goes along with the coarse iteration instead of being solved in each of it.

    A Newton iteration or few on the micro problem, then the condensation onto the mean drive: as ``solve``, the answers at
    ``drive`` with the tangent, sigma_bar - D K^-1 rho, and beside them, in the unit of the paired answer, ``error``: (R,) what
    it may still be wrong by, and ``lag``: (R,) the same of what the model would remember of this iterate. Where the iterate
    that it starts from is good enough already, no iteration is made.
    A model may say ``memory = False``: its answers do not depend on the steps before. It may have a verb ``finish``: as
    ``solve``, from an iterate so near the end that what only serves the iteration, like a response, is still good. It may know
    ``faster(before, after)``, by how much the same flux flows faster after a change of temperature: see ``Faster``.
    """

    def iterate(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]: ...


@dataclass(frozen=True)
class Step:
    """A load or time step from ``t - dt`` to ``t``; ``previous`` is the accepted coarse state at ``t - dt``.

    ``rate``: its change per second over the step before, for extrapolation; empty in the first step.
    """

    index: int
    t: float
    dt: float
    previous: Mapping[str, Array]
    rate: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Advance:
    """What one coarse step gives back.

    ``u``: the next iterate. ``residual``: the relative residual of the *incoming* iterate with its own answers.
    ``reason``: PETSc's converged reason by name. ``messages`` and ``bytes``: exchanged between fields and ranks.
    """

    u: Arrays
    residual: float
    ok: bool = True
    reason: str = ""
    iterations: int = 0
    messages: int = 0
    bytes: int = 0
    residuals: Mapping[str, float] = field(default_factory=dict)  # by field
    detail: Mapping[str, Any] = field(default_factory=dict)


class CoarseModel(Protocol):
    """A model of the whole domain. ``u`` maps field names to arrays over nodes."""

    def begin(self) -> Arrays:
        """The coarse state at time zero."""
        ...

    def predict(self, step: Step) -> Arrays:
        """A first iterate for the step (boundary values of time ``step.t`` applied)."""
        ...

    def sites(self, u: Arrays, step: Step) -> dict[str, Arrays]:
        """For each fine model that is asked, the coarse drives at all S sites, leading axis S."""
        ...

    def advance(self, u: Arrays, answers: Mapping[str, Arrays], step: Step) -> Advance:
        """Assemble residual and tangent from the answers at ``u`` and do one linear or Newton step."""
        ...

    def summary(self, u: Arrays, step: Step) -> dict[str, float]:
        """Named scalars of an accepted state in SI units, such as the settlement of a footing."""
        ...

    def close(self) -> None:
        """Let go of matrices and ranks."""
        ...


class Bridge(Protocol):
    """Lift (coarse to fine) and restrict (fine to coarse), with the invariants it promises."""

    conserves: tuple[str, ...]

    def lift(self, drive: Arrays) -> Arrays: ...

    def restrict(self, answer: Arrays) -> Arrays: ...

    def check(self, drive: Arrays, answer: Arrays, ids: Array) -> float:
        """The largest gap of an invariant; ``BridgeViolation`` names the region where one does not hold."""
        ...


@dataclass(frozen=True)
class FineRequest:
    """Ask fine model ``model`` for the answers of the sites of ``batches`` under ``drive`` (leading axis: these sites).

    ``verb``: "solve" to convergence, "iterate": a Newton iteration or few, then the condensed record, or "finish", which is
    "solve" where the model has no such verb. ``step``: index of
    the time step; one that is not open yet starts from the newest trial of the step before it. ``workers``: by batch, the number
    of the one that had best run it; none where the scheme does not care.
    """

    key: tuple[Any, ...]
    model: str
    drive: Arrays
    batches: Array
    verb: str = "solve"
    step: int = 0
    workers: Sequence[int] = ()


@dataclass(frozen=True)
class CoarseRequest:
    """Ask the coarse model to advance ``u`` in time step ``step`` with ``answers``.

    ``previous``: the state that the step starts from where that is not committed yet.
    """

    key: tuple[Any, ...]
    u: Arrays
    answers: Mapping[str, Arrays]
    step: int = 0
    previous: Arrays | None = None


Request = FineRequest | CoarseRequest


@dataclass(frozen=True)
class Look:
    """A time step as a scheme sees it. ``u``: first iterate; ``sites(u)``: drives by fine model; ``index``, ``dt``.

    ``ahead(u)``: the same for the step after it, if this one ends with ``u``; None where nothing follows.
    """

    u: Arrays
    sites: Callable[[Arrays], dict[str, Arrays]]
    index: int = 0
    dt: float = 0.0
    previous: Mapping[str, Array] = field(default_factory=dict)
    rate: Mapping[str, Array] = field(default_factory=dict)
    ahead: Callable[[Arrays], Look | None] | None = None


# (before (R,), after (R,)) K -> (R,) by how much the same flux flows faster after a change of temperature, or None
Faster = Callable[[Array, Array], "Array | None"]


@dataclass(frozen=True)
class Talk:
    """How exactly the scales have to agree, and what a scheme has to know of the fine models.

    ``batches``: by model, the rows [lo, hi) of each batch; ``pairing``: by model, the (drive, answer) of its tangent, or
    None; ``memory``: models whose answers depend on the step before. Without entries: one batch, no tangent, memory.
    ``workers``: how many there are, as far as that matters.
    """

    tolerance: float
    max_sweeps: int
    batches: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    pairing: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)
    memory: frozenset[str] = frozenset()
    cost: Mapping[str, Array] = field(default_factory=dict)  # (B,) expected seconds: the longest go first
    workers: int = 1
    faster: Mapping[str, Faster] = field(default_factory=dict)  # by model, where it knows that


class Scheme(Protocol):
    """How the scales talk within one step: ask/tell. No I/O, no clock, no Dask. A repeated tell is harmless.

    ``begin(look, talk, before)`` is the scheme of the step after that of the scheme ``before``. When ``done``: ``failed`` is
    empty or says why; ``u``, ``drives``, ``answers`` are those of the step; the state of each batch is that of the last
    answer told for it; ``sweeps`` has a record for each coarse solve.
    """

    @property
    def done(self) -> bool: ...

    def ask(self, idle: int | None = None) -> Sequence[Request]:
        """Requests that may start now; each is handed out once. ``idle``: batches that find a free place now."""
        ...

    def tell(self, key: tuple[Any, ...], result: Any, batches: Array | None = None) -> bool:
        """A FineRequest is told the answers of some of its batches (all if None), a CoarseRequest an ``Advance``.

        Whether it counts: not where it was told before, or is no longer wanted.
        """
        ...


class Ref(Protocol):
    """A result that stays where it was computed until it is asked for."""

    key: str


class Executor(Protocol):
    """Runs pure functions. Arguments may be ``Ref``s of earlier tasks; results stay with the worker.

    What a method ``to_driver`` of a result returns goes to the driver with the word that the task is done; a result without one
    travels when the driver asks for it. Other tasks get the whole.

    ``retries_log``: (key, reason) of every task that had to run again.
    """

    workers: int
    retries_log: list[tuple[str, str]]

    def clock(self) -> float:
        """Seconds since the epoch, as the records of tasks have them."""
        ...

    def submit(self, function: Any, *args: Any, key: str, retries: int = 2, near: str = "") -> Ref:
        """``near``: the worker, as a ``TaskRecord`` names it, on which a task had best run; without, that is where those are
        that it needs. It may run on any.
        """
        ...

    def result(self, ref: Ref, timeout: float) -> Any:
        """The value. Raises ``TaskFailed`` with the key and cause, ``DeadlineExceeded``, or ``WorkersLost``."""
        ...

    def results(self, refs: Sequence[Ref], timeout: float) -> list[Any]:
        """The values of all, gathered in one exchange; raises as ``result`` does."""
        ...

    def done(self, refs: Iterable[Ref], timeout: float) -> list[Ref]:
        """Waits until at least one of ``refs`` is done and returns all that are, failed ones included."""
        ...

    def release(self, refs: Iterable[Ref]) -> None: ...

    def describe(self) -> dict[str, Any]:
        """What kind of executor this is, its workers, versions."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class TaskRecord:
    """One executed task; seconds since the epoch, CPU seconds of its thread."""

    key: str
    kind: str  # fine | coarse | commit | begin
    worker: str
    start: float
    end: float
    cpu_s: float
    bytes_in: int = 0
    bytes_out: int = 0
    peak_memory: int = 0  # bytes, resident, of the process
    inputs: tuple[str, ...] = ()
    costs: tuple[float, ...] = ()  # seconds by region, where known

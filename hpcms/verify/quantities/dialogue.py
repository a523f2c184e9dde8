"""Two scales that talk, and two fields that push each other: what the run's own records say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpcms.coarse.composition import Composition
from hpcms.contracts import Array, Arrays, Step
from hpcms.engine.build import build
from hpcms.errors import NumericalFailure
from hpcms.job import load_job
from hpcms.store.run import OpenedRun
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

Overrides = dict[str, object]


def sweeps_of(run: OpenedRun, step: int = -1) -> list[dict[str, Any]]:
    """The sweeps of a step, by default of the last one."""
    sweeps: list[dict[str, Any]] = run.steps()[step]["sweeps"]
    return sweeps


def final_values(context: Context, field: str) -> list[float]:
    """All values of a coarse field at the end of the run."""
    values: list[float] = np.ravel(context.run.read(f"coarse/{field}")).tolist()
    return values


@further_runs
def final_values_one_way(context: Context, field: str) -> list[float]:
    """The same where the fine scale is asked once and its answer changes nothing that is asked of it."""
    run = context.variant("one-way", {"coupling.scheme": "chain"})
    values: list[float] = np.ravel(run.read(f"coarse/{field}")).tolist()
    return values


def directions(context: Context) -> float:
    """How many of the two directions the graph of the run has: fine after coarse, and coarse after fine."""
    records = context.run.records()
    kinds = {r.key: r.kind for r in records}
    links = {(kinds.get(i), r.kind) for r in records for i in r.inputs}
    return float(("coarse", "fine") in links) + float(("fine", "coarse") in links)


# ------------------------------------------------------------------------ two fields, in turns or at once


def _composed(context: Context, overrides: Overrides) -> tuple[Composition, float]:
    """The coarse model of the job with other values, and its step."""
    job = load_job(context.job.path, size=context.job.size, overrides={**context.overrides, **overrides})
    model = build(job).coarse
    if not isinstance(model, Composition):
        raise TypeError("the coarse model is no composition of fields")
    return model, (job.time.end - job.time.start) / job.time.steps


def _iterates(context: Context, overrides: Overrides, count: int) -> list[Arrays]:
    """The first iterates of the first step."""
    model, dt = _composed(context, overrides)
    step = Step(1, dt, dt, model.begin())
    iterates = [model.predict(step)]
    for _ in range(count):
        advance = model.advance(iterates[-1], {}, step)
        if not advance.ok:
            raise NumericalFailure(f"the coarse solve failed: {advance.reason}")
        iterates.append(advance.u)
    model.close()
    return iterates


def _masses(context: Context, mass_ratio: float) -> Overrides:
    """The fluid's mass as a multiple of the structure's."""
    return {"coarse.fluid.added_mass": f"{mass_ratio * context.job.coarse['structure'].params.mass!r} kg"}


def _acceleration(u: Arrays) -> float:
    return float(u["motion"][2])


def error_factor(context: Context, mass_ratio: float, count: int = 8) -> float:
    """By how much the change of the acceleration shrinks from one sweep to the next, fields solved in turns."""
    a = np.array([_acceleration(u) for u in _iterates(context, _masses(context, mass_ratio), count)])
    change = np.abs(np.diff(a))
    return float((change[-1] / change[1]) ** (1 / (count - 2)))


def corrections(context: Context, mass_ratio: float, relaxation: float, within: float = 1e-12) -> float:
    """Sweeps until the acceleration has its final value, with a relaxed first field."""
    overrides = {**_masses(context, mass_ratio), "coupling.relaxation": relaxation}
    a = np.array([_acceleration(u) for u in _iterates(context, overrides, 8)])
    still = np.abs(a - a[-1]) <= within * np.abs(a[-1])
    return float(np.argmax(still))


@further_runs
def refused(context: Context, **overrides: Any) -> float:
    """1 where the run with other values ends with a numerical failure, 0 where it goes through."""
    name = "refused " + " ".join(f"{k}={v}" for k, v in sorted(overrides.items()))
    try:
        context.variant(name, {k.replace("__", "."): v for k, v in overrides.items()})
    except NumericalFailure:
        return 1.0
    return 0.0


@further_runs
def growth_in_time(context: Context, mass_ratio: float, steps: int, ends: Sequence[float]) -> list[float]:
    """Factor on the error of the acceleration, by time step, when the fields exchange once a step."""
    mass, force = (getattr(context.job.coarse["structure"].params, name) for name in ("mass", "force"))
    found = []
    for end in ends:
        overrides: Overrides = {
            **_masses(context, mass_ratio),
            "coupling.scheme": "chain",
            "time.steps": steps,
            "time.end": f"{end!r} s",
            "time.min_step": f"{end / steps!r} s",
        }
        run = context.variant(f"loose {mass_ratio} {end}", overrides)
        a = np.array([run.read("coarse/motion", n)[2] for n in range(1, steps + 1)])
        error = np.abs(a - force / (mass * (1 + mass_ratio)))
        found.append(float((error[-1] / error[0]) ** (1 / (steps - 1))))
    return found


def messages_over_sweeps(context: Context) -> float:
    """Messages between the fields of the run, by sweep."""
    sweeps = [s for n in range(1, len(context.run.steps())) for s in sweeps_of(context.run, n)]
    return float(sum(s["messages"] for s in sweeps) / len(sweeps))


def _pair(context: Context, mass_ratio: float) -> tuple[OpenedRun, OpenedRun]:
    """The job's first step in turns (relaxed where the plain sweep would diverge) and at once."""
    own = _masses(context, mass_ratio)
    turns = {**own, "coupling.relaxation": 1 / (1 + mass_ratio)} if mass_ratio >= 1 else own
    return (
        context.variant(f"turns {mass_ratio}", turns),
        context.variant(f"at once {mass_ratio}", {**own, "coupling.fields": "monolithic"}),
    )


@further_runs
def turns_against_at_once(context: Context, mass_ratios: Sequence[float]) -> list[float]:
    """Largest relative difference of motion and force at the end of the run, in turns and at once."""
    found = []
    for ratio in mass_ratios:
        turns, once = _pair(context, ratio)
        pairs = [(turns.read(f"coarse/{f}"), once.read(f"coarse/{f}")) for f in ("motion", "force")]
        found.append(max(relative(a, b) for a, b in pairs))
    return found


@further_runs
def nested_solves_a_step(context: Context, mass_ratios: Sequence[float]) -> list[float]:
    """Largest number of nested solves that changed the iterate in a step, fields solved at once.

    The last sweep of a step only confirms that the residual is small.
    """
    runs = [_pair(context, ratio)[1] for ratio in mass_ratios]
    return [float(max(len(meta["sweeps"]) - 1 for meta in run.steps()[1:])) for run in runs]


@further_runs
def exchanges_at_once_over_in_turns(context: Context, mass_ratios: Sequence[float]) -> list[float]:
    """Messages of a run with the fields solved at once over those with the fields solved in turns."""
    found = []
    for ratio in mass_ratios:
        turns, once = _pair(context, ratio)
        found.append(_total(once, "messages") / _total(turns, "messages"))
    return found


@further_runs
def bytes_a_message_at_once_over_in_turns(context: Context, mass_ratios: Sequence[float]) -> list[float]:
    """Bytes of a message with the fields solved at once over those with the fields solved in turns."""
    found = []
    for ratio in mass_ratios:
        size = [_total(run, "bytes") / _total(run, "messages") for run in _pair(context, ratio)]
        found.append(size[1] / size[0])
    return found


def _total(run: OpenedRun, name: str) -> float:
    return float(sum(s[name] for meta in run.steps() for s in meta.get("sweeps", [])))


def relative(a: Array, b: Array) -> float:
    """Largest difference over the largest value of ``b``."""
    return float(np.max(np.abs(np.asarray(a) - b)) / np.max(np.abs(b)))


QUANTITIES = {
    "final_values": final_values,
    "final_values_one_way": final_values_one_way,
    "directions": directions,
    "error_factor": error_factor,
    "corrections": corrections,
    "refused": refused,
    "growth_in_time": growth_in_time,
    "messages_over_sweeps": messages_over_sweeps,
    "turns_against_at_once": turns_against_at_once,
    "nested_solves_a_step": nested_solves_a_step,
    "exchanges_at_once_over_in_turns": exchanges_at_once_over_in_turns,
    "bytes_a_message_at_once_over_in_turns": bytes_a_message_at_once_over_in_turns,
}

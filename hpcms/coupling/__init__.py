"""How the scales talk: one file per scheme, ask/tell within one step. No I/O, no clock, no Dask in here.

A scheme file ends with ``SCHEME = TheClass``; the job names the file.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from hpcms.contracts import Array, Arrays, CoarseModel, Iterates, Look, Step, Talk
from hpcms.coupling._records import SHARE
from hpcms.errors import BadInput


def names() -> list[str]:
    """All schemes, by file name."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def find(name: str) -> type[Any]:
    """The scheme class of file ``name``."""
    if name not in names():
        raise BadInput(f"unknown scheme {name!r}", hint=f"known schemes: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}").SCHEME


Following = Callable[[Step, Arrays], Step | None]


def look_at(coarse: CoarseModel, step: Step, following: Following | None = None) -> Look:
    """A step as a scheme sees it; ``following(step, u)``: the step after it, if this one ends with u."""

    def ahead(u: Arrays) -> Look | None:
        after = following(step, u) if following is not None else None
        return look_at(coarse, after) if after is not None else None

    return Look(
        coarse.predict(step), lambda u: coarse.sites(u, step), step.index, step.dt, step.previous, step.rate,
        ahead if following is not None else None,
    )  # fmt: skip


def talk_with(
    models: Mapping[str, Any],
    tolerance: float,
    max_sweeps: int,
    batches: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    cost: Mapping[str, Array] | None = None,
    workers: int = 1,
) -> Talk:
    """What a scheme has to know of fine models (objects, by name)."""
    pairing = {name: getattr(model, "pairing", None) for name, model in models.items()}
    memory = frozenset(name for name, model in models.items() if remembers(model))
    faster = {name: model.faster for name, model in models.items() if hasattr(model, "faster")}
    return Talk(tolerance, max_sweeps, batches or {}, pairing, memory, cost or {}, workers, faster)


def error_of(answers: Arrays, pair: tuple[str, str] | None, memory: bool) -> Array:
    """(R,) errors of fresh records relative to the root mean square of the paired answers, over the share that they may have."""
    if pair is None or "error" not in answers:
        return np.zeros(len(next(iter(answers.values()))))
    size = float(np.sqrt((answers[pair[1]] ** 2).sum(axis=-1).mean()))
    error = np.maximum(answers["error"], answers.get("lag", 0.0)) if memory else answers["error"]
    out: Array = error / max(size, 1e-300) / SHARE
    return out


def remembers(model: Any) -> bool:
    """Whether the answers of a fine model depend on the steps before; one that does not say so counts as if."""
    return bool(getattr(model, "memory", not linear(model)))


def linear(model: Any) -> bool:
    """Whether one solve of a region tells its answers to all drives, so that there is nothing to iterate."""
    return bool(getattr(model, "solved_once", False))


def refusal(scheme: type[Any], model: Any) -> str:
    """Why a scheme cannot serve a fine model; empty where it can."""
    needs = scheme.needs
    if "tangent" in needs and (model.pairing is None or "tangent" not in model.answers):
        return "it gives no tangent"
    if "iterate" in needs and not (isinstance(model, Iterates) or linear(model)):
        return "it has no verb iterate"
    params = getattr(type(model), "__dataclass_params__", None)
    if needs and not (is_dataclass(model) and params is not None and params.frozen):
        return "it may hide state: it is no frozen dataclass"
    return ""

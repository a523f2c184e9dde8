"""The path of a voxel image whose phases belong to one fine model: ``hpcms homogenize IMAGE --law PHASE=MODEL:...``."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hpcms import memory, voxels
from hpcms.contracts import Array, Arrays, FineModel, Regions
from hpcms.errors import BadInput, NumericalFailure
from hpcms.fine.inelastic import COMPONENTS
from hpcms.loading import Loading, LoadPath

NINE = ("11", "12", "13", "21", "22", "23", "31", "32", "33")
SEEDS = np.zeros(1, np.uint64)
Rows = tuple[str, list[tuple[float, ...]]]


class Driven(ABC):
    """How a fine model is taken along a path. ``takes``: the options that say where to; ``bytes``: what a voxel needs."""

    takes: ClassVar[tuple[str, ...]]
    bytes: ClassVar[float]

    @abstractmethod
    def drives(self, given: Mapping[str, Any], steps: int) -> Arrays:
        """The drives of all steps, leading axis ``steps``, from the options in ``takes``. Raises ``BadInput``."""

    @abstractmethod
    def refuse(self, phases: list[Any]) -> None:
        """Raises ``BadInput`` for phases that cannot be solved."""

    @abstractmethod
    def entry(self, answers: dict[str, Any], state: Arrays, last: Mapping[str, Any]) -> dict[str, Any]:
        """What a step of the path shows beside its drives; ``last``: the entry before, empty at first."""

    @abstractmethod
    def rows(self, path: list[dict[str, Any]]) -> Rows:
        """A heading and a few numbers of every step."""


class Finite(Driven):
    """``hyperelastic``: the mean deformation gradient goes straight from 1 to ``deformation`` (9,), 11 12 13 21 22 23 31 32 33."""

    takes, bytes = ("deformation",), 2300.0

    def drives(self, given: Mapping[str, Any], steps: int) -> Arrays:
        end = _vector("deformation", given, 9, "1.5,0,0,0,1,0,0,0,1").reshape(3, 3)
        F = np.eye(3) + np.linspace(0.0, 1.0, steps + 1)[1:, None, None] * (end - np.eye(3))
        if (bad := np.linalg.det(F) <= 0.0).any():
            hint = "the order is 11,12,13,21,22,23,31,32,33; a body keeps a volume > 0 all the way"
            raise BadInput(f"deformation: turns the cell inside out in step {int(bad.argmax()) + 1}", hint)
        return {"deformation": F.reshape(steps, 9)}

    def refuse(self, phases: list[Any]) -> None:
        _refuse_voids(phases)

    def entry(self, answers: dict[str, Any], state: Arrays, last: Mapping[str, Any]) -> dict[str, Any]:
        return {name: answers[name] for name in ("stress", "energy")}

    def rows(self, path: list[dict[str, Any]]) -> Rows:
        k = int(np.abs(np.array(path[-1]["deformation"]) - np.eye(3).ravel()).argmax())
        heading = f"F{NINE[k]}, first Piola-Kirchhoff stress P{NINE[k]} (Pa), energy (J/m^3)"
        return heading, [(step["deformation"][k], step["stress"][k], step["energy"]) for step in path]


class Cracked(Driven):
    """``damage``: the component ``load`` of the mean strain goes straight to ``strain``, all others stay zero."""

    takes, bytes = ("load", "strain"), 2300.0

    def drives(self, given: Mapping[str, Any], steps: int) -> Arrays:
        if "load" not in given or "strain" not in given:
            raise BadInput("--law damage needs a load and its size", "for example --load 11 --strain 0.001 --steps 10")
        loading = Loading(given["load"], given["strain"], steps)
        return {"strain": np.array([loading.at(n) for n in range(1, steps + 1)])}

    def refuse(self, phases: list[Any]) -> None:
        _refuse_voids(phases)
        if not any(phase.toughness > 0 and phase.youngs_modulus > 0 for phase in phases):
            raise BadInput("homogenize: no phase in the image breaks", "give one of them a toughness, Gc > 0")

    def entry(self, answers: dict[str, Any], state: Arrays, last: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "stress": answers["stress"],
            "damage_largest": float(state["damage"].max()),
            "damage_mean": answers["damaged"],
            "energy": answers["energy"],
            "dissipation": last.get("dissipation", 0.0) + answers["dissipation"],
        }

    def rows(self, path: list[dict[str, Any]]) -> Rows:
        k = int(np.abs(path[-1]["strain"]).argmax())
        root, name = 2.0**0.5 if k > 2 else 1.0, COMPONENTS[k]
        heading = f"strain {name}, stress {name} (Pa), damage at most and on average, energy, dissipation (J/m^3)"
        more = ("damage_largest", "damage_mean", "energy", "dissipation")
        return heading, [
            (step["strain"][k] / root, step["stress"][k] / root, *(step[key] for key in more)) for step in path
        ]


MODELS: dict[str, Driven] = {"hyperelastic": Finite(), "damage": Cracked()}


def model_path(
    image: Any,
    name: str,
    model: FineModel,
    drives: Arrays,
    tangent: bool = False,
    threshold: str | float | None = None,
    crop: Any = None,
    mirror: bool = False,
    spacing: tuple[float, float, float] | None = None,
    dataset: str | None = None,
) -> LoadPath:
    """The path of ``image`` (array or file), whose labels are the keys of ``model.phases``, under ``drives`` (steps, ...).

    ``name``: which of ``MODELS`` it is. Every step holds its drives, what the model answers, ``tangent`` where it is asked for,
    ``iterations``, ``linear_iterations``, ``residual`` and ``note``, what a converged step has to say. Strains and stresses are
    Mandel vectors, but ``deformation`` (9,) and the first Piola-Kirchhoff ``stress`` (9,) of ``hyperelastic``; Pa. ``energy``
    stored and ``dissipation`` since the start, J/m^3; ``damage_largest`` of the nodes, ``damage_mean`` of the cell. ``checks``:
    the worst of the path, relative: ``hill_mandel`` and ``symmetry`` of the tangent. The cell is periodic and solid, also where
    it is one voxel thick. Other arguments as ``hpcms.homogenize``. Raises ``BadInput`` before any work, ``NumericalFailure`` if
    a step does not converge.
    """
    driven, edges = MODELS[name], voxels.checked_spacing(spacing)
    phases: Mapping[str, Any] = model.phases  # type: ignore[attr-defined]
    phase, used = voxels.indexed(voxels.labels(image, threshold, crop, mirror, dataset), phases)
    driven.refuse([phases[label] for label in used])
    memory.refuse_beyond("homogenize", phase.size * driven.bytes, "crop the image or make its voxels coarser")
    _load_kernels(model, used, {key: value[:1] for key, value in drives.items()})
    cpu, wall = time.process_time(), time.perf_counter()
    path, checks = _follow(driven, model, _one(phase, used, edges), drives, tangent)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return LoadPath(path, checks, voxels.fractions(phase, used), False, cpu, wall, memory.peak())


def _one(phase: Array, used: tuple[str, ...], edges: tuple[float, float, float]) -> Regions:
    return Regions(np.zeros(1, np.int64), phase[None], used, edges)


def _load_kernels(model: FineModel, used: tuple[str, ...], drives: Arrays) -> None:
    """The first step of a few voxels, so that compiling or loading the kernels is not counted as solving."""
    phase = (np.arange(4 * len(used)) % len(used)).astype(np.uint8).reshape(2, -1, 1)
    model.solve(drives, model.begin(_one(phase, used, (1.0, 1.0, 1.0))), SEEDS)


def _follow(
    driven: Driven, model: FineModel, cell: Regions, drives: Arrays, tangent: bool
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """All steps, each from the state that the one before has left, and the worst of the checks."""
    state, path = model.begin(cell), []
    checks = {"hill_mandel": 0.0, "symmetry": 0.0}
    last: dict[str, Any] = {}
    for n in range(len(next(iter(drives.values())))):
        drive = {name: values[n : n + 1] for name, values in drives.items()}
        found, state, (outcome,) = model.solve(drive, state, SEEDS)
        if not outcome.ok:
            what, _, advice = outcome.reason.partition(": ")
            raise NumericalFailure(f"homogenize: step {n + 1} did not converge: {what}", advice)
        answers = {name: value[0].tolist() for name, value in found.items()}
        _check(checks, model, drive, found)
        last = {name: value[0].tolist() for name, value in drive.items()} | driven.entry(answers, state, last)
        more = {"tangent": answers["tangent"]} if tangent else {}
        path.append({**last, **more, "iterations": outcome.iterations, "linear_iterations": outcome.linear_iterations,
                     "residual": outcome.residual, "note": _note(outcome.reason)})  # fmt: skip
    return path, checks


def _note(reason: str) -> str:
    """What a converged step has to say."""
    return "" if reason == "converged" else reason


def _check(checks: dict[str, float], model: FineModel, drive: Arrays, answers: Arrays) -> None:
    """Keeps the worst of each check."""
    assert model.pairing is not None
    force, flow, tangent = drive[model.pairing[0]][0], answers[model.pairing[1]][0], answers["tangent"][0]
    size = float(np.linalg.norm(force) * np.linalg.norm(flow))
    if size > 0.0:
        gap = abs(float(answers["work"][0]) - float(force @ flow)) / size
        checks["hill_mandel"] = max(checks["hill_mandel"], gap)
    if tangent.any():
        skew = float(np.abs(tangent - tangent.T).max() / np.abs(tangent).max())
        checks["symmetry"] = max(checks["symmetry"], skew)


def _vector(name: str, given: Mapping[str, Any], length: int, example: str) -> Array:
    """(length,) numbers of an option that must be there."""
    if given.get(name) is None:
        raise BadInput(f"{name}: is needed", f"for example --{name} {example}")
    try:
        values = np.asarray(given[name], float).ravel()
    except (TypeError, ValueError):
        values = np.array([])
    if values.size != length or not np.isfinite(values).all():
        raise BadInput(
            f"{name}: needs {length} finite numbers (got {given[name]!r})", f"for example --{name} {example}"
        )
    return values


def _refuse_voids(phases: list[Any]) -> None:
    if not any(phase.youngs_modulus > 0 for phase in phases):
        raise BadInput("homogenize: no phase in the image has a stiffness", "give one of them E > 0")

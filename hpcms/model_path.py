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
    """How a fine model is taken along a path. ``takes``: the options that say where to; ``bytes``: what a voxel needs.

    ``held``: settings of the model that are not open to choice here.
    """

    takes: ClassVar[tuple[str, ...]]
    bytes: ClassVar[float]
    held: ClassVar[dict[str, Any]] = {}

    @abstractmethod
    def drives(self, given: Mapping[str, Any], steps: int) -> Arrays:
        """The drives of all steps, leading axis ``steps``, from the options in ``takes``. Raises ``BadInput``."""

    @abstractmethod
    def refuse(self, phases: dict[str, Any], drives: Arrays) -> None:
        """Raises ``BadInput`` for phases, by label, that cannot be solved under these drives."""

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
        # det(1 + s A) along the straight way, which may turn over between two steps
        A = end - np.eye(3)
        cubic = [np.linalg.det(A), (np.trace(A) ** 2 - np.trace(A @ A)) / 2, np.trace(A), 1.0]
        turned = [r.real for r in np.roots(cubic) if abs(r.imag) <= 1e-6 * abs(r) and 0 < r.real <= 1 + 1e-9]
        if turned or np.linalg.det(end) <= 0:
            hint = "the order is 11,12,13,21,22,23,31,32,33; a body keeps a volume > 0 all the way"
            raise BadInput("--deformation: turns the cell inside out on its way", hint)
        return {"deformation": F.reshape(steps, 9)}

    def refuse(self, phases: dict[str, Any], drives: Arrays) -> None:
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
    held: ClassVar = {"plane": ""}  # all columns of the tangent

    def drives(self, given: Mapping[str, Any], steps: int) -> Arrays:
        if "load" not in given or "strain" not in given:
            raise BadInput("--law damage needs a load and its size", "for example --load 11 --strain 0.001 --steps 10")
        loading = Loading(given["load"], given["strain"], steps)
        return {"strain": np.array([loading.at(n) for n in range(1, steps + 1)])}

    def refuse(self, phases: dict[str, Any], drives: Arrays) -> None:
        _refuse_voids(phases)
        if not any(phase.toughness > 0 and phase.youngs_modulus > 0 for phase in phases.values()):
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


class Heated(Driven):
    """``nonlinear_conduction``: the mean gradient (3,) goes straight from zero to ``gradient`` at one ``temperature``, 293.15 K.

    With two temperatures it stays, and the steps go from the first temperature to the second, both included.
    """

    takes, bytes = ("gradient", "temperature"), 340.0

    def drives(self, given: Mapping[str, Any], steps: int) -> Arrays:
        end, T = _vector("gradient", given, 3, "100,0,0"), np.asarray(given.get("temperature", 293.15), float)
        if not np.linalg.norm(end) > 0:  # also one too small to be squared
            raise BadInput("--gradient: must not be zero", "for example --gradient 100,0,0")
        if not (np.isfinite(T) & (T > 0)).all():
            raise BadInput(
                f"--temperature: must be > 0 K (got {given['temperature']!r})", "for example 293.15 or 280:350"
            )
        if T.ndim == 0:
            return {
                "gradient": np.linspace(0.0, 1.0, steps + 1)[1:, None] * end,
                "temperature": np.full(steps, float(T)),
            }
        if steps < 2:
            raise BadInput("--temperature: from one to another takes two steps or more", "for example --steps 11")
        return {"gradient": np.tile(end, (steps, 1)), "temperature": np.linspace(T[0], T[1], steps)}

    def refuse(self, phases: dict[str, Any], drives: Arrays) -> None:
        for label, phase in phases.items():
            for T in (drives["temperature"].min(), drives["temperature"].max()):
                if not phase.at(T) > 0:
                    hint = "k (1 + b (T - T0)) must stay above zero: change temperature_coefficient or --temperature"
                    raise BadInput(f"homogenize: the conductivity of phase {label} is {phase.at(T):g} at {T:g} K", hint)

    def entry(self, answers: dict[str, Any], state: Arrays, last: Mapping[str, Any]) -> dict[str, Any]:
        return {name: answers[name] for name in ("flux", "potential")}

    def rows(self, path: list[dict[str, Any]]) -> Rows:
        heading = "temperature (K), gradient (K/m), flux against it (W/m^2), flux by gradient (W/(m K))"
        rows: list[tuple[float, ...]] = []
        for step in path:
            g, q = np.array(step["gradient"]), np.array(step["flux"])
            size = float(np.linalg.norm(g))
            rows.append((step["temperature"], size, -float(q @ g) / size, -float(q @ g) / size**2))
        return heading, rows


MODELS: dict[str, Driven] = {"hyperelastic": Finite(), "damage": Cracked(), "nonlinear_conduction": Heated()}


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
    stored and ``dissipation`` since the start, J/m^3; ``damage_largest`` of the nodes, ``damage_mean`` of the cell. ``flux``
    (3,) W/m2 and ``potential``, minus the mean psi, of ``nonlinear_conduction``; its ``tangent_temperature`` goes with the
    tangent. ``checks``: the worst of the path, relative: ``hill_mandel`` and ``symmetry`` of the tangent. The cell is periodic
    and solid, also where it is one voxel thick. Other arguments as ``hpcms.homogenize``. Raises ``BadInput`` before any work,
    ``NumericalFailure`` if a step does not converge.
    """
    driven, edges = MODELS[name], voxels.checked_spacing(spacing)
    phases: Mapping[str, Any] = model.phases  # type: ignore[attr-defined]
    phase, used = voxels.indexed(voxels.labels(image, threshold, crop, mirror, dataset), phases)
    driven.refuse({label: phases[label] for label in used}, drives)
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
    state = model.begin(cell)
    path: list[dict[str, Any]] = []
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
        given: dict[str, Any] = {name: value[0].tolist() for name, value in drive.items()}
        last = {**given, **driven.entry(answers, state, last)}
        more = {name: value for name, value in answers.items() if tangent and name.startswith("tangent")}
        ended = {"iterations": outcome.iterations, "linear_iterations": outcome.linear_iterations,
                 "residual": outcome.residual, "note": _note(outcome.reason)}  # fmt: skip
        path.append({**last, **more, **ended})
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
        raise BadInput(f"--{name}: is needed", f"for example --{name} {example}")
    try:
        values = np.asarray(given[name], float).ravel()
    except (TypeError, ValueError):
        values = np.array([])
    if values.size != length or not np.isfinite(values).all():
        raise BadInput(
            f"--{name}: needs {length} finite numbers (got {given[name]!r})", f"for example --{name} {example}"
        )
    return values


def _refuse_voids(phases: dict[str, Any]) -> None:
    if not any(phase.youngs_modulus > 0 for phase in phases.values()):
        raise BadInput("homogenize: no phase in the image has a stiffness", "give one of them E > 0")

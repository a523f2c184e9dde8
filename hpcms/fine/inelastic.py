"""A periodic voxel cell whose phases follow laws of small strains: elastic, plastic, viscoplastic, crystals, power law.

    div sigma = 0,   sigma = law(eps - eps*, history, dt, T),   eps = <eps> + sym grad u,   u periodic

One step is backward Euler from the committed history. Some components of the mean stress may be prescribed instead of those of the
mean strain. What laws there are, their equations and parameters: ``hpcms/kernels/laws``; how a cell is solved:
``kernels/law_cell``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput
from hpcms.kernels.elements import load_bearing
from hpcms.kernels.law_cell import LawSolver, Start, Step
from hpcms.kernels.law_grid import LawGrid
from hpcms.kernels.laws import AnyLaw

Component = Literal["11", "22", "33", "23", "13", "12"]
COMPONENTS: tuple[Component, ...] = ("11", "22", "33", "23", "13", "12")
PLANES = {"": (0, 1, 2, 3, 4, 5), "xy": (0, 1, 5)}
HILL = 1e-9  # a larger gap between <sigma:eps> and <sigma>:<eps> is a failure
LOSS = 1e-6  # so is a step that makes more energy than this share of what it works with


@dataclass(frozen=True)
class Inelastic:
    """Mean stress for a mean strain (Mandel), with consistent tangents, energy and dissipation.

    ``stress_components``: components whose mean stress is prescribed, zero or by a drive ``stress``; the strain that they reach
    is in the answer ``strain``, and the tangent is that of the other components while those stresses stay. ``plane = "xy"``:
    only the columns 11, 22, 12 of the tangent; a cell one voxel thick is then solved with plane quadrilaterals.

    ``energy`` is the stored energy. ``dissipation`` is what the laws dissipate plus ``excess``, the (second order) part by which
    backward Euler lowers the energy too much, so stress : strain increment = change of energy + dissipation in every step; at a
    change of temperature it also counts the work on the stress-free strain.

    State, leading axis R: ``phase``, ``kept`` (nx, ny, nz), ``spacing`` (3) m, ``history`` (nx, ny, nz, points, rows),
    ``displacement`` (3, nx, ny, nz) m, the fluctuation, ``strain`` (6), ``energy`` and ``temperature`` at the end of the step.
    Guesses: ``trial``, ``trial_strain`` of the last trial, ``response`` (directions, 3, nx, ny, nz), derivative of the
    fluctuation by the strain.
    """

    phases: dict[str, AnyLaw]
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-7
    tangent_tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-3
    plane: Literal["", "xy"] = ""
    stress_components: tuple[Component, ...] = ()
    max_iterations: Annotated[int, Unit("", least=1)] = 40

    drives: ClassVar[tuple[str, ...]] = ("strain", "temperature", "dt")
    answers: ClassVar[tuple[str, ...]] = ("stress", "strain", "tangent", "tangent_temperature", "work", "energy", "dissipation",
                                          "excess", "density")  # fmt: skip
    guesses: ClassVar[tuple[str, ...]] = ("trial", "trial_strain", "response")

    def __post_init__(self) -> None:
        inside = [COMPONENTS[k] for k in PLANES[self.plane]]
        if outside := [name for name in self.stress_components if name not in inside]:
            raise BadInput(f"inelastic: the mean stress {outside[0]} cannot be prescribed with plane = {self.plane!r}")
        if len(set(self.stress_components)) < len(self.stress_components):
            raise BadInput("inelastic: a component of the stress is named twice")
        if not self.phases or all(law.void for law in self.phases.values()):
            raise BadInput("inelastic: no phase has a stiffness")

    @property
    def pairing(self) -> tuple[str, str] | None:
        return None if self.stress_components else ("strain", "stress")

    @property
    def free(self) -> tuple[int, ...]:
        """Places of the components whose stress is prescribed."""
        return tuple(sorted(COMPONENTS.index(name) for name in self.stress_components))

    def _flat(self, shape: tuple[int, ...]) -> bool:
        """Is a cell of this shape one of plane quadrilaterals?"""
        return self.plane == "xy" and shape[2] == 1 and not any(law.mean_dilatation for law in self.phases.values())

    def begin(self, regions: Regions) -> Arrays:
        """State at rest."""
        unknown = [name for name in regions.names if name not in self.phases]
        if unknown:
            raise BadInput(f"inelastic: phase {unknown[0]!r} has no law", f"phases given: {', '.join(self.phases)}")
        own = np.array([list(self.phases).index(name) for name in regions.names], np.uint8)
        phase, R = own[regions.phases], len(regions)
        solid = np.array([not law.void for law in self.phases.values()])
        shape = phase.shape[1:]
        rows = max(law.rows for law in self.phases.values())
        return {
            "phase": phase,
            "kept": np.array([load_bearing(solid[image]) for image in phase]),
            "spacing": np.tile(np.array(regions.spacing, float), (R, 1)),
            "history": np.zeros((R, *shape, 4 if self._flat(shape) else 8, rows)),
            "displacement": np.zeros((R, 3, *shape)),
            "strain": np.zeros((R, 6)),
            "energy": np.zeros(R),
            "temperature": np.zeros(R),
            "trial": np.zeros((R, 3, *shape)),
            "trial_strain": np.zeros((R, 6)),
            "response": np.zeros((R, len(PLANES[self.plane]), 3, *shape), np.float32),
        }

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers, new state and outcomes; a region that fails keeps its state and answers zero."""
        R = len(state["phase"])
        new = {name: value.copy() for name, value in state.items()}
        shapes = {"stress": (6,), "strain": (6,), "tangent": (6, 6), "tangent_temperature": (6,)}
        answers = {name: np.zeros((R, *shapes.get(name, ()))) for name in self.answers}
        density, outcomes = np.array([law.density for law in self.phases.values()]), []
        for r in range(R):
            one = {name: value[r] for name, value in state.items()}
            given = {name: np.asarray(drive[name][r], float) for name in (*self.drives, "stress") if name in drive}
            answers["density"][r] = density[one["phase"]].mean()
            found, outcome = self._region(one, given, {name: value[r] for name, value in new.items()})
            outcomes.append(outcome)
            for name, value in found.items():
                answers[name][r] = value
            if outcome.ok:
                new["energy"][r], new["temperature"][r] = found["energy"], given["temperature"]
        return answers, new, outcomes

    def _region(self, state: Arrays, drive: Arrays, new: Arrays) -> tuple[Arrays, Outcome]:
        """The answers of one region; its new state goes into the views ``new``."""
        flat, free = self._flat(state["phase"].shape), list(self.free)
        strain, temperature, dt = drive["strain"].copy(), float(drive["temperature"]), float(drive["dt"])
        stress = drive.get("stress", np.zeros(6))
        if not all(np.isfinite(value).all() for value in drive.values()) or temperature <= 0.0 or dt < 0.0:
            return {}, Outcome(False, "the drive is out of range: shorten the step")
        if flat and strain[3:5].any():
            return {}, Outcome(False, "a plane cell takes no strain 23 or 13: leave out plane")
        strain[free] = state["strain"][free]
        hx, hy, hz = state["spacing"].tolist()
        laws = list(self.phases.values())
        averaged = np.array([law.mean_dilatation for law in laws])
        grid = LawGrid(state["phase"], state["kept"], (hx, hy, hz), averaged, flat, self.free)
        solver = LawSolver(grid, laws, self.tolerance, self.tangent_tolerance, self.max_iterations)
        start = self._start(grid, solver, state, (strain, stress, dt, temperature))
        step = solver.step(start)
        outcome = Outcome(step.ok, step.reason, step.newton, step.linear, step.residual)
        if not step.ok:
            return {}, outcome
        heat = solver.heat(step, start)
        self._store(grid, solver, step, new)
        return self._answers(step, heat, state, temperature, outcome)

    def _start(
        self, grid: LawGrid, solver: LawSolver, state: Arrays, drive: tuple[Array, Array, float, float]
    ) -> Start:
        """The step from the committed state, its first iterate extrapolated from the last trial."""
        strain, stress, dt, temperature = drive
        directions, ends = PLANES[self.plane], state["strain"][list(self.free)] / grid.unit
        response = np.array([grid.read_field(x) for x in state["response"]])
        u, u0 = grid.read_field(state["trial"]), grid.read_field(state["displacement"])
        for k, x in zip(directions, response, strict=True):
            u += (strain[k] - state["trial_strain"][k]) * x
        u[grid.nodes :] = u0[grid.nodes :] = ends
        history = [grid.read_history(state["history"], b, law.rows)
                   for b, law in zip(solver.blocks, solver.laws, strict=True)]  # fmt: skip
        return Start(strain, stress, state["strain"], u0, history, u, dt, temperature, response, directions)

    def _store(self, grid: LawGrid, solver: LawSolver, step: Step, new: Arrays) -> None:
        """Writes one region's new state into its views."""
        for kept, b, law in zip(step.history, solver.blocks, solver.laws, strict=True):
            if law.rows:
                grid.write_history(kept, b, law.rows, new["history"])
        grid.write_field(step.u, new["displacement"])
        new["trial"][:] = new["displacement"]
        new["strain"][:] = new["trial_strain"][:] = step.strain
        for x, place in zip(step.response, new["response"], strict=True):
            grid.write_field(x, place)

    def _answers(
        self, step: Step, heat: Array, state: Arrays, temperature: float, outcome: Outcome
    ) -> tuple[Arrays, Outcome]:
        """Answers of a converged step, and its outcome after the checks that every step must pass."""
        work = float(step.stress @ (step.strain - state["strain"]))
        change = step.energy - float(state["energy"])
        excess = work - change - step.dissipated
        tangent, asymmetry = condense(step.tangent, self.free), np.abs(step.tangent - step.tangent.T).max()
        problem = ""
        if step.gap > HILL:
            problem = f"the Hill-Mandel gap is {step.gap:.1e}: tighten the tolerance"
        elif asymmetry > 10.0 * self.tangent_tolerance * np.abs(step.tangent).max():
            problem = "the tangent is not symmetric: tighten tangent_tolerance"
        elif temperature == float(state["temperature"]) and excess < -LOSS * (abs(work) + abs(step.energy)):
            problem = f"the step made energy ({-excess:.1e} J/m^3): tighten the tolerance"
        if problem:
            return {}, Outcome(False, problem, outcome.iterations, outcome.linear_iterations, outcome.residual)
        heat = heat - tangent_of(step.tangent, self.free) @ heat[list(self.free)]
        return {
            "stress": step.stress, "strain": step.strain, "tangent": tangent, "tangent_temperature": heat,
            "work": np.array(step.stress @ step.strain), "energy": np.array(step.energy),
            "dissipation": np.array(work - change), "excess": np.array(excess),
        }, outcome  # fmt: skip

    def cost(self, regions: Regions) -> Array:
        """Seconds: about 300 passes of 150 ns a solid voxel and 60 ns a voxel, and 20 us a pass."""
        solid = np.array([not self.phases[name].void for name in regions.names])
        count = solid[regions.phases].reshape(len(regions), -1)
        return 300.0 * (20e-6 + 150e-9 * count.sum(axis=1) + 60e-9 * count.shape[1])


def tangent_of(C: Array, free: tuple[int, ...]) -> Array:
    """(6, free) C_pf C_ff^-1, the stress that unit stresses of the free components bring, with the identity in their own rows."""
    f = list(free)
    share: Array = C[:, f] @ np.linalg.inv(C[np.ix_(f, f)])
    return share


def condense(C: Array, free: tuple[int, ...]) -> Array:
    """C_pp - C_pf C_ff^-1 C_fp: the tangent while the stresses of the free components stay; zero in their rows and columns."""
    if not free:
        return C
    left = C - tangent_of(C, free) @ C[list(free)]
    left[list(free)], left[:, list(free)] = 0.0, 0.0
    return left


MODEL = Inelastic

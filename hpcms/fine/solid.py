"""Elasticity with Norton-Glen creep in a periodic voxel cell under a mean strain; phases without stiffness are void.

One step is backward Euler from the committed history; dt = 0, or a phase without a creep law, is elastic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput
from hpcms.folded import part

if TYPE_CHECKING:  # the kernels are imported where they compute: reading a job must not wait for numba
    from hpcms.kernels.creep_cell import Cell, Material, Step

PLANES = {"": (0, 1, 2, 3, 4, 5), "xy": (0, 1, 5)}
GROUPS = {"": (0, 3, 5, 6), "xy": (0, 3)}  # symmetry classes of all drives of a mirrored cell (``cell_mirror``)


@dataclass(frozen=True)
class Creep:
    """Norton-Glen law: A at ``reference_temperature``, where the activation energy changes; conventions in ``norton``.

    The unit of A depends on n; a job writes Pa^-3 s^-1, and for another n the same number counts as Pa^-n s^-1.
    """

    A: Annotated[float, Unit("Pa^-3 s^-1", least=0)]
    n: Annotated[float, Unit("", least=1, most=20)] = 3.0
    reference_temperature: Annotated[float, Unit("K", above=0)] = 263.15
    activation_energy_below: Annotated[float, Unit("J/mol", least=0)] = 0.0
    activation_energy_above: Annotated[float, Unit("J/mol", least=0)] = 0.0
    convention: str = "uniaxial"


@dataclass(frozen=True)
class SolidPhase:
    """Isotropic elasticity; without ``youngs_modulus`` the phase is void."""

    youngs_modulus: Annotated[float, Unit("Pa", least=0)] = 0.0
    poisson_ratio: Annotated[float, Unit("", above=-1, below=0.5)] = 0.3
    density: Annotated[float, Unit("kg/m^3", least=0)] = 0.0
    creep: Creep | None = None

    def material(self, dt: float, temperature: float) -> Material | None:
        """The phase over a step of ``dt`` seconds at ``temperature`` K; None for a void."""
        from hpcms.kernels import norton
        from hpcms.kernels.creep_cell import Material

        if self.youngs_modulus == 0.0:
            return None
        bulk = self.youngs_modulus / (3.0 * (1.0 - 2.0 * self.poisson_ratio))
        shear2 = self.youngs_modulus / (1.0 + self.poisson_ratio)
        if self.creep is None or dt == 0.0:
            return Material(bulk, shear2, creeps=self.creep is not None)
        law = self.creep
        A, slope = norton.arrhenius(
            law.A * norton.uniaxial_factor(law.convention, law.n), law.reference_temperature,
            law.activation_energy_below, law.activation_energy_above, np.array(temperature),
        )  # fmt: skip
        softening = float(slope / A) if A > 0 else 0.0
        return Material(bulk, shear2, 1.5 * shear2 * dt * float(A), law.n, softening, True)


@dataclass(frozen=True)
class Solid:
    """Mean stress for a mean strain (Mandel), with consistent tangents, energy and dissipation.

    State, leading axis R: ``phase`` (nx, ny, nz) uint8 in the order of ``phases``; ``loaded``, the voxels that carry
    load; ``spacing`` (3) m; ``creep_strain`` (nx, ny, nz, 8, 6) Mandel, at the Gauss points 4 x + 2 y + z;
    ``displacement`` (3, nx, ny, nz) m, the fluctuation, and ``strain`` (6), both at the end of the step; ``shears``
    (6), which shears the drives have held so far. Guesses: ``trial`` and ``trial_strain``, the same of the last trial,
    and ``response`` (directions, 3, nx, ny, nz) float32, the derivative of the fluctuation by the mean strain.
    Of mirrored regions the fields hold the part that says all: voxels (nx, ny, nz/2), with ``plane = "xy"`` (nx, ny/2, nz/2),
    and along a halved axis one node more than voxels. ``fields`` gives the whole cell.

    ``dissipation`` is stress : creep increment plus the half elastic energy of the elastic increment that backward Euler
    takes out; so stress : strain increment = change of ``energy`` + ``dissipation`` in every step, and it is never negative.
    With ``plane = "xy"`` only the columns 11, 22, 12 of the tangents are computed, the others are zero.
    """

    phases: dict[str, SolidPhase]
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-7
    tangent_tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-3
    plane: str = ""
    max_iterations: Annotated[int, Unit("", least=1)] = 40

    drives: ClassVar[tuple[str, ...]] = ("strain", "temperature", "dt")
    answers: ClassVar[tuple[str, ...]] = ("stress", "tangent", "tangent_temperature", "work", "energy", "dissipation",
                                          "creep_rate", "density")  # fmt: skip
    guesses: ClassVar[tuple[str, ...]] = ("trial", "trial_strain", "response")
    pairing: ClassVar[tuple[str, str] | None] = ("strain", "stress")

    def __post_init__(self) -> None:
        if self.plane not in PLANES:
            raise BadInput(f"solid: plane must be one of {', '.join(map(repr, PLANES))} (got {self.plane!r})")
        for name, phase in self.phases.items():
            if phase.creep is not None and phase.creep.convention not in ("uniaxial", "effective"):
                raise BadInput(f"solid: phase {name!r}: convention must be 'uniaxial' or 'effective'")

    def begin(self, regions: Regions) -> Arrays:
        """State at rest."""
        from hpcms.kernels.elements import load_bearing

        unknown = [name for name in regions.names if name not in self.phases]
        if unknown:
            raise BadInput(f"solid has no phase {unknown[0]!r}", f"phases given: {', '.join(self.phases)}")
        own = np.array([list(self.phases).index(name) for name in regions.names], np.uint8)
        phase, R = own[regions.phases], len(regions)
        solid = np.array([each.youngs_modulus > 0 for each in self.phases.values()])
        shape = nodes = phase.shape[1:]
        if regions.mirrored:
            shape = part(nodes, GROUPS[self.plane])
            nodes = tuple(n if n == whole else n + 1 for n, whole in zip(shape, nodes, strict=True))
        return {
            "phase": phase,
            "loaded": np.array([load_bearing(solid[image]) for image in phase]),
            "spacing": np.tile(np.array(regions.spacing, float), (R, 1)),
            "creep_strain": np.zeros((R, *shape, 8, 6)),
            "displacement": np.zeros((R, 3, *nodes)),
            "strain": np.zeros((R, 6)),
            "shears": np.zeros((R, 6), np.uint8),
            "trial": np.zeros((R, 3, *nodes)),
            "trial_strain": np.zeros((R, 6)),
            "response": np.zeros((R, len(PLANES[self.plane]), 3, *nodes), np.float32),
        }

    def faster(self, before: Array, after: Array) -> Array | None:
        """(R,) by how much the same stress flows faster at the temperatures ``after`` than ``before``, K; None where phases
        differ in that."""
        from hpcms.kernels import norton

        laws = {replace(p.creep, A=1.0) for p in self.phases.values() if p.creep is not None and p.creep.A > 0}
        if len(laws) != 1:
            return None
        law = laws.pop()
        known = law.A, law.reference_temperature, law.activation_energy_below, law.activation_energy_above
        return np.asarray(norton.arrhenius(*known, after)[0] / norton.arrhenius(*known, before)[0])

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers, new state and outcomes; a region that fails keeps its state and answers zero."""
        return self._answers(drive, state, "solve")

    def finish(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """As ``solve``, from a trial that is nearly there: its responses are taken as they are."""
        return self._answers(drive, state, "finish")

    def iterate(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """The same after a Newton iteration or few. (R,) Pa: ``lag``, which bounds what the stress is wrong by, with what is left
        of the residual; ``error``, what it is likely wrong by, as most of that cancels in the mean."""
        from hpcms.kernels.creep_cell import CURVED, TILTED

        answers, new, outcomes = self._answers(drive, state, "iterate")
        left = np.array([o.residual if o.residual > self.tolerance else 0.0 for o in outcomes])
        size = np.linalg.norm(answers["stress"], axis=1)
        return {**answers, "error": size * (TILTED * left + CURVED * left**2), "lag": size * left}, new, outcomes

    def _answers(self, drive: Arrays, state: Arrays, verb: str) -> tuple[Arrays, Arrays, list[Outcome]]:
        R = len(state["phase"])
        new = {name: value.copy() for name, value in state.items()}
        shapes = {"stress": (6,), "tangent": (6, 6), "tangent_temperature": (6,), "creep_rate": (6,)}
        answers = {name: np.zeros((R, *shapes.get(name, ()))) for name in self.answers}
        outcomes = []
        density = np.array([phase.density for phase in self.phases.values()])
        for r in range(R):
            strain, dt = np.asarray(drive["strain"][r], float), float(drive["dt"][r])
            own = {k: v[r] for k, v in state.items()}
            step, cell = self._region(own, strain, float(drive["temperature"][r]), dt, verb)
            count = np.bincount(state["phase"][r].ravel(), minlength=density.size)
            answers["density"][r] = count @ density / count.sum()
            outcomes.append(Outcome(step.ok, step.reason, step.newton, step.linear, step.residual))
            if not step.ok:
                continue
            self._store({k: v[r] for k, v in new.items()}, cell, step, strain)
            answers["stress"][r], answers["work"][r] = step.stress, step.work
            answers["energy"][r], answers["dissipation"][r] = step.energy, step.dissipation
            answers["tangent"][r], answers["tangent_temperature"][r] = step.tangent, step.heat
            answers["creep_rate"][r] = step.creep / dt if dt > 0 else 0.0
        return answers, new, outcomes

    def _region(self, state: Arrays, strain: Array, temperature: float, dt: float, verb: str) -> tuple[Step, Cell]:
        """One region: the smallest cell that its symmetry allows, started from the extrapolated last trial."""
        from hpcms.kernels.cell_mirror import CLASSES, MirrorCell, classes_of, is_mirrored
        from hpcms.kernels.cell_periodic import PeriodicCell
        from hpcms.kernels.creep_cell import CreepSolver, Start, Step

        hx, hy, hz = state["spacing"].tolist()
        cell: Cell
        folded = state["creep_strain"].shape[:3] != state["phase"].shape
        if folded or is_mirrored(state["phase"]):
            group = classes_of((state["shears"] > 0) + np.abs(strain) + np.abs(state["trial_strain"]))
            cell = MirrorCell(state["phase"], state["loaded"], (hx, hy, hz), group)
        else:
            cell = PeriodicCell(state["phase"], state["loaded"], (hx, hy, hz))
        if not (np.isfinite(strain).all() and 0.0 < temperature < np.inf and 0.0 <= dt < np.inf):
            return Step(False, "the strain, temperature or time step is out of range: shorten the step"), cell
        if folded and not set(cell.group) <= set(GROUPS[self.plane]):
            return Step(False, "a plane cell takes no strain 23 or 13: leave out plane"), cell
        materials = [phase.material(dt, temperature) for phase in self.phases.values()]
        solver = CreepSolver(cell, (hx, hy, hz), materials, self.tolerance, self.tangent_tolerance, self.max_iterations)
        directions = PLANES[self.plane]
        response = np.array(
            [cell.read_field(f, CLASSES[k]) for k, f in zip(directions, state["response"], strict=True)]
        )
        u = cell.read_field(state["trial"], 0)
        for k, x in zip(directions, response, strict=True):
            if strain[k] != state["trial_strain"][k]:
                u += (strain[k] - state["trial_strain"][k]) * cell.align(x, CLASSES[k])
        u0, vp = cell.read_field(state["displacement"], 0), cell.read_history(state["creep_strain"])
        begun = Start(strain, state["strain"], u0, vp, u, response, directions)
        work_on = {"solve": solver.step, "iterate": solver.iterate, "finish": solver.finish}[verb]
        return work_on(begun), cell

    def _store(self, state: Arrays, cell: Cell, step: Step, strain: Array) -> None:
        """Writes one region's new state into its views."""
        from hpcms.kernels.cell_mirror import CLASSES

        cell.write_history(step.vp, state["creep_strain"])
        cell.write_field(step.u, 0, state["displacement"])
        state["trial"][:] = state["displacement"]
        state["strain"][:] = state["trial_strain"][:] = strain
        state["shears"][3:] |= (strain[3:] != 0.0).astype(np.uint8)
        for k, place, column in zip(PLANES[self.plane], state["response"], step.response, strict=True):
            cell.write_field(column, CLASSES[k], place)

    def fields(self, state: Arrays) -> Arrays:
        """The state with its fields at all voxels and nodes of the cells."""
        from hpcms.kernels.cell_mirror import CLASSES, MirrorCell

        shape = state["phase"].shape[1:]
        if state["creep_strain"].shape[1:4] == shape:
            return state
        whole = {name: np.zeros((*value.shape[:-3], *shape), value.dtype)
                 for name, value in state.items() if name in ("displacement", "trial", "response")}  # fmt: skip
        whole["creep_strain"] = np.zeros((len(state["phase"]), *shape, 8, 6))
        for r, phase in enumerate(state["phase"]):
            hx, hy, hz = state["spacing"][r].tolist()
            cell = MirrorCell(phase, state["loaded"][r], (hx, hy, hz), GROUPS[self.plane])
            cell.write_history(cell.read_history(state["creep_strain"][r]), whole["creep_strain"][r])
            for name in ("displacement", "trial"):
                cell.write_field(cell.read_field(state[name][r], 0), 0, whole[name][r])
            for k, field, out in zip(PLANES[self.plane], state["response"][r], whole["response"][r], strict=True):
                cell.write_field(cell.read_field(field, CLASSES[k]), CLASSES[k], out)
        return {**state, **whole}

    def cost(self, regions: Regions) -> Array:
        """Seconds of a warm solve, fitted to snow: 13 us an element, and iterations that grow with the edge of the cell.

        Elements are the voxels that carry load: all of a periodic cell, twice those of the window of a mirrored one.
        """
        from hpcms.kernels.cell_mirror import is_mirrored
        from hpcms.kernels.elements import load_bearing

        solid = np.array([self.phases[name].youngs_modulus > 0 for name in regions.names])
        seconds = []
        for image in regions.phases:
            elements, edge, call = load_bearing(solid[image]).sum(), image.size ** (1 / 3), 5e-3
            if is_mirrored(image):
                elements, edge, call = elements / 4, edge / 2, 1.1e-3
            seconds.append(call + 13e-6 * elements * edge / 10)
        return np.array(seconds)


MODEL = Solid

"""Brittle fracture by gradient (phase-field) damage in a periodic voxel cell under a mean strain: AT1 and AT2.

    energy:   (g(d) psi(eps)) + Gc / (c l) (w(d) + l^2 |grad d|^2),   g = (1 - k) (1 - d)^2 + k,   d never decreases
    AT1: w = d, c = 8/3        strength sqrt(3 E Gc / (8 l)), elastic before it
    AT2: w = d^2, c = 2        strength sqrt(27 E Gc / (256 l)), damage from the start

(strengths of a bar; Pham, Amor, Marigo, Maurini, Int. J. Damage Mech. 20, 618-652, 2011). How a step is solved, and the split
of the energy that lets cracks close, stands in ``kernels/damage_cell``. ``gradient = false`` leaves out the gradient: a
local model, whose dissipation vanishes with the voxels; it is there to show that fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput
from hpcms.kernels.cell_points import PointCell
from hpcms.kernels.damage_cell import DamageSolver, Material, Options, Step
from hpcms.kernels.elements import load_bearing

PLANES = {"": (0, 1, 2, 3, 4, 5), "xy": (0, 1, 5)}


@dataclass(frozen=True)
class DamagePhase:
    """Isotropic elasticity; without ``youngs_modulus`` the phase is void, without ``toughness`` (Gc) it does not break."""

    youngs_modulus: Annotated[float, Unit("Pa", least=0)] = 0.0
    poisson_ratio: Annotated[float, Unit("", above=-1, below=0.5)] = 0.3
    toughness: Annotated[float, Unit("J/m^2", least=0)] = 0.0
    density: Annotated[float, Unit("kg/m^3", least=0)] = 0.0

    def material(self) -> Material | None:
        """None for a void."""
        if self.youngs_modulus == 0.0:
            return None
        bulk = self.youngs_modulus / (3.0 * (1.0 - 2.0 * self.poisson_ratio))
        return Material(bulk, self.youngs_modulus / (1.0 + self.poisson_ratio), self.toughness)


@dataclass(frozen=True)
class Damage:
    """Mean stress for a mean strain (Mandel), tangent, stored energy, and the fracture energy that a step takes.

    State, leading axis R: ``phase`` (nx, ny, nz) uint8 in the order of ``phases``; ``loaded``, the voxels that carry
    load; ``spacing`` (3) m; ``damage`` (nx, ny, nz) at the lower corners of the voxels. Guesses: ``displacement``
    (3, nx, ny, nz) m, the fluctuation, and ``response`` (directions, 3, nx, ny, nz), its derivative by the mean strain.

    ``tangent``: with ``stiffness = "consistent"`` the derivative of the stress of this step by its strain, the damage grows
    where it is free to; with "secant", or where the damage is about to run (the outcome says so), that at fixed damage, with
    which the cell unloads. ``dissipation``: the increment of the energy of the cracks, J/m3. ``damaged``: the mean damage.
    A step may be as long as it likes while the damage grows steadily; a crack that runs through the cell within a step
    loses energy that nobody accounts for, as in nature.
    """

    phases: dict[str, DamagePhase]
    length: Annotated[float, Unit("m", above=0)]
    kind: Literal["AT1", "AT2"] = "AT1"
    split: Literal["none", "volumetric"] = "none"
    gradient: bool = True
    residual_stiffness: Annotated[float, Unit("", above=0, below=0.1)] = 1e-6
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-6
    damage_tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-5
    stiffness: Literal["consistent", "secant"] = "consistent"
    plane: str = ""
    max_alternations: Annotated[int, Unit("", least=2)] = 5000

    drives: ClassVar[tuple[str, ...]] = ("strain",)
    answers: ClassVar[tuple[str, ...]] = ("stress", "tangent", "work", "energy", "dissipation", "damaged", "density")
    guesses: ClassVar[tuple[str, ...]] = ("displacement", "response")
    pairing: ClassVar[tuple[str, str] | None] = ("strain", "stress")

    def __post_init__(self) -> None:
        if self.plane not in PLANES:
            raise BadInput(f"damage: plane must be one of {', '.join(map(repr, PLANES))} (got {self.plane!r})")
        if self.kind not in ("AT1", "AT2"):
            raise BadInput(f"damage: kind must be 'AT1' or 'AT2' (got {self.kind!r})")
        if self.stiffness not in ("consistent", "secant"):
            raise BadInput(f"damage: stiffness must be 'consistent' or 'secant' (got {self.stiffness!r})")
        if self.split not in ("none", "volumetric"):
            raise BadInput(f"damage: split must be 'none' or 'volumetric' (got {self.split!r})")

    def begin(self, regions: Regions) -> Arrays:
        """At rest and whole."""
        unknown = [name for name in regions.names if name not in self.phases]
        if unknown:
            raise BadInput(f"damage has no phase {unknown[0]!r}", f"phases given: {', '.join(self.phases)}")
        own = np.array([list(self.phases).index(name) for name in regions.names], np.uint8)
        phase, R = own[regions.phases], len(regions)
        solid, shape = np.array([each.youngs_modulus > 0 for each in self.phases.values()]), phase.shape[1:]
        return {
            "phase": phase,
            "loaded": np.array([load_bearing(solid[image]) for image in phase]),
            "spacing": np.tile(np.array(regions.spacing, float), (R, 1)),
            "damage": np.zeros((R, *shape)),
            "displacement": np.zeros((R, 3, *shape)),
            "response": np.zeros((R, len(PLANES[self.plane]), 3, *shape)),
        }

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers, new state and outcomes; a region that fails keeps its state and answers zero."""
        R = len(state["phase"])
        new = {name: value.copy() for name, value in state.items()}
        shapes = {"stress": (6,), "tangent": (6, 6)}
        answers = {name: np.zeros((R, *shapes.get(name, ()))) for name in self.answers}
        outcomes = []
        density = np.array([phase.density for phase in self.phases.values()])
        for r in range(R):
            hx, hy, hz = state["spacing"][r].tolist()
            cell = PointCell(state["phase"][r], state["loaded"][r], (hx, hy, hz))
            step = self._region({k: v[r] for k, v in state.items()}, np.asarray(drive["strain"][r], float), cell)
            count = np.bincount(state["phase"][r].ravel(), minlength=density.size)
            answers["density"][r] = count @ density / count.sum()
            outcomes.append(Outcome(step.ok, step.reason, step.alternations, step.linear, step.residual))
            if not step.ok:
                continue
            new["displacement"][r], new["damage"][r] = cell.collect(step.u), cell.collect(step.d)[0]
            new["response"][r] = [cell.collect(x) for x in step.response]
            answers["stress"][r], answers["tangent"][r], answers["work"][r] = step.stress, step.tangent, step.work
            answers["energy"][r], answers["dissipation"][r] = step.energy, step.dissipation
            answers["damaged"][r] = step.d[:, :-1].mean()
        return answers, new, outcomes

    def _region(self, state: Arrays, strain: Array, cell: PointCell) -> Step:
        if not np.isfinite(strain).all():
            return Step(False, "the strain is not finite: shorten the step")
        options = Options(self.kind, self.length, self.gradient, self.split == "volumetric", self.residual_stiffness,
                          self.tolerance, self.damage_tolerance, self.max_alternations, self.stiffness == "consistent")  # fmt: skip
        solver = DamageSolver(cell, [phase.material() for phase in self.phases.values()], options)
        response = np.array([cell.spread(x) for x in state["response"]])
        u, lower = cell.spread(state["displacement"]), cell.spread(state["damage"][None])
        return solver.step(strain, u, lower, response, PLANES[self.plane])

    def cost(self, regions: Regions) -> Array:
        """Seconds: about 2000 passes of 150 ns a solid voxel and 60 ns a voxel, and 50 us a pass."""
        solid = np.array([self.phases[name].youngs_modulus > 0 for name in regions.names])
        count = solid[regions.phases].reshape(len(regions), -1)
        return 2000.0 * (50e-6 + 150e-9 * count.sum(axis=1) + 60e-9 * count.shape[1])


MODEL = Damage

"""A family of small two-scale problems with real numerics, to study schemes on: a bar of many layered cells on elastic supports.

Everything is solved as in a run: the bar by its coarse model, the cells by their fine model. Only the clocks are simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hpcms import coupling
from hpcms.coarse import compose
from hpcms.coarse.bar import Bar, Load
from hpcms.coarse.composition import Composition
from hpcms.contracts import Regions
from hpcms.fine.layers import Layers
from hpcms.plan.cells import Cells
from hpcms.plan.machine import Costs, Machine, lognormal
from hpcms.plan.replay import Known, known_path
from hpcms.plan.simulate import Simulated, Simulation
from hpcms.problem.mesh import Domain, build_mesh

RAMP = (Load(10.0, end=2e6, body=1e6),)
TURN = (Load(4.0, end=2e6, body=1e6), Load(8.0, end=-2e6, body=-1e6), Load(10.0))


@dataclass(frozen=True)
class Study:
    """``elements`` cells of the bar have two regions each; ``group``: regions of a batch. Seconds are those of one iteration.

    ``sigma``: of the lognormal cost of a region, with median 1 s; ``coarse``: s of a coarse solve.
    """

    model: Layers
    elements: int = 32
    path: tuple[Load, ...] = RAMP
    steps: int = 20
    foundation: float = 1e8
    snap: float | None = None
    dashpot: float = 0.0
    held: str = "left"
    group: int = 1
    sigma: float = 1.0
    coarse: float = 0.1
    jitter: float = 0.0
    tolerance: float = 1e-6
    seed: int = 0

    def problem(self) -> tuple[Composition, dict[str, Cells]]:
        """The coarse model and the cells at rest."""
        mesh = build_mesh(Domain("interval", (1.0,), (self.elements,)))
        bar = Bar(self.path, self.held, self.foundation, self.snap, self.dashpot)
        ids = np.arange(len(mesh.sites))
        state = self.model.begin(Regions(ids, np.zeros((len(ids), 0, 0, 0), np.uint8), ()))
        batches = [(lo, min(lo + self.group, len(ids))) for lo in range(0, len(ids), self.group)]
        return compose({"bar": (bar, "cell")}, mesh), {"cell": Cells("cell", self.model, batches, state)}

    @property
    def regions(self) -> int:
        return 2 * self.elements

    @property
    def costs(self) -> Costs:
        """What this draw of cells costs."""
        return Costs({"cell": lognormal(self.regions, self.sigma, self.seed)}, self.coarse, jitter=self.jitter)

    def run(
        self, scheme: str, workers: int | None = None, extrapolate: bool = True, machine: Machine | None = None
    ) -> Simulated:
        """A simulated run; one worker a batch unless told otherwise."""
        coarse, cells = self.problem()
        times = np.linspace(0.0, self.path[-1].time, self.steps + 1)[1:].tolist()
        there = machine or Machine(workers or len(cells["cell"].batches))
        return Simulation(
            coarse, cells, times, coupling.find(scheme), there, self.costs, self.tolerance, seed=self.seed,
            extrapolate=extrapolate,
        ).run()  # fmt: skip

    def known(self, run: Simulated) -> Known:
        """LB1 along the path of a run."""
        return known_path(self.problem()[1], run.path, self.costs, run.workers, self.tolerance)

    def with_seed(self, seed: int) -> Study:
        """The same with other costs."""
        return replace(self, seed=seed)


def history(steps: int = 20) -> Study:
    """Viscoplastic cells: Norton creep, most of the strain inelastic at the end."""
    return Study(Layers(1e9, rate=1e-20, law="creep"), steps=steps)


def no_history(steps: int = 40) -> Study:
    """Cells without memory: Ramberg-Osgood."""
    return Study(Layers(1e9, rate=3e-21, law="curved"), steps=steps)


def reversal(steps: int = 20) -> Study:
    """Viscoplastic cells under a load that turns twice and passes zero, where a power law is steepest and far from it flat."""
    return Study(Layers(1e9, rate=1e-20, law="creep"), elements=4, steps=steps, path=TURN)


def softening(steps: int = 16) -> Study:
    """Cells that fall beyond their peak, in a bar pulled by its end."""
    cells = Layers(1e9, law="softening", peak=2e-3, viscosity=2e8, count=2, scatter=0.3)
    return Study(cells, elements=4, steps=steps, held="both", path=(Load(10.0, stretch=8e-3),), foundation=0.0)


def snap_through(steps: int = 40, dashpot: float = 1e7) -> Study:
    """Supports that fall between two states at rest, loaded beyond their peak. With little dashpot steps have to be cut."""
    cells = Layers(3e6, rate=3e-19, law="curved", count=2)
    return Study(cells, elements=6, steps=steps, path=(Load(10.0, body=1.5e5),), snap=5e-3, dashpot=dashpot)

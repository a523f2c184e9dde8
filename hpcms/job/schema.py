"""The tables of a job file as typed objects. A field is a key; ``Unit`` says its SI unit and bounds.

The tables of fine and coarse models are not here: their keys are the fields of the model's own dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from hpcms.contracts import Unit

SCHEMA_VERSION = 1
SIZES = ("ci", "node", "cluster")

Count = Annotated[int, Unit("", least=1, most=2**31 - 1)]
Tolerance = Annotated[float, Unit("", least=1e-14, most=0.1)]
Ratio = Annotated[float, Unit("", least=0.001, most=1000)]
Relaxation = Annotated[float, Unit("", above=0, most=2)]
Edge = Annotated[int, Unit("", least=1, most=4096)]
Length = Annotated[float, Unit("m", above=0)]


@dataclass(frozen=True)
class Rectangle:
    """A vertical section; x to the right, y upwards, the origin at the lower left corner."""

    size: tuple[Length, Length]
    elements: tuple[Count, Count]
    grading: tuple[Ratio, Ratio] = (1.0, 1.0)
    kind: Literal["rectangle"] = "rectangle"


@dataclass(frozen=True)
class PlateWithHole:
    """The quarter x, y >= 0 of a plate with a round hole at the origin; elements around the hole and away from it."""

    size: tuple[Length, Length]
    radius: Length
    elements: tuple[Count, Count]
    grading: tuple[Ratio, Ratio] = (1.0, 1.0)
    kind: Literal["plate_with_hole"] = "plate_with_hole"


Plane = Rectangle | PlateWithHole


@dataclass(frozen=True)
class Interval:
    """A line from x = 0."""

    size: Length
    elements: Count
    grading: Ratio = 1.0
    kind: Literal["interval"] = "interval"


@dataclass(frozen=True)
class Points:
    """Material points without a domain: each of ``[[sites]]`` is driven along its own path."""

    kind: Literal["points"] = "points"


Domain = Annotated[Rectangle | PlateWithHole | Interval | Points, Field(discriminator="kind")]


@dataclass(frozen=True)
class Time:
    """Steps of equal length from zero to ``end``; a rejected step is halved, down to ``min_step``."""

    end: Annotated[float, Unit("s", above=0)]
    steps: Annotated[int, Unit("", least=1, most=10**7)]
    min_step: Annotated[float, Unit("s", above=0)] | None = None

    @property
    def start(self) -> float:
        """Every run begins at time zero."""
        return 0.0


@dataclass(frozen=True)
class Microstructure:
    """What regions are made of: windows of an image, or a drawn cell that all regions share."""

    phases: tuple[str, ...]
    image: str | None = None
    threshold: Literal["otsu"] | float | None = None
    coarsen: Annotated[int, Unit("", least=1, most=64)] = 1  # grey values are averaged over cubes of this edge first
    window: Edge | None = None
    mirror: bool = True
    seed: Annotated[int, Unit("", least=0)] = 0
    generator: Literal["laminate", "checkerboard", "sphere", "disc", "square", "homogeneous", "crack"] | None = None
    shape: tuple[Edge, Edge, Edge] | None = None
    fraction: Annotated[float, Unit("", least=0, most=1)] = 0.5
    spread: Annotated[float, Unit("", least=0, most=0.5)] = 0.0  # the fraction of a region is fraction +- spread
    axis: Annotated[int, Unit("", least=0, most=2)] = 0
    voxel: Annotated[float, Unit("m", above=0)] = (
        1.0  # edge of a (coarsened) voxel, for models with a length of their own
    )


@dataclass(frozen=True)
class Drive:
    """What is imposed on a site at a time; linear in between. Symmetric tensors in Mandel order 11 22 33 23 13 12."""

    time: Annotated[float, Unit("s")]
    gradient: Annotated[tuple[float, float, float], Unit("K/m")] | None = None
    strain: tuple[float, float, float, float, float, float] | None = None
    deformation: tuple[float, float, float, float, float, float, float, float, float] | None = None  # 11 12 13 21 .. 33
    stress: Annotated[tuple[float, float, float, float, float, float], Unit("Pa")] | None = None
    temperature: Annotated[float, Unit("K", above=0)] | None = None


@dataclass(frozen=True)
class Site:
    """A material point, and the path of drives for fields that follow one."""

    name: str
    path: tuple[Drive, ...] = ()


@dataclass(frozen=True)
class Coupling:
    """How the scales and the fields talk to each other. ``relaxation``: factor on the updates of staggered fields.

    ``agents``: each worker keeps a queue of its own, which the scheduler does not see; "auto": with very many batches.
    ``batch``: regions of a task; "auto" takes as many as 0.1 to 0.5 s need, by the cost that the fine model tells.
    """

    scheme: str = "nested"
    fields: Literal["staggered", "monolithic"] = "staggered"
    tolerance: Tolerance = 1e-6
    relaxation: Relaxation | dict[str, Relaxation] = 1.0
    max_sweeps: Annotated[int, Unit("", least=1, most=10**5)] = 30
    agents: Literal["auto"] | bool = "auto"
    batch: Literal["auto"] | Annotated[int, Unit("", least=1, most=10**6)] = "auto"
    ranks: Annotated[int, Unit("", least=0, most=10**6)] = 0
    keep: Annotated[int, Unit("", least=0)] = 0


@dataclass(frozen=True)
class Claim:
    """A computed value against a known one: ``want`` within ``tolerance``, or inside the range ``want``."""

    id: str
    quantity: str
    want: float | tuple[float, float]
    basis: str
    tolerance: Annotated[float, Unit("", least=0)] | None = None
    absolute: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FineSpec:
    """``[fine.NAME]``: the model's name in the registry and its parameters, an object of the model's class."""

    model: str
    params: Any


@dataclass(frozen=True)
class CoarseSpec:
    """``[coarse.FIELD]``: the field model, the fine model that answers for it, and its parameters."""

    model: str
    fine: str | None
    params: Any


@dataclass(frozen=True)
class Frame:
    """All tables but those of the models."""

    schema_version: Annotated[int, Unit("", least=1)]
    title: str
    domain: Domain
    time: Time
    description: str = ""
    microstructure: Microstructure | None = None
    sites: tuple[Site, ...] = ()
    coupling: Coupling = field(default_factory=Coupling)
    petsc: dict[str, Any] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()

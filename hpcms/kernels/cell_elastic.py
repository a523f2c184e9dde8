"""Effective response of an elastic voxel cell to a mean strain, with one of the three boundary conditions of Hill and Mandel.

``periodic``: periodic fluctuation. ``displacement``: the boundary moves with the mean strain. ``traction``: the traction is
that of a uniform stress, found such that the mean strain is the given one (the last two: ``cell_elastic_walls``).

Trilinear hexahedra, full integration. A periodic cell is solved on the box of the voxels that differ from the most frequent
phase (``box_elastic``); if its image is even along all three axes, on an eighth of it, one symmetry class of load at a time.
Conjugate gradients run in single precision, the residual is recomputed in double precision, and what it still lacks is solved
for again, in double precision where single does not help. They stop when the nodal residual is below ``tolerance`` times that
of the uniform strain. Inside, lengths are in voxel edges and moduli in shear moduli of the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.box_green import Cells
from hpcms.kernels.box_solver import Box, extents, refined
from hpcms.kernels.cell_elastic_frame import CLASSES, framed
from hpcms.kernels.cell_elastic_walls import WalledCell
from hpcms.kernels.crew import Crew
from hpcms.kernels.green_vector import GreenVector

BOUNDARIES = ("periodic", "displacement", "traction")
ROUNDING = 1e-13  # nodal forces below this share of the stress count as zero
TOGETHER = 1 << 18  # nodes up to which load cases are solved together


@dataclass(frozen=True, eq=False)
class ElasticState:
    """One load case: (6,) mean stress in Pa, ``<sigma:eps>`` in Pa, CG iterations, relative true residual."""

    stress: Array
    work: float
    iterations: int
    residual: float
    field: Callable[[], Array]

    @property
    def displacement(self) -> Array:
        """The fluctuation in m at the lower corners of the voxels, (3, nx, ny, nz); with walls one node
        more along axes of more than one voxel."""
        return self.field()


class ElasticCell:
    """``phase``: (nx, ny, nz) integers, rows of ``moduli``: (P, 2) Lame moduli, or (P, 6, 6) stiffnesses (Mandel), in
    Pa, zero for void.

    ``double``: no single precision. ``mirror``: whether symmetry may be used. ``threads`` never change the bits.
    """

    def __init__(self, phase: Array, moduli: Array, spacing: Sequence[float] = (1.0, 1.0, 1.0), boundary: str = "periodic",
                 double: bool = False, mirror: bool = True, threads: int = 1) -> None:  # fmt: skip
        if boundary not in BOUNDARIES:
            raise ValueError(f"unknown boundary condition {boundary!r}")
        self.moduli, self.edge = np.asarray(moduli, float), float(min(spacing))
        self.walls: WalledCell | None = None
        if boundary != "periodic":
            self.walls = WalledCell(phase, self.moduli, (spacing[0], spacing[1], spacing[2]), boundary)
            return
        self.frame = framed(phase, self.moduli, spacing, mirror)
        self.kinds = [np.dtype(k) for k in ((np.float64,) if double else (np.float32, np.float64))]
        self.crew = Crew(threads)
        self.boxes: dict[Any, Box] = {}

    def box(self, kind: Any) -> Box:
        """The solver in one precision, made when it is first needed."""
        if kind not in self.boxes:
            f, other = self.frame, next(iter(self.boxes.values()), None)
            self.boxes[kind] = Box(f.shape, f.nodes, f.mirrored, f.spacing, f.reference, f.label[None],
                                   extents(f.differs[f.label]), f.table, kind, self.crew, other)  # fmt: skip
        return self.boxes[kind]

    def solve(self, strain: Array, tolerance: float = 1e-6, maximum: int = 2000) -> ElasticState:
        """Mean strain (6,) Mandel. The caller checks ``residual``."""
        return self.solve_all(np.asarray(strain, float)[None], tolerance, maximum)[0]

    def solve_all(self, strains: Array, tolerance: float = 1e-6, maximum: int = 2000) -> list[ElasticState]:
        """Mean strains (R, 6)."""
        if self.walls is not None:
            return [ElasticState(*self.walls.solve(strain, tolerance, maximum)) for strain in strains]
        turned = [self.frame.split(strain) for strain in strains]
        parts = [(n, E, c) for n, group in enumerate(turned) for E, c in group]
        solved: list[list[Part]] = [[] for _ in strains]
        at_once = max(1, TOGETHER // int(np.prod(self.frame.nodes)))
        for first in range(0, len(parts), at_once):
            some = parts[first : first + at_once]
            found = self._solve(np.array([E for _, E, _ in some]), [c for _, _, c in some], tolerance, maximum)
            for (n, _, _), part in zip(some, found, strict=True):
                solved[n].append(part)
        return [self._state(strain, group) for strain, group in zip(strains, solved, strict=True)]

    def stiffness(
        self, columns: Sequence[int], tolerance: float = 1e-6, maximum: int = 2000
    ) -> tuple[Array, list[ElasticState]]:
        """(6, 6) with NaN in columns not asked for. A load that a symmetry of the image carries into one before is not solved."""
        C, states = np.full((6, 6), np.nan), {}
        turns = self.frame.turns() if self.walls is None and len(columns) > 1 else []
        wanted = [k for k in columns if not any(turn[j] == k for turn in turns for j in columns if j < k)]
        for k, state in zip(wanted, self.solve_all(np.eye(6)[wanted], tolerance, maximum), strict=True):
            C[:, k], states[k] = state.stress, state
        for k in columns:
            if k not in states:
                turn, j = next((t, j) for t in turns for j in wanted if t[j] == k)
                C[turn, k], states[k] = C[:, j], states[j]
        return C, [states[k] for k in columns]

    def _cells(self, classes: list[int]) -> Cells:
        R = len(classes)
        blocks, mirror = np.tile([0, 2], (R, 3, 1)), np.full((R, 3, 4), -1)
        if self.frame.mirrored:
            for m, axis in np.ndindex(R, 3):
                odd = classes[m] >> axis & 1
                blocks[m, axis] = odd, odd + 1
                mirror[m, axis, :3] = odd ^ (np.arange(3) == axis)
                mirror[m, axis, 3] = self.frame.shape[axis] // 2
        return Cells(np.zeros(R, np.int64), blocks.astype(np.int64), mirror.astype(np.int64))

    def _solve(self, E: Array, classes: list[int], tolerance: float, maximum: int) -> list[Part]:
        """Loads E (R, 6) of one class each, in the frame."""
        least = self.frame.force(E) * ROUNDING
        with self.crew:
            found = refined(self.box, self.kinds, self._cells(classes), E, least, tolerance, maximum)
        return [Part(classes[m], found.total[m], float(found.gap[m]), int(found.iterations[m]), float(found.residual[m]),
                     float(found.size[m]), found.forces[m]) for m in range(len(E))]  # fmt: skip

    def _state(self, strain: Array, parts: list[Part]) -> ElasticState:
        """The sum of the parts of a load."""
        f, stress, gap = self.frame, np.zeros(6), 0.0
        for part in parts:
            seen = part.kind == CLASSES if f.mirrored else np.ones(6, bool)
            stress += np.where(seen, part.total, 0.0) / f.volume
            gap += part.gap / f.volume
        stress = f.unit * (f.uniform(strain) + f.back6(stress))
        work = float(stress @ strain) + f.unit * gap
        size = sum(part.size**2 for part in parts)
        left = sum((part.residual * part.size) ** 2 for part in parts)
        residual = float(np.sqrt(left / size)) if size > 0 else 0.0
        return ElasticState(stress, work, sum(p.iterations for p in parts), residual, lambda: self._displacement(parts))

    def _displacement(self, parts: list[Part]) -> Array:
        """The fluctuation at all nodes of the image."""
        f, box = self.frame, self.box(np.dtype(float))
        forces = sum((f.everywhere(box.dense(part.forces), part.kind) for part in parts), np.zeros((3, *f.shape)))
        h = f.spacing
        green = GreenVector(f.shape, (float(h[0]), float(h[1]), float(h[2]))).set_moduli(*f.reference)
        return self.edge * f.back_field(green(forces, np.empty_like(forces)))


@dataclass(frozen=True, eq=False)
class Part:
    """What a load of one class gives: (6,) integral of the contrast stress, u.f, iterations, residual, load, forces s."""

    kind: int
    total: Array
    gap: float
    iterations: int
    residual: float
    size: float
    forces: Array


def labelled(lam: Array, mu: Array) -> tuple[Array, Array]:
    """Fields of Lame moduli (nx, ny, nz) as places (nx, ny, nz) in a table (P, 2)."""
    pairs = np.stack([lam.reshape(-1), mu.reshape(-1)], axis=1).astype(float).view(complex).reshape(-1)
    table, label = np.unique(pairs, return_inverse=True)
    return label.reshape(lam.shape), np.stack([table.real, table.imag], axis=1)


def solve_elastic(lam: Array, mu: Array, strain: Array, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
                  tolerance: float = 1e-6, boundary: str = "periodic") -> ElasticState:  # fmt: skip
    """One load case of a fresh ``ElasticCell`` for fields of Lame moduli; several load cases of one cell share the cell."""
    return ElasticCell(*labelled(lam, mu), spacing, boundary).solve(strain, tolerance)

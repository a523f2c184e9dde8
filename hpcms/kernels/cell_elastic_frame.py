"""A periodic elastic cell seen so that little is left to solve: axes in order of length, the voxels that differ first.

The reference is the most frequent phase that carries load. In a mirrored image only a window is kept, an eighth of the cell,
seen from the plane of symmetry that is nearer to what differs (a mirrored cell moved by half its period is mirrored again).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.hex8_anisotropic import engineering, isotropic, nearest_isotropic

Triple = tuple[int, int, int]
CLASSES = np.array(
    [0, 0, 0, 6, 5, 3]
)  # by strain component: the axes (bits 1, 2, 4) under whose mirror its fields are odd
NOTHING = 1e-14  # a contrast below this share of the reference is rounding
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # of the Mandel components


@dataclass(frozen=True, eq=False)
class Frame:
    """``order``: axes of the image that became x y z; ``start``: node of the turned image that is the origin of the box;
    ``shape``: nodes of the turned cell, ``nodes`` of the box; ``label``: (ex, ey, ez) rows of ``table``, Lame moduli (P, 2)
    or stiffnesses (P, 6, 6) less the ``reference``, in units of ``unit`` (Pa); ``differs``: (P,) which rows are not zero;
    ``spacing`` of the turned cell in shortest edges; ``volume`` of the cell or window.
    """

    phase: Array
    moduli: Array
    order: tuple[int, ...]
    start: tuple[int, ...]
    shape: Triple
    nodes: Triple
    mirrored: bool
    spacing: Array
    label: Array
    table: Array
    differs: Array
    reference: tuple[float, float]
    unit: float
    volume: float

    def _places(self) -> list[int]:
        """Mandel component of the image for each one of the turned frame."""
        return _places(self.order)

    def split(self, strain: Array) -> list[tuple[Array, int]]:
        """A strain as parts of one symmetry class each, in the turned frame."""
        turned = np.asarray(strain, float)[self._places()]
        if not self.mirrored:
            return [(turned, 0)]
        classes = sorted({int(c) for c, e in zip(CLASSES, turned, strict=True) if e != 0.0}) or [0]
        return [(np.where(c == CLASSES, turned, 0.0), c) for c in classes]

    def back6(self, stress: Array) -> Array:
        """(6,) Mandel from the turned frame to the image."""
        out = np.empty(6)
        out[self._places()] = stress
        return out

    def uniform(self, strain: Array) -> Array:
        """Stress of the reference under a strain, in ``unit``."""
        lam, mu = self.reference
        return lam * strain[:3].sum() * np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) + 2.0 * mu * strain

    def force(self, E: Array) -> Array:
        """(R,) size of the nodal forces that the stress of strains E (R, 6) makes, root mean square by node."""
        most = np.abs(self.table).max() + max(self.reference)
        size = most * np.sqrt((E * E).sum(axis=1)) * self.volume / float(self.spacing.max())
        return size / np.sqrt(3.0 * np.prod(self.shape))

    def turns(self) -> list[list[int]]:
        """Mandel components after each exchange of axes that leaves the image as it is."""
        found, edges = [], self.spacing[np.argsort(self.order)]
        for order in permutations(range(3)):
            same = all(self.phase.shape[a] == self.phase.shape[b] and edges[a] == edges[b] for a, b in enumerate(order))
            turn = _places(order)
            same = same and (self.moduli.ndim == 2 or np.array_equal(self.moduli, self.moduli[:, turn][:, :, turn]))
            if same and order != (0, 1, 2) and np.array_equal(self.phase, self.phase.transpose(order)):
                found.append(turn)
        return found

    def everywhere(self, box: Array, kind: int) -> Array:
        """Forces (3, box) of one class at all nodes (3, nx, ny, nz) of the turned cell."""
        out = np.zeros((3, *self.shape))
        nodes = [np.arange(n) for n in box.shape[1:]]
        if not self.mirrored:
            x, y, z = ((i + s) % n for i, s, n in zip(nodes, self.start, self.shape, strict=True))
            out[:, x[:, None, None], y[:, None], z] = box
            return out
        for image in np.ndindex(2, 2, 2):
            value = box.copy()
            for axis, side in enumerate(image):
                i = nodes[axis].reshape([-1 if a == axis else 1 for a in range(3)])
                value *= np.where((i == 0) | (2 * i == self.shape[axis]), 2.0, 1.0)
                if side:
                    value *= np.array([1 - 2 * ((kind >> axis & 1) ^ (c == axis)) for c in range(3)])[
                        :, None, None, None
                    ]
            x, y, z = ((s + (1 - 2 * side) * i) % n
                       for i, s, n, side in zip(nodes, self.start, self.shape, image, strict=True))  # fmt: skip
            out[:, x[:, None, None], y[:, None], z] = value
        return out

    def back_field(self, u: Array) -> Array:
        """A vector field from the turned cell to the image."""
        place = np.argsort(self.order)
        return np.ascontiguousarray(u[place].transpose(0, *(1 + place)))


def framed(phase: Array, moduli: Array, spacing: Sequence[float], mirror: bool = True) -> Frame:
    """The frame of an image. ``moduli``: (P, 2) Lame moduli or (P, 6, 6) stiffnesses in Pa. Without a phase that carries load
    nothing is solved."""
    reference, unit = _reference(np.bincount(phase.reshape(-1), minlength=len(moduli)), moduli)
    order = tuple(int(a) for a in np.argsort(phase.shape, kind="stable"))
    if moduli.ndim == 2:
        table = (moduli - reference) / unit
    else:
        places = _places(order)
        table = engineering(moduli[:, places][:, :, places] - isotropic(*reference)) / unit
    table[np.abs(table) < NOTHING] = 0.0
    differs = np.any(table.reshape(len(table), -1) != 0, axis=1)
    turned, edges = phase.transpose(order), np.array([spacing[a] for a in order]) / min(spacing)
    even = moduli.ndim == 2 or not np.any(moduli[:, CLASSES[:, None] != CLASSES])
    mirrored = mirror and even and is_mirrored(turned)
    label, start, nodes = _window(turned, differs) if mirrored else _box(turned, differs)
    nx, ny, nz = turned.shape
    return Frame(
        phase=phase, moduli=moduli, order=order, start=start, shape=(nx, ny, nz), nodes=nodes, mirrored=mirrored,
        spacing=edges, label=np.ascontiguousarray(label, np.int32), table=table, differs=differs,
        reference=(reference[0] / unit, reference[1] / unit), unit=unit,
        volume=float(np.prod(edges)) * phase.size / (8 if mirrored else 1),
    )  # fmt: skip


def _reference(count: Array, moduli: Array) -> tuple[tuple[float, float], float]:
    """Lame moduli of the most frequent isotropic phase that carries load, or those of the mean; and the unit of stress."""
    if moduli.ndim == 2:
        lame = [(float(lam), float(mu)) for lam, mu in moduli]
        own = np.ones(len(moduli), bool)
    else:
        lame = [nearest_isotropic(C) for C in moduli]
        own = np.array([np.abs(C - isotropic(*pair)).max() <= NOTHING * np.abs(C).max() for C, pair in
                        zip(moduli, lame, strict=True)])  # fmt: skip
    solid = np.array([pair[1] > 0 for pair in lame]) & (count > 0)
    if not solid.any():
        return (0.0, 1.0), 1.0
    if (solid & own).any():
        best = lame[int(np.argmax(np.where(solid & own, count, -1)))]
        return best, best[1]
    share = np.where(solid, count, 0) / count[solid].sum()
    lam, mu = (float(share @ np.array(lame)[:, k]) for k in range(2))
    return (lam, mu), mu


def is_mirrored(phase: Array) -> bool:
    """Whether the image is even along all three axes."""
    even = all(n % 2 == 0 for n in phase.shape)
    return even and all(np.array_equal(phase, np.flip(phase, axis)) for axis in range(3))


def _used(phase: Array, differs: Array) -> list[Array]:
    """By axis the places at which some voxel differs."""
    other: Array = differs[phase]
    return [np.flatnonzero(np.any(other, axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]


def _window(phase: Array, differs: Array) -> tuple[Array, tuple[int, ...], Triple]:
    """Labels of an eighth of a mirrored cell, as far as it differs; the node at its origin; its nodes."""
    half = [n // 2 for n in phase.shape]
    window, start = phase[: half[0], : half[1], : half[2]], [0, 0, 0]
    for axis, used in enumerate(_used(window, differs)):
        low, high = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
        if half[axis] - low < high:
            window, start[axis], high = np.flip(window, axis), half[axis], half[axis] - low
        window = window.take(np.arange(high), axis=axis)
    x, y, z = window.shape
    return window, tuple(start), (x + 1, y + 1, z + 1)


def _box(phase: Array, differs: Array) -> tuple[Array, tuple[int, ...], Triple]:
    """Labels of the smallest box on the ring that holds all that differs; the node at its origin; its nodes.

    A box that leaves room has an odd number of nodes, so that it has a node in the middle.
    """
    start, places, nodes = [], [], []
    for used, n in zip(_used(phase, differs), phase.shape, strict=True):
        first, length = 0, 1
        if used.size:
            gaps = np.diff(np.append(used, used[0] + n))
            widest = int(np.argmax(gaps))
            first, length = int(used[(widest + 1) % used.size]), int(n - gaps[widest] + 1)
        start.append(first)
        places.append((first + np.arange(length)) % n)
        nodes.append(min(length + 1 + length % 2, n) if length < n else n)
    return phase[np.ix_(*places)], tuple(start), (nodes[0], nodes[1], nodes[2])


def _places(order: Sequence[int]) -> list[int]:
    """Mandel components before a change of axes for each one after it."""
    return [PAIRS.index((min(order[a], order[b]), max(order[a], order[b]))) for a, b in PAIRS]

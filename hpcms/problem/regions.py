"""Which piece of microstructure each region stands for.

A ``Source`` is a small address; the image itself is read and segmented once on each worker that needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpcms.contracts import Array, Regions
from hpcms.problem import images
from hpcms.problem.generators import GENERATORS, Shape


@dataclass(frozen=True)
class Source:
    """Where regions take their voxels from.

    ``image``: a file whose windows are cut at another offset for each region, or ``generator``: the name of a drawn cell
    that all regions share, unless ``spread`` varies its fraction from region to region; neither: fine models without
    voxels. ``names``: the phases by label. ``coarsen``: the grey values are first averaged over cubes of this edge.
    ``window``: edge in (coarsened) voxels; ``voxel``: theirs in m.
    """

    names: tuple[str, ...] = ()
    image: str = ""
    threshold: str | float | None = None
    coarsen: int = 1
    window: int = 0
    mirror: bool = True
    seed: int = 0
    generator: str = ""
    shape: Shape = (1, 1, 1)
    fraction: float = 0.5
    axis: int = 0
    spread: float = 0.0
    voxel: float = 1.0

    def labels(self) -> Array:
        """The whole segmented image, or the drawn cell; an array without voxels if there is none."""
        if self.generator:
            return GENERATORS[self.generator](self.shape, self.fraction, self.axis)
        if not self.image:
            return np.zeros((0, 0, 0), dtype=np.uint8)
        grey = images.load_image(Path(self.image))
        if self.threshold is None:
            return grey.astype(np.uint8)
        limit = images.otsu(grey) if self.threshold == "otsu" else self.threshold  # of the image as it was measured
        return images.segment(averaged(grey, self.coarsen), limit)

    def offsets(self, shape: tuple[int, ...], count: int) -> Array:
        """(count, 3) corners of the windows, all different; zeros where nothing is cut."""
        if not self.image:
            return np.zeros((count, 3), dtype=np.int64)
        return images.windows(shape, self.window, count, self.seed)

    def cut(self, labels: Array, ids: Array, offsets: Array) -> Regions:
        """The regions ``ids`` with their windows of ``labels``."""
        if self.image:
            phases = images.periodic_windows(labels, offsets, self.window, self.mirror)
        elif self.generator and self.spread:
            draw = GENERATORS[self.generator]
            phases = np.array([draw(self.shape, f, self.axis) for f in self.fractions(ids)]).reshape(-1, *self.shape)
        else:
            phases = np.broadcast_to(labels, (len(ids), *labels.shape)).copy()
        return Regions(ids=np.asarray(ids, dtype=np.int64), phases=phases, names=self.names, spacing=(self.voxel,) * 3,
                       mirrored=bool(self.image) and self.mirror and min(phases.shape[1:]) > 1)  # fmt: skip

    def fractions(self, ids: Array) -> Array:
        """(R,) what is drawn in each region: ``fraction`` +- ``spread``, evenly filled by multiples of the golden ratio."""
        turn = np.modf((np.asarray(ids, float) + 1 + self.seed) * (np.sqrt(5) - 1) / 2)[0]
        return np.asarray(self.fraction + self.spread * (2 * turn - 1))


def averaged(grey: Array, edge: int) -> Array:
    """Mean over cubes of ``edge`` voxels; what is left over at the far ends is cut off."""
    if edge == 1:
        return grey
    n = [size // edge for size in grey.shape]
    cut = grey[: n[0] * edge, : n[1] * edge, : n[2] * edge].astype(np.float64)
    return cut.reshape(n[0], edge, n[1], edge, n[2], edge).mean(axis=(1, 3, 5))

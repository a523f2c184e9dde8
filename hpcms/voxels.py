"""What everything that homogenises a voxel image does first: read it, label it, find its phases, check the settings.

All of it raises ``BadInput`` before any work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import BadInput
from hpcms.problem import images

BOUNDARIES = ("periodic", "displacement", "traction")
Phase = Any  # a label as number or text
Spacing = tuple[float, float, float]


def labels(image: Any, threshold: str | float | None, crop: Any, mirror: bool, dataset: str | None) -> Array:
    """(nx, ny, nz) uint8 from an array or a file; the arguments are those of ``hpcms.homogenize``."""
    if isinstance(image, str | Path):
        name, grey = str(image), images.load_image(image, dataset)
    else:
        name, grey = "image", images.as_image(image)
    found = images.labels(grey, name) if threshold is None else images.segment(grey, threshold)
    found = found if crop is None else images.crop(found, crop)
    return images.mirror(found) if mirror else found


def indexed(labelled: Array, given: Mapping[Phase, Any], rest: bool = False) -> tuple[Array, tuple[str, ...]]:
    """The image as places in the tuple of labels that occur in it. ``rest``: labels that are not ``given`` are welcome."""
    known = {str(key) for key in given}
    found = np.flatnonzero(np.bincount(labelled.ravel()))
    missing = [str(label) for label in found if str(label) not in known]
    if missing and not rest:
        raise BadInput(
            f"homogenize: the image has voxels with label {', '.join(missing[:10])} and no phase of that name",
            f"labels in the image: {', '.join(map(str, found[:20]))}; phases given: {', '.join(map(str, given))}",
        )
    place = np.zeros(256, np.uint8)
    place[found] = np.arange(found.size)
    return place[labelled], tuple(str(label) for label in found)


def fractions(phase: Array, used: tuple[str, ...]) -> dict[str, float]:
    """Volume fractions by label."""
    counts = np.bincount(phase.ravel(), minlength=len(used)) / phase.size
    return dict(zip(used, counts.tolist(), strict=True))


def checked_spacing(spacing: Any) -> Spacing:
    """Voxel edges in m, 1 where none are given."""
    try:
        edges = [float(h) for h in ((1.0, 1.0, 1.0) if spacing is None else spacing)]
    except (TypeError, ValueError):
        edges = []
    if len(edges) != 3 or not all(np.isfinite(h) and h > 0 for h in edges):
        raise BadInput(f"spacing: needs three voxel edges > 0 in m (got {spacing!r})", "for example (2e-5, 2e-5, 2e-5)")
    return edges[0], edges[1], edges[2]


def check_boundary(boundary: str, known: tuple[str, ...] = BOUNDARIES) -> None:
    if boundary not in known:
        raise BadInput(f"boundary: unknown boundary condition {boundary!r}", f"known: {', '.join(known)}")


def check_tolerance(tolerance: Any) -> None:
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 < tolerance < 1:
        raise BadInput(f"tolerance: must be between 0 and 1 (got {tolerance!r})", "for example 1e-6")

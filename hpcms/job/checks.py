"""What no single key can tell: keys against each other, models against domain and phases."""

from __future__ import annotations

from pathlib import Path as File
from typing import Any

from hpcms.job.files import check_image
from hpcms.job.problems import Problems, did_you_mean, show
from hpcms.job.schema import Claim, CoarseSpec, FineSpec, Frame, Microstructure, Points, Site, Time


def check_frame(frame: Frame, tree: dict[str, Any], folder: File, problems: Problems) -> None:
    """The tables that are no models."""
    _check_time(frame.time, problems)
    if frame.microstructure is not None:
        _check_microstructure(frame.microstructure, folder, problems)
    _check_sites(frame, folder, problems)
    _check_claims(frame.claims, problems)
    _check_scheme(frame, problems)
    if not tree.get("fine"):
        problems.add(("fine",), "missing table", "add a fine model: [fine.NAME]", at_key=True)
    if not tree.get("coarse") and not isinstance(frame.domain, Points):
        problems.add(("coarse",), "missing table", "add a coarse field: [coarse.FIELD]", at_key=True)


def check_models(
    frame: Frame, fine: dict[str, FineSpec], coarse: dict[str, CoarseSpec], problems: Problems
) -> None:
    """Models against phases and domain."""
    for name, spec in fine.items():
        _check_phases(name, spec, frame.microstructure, problems)


def _check_time(time: Time, problems: Problems) -> None:
    if time.end <= time.start:
        problems.add(("time", "end"), f"must be after start ({time.end:g} s <= {time.start:g} s)")
    elif time.min_step is not None and time.min_step > (time.end - time.start) / time.steps:
        step = (time.end - time.start) / time.steps
        problems.add(("time", "min_step"), f"must not be longer than a step ({time.min_step:g} s > {step:g} s)")


def _check_microstructure(micro: Microstructure, folder: File, problems: Problems) -> None:
    path = ("microstructure",)
    if not micro.phases:
        problems.add((*path, "phases"), "must name at least one phase")
    if len(set(micro.phases)) < len(micro.phases):
        problems.add((*path, "phases"), "names a phase twice")
    if (micro.image is None) == (micro.generator is None):
        text = "needs an image or a generator" if micro.image is None else "cannot have an image and a generator"
        problems.add(path, text, 'image = "data/sample.tif" or generator = "laminate"')
        return
    if micro.image is not None:
        check_image(micro.image, folder, (*path, "image"), problems)
        if micro.window is None:
            problems.add((*path, "window"), "missing key", "add window = 16 (voxels along an edge)", at_key=True)
        if micro.threshold is not None and len(micro.phases) != 2:
            problems.add((*path, "phases"), f"a threshold makes two phases (got {len(micro.phases)})")
        return
    if micro.shape is None:
        problems.add((*path, "shape"), "missing key", "add shape = [16, 16, 16]", at_key=True)
    wanted = 1 if micro.generator == "homogeneous" else 2
    if len(micro.phases) not in (wanted, 2):
        problems.add((*path, "phases"), f'must be two phases for "{micro.generator}" (got {len(micro.phases)})')
    most = {"sphere": 0.5235, "disc": 0.7853}.get(micro.generator or "", 1.0)  # where neighbours touch
    if micro.fraction > most:
        problems.add((*path, "fraction"), f"must be <= {most} for a {micro.generator} (got {micro.fraction})")


def _check_sites(frame: Frame, folder: File, problems: Problems) -> None:
    """Sites belong to material points; each has a name of its own and a path in the order of time."""
    if isinstance(frame.domain, Points) and not frame.sites:
        problems.add(("sites",), "missing key", "material points are listed in [[sites]] tables", at_key=True)
    if frame.sites and not isinstance(frame.domain, Points):
        problems.add(("sites",), 'belongs to domain.kind = "points"', at_key=True)
    seen: set[str] = set()
    for i, site in enumerate(frame.sites):
        if site.name in seen:
            problems.add(("sites", i, "name"), f"used twice (got {show(site.name)})")
        seen.add(site.name)
        _check_path(i, site, problems)
        if site.image is not None:
            check_image(site.image, folder, ("sites", i, "image"), problems)


def _check_path(i: int, site: Site, problems: Problems) -> None:
    path = ("sites", i, "path")
    if not site.path:
        problems.add(path, "must have at least one entry")
    drives = ("gradient", "strain", "stress", "temperature")
    kinds = [tuple(d for d in drives if getattr(point, d) is not None) for point in site.path]
    for k, (point, kind) in enumerate(zip(site.path, kinds, strict=True)):
        if not kind:
            problems.add((*path, k), f"imposes nothing; one of {', '.join(drives)}")
        elif kind != kinds[0]:
            problems.add((*path, k), f"imposes {' and '.join(kind)}, the first entry {' and '.join(kinds[0])}")
        if "strain" in kind and "stress" in kind:
            problems.add((*path, k), "imposes strain and stress at once")
        if k and point.time <= site.path[k - 1].time:
            problems.add((*path, k, "time"), f"must be after the entry before it (got {point.time:g} s)")


def _check_claims(claims: tuple[Claim, ...], problems: Problems) -> None:
    for i, claim in enumerate(claims):
        path = ("claims", i)
        if not claim.id.strip():
            problems.add((*path, "id"), "must not be empty")
        if isinstance(claim.want, tuple):
            if claim.want[0] > claim.want[1]:
                problems.add((*path, "want"), f"must be [low, high] (got [{claim.want[0]:g}, {claim.want[1]:g}])")
            if claim.tolerance is not None:
                problems.add((*path, "tolerance"), "a range has no tolerance", "remove it", at_key=True)
        elif claim.tolerance is None:
            problems.add((*path, "tolerance"), "missing key", "add tolerance = 0.01", at_key=True)


def _check_scheme(frame: Frame, problems: Problems) -> None:
    from hpcms import coupling

    if frame.coupling.scheme not in coupling.names():
        hint = did_you_mean(frame.coupling.scheme, coupling.names(), "schemes")
        problems.add(("coupling", "scheme"), f"unknown scheme (got {show(frame.coupling.scheme)})", hint)


def _check_phases(name: str, spec: FineSpec, micro: Microstructure | None, problems: Problems) -> None:
    """A fine model has parameters for every phase of the microstructure, and for no other."""
    given = getattr(spec.params, "phases", None)
    if not isinstance(given, dict) or micro is None:
        return
    for phase in micro.phases:
        if phase not in given:
            text = f'no parameters for phase "{phase}"'
            problems.add(("fine", name), text, f"add [fine.{name}.phases.{phase}]", at_key=True)
    for phase in given:
        if phase not in micro.phases:
            hint = did_you_mean(phase, micro.phases, "phases of the microstructure")
            problems.add(("fine", name, "phases", phase), "undefined phase", hint, at_key=True)

"""What no single key can tell: keys against each other, models against domain and phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path as File
from typing import Any

import numpy as np

from hpcms.job.boundary import check_boundary
from hpcms.job.files import check_image
from hpcms.job.positions import Path
from hpcms.job.problems import Problems, did_you_mean, show
from hpcms.job.schema import (
    Claim,
    CoarseSpec,
    Coupling,
    Domain,
    FineSpec,
    Interval,
    Microstructure,
    Plane,
    Points,
    Site,
    Time,
)

MOST_ELEMENTS = 10**8
MOST_VOXELS = 2**30
OF_IMAGES = ("threshold", "window", "mirror")  # keys of [microstructure] that a drawn cell does not know
OF_GENERATORS = ("shape", "fraction", "spread", "axis")
TOLERANCES = (1e-15, 0.1)  # below, rounding; above, no digit of the answer is right


def check_tables(known: Mapping[str, Any], tree: dict[str, Any], folder: File, problems: Problems) -> None:
    """The tables that are no models; ``known`` has those that could be read."""
    for name, check in (("time", _check_time), ("domain", _check_domain), ("claims", _check_claims)):
        if name in known:
            check(known[name], problems)
    if known.get("microstructure") is not None:
        _check_microstructure(known["microstructure"], tree["microstructure"], folder, problems)
    if "sites" in known:
        _check_sites(known["sites"], known.get("domain"), problems)
    if "coupling" in known:
        _check_coupling(known["coupling"], known.get("petsc", {}), tree, problems)
    if not tree.get("coarse"):
        problems.add(("coarse",), "missing table", "add a coarse field: [coarse.FIELD]", at_key=True)


def check_models(
    known: Mapping[str, Any], fine: dict[str, FineSpec], coarse: dict[str, CoarseSpec], problems: Problems
) -> None:
    """Models against phases, sites and domain."""
    for name, spec in fine.items():
        _check_numbers(spec.params, ("fine", name), problems)
        if "microstructure" in known:
            _check_phases(name, spec, known["microstructure"], problems)
    for name, field in coarse.items():
        _check_numbers(field.params, ("coarse", name), problems)
        if "domain" in known:
            check_boundary(name, field.params, known["domain"], problems)
        if "sites" in known:
            _check_driven(field.params, known["sites"], problems)
    _check_served(known.get("coupling"), fine, coarse, problems)
    asked = any(field.fine for field in coarse.values())
    if isinstance(known.get("domain"), Points) and known.get("sites") == () and asked:
        problems.add(("sites",), "missing key", "material points are listed in [[sites]] tables", at_key=True)


def _check_served(
    table: Coupling | None, fine: dict[str, FineSpec], coarse: dict[str, CoarseSpec], problems: Problems
) -> None:
    """The scheme can work with every fine model that is asked."""
    from hpcms import coupling

    if table is None or table.scheme not in coupling.names():
        return
    scheme = coupling.find(table.scheme)
    for name in sorted({spec.fine for spec in coarse.values() if spec.fine in fine}):
        why = coupling.refusal(scheme, fine[name].params)
        if why:
            able = [n for n in coupling.names() if not coupling.refusal(coupling.find(n), fine[name].params)]
            text = f'"{table.scheme}" cannot serve fine model "{name}": {why}'
            problems.add(("coupling", "scheme"), text, f"choose one of: {', '.join(able)}")


def _check_domain(domain: Domain, problems: Problems) -> None:
    if isinstance(domain, Plane) and domain.elements[0] * domain.elements[1] > MOST_ELEMENTS:
        problems.add(("domain", "elements"), f"more than {MOST_ELEMENTS} elements")
    if isinstance(domain, Interval) and domain.elements > MOST_ELEMENTS:
        problems.add(("domain", "elements"), f"more than {MOST_ELEMENTS} elements")


def _check_time(time: Time, problems: Problems) -> None:
    step = time.end / time.steps
    if time.min_step is not None and time.min_step > step:
        problems.add(("time", "min_step"), f"must not be longer than a step ({time.min_step:g} s > {step:g} s)")


def _check_microstructure(micro: Microstructure, given: dict[str, Any], folder: File, problems: Problems) -> None:
    path = ("microstructure",)
    if not micro.phases:
        problems.add((*path, "phases"), "must name at least one phase")
    if len(set(micro.phases)) < len(micro.phases):
        problems.add((*path, "phases"), "names a phase twice")
    if (micro.image is None) == (micro.generator is None):
        text = "needs an image or a generator" if micro.image is None else "cannot have an image and a generator"
        problems.add(path, text, 'image = "data/sample.tif" or generator = "laminate"')
        return
    kind, idle = ("an image", OF_GENERATORS) if micro.image is not None else ("a generator", OF_IMAGES)
    for key in sorted(given.keys() & set(idle)):
        problems.add((*path, key), f"has no meaning beside {kind}", "remove it", at_key=True)
    if micro.image is not None:
        check_image(micro.image, folder, (*path, "image"), problems)
        if micro.window is None:
            problems.add((*path, "window"), "missing key", "add window = 16 (voxels along an edge)", at_key=True)
        if micro.threshold is not None and len(micro.phases) != 2:
            problems.add((*path, "phases"), f"a threshold makes two phases (got {len(micro.phases)})")
        return
    if micro.shape is not None and micro.shape[0] * micro.shape[1] * micro.shape[2] > MOST_VOXELS:
        problems.add((*path, "shape"), f"more than {MOST_VOXELS} voxels")
    if micro.shape is None:
        problems.add((*path, "shape"), "missing key", "add shape = [16, 16, 16]", at_key=True)
    wanted = 1 if micro.generator == "homogeneous" else 2
    if len(micro.phases) not in (wanted, 2):
        problems.add((*path, "phases"), f'must be two phases for "{micro.generator}" (got {len(micro.phases)})')
    most = {"sphere": 0.5235, "disc": 0.7853}.get(micro.generator or "", 1.0)  # where neighbours touch
    if micro.spread and not micro.spread <= micro.fraction <= most - micro.spread:
        text = f"fraction - spread and fraction + spread must be within 0 and {most} (got {micro.spread})"
        problems.add((*path, "spread"), text)
    if micro.fraction > most:
        problems.add((*path, "fraction"), f"must be <= {most} for a {micro.generator} (got {micro.fraction})")


def _check_sites(sites: tuple[Site, ...], domain: Domain | None, problems: Problems) -> None:
    """Sites belong to material points; each has a name of its own and a path in the order of time."""
    if sites and domain is not None and not isinstance(domain, Points):
        problems.add(("sites",), 'belongs to domain.kind = "points"', at_key=True)
    seen: set[str] = set()
    for i, site in enumerate(sites):
        if site.name in seen:
            problems.add(("sites", i, "name"), f"used twice (got {show(site.name)})")
        seen.add(site.name)
        _check_path(i, site, problems)


def _check_path(i: int, site: Site, problems: Problems) -> None:
    path = ("sites", i, "path")
    drives = ("gradient", "strain", "deformation", "stress", "temperature")
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


def _check_coupling(table: Coupling, petsc: dict[str, Any], tree: dict[str, Any], problems: Problems) -> None:
    """The scheme is known; what belongs to staggered fields is not asked of monolithic ones."""
    from hpcms import coupling

    path = ("coupling",)
    if table.scheme not in coupling.names():
        hint = did_you_mean(table.scheme, coupling.names(), "schemes")
        problems.add((*path, "scheme"), f"unknown scheme (got {show(table.scheme)})", hint)
    fields = tree.get("coarse")
    names = list(fields) if isinstance(fields, dict) else []
    factors = table.relaxation if isinstance(table.relaxation, dict) else {}
    for name in factors:
        if name not in names:
            hint = did_you_mean(name, names, "fields")
            problems.add((*path, "relaxation", name), "no such coarse field", hint, at_key=True)
    if table.fields != "monolithic":
        return
    if table.relaxation != 1.0:
        hint = 'remove it, or set fields = "staggered"'
        problems.add((*path, "relaxation"), "is for staggered fields; these are solved together", hint, at_key=True)
    for option in petsc:
        if any(option.startswith(f"{name}_snes_") for name in names):
            hint = "monolithic, there is one solver for all fields: coupled_snes_*"
            problems.add(("petsc", option), "is for staggered fields; these are solved together", hint, at_key=True)


def _check_phases(name: str, spec: FineSpec, micro: Microstructure | None, problems: Problems) -> None:
    """A fine model has parameters for every phase of the microstructure, and for no other."""
    given = getattr(spec.params, "phases", None)
    if not isinstance(given, dict):
        return
    if micro is None:
        _check_fractions(name, given, problems)
        return
    for phase in micro.phases:
        if phase not in given:
            text = f'no parameters for phase "{phase}"'
            problems.add(("fine", name), text, f"add [fine.{name}.phases.{phase}]", at_key=True)
    for phase in given:
        if phase not in micro.phases:
            hint = did_you_mean(phase, micro.phases, "phases of the microstructure")
            problems.add(("fine", name, "phases", phase), "undefined phase", hint, at_key=True)


def _check_fractions(name: str, phases: dict[str, Any], problems: Problems) -> None:
    """Without an image the phases say themselves how much there is of each."""
    if not phases or not all(hasattr(phase, "fraction") for phase in phases.values()):
        hint = "add a table [microstructure] with an image or a generator"
        problems.add(("fine", name, "phases"), "there is no microstructure that has these phases", hint, at_key=True)
        return
    total = sum(phase.fraction for phase in phases.values())
    if abs(total - 1) > 1e-9:
        problems.add(("fine", name, "phases"), f"the volume fractions add up to {total:g}, not to 1", at_key=True)


def _check_numbers(params: Any, path: Path, problems: Problems) -> None:
    """Tolerances that mean something, and tensors that are positive definite, anywhere in a model's parameters."""
    if isinstance(params, dict):
        for key, value in params.items():
            _check_numbers(value, (*path, key), problems)
    if not is_dataclass(params):
        return
    for f in fields(params):
        value, here = getattr(params, f.name), (*path, f.name)
        if f.name == "tolerance" and isinstance(value, float) and not TOLERANCES[0] <= value <= TOLERANCES[1]:
            problems.add(here, f"must be >= {TOLERANCES[0]:g} and <= {TOLERANCES[1]:g} (got {value:g})")
        elif f.name in ("stiffness", "conductivity") and isinstance(value, tuple) and value:
            _check_tensor(value, here, problems)
        else:
            _check_numbers(value, here, problems)


def _check_tensor(rows: tuple[Any, ...], path: Path, problems: Problems) -> None:
    if not all(isinstance(row, tuple) and len(row) == len(rows) for row in rows):
        problems.add(path, f"must be a square matrix (got {len(rows)} rows)")
        return
    matrix = np.array(rows, dtype=float)
    size = float(np.abs(matrix).max())
    if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-9 * size):
        problems.add(path, "must be symmetric")
    elif not np.linalg.eigvalsh(matrix)[0] > 1e-14 * size:
        least = np.linalg.eigvalsh(matrix)[0]
        problems.add(path, f"is not positive definite (smallest eigenvalue {least:g})")


def _check_driven(params: Any, sites: tuple[Site, ...], problems: Problems) -> None:
    """A field that follows paths finds its drive in each of them: what it is called, or the stress that makes it."""
    drive = getattr(params, "drives", None)
    if not isinstance(drive, str):
        return
    wanted = (drive, "stress") if drive == "strain" else (drive,)
    for i, site in enumerate(sites):
        if not site.path:
            hint = f"entries with time and {' or '.join(wanted)}"
            problems.add(("sites", i, "path"), "missing key", hint, at_key=True)
        for k, point in enumerate(site.path):
            if all(getattr(point, name, None) is None for name in (*wanted, "temperature")):
                problems.add(("sites", i, "path", k), f"gives no {' or '.join(wanted)}")

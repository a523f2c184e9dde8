"""PETSc options a job may set: ``solid_ksp_type = "cg"``. An allow-list, because many PETSc options write files,
attach debuggers or load libraries."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from hpcms.job.problems import Problems, did_you_mean, show

FAMILIES = ("ksp_", "pc_", "snes_", "mat_", "sub_", "fieldsplit_", "mg_")
NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
VALUE = re.compile(r"[A-Za-z0-9_.,+-]{0,100}")
# options that print, write, read, draw, or run something else than the solver
FORBIDDEN = re.compile(
    r"view|monitor|reason|draw|saws|file|path|(^|_)dir(_|$)|(^|_)lib(_|$)|python|matlab|load|binary|hdf5|shell|debugger"
)
FOREIGN_TYPES = ("python", "shell", "matlab", "saws")


def check_petsc(options: Mapping[str, object], prefixes: Iterable[str], problems: Problems) -> dict[str, str]:
    """The options that are allowed, as texts; the others are noted."""
    prefixes = sorted(prefixes)
    return {
        name: text
        for name, value in options.items()
        if _name_allowed(name, prefixes, problems) and (text := _text(name, value, problems)) is not None
    }


def _name_allowed(name: str, prefixes: list[str], problems: Problems) -> bool:
    path = ("petsc", name)
    prefix = next((p for p in prefixes if name.startswith(f"{p}_")), None)
    if not NAME.fullmatch(name):
        problems.add(path, "is not a PETSc option", "without the leading dash: solid_ksp_type", at_key=True)
    elif prefix is None:
        words = [f"{p}_" for p in prefixes]
        start = name.split("_")[0] + "_"
        problems.add(path, "does not begin with the name of a coarse field", did_you_mean(start, words), at_key=True)
    elif not name[len(prefix) + 1 :].startswith(FAMILIES):
        allowed = ", ".join(f"{prefix}_{family}*" for family in FAMILIES)
        problems.add(path, "is not on the list of allowed PETSc options", f"allowed: {allowed}", at_key=True)
    elif FORBIDDEN.search(name):
        problems.add(path, "is not allowed: it may print, read or write files", "options of solvers only", at_key=True)
    else:
        return True
    return False


def _text(name: str, value: object, problems: Problems) -> str | None:
    """The value as PETSc reads it. No slash, space or colon, so it cannot be a path, a viewer or a second option."""
    path = ("petsc", name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 2**31:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if not isinstance(value, str) or not VALUE.fullmatch(value):
        problems.add(path, f"is no value that a PETSc option may have here (got {show(value)})", "a word or a number")
    elif value.startswith("-") and not re.fullmatch(r"-[\d.][\d.e+-]*", value):
        problems.add(path, f"must not begin with a dash (got {show(value)})")
    elif name.endswith("_type") and value in FOREIGN_TYPES:
        problems.add(path, f"runs foreign code (got {show(value)})", "choose a type that PETSc itself brings")
    else:
        return value
    return None

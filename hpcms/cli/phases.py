"""Texts of ``hpcms homogenize`` to numbers: phases, voxel edges, windows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpcms.errors import BadInput

if TYPE_CHECKING:  # numpy is imported where numbers are read: a list of commands must not wait for it
    from hpcms.contracts import Array

ROOT = 2.0**0.5
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d\d?)?")


def by_phase(option: str, given: tuple[str, ...], read: Callable[[str, str], Any]) -> dict[str, Any] | None:
    """``("0=1", "1=2")`` as values by phase, each given once; ``read``: one value from the text behind the sign."""
    values: dict[str, Any] = {}
    for text in given:
        phase, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not phase or not value:
            raise BadInput(f"{option} {text}: is not PHASE=VALUE", f"for example {option} 1=...")
        if phase in values:
            raise BadInput(f"{option}: phase {phase} is given twice")
        values[phase] = read(f"{option} {text}", value)
    return values or None


def elastic(where: str, text: str) -> Any:
    """``9.33 GPa,0.325`` as (E, nu); three or 21 numbers as a (6, 6) Mandel stiffness."""
    import numpy as np

    parts = text.split(",")
    if len(parts) == 2:
        E, nu = number(where, parts[0], "Pa"), number(where, parts[1], "")
        if E < 0 or not -1 < nu < 0.5:
            raise BadInput(f"{where}: needs E >= 0 and -1 < NU < 0.5", "E = 0 is a void")
        return E, nu
    if len(parts) not in (3, 21):
        hint = "for example 1=9.33e9,0.325; a cubic crystal 1=C11,C12,C44; any other by the 21 numbers C11,C12,...,C66"
        raise BadInput(f"{where}: is not PHASE=E,NU", hint)
    C = np.zeros((6, 6))
    values = [number(where, part, "Pa") for part in parts]
    if len(parts) == 3:
        C[:3, :3], C[[0, 1, 2], [0, 1, 2]], C[[3, 4, 5], [3, 4, 5]] = values[1], values[0], values[2]
    else:
        C[np.triu_indices(6)] = values
        C = C + np.triu(C, 1).T
    C *= np.outer([1, 1, 1, ROOT, ROOT, ROOT], [1, 1, 1, ROOT, ROOT, ROOT])
    if np.linalg.eigvalsh(C).min() <= 0:
        raise BadInput(f"{where}: the stiffness is not positive definite", "a cubic crystal needs C11 > |C12|, C44 > 0")
    return C


def conductivity(where: str, text: str) -> Any:
    """``0.024 W/(m K)`` as a number; three or six numbers, 11 22 33 23 13 12, as a tensor."""
    import numpy as np

    values = [number(where, part, "W/(m K)") for part in text.split(",")]
    if len(values) not in (1, 3, 6):
        raise BadInput(
            f"{where}: is not PHASE=K", "for example 1=2.1; a crystal by K11,K22,K33 or K11,K22,K33,K23,K13,K12"
        )
    if len(values) == 1:
        if values[0] < 0:
            raise BadInput(f"{where}: must be >= 0")
        return values[0]
    tensor = symmetric(values)
    if np.linalg.eigvalsh(tensor).min() < -1e-14 * np.abs(tensor).max():
        raise BadInput(f"{where}: the tensor has a negative eigenvalue", "heat would flow to the warmer side")
    return tensor


def symmetric(values: list[float]) -> Array:
    """(3, 3) of 11 22 33 and, if they are given, 23 13 12."""
    import numpy as np

    a, b, c, d, e, f = [*values, 0.0, 0.0, 0.0][:6]
    return np.array([[a, f, e], [f, b, d], [e, d, c]])


def viscosity(where: str, text: str) -> float | str:
    """``1e-3 Pa s`` as a number > 0, or ``rigid``."""
    if text == "rigid":
        return text
    return fluid(where, text)


def fluid(where: str, text: str) -> float:
    """``1e-3 Pa s`` as a number > 0."""
    value = number(where, text, "Pa s")
    if value <= 0:
        raise BadInput(f"{where}: the viscosity must be > 0", "for example 0=1e-3; --viscosity takes 1=rigid as well")
    return value


def number(where: str, value: str, symbol: str) -> float:
    if PLAIN.fullmatch(value.strip()):  # no unit, so no need to wait for what reads units
        return float(value)
    from hpcms.job.units import QuantityError, si_or_number

    try:
        return si_or_number(value.strip(), symbol)
    except QuantityError as error:
        raise BadInput(f"{where}: {error}", error.hint) from error


def numbers(option: str, text: str | None, symbol: str) -> list[float] | None:
    """``1,0.5,0`` as numbers in the unit ``symbol``; how many there must be is known by who uses them."""
    return None if text is None else [number(f"{option} {text}", part, symbol) for part in text.split(",")]


def temperature(text: str | None) -> float | tuple[float, float] | None:
    """``300`` in K, or ``280:350``, from one to another."""
    if text is None:
        return None
    ends = [number(f"--temperature {text}", part, "K") for part in text.split(":")]
    if len(ends) > 2:
        raise BadInput(f"--temperature {text}: is not T or T:T", "for example --temperature 280:350")
    return ends[0] if len(ends) == 1 else (ends[0], ends[1])


def spacing(text: str | None) -> tuple[float, float, float] | None:
    """``18um`` or ``18um,18um,40um`` as three voxel edges in m."""
    if text is None:
        return None
    edges = [number(f"--spacing {text}", part, "m") for part in text.split(",")]
    if len(edges) not in (1, 3) or min(edges) <= 0:
        raise BadInput(f"--spacing {text}: needs one voxel edge or three, > 0", "for example --spacing 18um")
    x, y, z = edges * (3 // len(edges))
    return x, y, z


def threshold(text: str | None) -> str | float | None:
    if text is None or text == "otsu":
        return text
    return number(f"--threshold {text}", text, "")


def crop(text: str | None) -> tuple[slice, slice, slice] | None:
    """``0:64,0:64,8:72`` as three slices; an end may be left out."""
    if text is None:
        return None
    parts = text.split(",")
    try:
        slices = [slice(*(int(end) if end.strip() else None for end in part.split(":"))) for part in parts]
    except ValueError:
        slices = []
    if len(slices) != 3 or any(part.count(":") != 1 for part in parts):
        raise BadInput(f"--crop {text}: is not X0:X1,Y0:Y1,Z0:Z1", "for example --crop 0:64,0:64,0:64")
    return slices[0], slices[1], slices[2]

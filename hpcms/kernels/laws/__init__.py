"""Laws of a material point under small strains. One file a law; the file is its own registration.

``hpcms/kernels/laws/NAME.py`` ends with ``LAW = TheClass``: a frozen dataclass whose fields are the keys of a phase's table, with

- ``rows``: how many numbers a point keeps as history;
- ``parameters(dt, temperature)``: what the compiled update needs, a flat array;
- ``update(w, parameters)``: the compiled step of many points, in place;
- ``plain(strain, history, dt, temperature)``: the same in plain NumPy for (n, 6) strains and (n, rows) histories, which
  returns the stress (n, 6), the tangent (n, 6, 6), the new history, the stored energy and the dissipation of the step (n,).

Records: w (n, numbers * LANES) holds LANES points a line, number r of point p at ``r * LANES + p``: from ``STRAIN`` on six
numbers, on the way in the strain without the stress-free part, on the way out the stress (Mandel, 11 22 33 23 13 12);
from ``TANGENT`` on the upper triangle of the consistent tangent by rows; ``ENERGY`` and ``DISSIPATION`` in J/m^3; from
``HISTORY`` on the history, old on the way in and new on the way out. One array, so that the compiler sees that rows do not overlap.

Every law minimises a convex potential of the step (Ortiz and Stainier, Comput. Methods Appl. Mech. Eng. 171, 419-444, 1999),
so all tangents are symmetric, and backward Euler never gives energy: stress : strain increment >= change of energy + dissipation
>= 0.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Union

import numpy as np

from hpcms.contracts import Array
from hpcms.errors import BadInput
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.laws._base import DISSIPATION, ENERGY, HISTORY, STRAIN, TANGENT, TRIANGLE, Law, Tagged

__all__ = ["DISSIPATION", "ENERGY", "HISTORY", "STRAIN", "TANGENT", "AnyLaw", "Law", "at_points", "find", "names"]


def names() -> tuple[str, ...]:
    """All laws that a phase can name."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def find(name: str) -> type[Any]:
    """The law called ``name``."""
    if name not in names():
        near = get_close_matches(name, names(), 1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise BadInput(f"unknown law {name!r}", f"{guess}known laws: {', '.join(names())}")
    law: type[Any] = importlib.import_module(f"{__name__}.{name}").LAW
    if [field.default for field in fields(law) if field.name == "law"] != [name]:
        raise BadInput(f"the law in {name}.py has no field law = {name!r}")
    return law


def at_points(law: Law, strain: Array, history: Array, dt: float, temperature: float) -> tuple[Array, ...]:
    """The compiled update of any points: arguments and results as those of ``plain``."""
    n, numbers = len(strain), HISTORY + law.rows
    lines = -(-n // LANES)
    w = np.zeros((lines * LANES, numbers))
    w[:n, :6], w[:n, HISTORY:] = strain, history
    w = np.ascontiguousarray(w.reshape(lines, LANES, numbers).transpose(0, 2, 1)).reshape(lines, -1)
    law.update(w, law.parameters(dt, temperature))
    found = w.reshape(lines, numbers, LANES).transpose(0, 2, 1).reshape(-1, numbers)[:n]
    tangent = np.zeros((n, 6, 6))
    rows, columns = TRIANGLE
    tangent[:, rows, columns] = tangent[:, columns, rows] = found[:, TANGENT:ENERGY]
    return found[:, :TANGENT], tangent, found[:, HISTORY:], found[:, ENERGY], found[:, DISSIPATION]


if TYPE_CHECKING:
    AnyLaw = Law
else:  # a phase's table: the key ``law`` tells which of the classes it is
    AnyLaw = Annotated[Union[tuple(find(name) for name in names())], Tagged("law")]  # noqa: UP007

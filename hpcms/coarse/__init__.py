"""Models of the whole domain, solved by PETSc: one file a field, and their staggered or monolithic composition.

A field file ends with ``FIELD = TheClass``; its name in a job is the name of the file. Importing this package
loads neither PETSc nor MPI: they are loaded when the first system is solved.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcms.errors import BadInput

if TYPE_CHECKING:
    from hpcms.coarse.composition import Composition
    from hpcms.problem.mesh import Mesh


@cache
def names() -> tuple[str, ...]:
    """The fields that live here, found by reading the files, without importing them."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if _declares_field(path)))


def find(name: str) -> type[Any]:
    """The parameter class of field ``name``."""
    if name not in names():
        near = get_close_matches(name, names(), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names())}"
        raise BadInput(f"no coarse field is called {name!r}", hint)
    field: type[Any] = import_module(f"{__name__}.{name}").FIELD
    return field


def compose(
    fields: Mapping[str, tuple[Any, str | None]],
    mesh: Mesh,
    mode: str = "staggered",
    petsc: Mapping[str, str] | None = None,
    ranks: int = 0,
    sites: Sequence[Any] = (),
    **settings: Any,
) -> Composition:
    """The coarse model of a job. ``fields``: name -> (parameters, fine model) in the order of a sweep.

    ``sites``: the paths of material points; ``settings``: relaxation and deadline, see ``Composition``.
    """
    from hpcms.coarse.composition import Composition

    bound = [params.bind(mesh, name, fine, sites) for name, (params, fine) in fields.items()]
    return Composition(bound, mode, petsc=petsc, ranks=ranks, **settings)


def _declares_field(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(
        isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "FIELD" for t in node.targets)
        for node in tree.body
    )

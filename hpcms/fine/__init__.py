"""Fine models: what happens inside a region. One file a model; the file is its own registration.

``hpcms/fine/NAME.py`` ends with ``MODEL = TheClass``; an installed package adds models through the entry-point group
``hpcms.fine``; a Python file of the user is loaded only where plugins are allowed.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcms.errors import BadInput

GROUP = "hpcms.fine"


def names() -> tuple[str, ...]:
    """All models that can be named without plugins: the files of this room and the installed entry points."""
    own = {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}
    return tuple(sorted(own | set(_installed())))


def find(name: str, plugins: bool = False) -> type[Any]:
    """The model class called ``name``; with ``plugins`` also the ``MODEL`` of a Python file at that path."""
    if name.endswith(".py"):
        return _from_file(Path(name), plugins)
    if name not in names():
        near = get_close_matches(name, names(), 1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise BadInput(f"unknown fine model {name!r}", f"{guess}known models: {', '.join(names())}")
    if (Path(__file__).parent / f"{name}.py").exists():
        return _model_of(importlib.import_module(f"{__name__}.{name}"), name)
    model = _installed()[name].load()
    return _checked(model, name)


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _from_file(path: Path, plugins: bool) -> type[Any]:
    """Import a user's file. This runs foreign code, so it must have been allowed on the command line."""
    if not plugins:
        raise BadInput(f"the fine model {str(path)!r} is a Python file", "allow your own files with --plugins")
    if not path.is_file():
        raise BadInput(f"no such file: {path}", "the path is relative to the job file")
    spec = importlib.util.spec_from_file_location(f"hpcms_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadInput(f"{path} could not be imported: {type(error).__name__}: {error}") from error
    return _model_of(module, str(path))


def _model_of(module: ModuleType, name: str) -> type[Any]:
    return _checked(getattr(module, "MODEL", None), name)


def _checked(model: object, name: str) -> type[Any]:
    if not isinstance(model, type):
        raise BadInput(f"fine model {name!r} has no class MODEL", "end the file with: MODEL = TheClass")
    return model

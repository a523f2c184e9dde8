"""``[fine.NAME]`` and ``[coarse.FIELD]``: the registry finds the model, its own dataclass says which keys there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

from hpcms.errors import HpcmsError
from hpcms.job.fields import INVALID, table
from hpcms.job.files import contained
from hpcms.job.positions import Path
from hpcms.job.problems import Problems, did_you_mean, show
from hpcms.job.schema import CoarseSpec, FineSpec

Tree = dict[str, Any]


def fine_specs(tree: Tree, folder: File, plugins: bool, problems: Problems) -> dict[str, FineSpec]:
    """All fine models of the job that could be built."""
    specs = {}
    for name, value in _tables(tree, "fine", problems):
        path: Path = ("fine", name)
        cls = _find_fine(value, path, folder, plugins, problems)
        params = INVALID if cls is None else table(cls, value, path, problems, reserved=("model",))
        if params is not INVALID:
            specs[name] = FineSpec(value["model"], params)
    return specs


def coarse_specs(tree: Tree, problems: Problems) -> dict[str, CoarseSpec]:
    """All coarse fields of the job that could be built."""
    from hpcms import coarse

    specs = {}
    for name, value in _tables(tree, "coarse", problems):
        path: Path = ("coarse", name)
        model = _model_name(value, path, problems)
        cls = _lookup(lambda model=model: coarse.find(model), (*path, "model"), problems) if model else None
        params = INVALID if cls is None else table(cls, value, path, problems, reserved=("model", "fine"))
        fine = value.get("fine")
        if fine is not None and not isinstance(fine, str):
            problems.add((*path, "fine"), f"must be the name of a fine model (got {show(fine)})")
        elif params is not INVALID and model:
            specs[name] = CoarseSpec(model, fine, params)
    return specs


def check_references(tree: Tree, problems: Problems) -> None:
    """Every ``fine = NAME`` of a coarse field or of a fine model names a table, and no chain of them closes."""
    known = tree.get("fine", {}) if isinstance(tree.get("fine"), dict) else {}
    links: dict[str, str] = {}
    for kind in ("coarse", "fine"):
        for name, value in (tree.get(kind) or {}).items() if isinstance(tree.get(kind), dict) else ():
            target = value.get("fine") if isinstance(value, dict) else None
            if not isinstance(target, str):
                continue
            if target not in known:
                hint = did_you_mean(target, known, "there are")
                problems.add((kind, name, "fine"), f"no such fine model (got {show(target)})", hint)
            elif kind == "fine":
                links[name] = target
    for cycle in _cycles(links):
        problems.add(("fine", cycle[0], "fine"), f"circular reference: {' -> '.join((*cycle, cycle[0]))}")


def _cycles(links: dict[str, str]) -> Iterator[list[str]]:
    """Each closed chain once, from its alphabetically first member."""
    for start in sorted(links):
        chain, at = [start], links[start]
        while at in links and at not in chain:
            chain.append(at)
            at = links[at]
        if at == start and start == min(chain):
            yield chain


def _tables(tree: Tree, kind: str, problems: Problems) -> Iterator[tuple[str, Tree]]:
    value = tree.get(kind, {})
    if not isinstance(value, dict):
        problems.add((kind,), f"must be tables [{kind}.NAME] (got {show(value)})")
        return
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield name, inner
        else:
            problems.add((kind, name), f"must be a table [{kind}.{name}] (got {show(inner)})")


def _model_name(value: Tree, path: Path, problems: Problems) -> str | None:
    if "model" not in value:
        problems.add((*path, "model"), "missing key", f'add model = "{path[-1]}"', at_key=True)
    elif isinstance(value["model"], str):
        return str(value["model"])
    else:
        problems.add((*path, "model"), f"must be the name of a model (got {show(value['model'])})")
    return None


def _find_fine(value: Tree, path: Path, folder: File, plugins: bool, problems: Problems) -> type[Any] | None:
    from hpcms import fine

    name, here = _model_name(value, path, problems), (*path, "model")
    if name is None:
        return None
    if ":" in name or "/" in name or name.endswith(".py"):
        if not plugins:
            hint = f"one of {', '.join(fine.names())}; files of your own need --plugins"
            problems.add(here, f"is not the name of a model (got {show(name)})", hint)
            return None
        file = contained(name, folder, here, problems)
        return None if file is None else _lookup(lambda: fine.find(str(file), plugins=True), here, problems)
    return _lookup(lambda: fine.find(name), here, problems)


def _lookup(find: Any, path: Path, problems: Problems) -> type[Any] | None:
    """The class, or None with what the registry says."""
    try:
        cls: type[Any] = find()
    except HpcmsError as error:
        problems.add(path, str(error), error.hint)
        return None
    return cls

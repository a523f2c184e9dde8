"""Sizes and overrides: a tree of changes laid over the job's tree, remembering where each value really stands."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from hpcms.job.positions import Path
from hpcms.job.problems import Problems, did_you_mean
from hpcms.job.schema import SIZES

Tree = dict[str, Any]


def of_size(tree: Tree, size: str | None, problems: Problems) -> Tree:
    """The tree at ``size``; ``[size]`` itself is taken out. A size without a table is the job as it stands."""
    base = {key: value for key, value in tree.items() if key != "size"}
    sizes = tree.get("size", {})
    changes = sizes.get(size, {}) if isinstance(sizes, dict) and size else {}
    if not isinstance(changes, dict):
        return base  # noted by check_sizes
    return laid_over(base, changes, (), ("size", str(size)), problems)


def check_sizes(tree: Tree, problems: Problems) -> None:
    """``[size]`` holds tables named after the sizes."""
    sizes = tree.get("size", {})
    if not isinstance(sizes, dict):
        problems.add(("size",), "must be tables [size.ci], [size.node], [size.cluster]")
        return
    for name, changes in sizes.items():
        if name not in SIZES:
            problems.add(("size", name), "unknown size", did_you_mean(name, SIZES, "sizes"), at_key=True)
        elif not isinstance(changes, dict):
            problems.add(("size", name), "must be a table")
        else:
            for key in set(changes) & {"size", "schema_version"}:
                problems.add(("size", name, key), "cannot be changed by a size", at_key=True)


def laid_over(base: Tree, changes: Tree, path: Path, origin: Path | None, problems: Problems) -> Tree:
    """``base`` with ``changes``: tables are merged, everything else is replaced. Neither is changed."""
    result = dict(base)
    for key, value in changes.items():
        here = (*path, key)
        there = None if origin is None else (*origin, key)
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            result[key] = laid_over(base[key], value, here, there, problems)
        else:
            result[key] = deepcopy(value)
            problems.moved[here] = there
    return result


def as_tree(overrides: Mapping[str, object], problems: Problems) -> Tree:
    """``{"time.steps": 4}`` as nested tables."""
    tree: Tree = {}
    for dotted, value in overrides.items():
        *tables, last = dotted.split(".")
        if not all((*tables, last)) or len(tables) > 12:
            problems.moved[(dotted,)] = None
            problems.add((dotted,), "is not a dotted key", "such as time.steps")
            continue
        node = tree
        for name in tables:
            inner = node.setdefault(name, {})
            if not isinstance(inner, dict):
                inner = node[name] = {}
            node = inner
        node[last] = value
    return tree

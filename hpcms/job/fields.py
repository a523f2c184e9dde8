"""Values of a job file to typed objects, led by the annotations of dataclasses. Every mistake becomes a problem."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from hpcms.contracts import Unit
from hpcms.errors import HpcmsError
from hpcms.job.positions import Path
from hpcms.job.problems import Problems, did_you_mean, show
from hpcms.job.units import DIMENSIONLESS, QuantityError, to_si

PLAIN = Unit("")
POWER = re.compile(r"\^(-?)([A-Za-z_]\w*)")
DIFFERENCES = ("amplitude", "difference")  # keys whose temperature is a difference: degC would be off by 273


class Invalid:
    """Stands for a value that could not be built; its problems have been noted."""


INVALID = Invalid()


def build(kind: Any, value: Any, path: Path, problems: Problems, unit: Unit | None = None) -> Any:
    """``value`` as a ``kind``, or ``INVALID`` with the reasons in ``problems``."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        unit = next((mark for mark in marks if isinstance(mark, Unit)), unit)
        return build(inner, value, path, problems, unit)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _union(kind, value, path, problems, unit)
    if origin is Literal:
        return _choice(get_args(kind), value, path, problems)
    if origin in (tuple, list, Sequence) or kind in (tuple, list):
        return _array(kind, value, path, problems, unit)
    if origin in (dict, Mapping) or kind is dict:
        return _mapping(kind, value, path, problems, unit)
    if is_dataclass(kind) and isinstance(kind, type):
        return table(kind, value, path, problems)
    return _scalar(kind, value, path, problems, unit)


def table(cls: type[Any], value: Any, path: Path, problems: Problems, reserved: tuple[str, ...] = ()) -> Any:
    """A table as an object of the dataclass ``cls``; keys in ``reserved`` belong to somebody else."""
    if not isinstance(value, dict):
        return _refuse(path, problems, "must be a table", value)
    built = parts(cls, value, path, problems, reserved)
    if any(part is INVALID for part in built.values()):
        return INVALID
    return _construct(cls, built, path, problems)


def parts(
    cls: type[Any], value: dict[str, Any], path: Path, problems: Problems, reserved: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The fields of ``cls`` that the table gives, each built or ``INVALID``."""
    kinds = get_type_hints(cls, include_extras=True)
    known = {f.name: f for f in fields(cls) if f.init and not f.name.startswith("_")}
    for key in value:
        if key not in known and key not in reserved:
            problems.add((*path, key), "unknown key", did_you_mean(key, [*known, *reserved], "keys here"), at_key=True)
    built: dict[str, Any] = {}
    powers = {name: value.get(name, spec.default) for name, spec in known.items()}
    for name, spec in known.items():
        kinds[name] = _with_powers(kinds[name], powers)
        if name in value:
            built[name] = build(kinds[name], value[name], (*path, name), problems)
        elif spec.default is MISSING and spec.default_factory is MISSING:
            problems.add((*path, name), "missing key", f"add {name} = {example(kinds[name])}", at_key=True)
            built[name] = INVALID
    return built


def _with_powers(kind: Any, values: dict[str, Any]) -> Any:
    """A unit may depend on a sibling: ``Unit("Pa^-n s^-1")`` is Pa^-3 s^-1 where the table says n = 3."""
    if get_origin(kind) is not Annotated:
        return kind
    inner, *marks = get_args(kind)

    def number(found: re.Match[str]) -> str:
        power = values.get(found[2])
        usable = isinstance(power, int | float) and not isinstance(power, bool) and 0 < power < 100
        return f"^{found[1]}{power:g}" if usable else found[0]

    filled = [replace(m, symbol=POWER.sub(number, m.symbol)) if isinstance(m, Unit) else m for m in marks]
    return Annotated[(inner, *filled)]


def _construct(cls: type[Any], built: dict[str, Any], path: Path, problems: Problems) -> Any:
    """The object; a class may refuse combinations of values in ``__post_init__``."""
    try:
        return cls(**built)
    except HpcmsError as error:
        problems.add(path, str(error), error.hint)
    except (ValueError, TypeError, ArithmeticError) as error:
        problems.add(path, str(error) or type(error).__name__)
    return INVALID


def _refuse(path: Path, problems: Problems, text: str, value: object, hint: str = "") -> Any:
    problems.add(path, f"{text} (got {show(value)})", hint)
    return INVALID


def _union(kind: Any, value: Any, path: Path, problems: Problems, unit: Unit | None) -> Any:
    """The first alternative of the value's shape that fits; otherwise the complaints of the nearest one."""
    shape = _shape_of_value(value)
    all_kinds = [k for k in get_args(kind) if k is not type(None)]
    fitting = [k for k in all_kinds if shape in _shapes_of_kind(k)]
    if not fitting:
        return _refuse(path, problems, f"must be {' or '.join(describe(k, unit) for k in all_kinds)}", value)
    if len(fitting) == 1:
        return build(fitting[0], value, path, problems, unit)
    if shape == "table" and (tagged := _by_tag(fitting, value)):
        return build(tagged, value, path, problems, unit)
    if shape == "table" and all(_tag(k) for k in fitting):
        name = _tag(fitting[0])
        choices = tuple(default for k in fitting for default in get_args(get_type_hints(k)[name]))
        if name in value:
            return _choice(choices, value[name], (*path, name), problems)
        problems.add((*path, name), "missing key", f"one of {', '.join(map(show, choices))}", at_key=True)
        return INVALID
    trials: list[Problems] = []
    for k in fitting:
        trial = problems.scratch()
        result = build(k, value, path, trial, unit)
        if result is not INVALID and not trial.found:
            return result
        trials.append(trial)
    if shape == "scalar" and not any(_is_quantity(k, unit) and isinstance(value, str) for k in fitting):
        return _refuse(path, problems, f"must be {' or '.join(describe(k, unit) for k in fitting)}", value)
    best = min(trials, key=len) if shape != "scalar" else _of_quantity(fitting, trials, unit)
    problems.found |= best.found
    return INVALID


def _of_quantity(kinds: list[Any], trials: list[Problems], unit: Unit | None) -> Problems:
    return next(trial for k, trial in zip(kinds, trials, strict=True) if _is_quantity(k, unit))


def _is_quantity(kind: Any, unit: Unit | None) -> bool:
    marks = get_args(kind)[1:] if get_origin(kind) is Annotated else (unit,)
    return any(isinstance(mark, Unit) and mark.symbol not in DIMENSIONLESS for mark in marks)


def _shape_of_value(value: Any) -> str:
    return "table" if isinstance(value, dict) else "array" if isinstance(value, list | tuple) else "scalar"


def _shapes_of_kind(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Annotated:
        return _shapes_of_kind(get_args(kind)[0])
    origin = get_origin(kind) or kind
    if origin in (Union, types.UnionType):
        return tuple(shape for k in get_args(kind) for shape in _shapes_of_kind(k))
    if origin in (tuple, list, Sequence):
        return ("array",)
    if origin in (dict, Mapping) or is_dataclass(origin):
        return ("table",)
    return ("table", "array", "scalar") if origin is Any else ("scalar",)


def _tag(kind: Any) -> str:
    """The field of a dataclass that tells it from its siblings: one with a single literal."""
    if not (is_dataclass(kind) and isinstance(kind, type)):
        return ""
    hints = get_type_hints(kind)
    return next((n for n, k in hints.items() if get_origin(k) is Literal and len(get_args(k)) == 1), "")


def _by_tag(kinds: list[Any], value: dict[str, Any]) -> Any:
    """The dataclass whose literal is in the value, or that knows most of the value's keys."""
    for kind in kinds:
        name = _tag(kind)
        if name and value.get(name) in get_args(get_type_hints(kind)[name]):
            return kind
    plain = [k for k in kinds if is_dataclass(k) and not _tag(k)]
    if len(plain) != len(kinds):
        return None
    return max(plain, key=lambda k: len({f.name for f in fields(k)} & set(value)))


def _choice(choices: tuple[Any, ...], value: Any, path: Path, problems: Problems) -> Any:
    if isinstance(value, str | int) and any(value == c and type(value) is type(c) for c in choices):
        return value
    listed = " or ".join(show(c) for c in choices)
    hint = did_you_mean(value, [c for c in choices if isinstance(c, str)]) if isinstance(value, str) else ""
    return _refuse(path, problems, f"must be {listed}", value, hint if hint.startswith("did") else "")


def _array(kind: Any, value: Any, path: Path, problems: Problems, unit: Unit | None) -> Any:
    if not isinstance(value, list | tuple):
        return _refuse(path, problems, "must be an array", value, f"write {example(kind, unit)}")
    parts = get_args(kind) or (Any,)
    if get_origin(kind) is tuple and Ellipsis not in parts:
        if len(value) != len(parts):
            return _refuse(path, problems, f"must have {len(parts)} entries", value, f"write {example(kind, unit)}")
    else:
        parts = (parts[0],) * len(value)
    built = tuple(build(k, v, (*path, i), problems, unit) for i, (k, v) in enumerate(zip(parts, value, strict=True)))
    if any(part is INVALID for part in built):
        return INVALID
    return list(built) if get_origin(kind) is list else built


def _mapping(kind: Any, value: Any, path: Path, problems: Problems, unit: Unit | None) -> Any:
    if not isinstance(value, dict):
        return _refuse(path, problems, "must be a table", value)
    inner = (get_args(kind) or (str, Any))[1]
    built = {key: build(inner, v, (*path, key), problems, unit) for key, v in value.items()}
    return INVALID if any(part is INVALID for part in built.values()) else built


def _scalar(kind: Any, value: Any, path: Path, problems: Problems, unit: Unit | None) -> Any:
    if kind is float:
        return _number(value, path, problems, unit or PLAIN)
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return _refuse(path, problems, "must be below 2^63", value)
    if kind is Any or kind is object:
        return _plain(value, path, problems)
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int):
            return _refuse(path, problems, "must be an integer", value)
        return _bounded(value, path, problems, unit or PLAIN, show(value))
    if kind in (bool, str) and not isinstance(value, kind):
        hint = "text stands in quotes" if kind is str else "true or false, without quotes"
        return _refuse(path, problems, f"must be {describe(kind)}", value, hint)
    return value


def _plain(value: Any, path: Path, problems: Problems) -> Any:
    """A value of any kind that JSON has, with numbers that are numbers."""
    if isinstance(value, dict):
        return _mapping(dict[str, Any], value, path, problems, None)
    if isinstance(value, list | tuple):
        return _array(tuple[Any, ...], value, path, problems, None)
    if isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return _number(value, path, problems, PLAIN)
    return _refuse(path, problems, "must be a number, a text, true, false, an array or a table", value, "quote dates")


def _number(value: Any, path: Path, problems: Problems, unit: Unit) -> Any:
    symbol = unit.symbol
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _refuse(path, problems, f"must be {describe(float, unit)}", value)
    if isinstance(value, str):
        try:
            number = to_si(value, symbol)
        except QuantityError as error:
            problems.add(path, str(error), error.hint)
            return INVALID
        if symbol == "K" and path[-1] in DIFFERENCES and number and not value.strip().endswith(("K", "kelvin")):
            return _refuse(path, problems, "must be a temperature difference in K", value, 'such as "11 K"')
        return _bounded(number, path, problems, unit, show(value))
    if symbol not in DIMENSIONLESS:
        hint = f'write it with a unit, for example "{show(value)} {symbol}"'
        return _refuse(path, problems, "missing unit", value, hint)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return _refuse(path, problems, "must be below 2^63", value)
    if not math.isfinite(value):
        return _refuse(path, problems, "must be finite", value)
    return _bounded(float(value), path, problems, unit, show(value))


def _bounded(value: Any, path: Path, problems: Problems, unit: Unit, got: str) -> Any:
    """``value`` if it is within the bounds of ``unit``."""
    bounds = ((">", unit.above), (">=", unit.least), ("<", unit.below), ("<=", unit.most))
    holds = (
        (unit.above is None or value > unit.above)
        and (unit.least is None or value >= unit.least)
        and (unit.below is None or value < unit.below)
        and (unit.most is None or value <= unit.most)
    )
    if holds:
        return value
    symbol = "" if unit.symbol in DIMENSIONLESS else f" {unit.symbol}"
    wanted = [f"{sign} {bound:g}{symbol if bound else ''}" for sign, bound in bounds if bound is not None]
    problems.add(path, f"must be {' and '.join(wanted)} (got {got})")
    return INVALID


def describe(kind: Any, unit: Unit | None = None) -> str:
    """A kind in words."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        return describe(inner, next((m for m in marks if isinstance(m, Unit)), unit))
    if get_origin(kind) is Literal:
        return " or ".join(show(c) for c in get_args(kind))
    if kind is float and unit and unit.symbol not in DIMENSIONLESS:
        return f"a quantity in {unit.symbol}"
    words = {float: "a number", int: "an integer", str: "a text", bool: "true or false"}
    return words.get(kind, "an array" if "array" in _shapes_of_kind(kind) else "a table")


def example(kind: Any, unit: Unit | None = None) -> str:
    """How a value of this kind may look in a job file."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        return example(inner, next((m for m in marks if isinstance(m, Unit)), unit))
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return show(parts[0])
    if origin in (Union, types.UnionType):
        return example(parts[0], unit)
    if origin in (tuple, list):
        return f"[{', '.join(example(p, unit) for p in parts if p is not Ellipsis)}]"
    if kind is float and unit and unit.symbol not in DIMENSIONLESS:
        return f'"1 {unit.symbol}"'
    return {float: "1.0", int: "1", str: '"..."', bool: "true"}.get(kind, "{ ... }")

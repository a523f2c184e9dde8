"""Values of a job file to typed objects. pydantic checks them against the annotations of the dataclasses.

What is here: texts to SI numbers where pydantic meets a ``Unit``, and its errors in plain words with our places.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from hpcms.contracts import Unit
from hpcms.errors import HpcmsError
from hpcms.job.positions import Path
from hpcms.job.problems import Problems, did_you_mean, show
from hpcms.job.units import DIMENSIONLESS, QuantityError, to_si

CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
POWER = re.compile(r"\^(-?)([A-Za-z_]\w*)")
DIFFERENCES = ("amplitude", "difference")  # keys whose temperature is a difference: degC would be off by 273
KINDS = {
    "float_type": "a number", "int_type": "an integer", "int_from_float": "an integer", "bool_type": "true or false",
    "string_type": "a text", "tuple_type": "an array", "list_type": "an array", "dict_type": "a table",
    "dataclass_type": "a table",
}  # fmt: skip
HINTS = {"string_type": "text stands in quotes", "bool_type": "true or false, without quotes"}
BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
ODD = "must be a number, a text, true, false, an array or a table"


class Invalid:
    """Stands for a value that could not be built; its problems have been noted."""


INVALID = Invalid()


def table(cls: type[Any], value: Any, path: Path, problems: Problems, reserved: tuple[str, ...] = ()) -> Any:
    """A table as an object of the dataclass ``cls``; keys in ``reserved`` belong to somebody else."""
    own = {key: v for key, v in value.items() if key not in reserved} if isinstance(value, dict) else value
    return _read(cls, "", own, path, problems, reserved)


def parts(
    cls: type[Any], value: dict[str, Any], path: Path, problems: Problems, reserved: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The fields of ``cls`` that the table gives, as far as each of them can be built by itself."""
    table(cls, value, path, problems, reserved)
    names = [f.name for f in fields(cls) if f.name in value]
    built = {name: _read(cls, name, value[name], (*path, name), problems.scratch()) for name in names}
    return {name: part for name, part in built.items() if part is not INVALID}


@cache
def _adapter(cls: Any, name: str) -> tuple[Any, TypeAdapter[Any]]:
    """The kind and the reader of a dataclass, or of one of its fields. The tuple carries the configuration inside."""
    kind = get_type_hints(cls, include_extras=True)[name] if name else cls
    wrapped: Any = types.GenericAlias(tuple, (kind,))
    return kind, TypeAdapter(wrapped, config=CONFIG)


def _read(cls: Any, name: str, value: Any, path: Path, problems: Problems, reserved: tuple[str, ...] = ()) -> Any:
    """The object, or ``INVALID``. By way of JSON: there pydantic is strict and still takes arrays as tuples."""
    odd: dict[Path, str] = {}
    text = json.dumps([_plain(value, path, odd)])
    wrongs: list[Wrong] = []
    built: Any = INVALID
    try:
        kind, adapter = _adapter(cls, name)
        (built,) = adapter.validate_json(text, context=_number)
    except ValidationError as error:
        found = [(each["loc"][1:], each) for each in error.errors(include_url=False)]
        wrongs = list(_explain(kind, path, found, reserved))
    except (HpcmsError, PydanticUserError, ArithmeticError, TypeError) as error:  # what a class itself refuses
        problems.add(path, str(error) or type(error).__name__, getattr(error, "hint", ""))
    for wrong in wrongs:
        if odd.get(wrong.path, ODD) == ODD:
            got = f" (got {show(_at(value, wrong.path[len(path) :]))})" if wrong.shows else ""
            problems.add(wrong.path, wrong.text + got, wrong.hint, wrong.at_key)
    for here in odd.keys() - {wrong.path for wrong in wrongs if odd.get(wrong.path) == ODD}:
        problems.add(here, f"{odd[here]} (got {show(_at(value, here[len(path) :]))})")
    return INVALID if odd else built


def _plain(value: Any, path: Path, odd: dict[Path, str]) -> Any:
    """``value`` as JSON knows it; what it does not know is noted in ``odd`` and left out."""
    if isinstance(value, dict):
        return {str(key): _plain(v, (*path, key), odd) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, (*path, i), odd) for i, v in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        odd[path] = "must be finite"
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        odd[path] = "must be below 2^63"
    elif not isinstance(value, bool | int | float | str):
        odd[path] = ODD
    return None if path in odd else value


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def _number(value: Any, unit: Unit, info: Any) -> Any:
    """The SI number of a text. A unit may depend on a field before it: "Pa^-n s^-1" is Pa^-3 s^-1 where n is 3."""
    known = info.data or {}
    symbol = POWER.sub(lambda m: f"^{m[1]}{known[m[2]]:g}" if m[2] in known else m[0], unit.symbol)
    if symbol in DIMENSIONLESS and not isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PydanticCustomError("kind", "{text}", {"text": f"must be a quantity in {symbol}"})
    if not isinstance(value, str):
        hint = f'write it with a unit, for example "{show(value)} {symbol}"'
        raise _refusal(f"missing unit (got {show(value)})", hint)
    try:
        number = to_si(value, symbol)
    except QuantityError as error:
        raise _refusal(str(error), error.hint) from error
    if symbol == "K" and info.field_name in DIFFERENCES and number and not value.strip().endswith(("K", "kelvin")):
        raise _refusal(f"must be a temperature difference in K (got {show(value)})", 'such as "11 K"')
    return number


def _refusal(text: str, hint: str) -> PydanticCustomError:
    return PydanticCustomError("quantity", "{text}", {"text": text, "hint": hint})


@dataclass(frozen=True)
class Wrong:
    """An error in our words. ``kind``: the value is of another kind, so another alternative may be meant."""

    path: Path
    text: str
    hint: str = ""
    shows: bool = True  # the value behind the text
    at_key: bool = False
    kind: bool = False


Found = list[tuple[tuple[Any, ...], Any]]  # what is left of pydantic's location, its error


def _explain(kind: Any, path: Path, found: Found, reserved: tuple[str, ...] = ()) -> Iterator[Wrong]:
    """Walks down pydantic's locations and the kinds together: a location also names the alternatives of a union."""
    kind, unit = _bare(kind)
    groups: dict[Any, Found] = {}
    for rest, error in found:
        if not rest:
            yield _wrong(kind, unit, path, error)
        elif len(rest) == 1 and error["type"] in ("missing", "unexpected_keyword_argument"):
            yield _wrong_key(kind, (*path, rest[0]), error, reserved)
        else:
            groups.setdefault(rest[0], []).append((rest[1:], error))
    options = _options(kind)
    if len(options) > 1 and groups:
        tagged = [o for o in options if is_dataclass(o) and groups.keys() & {f.default for f in fields(o)}]
        branches = zip(tagged or options, groups.values(), strict=False)
        yield from _nearest([list(_explain(option, path, group)) for option, group in branches])
        return
    for part, group in groups.items():
        yield from _explain(_inside(kind, part, unit), (*path, part), group)


def _nearest(branches: list[list[Wrong]]) -> list[Wrong]:
    """Of the alternatives of a union, what is wrong with the one that is meant; none is if the kind fits none."""
    fitting = [branch for branch in branches if not branch[0].kind]
    if fitting:
        return min(fitting, key=len)
    wanted = " or ".join(dict.fromkeys(wrong.text.removeprefix("must be ") for branch in branches for wrong in branch))
    return [Wrong(branches[0][0].path, f"must be {wanted}", kind=True)]


def _wrong(kind: Any, unit: Unit | None, path: Path, error: Any) -> Wrong:
    """An error with the value at ``path``."""
    what, context = error["type"], error.get("ctx", {})
    if what in KINDS:
        hint = f"write {example(kind, unit)}" if KINDS[what] == "an array" else HINTS.get(what, "")
        return Wrong(path, f"must be {KINDS[what]}", hint, kind=True)
    if what in BOUNDS and unit:
        return Wrong(path, f"must be {_bounds(unit)}")
    if what == "literal_error":
        return _choice(path, get_args(kind), error["input"])
    if what == "union_tag_invalid":
        tags = tuple(re.findall(r"'([^']*)'", context["expected_tags"]))
        return _choice((*path, context["discriminator"].strip("'")), tags, context["tag"])
    if what == "union_tag_not_found":
        name = context["discriminator"].strip("'")
        tags = tuple(tag for option in _options(kind) for tag in get_args(get_type_hints(option)[name]))
        return Wrong((*path, name), "missing key", f"one of {', '.join(map(show, tags))}", shows=False, at_key=True)
    if what == "too_long":
        return _count(kind, unit, path)
    text = str(context["error"]) if what == "value_error" else context.get("text", error["msg"])
    return Wrong(path, text, context.get("hint", ""), shows=what == "kind", kind=what == "kind")


def _bounds(unit: Unit) -> str:
    symbol = "" if unit.symbol in DIMENSIONLESS else f" {unit.symbol}"
    bounds = ((">", unit.above), (">=", unit.least), ("<", unit.below), ("<=", unit.most))
    return " and ".join(f"{sign} {bound:g}{symbol if bound else ''}" for sign, bound in bounds if bound is not None)


def _wrong_key(kind: Any, path: Path, error: Any, reserved: tuple[str, ...]) -> Wrong:
    """A key too few or too many; in an array, an entry too few."""
    if not is_dataclass(kind):
        return _count(kind, None, path[:-1])
    if error["type"] == "missing":
        hint = f"add {path[-1]} = {example(_inside(kind, path[-1]))}"
        return Wrong(path, "missing key", hint, shows=False, at_key=True)
    known = [f.name for f in fields(kind) if f.init]
    return Wrong(path, "unknown key", did_you_mean(str(path[-1]), [*known, *reserved], "keys here"), False, True)


def _count(kind: Any, unit: Unit | None, path: Path) -> Wrong:
    return Wrong(path, f"must have {len(get_args(kind))} entries", f"write {example(kind, unit)}")


def _choice(path: Path, choices: tuple[Any, ...], value: Any) -> Wrong:
    hint = did_you_mean(value, [c for c in choices if isinstance(c, str)]) if isinstance(value, str) else ""
    listed = " or ".join(map(show, choices))
    return Wrong(path, f"must be {listed}", hint if hint.startswith("did") else "", kind=True)


def _options(kind: Any) -> list[Any]:
    """The alternatives of a union; a plain kind is the only one of its own."""
    if get_origin(kind) in (Union, types.UnionType):
        return [option for option in get_args(kind) if option is not type(None)]
    return [kind]


def _bare(kind: Any) -> tuple[Any, Unit | None]:
    """A kind without marks and None, and its unit."""
    unit = None
    while True:
        options = _options(kind)
        if get_origin(kind) is Annotated:
            kind, *marks = get_args(kind)
            unit = next((mark for mark in marks if isinstance(mark, Unit)), unit)
        elif options != [kind] and len(options) == 1:
            kind = options[0]
        else:
            return kind, unit


def _inside(kind: Any, part: Any, unit: Unit | None = None) -> Any:
    """The kind of what is called ``part`` in a value of this kind."""
    if is_dataclass(kind) and isinstance(kind, type):
        return get_type_hints(kind, include_extras=True).get(part, Any)
    entries = [entry for entry in get_args(kind) if entry is not Ellipsis] or [Any]
    entry = entries[part] if isinstance(part, int) and part < len(entries) else entries[-1]
    return Annotated[entry, unit] if unit else entry


def example(kind: Any, unit: Unit | None = None) -> str:
    """How a value of this kind may look in a job file."""
    kind, own = _bare(kind)
    kind, unit = _options(kind)[0], own or unit
    if get_origin(kind) is Annotated:
        return example(kind, unit)
    if get_origin(kind) is Literal:
        return show(get_args(kind)[0])
    if get_origin(kind) in (tuple, list):
        return f"[{', '.join(example(p, unit) for p in get_args(kind) if p is not Ellipsis)}]"
    if kind is float and unit and unit.symbol not in DIMENSIONLESS:
        return f'"1 {unit.symbol}"'
    return {float: "1.0", int: "1", str: '"..."', bool: "true"}.get(kind, "{ ... }")

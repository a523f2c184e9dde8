"""The part of ``hpcms homogenize`` that follows a load path: texts of laws to laws, and what is shown."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from hpcms.cli.output import Output, amount
from hpcms.errors import BadInput

SHORT = {"E": "youngs_modulus", "nu": "poisson_ratio", "yield": "yield_stress"}
KEYS = ("load", "strain", "steps", "time", "temperature", "tangent", "tolerance", "boundary")
NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


def law_of(text: str) -> tuple[str, Any]:
    """``0=j2:E=70 GPa,nu=0.3,yield=100 MPa`` as the phase and its law; quantities without a unit are SI."""
    from hpcms.job.fields import INVALID, table
    from hpcms.job.problems import Problems
    from hpcms.kernels.laws import find

    phase, sign, rest = text.partition("=")
    name, colon, given = rest.partition(":")
    if not sign or not colon or not phase.strip() or not name.strip():
        raise BadInput(
            f"--law {text}: is not PHASE=LAW:KEY=VALUE,...", "for example --law 0=j2:E=70e9,nu=0.3,yield=1e8"
        )
    law = find(name.strip())
    texts = {}
    for part in given.split(","):
        key, sign, value = part.partition("=")
        key = SHORT.get(key.strip(), key.strip())
        if not sign or not value.strip():
            raise BadInput(f"--law {text}: {part!r} is not KEY=VALUE", f"keys of {name}: {', '.join(_keys(law))}")
        if key in texts:
            raise BadInput(f"--law {text}: {key} is given twice")
        texts[key] = value.strip()
    hints = get_type_hints(law, include_extras=True)
    tree = {key: _value(value, hints.get(key), texts.get("n", "n")) for key, value in texts.items()}
    problems = Problems(f"--law {text}")
    built = table(law, tree, ("law",), problems)
    if built is INVALID:
        lines = [f"--law {text}: {p.key.removeprefix('law.')}: {p.text}" for p in sorted(problems.found)]
        raise BadInput("\n".join(lines), next((p.hint for p in sorted(problems.found)), ""), tuple(lines))
    return phase.strip(), built


def _keys(law: Any) -> list[str]:
    return [field.name for field in fields(law) if field.name != "law"]


def _value(text: str, kind: Any, n: str) -> Any:
    """A value as a job file would have it: parts of an array between slashes, a bare number with the SI unit of the key."""
    from hpcms.contracts import Unit

    units = [mark.symbol for mark in _marks(kind) if isinstance(mark, Unit)]
    symbol = units[0].replace("^-n", f"^-{n}") if units else ""
    if "/" in text and all(NUMBER.match(part.strip()) for part in text.split("/")):
        return [_value(part.strip(), Annotated[float, Unit(symbol)], n) for part in text.split("/")]
    if text in ("true", "false"):
        return text == "true"
    if not NUMBER.match(text):
        return text
    return float(text) if symbol in ("", "1") else f"{text} {symbol}"


def _marks(kind: Any) -> list[Any]:
    """Marks of an annotation, also inside ``| None``."""
    own = list(get_args(kind)[1:]) if get_origin(kind) is Annotated else []
    return own or [mark for part in get_args(kind) for mark in _marks(part)]


def show_path(image: Path, laws: tuple[str, ...], options: dict[str, Any], out: Output) -> None:
    """Solves and shows; ``options``: of ``hpcms.loading.Loading`` and of the image."""
    given = [law_of(text) for text in laws]
    double = [name for name, _ in given if [n for n, _ in given].count(name) > 1]
    if double:
        raise BadInput(f"--law: phase {double[0]} is given twice")
    from hpcms.loading import Loading, load_path

    names = {"load": "component", "time": "duration"}
    free = tuple(part.strip() for part in (options.pop("stress_free") or "").split(",") if part.strip())
    own = {names.get(key, key): options.pop(key) for key in KEYS}
    own = {key: value for key, value in own.items() if value is not None}
    if own.get("component", "all") == "all" or "strain" not in own:
        raise BadInput("--law needs a load and its size", "for example --load 12 --strain 0.01 --steps 10")
    result = load_path(image, dict(given), Loading(**own, stress_free=free), **options)
    out.say("step  strain and stress of the load (tensor components, Pa), energy, dissipation (J/m^3), iterations")
    place = ("11", "22", "33", "23", "13", "12").index(own["component"])
    root = 2.0**0.5 if place > 2 else 1.0
    for n, step in enumerate(result.path, 1):
        values = (step["strain"][place] / root, step["stress"][place] / root, step["energy"], step["dissipation"])
        out.say(f"{n:4d}  {'  '.join(f'{value:12.5g}' for value in values)}  {step['iterations']}")
    out.say(f"checks: {', '.join(f'{name} {value:.1e}' for name, value in result.checks.items())}")
    out.say(f"{amount(result.wall_s, 's')} wall, {amount(result.peak_memory_bytes, 'B')}")
    out.result(result.json())

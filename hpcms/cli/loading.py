"""The part of ``hpcms homogenize`` that follows a load path: texts of laws and models, and what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from hpcms.cli.output import Output, amount
from hpcms.errors import BadInput

SHORT = {
    "E": "youngs_modulus", "nu": "poisson_ratio", "yield": "yield_stress", "Gc": "toughness", "k": "conductivity",
    "m": "exponent", "b": "temperature_coefficient", "T0": "reference_temperature",
}  # fmt: skip
KEYS = ("load", "strain", "steps", "time", "temperature", "tangent", "tolerance", "boundary")
PATH = ("load", "strain", "stress_free", "time", "temperature", "boundary", "deformation", "gradient")
IMAGE = ("threshold", "crop", "mirror", "spacing", "dataset")
NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


def law_of(text: str) -> tuple[str, Any]:
    """``0=j2:E=70 GPa,nu=0.3,yield=100 MPa`` as the phase and its law; quantities without a unit are SI."""
    phase, name, given = _parts(text)
    return phase, _built(f"--law {text}", name, _kind(name), given)


def _parts(text: str) -> tuple[str, str, str]:
    """The phase, the name of its law, and what is given of it."""
    phase, sign, rest = (part.strip() for part in text.partition("="))
    name, colon, given = (part.strip() for part in rest.partition(":"))
    if not sign or not colon or not phase or not name:
        raise BadInput(
            f"--law {text}: is not PHASE=LAW:KEY=VALUE,...", "for example --law 0=j2:E=70e9,nu=0.3,yield=1e8"
        )
    return phase, name, given


def _kind(name: str) -> Any:
    """The class of a law, or of the phases of a fine model, called ``name``."""
    from hpcms.fine import find as model
    from hpcms.kernels import laws
    from hpcms.model_path import MODELS

    if name in laws.names():
        return laws.find(name)
    if name in MODELS:
        return get_args(get_type_hints(model(name))["phases"])[1]
    known = (*laws.names(), *MODELS)
    near = get_close_matches(name, known, 1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise BadInput(f"unknown law {name!r}", f"{guess}known laws: {', '.join(known)}")


def _built(where: str, name: str, kind: Any, given: str, rest: dict[str, Any] | None = None) -> Any:
    """``KEY=VALUE,...`` as an object of the dataclass ``kind``; ``rest``: fields that no text gives."""
    from hpcms.job.fields import INVALID, table
    from hpcms.job.problems import Problems

    texts: dict[str, str] = {}
    hidden = {"law", *(rest or {})}
    for part in given.split(",") if given else ():
        key, sign, value = part.partition("=")
        key = SHORT.get(key.strip(), key.strip())
        if not sign or not value.strip() or key in hidden:
            raise BadInput(f"{where}: {part!r} is not KEY=VALUE", f"keys of {name}: {', '.join(_keys(kind, hidden))}")
        if key in texts:
            raise BadInput(f"{where}: {key} is given twice")
        texts[key] = value.strip()
    hints = get_type_hints(kind, include_extras=True)
    tree = {key: _value(value, hints.get(key), texts.get("n", "n")) for key, value in texts.items()}
    problems = Problems(where)
    built = table(kind, {**tree, **(rest or {})}, ("law",), problems)
    if built is INVALID:
        found = sorted(problems.found)
        keys = [p.key.removeprefix("law").removeprefix(".") for p in found]
        lines = [": ".join(part for part in (where, key, p.text) if part) for key, p in zip(keys, found, strict=True)]
        raise BadInput("\n".join(lines), next((p.hint for p in found), ""), tuple(lines))
    return built


def _keys(kind: Any, hidden: Iterable[str]) -> list[str]:
    return [field.name for field in fields(kind) if field.name not in hidden]


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
    if symbol not in ("", "1"):
        return f"{text} {symbol}"
    return int(text) if text.isdigit() and int in (kind, *get_args(kind)) else float(text)


def _marks(kind: Any) -> list[Any]:
    """Marks of an annotation, also inside ``| None``."""
    own = list(get_args(kind)[1:]) if get_origin(kind) is Annotated else []
    return own or [mark for part in get_args(kind) for mark in _marks(part)]


def show_path(image: Path, laws: tuple[str, ...], options: dict[str, Any], out: Output) -> None:
    """Solves and shows; ``options``: those of a path and of the image, None where they were left out."""
    from hpcms.model_path import MODELS

    given = [law_of(text) for text in laws]
    double = [name for name, _ in given if [n for n, _ in given].count(name) > 1]
    if double:
        raise BadInput(f"--law: phase {double[0]} is given twice")
    named = {_parts(text)[1] for text in laws}
    if models := sorted(named & MODELS.keys()):
        if len(named) > 1:
            hint = f"give each of them --law PHASE={models[0]}:..."
            raise BadInput(f"--law: phases of {' and '.join(sorted(named))} are not solved together", hint)
        _show_model_path(image, models[0], dict(given), options, out)
        return
    for name in ("deformation", "gradient", "model"):
        if options.pop(name) is not None:
            raise BadInput(f"--{name} does not go with --law {sorted(named)[0]}", f"but with {', '.join(MODELS)}")
    _show_law_path(image, dict(given), options, out)


def _show_model_path(image: Path, name: str, phases: dict[str, Any], options: dict[str, Any], out: Output) -> None:
    """Phases of one fine model, which takes some of the options of a path."""
    from hpcms.fine import find
    from hpcms.loading import check_steps
    from hpcms.model_path import MODELS, model_path

    driven, usual = MODELS[name], {"load": "all", "boundary": "periodic"}
    given = {key: options[key] for key in PATH if options[key] not in (None, usual.get(key))}
    if alien := [key for key in given if key not in driven.takes]:
        hint = f"it takes {', '.join('--' + key.replace('_', '-') for key in driven.takes)}"
        raise BadInput(f"--law {name} takes no --{alien[0].replace('_', '-')}", hint)
    steps = 1 if options["steps"] is None else options["steps"]
    check_steps(steps)
    model = _built("--model", name, find(name), options["model"] or "", {"phases": {}, **driven.held})
    if options["tolerance"] is not None:
        model = replace(model, tolerance=options["tolerance"])
    drives = driven.drives(given, steps)
    own = {key: options[key] for key in IMAGE}
    result = model_path(image, name, replace(model, phases=phases), drives, bool(options["tangent"]), **own)
    heading, rows = driven.rows(result.path)
    out.say(f"step  {heading}, iterations")
    for n, (row, step) in enumerate(zip(rows, result.path, strict=True), 1):
        out.say(
            f"{n:4d}  {'  '.join(f'{value:12.5g}' for value in row)}  {step['iterations']}  {step['note']}".rstrip()
        )
    _say_end(result, out)


def _show_law_path(image: Path, laws: dict[str, Any], options: dict[str, Any], out: Output) -> None:
    """Phases that follow laws of small strains."""
    from hpcms.loading import Loading, load_path

    names = {"load": "component", "time": "duration"}
    free = tuple(part.strip() for part in (options.pop("stress_free") or "").split(",") if part.strip())
    own = {names.get(key, key): options.pop(key) for key in KEYS}
    own = {key: value for key, value in own.items() if value is not None}
    if own.get("component", "all") == "all" or "strain" not in own:
        raise BadInput("--law needs a load and its size", "for example --load 12 --strain 0.01 --steps 10")
    if isinstance(own.get("temperature"), tuple):
        raise BadInput("--temperature: one number is needed here", "--law nonlinear_conduction takes two, 280:350")
    result = load_path(image, laws, Loading(**own, stress_free=free), **options)
    out.say("step  strain and stress of the load (tensor components, Pa), energy, dissipation (J/m^3), iterations")
    place = ("11", "22", "33", "23", "13", "12").index(own["component"])
    root = 2.0**0.5 if place > 2 else 1.0
    for n, step in enumerate(result.path, 1):
        values = (step["strain"][place] / root, step["stress"][place] / root, step["energy"], step["dissipation"])
        out.say(f"{n:4d}  {'  '.join(f'{value:12.5g}' for value in values)}  {step['iterations']}")
    _say_end(result, out)


def _say_end(result: Any, out: Output) -> None:
    out.say(f"checks: {', '.join(f'{name} {value:.1e}' for name, value in result.checks.items())}")
    out.say(f"{amount(result.wall_s, 's')} wall, {amount(result.peak_memory_bytes, 'B')}")
    out.result(result.json())

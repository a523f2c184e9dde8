"""``hpcms homogenize``: effective properties of a voxel image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import click

from hpcms.cli.options import json_option
from hpcms.cli.output import Output, amount
from hpcms.errors import BadInput

Value = TypeVar("Value")
BOUNDARIES = ("periodic", "displacement", "traction")
LOADS = ("11", "22", "33", "23", "13", "12", "all")


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--elastic", multiple=True, metavar="PHASE=E,NU", help="Young's modulus and Poisson ratio of a phase.")
@click.option("--conductivity", multiple=True, metavar="PHASE=K", help="Conductivity of a phase.")
@click.option("--law", multiple=True, metavar="PHASE=LAW:KEY=VALUE,...", help="Law of a phase; follows a load path.")
@click.option("--strain", type=float, help="With --law: the strain (tensor component) that --load ends with.")
@click.option("--steps", type=int, help="With --law: equal steps to that strain.")
@click.option("--stress-free", metavar="11,22,...", help="With --law: components whose mean stress is zero.")
@click.option("--time", type=float, help="With --law: seconds to that strain.")
@click.option("--temperature", type=float, help="With --law: in K.")
@click.option("--tangent", is_flag=True, default=None, help="With --law: the tangent of each step as well.")
@click.option("--threshold", help="Of a grey image: otsu, or a grey value. Below is phase 0, above phase 1.")
@click.option("--crop", metavar="X0:X1,Y0:Y1,Z0:Z1", help="Use a part of the image, in voxels.")
@click.option("--mirror", is_flag=True, help="Make the image periodic by mirroring it.")
@click.option("--load", type=click.Choice(LOADS), default="all", show_default=True, help="The load case.")
@click.option("--tolerance", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Relative residual.")
@click.option("--boundary", type=click.Choice(BOUNDARIES), default="periodic", show_default=True)
@click.option("--dataset", help="Path of the array in a .h5 file or a Zarr group.")
@json_option
def homogenize(
    image: Path,
    elastic: tuple[str, ...],
    conductivity: tuple[str, ...],
    law: tuple[str, ...],
    threshold: str | None,
    crop: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Effective stiffness or conductivity of IMAGE (.npy, .tif, .zarr, .h5): trilinear hexahedra.

    Name the property of every phase, for example --elastic 0=1MPa,0.3 --elastic "1=9.33 GPa,0.325". Units may be
    left out: then Pa and W/(m K). With laws the image is strained step by step, for example
    --law 0=j2:E=1,nu=0.3,yield=0.005,hardening=0.05 --law 1=elastic:E=10,nu=0.3 --load 12 --strain 0.01 --steps 10.
    """
    if law:
        if elastic or conductivity:
            raise BadInput("--law goes without --elastic and --conductivity")
        from hpcms.cli.loading import show_path

        cut = {"threshold": _threshold(threshold), "crop": None if crop is None else _crop(crop)}
        show_path(image, law, {**options, **cut}, Output(as_json))
        return
    for name in ("strain", "steps", "stress_free", "time", "temperature", "tangent"):
        if options.pop(name) is not None:
            raise BadInput(f"--{name.replace('_', '-')} goes with --law only")
    if bool(elastic) == bool(conductivity):
        raise BadInput("give either --elastic or --conductivity or --law for every phase", "--conductivity 0=0.024 ...")
    from hpcms.homogenize import homogenize as compute

    out = Output(as_json)
    chosen = {name: value for name, value in options.items() if value is not None}
    result = compute(
        image,
        elastic=_by_phase("--elastic", [_elastic(text) for text in elastic]),
        conductivity=_by_phase("--conductivity", [_conductivity(text) for text in conductivity]),
        threshold=_threshold(threshold),
        crop=None if crop is None else _crop(crop),
        **chosen,
    )
    _show(result.json(), out)


def _by_phase(option: str, given: list[tuple[str, Value]]) -> dict[str | int, Value] | None:
    """The values by phase, each given once; None if there are none."""
    names = [phase for phase, _ in given]
    double = [name for name in names if names.count(name) > 1]
    if double:
        raise BadInput(f"{option}: phase {double[0]} is given twice")
    values: dict[str | int, Value] = {}
    values.update(given)
    return values or None


def _elastic(text: str) -> tuple[str, tuple[float, float]]:
    """``1=9.33 GPa,0.325`` as ``("1", (9.33e9, 0.325))``."""
    phase, value = _assignment("--elastic", text)
    modulus, comma, ratio = value.rpartition(",")
    if not comma:
        raise BadInput(f"--elastic {text}: is not PHASE=E,NU", "for example --elastic 1=9.33e9,0.325")
    E, nu = _number("--elastic", text, modulus, "Pa"), _number("--elastic", text, ratio, "")
    if E < 0 or not -1 < nu < 0.5:
        raise BadInput(f"--elastic {text}: needs E >= 0 and -1 < NU < 0.5", "E = 0 is a void")
    return phase, (E, nu)


def _conductivity(text: str) -> tuple[str, float]:
    """``0=0.024 W/(m K)`` as ``("0", 0.024)``."""
    phase, value = _assignment("--conductivity", text)
    k = _number("--conductivity", text, value, "W/(m K)")
    if k < 0:
        raise BadInput(f"--conductivity {text}: must be >= 0")
    return phase, k


def _assignment(option: str, text: str) -> tuple[str, str]:
    phase, sign, value = text.partition("=")
    if not sign or not phase.strip() or not value.strip():
        raise BadInput(f"{option} {text}: is not PHASE=VALUE", f"for example {option} 1=...")
    return phase.strip(), value.strip()


def _number(option: str, text: str, value: str, symbol: str) -> float:
    from hpcms.job.units import QuantityError, si_or_number

    try:
        return si_or_number(value, symbol)
    except QuantityError as error:
        raise BadInput(f"{option} {text}: {error}", error.hint) from error


def _threshold(text: str | None) -> str | float | None:
    if text is None or text == "otsu":
        return text
    return _number("--threshold", text, text, "")


def _crop(text: str) -> tuple[slice, slice, slice]:
    """``0:64,0:64,8:72`` as three slices; an end may be left out."""
    parts = text.split(",")
    try:
        slices = [slice(*(int(end) if end.strip() else None for end in part.split(":"))) for part in parts]
    except ValueError:
        slices = []
    if len(slices) != 3 or any(part.count(":") != 1 for part in parts):
        raise BadInput(f"--crop {text}: is not X0:X1,Y0:Y1,Z0:Z1", "for example --crop 0:64,0:64,0:64")
    return slices[0], slices[1], slices[2]


def _show(result: dict[str, Any], out: Output) -> None:
    """The tensor, its bounds, and what it took."""
    for name, unit in (("stiffness", "Pa, Mandel order 11 22 33 23 13 12"), ("conductivity", "W/(m K)")):
        if result.get(name) is not None:
            out.say(f"{name} ({unit})")
            for row in result[name]:
                out.say("  " + "  ".join("         -" if entry is None else f"{entry:10.4g}" for entry in row))
    for name, value in result["bounds"].items():
        out.say(f"{name.replace('_', ' ')}: {_numbers(value)}")
    out.say(f"fractions: {_numbers(result['fractions'])}")
    out.say(f"iterations: {_numbers(result['iterations'])}")
    out.say(f"{amount(result['wall_s'], 's')} wall, {amount(result['peak_memory_bytes'], 'B')}")
    out.result(result)


def _numbers(value: Any) -> str:
    """Numbers, pairs and small tables in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_numbers(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return " to ".join(_numbers(inner) for inner in value)
    return f"{value:.5g}" if isinstance(value, float) else str(value)

"""``hpcms homogenize``: effective properties of a voxel image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcms.cli import phases
from hpcms.cli.options import json_option
from hpcms.cli.output import Output, amount
from hpcms.errors import BadInput

BOUNDARIES = ("periodic", "displacement", "traction")
LOADS = ("11", "22", "33", "23", "13", "12", "all")
READERS = {
    "elastic": phases.elastic,
    "conductivity": phases.conductivity,
    "fluid": phases.fluid,
    "viscosity": phases.viscosity,
}
PATH_ONLY = ("strain", "steps", "stress_free", "time", "temperature", "tangent", "deformation", "gradient", "model")
SHOWN = {
    "stiffness": "Pa, Mandel order 11 22 33 23 13 12",
    "conductivity": "W/(m K)",
    "permeability": "m2, or voxel edges squared without --spacing",
    "mobility": "permeability by viscosity, m2/(Pa s)",
    "viscosity": "Pa s, stress by rate of strain, Mandel order 11 22 33 23 13 12: twice the shear viscosity",
}


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--elastic", multiple=True, metavar="PHASE=E,NU",
    help="Young's modulus and Poisson ratio of a phase; or C11,C12,C44 of a cubic crystal; or C11,C12,...,C66, the 21 "
    "numbers of the upper triangle by rows, in Voigt's notation.",
)  # fmt: skip
@click.option(
    "--conductivity", multiple=True, metavar="PHASE=K",
    help="Conductivity of a phase; or K11,K22,K33[,K23,K13,K12].",
)  # fmt: skip
@click.option("--fluid", multiple=True, metavar="PHASE=MU", help="Phase that a liquid of this viscosity flows through.")
@click.option("--viscosity", multiple=True, metavar="PHASE=MU", help="Viscosity of a liquid phase, or rigid.")
@click.option("--law", multiple=True, metavar="PHASE=LAW:KEY=VALUE,...", help="Law of a phase; follows a load path.")
@click.option("--strain", type=float, help="With --law: the strain (tensor component) that --load ends with.")
@click.option("--steps", type=int, help="With --law: equal steps to that strain.")
@click.option("--stress-free", metavar="11,22,...", help="With --law: components whose mean stress is zero.")
@click.option("--time", type=float, help="With --law: seconds to that strain.")
@click.option("--temperature", metavar="T[:T]", help="With --law: in K; with nonlinear_conduction from one to another.")
@click.option("--tangent", is_flag=True, default=None, help="With --law: the tangent of each step as well.")
@click.option("--deformation", metavar="F11,F12,...,F33", help="With --law hyperelastic: the mean gradient at the end.")
@click.option("--gradient", metavar="GX,GY,GZ", help="With --law nonlinear_conduction: of the temperature, at the end.")
@click.option(
    "--model", metavar="KEY=VALUE,...", help="With --law of a fine model: its settings, for example length=1mm."
)
@click.option("--threshold", help="Of a grey image: otsu, or a grey value. Below is phase 0, above phase 1.")
@click.option("--crop", metavar="X0:X1,Y0:Y1,Z0:Z1", help="Use a part of the image, in voxels.")
@click.option("--mirror", is_flag=True, help="Make the image periodic by mirroring it.")
@click.option("--spacing", metavar="H[,HY,HZ]", help="Voxel edges, for example 18um; default: 1 m.")
@click.option("--load", type=click.Choice(LOADS), default="all", show_default=True, help="The load case.")
@click.option("--tolerance", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Relative residual.")
@click.option("--max-iterations", type=click.IntRange(1), help="Iterations a load; default: 2000. Not with --law.")
@click.option(
    "--boundary", type=click.Choice(BOUNDARIES), default="periodic", show_default=True,
    help="Periodic; or the boundary moves as in a uniform material; or it carries a uniform stress (heat flux).",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1), help="Cores for a stiffness or conductivity; default: 1. Not with --law."
)
@click.option("--dataset", help="Path of the array in a .h5 file or a Zarr group.")
@json_option
def homogenize(image: Path, law: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Effective properties of IMAGE (.npy, .tif, .zarr, .h5), whose voxels are labelled 0, 1, ...

    Name every phase with one of these options, once for each. Units may be left out: then they are SI.

    \b
    stiffness       --elastic 0=1MPa,0.3 --elastic "1=9.33 GPa,0.325"
    conductivity    --conductivity 0=0.024 --conductivity 1=2.1
    permeability    --fluid 0=1e-3 --spacing 18um    (what is not named is solid)
    viscosity       --viscosity 0=1e-3 --viscosity 1=rigid
    stress-strain   --law 0=j2:E=1,nu=0.3,yield=0.005,hardening=0.05 --law 1=elastic:E=10,nu=0.3
    path            --load 12 --strain 0.01 --steps 10
    rubber          --law 0=hyperelastic:E=1MPa,nu=0.4 --deformation 1.5,0,0,0,1,0,0,0,1 --steps 10
    fracture        --law 0=damage:E=20GPa,nu=0.2,Gc=2 --model length=1mm,kind=AT2 --load 11 --strain 2e-4
    flux            --law 0=nonlinear_conduction:k=2,m=1.5,b=1e-3 --gradient 100,0,0 --temperature 280:350 --steps 8
    """
    options["threshold"], options["crop"] = phases.threshold(options["threshold"]), phases.crop(options["crop"])
    options["spacing"] = phases.spacing(options["spacing"])
    options["deformation"] = phases.numbers("--deformation", options["deformation"], "")
    options["gradient"] = phases.numbers("--gradient", options["gradient"], "K/m")
    options["temperature"] = phases.temperature(options["temperature"])
    given = {name: options.pop(name) for name in READERS}
    named = [name for name, texts in given.items() if texts]
    if law:
        named += [name for name in ("max_iterations", "threads") if options.pop(name) is not None]
        if named:
            raise BadInput(f"--law goes without --{named[0].replace('_', '-')}")
        from hpcms.cli.loading import show_path

        show_path(image, law, options, Output(as_json))
        return
    for name in PATH_ONLY:
        if options.pop(name) is not None:
            raise BadInput(f"--{name.replace('_', '-')} goes with --law only")
    if len(named) != 1:
        known = ", ".join(f"--{name}" for name in READERS)
        raise BadInput(f"give one of {known} or --law, for every phase", "for example --conductivity 0=0.024 ...")
    from hpcms.homogenize import homogenize as compute

    chosen = {name: value for name, value in options.items() if value is not None}
    chosen[named[0]] = phases.by_phase(f"--{named[0]}", given[named[0]], READERS[named[0]])
    _show(compute(image, **chosen).json(), Output(as_json))


def _show(result: dict[str, Any], out: Output) -> None:
    """The tensors, their bounds, and what it took."""
    for name, unit in SHOWN.items():
        if name in result:
            out.say(f"{name} ({unit})")
            for row in result[name]:
                out.say("  " + "  ".join("         -" if entry is None else f"{entry:10.4g}" for entry in row))
    for name, value in result["bounds"].items():
        out.say(f"{name.replace('_', ' ')}: {_numbers(value)}")
    out.say(f"fractions: {_numbers(result['fractions'])}")
    out.say(f"iterations: {_numbers(result['iterations'])}")
    out.say(f"{amount(result['cpu_s'], 's')} CPU, {amount(result['wall_s'], 's')} wall, "
            f"{amount(result['peak_memory_bytes'], 'B')} at most")  # fmt: skip
    out.result(result)


def _numbers(value: Any) -> str:
    """Numbers, pairs and small tables in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_numbers(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        rows = bool(value) and isinstance(value[0], list)
        return (
            "; ".join(map(_numbers, value)) if rows else (" to " if len(value) == 2 else " ").join(map(_numbers, value))
        )
    return "none" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)

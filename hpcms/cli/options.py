"""Options and arguments that several commands share."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click

from hpcms.errors import BadInput

SIZES = ("ci", "node", "cluster")

job_argument = click.argument("job", type=click.Path(path_type=Path))
rundir_argument = click.argument("rundir", type=click.Path(path_type=Path))
size_option = click.option("--size", type=click.Choice(SIZES), help="The size of the job; default: the file as it is.")
on_option = click.option(
    "--on", default="local", show_default=True, help="Where fine solves run: inline, local[:N] or slurm[:PROFILE]."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object as the last line of stdout.")
plugins_option = click.option("--plugins", is_flag=True, help="Allow models from Python files; this runs their code.")
set_option = click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a key of the job.")


def overrides(settings: tuple[str, ...]) -> dict[str, Any]:
    """``("time.steps=4",)`` as ``{"time.steps": 4}``; a value is TOML, or a text where it is none."""
    result: dict[str, Any] = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign or not key.strip():
            raise BadInput(f"--set {setting}: is not KEY=VALUE", "for example --set time.steps=4")
        result[key.strip()] = _value(value.strip())
    return result


def _value(text: str) -> Any:
    try:
        tree = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tree["value"] if tree.keys() == {"value"} else text


def run_folder(path: Path) -> Path:
    """``path`` if it looks like the folder of a run."""
    if not path.is_dir():
        raise BadInput(f"{path}: no such run", "a run is the folder that `hpcms run` has named, for example runs/snow")
    if not (path / "job.toml").is_file():
        raise BadInput(f"{path}: is not the folder of a run (it has no job.toml)", "`hpcms run` names the folder")
    return path

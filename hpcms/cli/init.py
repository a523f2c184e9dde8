"""``hpcms init``: a commented starter job."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from hpcms.errors import BadInput


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("job.toml"))
def init(path: Path) -> None:
    """Write a commented starter job to PATH (default job.toml). It runs in seconds."""
    text = resources.files("hpcms.cli").joinpath("starter.toml").read_text(encoding="utf-8")
    if path.is_dir():
        path = path / "job.toml"
    try:
        with path.open("x", encoding="utf-8") as stream:  # x: an existing file is never overwritten
            stream.write(text)
    except FileExistsError:
        raise BadInput(f"{path}: exists already", "give another name: hpcms init NAME.toml") from None
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{path}: there is no folder {path.parent}", "make the folder first") from None
    click.echo(f"wrote {path}; now: hpcms run {path}")

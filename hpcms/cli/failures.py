"""The one place where an error becomes text, a hint and an exit code. No traceback reaches the terminal."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any

import click

from hpcms.cli.output import json_line
from hpcms.errors import BAD_INPUT, BadInput, HpcmsError, ResourceFailure, StorageFailure

INTERRUPTED = 130  # what shells report after Ctrl-C
FAILED = 1


class Guarded(click.Group):
    """A group whose commands may raise: ``main`` prints and exits."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        given = list(args) if args is not None else sys.argv[1:]
        try:
            code = super().main(given, prog_name or "hpcms", complete_var, standalone_mode=False, **extra)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            code = INTERRUPTED
        except click.ClickException as error:
            error.show()
            code = _json_error(given, BAD_INPUT, error.format_message())
        except Exception as error:
            code = _explain(error, given)
        raise SystemExit(code if isinstance(code, int) else 0)


def _explain(error: Exception, args: list[str]) -> int:
    known = error if isinstance(error, HpcmsError) else _translated(error)
    if known is None:
        path = _log(error)
        click.echo(f"hpcms failed unexpectedly: {type(error).__name__}", err=True)
        click.echo(f"    hint: the details are in {path}; please report them", err=True)
        return _json_error(args, FAILED, f"unexpected {type(error).__name__}", str(path))
    problems = known.problems if isinstance(known, BadInput) else ()
    click.echo(f"{known}" if problems else f"error: {known}", err=True)
    if known.hint:
        click.echo(f"    hint: {known.hint}", err=True)
    return _json_error(args, known.exit_code, str(known), known.hint, problems)


def _translated(error: Exception) -> HpcmsError | None:
    """What the machine has run out of, as an error of ours."""
    if isinstance(error, MemoryError):
        return ResourceFailure("out of memory", "take a smaller size, or a machine with more memory")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = f"no space left: {error.filename or 'on the disk'}"
        return StorageFailure(text, "make room, then: hpcms resume RUNDIR")
    if isinstance(error, PermissionError):
        return StorageFailure(f"not permitted: {error.filename}", "choose a folder that you may write to")
    return None


def _json_error(args: list[str], code: int, text: str, hint: str = "", problems: tuple[str, ...] = ()) -> int:
    """With ``--json`` the last line of stdout is an object in any case."""
    if "--json" in args:
        click.echo(json_line({"error": text, "hint": hint, "problems": list(problems), "exit_code": code}))
    return code


def _log(error: Exception) -> str:
    """The traceback in a file of its own; its path."""
    handle, path = tempfile.mkstemp(prefix="hpcms-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.writelines(traceback.format_exception(error))
    return path

"""The command line: one small file a group of commands. Heavy imports stay inside them, so that help is quick."""

from __future__ import annotations

from hpcms.cli.commands import main

__all__ = ["main"]

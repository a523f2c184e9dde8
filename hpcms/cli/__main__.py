"""``python -m hpcms.cli``: the command without its script, for batch jobs."""

from __future__ import annotations

from hpcms.cli.commands import main

main()

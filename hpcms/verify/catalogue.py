"""The rows that the software is to cover, with their titles."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

ROW = re.compile(r"[ABCU]\d\d")


def rows() -> dict[str, str]:
    """Catalogue id -> one-line title, in the order of the file."""
    text = (files("hpcms.verify") / "catalogue.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["rows"])


def row_of(claim: str) -> str | None:
    """The row that a claim id belongs to: "A04.laminate" belongs to A04; an id of a job's own to none."""
    head = claim.split(".", 1)[0]
    return head if ROW.fullmatch(head) else None

"""Claims: what the software computes beside what is known, and the catalogue of all that it is to cover."""

from __future__ import annotations

from hpcms.verify.catalogue import row_of, rows
from hpcms.verify.claims import evaluate, format_claim, judge
from hpcms.verify.context import Context

__all__ = ["Context", "evaluate", "format_claim", "judge", "row_of", "rows"]

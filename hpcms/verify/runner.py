"""All claims of all jobs, and the rows of the catalogue that have none."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpcms.errors import BadInput, HpcmsError
from hpcms.job import load_job
from hpcms.verify.catalogue import row_of, rows
from hpcms.verify.claims import Result, evaluate
from hpcms.verify.context import Context

Progress = Callable[[str], None]


def shipped() -> list[Path]:
    """The job files of the project."""
    folder = Path(__file__).parents[2] / "jobs"
    if not folder.is_dir():
        raise BadInput("there is no folder jobs/ beside the package", "name the job files: hpcms verify JOB ...")
    return sorted(folder.glob("*.toml"))


def verify(
    jobs: Sequence[Path] | None = None, size: str = "ci", on: str = "inline", progress: Progress | None = None
) -> dict[str, Any]:
    """``claims``: every claim of the jobs (default: all that are shipped), judged; ``missing``: rows without a claim.

    A job runs in a temporary folder, and only as far as its claims ask for.
    """
    results: list[Result] = []
    for path in [Path(p) for p in jobs] if jobs else shipped():
        if progress is not None:
            progress(path.stem)
        results += _claims_of(path, size, on)
    covered = {row_of(result["id"]) for result in results}
    return {"claims": results, "missing": [row for row in rows() if row not in covered]}


def _claims_of(path: Path, size: str, on: str) -> list[Result]:
    try:
        job = load_job(path, size)
    except HpcmsError as error:
        return [_unreadable(path, str(error))]
    with tempfile.TemporaryDirectory(prefix="hpcms-verify-") as folder:
        return evaluate(Context(job, Path(folder), on), further=True)


def _unreadable(path: Path, reason: str) -> Result:
    """Stands for the claims of a job that cannot be read."""
    return {
        "id": path.stem, "job": path.stem, "quantity": "job", "options": {}, "got": None, "want": 1.0,
        "tolerance": 0.0, "absolute": False, "basis": "the job can be read", "passed": False, "error": reason,
    }  # fmt: skip

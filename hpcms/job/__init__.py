"""Job files: TOML to typed, checked objects in SI; every mistake with its line and column."""

from __future__ import annotations

from hpcms.job.job import Diff, Job, compare
from hpcms.job.load import load_job, validate
from hpcms.job.locate import located
from hpcms.job.schema import Claim, CoarseSpec, FineSpec

__all__ = ["Claim", "CoarseSpec", "Diff", "FineSpec", "Job", "compare", "load_job", "located", "validate"]

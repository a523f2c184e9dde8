"""A place in the job file for what is found wrong later, when the problem is built."""

from __future__ import annotations

import re

from hpcms.errors import BadInput
from hpcms.job.job import Job
from hpcms.job.positions import Index, Lines, Path
from hpcms.job.problems import Problem, key_name, printable

KEY = re.compile(r"([a-z_]+(?:\.[A-Za-z0-9_-]+|\[\d+\])*): (.+)", re.DOTALL)
PART = re.compile(r"([A-Za-z0-9_-]+)|\[(\d+)\]")


def located(job: Job, error: BadInput) -> BadInput:
    """``error`` with file, line and column where its message begins with a key of the job; otherwise as it is."""
    found = KEY.match(str(error))
    if found is None:
        return error
    path: Path = tuple(int(index) if index else name for name, index in PART.findall(found[1]))
    index = Index(job.text.replace("\r\n", "\n")).read()
    places = (path, ("microstructure", *path))  # images are read by a room that knows no tables
    path = next((place for place in places if place[:2] in index.marks), path)
    known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in index.marks), None)
    if known is None:
        return error
    line, column = Lines(index.text)(index.marks[known].start)
    text = Problem(line, column, key_name(path), found[2], error.hint).render(printable(str(job.path)))
    return BadInput(text, problems=(text,))

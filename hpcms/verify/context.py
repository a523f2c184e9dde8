"""What a quantity may use: the job, its run, and the same job run once more with other values."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcms.job import Job
from hpcms.store.run import OpenedRun, open_run


@dataclass
class Context:
    """``rundir``: a folder of this evaluation. ``finished``: the job's run, where the engine has just made it.

    Otherwise ``run`` is made when first asked for. ``overrides``: those of the run, they hold for its variants too.
    ``notes``: what one quantity leaves for the next one to use.
    """

    job: Job
    rundir: Path
    on: str = "inline"
    finished: OpenedRun | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The job file's name without its ending."""
        return self.job.path.stem

    @property
    def run(self) -> OpenedRun:
        """The run of the job itself."""
        return self.finished or self._made("run", {}, "")

    def variant(self, name: str, overrides: Mapping[str, object], on: str = "") -> OpenedRun:
        """The run of the same job with dotted keys overridden, ``variant("slow", {"time.steps": 9})``; made once."""
        return self._made(name, overrides, on)

    def folder(self, name: str) -> Path:
        """A scratch folder of this evaluation."""
        path = self.rundir / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def once(self, name: str, make: Any) -> Any:
        """``make()``, called by the first quantity that asks and remembered for the others, failures included."""
        if name not in self.notes:
            try:
                self.notes[name] = make()
            except Exception as error:
                self.notes[name] = error
        if isinstance(self.notes[name], Exception):
            raise self.notes[name]
        return self.notes[name]

    def _made(self, name: str, overrides: Mapping[str, object], on: str) -> OpenedRun:
        def make() -> OpenedRun:
            engine = importlib.import_module("hpcms.engine")  # late: the engine itself evaluates claims
            out = self.rundir / "runs" / name
            merged = {**self.overrides, **overrides}
            engine.run(self.job.path, size=self.job.size, on=on or self.on, out=out, overrides=merged)
            return open_run(out)

        made: OpenedRun = self.once(f"run {name}", make)
        return made

"""RUNDIR/log.txt: what the user does not need on the screen."""

from __future__ import annotations

import logging
import platform
from importlib.metadata import version
from pathlib import Path

# dask gives some of its loggers handlers of their own, so each has to be named.
_NAMES = ("distributed", "distributed.client", "tornado", "tornado.application", "bokeh", "asyncio", "dask_jobqueue")
_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


class RunLog:
    """Sends our lines and those of dask in this process to ``rundir/log.txt`` until it is closed."""

    def __init__(self, rundir: Path) -> None:
        rundir.mkdir(parents=True, exist_ok=True)
        self.path = rundir / "log.txt"
        self._handler = logging.FileHandler(self.path, encoding="utf-8", delay=True)
        self._handler.setFormatter(logging.Formatter(_FORMAT))
        self._ours = logging.getLogger("hpcms.cluster")
        self._loggers = [self._ours, *(logging.getLogger(name) for name in _NAMES)]
        self._before = [(lg, lg.handlers[:], lg.level, lg.propagate) for lg in self._loggers]
        for logger in self._loggers:
            logger.handlers[:] = [self._handler]
            logger.setLevel(logging.INFO if logger is self._ours else logging.WARNING)
            logger.propagate = False

    def line(self, text: str) -> None:
        self._ours.info(text)

    def close(self) -> None:
        """Put the loggers back as they were."""
        for logger, handlers, level, propagate in self._before:
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
        self._handler.close()

    @staticmethod
    def versions() -> dict[str, str]:
        """Versions of what the tasks run on."""
        names = ("hpcms", "numpy", "numba", "distributed")
        return {"python": platform.python_version(), **{name: version(name) for name in names}}

"""Errors that a user can meet. Each one carries its exit code; the command line prints the text, never a traceback."""

from __future__ import annotations

DONE, BAD_INPUT, NUMERICAL, RESOURCES, STORAGE, STOPPED = 0, 2, 3, 4, 5, 75


class HpcmsError(Exception):
    """An expected failure: ``str(error)`` says what happened, ``hint`` what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadInput(HpcmsError):
    """The job file, an image or an option is wrong. ``problems``: all lines found, ``file:line:column: key: text``."""

    exit_code = BAD_INPUT

    def __init__(self, message: str, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.problems = problems or (message,)


class NumericalFailure(HpcmsError):
    """A solve did not converge within its limits."""

    exit_code = NUMERICAL


class BridgeViolation(NumericalFailure):
    """An exchange between scales broke an invariant that the bridge promises."""


class ResourceFailure(HpcmsError):
    """Not enough memory, workers, files or time."""

    exit_code = RESOURCES


class WorkersLost(ResourceFailure):
    """No worker is left and none came back within the deadline."""


class DeadlineExceeded(ResourceFailure):
    """A wait passed its deadline."""


class TaskFailed(NumericalFailure):
    """A task raised, or killed its workers too often (``poison``)."""

    def __init__(self, key: str, cause: str, poison: bool = False) -> None:
        super().__init__(f"task {key}: {cause}")
        self.key, self.cause, self.poison = key, cause, poison


class StorageFailure(HpcmsError):
    """The store is damaged, full, or held by another driver."""

    exit_code = STORAGE


class Stopped(HpcmsError):
    """Stopped cleanly at a commit; ``hpcms resume`` goes on from there."""

    exit_code = STOPPED

"""References to results, and what is told of a task that failed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hpcms.errors import HpcmsError


@dataclass(slots=True, unsafe_hash=True)
class Ref:
    """A result that stays where it was computed; ``key`` names it."""

    key: str


class TaskError(Exception):
    """An exception of a task, carried to the driver as text: key, cause, traceback, and the error if it is ours."""

    def __init__(self, key: str, cause: str, trace: str, error: HpcmsError | None = None) -> None:
        super().__init__(key, cause, trace, error)
        self.key, self.cause, self.trace, self.error = key, cause, trace, error


def to_driver(value: Any) -> Any:
    """What of a result the driver gets."""
    return value.to_driver() if hasattr(value, "to_driver") else value


def exchange(args: Sequence[Any], swap: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Apply ``swap`` to each argument and to the members of each list, tuple or dict among them."""

    def inner(value: Any) -> Any:
        if type(value) in (list, tuple):
            return type(value)(swap(v) for v in value)
        if type(value) is dict:
            return {k: swap(v) for k, v in value.items()}
        return swap(value)

    return tuple(inner(a) for a in args)


def references(args: Sequence[Any]) -> list[Ref]:
    """The Refs among the arguments, each once, in order of appearance."""
    found: dict[str, Ref] = {}

    def note(value: Any) -> Any:
        if isinstance(value, Ref):
            found.setdefault(value.key, value)
        return value

    exchange(args, note)
    return list(found.values())


def failure(key: str, error: BaseException) -> TaskError:
    """What the driver is told of an exception."""
    cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    trace = "".join(traceback.format_exception(error))
    return TaskError(key, cause, trace, error if isinstance(error, HpcmsError) else None)

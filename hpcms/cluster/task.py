"""One task: a function with its arguments in one packet, opened on the worker.

The packet is pickled once by the driver and stays closed until the worker opens it, so the scheduler never
loads the code or the arrays of a task. A ``Ref`` among the arguments leaves as a numbered slot.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from distributed.protocol import pickle

from hpcms.cluster import journal
from hpcms.errors import HpcmsError


@dataclass(slots=True, unsafe_hash=True)
class Ref:
    """A result that stays where it was computed; ``key`` names it."""

    key: str


@dataclass(frozen=True)
class _Slot:
    index: int


class TaskError(Exception):
    """An exception of a task, carried to the driver as text: key, cause, traceback, and the error if it is ours."""

    def __init__(self, key: str, cause: str, trace: str, error: HpcmsError | None = None) -> None:
        super().__init__(key, cause, trace, error)
        self.key, self.cause, self.trace, self.error = key, cause, trace, error


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


def pack(key: str, function: Callable[..., Any], args: Sequence[Any], inputs: Sequence[Ref]) -> bytes:
    """The packet of a task; ``inputs`` come back as values, in this order, when it is run."""
    place = {ref.key: _Slot(i) for i, ref in enumerate(inputs)}
    closed = exchange(args, lambda v: place[v.key] if isinstance(v, Ref) else v)
    packet: bytes = pickle.dumps((key, function, closed))
    return packet


def run(packet: bytes, inputs: Sequence[Any]) -> Any:
    """Open a packet and call its function, on the worker."""
    key, function, closed = pickle.loads(packet)
    journal.begin(key)
    try:
        return function(*exchange(closed, lambda v: inputs[v.index] if isinstance(v, _Slot) else v))
    except SystemExit:
        # A task that exits takes its process along, exactly as a crash does; left alone,
        # dask would shut the worker down for good and nobody would be blamed.
        os._exit(1)
    except BaseException as error:
        raise failure(key, error) from None
    finally:
        journal.end()


def failure(key: str, error: BaseException) -> TaskError:
    """What the driver is told of an exception."""
    cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    trace = "".join(traceback.format_exception(error))
    return TaskError(key, cause, trace, error if isinstance(error, HpcmsError) else None)

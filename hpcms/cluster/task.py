"""One task: a function with its arguments in one packet, opened on the worker.

The packet is pickled once by the driver and stays closed until the worker opens it, so the scheduler never
loads the code or the arrays of a task. A ``Ref`` among the arguments leaves as a numbered slot.

A result stays with its worker. When the driver asks for it, the worker writes down only what the driver gets: no second task
has to wait for its turn to take that out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from distributed.protocol import pickle
from distributed.protocol.serialize import pickle_dumps, pickle_loads, register_serialization_family

from hpcms.cluster import journal
from hpcms.cluster.ref import Ref, exchange, failure

TO_DRIVER = "hpcms-to-driver"  # name of how results are written for the driver


@dataclass(frozen=True)
class _Slot:
    index: int


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


def _light(value: Any) -> tuple[dict[str, Any], list[Any]]:
    """What the driver gets of a result that has such a part."""
    if not hasattr(value, "to_driver"):
        raise NotImplementedError  # dask's word for: try the next way to write it
    header, frames = pickle_dumps(value.to_driver())
    return header, frames


def register() -> None:
    """Tell dask of ``TO_DRIVER``: in the driver, the scheduler and every worker."""
    register_serialization_family(TO_DRIVER, _light, pickle_loads)

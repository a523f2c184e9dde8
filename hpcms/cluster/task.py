"""One task: a function with its arguments in one packet, opened on the worker.

The packet is pickled once by the driver and stays closed until the worker opens it, so the scheduler never
loads the code or the arrays of a task. A ``Ref`` among the arguments leaves as a numbered slot.

A result stays with its worker. What the driver gets of it (``to_driver``) goes along with the word that the task is done: nobody
has to ask for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import get_worker
from distributed.protocol import pickle

from hpcms.cluster import journal
from hpcms.cluster.ref import Ref, exchange, failure

SUBMIT = "hpcms-submit"  # operation: the driver's tasks for the scheduler
ANSWER = "hpcms-answer"  # operation, and the name in a task's metadata: what the driver gets of a result


@dataclass(frozen=True)
class _Slot:
    index: int


def pack(key: str, function: Callable[..., Any], args: Sequence[Any], inputs: Sequence[Ref]) -> bytes:
    """The packet of a task; ``inputs`` come back as values, in this order, when it is run."""
    place = {ref.key: _Slot(i) for i, ref in enumerate(inputs)}
    closed = exchange(args, lambda v: place[v.key] if isinstance(v, Ref) else v)
    packet: bytes = pickle.dumps((key, function, closed))
    return packet


def run(packet: bytes, *inputs: Any) -> Any:
    """Open a packet and call its function, on the worker."""
    key, function, closed = pickle.loads(packet)
    journal.begin(key)
    try:
        value = function(*exchange(closed, lambda v: inputs[v.index] if isinstance(v, _Slot) else v))
        if hasattr(value, "to_driver"):
            worker = get_worker()
            worker.state.tasks[worker.get_current_task()].metadata[ANSWER] = pickle.dumps(value.to_driver())
        return value
    except SystemExit:
        # A task that exits takes its process along, exactly as a crash does; left alone,
        # dask would shut the worker down for good and nobody would be blamed.
        os._exit(1)
    except BaseException as error:
        raise failure(key, error) from None
    finally:
        journal.end()

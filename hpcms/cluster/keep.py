"""On the worker: hand a value from a task with a history over to a task without one, without copying it."""

from __future__ import annotations

from typing import Any

from hpcms.cluster.task import run

_held: dict[Any, tuple[int, Any]] = {}


def hold(names: list[Any], tag: int, dask_worker: Any) -> None:
    """Keep the values of tasks ``names`` at hand for ``recall``; what an earlier call left unclaimed is dropped."""
    for name in [n for n, (old, _) in _held.items() if old != tag]:
        del _held[name]
    for name in names:
        if name in dask_worker.data:
            _held[name] = (tag, dask_worker.data[name])


def recall(name: Any, packet: bytes) -> Any:
    """The value that was held here; on another worker, or after a loss, the packet is run to make it again."""
    if name in _held:
        return _held.pop(name)[1]
    return run(packet, ())

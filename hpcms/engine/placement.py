"""Which worker is to have which batch in the next step: where its state is, unless that worker has too much to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from hpcms.contracts import TaskRecord

WORTH = 0.02  # a batch is moved where that takes so much of the mean load off the busiest worker


def loads(records: Sequence[TaskRecord]) -> dict[tuple[str, int], float]:
    """CPU seconds that each batch of each model took in these records."""
    seconds: dict[tuple[str, int], float] = defaultdict(float)
    for record in records:
        if record.kind == "fine":
            _, model, _, batch = record.key.split("/")
            seconds[model, int(batch)] += record.cpu_s
    return seconds


def balanced(costs: Sequence[float], places: Sequence[str], workers: Sequence[str]) -> list[str]:
    """(B,) the places, with batches moved from the busiest worker to the idlest as long as the busiest gains by it.

    ``costs``: (B,) seconds. A batch that moves is read from its file once, one that stays is not.
    """
    out = list(places)
    held: dict[str, set[int]] = {name: set() for name in sorted({*workers, *places})}
    for b, place in enumerate(places):
        held[place].add(b)
    load = {name: sum(costs[b] for b in sorted(own)) for name, own in held.items()}
    least = WORTH * sum(load.values()) / max(len(load), 1)
    for _ in costs:
        busy, idle = _extremes(load)
        gap = load[busy] - load[idle]
        movable = [b for b in held[busy] if least < min(costs[b], gap - costs[b])]
        if not movable:
            break
        b = min(movable, key=lambda b: (abs(costs[b] - gap / 2), b))
        held[busy].remove(b)
        held[idle].add(b)
        load[busy], load[idle], out[b] = load[busy] - costs[b], load[idle] + costs[b], idle
    return out


def _extremes(load: Mapping[str, float]) -> tuple[str, str]:
    """The busiest worker and the idlest."""
    return max(load, key=lambda name: load[name]), min(load, key=lambda name: load[name])

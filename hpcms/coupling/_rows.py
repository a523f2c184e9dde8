"""Which rows of a model's arrays belong to which batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array, Arrays, Talk


@dataclass(frozen=True)
class Rows:
    """``starts``, ``sizes``: (B,) of the batches, which follow each other without a gap."""

    starts: Array
    sizes: Array

    @classmethod
    def of(cls, talk: Talk, model: str, drive: Arrays) -> Rows:
        """The batches of a model; all rows of ``drive`` where the talk has none."""
        whole = len(next(iter(drive.values())))
        table = np.array(talk.batches.get(model) or [(0, whole)], dtype=np.int64).reshape(-1, 2)
        return cls(table[:, 0], table[:, 1] - table[:, 0])

    @property
    def count(self) -> int:
        """Number of batches."""
        return len(self.starts)

    def rows(self, batches: Array) -> Array:
        """All rows of ``batches``, in their order."""
        sizes = self.sizes[batches]
        ends = np.cumsum(sizes)
        inside = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
        picked: Array = np.repeat(self.starts[batches], sizes) + inside
        return picked

    def largest(self, values: Array) -> Array:
        """(B,) the largest of ``values`` (S,) in each batch."""
        found: Array = np.maximum.reduceat(values, self.starts)
        return found

    def put(self, into: Arrays, arrays: Arrays, batches: Array, wanted: Array) -> None:
        """Writes the rows of those ``batches`` that are ``wanted`` (bool, one a batch) into full arrays, made here."""
        keep = np.repeat(wanted, self.sizes[batches])
        rows = self.rows(batches[wanted])
        for name, value in arrays.items():
            if name not in into:
                into[name] = np.zeros((int(self.sizes.sum()), *value.shape[1:]), value.dtype)
            into[name][rows] = value[keep]

"""Barrier-free: the coarse solve runs as soon as half of the new records are there, and a fine region as soon as a coarse
solve has seen its last record. See ``_async`` for the rules; there is no look-ahead into the next step here."""

from __future__ import annotations

from hpcms.coupling._async import Async


class BarrierFree(Async):
    """See ``hpcms.contracts.Scheme``."""

    ahead = 0


SCHEME = BarrierFree

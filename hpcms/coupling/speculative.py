"""Speculative: barrier-free, and idle workers start the next step from the drive that is foretold.

A record corrects a drive that was foreseen wrongly to second order, so most of that work is kept. One step ahead: with two,
records kept being made from histories that changed under them, and the steps did not end. See ``_async`` for the rules.
"""

from __future__ import annotations

from hpcms.coupling._async import Async


class Speculative(Async):
    """See ``hpcms.contracts.Scheme``."""

    ahead = 1


SCHEME = Speculative

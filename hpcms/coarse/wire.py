"""Messages over a local socket: a JSON head and plain arrays. Nothing that arrives is ever executed."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpcms.contracts import Array

LENGTH = struct.Struct("!Q")
LARGEST_HEAD = 2**24
KINDS = ("<f8", "<i4", "<i8")


class Wire:
    """One end of a connection. ``until``: a deadline by ``time.monotonic``, None waits for ever.

    Raises ``TimeoutError`` where the deadline passes and ``ConnectionError`` where the connection is cut.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, head: Mapping[str, Any], arrays: Sequence[Array] = (), until: float | None = None) -> int:
        """The number of bytes sent."""
        text = json.dumps({**head, "arrays": [[a.dtype.str, len(a)] for a in arrays]}).encode()
        parts = [LENGTH.pack(len(text)) + text, *(a.tobytes() for a in arrays)]
        for part in parts:
            self._set(until)
            self.sock.sendall(part)
        return sum(len(part) for part in parts)

    def receive(self, until: float | None = None) -> tuple[dict[str, Any], list[Array], int]:
        """Head, arrays and the number of bytes received."""
        (length,) = LENGTH.unpack(self._exactly(LENGTH.size, until))
        if length > LARGEST_HEAD:
            raise ConnectionError("a message with a head that is too long")
        head = json.loads(self._exactly(length, until))
        total, arrays = LENGTH.size + length, []
        for kind, n in head.pop("arrays"):
            if kind not in KINDS:
                raise ConnectionError(f"an array of unknown kind {kind!r}")
            raw = self._exactly(np.dtype(kind).itemsize * n, until)
            arrays.append(np.frombuffer(raw, dtype=kind))
            total += len(raw)
        return head, arrays, total

    def _exactly(self, n: int, until: float | None) -> bytearray:
        data = bytearray(n)
        view, got = memoryview(data), 0
        while got < n:
            self._set(until)
            more = self.sock.recv_into(view[got:])
            if not more:
                raise ConnectionError("the other end is gone")
            got += more
        return data

    def _set(self, until: float | None) -> None:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("deadline passed")
        self.sock.settimeout(left)

    def close(self) -> None:
        self.sock.close()

"""Messages over a socket: unchanged arrays, deadlines, refusals."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest

from hpcms.coarse.wire import LENGTH, Wire


def wires() -> tuple[Wire, Wire]:
    a, b = socket.socketpair()
    return Wire(a), Wire(b)


def test_arrays_cross_the_wire_unchanged() -> None:
    a, b = wires()
    arrays = [np.array([np.pi, np.nan, -np.inf]), np.arange(5, dtype=np.int32), np.zeros(0)]
    sent = a.send({"do": "it", "n": 3}, arrays)
    head, back, received = b.receive()
    assert head == {"do": "it", "n": 3}
    assert sent == received
    assert all(x.tobytes() == y.tobytes() and x.dtype == y.dtype for x, y in zip(arrays, back, strict=True))
    a.close(), b.close()


def test_a_wire_has_deadlines_and_notices_a_cut() -> None:
    a, b = wires()
    with pytest.raises(TimeoutError):
        b.receive(time.monotonic() + 0.05)
    with pytest.raises(TimeoutError):
        a.send({}, [np.zeros(10**7)], time.monotonic() + 0.05)
    a.close()
    b.sock.setblocking(True)
    while b.sock.recv(2**20):
        pass  # what was sent before the deadline
    with pytest.raises(ConnectionError, match="the other end is gone"):
        b.receive(time.monotonic() + 5)
    b.close()


@pytest.mark.parametrize(
    ("raw", "words"),
    [(LENGTH.pack(2**40), "too long"), (LENGTH.pack(23) + b'{"arrays": [["|O", 1]]}', "unknown kind")],
)
def test_a_wire_refuses_what_is_no_message(raw: bytes, words: str) -> None:
    a, b = wires()
    a.sock.sendall(raw)
    with pytest.raises(ConnectionError, match=words):
        b.receive(time.monotonic() + 5)
    a.close(), b.close()

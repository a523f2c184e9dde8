"""The inverse stiffness of mirrored fields against plain cosines and sines, and the vectors that it is written with."""

from __future__ import annotations

import numpy as np
import pytest

from hpcms.kernels import jit
from hpcms.kernels.registers import get, put, read, same, summed, transposed, turned, write
from hpcms.kernels.waves import by_nodes, green_of_classes, scratch, waves


def plain(r: np.ndarray, odd: int, inverse: np.ndarray, nodes: tuple[int, ...]) -> np.ndarray:
    """Twin of ``green_of_classes`` for the field (3, nodes) of one class."""
    bits = [odd >> axis & 1 for axis in range(3)]
    angles = [np.pi / (n - 1) * np.outer(np.arange(n), np.arange(n)) for n in nodes]

    def transformed(v: np.ndarray) -> np.ndarray:
        out = v.reshape(3, *nodes).copy()
        for c in range(3):
            M = [np.sin(t) if bits[axis] ^ (c == axis) else np.cos(t) for axis, t in enumerate(angles)]
            out[c] = np.einsum("ai,bj,ck,ijk", *M, out[c])
        return out.reshape(3, -1)

    xx, yy, zz, yz, xz, xy = inverse
    G = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    signs = np.array([[1 - 2 * (a ^ b) for b in bits] for a in bits])
    return transformed(np.einsum("cd,cdn,dn->cn", signs, G, transformed(r)))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [(0,), (6,), (0, 3), (5, 6), (0, 3, 5, 6), (7, 4, 2, 1)])
@pytest.mark.parametrize("nodes", [(2, 2, 2), (3, 4, 9), (2, 7, 3), (11, 11, 11), (6, 5, 8)])
def test_the_inverse_equals_its_plain_twin(nodes: tuple[int, ...], classes: tuple[int, ...], kind: type) -> None:
    rng, count = np.random.default_rng(0), int(np.prod(nodes))
    r, inverse = rng.normal(size=(len(classes), 3, count)).astype(kind), rng.normal(size=(6, count)).astype(np.float32)
    X, Y, Z, table = (M.astype(kind) for M in (*(waves(n, axis) for axis, n in enumerate(nodes)), by_nodes(inverse)))
    z, space = np.full_like(r, np.nan), scratch(X, Y, Z, kind)
    for _ in range(2):  # what the first left in the work space does not matter
        green_of_classes(r, np.array(classes), X, Y, Z, table, z, *space)
    for m, odd in enumerate(classes):
        want = plain(r[m].astype(np.float64), odd, inverse.astype(np.float64), nodes)
        np.testing.assert_allclose(z[m], want, rtol=0, atol=2e-6 * max(1.0, np.abs(want).max()))


@jit
def combine(a: np.ndarray, b: np.ndarray) -> None:
    u, v = get(a, 0, 9), get(a, 5, 1)
    put(b, 1, 8, u + turned(v) * u - v)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_vectors_equal_their_plain_twins(kind: type) -> None:
    a = np.random.default_rng(0).normal(size=13).astype(kind)
    found, want = np.zeros(13, kind), np.zeros(13, kind)
    combine(a, found)
    u, v = np.r_[a[:4], a[9:]], np.r_[a[5:9], a[1:5]]
    want[[1, 2, 3, 4, 8, 9, 10, 11]] = u + v[[1, 2, 0, 3, 5, 6, 4, 7]] * u - v
    np.testing.assert_allclose(found, want, rtol=0, atol=4 * np.finfo(kind).eps)


@jit
def rearrange(a: np.ndarray, single: np.ndarray, b: np.ndarray) -> None:
    p, q, r = get(a, 0, 4), get(a, 5, 1), read(a, 3, same(a[0]))
    x, y, z, w = transposed(p, q, r, read(single, 1, p) * same(a[2]))
    write(b, 0, x)
    write(b, 8, y)
    write(b, 16, z)
    write(b, 24, w)
    b[32] = summed(r)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numbers_change_places_as_in_the_plain_twins(kind: type) -> None:
    rng = np.random.default_rng(0)
    a, single = rng.normal(size=13).astype(kind), rng.normal(size=9).astype(np.float32)
    found = np.zeros(33, kind)
    rearrange(a, single, found)
    rows = np.array([a[:8], np.r_[a[5:9], a[1:5]], a[3:11], single[1:] * a[2]])
    want = np.r_[np.concatenate((rows[:, :4].T, rows[:, 4:].T), axis=1).reshape(-1), a[3:11].sum()]
    np.testing.assert_allclose(found, want, rtol=0, atol=8 * np.finfo(kind).eps)
    plain = np.array(transposed(*rows)).reshape(-1)
    np.testing.assert_array_equal(plain, np.concatenate((rows[:, :4].T, rows[:, 4:].T), axis=1).reshape(-1))

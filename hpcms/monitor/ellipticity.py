"""Loss of ellipticity: the direction in which a material with this tangent is about to localise.

    Q_ik(n) = n_j A_ijkl n_l,        least over |n| = 1 of det Q(n)  <= 0:  a band with normal n may form

(J. W. Rudnicki, J. R. Rice, J. Mech. Phys. Solids 23 (1975) 371-394). det Q is an even polynomial of degree 6 in n. Its
28 coefficients are found from its values at fixed directions; the least value is sought on a grid of the half sphere
and refined by Newton's method on the sphere, in the two best valleys of the grid. The value is relative to
(A_ijij / 9)^3, so it has no unit. A tangent without columns 33, 23, 13, that of a plane cell, has normals in the plane
only, and a determinant of two by two over (A_ijij / 4)^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from hpcms.contracts import Array

BLOCK = 2048  # regions at once: their polynomials stay in the cache
FITTED, GRID, STEPS, ROUNDS = 36, 160, 3, 6
PLANE = 90  # angles of the grid over half a turn
VALLEY = float(np.cos(0.5))  # directions further apart than 0.5 rad count as two valleys
TURN = 0.3  # rad, the largest Newton step: about the spacing of the grid


@dataclass(frozen=True)
class Ellipticity:
    """``least``: (R,) smallest relative determinant; ``normal``: (R, 3) where."""

    least: Array
    normal: Array


def ellipticity(tangent: Array) -> Ellipticity:
    """Least determinant of the acoustic tensors of ``tangent`` (R, 6, 6) Mandel, which need not be symmetric."""
    least, normal = np.empty(len(tangent)), np.empty((len(tangent), 3))
    find = _least if tangent[..., 2:5].any() else _least_in_plane
    for lo in range(0, len(tangent), BLOCK):
        own = slice(lo, lo + BLOCK)
        least[own], normal[own] = find(tangent[own])
    return Ellipticity(least, normal)


def acoustic(tangent: Array, normal: Array) -> Array:
    """(R, 3, 3) acoustic tensors of ``tangent`` (R, 6, 6) in the directions ``normal`` (R, 3)."""
    N = stretches(normal)
    return np.asarray(np.einsum("ria,rij,rjb->rab", N, tangent, N))


def stretches(n: Array) -> Array:
    """(D, 6, 3) Mandel vectors of the symmetric part of e_a (x) n, column a."""
    N, s = np.zeros((len(n), 6, 3)), np.sqrt(0.5)
    for a in range(3):
        N[:, a, a] = n[:, a]
    for row, (i, j) in zip((3, 4, 5), ((1, 2), (0, 2), (0, 1)), strict=True):
        N[:, row, i], N[:, row, j] = s * n[:, j], s * n[:, i]
    return N


def half_sphere(count: int) -> Array:
    """(count, 3) nearly even directions of a half sphere (Fibonacci's spiral)."""
    i = np.arange(count) + 0.5
    z, phi = i / count, np.pi * (1 + np.sqrt(5)) * i
    r = np.sqrt(1 - z**2)
    return np.column_stack([r * np.cos(phi), r * np.sin(phi), z])


def _powers(degree: int) -> list[tuple[int, int, int]]:
    return [(i, j, degree - i - j) for i in range(degree + 1) for j in range(degree + 1 - i)]


def _monomials(n: Array, degree: int) -> Array:
    """(terms, R) all products of this degree."""
    x = [np.ones_like(n.T)]
    for _ in range(degree):
        x.append(x[-1] * n.T)
    return np.stack([x[i][0] * x[j][1] * x[k][2] for i, j, k in _powers(degree)])


@cache
def _tables() -> tuple[Array, Array, Array]:
    """From tangents to determinants' polynomials: (D * 9, 36) products, (28, D) fit; (G, 28) values on the grid."""
    n = half_sphere(FITTED)
    N = stretches(n)
    products = np.einsum("dia,djb->dabij", N, N).reshape(-1, 36)
    return products, np.linalg.pinv(_monomials(n, 6).T), np.ascontiguousarray(_monomials(half_sphere(GRID), 6).T)


@cache
def _derivative(degree: int) -> Array:
    """(3, terms one degree lower, terms): coefficients of the derivatives."""
    lower = {p: i for i, p in enumerate(_powers(degree - 1))}
    D = np.zeros((3, len(lower), len(_powers(degree))))
    for row, p in enumerate(_powers(degree)):
        for axis in range(3):
            if p[axis]:
                i, j, k = (e - (a == axis) for a, e in enumerate(p))
                D[axis, lower[i, j, k], row] = p[axis]
    return D


def _det(Q: Array) -> Array:
    """(D, R) determinants of matrices by rows, (D, 9, R)."""
    a, b, c, d, e, f, g, h, i = np.moveaxis(Q, 1, 0)
    return np.asarray(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


def _least(A: Array) -> tuple[Array, Array]:
    R = len(A)
    scale = np.trace(A, axis1=1, axis2=2) / 9
    scale = np.where(scale > 0, scale, np.abs(A).max(axis=(1, 2)))
    scale = np.where(scale > 0, scale, 1.0)
    products, fit, grid = _tables()
    unit = (A / scale[:, None, None]).reshape(R, 36)
    c = fit @ _det((products @ unit.T).reshape(FITTED, 9, R))  # (28, R)
    values = grid @ c
    slope = _derivative(6) @ c  # (3, 21, R)
    bend = np.einsum("ast,btr->absr", _derivative(5), slope, optimize=True)  # (3, 3, 15, R)
    start = half_sphere(GRID)
    first = values.argmin(axis=0)
    values[np.abs(start @ start[first].T) > VALLEY] = np.inf  # the best of the other valleys may end below it
    ends = [_refined(c, slope, bend, start[k]) for k in (first, values.argmin(axis=0))]
    lower = ends[1][0] < ends[0][0]
    return np.where(lower, ends[1][0], ends[0][0]), np.where(lower[:, None], ends[1][1], ends[0][1])


def _least_in_plane(A: Array) -> tuple[Array, Array]:
    """The same for normals (cos a, sin a, 0): the determinant is a trigonometric polynomial of degree 4 in a.

    Five values at even angles tell it: c0 + Re(c1 exp(2 i a) + c2 exp(4 i a)).
    """
    scale = (A[:, 0, 0] + A[:, 1, 1] + A[:, 5, 5]) / 4
    scale = np.where(scale > 0, scale, np.maximum(np.abs(A).max(axis=(1, 2)), 1e-300))
    at, trial = np.arange(5) * np.pi / 5, np.arange(PLANE) * np.pi / PLANE
    values = np.stack([_det2(A / scale[:, None, None], np.full(len(A), a)) for a in at])
    c = np.fft.fft(values, axis=0) / 5
    a = trial[_wave(c, trial[:, None])[0].argmin(axis=0)]
    for _ in range(STEPS):
        _, slope, bend = _wave(c, a)
        step = np.divide(-slope, bend, out=np.zeros_like(slope), where=bend > 0)
        step = np.clip(step, -np.pi / PLANE, np.pi / PLANE)
        a = np.where(_wave(c, a + step)[0] <= _wave(c, a)[0], a + step, a)
    return _wave(c, a)[0], np.column_stack([np.cos(a), np.sin(a), np.zeros(len(a))])


def _wave(c: Array, a: Array) -> tuple[Array, Array, Array]:
    """Values of the polynomial with coefficients ``c`` (5, R) at the angles ``a``, and their first two derivatives."""
    one, two = c[1] * np.exp(2j * a), c[2] * np.exp(4j * a)
    return (c[0] + 2 * (one + two)).real, -4 * (one + 2 * two).imag, -8 * (one + 4 * two).real


def _det2(A: Array, a: Array) -> Array:
    """(R,) determinants of the acoustic tensors in the plane."""
    Q = acoustic(A, np.column_stack([np.cos(a), np.sin(a), np.zeros(len(a))]))
    return np.asarray(Q[:, 0, 0] * Q[:, 1, 1] - Q[:, 0, 1] * Q[:, 1, 0])


def _refined(c: Array, slope: Array, bend: Array, n: Array, rounds: int = ROUNDS) -> tuple[Array, Array]:
    """Least values and directions of the valleys in which the directions ``n`` (R, 3) lie.

    After ``STEPS`` steps only the regions go on that still fall: flat valleys take longer.
    """
    value = np.einsum("tr,tr->r", c, _monomials(n, 6))
    falls = np.zeros(len(n), bool)
    for _ in range(STEPS):
        g = np.einsum("atr,tr->ra", slope, _monomials(n, 5))
        H = np.einsum("abtr,tr->rab", bend, _monomials(n, 4))
        trial = n + _newton(n, g, H)
        trial /= np.linalg.norm(trial, axis=1, keepdims=True)
        lower = np.einsum("tr,tr->r", c, _monomials(trial, 6))
        better, falls = lower < value, value - lower > 1e-12
        n, value = np.where(better[:, None], trial, n), np.where(better, lower, value)
    rest = np.flatnonzero(falls)
    if rounds and len(rest):
        value[rest], n[rest] = _refined(c[:, rest], slope[..., rest], bend[..., rest], n[rest], rounds - 1)
    return value, n


def _newton(n: Array, g: Array, H: Array) -> Array:
    """(R, 3) step in the tangent plane at ``n``; downhill also where the bend is not positive."""
    helper = np.where(np.abs(n[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    t = np.cross(n, helper)
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    T = np.stack([t, np.cross(n, t)], axis=2)  # (R, 3, 2)
    down = np.einsum("rak,ra->rk", T, g)
    bend = np.einsum("rak,rab,rbl->rkl", T, H, T) - np.einsum("ra,ra->r", n, g)[:, None, None] * np.eye(2)
    a, b, d = bend[:, 0, 0], bend[:, 0, 1], bend[:, 1, 1]
    middle, radius = (a + d) / 2, np.hypot((a - d) / 2, b)
    lift = np.maximum(0.0, 1e-3 * (np.abs(middle) + radius) - (middle - radius))  # of the smaller eigenvalue above zero
    a, d = a + lift, d + lift
    det = a * d - b * b
    det = np.where(det > 0, det, 1.0)
    step = -np.stack([d * down[:, 0] - b * down[:, 1], a * down[:, 1] - b * down[:, 0]], axis=1) / det[:, None]
    length = np.linalg.norm(step, axis=1, keepdims=True)
    step *= np.minimum(1.0, TURN / np.maximum(length, TURN))
    return np.asarray(np.einsum("rak,rk->ra", T, step))

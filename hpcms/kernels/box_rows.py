"""The rows along x of a homogeneous periodic stiffness, solved by two recursions.

For a pair of waves along y and z the stiffness is block tridiagonal along x, with 3 x 3 blocks that do not change,
A- u[i-1] + A0 u[i] + A-^T u[i+1] = s[i]. It factors into (1 - R^T S^-1) M (1 - R S), S the shift to the next node, with

    M = A0 - A-^T M^-1 A-,   R = -M^-1 A-

(the largest solution, by the doubling algorithm of Chu, Fan, Lin and Wang, Int. J. Control 77, 2004). So y[i] = s[i] + R^T y[i+1]
downwards and u[i] = M^-1 y[i] + R u[i-1] upwards, each started with what the ring brings in; planes without forces are stepped
over by powers of R.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.box_green import put

LANES = 128  # pairs of waves treated at once
FORGOTTEN = 1e-18


@jit
def _product(A: Array, B: Array) -> Array:
    C = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for k in range(3):
                C[i, j] += A[i, k] * B[k, j]
    return C


@jit
def _inverse(A: Array) -> Array:
    B = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            a, b, c, d = (j + 1) % 3, (j + 2) % 3, (i + 1) % 3, (i + 2) % 3
            B[i, j] = A[a, c] * A[b, d] - A[a, d] * A[b, c]
    return B / (A[0, 0] * B[0, 0] + A[0, 1] * B[1, 0] + A[0, 2] * B[2, 0])


@jit
def _power(R: Array, n: int) -> Array:
    out, square = np.eye(3), R.copy()
    while n > 0:
        if n % 2 == 1:
            out = _product(out, square)
        square = _product(square, square)
        n //= 2
    return out


@jit
def coefficients(Y: Array, Z: Array, h: float, lam: float, mu: float, ring: int, nodes: int, weight: Array, out: Array,
                 warm: Array) -> None:  # fmt: skip
    """out (33, pairs) <- R, M^-1 (xx yy zz yz xz xy), what enters the downward and the upward recursion.

    Y, Z: (4, n) symbols of the waves (``axis_symbol``); h: edge along x; weight: (pairs,) by which M^-1 is multiplied.
    warm: (pairs,) planes of the box after which a recursion has forgotten its start. The constant pair gets zeros.
    """
    l2, lm, gap = lam + 2.0 * mu, lam + mu, ring - nodes
    one = np.eye(3)
    for p in range(weight.size):
        y, z = p % Y.shape[1], p // Y.shape[1]
        my, ky, sy, mz, kz, sz = Y[0, y], Y[1, y], Y[2, y], Z[0, z], Z[1, z], Z[2, z]
        out[:, p], warm[p] = 0.0, 0
        if ky == 0.0 and kz == 0.0:
            continue
        stiff, a, b = my * mz / h**2, ky * mz, my * kz
        K, S, A = (
            np.array([l2, mu, mu]) * stiff,
            np.array([mu * (a + b), l2 * a + mu * b, l2 * b + mu * a]),
            np.zeros((3, 3)),
        )
        Q = np.zeros((3, 3))
        for c in range(3):
            Q[c, c], A[c, c] = 2.0 * K[c] + 2.0 / 3.0 * S[c], S[c] / 6.0 - K[c]
        Q[1, 2] = Q[2, 1] = lm * sy * sz * 2.0 / 3.0
        A[1, 2] = A[2, 1] = lm * sy * sz / 6.0
        A[0, 1], A[0, 2] = lm * sy * mz / (2.0 * h), lm * my * sz / (2.0 * h)
        A[1, 0], A[2, 0] = -A[0, 1], -A[0, 2]
        lower, M, P = A.copy(), Q, np.zeros((3, 3))
        for _ in range(60):
            T = _inverse(M - P)
            AT = _product(A, T)
            change = _product(A.T.copy(), _product(T, A))
            M, P, A = M - change, P + _product(AT, A.T.copy()), _product(AT, A)
            if np.abs(change).max() <= 1e-17 * np.abs(M).max():
                break
        inverse = _inverse(M)
        R = -_product(inverse, lower)
        D, power = inverse.copy(), R.copy()
        for _ in range(60):
            D = D + _product(power, _product(D, power.T.copy()))
            power = _product(power, power)
            if np.abs(power).max() < FORGOTTEN:
                break
        skip = _power(R, gap)
        once = _inverse(one - _power(R, ring))
        enter = _product(once, skip)
        tail = _product(once, _product(D - _product(skip, _product(D, skip.T.copy())), R.T.copy()))
        for i in range(3):
            for j in range(3):
                out[3 * i + j, p], out[15 + 3 * i + j, p] = R[i, j], enter[i, j]
                out[24 + 3 * i + j, p] = tail[i, j] * weight[p]
        for c in range(3):
            out[9 + c, p] = inverse[c, c] * weight[p]
        out[12, p], out[13, p] = inverse[1, 2] * weight[p], inverse[0, 2] * weight[p]
        out[14, p] = inverse[0, 1] * weight[p]
        while warm[p] < nodes and np.abs(skip).max() > FORGOTTEN:
            skip = _product(skip, R)
            warm[p] += 1


@jit
def _line(s: Array, nodes: int, stiffness: float) -> None:
    """A mode that is constant along y and z: -u[i-1] + 2 u[i] - u[i+1] = (s[i] - mean s) / stiffness; in place.

    The mean of u is that of s by the stiffness of the longest wave: forces add up to zero but for rounding, which so decays.
    """
    f, u = np.zeros(nodes), np.zeros(nodes)
    f[: s.size] = s
    mean = f.mean()
    f -= mean
    slope, start = 0.0, 0.0
    for i in range(nodes):  # start: the first slope that closes the ring
        slope -= f[i] / stiffness
        start -= slope / nodes
    slope = start
    for i in range(1, nodes):
        slope -= f[i - 1] / stiffness
        u[i] = u[i - 1] + slope
    u += mean / stiffness * (0.5 * nodes / np.pi) ** 2 - u.mean()
    s[:] = u[: s.size]


@jit
def along_rows(tasks: Array, W: Array, rows: Array, warm: Array, line: Array, ring: int, constant: Array) -> None:
    """W (cells, x, 3, pairs) <- K0^-1 W for the pairs of waves first..last-1 of a task.

    rows, warm: ``coefficients``; line: (3,) stiffness of the constant modes; constant: (4,) their places among the pairs.
    """
    bx = W.shape[1]
    k, y = np.empty(33 * LANES, W.dtype), np.empty(6 * LANES, W.dtype)
    for task in range(tasks.shape[0]):
        m, end = tasks[task, 0], tasks[task, 2]
        modes = np.empty((constant.size, 3, bx))
        for n in range(constant.size):
            if tasks[task, 1] <= constant[n] < end:
                for c in range(3):
                    modes[n, c] = W[m, :, c, constant[n]]
                    _line(modes[n, c], ring, line[c])
        for p in range(tasks[task, 1], end, LANES):
            width = min(LANES, end - p)
            for n in range(33):
                put(k[n * LANES :], rows[n, p:], width)
            depth = warm[p : p + width].max()
            y[:] = 0.0
            for step in range(depth + bx):  # down, first only to see what goes around
                if step == depth:
                    _enter(k, y, width, False)
                i = depth - 1 - step if step < depth else bx - 1 - (step - depth)
                _down(W[m, i], p, k, y, width, step >= depth)
            y[3 * LANES :] = y[: 3 * LANES]
            y[: 3 * LANES] = 0.0
            for step in range(depth + bx):
                if step == depth:
                    _enter(k, y, width, True)
                i = bx - depth + step if step < depth else step - depth
                _up(W[m, i], p, k, y, width, step >= depth)
        for n in range(constant.size):
            if tasks[task, 1] <= constant[n] < end:
                W[m, :, :, constant[n]] = modes[n].T


@jit
def _down(w: Array, p: int, k: Array, y: Array, width: int, store: bool) -> None:
    """y[:3] <- w + R^T y[:3]."""
    w0, w1, w2, L = w[0, p:], w[1, p:], w[2, p:], LANES
    for n in range(width):
        a, b, c = y[n], y[L + n], y[2 * L + n]
        y[n] = w0[n] + k[n] * a + k[3 * L + n] * b + k[6 * L + n] * c
        y[L + n] = w1[n] + k[L + n] * a + k[4 * L + n] * b + k[7 * L + n] * c
        y[2 * L + n] = w2[n] + k[2 * L + n] * a + k[5 * L + n] * b + k[8 * L + n] * c
    if store:
        for n in range(width):
            w0[n], w1[n], w2[n] = y[n], y[L + n], y[2 * L + n]


@jit
def _up(w: Array, p: int, k: Array, y: Array, width: int, store: bool) -> None:
    """y[:3] <- M^-1 w + R y[:3]."""
    w0, w1, w2, L = w[0, p:], w[1, p:], w[2, p:], LANES
    for n in range(width):
        a, b, c, e, f, g = y[n], y[L + n], y[2 * L + n], w0[n], w1[n], w2[n]
        xy, xz, yz = k[14 * L + n], k[13 * L + n], k[12 * L + n]
        y[n] = k[9 * L + n] * e + xy * f + xz * g + k[n] * a + k[L + n] * b + k[2 * L + n] * c
        y[L + n] = xy * e + k[10 * L + n] * f + yz * g + k[3 * L + n] * a + k[4 * L + n] * b + k[5 * L + n] * c
        y[2 * L + n] = xz * e + yz * f + k[11 * L + n] * g + k[6 * L + n] * a + k[7 * L + n] * b + k[8 * L + n] * c
    if store:
        for n in range(width):
            w0[n], w1[n], w2[n] = y[n], y[L + n], y[2 * L + n]


@jit
def _enter(k: Array, y: Array, width: int, up: bool) -> None:
    """What the ring brings in: y[:3] <- enter y[:3] + tail y[3:] upwards, enter^T y[:3] downwards."""
    L = LANES
    for n in range(width):
        a, b, c, e, f, g = y[n], y[L + n], y[2 * L + n], y[3 * L + n], y[4 * L + n], y[5 * L + n]
        if up:
            for i in range(3):
                q = (15 + 3 * i) * L + n
                y[i * L + n] = (k[q] * a + k[q + L] * b + k[q + 2 * L] * c
                                + k[q + 9 * L] * e + k[q + 10 * L] * f + k[q + 11 * L] * g)  # fmt: skip
        else:
            for i in range(3):
                y[i * L + n] = k[(15 + i) * L + n] * a + k[(18 + i) * L + n] * b + k[(21 + i) * L + n] * c

"""The inverse of the periodic trilinear stiffness with one coefficient, applied to sources inside a box of nodes.

Along z and y the nodes are Fourier-transformed. What is left for each pair of wave numbers is one periodic row
``a u[i-1] + b u[i] + a u[i+1] = s[i]`` along x, with ``b + 2 a cos(t)`` the symbol of the element. It factors into
``g (1 - rho S)(1 - rho S^-1)`` with the shift S and |rho| < 1, so two recursions along x solve it, and only the planes
of the box need to exist: beyond them the sources are zero and the solution is a known power of rho.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ducc0
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit

FORGOTTEN = 1e-18  # a power of rho below this is lost in rounding
CHUNK = 1 << 15  # complex numbers transformed at a time: half a MB stays in the cache


@dataclass(frozen=True)
class Green:
    """A prepared inverse. ``shape``: (nx, ny, nz) nodes of the cell; ``box``: nodes of the box at its origin.

    ``rho, scale, wrap, tail``: (ny, 2 nzc) by wave number, each twice (real and imaginary part); ``warm``: (ny,)
    planes after which a recursion has forgotten its start; ``line``: stiffness along x of the mode constant in y and z.
    """

    shape: tuple[int, int, int]
    box: tuple[int, int, int]
    rho: Array
    scale: Array
    wrap: Array
    tail: Array
    warm: Array
    line: float
    spectrum: Array  # (bx, ny, nzc) complex, work space
    rows: Array  # (chunk, by, nz), work space

    def solve(self, s: Array, out: Array) -> None:
        """``out = A0^+ s`` at the nodes of the box (both (bx, by, bz)); the mean over the cell is taken out."""
        (bx, by, bz), chunk, nz = self.box, self.rows.shape[0], self.shape[2]
        self.rows[:, :, bz:] = 0
        for x in range(0, bx, chunk):
            W, rows = self.spectrum[x : x + chunk], self.rows[: min(chunk, bx - x)]
            rows[:, :, :bz] = s[x : x + chunk]
            ducc0.fft.r2c(rows, axes=(2,), out=W[:, :by], nthreads=1)
            W[:, by:] = 0
            ducc0.fft.c2c(W, axes=(1,), out=W, nthreads=1)
        gap = self.shape[0] - bx
        _recursions(
            self.spectrum.view(self.rows.dtype), gap, self.line, self.rho, self.scale, self.wrap, self.tail, self.warm
        )
        for x in range(0, bx, chunk):
            W, rows = self.spectrum[x : x + chunk], self.rows[: min(chunk, bx - x)]
            ducc0.fft.c2c(W, axes=(1,), forward=False, out=W, nthreads=1)
            ducc0.fft.c2r(W[:, :by], axes=(2,), lastsize=nz, forward=False, out=rows, nthreads=1)
            out[x : x + chunk] = rows[:, :, :bz]
            self.rows[:, :, bz:] = 0


def symbol(n: int, h: float) -> tuple[Array, Array]:
    """(n,) eigenvalues of the periodic linear stiffness (1/m) and mass (m) of n elements of edge h in m."""
    cosine = np.cos(2 * np.pi * np.arange(n) / n)
    return 2 * (1 - cosine) / h, h * (2 + cosine) / 3


def prepare(
    shape: tuple[int, int, int],
    box: tuple[int, int, int],
    spacing: tuple[float, float, float],
    coefficient: float = 1.0,
    kind: Any = np.float64,
) -> Green:
    """Coefficients of the recursions for a cell of ``shape`` nodes with sources in its first ``box`` nodes."""
    (nx, ny, nz), (bx, by, _), hx = shape, box, spacing[0]
    Ky, My = (part[:, None] for part in symbol(ny, spacing[1]))
    Kz, Mz = (part[None, : nz // 2 + 1] for part in symbol(nz, spacing[2]))
    K, M = Ky * Mz + My * Kz, My * Mz
    a, b = hx * K / 6 - M / hx, hx * K / 3 * 2 + 2 * M / hx
    root = np.sqrt(hx * K * (4 * M / hx + hx * K / 3))  # sqrt(b^2 - 4 a^2) without cancellation
    rho = -2 * a / (b + root)
    rho[0, 0] = 0.0  # the constant mode is solved apart
    scale = 2 / (b + root) / (ny * nz * coefficient)
    gap, once = nx - bx, 1 - rho**nx
    wrap = rho**gap / once
    tail = rho * (1 - rho ** (2 * gap)) / ((1 - rho**2) * once)
    with np.errstate(divide="ignore"):
        steps = np.log(FORGOTTEN) / np.log(np.abs(rho).max(axis=1))
    warm = np.clip(np.ceil(steps) - gap, 0, bx).astype(np.int64)
    rho, scale, wrap, tail = (np.repeat(x, 2, axis=1).astype(kind) for x in (rho, scale, wrap, tail))
    chunk = min(bx, max(1, CHUNK // (ny * (nz // 2 + 1))))
    spectrum = np.empty((bx, ny, nz // 2 + 1), np.result_type(kind, np.complex64))
    rows, line = np.empty((chunk, by, nz), kind), float(M[0, 0]) / hx * (ny * nz * coefficient)
    return Green(shape, box, rho, scale, wrap, tail, warm, line, spectrum, rows)


@jit
def line(W: Array, nodes: int, stiffness: float) -> None:
    """The mode that is constant in y and z: -u[i-1] + 2 u[i] - u[i+1] = (s[i] - mean s) / stiffness, mean u zero."""
    s, u = np.zeros(nodes), np.zeros(nodes)
    for i in range(W.shape[0]):  # loops: the errors of an assignment of arrays take five seconds to compile
        s[i] = W[i, 0, 0]
    s -= s.mean()
    slope, start = 0.0, 0.0
    for i in range(nodes):  # start: the first slope that closes the ring
        slope -= s[i] / stiffness
        start -= slope / nodes
    slope = start
    for i in range(1, nodes):
        slope -= s[i - 1] / stiffness
        u[i] = u[i - 1] + slope
    u -= u.mean()
    for i in range(W.shape[0]):
        W[i, 0, 0], W[i, 0, 1] = u[i], 0.0


@jit
def _recursions(
    W: Array, gap: int, stiffness: float, rho: Array, scale: Array, wrap: Array, tail: Array, warm: Array
) -> None:
    """Solve the rows along x in place. W: (bx, ny, 2 nzc); the others as in ``Green``.

    Forward ``y[i] = s[i] + rho y[i-1]``, back ``z[i] = y[i] + rho z[i+1]``, each started with what the ring brings in.
    """
    bx, ny, width = W.shape
    constant = W[:, :1, :2].copy()
    line(constant, bx + gap, stiffness)
    carry = np.empty(width, W.dtype)
    for j in range(ny):
        r, c, g, e = rho[j], scale[j], wrap[j], tail[j]
        carry[:] = 0.0
        for i in range(bx - warm[j], bx):
            row = W[i, j]
            for m in range(width):
                carry[m] = row[m] + r[m] * carry[m]
        for m in range(width):
            carry[m] *= g[m]
        for i in range(bx):
            row = W[i, j]
            for m in range(width):
                carry[m] = row[m] + r[m] * carry[m]
                row[m] = carry[m]
        last = carry.copy()
        carry[:] = 0.0
        for i in range(warm[j] - 1, -1, -1):
            row = W[i, j]
            for m in range(width):
                carry[m] = row[m] + r[m] * carry[m]
        for m in range(width):
            carry[m] = g[m] * carry[m] + e[m] * last[m]
        for i in range(bx - 1, -1, -1):
            row = W[i, j]
            for m in range(width):
                carry[m] = row[m] + r[m] * carry[m]
                row[m] = carry[m] * c[m]
    for i in range(bx):
        W[i, 0, 0], W[i, 0, 1] = constant[i, 0, 0], constant[i, 0, 1]


def solve_plain(s: Array, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Array:
    """Twin of ``Green.solve``: divide by the symbol in three dimensions. ``s``: box sources; returns the whole cell."""
    padded = np.zeros(shape)
    padded[tuple(slice(n) for n in s.shape)] = s
    (Kx, Mx), (Ky, My), (Kz, Mz) = (symbol(n, h) for n, h in zip(shape, spacing, strict=True))
    A0 = np.einsum("x,y,z", Kx, My, Mz) + np.einsum("x,y,z", Mx, Ky, Mz) + np.einsum("x,y,z", Mx, My, Kz)
    A0[0, 0, 0] = np.inf
    return np.fft.ifftn(np.fft.fftn(padded) / A0).real

"""Inverse of a homogeneous periodic stiffness on a voxel grid: the preconditioner of all cell problems of mechanics.

With uniform Lame moduli the stiffness of trilinear hexahedra (full integration) is a convolution, so the discrete
Fourier transform turns it into one symmetric 3 x 3 matrix a frequency, the symbol of the finite elements
(Leute et al., J. Comput. Phys. 453, 110931, 2022; Ladecky et al., Appl. Math. Comput. 446, 127835, 2023).
An axis with angle theta and edge h contributes m = (2 + cos theta)/3 (mass), k = (2 - 2 cos theta)/h^2 (stiffness)
and s = sin(theta)/h (mixed).
"""

from __future__ import annotations

from typing import Any

import ducc0
import numba
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import JIT


def axis_symbol(n: int, h: float, half: bool = False) -> Array:
    """(3, n) mass, stiffness and mixed symbol of one axis; ``half``: only the n//2 + 1 frequencies of a real FFT."""
    theta = 2.0 * np.pi * np.arange(n // 2 + 1 if half else n) / n
    c, s = np.cos(theta), np.sin(theta)
    if n % 2 == 0:
        s[n // 2] = 0.0
    return np.array([(2.0 + c) / 3.0, (2.0 - 2.0 * c) / h**2, s / h])


@numba.njit(**JIT)
def divide_by_symbol(w: Array, X: Array, Y: Array, Z: Array, lam: Any, mu: Any, scale: Any) -> None:
    """w[c, x, y, z, (re, im)] <- scale * symbol^-1 w in place; the zero frequency becomes zero."""
    one = w.dtype.type(1.0)
    l2, lm = lam + mu + mu, lam + mu
    for i in range(w.shape[1]):
        mx, kx, sx = X[0, i], X[1, i], X[2, i]
        for j in range(w.shape[2]):
            my, ky, sy = Y[0, j], Y[1, j], Y[2, j]
            c1, c2, c3 = kx * my, mx * ky, mx * my
            sxy, sxz, syz = lm * sx * sy, lm * sx * my, lm * mx * sy
            w0, w1, w2 = w[0, i, j], w[1, i, j], w[2, i, j]
            for k in range(w.shape[3]):
                mz, kz, sz = Z[0, k], Z[1, k], Z[2, k]
                a, b, c = c1 * mz, c2 * mz, c3 * kz
                xx, yy, zz = l2 * a + mu * (b + c), l2 * b + mu * (a + c), l2 * c + mu * (a + b)
                xy, xz, yz = sxy * mz, sxz * sz, syz * sz
                ixx, ixy, ixz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
                iyy, iyz, izz = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
                det = xx * ixx + xy * ixy + xz * ixz
                d = scale * (one / det) if det > 0 else det - det
                for part in range(2):
                    p, q, r = w0[k, part], w1[k, part], w2[k, part]
                    w0[k, part] = d * (ixx * p + ixy * q + ixz * r)
                    w1[k, part] = d * (ixy * p + iyy * q + iyz * r)
                    w2[k, part] = d * (ixz * p + iyz * q + izz * r)


class GreenVector:
    """K0^-1 for uniform moduli ``lam``, ``mu`` on a periodic grid; symmetric, positive semi-definite, mean free.

    ``r``: (3, nx, ny, nz) nodal forces -> displacements of the same shape. One thread, so the bits never change.
    """

    def __init__(self, shape: tuple[int, int, int], spacing: tuple[float, float, float], lam: float, mu: float,
                 dtype: type = np.float64) -> None:  # fmt: skip
        self.shape, self.dtype = shape, np.dtype(dtype)
        half = (*shape[:2], shape[2] // 2 + 1)
        self.axes: list[Array] = [
            axis_symbol(n, h, half=axis == 2).astype(dtype)
            for axis, (n, h) in enumerate(zip(shape, spacing, strict=True))
        ]
        t = self.dtype.type
        # nodal forces = volume * symbol * displacement; the transform is not normalised
        self.moduli = (t(lam), t(mu), t(1.0 / (np.prod(spacing) * np.prod(shape))))
        self.work = np.empty((3, *half), np.result_type(dtype, np.complex64))

    def __call__(self, r: Array, out: Array) -> Array:
        ducc0.fft.r2c(r, axes=(1, 2, 3), out=self.work, nthreads=1)
        parts = self.work.view(self.dtype).reshape(*self.work.shape, 2)
        divide_by_symbol(parts, *self.axes, *self.moduli)
        ducc0.fft.c2r(self.work, axes=(1, 2, 3), lastsize=self.shape[2], forward=False, out=out, nthreads=1)
        return out

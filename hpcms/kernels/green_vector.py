"""Inverse of a homogeneous periodic stiffness on a voxel grid: the preconditioner of all cell problems of mechanics.

With uniform Lame moduli the stiffness of trilinear hexahedra (full integration) is a convolution, so the discrete
Fourier transform turns it into one symmetric 3 x 3 matrix a frequency, the symbol of the finite elements
(Leute et al., J. Comput. Phys. 453, 110931, 2022; Ladecky et al., Appl. Math. Comput. 446, 127835, 2023).
An axis with angle theta and edge h contributes m = (2 + cos theta)/3 (mass), k = (2 - 2 cos theta)/h^2 (stiffness),
s = sin(theta)/h (mixed) and a = (1 + cos theta)/2 (square of the mean). A part of the bulk modulus may act on the mean
dilatation of each voxel instead (``hex8_creep``).
"""

from __future__ import annotations

import ducc0
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit

LARGE = 1 << 20  # nodes from which on the transform is done in pieces
SLAB = 4


def axis_symbol(theta: Array, h: float) -> Array:
    """(4, n) mass, stiffness, mixed and squared mean symbol of one axis at the angles ``theta``."""
    c, s = np.cos(theta), np.sin(theta)
    s[np.abs(s) < 1e-14] = 0.0
    return np.array([(2.0 + c) / 3.0, (2.0 - 2.0 * c) / h**2, s / h, (1.0 + c) / 2.0])


@jit
def inverse_symbol(X: Array, Y: Array, Z: Array, lam: float, mu: float, mean: float, scale: float, out: Array) -> None:
    """out (6, nx, ny, nz) <- scale * inverse symbol, xx yy zz yz xz xy; the zero frequency becomes zero.

    lam, mu: fully integrated moduli; mean: the modulus of the mean dilatation.
    """
    l2, lm = lam + mu + mu, lam + mu
    for i in range(X.shape[1]):
        for j in range(Y.shape[1]):
            c1, c2, c3 = X[1, i] * Y[0, j], X[0, i] * Y[1, j], X[0, i] * Y[0, j]
            b1, b2, b3 = mean * X[1, i] * Y[3, j], mean * X[3, i] * Y[1, j], mean * X[3, i] * Y[3, j]
            sxy, sxz, syz = X[2, i] * Y[2, j], lm * X[2, i] * Y[0, j], lm * X[0, i] * Y[2, j]
            txz, tyz = mean * X[2, i] * Y[3, j], mean * X[3, i] * Y[2, j]
            for k in range(Z.shape[1]):
                mz, kz, sz, az = Z[0, k], Z[1, k], Z[2, k], Z[3, k]
                a, b, c = c1 * mz, c2 * mz, c3 * kz
                xx, yy = l2 * a + mu * (b + c) + b1 * az, l2 * b + mu * (a + c) + b2 * az
                zz = l2 * c + mu * (a + b) + b3 * kz
                xy, xz, yz = sxy * (lm * mz + mean * az), (sxz + txz) * sz, (syz + tyz) * sz
                ixx, ixy, ixz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
                iyy, iyz, izz = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
                det = xx * ixx + xy * ixy + xz * ixz
                d = scale / det if det > 0 else 0.0
                out[0, i, j, k], out[1, i, j, k], out[2, i, j, k] = d * ixx, d * iyy, d * izz
                out[3, i, j, k], out[4, i, j, k], out[5, i, j, k] = d * iyz, d * ixz, d * ixy


@jit
def multiply_symbol(w: Array, inverse: Array) -> None:
    """w[c, x, y, z, (re, im)] <- inverse w in place."""
    for i in range(w.shape[1]):
        for j in range(w.shape[2]):
            w0, w1, w2, g = w[0, i, j], w[1, i, j], w[2, i, j], inverse[:, i, j]
            for k in range(w.shape[3]):
                xx, yy, zz, yz, xz, xy = g[0, k], g[1, k], g[2, k], g[3, k], g[4, k], g[5, k]
                for part in range(2):
                    p, q, r = w0[k, part], w1[k, part], w2[k, part]
                    w0[k, part] = xx * p + xy * q + xz * r
                    w1[k, part] = xy * p + yy * q + yz * r
                    w2[k, part] = xz * p + yz * q + zz * r


class GreenVector:
    """K0^-1 for uniform moduli on a periodic grid; symmetric, positive semi-definite, mean free.

    ``r``: (3, nx, ny, nz) nodal forces -> displacements of the same shape. One thread, so the bits never change.
    """

    def __init__(self, shape: tuple[int, ...], spacing: tuple[float, float, float], dtype: type = float) -> None:
        self.spacing, self.moduli = spacing, (1.0, 1.0, 0.0)
        self.size, self.volume, self.last = int(np.prod(shape)), float(np.prod(spacing)), shape[2]
        counts = (*shape[:2], shape[2] // 2 + 1)
        angles = [2.0 * np.pi / n * np.arange(m) for n, m in zip(shape, counts, strict=True)]
        self.axes = [axis_symbol(t, h) for t, h in zip(angles, spacing, strict=True)]
        self.inverse: Array = np.empty((6, *counts), dtype)
        self.work = np.empty((3, *counts), np.result_type(dtype, np.complex64))

    def set_moduli(self, lam: float, mu: float, mean: float = 0.0) -> GreenVector:
        """Uniform Lame moduli (full integration) and the modulus of the mean dilatation, in Pa."""
        self.moduli = (lam, mu, mean)
        # nodal forces = volume * symbol * displacement; the transform is not normalised
        x, y, z = self.axes
        inverse_symbol(x, y, z, lam, mu, mean, 1.0 / (self.volume * self.size), self.inverse)
        return self

    def __call__(self, r: Array, out: Array) -> Array:
        W, n = self.work, self.last
        if self.size < LARGE:
            ducc0.fft.r2c(r, axes=(1, 2, 3), out=W, nthreads=1)
            multiply_symbol(self._parts(W), self.inverse)
            ducc0.fft.c2r(
                W, axes=(1, 2, 3), lastsize=n, forward=False, out=out, nthreads=1, allow_overwriting_input=True
            )
            return out
        # plane by plane and slab by slab, so that each piece is worked on while it is in the cache
        for x in range(W.shape[1]):
            ducc0.fft.r2c(r[:, x], axes=(1, 2), out=W[:, x], nthreads=1)
        for y in range(0, W.shape[2], SLAB):
            S = W[:, :, y : y + SLAB]
            ducc0.fft.c2c(S, axes=(1,), out=S, nthreads=1)
            multiply_symbol(self._parts(W)[:, :, y : y + SLAB], self.inverse[:, :, y : y + SLAB])
            ducc0.fft.c2c(S, axes=(1,), forward=False, out=S, nthreads=1)
        for x in range(W.shape[1]):
            ducc0.fft.c2r(
                W[:, x], axes=(1, 2), lastsize=n, forward=False, out=out[:, x], nthreads=1, allow_overwriting_input=True
            )
        return out

    def _parts(self, W: Array) -> Array:
        """Complex numbers as pairs of real ones."""
        return W.view(self.inverse.dtype).reshape(*W.shape, 2)

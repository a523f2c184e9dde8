"""Inverse of a homogeneous periodic stiffness of any anisotropy: the preconditioner where tangents are anisotropic.

As in ``green_vector`` the stiffness of multilinear elements with full integration is a convolution: K_ik = sum_jl C_ijkl M_jl with
the six symbols M_jl of the products of derivatives. In the plane the elements are bilinear and there are three of them.
"""

from __future__ import annotations

from typing import Any

import ducc0
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.green_vector import GreenVector, axis_symbol


@jit
def _entry(c: Any, a: Any, b: Any, m: Any) -> Any:
    """sum_jl c[a_j, b_l] M_jl; m: M_xx, M_yy, M_zz, M_yz, M_xz, M_xy."""
    return (c[a[0], b[0]] * m[0] + c[a[1], b[1]] * m[1] + c[a[2], b[2]] * m[2] + (c[a[1], b[2]] + c[a[2], b[1]]) * m[3]
            + (c[a[0], b[2]] + c[a[2], b[0]]) * m[4] + (c[a[0], b[1]] + c[a[1], b[0]]) * m[5])  # fmt: skip


@jit
def inverse_symbol(X: Array, Y: Array, Z: Array, c: Array, mean: float, scale: float, out: Array) -> None:
    """out (6, nx, ny, nz) <- scale * inverse symbol, xx yy zz yz xz xy. c: (6, 6) engineering; mean: of the mean dilatation."""
    x, y, z = (0, 5, 4), (5, 1, 3), (4, 3, 2)
    for i in range(X.shape[1]):
        for j in range(Y.shape[1]):
            for k in range(Z.shape[1]):
                mx, my, mz, az = X[0, i], Y[0, j], Z[0, k], Z[3, k]
                m = (X[1, i] * my * mz, mx * Y[1, j] * mz, mx * my * Z[1, k],
                     mx * Y[2, j] * Z[2, k], X[2, i] * my * Z[2, k], X[2, i] * Y[2, j] * mz)  # fmt: skip
                ax, ay = mean * X[3, i], mean * Y[3, j]
                xx, yy = _entry(c, x, x, m) + mean * X[1, i] * Y[3, j] * az, _entry(c, y, y, m) + ax * Y[1, j] * az
                zz, yz = _entry(c, z, z, m) + ax * Y[3, j] * Z[1, k], _entry(c, y, z, m) + ax * Y[2, j] * Z[2, k]
                xz, xy = _entry(c, x, z, m) + ay * X[2, i] * Z[2, k], _entry(c, x, y, m) + mean * X[2, i] * Y[2, j] * az
                ixx, ixy, ixz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
                iyy, iyz, izz = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
                det = xx * ixx + xy * ixy + xz * ixz
                d = scale / det if det > 0 else 0.0
                out[0, i, j, k], out[1, i, j, k], out[2, i, j, k] = d * ixx, d * iyy, d * izz
                out[3, i, j, k], out[4, i, j, k], out[5, i, j, k] = d * iyz, d * ixz, d * ixy


@jit
def inverse_plane(X: Array, Y: Array, c: Array, scale: float, out: Array) -> None:
    """out (3, nx, ny) <- scale * inverse symbol, xx yy xy."""
    for i in range(X.shape[1]):
        for j in range(Y.shape[1]):
            a, b, m = X[1, i] * Y[0, j], X[0, i] * Y[1, j], X[2, i] * Y[2, j]
            xx, yy = c[0, 0] * a + c[5, 5] * b + 2.0 * c[0, 5] * m, c[5, 5] * a + c[1, 1] * b + 2.0 * c[1, 5] * m
            xy = c[0, 5] * a + c[1, 5] * b + (c[0, 1] + c[5, 5]) * m
            det = xx * yy - xy * xy
            d = scale / det if det > 0 else 0.0
            out[0, i, j], out[1, i, j], out[2, i, j] = d * yy, d * xx, -d * xy


@jit
def multiply_plane(w: Array, inverse: Array) -> None:
    """w[c, x, y, (re, im)] <- inverse w in place."""
    for i in range(w.shape[1]):
        a, b, xx, yy, xy = w[0, i], w[1, i], inverse[0, i], inverse[1, i], inverse[2, i]
        for j in range(w.shape[2]):
            for part in range(2):
                p, q = a[j, part], b[j, part]
                a[j, part], b[j, part] = xx[j] * p + xy[j] * q, xy[j] * p + yy[j] * q


class GreenSolid(GreenVector):
    """K0^-1 for one tangent everywhere, three dimensions."""

    def set_tangent(self, c: Array, mean: float) -> None:
        """c: (6, 6) Pa, engineering components 11 22 33 23 13 12; mean: bulk modulus of the mean dilatation."""
        X, Y, Z = self.axes
        inverse_symbol(X, Y, Z, c, mean, 1.0 / (self.volume * self.size), self.inverse)


class GreenPlane:
    """K0^-1 for one tangent everywhere, plane strain; ``r``: (2, nx, ny) nodal forces of a layer of thickness ``spacing[2]``."""

    def __init__(self, shape: tuple[int, int], spacing: tuple[float, float, float], dtype: type = float) -> None:
        nx, ny = shape
        self.last, self.scale = ny, 1.0 / (float(np.prod(spacing)) * nx * ny)
        self.axes = (axis_symbol(2.0 * np.pi * np.arange(nx) / nx, spacing[0]),
                     axis_symbol(2.0 * np.pi * np.arange(ny // 2 + 1) / ny, spacing[1]))  # fmt: skip
        self.inverse: Array = np.empty((3, nx, ny // 2 + 1), dtype)
        self.work = np.empty((2, nx, ny // 2 + 1), np.result_type(dtype, np.complex64))

    def set_tangent(self, c: Array, mean: float) -> None:
        """c: (6, 6) Pa, engineering components; mean dilatation is not for the plane."""
        inverse_plane(*self.axes, c, self.scale, self.inverse)

    def __call__(self, r: Array, out: Array) -> Array:
        W = self.work
        ducc0.fft.r2c(r, axes=(1, 2), out=W, nthreads=1)
        multiply_plane(W.view(self.inverse.dtype).reshape(*W.shape, 2), self.inverse)
        ducc0.fft.c2r(
            W, axes=(1, 2), lastsize=self.last, forward=False, out=out, nthreads=1, allow_overwriting_input=True
        )
        return out

"""Inverse of a homogeneous screened Laplacian, mass m and diffusion k, of trilinear voxels on a periodic grid."""

from __future__ import annotations

import ducc0
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.green_vector import axis_symbol


class GreenScreened:
    """(m M + k L)^-1, M the mass and L the stiffness of unit coefficients; one thread, so the bits never change."""

    def __init__(self, shape: tuple[int, ...], spacing: tuple[float, float, float]) -> None:
        counts = (*shape[:2], shape[2] // 2 + 1)
        angles = [2.0 * np.pi / n * np.arange(m) for n, m in zip(shape, counts, strict=True)]
        (mx, kx), (my, ky), (mz, kz) = (axis_symbol(t, h)[:2] for t, h in zip(angles, spacing, strict=True))
        self.volume, self.size, self.last = float(np.prod(spacing)), int(np.prod(shape)), shape[2]
        self.mass = np.einsum("i,j,k->ijk", mx, my, mz)
        self.stiffness = sum(np.einsum("i,j,k->ijk", *t) for t in ((kx, my, mz), (mx, ky, mz), (mx, my, kz)))
        self.inverse = self.mass

    def set_coefficients(self, m: float, k: float) -> GreenScreened:
        """m in Pa, k in Pa m2 (or any pair of such units), both positive."""
        self.inverse = 1.0 / (self.volume * self.size * (m * self.mass + k * self.stiffness))
        return self

    def __call__(self, r: Array) -> Array:
        """r: (1, nx, ny, nz) -> the same shape."""
        W = ducc0.fft.r2c(r, axes=(1, 2, 3), nthreads=1)
        W *= self.inverse
        return ducc0.fft.c2r(W, axes=(1, 2, 3), lastsize=self.last, forward=False, nthreads=1)

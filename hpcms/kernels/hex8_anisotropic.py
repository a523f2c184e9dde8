"""Any linear elasticity on voxels: trilinear hexahedra, full integration, one (6, 6) stiffness a phase.

In the basis of ``hex8_elastic`` the displacement gradient is a polynomial in 1; xi, eta, zeta; eta zeta, xi zeta, xi eta, which
are orthogonal with the weights 1, 1/3 and 1/9. So the stiffness acts on seven strains a voxel, one for each of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.hex8_elastic import CHUNK, ROW, _gather, _scatter, _step, _store, _sum


def engineering(C: Array) -> Array:
    """(..., 6, 6) in Mandel components -> the same for stresses and engineering strains."""
    root = np.sqrt(np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5]))
    return C * root * root[:, None]


def isotropic(lam: float, mu: float) -> Array:
    """(6, 6) Mandel stiffness."""
    C = 2.0 * mu * np.eye(6)
    C[:3, :3] += lam
    return C


def nearest_isotropic(C: Array) -> tuple[float, float]:
    """Lame moduli of the isotropic part (Euclidean projection) of a (6, 6) Mandel stiffness."""
    bulk = C[:3, :3].sum() / 9.0
    shear = (np.trace(C) - 3.0 * bulk) / 10.0
    return float(bulk - 2.0 * shear / 3.0), float(shear)


@jit
def _hooke(C: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """The six stresses of the strains a..f."""
    return (C[0, 0] * a + C[0, 1] * b + C[0, 2] * c + C[0, 3] * d + C[0, 4] * e + C[0, 5] * f,
            C[0, 1] * a + C[1, 1] * b + C[1, 2] * c + C[1, 3] * d + C[1, 4] * e + C[1, 5] * f,
            C[0, 2] * a + C[1, 2] * b + C[2, 2] * c + C[2, 3] * d + C[2, 4] * e + C[2, 5] * f,
            C[0, 3] * a + C[1, 3] * b + C[2, 3] * c + C[3, 3] * d + C[3, 4] * e + C[3, 5] * f,
            C[0, 4] * a + C[1, 4] * b + C[2, 4] * c + C[3, 4] * d + C[4, 4] * e + C[4, 5] * f,
            C[0, 5] * a + C[1, 5] * b + C[2, 5] * c + C[3, 5] * d + C[4, 5] * e + C[5, 5] * f)  # fmt: skip


@jit
def voxels(t: Any, C: Any, first: int, last: int, e: Any, gx: Any, gy: Any, gz: Any, volume: Any, g: Any, total: Any,
           root: Any) -> None:  # fmt: skip
    """``hex8_elastic._voxels`` for the voxels first..last-1 of a chunk, which are of one phase C (``engineering``)."""
    kind, s0, s1, s2, s3, s4, s5 = C.dtype.type, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    third, ninth, zero = kind(1.0 / 3.0) * volume, kind(1.0 / 9.0) * volume, kind(0.0)
    for k in range(first, last):
        ux, uy, uz = gx * _sum(t, 1, k), gy * _sum(t, 2, k), gz * _step(t, 0, k)
        vx, vy, vz = gx * _sum(t, 5, k), gy * _sum(t, 6, k), gz * _step(t, 4, k)
        wx, wy, wz = gx * _sum(t, 9, k), gy * _sum(t, 10, k), gz * _step(t, 8, k)
        xx, yy, zz, yz, xz, xy = _hooke(
            C, ux + e[0], vy + e[1], wz + e[2], vz + wy + e[3], uz + wx + e[4], uy + vx + e[5]
        )
        xx, yy, zz, yz, xz, xy = volume * xx, volume * yy, volume * zz, volume * yz, volume * xz, volume * xy
        s0, s1, s2, s3, s4, s5 = s0 + xx, s1 + yy, s2 + zz, s3 + yz, s4 + xz, s5 + xy
        u110, v110, w110 = _sum(t, 3, k), _sum(t, 7, k), _sum(t, 11, k)
        u101, v101, w101 = _step(t, 1, k), _step(t, 5, k), _step(t, 9, k)
        u011, v011, w011 = _step(t, 2, k), _step(t, 6, k), _step(t, 10, k)
        u111, v111, w111 = _step(t, 3, k), _step(t, 7, k), _step(t, 11, k)
        # xi: d/dy of the 110, d/dz of the 101 coefficients; eta: d/dx of 110, d/dz of 011; zeta: d/dx of 101, d/dy of 011
        _, ayy, azz, ayz, axz, axy = _hooke(C, zero, gy * v110, gz * w101, gz * v101 + gy * w110, gz * u101, gy * u110)
        bxx, _, bzz, byz, bxz, bxy = _hooke(C, gx * u110, zero, gz * w011, gz * v011, gz * u011 + gx * w110, gx * v110)
        cxx, cyy, _, cyz, cxz, cxy = _hooke(C, gx * u101, gy * v011, zero, gy * w011, gx * w101, gy * u011 + gx * v101)
        pxx, _, _, _, pxz, pxy = _hooke(C, gx * u111, zero, zero, zero, gx * w111, gx * v111)
        _, qyy, _, qyz, _, qxy = _hooke(C, zero, gy * v111, zero, gy * w111, zero, gy * u111)
        _, _, rzz, ryz, rxz, _ = _hooke(C, zero, zero, gz * w111, gz * v111, gz * u111, zero)
        _store(g, 0, k, (gx * xx, gy * xy, gz * xz),
               (third * (gx * bxx + gy * axy), third * (gx * cxx + gz * axz), third * (gy * cxy + gz * bxz),
                ninth * (gx * pxx + gy * qxy + gz * rxz)))  # fmt: skip
        _store(g, 4, k, (gx * xy, gy * yy, gz * yz),
               (third * (gx * bxy + gy * ayy), third * (gx * cxy + gz * ayz), third * (gy * cyy + gz * byz),
                ninth * (gx * pxy + gy * qyy + gz * ryz)))  # fmt: skip
        _store(g, 8, k, (gx * xz, gy * yz, gz * zz),
               (third * (gx * bxz + gy * ayz), third * (gx * cxz + gz * azz), third * (gy * cyz + gz * bzz),
                ninth * (gx * pxz + gy * qyz + gz * rzz)))  # fmt: skip
    total[0], total[1], total[2] = total[0] + s0, total[1] + s1, total[2] + s2
    total[3], total[4], total[5] = total[3] + root * s3, total[4] + root * s4, total[5] + root * s5


@jit
def apply_tensors(u: Array, label: Array, table: Array, strain: Array, spacing: Array, f: Array, total: Array) -> None:
    """``hex8_elastic.apply_stiffness`` with a stiffness for each ``label`` (nx, ny, nz): ``table`` (P, 6, 6), ``engineering``."""
    nx, ny, nz = label.shape
    kind = u.dtype.type
    volume = kind(spacing[0] * spacing[1] * spacing[2])
    gx, gy, gz = kind(0.25 / spacing[0]), kind(0.25 / spacing[1]), kind(0.25 / spacing[2])
    root = np.sqrt(2.0)
    e = (kind(strain[0]), kind(strain[1]), kind(strain[2]),
         kind(root * strain[3]), kind(root * strain[4]), kind(root * strain[5]))  # fmt: skip
    t = np.empty(12 * ROW, u.dtype)
    g = np.empty(24 * ROW, u.dtype)
    for i in range(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k0 in range(0, nz, CHUNK):
                n = min(CHUNK, nz - k0)
                _gather(u, i, i1, j, j1, k0, n, t)
                first = 0
                while first < n:
                    last, own = first + 1, label[i, j, k0 + first]
                    while last < n and label[i, j, k0 + last] == own:
                        last += 1
                    voxels(t, table[own], first, last, e, gx, gy, gz, volume, g, total, root)
                    first = last
                _scatter(f, i, i1, j, j1, k0, n, g)

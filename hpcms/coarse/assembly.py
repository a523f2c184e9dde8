"""Sums over the Gauss points of a mesh, as scikit-fem forms, into vectors and into matrices of a fixed pattern."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import skfem

from hpcms.contracts import Array
from hpcms.problem.mesh import Mesh


class Pattern:
    """Where the entries of the cell matrices go: found once, then a matrix costs one sum.

    Entries that happen to be zero stay in the pattern, so PETSc can keep its symbolic factors.
    """

    def __init__(self, rows: Array, cols: Array, shape: tuple[int, int]) -> None:
        keys, self.slot = np.unique(rows.astype(np.int64) * shape[1] + cols, return_inverse=True)
        self.shape, self.indices = shape, (keys % shape[1]).astype(np.int32)
        self.indptr = np.searchsorted(keys, np.arange(shape[0] + 1) * shape[1]).astype(np.int32)

    def matrix(self, data: Array) -> sp.csr_matrix:
        """The matrix with the sums of ``data`` over equal positions, always summed in the same order."""
        total = np.bincount(self.slot, weights=data, minlength=len(self.indices))
        return sp.csr_matrix((total, self.indices, self.indptr), shape=self.shape)


class Space:
    """Bilinear shape functions with ``components`` values a node on a mesh. Entry = node * components + component."""

    def __init__(self, mesh: Mesh, components: int = 1) -> None:
        element: Any = {1: skfem.ElementLineP1, 2: skfem.ElementQuad1}[mesh.dimension]()
        if components > 1:
            element = skfem.ElementVector(element, components)
        self.mesh, self.basis = mesh, skfem.Basis(mesh.fem, element, quadrature=mesh.rule)
        self.points = (len(mesh.cells), len(mesh.weights) // len(mesh.cells))
        self._patterns: dict[tuple[int, str], Pattern] = {}

    def at_points(self, values: Array) -> Any:
        """Site values (S, ...) as scikit-fem wants them: (..., cells, points)."""
        shaped = values.reshape(self.points + values.shape[1:])
        return skfem.DiscreteField(np.ascontiguousarray(np.moveaxis(shaped, (0, 1), (-2, -1))))

    def at_sites(self, values: Array) -> Array:
        """The inverse: (..., cells, points) as (S, ...)."""
        moved = np.moveaxis(np.asarray(values), (-2, -1), (0, 1))
        return np.ascontiguousarray(moved.reshape((-1, *moved.shape[2:])))

    def values(self, nodal: Array) -> Array:
        """(S, ...) the field with these nodal values."""
        return self.at_sites(self.basis.interpolate(np.ravel(nodal)))

    def gradients(self, nodal: Array) -> Array:
        """(S, d) or (S, components, d): derivative by the last index."""
        return self.at_sites(self.basis.interpolate(np.ravel(nodal)).grad)

    def vector(self, form: Callable[..., Any], **sites: Array) -> Array:
        """(n,) the linear form(v, w) summed over all Gauss points; ``sites`` (S, ...) are attributes of w."""
        total: Array = skfem.LinearForm(form).assemble(self.basis, **{k: self.at_points(v) for k, v in sites.items()})
        return total

    def matrix(self, form: Callable[..., Any], trial: Space | None = None, **sites: Array) -> sp.csr_matrix:
        """(n, n of ``trial``) the same for a bilinear form(u, v, w); u may be of another space."""
        columns = trial or self
        shaped = {k: self.at_points(v) for k, v in sites.items()}
        data = skfem.BilinearForm(form).elemental(columns.basis, self.basis, **shaped)
        key = (id(columns), form.__name__)
        if key not in self._patterns:
            self._patterns[key] = Pattern(data.indices[0], data.indices[1], data.shape)
        return self._patterns[key].matrix(data.data)

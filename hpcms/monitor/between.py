"""Symmetric tensors between two bounds as free coordinates, so that whatever is learned stays between them.

    K = L + D^1/2 s(X) D^1/2,    D = U - L,    s(x) = 1 / (1 + e^-x) on the eigenvalues of the symmetric X

For any X the tensor is symmetric and L <= K <= U in the order of quadratic forms; with L > 0 it is positive definite.
Where U and L agree in a direction K has nothing to choose there. A tensor that touches a bound gets the coordinate at
which it is within ``TOUCH`` of it, in units of D.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array

TOUCH = 1e-6


def coordinates(K: Array, lower: Array, upper: Array) -> Array:
    """(R, d (d + 1) / 2) free coordinates of the tensors ``K`` (R, d, d)."""
    root = _root(upper - lower)
    inverse = np.linalg.pinv(root, rcond=1e-9, hermitian=True)
    value, frame = np.linalg.eigh(_symmetric(inverse @ (K - lower) @ inverse))
    share = np.clip(value, TOUCH, 1 - TOUCH)
    X = np.einsum("rik,rk,rjk->rij", frame, np.log(share / (1 - share)), frame)
    i, j = np.triu_indices(K.shape[1])
    return np.asarray(X[:, i, j])


def tensors(x: Array, lower: Array, upper: Array) -> Array:
    """(R, d, d) the tensors with coordinates ``x``; any numbers will do."""
    R, d = lower.shape[:2]
    X, (i, j) = np.zeros((R, d, d)), np.triu_indices(d)
    X[:, i, j] = X[:, j, i] = x
    value, frame = np.linalg.eigh(X)
    share = 0.5 * (1 + np.tanh(0.5 * value))
    root = _root(upper - lower)
    inner = np.einsum("rik,rk,rjk->rij", frame, share, frame)
    return _symmetric(lower + root @ inner @ root)


def _symmetric(K: Array) -> Array:
    return np.asarray((K + np.swapaxes(K, 1, 2)) / 2)


def _root(D: Array) -> Array:
    """(R, d, d) square roots; eigenvalues that rounding has made negative count as zero."""
    value, frame = np.linalg.eigh(_symmetric(D))
    return np.asarray(np.einsum("rik,rk,rjk->rij", frame, np.sqrt(np.maximum(value, 0.0)), frame))

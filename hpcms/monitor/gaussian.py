"""Regression by a Gaussian process (C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006).

    k(x, x') = exp(-|(x - x') / l|^2 / 2),     mean(x) = k(x, X) (K + s^2 1)^-1 Y,     l: one length a feature

All outputs share one kernel; each has its own amplitude. Lengths and noise maximise the likelihood (ibid. eq. 5.8). The
standard deviation is scaled so that it explains what is left when each point is left out in turn (ibid. eq. 5.12), so it
does not promise more than the data show. Everything learned is in the object; predicting changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from hpcms.contracts import Array

LENGTHS = (0.05, 20.0)  # of the spread of a feature
NOISE = (1e-5, 1e-1)  # standard deviation, of the spread of an output
STARTS = (0.3, 1.0, 3.0)  # lengths from which the likelihood is climbed


@dataclass(frozen=True)
class Gaussian:
    """A trained process: (N, F) scaled ``points``, factor and weights, and the scales of features and outputs."""

    points: Array
    lengths: Array  # (F,)
    noise: float
    factor: Array  # (N, N) lower Cholesky factor
    weights: Array  # (N, M)
    spread: Array  # (M,) standard deviation of the process, from the points left out
    centre: Array
    width: Array
    mean: Array
    size: Array

    def predict(self, x: Array) -> tuple[Array, Array]:
        """(R, M) mean and standard deviation at ``x`` (R, F)."""
        k = _kernel((x - self.centre) / self.width, self.points, self.lengths)
        v = solve_triangular(self.factor, k.T, lower=True)
        variance = np.maximum(1.0 + self.noise**2 - (v * v).sum(axis=0), 0.0)
        return self.mean + self.size * (k @ self.weights), np.sqrt(variance)[:, None] * self.spread * self.size


def fit(x: Array, y: Array) -> Gaussian:
    """Learn ``y`` (N, M) at ``x`` (N, F); N >= 2. Deterministic."""
    centre, width = x.mean(axis=0), x.std(axis=0)
    mean, size = y.mean(axis=0), y.std(axis=0)
    width, size = np.where(width > 0, width, 1.0), np.where(size > 1e-12 * (1 + np.abs(mean)), size, 1.0)
    X, Y = (x - centre) / width, (y - mean) / size
    bounds = [tuple(np.log(LENGTHS))] * x.shape[1] + [tuple(np.log(NOISE))]
    best = min(
        (
            minimize(_misfit, [np.log(start)] * x.shape[1] + [np.log(1e-4)], (X, Y), jac=True, bounds=bounds)
            for start in STARTS
        ),
        key=lambda found: found.fun,
    )
    lengths, noise = np.exp(best.x[:-1]), float(np.exp(best.x[-1]))
    factor = cholesky(_covariance(X, lengths, noise), lower=True)
    inverse = cho_solve((factor, True), np.eye(len(X)))
    weights = inverse @ Y
    left_out = weights**2 / np.diag(inverse)[:, None]  # squared, in units of the variance left
    return Gaussian(X, lengths, noise, factor, weights, np.sqrt(left_out.mean(axis=0)), centre, width, mean, size)


def _kernel(a: Array, b: Array, lengths: Array) -> Array:
    a, b = a / lengths, b / lengths
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.exp(-0.5 * np.maximum(square, 0.0)))


def _covariance(X: Array, lengths: Array, noise: float) -> Array:
    return np.asarray(_kernel(X, X, lengths) + (noise**2) * np.eye(len(X)))


def _misfit(parameters: Array, X: Array, Y: Array) -> tuple[float, Array]:
    """Minus the log likelihood, each output at its best amplitude, and its gradient by the logarithms."""
    lengths, noise = np.exp(parameters[:-1]), float(np.exp(parameters[-1]))
    N, M = Y.shape
    K = _kernel(X, X, lengths)
    try:
        factor = cholesky(_covariance(X, lengths, noise), lower=True)
    except np.linalg.LinAlgError:
        return 1e25, np.zeros_like(parameters)
    inverse = cho_solve((factor, True), np.eye(N))
    W = inverse @ Y
    fitted = np.maximum((Y * W).sum(axis=0) / N, 1e-300)  # squared amplitudes
    value = 0.5 * N * np.log(fitted).sum() + M * np.log(np.diag(factor)).sum()
    pull = M * inverse - (W / fitted) @ W.T  # d value = tr(pull dK) / 2
    slopes = [0.5 * np.sum(pull * K * (X[:, f, None] - X[:, f]) ** 2) / lengths[f] ** 2 for f in range(X.shape[1])]
    return float(value), np.array([*slopes, np.trace(pull) * noise**2])

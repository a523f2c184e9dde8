"""Regression by a Gaussian process (C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006).

    k(x, x') = exp(-|(x - x') / l|^2 / 2),     mean(x) = k(x, X) (K + s^2 1)^-1 Y,     l: one length a feature

scikit-learn finds the lengths and the noise that maximise the likelihood (ibid. eq. 5.8), the same for all outputs. Here the
standard deviation is scaled so that it explains what is left when each point is left out in turn (ibid. eq. 5.12), so it
does not promise more than the data show. Everything learned is in the object; predicting changes nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_solve

from hpcms.contracts import Array

LENGTHS = (0.05, 20.0)  # of the spread of a feature
NOISE = (1e-5, 1e-1)  # standard deviation, of the spread of an output
RESTARTS = 2  # times that the likelihood is climbed once more, from other lengths


@dataclass(frozen=True)
class Gaussian:
    """A trained process, and the scales of features (F,) and outputs (M,).

    ``spread``: (M,) standard deviation of the process, from the points left out.
    """

    process: Any
    spread: Array
    centre: Array
    width: Array
    mean: Array
    size: Array

    def predict(self, x: Array) -> tuple[Array, Array]:
        """(R, M) mean and standard deviation at ``x`` (R, F)."""
        mean, sd = self.process.predict((x - self.centre) / self.width, return_std=True)
        shape = (len(x), len(self.size))
        own = sd.reshape(len(x), -1)[:, :1]  # one kernel: the same for all outputs
        return self.mean + self.size * mean.reshape(shape), own * self.spread * self.size


def fit(x: Array, y: Array) -> Gaussian:
    """Learn ``y`` (N, M) at ``x`` (N, F); N >= 2. Deterministic."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel

    centre, width = x.mean(axis=0), x.std(axis=0)
    mean, size = y.mean(axis=0), y.std(axis=0)
    width, size = np.where(width > 0, width, 1.0), np.where(size > 1e-12 * (1 + np.abs(mean)), size, 1.0)
    X, Y = (x - centre) / width, (y - mean) / size
    kernel = RBF(np.ones(x.shape[1]), LENGTHS) + WhiteKernel(1e-8, (NOISE[0] ** 2, NOISE[1] ** 2))
    process = GaussianProcessRegressor(kernel, n_restarts_optimizer=RESTARTS, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: a feature that plays no part
        process.fit(X, Y)
    inverse = cho_solve((process.L_, True), np.eye(len(X)))
    weights = process.alpha_.reshape(len(X), -1)
    left_out = weights**2 / np.diag(inverse)[:, None]  # squared, in units of the variance left
    return Gaussian(process, np.sqrt(left_out.mean(axis=0)), centre, width, mean, size)

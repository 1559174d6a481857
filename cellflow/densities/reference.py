"""Densities without a network, as references: a Gaussian mixture and a kernel estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._neighbors import squared_distances
from cellflow.core._numbers import as_count
from cellflow.core._random import stream, systematic
from cellflow.core._settings import guarded
from cellflow.core._stored import Stored
from cellflow.core._typing import FloatArray
from cellflow.densities.base import State, checked_rows, standardisation
from cellflow.errors import InputError, ModelFileError

__all__ = ["GaussianMixture", "KernelDensity", "gaussian_mixture", "kernel_density"]

#: Pairs of cells whose distances are in memory at once (64 MB).
_PAIRS = 2**23
#: Cells at most whose left-out likelihood chooses the bandwidth.
_LEFT_OUT = 500
#: Bandwidths considered, relative to Scott's rule; the lower end keeps exact copies of cells from
#: making it zero.
_BANDWIDTHS = (0.02, 2.0)


@dataclass(frozen=True, eq=False, repr=False)
class GaussianMixture(Compact):
    """A mixture of `k` normal distributions.

    Parameters
    ----------
    weight
        Shape `(k,)`, sums to one.
    mean
        Shape `(k, d)`.
    factor
        Lower Cholesky factors of the covariances, shape `(k, d, d)`.
    """

    weight: FloatArray
    mean: FloatArray
    factor: FloatArray

    @guarded
    def log_prob(self, x: FloatArray, context: FloatArray | None = None) -> FloatArray:
        """Log-density in nats of positions `x (n, d)`, shape `(n,)`."""
        from scipy.linalg import solve_triangular
        from scipy.special import logsumexp

        x = _rows(x, context, self.mean.shape[1])
        parts = np.empty((len(self.weight), len(x)))
        for k, (mean, factor) in enumerate(zip(self.mean, self.factor, strict=True)):
            z = solve_triangular(factor, (x - mean).T, lower=True)
            parts[k] = -0.5 * (z * z).sum(axis=0) - _log_volume(factor)
        return np.asarray(logsumexp(parts, b=self.weight[:, None], axis=0))

    @guarded
    def sample(
        self, n: int, rng: np.random.Generator, context: FloatArray | None = None
    ) -> FloatArray:
        """Draw `n` positions, shape `(n, d)`."""
        _unconditional(context)
        as_count("n", n, least=0, each=8 * self.mean.shape[1] ** 2)
        chosen = rng.choice(len(self.weight), n, p=self.weight)
        z = rng.standard_normal((n, self.mean.shape[1]))
        return np.asarray(self.mean[chosen] + np.einsum("nij,nj->ni", self.factor[chosen], z))

    def state(self) -> State:
        """Configuration and arrays: all that `cellflow.densities.from_state` needs."""
        return {"type": type(self).__name__}, {
            "weight": self.weight,
            "mean": self.mean,
            "factor": self.factor,
        }

    @classmethod
    def from_state(
        cls,
        config: Mapping[str, Any],  # noqa: ARG003
        arrays: Mapping[str, FloatArray],
    ) -> GaussianMixture:
        """Rebuild a mixture from its `state`."""
        weight, mean, factor = _parts(arrays, "weight", "mean", "factor")
        stored = Stored("density", {}, {"weight": weight, "mean": mean, "factor": factor})
        mean = stored.array("mean", (None, None))
        k, d = mean.shape
        return cls(
            stored.array("weight", (k,), positive=True), mean, stored.array("factor", (k, d, d))
        )


@dataclass(frozen=True, eq=False, repr=False)
class KernelDensity(Compact):
    """A normal distribution around each cell, all of one covariance.

    Parameters
    ----------
    x
        Cells, shape `(n, d)`.
    weight
        Shape `(n,)`, positive, sums to one.
    factor
        Lower Cholesky factor of the kernel's covariance, shape `(d, d)`.
    """

    x: FloatArray
    weight: FloatArray
    factor: FloatArray

    @guarded
    def log_prob(self, x: FloatArray, context: FloatArray | None = None) -> FloatArray:
        """Log-density in nats of positions `x (n, d)`, shape `(n,)`."""
        from scipy.linalg import solve_triangular

        x = _rows(x, context, self.x.shape[1])
        shift = self.weight @ self.x
        cells, queries = (
            solve_triangular(self.factor, (y - shift).T, lower=True).T for y in (self.x, x)
        )
        log_weight = np.log(self.weight)
        size = max(1, _PAIRS // len(cells))
        parts = [
            _logsumexp(log_weight - 0.5 * squared_distances(queries[k : k + size], cells))
            for k in range(0, len(x), size)
        ]
        return np.concatenate([*parts, np.empty(0)]) - _log_volume(self.factor)

    @guarded
    def sample(
        self, n: int, rng: np.random.Generator, context: FloatArray | None = None
    ) -> FloatArray:
        """Draw `n` positions, shape `(n, d)`."""
        _unconditional(context)
        as_count("n", n, least=0, each=16 * self.x.shape[1])
        chosen = rng.choice(len(self.weight), n, p=self.weight)
        return self.x[chosen] + rng.standard_normal((n, self.x.shape[1])) @ self.factor.T

    def state(self) -> State:
        """Configuration and arrays: all that `cellflow.densities.from_state` needs."""
        return {"type": type(self).__name__}, {
            "x": self.x,
            "weight": self.weight,
            "factor": self.factor,
        }

    @classmethod
    def from_state(
        cls,
        config: Mapping[str, Any],  # noqa: ARG003
        arrays: Mapping[str, FloatArray],
    ) -> KernelDensity:
        """Rebuild an estimate from its `state`."""
        x, weight, factor = _parts(arrays, "x", "weight", "factor")
        stored = Stored("density", {}, {"x": x, "weight": weight, "factor": factor})
        x = stored.array("x", (None, None))
        n, d = x.shape
        return cls(x, stored.array("weight", (n,), positive=True), stored.array("factor", (d, d)))


def gaussian_mixture(
    x: FloatArray, weight: FloatArray, seed: int, *, max_components: int = 12
) -> GaussianMixture:
    """Gaussian mixture with the best Bayesian information criterion of 1, 2, 3, ... components.

    Mixtures are fitted by expectation maximisation. The number grows until two in a row are no
    better. Weights enter by systematic resampling.

    Parameters
    ----------
    x, weight
        Cells `(n, d)` and their weights `(n,)`, positive, which sum to one.
    seed
        Of the starts.
    max_components
        Components at most.
    """
    from sklearn.mixture import GaussianMixture as Mixture

    shift, factor = _whitening(x, weight)
    z = np.linalg.solve(factor, (x - shift).T).T
    z = z[systematic(weight, len(z), 0.5)]
    best = None
    best_score = np.inf
    best_k = 0
    for k in range(1, min(max_components, len(z) // 2) + 1):
        model = Mixture(
            k, random_state=seed % 2**32, reg_covar=1e-6, max_iter=200, init_params="k-means++"
        ).fit(z)
        score = model.bic(z)
        if score < best_score:
            best = model
            best_score = score
            best_k = k
        elif k - best_k >= 2:
            break
    if best is None:
        msg = "No mixture of Gaussians could be fitted; use method='kde'."
        raise InputError(msg)
    covariance = factor @ best.covariances_ @ factor.T
    return GaussianMixture(
        best.weights_ / best.weights_.sum(),
        best.means_ @ factor.T + shift,
        np.linalg.cholesky(covariance),
    )


def kernel_density(x: FloatArray, weight: FloatArray, seed: int) -> KernelDensity:
    """Place a kernel on every cell: the covariance of all cells times a squared bandwidth.

    The bandwidth maximises the likelihood of left-out cells: of each of up to 500, under the
    kernels of all others.

    Parameters
    ----------
    x, weight
        Cells `(n, d)` and their weights `(n,)`, positive, which sum to one.
    seed
        Of the choice of the cells that are left out.
    """
    from scipy.optimize import minimize_scalar

    n, d = x.shape
    shift, factor = _whitening(x, weight)
    z = np.linalg.solve(factor, (x - shift).T).T
    left_out = stream(seed).permutation(n)[:_LEFT_OUT]
    square = squared_distances(z[left_out], z)
    square[np.arange(len(left_out)), left_out] = np.inf
    log_weight = np.log(weight)
    scott = n ** (-1.0 / (d + 4))

    def negative_log_likelihood(log_ratio: float) -> float:
        bandwidth = scott * np.exp(log_ratio)
        log_prob = _logsumexp(log_weight - 0.5 * square / bandwidth**2) - d * np.log(bandwidth)
        return -float(weight[left_out] @ log_prob)

    found = minimize_scalar(
        negative_log_likelihood,
        bounds=np.log(_BANDWIDTHS),
        method="bounded",
        options={"xatol": 0.01},
    )
    return KernelDensity(x, weight, factor * scott * np.exp(found.x))


def _whitening(x: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean `(d,)` and Cholesky factor `(d, d)` of the covariance.

    Correlations are shrunk by `d / (n + d)`, so that few cells and columns that depend on each
    other have a factor too.
    """
    n, d = x.shape
    shift, scale = standardisation(x, weight)
    z = (x - shift) / scale
    correlation = (n * (z.T * weight) @ z + d * np.eye(d)) / (n + d)
    return shift, scale[:, None] * np.linalg.cholesky(correlation)


def _rows(x: FloatArray, context: FloatArray | None, d: int) -> FloatArray:
    _unconditional(context)
    return checked_rows("x", x, d)


def _unconditional(context: FloatArray | None) -> None:
    if context is not None:
        msg = (
            "The density was fitted without context; found context. Fit a flow (method='nsf') for"
            " p(x | context)."
        )
        raise InputError(msg)


def _logsumexp(a: FloatArray) -> FloatArray:
    """Logarithm of the sum of exponentials of every row; overwrites `a`.

    Several times faster than scipy's, because it makes no copies.
    """
    top = a.max(axis=1)
    a -= top[:, None]
    return np.asarray(top + np.log(np.exp(a, out=a).sum(axis=1)))


def _log_volume(factor: FloatArray) -> float:
    """Logarithm of the integral of `exp(-|factor^-1 x|^2 / 2)`."""
    return float(0.5 * len(factor) * np.log(2.0 * np.pi) + np.log(np.diag(factor)).sum())


def _parts(arrays: Mapping[str, FloatArray], *names: str) -> list[FloatArray]:
    missing = set(names) - set(arrays)
    if missing:
        msg = f"The density's arrays lack {sorted(missing)}; fit it again or restore the file."
        raise ModelFileError(msg)
    return [arrays[name] for name in names]

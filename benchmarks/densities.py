"""Density families beside the truth: held-out log-likelihood minus that of the true density.

    python benchmarks/densities.py [--cells 20000] [--methods nsf maf ...] [--densities mixture-2
    ...] [--seeds 0]

The difference, on 10^4 fresh points, estimates the Kullback-Leibler divergence from the truth in
nats; the same points serve both terms, so that its standard error is small. Fitting sees only the
training cells, a tenth of which stop the training.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

import records
from cellflow.densities import fit_density

TEST_POINTS = 10_000
METHODS = ("realnvp", "maf", "nsf", "glow", "gmm", "kde")


class Density(NamedTuple):
    """A density that can be drawn from and evaluated."""

    dim: int
    sample: Callable[[int, np.random.Generator], np.ndarray]
    log_prob: Callable[[np.ndarray], np.ndarray]


def mixture(dim: int, modes: int = 5, radius: float = 6.0) -> Density:
    """Well separated normal distributions of unequal weight, width and direction."""
    rng = np.random.default_rng(1)
    weight = np.arange(1.0, modes + 1) / (modes * (modes + 1) / 2)
    angle = 2 * np.pi * np.arange(modes) / modes
    mean = np.zeros((modes, dim))
    mean[:, :2] = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    factor = [
        np.linalg.qr(rng.normal(size=(dim, dim)))[0] * rng.uniform(0.4, 1.2, dim)
        for _ in range(modes)
    ]
    members = [stats.multivariate_normal(m, f @ f.T) for m, f in zip(mean, factor, strict=True)]

    def sample(n: int, rng: np.random.Generator) -> np.ndarray:
        k = rng.choice(modes, n, p=weight)
        return mean[k] + np.einsum("nij,nj->ni", np.stack(factor)[k], rng.normal(size=(n, dim)))

    def log_prob(x: np.ndarray) -> np.ndarray:
        return np.logaddexp.reduce(
            [np.log(w) + m.logpdf(x) for w, m in zip(weight, members, strict=True)]
        )

    return Density(dim, sample, log_prob)


def banana(dim: int, curvature: float = 0.7) -> Density:
    """A normal distribution; every second coordinate is shifted by the square of the one before."""
    pairs = np.arange(0, dim - 1, 2)

    def sample(n: int, rng: np.random.Generator) -> np.ndarray:
        x = rng.normal(size=(n, dim))
        x[:, pairs + 1] = 0.5 * x[:, pairs + 1] + curvature * (x[:, pairs] ** 2 - 1)
        return x

    def log_prob(x: np.ndarray) -> np.ndarray:
        z = x.copy()
        z[:, pairs + 1] = (x[:, pairs + 1] - curvature * (x[:, pairs] ** 2 - 1)) / 0.5
        return stats.norm.logpdf(z).sum(axis=1) - len(pairs) * np.log(0.5)

    return Density(dim, sample, log_prob)


def warped(dim: int, skew: float = 0.3, tail: float = 0.8) -> Density:
    r"""A correlated normal distribution with skewed and heavier-tailed coordinates: sinh-arcsinh.

    :math:`x_i = \sinh((\operatorname{arcsinh} z_i + \epsilon_i) / \delta)` with z normal,
    correlations 0.7^|i-j|.
    """
    rng = np.random.default_rng(2)
    epsilon = skew * rng.choice([-1.0, 0.0, 1.0], dim)
    covariance = 0.7 ** np.abs(np.subtract.outer(np.arange(dim), np.arange(dim)))
    normal = stats.multivariate_normal(np.zeros(dim), covariance)
    factor = np.linalg.cholesky(covariance)

    def sample(n: int, rng: np.random.Generator) -> np.ndarray:
        return np.sinh((np.arcsinh(rng.normal(size=(n, dim)) @ factor.T) + epsilon) / tail)

    def log_prob(x: np.ndarray) -> np.ndarray:
        inner = tail * np.arcsinh(x) - epsilon
        slope = np.log(tail) + np.log(np.cosh(inner)) - 0.5 * np.log1p(x**2)
        return normal.logpdf(np.sinh(inner)) + slope.sum(axis=1)

    return Density(dim, sample, log_prob)


DENSITIES = {"mixture-2": mixture(2), "banana-10": banana(10), "warped-30": warped(30)}


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--densities", nargs="+", default=list(DENSITIES), choices=list(DENSITIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()

    print(
        f"{'density':<10} {'method':<8} {'seed':>4} {'entropy':>8} {'excess':>8} {'+-':>6}"
        f" {'seconds':>8} {'steps':>6}"
    )
    for name in options.densities:
        truth = DENSITIES[name]
        for seed in options.seeds:
            rng = np.random.default_rng([seed, truth.dim])
            train = truth.sample(options.cells, rng)
            test = truth.sample(TEST_POINTS, rng)
            known = truth.log_prob(test)
            for method in options.methods:
                start = time.perf_counter()
                density = fit_density(train, method=method, random_state=seed)
                seconds = time.perf_counter() - start
                excess = known - density.log_prob(test)
                steps = density.state()[1].get("history.step", [0])[-1]
                error = excess.std() / TEST_POINTS**0.5
                print(
                    f"{name:<10} {method:<8} {seed:>4} {-known.mean():8.3f} {excess.mean():8.4f}"
                    f" {error:6.4f} {seconds:8.1f} {steps:6.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

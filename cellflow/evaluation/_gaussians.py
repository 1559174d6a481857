"""Closed forms of Gaussians, for the self-test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._typing import FloatArray

__all__ = ["EARLY", "LATE", "SIGMA", "THETA", "Gaussian", "bridge_moments", "bures", "relaxed"]

#: Rate and diffusion of the Ornstein-Uhlenbeck process dx = -THETA x dt + SIGMA dW.
THETA = 0.8
SIGMA = 0.7


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal distribution: `mean (d,)` and `cov (d, d)`."""

    mean: FloatArray
    cov: FloatArray

    def sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw cells whose mean and covariance are exact, so that less depends on chance."""
        z = rng.standard_normal((n, len(self.mean)))
        z -= z.mean(axis=0)
        whitened = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / n)).T
        return np.asarray(self.mean + whitened @ np.linalg.cholesky(self.cov).T)

    def log_density(self, x: FloatArray) -> FloatArray:
        """Log-density at `x (n, d)`."""
        centred = x - self.mean
        square = (centred @ np.linalg.inv(self.cov) * centred).sum(axis=1)
        return np.asarray(-0.5 * (square + np.linalg.slogdet(2 * np.pi * self.cov)[1]))


#: Two Gaussians whose covariances do not commute.
EARLY = Gaussian(np.array([0.0, 1.0]), np.array([[1.0, -0.4], [-0.4, 0.6]]))
LATE = Gaussian(np.array([2.0, -1.0]), np.array([[0.5, 0.3], [0.3, 1.2]]))


def _root(matrix: FloatArray) -> FloatArray:
    """Root of a symmetric positive matrix."""
    values, axes = np.linalg.eigh(matrix)
    return np.asarray(axes * np.sqrt(values) @ axes.T)


def bures(a: Gaussian, b: Gaussian) -> float:
    """Squared Wasserstein distance between Gaussians (Gelbrich 1990)."""
    root = _root(a.cov)
    cross = _root(root @ b.cov @ root)
    return float(((a.mean - b.mean) ** 2).sum() + np.trace(a.cov + b.cov - 2 * cross))


def bridge_moments(
    a: Gaussian, b: Gaussian, *, sigma: float, gap: float
) -> tuple[FloatArray, FloatArray]:
    """Covariance between the ends of a Schrödinger bridge, and its covariance half-way.

    The ends are jointly Gaussian (Mallasto et al. 2022).
    """
    half = sigma**2 * gap / 2
    eye = np.eye(len(a.mean))
    root = _root(a.cov)
    inner = _root(root @ b.cov @ root + half**2 * eye)
    between = root @ inner @ np.linalg.inv(root) - half * eye
    return between, (a.cov + b.cov + between + between.T) / 4 + half / 2 * eye


def relaxed(t: float) -> Gaussian:
    """Law at `t` of the Ornstein-Uhlenbeck process that starts as `EARLY`."""
    decay = np.exp(-THETA * t)
    rest = SIGMA**2 / (2 * THETA) * np.eye(2)
    return Gaussian(decay * EARLY.mean, rest + decay**2 * (EARLY.cov - rest))

"""Systems that know their exact answer, for everybody's tests: `import problems`.

Everything is float64 numpy, small, and independent of the package's own formulas where those are
what is tested.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm, sqrtm


@dataclass(frozen=True, eq=False)
class LinearODE:
    """`dx/dt = A x + b`, with the solution from the matrix exponential of the augmented system."""

    matrix: np.ndarray
    offset: np.ndarray

    def velocity(self, t: object, x: np.ndarray) -> np.ndarray:
        return x @ self.matrix.T + self.offset

    def solution(self, x0: np.ndarray, t: float) -> np.ndarray:
        d = len(self.offset)
        generator = np.zeros((d + 1, d + 1))
        generator[:d, :d], generator[:d, d] = self.matrix, self.offset
        flow = expm(t * generator)
        return x0 @ flow[:d, :d].T + flow[:d, d]


#: A spiral towards a point that is not the origin, and a rotation that keeps norms.
SPIRAL = LinearODE(np.array([[-0.3, -1.2], [1.0, -0.1]]), np.array([0.5, -0.2]))
ROTATION = LinearODE(np.array([[0.0, -1.0], [1.0, 0.0]]), np.zeros(2))


@dataclass(frozen=True)
class LogisticODE:
    """`dx/dt = x (1 - x)`: a nonlinear equation with a closed form, for orders of convergence."""

    def velocity(self, t: object, x: np.ndarray) -> np.ndarray:
        return x * (1 - x)

    def solution(self, x0: np.ndarray, t: float) -> np.ndarray:
        return x0 / (x0 + (1 - x0) * np.exp(-t))


LOGISTIC = LogisticODE()


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian with any covariance."""

    mean: np.ndarray
    cov: np.ndarray

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.mean + rng.standard_normal((n, len(self.mean))) @ np.linalg.cholesky(self.cov).T

    def log_density(self, x: np.ndarray) -> np.ndarray:
        centred = x - self.mean
        quadratic = (centred * np.linalg.solve(self.cov, centred.T).T).sum(axis=1)
        return -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * self.cov)[1])

    def score(self, x: np.ndarray) -> np.ndarray:
        return -np.linalg.solve(self.cov, (x - self.mean).T).T


#: Two Gaussians whose covariances do not commute.
SOURCE = Gaussian(np.array([0.0, 0.0]), np.array([[1.0, 0.3], [0.3, 0.5]]))
TARGET = Gaussian(np.array([3.0, -1.0]), np.array([[0.6, -0.4], [-0.4, 1.5]]))


def transport_map(source: Gaussian, target: Gaussian) -> np.ndarray:
    """Matrix `A` of the optimal map `m1 + A (x - m0)` between Gaussians (Gelbrich 1990)."""
    root = np.real(sqrtm(source.cov))
    inverse = np.linalg.inv(root)
    return inverse @ np.real(sqrtm(root @ target.cov @ root)) @ inverse


def wasserstein2(source: Gaussian, target: Gaussian) -> float:
    """Distance of Bures and Wasserstein between Gaussians."""
    root = np.real(sqrtm(source.cov))
    cross = np.real(sqrtm(root @ target.cov @ root))
    square = ((source.mean - target.mean) ** 2).sum() + np.trace(
        source.cov + target.cov - 2 * cross
    )
    return float(np.sqrt(square))


def displacement(source: Gaussian, target: Gaussian, s: float) -> Gaussian:
    """The point at `s` in [0, 1] of the Wasserstein geodesic between Gaussians (McCann 1997)."""
    step = (1 - s) * np.eye(len(source.mean)) + s * transport_map(source, target)
    return Gaussian((1 - s) * source.mean + s * target.mean, step @ source.cov @ step.T)


def ornstein_uhlenbeck(start: Gaussian, theta: float, sigma: float, t: float) -> Gaussian:
    """Law at `t` of `dx = -theta x dt + sigma dW` from a Gaussian."""
    decay = np.exp(-theta * t)
    rest = sigma**2 / (2 * theta) * np.eye(len(start.mean))
    return Gaussian(decay * start.mean, rest + decay**2 * (start.cov - rest))


def brownian_bridge(
    x0: np.ndarray, x1: np.ndarray, t0: float, t1: float, sigma: float, t: float
) -> Gaussian:
    """Law at `t` of a Brownian bridge of diffusion `sigma` between two points."""
    s = (t - t0) / (t1 - t0)
    return Gaussian(
        (1 - s) * x0 + s * x1, sigma**2 * (t - t0) * (t1 - t) / (t1 - t0) * np.eye(len(x0))
    )


def schroedinger_bridge(
    source: Gaussian, target: Gaussian, sigma: float, gap: float, s: float
) -> Gaussian:
    """Law at fraction `s` of the Schroedinger bridge between Gaussians over a gap of time (Mallasto
    et al. 2022).

    The entropic plan for the squared Euclidean cost with `epsilon = 2 sigma^2 gap` has the
    cross-covariance `C = S0^(1/2) (S0^(1/2) S1 S0^(1/2) + sigma^4 gap^2 / 4)^(1/2) S0^(-1/2) -
    sigma^2 gap / 2`.
    """
    eye, half = np.eye(len(source.mean)), sigma**2 * gap / 2
    root = np.real(sqrtm(source.cov))
    middle = np.real(sqrtm(root @ target.cov @ root + half**2 * eye))
    cross = root @ middle @ np.linalg.inv(root) - half * eye
    cov = (
        (1 - s) ** 2 * source.cov
        + s**2 * target.cov
        + s * (1 - s) * (cross + cross.T + 2 * half * eye)
    )
    return Gaussian((1 - s) * source.mean + s * target.mean, cov)


def rk4(velocity, x: np.ndarray, t0: float, t1: float, steps: int) -> np.ndarray:
    """Classical Runge-Kutta, as a slow and obvious reference."""
    dt = (t1 - t0) / steps
    for k in range(steps):
        t = t0 + k * dt
        k1 = velocity(t, x)
        k2 = velocity(t + dt / 2, x + dt / 2 * k1)
        k3 = velocity(t + dt / 2, x + dt / 2 * k2)
        k4 = velocity(t + dt, x + dt * k3)
        x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x

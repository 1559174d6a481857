"""Entropic transport of whole populations, in the log domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cellflow._neighbors import squared_distances
from cellflow._typing import FloatArray
from cellflow.couplings.base import cloud, positive
from cellflow.errors import CouplingError, InputError
from cellflow.plan import PotentialPlan
from cellflow.population import Population

__all__ = ["Entropic"]

_TILE = 512
#: Epsilon falls by this factor from level to level, starting at the scale of the costs.
_FACTOR = 4.0
#: Marginal error, in mass, that a level before the last one is left at, and iterations between two looks at it.
_LOOSE, _LOOK = 1e-2, 10
#: Above this marginal error a kernel in single precision serves.
_SINGLE = 1e-5
#: Scalings beyond exp(+-30) go back into the potentials before they cost digits.
_ABSORB = 30.0


@dataclass(frozen=True)
class Entropic:
    r"""Minimise :math:`\langle C, P\rangle + \varepsilon\, \mathrm{KL}(P \mid a \otimes b)` by Sinkhorn's iteration.

    With :math:`\varepsilon = 2 \sigma^2 (t_1 - t_0)` and squared Euclidean cost the plan is the static Schroedinger bridge of
    Brownian motion with diffusion :math:`\sigma`. Epsilon is lowered in steps; potentials are kept in the log domain, so that
    no epsilon underflows. The kernel is held in memory where it fits and recomputed in tiles where not.

    Parameters
    ----------
    sigma
        Diffusion per square root of time; `"auto"` is resolved when a model is fitted. None where `epsilon` is given.
    epsilon
        Regularisation, in squared units of the positions; overrides `sigma`.
    tol
        Marginal error at which to stop: total mass in the wrong rows.
    max_iter
        Iterations at the last epsilon.
    max_bytes
        Largest kernel to hold in memory.

    References
    ----------
    Cuturi, Sinkhorn distances, NeurIPS 2013; Schmitzer, Stabilized sparse scaling algorithms for entropy regularized transport
    problems, SIAM J. Sci. Comput. 2019.
    """

    sigma: float | Literal["auto"] | None = "auto"
    epsilon: float | None = None
    tol: float = 1e-4
    max_iter: int = 10_000
    max_bytes: float = 1e9

    def __post_init__(self) -> None:
        positive(tol=self.tol, max_iter=self.max_iter, max_bytes=self.max_bytes)
        if self.epsilon is not None:
            positive(epsilon=self.epsilon)
        elif self.sigma is None:
            msg = "sigma=None and epsilon=None; give one of them."
            raise InputError(msg)
        elif self.sigma != "auto":
            positive(sigma=self.sigma)

    def __call__(self, source: Population, target: Population) -> PotentialPlan:
        """Couple two populations of any sizes and weights.

        Raises
        ------
        CouplingError
            No convergence in `max_iter` iterations.
        InputError
            `sigma="auto"`, which depends on all snapshots and is resolved by `cf.fit`.
        """
        epsilon = self._epsilon(source, target)
        centre = target.weight @ target.x.astype(np.float64)
        a, b = cloud(source, centre), cloud(target, centre)
        f, g, error = _sinkhorn(a.x, b.x, a.weight, b.weight, epsilon, self.tol, self.max_iter, self.max_bytes)
        if not error <= self.tol:
            msg = (
                f"Sinkhorn's iteration at epsilon={epsilon:.3g} left {error:.2e} of the mass in wrong rows after "
                f"{self.max_iter:,} iterations (tol={self.tol:g}). Raise epsilon (sigma) or max_iter, or use "
                "couplings.Sparse for epsilon near zero."
            )
            raise CouplingError(msg)
        whole_f, whole_g = np.zeros(len(source)), np.zeros(len(target))
        whole_f[a.rows], whole_g[b.rows] = f, g
        x, y = source.x.astype(np.float64) - centre, target.x.astype(np.float64) - centre
        return PotentialPlan(x, y, source.weight, target.weight, whole_f, whole_g, epsilon)

    def _epsilon(self, source: Population, target: Population) -> float:
        if self.epsilon is not None:
            return self.epsilon
        if self.sigma == "auto" or self.sigma is None:
            msg = "sigma='auto' depends on all snapshots; give a number, or fit with cf.fit, which resolves it."
            raise InputError(msg)
        return 2.0 * self.sigma**2 * (target.time - source.time)


def _sinkhorn(
    x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, epsilon: float, tol: float, max_iter: int, max_bytes: float
) -> tuple[FloatArray, FloatArray, float]:
    """Potentials `f (n,)`, `g (m,)` and the marginal error that they leave."""
    dearest = float(squared_distances(x, y.mean(axis=0)[None]).max() + squared_distances(y, y.mean(axis=0)[None]).max())
    n_levels = max(0, int(np.ceil(np.log(max(dearest, epsilon) / epsilon) / np.log(_FACTOR))))
    held = 8.0 * len(x) * len(y) <= max_bytes
    f: FloatArray = np.zeros(len(x))
    g: FloatArray = np.zeros(len(y))
    error = np.inf
    for level in range(n_levels, -1, -1):
        eps, goal = epsilon * _FACTOR**level, tol if level == 0 else max(tol, _LOOSE)
        iterate = _scaled if held else _tiled
        f, g, error = iterate(x, y, a, b, g, eps, goal, max_iter if level == 0 else 100)
    return f, g, error


def soft_transform(x: FloatArray, y: FloatArray, b: FloatArray, g: FloatArray, epsilon: float) -> FloatArray:
    r"""Potential that makes rows right, :math:`f_i = -\varepsilon \log \sum_j b_j e^{(g_j - |x_i - y_j|^2) / \varepsilon}`."""
    f = np.empty(len(x))
    exponent = g / epsilon + np.log(b)
    for start in range(0, len(x), _TILE):
        tile = exponent - squared_distances(x[start : start + _TILE], y) / epsilon
        top = tile.max(axis=1)
        f[start : start + _TILE] = -epsilon * (top + np.log(np.exp(tile - top[:, None]).sum(axis=1)))
    return f


def _tiled(
    x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, g: FloatArray, epsilon: float, tol: float, max_iter: int
) -> tuple[FloatArray, FloatArray, float]:
    """Iterate without ever holding the kernel."""
    f, error = soft_transform(x, y, b, g, epsilon), np.inf
    for _ in range(max_iter):
        g = soft_transform(y, x, a, f, epsilon)
        better = soft_transform(x, y, b, g, epsilon)
        # Before the update a row held a_i exp((f_i - better_i) / epsilon).
        error = float(a @ np.abs(np.expm1((f - better) / epsilon)))
        if error <= tol:
            break
        f = better
    return f, g, error


def _scaled(
    x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, g: FloatArray, epsilon: float, tol: float, max_iter: int
) -> tuple[FloatArray, FloatArray, float]:
    """Iterate by scaling a kernel that already contains the potentials; large scalings go back into them."""
    f = soft_transform(x, y, b, g, epsilon)
    g = soft_transform(y, x, a, f, epsilon)
    # Single precision sums thousands of terms to a part in a million.
    dtype = np.float32 if tol >= _SINGLE else np.float64
    kernel, error, previous, done, relaxation = np.empty((len(x), len(y)), dtype), np.inf, np.inf, 0, 1.0
    while done < max_iter:
        for start in range(0, len(x), _TILE):
            rows = slice(start, start + _TILE)
            kernel[rows] = np.exp((f[rows, None] + g - squared_distances(x[rows], y)) / epsilon)
        log_u, log_v = np.zeros(len(x)), np.zeros(len(y))
        while done < max_iter and max(np.abs(log_u).max(), np.abs(log_v).max()) <= _ABSORB:
            in_rows = np.log(kernel @ (b * np.exp(log_v)).astype(dtype))
            if done % _LOOK == 0:
                previous, error = error, float(a @ np.abs(np.expm1(log_u + in_rows)))
                if error <= tol:
                    return f + epsilon * log_u, g + epsilon * log_v, error
                relaxation = _relaxation(error / previous, relaxation)
            log_u -= relaxation * (log_u + in_rows)
            log_v -= relaxation * (log_v + np.log((a * np.exp(log_u)).astype(dtype) @ kernel))
            done += 1
        f, g = f + epsilon * log_u, g + epsilon * log_v
    return f, g, error


def _relaxation(progress: float, current: float) -> float:
    """Over-relax as far as the plain iteration's rate says (Thibault et al., Algorithms 2021); step back when it does harm."""
    if progress >= 1.0:
        return 1.0
    if current > 1.0 or progress == 0.0:
        return current
    rate = progress ** (1.0 / _LOOK)
    return 2.0 / (1.0 + float(np.sqrt(1.0 - rate)))

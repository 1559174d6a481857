"""Does the installed package compute what is known in closed form? What `cellflow selftest` runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState

__all__ = ["Finding", "selftest"]

#: Takes a generator and a seed; returns what was measured, never below zero, and the largest value
#: that passes.
Oracle: TypeAlias = "Callable[[np.random.Generator, int], tuple[float, float]]"


@dataclass(frozen=True)
class Finding:
    """How one computation compares with its closed form.

    Parameters
    ----------
    name
        What was compared.
    measured
        How far it is off; NaN where it could not be computed.
    bound
        How far it may be off: rounding, a stated tolerance, or the error of samples of this size.
    seconds
        That it took.
    passed
        Whether `measured` is at most `bound`.
    error
        What went wrong where it could not be computed, else empty.
    """

    name: str
    measured: float
    bound: float
    seconds: float
    passed: bool
    error: str = ""


@guarded
def selftest(*, random_state: RandomState = 0) -> list[Finding]:
    """Compare the installed package with closed forms: transport, paths, solvers, likelihood, a small fit.

    Needs no data, no network and no test runner, and takes about 20 seconds on one thread. Where
    something fails, the installation does (a solver, a numerical library), or a bug has been found:
    please report it with the table.

    Parameters
    ----------
    random_state
        Seed of the samples.

    Returns
    -------
    One `Finding` per comparison.
    """
    seed = as_seed(random_state)
    return [_judged(oracle, stream(seed, k), seed) for k, oracle in enumerate(_ORACLES)]


def _judged(oracle: Oracle, rng: np.random.Generator, seed: int) -> Finding:
    start = time.perf_counter()
    error = ""
    measured = bound = float("nan")
    try:
        measured, bound = oracle(rng, seed)
    except Exception as cause:  # noqa: BLE001 (whatever it is, it is the finding)
        error = f"{type(cause).__name__}: {cause}"
    name = (oracle.__doc__ or oracle.__name__).partition(". ")[0].rstrip(".")
    return Finding(
        name,
        float(measured),
        float(bound),
        time.perf_counter() - start,
        bool(measured <= bound),
        error,
    )


# The oracles; each imports what it tests, so that what cannot be imported fails alone ---------------------------------------


@dataclass(frozen=True, eq=False)
class _Gaussian:
    mean: FloatArray
    cov: FloatArray

    def sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw cells whose mean and covariance are exact, which leaves less to chance."""
        z = rng.standard_normal((n, len(self.mean)))
        z -= z.mean(axis=0)
        whitened = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / n)).T
        return np.asarray(self.mean + whitened @ np.linalg.cholesky(self.cov).T)

    def log_density(self, x: FloatArray) -> FloatArray:
        centred = x - self.mean
        square = (centred @ np.linalg.inv(self.cov) * centred).sum(axis=1)
        return np.asarray(-0.5 * (square + np.linalg.slogdet(2 * np.pi * self.cov)[1]))


#: Two Gaussians whose covariances do not commute.
_EARLY = _Gaussian(np.array([0.0, 1.0]), np.array([[1.0, -0.4], [-0.4, 0.6]]))
_LATE = _Gaussian(np.array([2.0, -1.0]), np.array([[0.5, 0.3], [0.3, 1.2]]))

_THETA = 0.8
_SIGMA = 0.7


def _root(matrix: FloatArray) -> FloatArray:
    """Root of a symmetric positive matrix."""
    values, axes = np.linalg.eigh(matrix)
    return np.asarray(axes * np.sqrt(values) @ axes.T)


def _bures(a: _Gaussian, b: _Gaussian) -> float:
    """Squared Wasserstein distance between Gaussians (Gelbrich 1990)."""
    root = _root(a.cov)
    cross = _root(root @ b.cov @ root)
    return float(((a.mean - b.mean) ** 2).sum() + np.trace(a.cov + b.cov - 2 * cross))


def _wasserstein_distance(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Wasserstein distance between Gaussians, relative error against Bures. It cannot be smaller at equal moments."""
    from cellflow.metrics import wasserstein

    found = wasserstein(_EARLY.sample(1000, rng), _LATE.sample(1000, rng), p=2)
    return abs(found / _bures(_EARLY, _LATE) ** 0.5 - 1.0), 0.01


def _exact_plan(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Cost of the exact plan against the Wasserstein distance, relative. Weights and sizes differ."""
    from cellflow.core.population import Population
    from cellflow.couplings import Exact
    from cellflow.metrics import wasserstein

    x = rng.normal(size=(120, 3))
    y = rng.normal(size=(80, 3)) + 1.0
    a = rng.random(120)
    b = rng.random(80)
    cost = Exact()(Population(x, 0.0, a), Population(y, 1.0, b)).cost
    return abs(cost / wasserstein(x, y, p=2, x_weight=a, y_weight=b) ** 2 - 1.0), 1e-9


def _sparse_plan(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Cost of the sparse plan above the exact one, relative. Its own tolerance is the bound."""
    from cellflow.core.population import Population
    from cellflow.couplings import Exact, Sparse

    source = Population(rng.normal(size=(900, 5)), 0.0)
    target = Population(rng.normal(size=(700, 5)) + 1.0, 1.0)
    sparse = Sparse()
    return abs(sparse(source, target).cost / Exact()(source, target).cost - 1.0), sparse.tol


def _schroedinger_bridge(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Schrödinger bridge between Gaussians, moments half-way and between its ends. An entropic plan and Brownian bridges."""
    import torch

    from cellflow.core.population import Pairs, Population
    from cellflow.couplings import Entropic
    from cellflow.paths import BrownianBridge, sample

    sigma = 0.7
    gap = 2.0
    n = 20_000
    source = Population(_EARLY.sample(800, rng), 0.0)
    target = Population(_LATE.sample(800, rng), gap)
    i, j = Entropic(sigma=sigma)(source, target).sample(n, rng)
    x0, x1, z = (
        torch.from_numpy(v) for v in (source.x[i], target.x[j], rng.standard_normal((n, 2)))
    )
    pairs = Pairs(
        x0, x1, torch.zeros(n, dtype=torch.float64), torch.full((n,), gap, dtype=torch.float64)
    )
    x = sample(
        BrownianBridge(sigma), torch.full((n,), gap / 2, dtype=torch.float64), pairs, z
    ).x.numpy()
    # The ends are jointly Gaussian with this covariance between them (Mallasto et al. 2022).
    half = sigma**2 * gap / 2
    root = _root(_EARLY.cov)
    between = root @ _root(root @ _LATE.cov @ root + half**2 * np.eye(2)) @ np.linalg.inv(
        root
    ) - half * np.eye(2)
    middle = (_EARLY.cov + _LATE.cov + between + between.T) / 4 + half / 2 * np.eye(2)
    off = (
        np.cov(source.x[i].T, target.x[j].T)[:2, 2:] - between,
        np.cov(x.T) - middle,
        x.mean(axis=0) - (_EARLY.mean + _LATE.mean) / 2,
    )
    return float(max(np.abs(part).max() for part in off)), 0.06


def _bridge_drift(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Velocity and score of a Brownian bridge against its drift. v + sigma^2/2 s = (x1 - x) / (t1 - t)."""
    import torch

    from cellflow.core.population import Pairs
    from cellflow.paths import BrownianBridge, sample

    n = 200
    sigma = 0.8
    x0, x1, z, (t0, fraction) = (
        torch.from_numpy(v) for v in (*rng.normal(size=(3, n, 4)), rng.random((2, n)))
    )
    t1 = t0 + 1.5
    t = t0 + (0.05 + 0.9 * fraction) * (t1 - t0)
    made = sample(BrownianBridge(sigma), t, Pairs(x0, x1, t0, t1), z)
    assert made.score is not None
    drift = made.velocity + 0.5 * sigma**2 * made.score
    expected = (x1 - made.x) / (t1 - t)[:, None]
    return float(((drift - expected).abs() / (1.0 + expected.abs())).max()), 1e-10


def _order_of_rk4(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Order of convergence of RK4, away from 4. On x' = x (1 - x), whose solution is known."""
    import torch

    from cellflow.simulation import integrate

    start = rng.uniform(0.05, 0.2, size=(20, 2))
    end = 4.0
    exact = start / (start + (1.0 - start) * np.exp(-end))
    errors = []
    for step in (0.2, 0.1):
        moved = integrate(
            lambda _t, x: x * (1.0 - x),
            start,
            0.0,
            np.array([end]),
            step=step,
            method="rk4",
            dtype=torch.float64,
        )
        errors.append(np.abs(moved.x[0] - exact).max())
    return abs(float(np.log2(errors[0] / errors[1])) - 4.0), 0.3


def _relaxed(t: float) -> _Gaussian:
    """Law at `t` of the Ornstein-Uhlenbeck process dx = -THETA x dt + SIGMA dW that starts as `_EARLY`."""
    decay = np.exp(-_THETA * t)
    rest = _SIGMA**2 / (2 * _THETA) * np.eye(2)
    return _Gaussian(decay * _EARLY.mean, rest + decay**2 * (_EARLY.cov - rest))


def _diffusion(rng: np.random.Generator, seed: int) -> tuple[float, float]:
    """Ornstein-Uhlenbeck process, mean and covariance of simulated cells. In steps of a twentieth."""
    from cellflow.simulation import integrate_sde

    t = 1.5
    n = 20_000
    moved = integrate_sde(
        lambda _t, x: -_THETA * x,
        _EARLY.sample(n, rng),
        0.0,
        np.array([t]),
        sigma=_SIGMA,
        step=0.05,
        random_state=seed,
    ).x[0]
    law = _relaxed(t)
    return (
        float(
            max(
                np.abs(moved.mean(axis=0) - law.mean).max(), np.abs(np.cov(moved.T) - law.cov).max()
            )
        ),
        0.03,
    )


def _likelihood(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Log-density carried along the probability flow of that process, in nats. The law is Gaussian at every time."""
    import torch

    from cellflow.simulation import log_likelihood

    def velocity(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        law = _relaxed(float(t))
        score = (torch.from_numpy(law.mean) - x) @ torch.from_numpy(np.linalg.inv(law.cov))
        return -_THETA * x - 0.5 * _SIGMA**2 * score

    t = 1.5
    law = _relaxed(1.5)
    x = law.sample(50, rng)
    found = log_likelihood(velocity, x, t, 0.0, _EARLY.log_density, step=0.05, dtype=torch.float64)
    return float(np.abs(found - law.log_density(x)).max()), 1e-5


def _small_fit(rng: np.random.Generator, seed: int) -> tuple[float, float]:
    """A small fit between Gaussians, W1 of moved cells over the noise floor. Cells that stay are at 18 times that floor."""
    from dataclasses import replace

    from cellflow.core.population import Population, Snapshots
    from cellflow.metrics import wasserstein
    from cellflow.model.fitting import fit
    from cellflow.model.recipes import ot_cfm

    cells = [Population(_EARLY.sample(400, rng), 0.0), Population(_LATE.sample(400, rng), 3.0)]
    recipe = ot_cfm()
    recipe = replace(recipe, training=replace(recipe.training, steps=400))
    flow = fit(Snapshots(tuple(cells)), recipe, random_state=seed, progress=False)
    moved = flow.simulate(_EARLY.sample(400, rng), 0.0, [3.0]).x[0]
    others = [_LATE.sample(400, rng) for _ in range(3)]
    floor = np.mean(
        [wasserstein(a, b) for a, b in zip(others, others[1:] + others[:1], strict=True)]
    )
    return float(np.mean([wasserstein(moved, other) for other in others]) / floor), 1.5


def _uniform_motion(rng: np.random.Generator, seed: int) -> tuple[float, float]:
    """Speed of a population in uniform motion, relative error of the default method at five times. It is the same at all."""
    from dataclasses import replace

    from cellflow.core.population import Population, Snapshots
    from cellflow.model.fitting import fit
    from cellflow.model.recipes import DEFAULT, by_name

    speed = np.array([1.5, -1.0])
    recipe = by_name(DEFAULT)
    recipe = replace(recipe, training=replace(recipe.training, steps=600))
    cells = [Population(_EARLY.sample(150, rng) + t * speed, t) for t in (0.0, 2.0, 3.0)]
    flow = fit(Snapshots(tuple(cells)), recipe, random_state=seed, progress=False)
    others = _EARLY.sample(300, rng)
    rates = [
        flow.velocity(others + t * speed, t).mean(axis=0) @ speed / (speed @ speed)
        for t in (0.0, 1.0, 2.0, 2.5, 3.0)
    ]
    return float(np.abs(np.array(rates) - 1.0).max()), 0.05


def _state_round_trip(rng: np.random.Generator, seed: int) -> tuple[float, float]:
    """A flow rebuilt from its plain values, largest difference of velocities. There must be none."""
    from dataclasses import replace

    from cellflow.core.population import Population, Snapshots
    from cellflow.model.fitting import fit
    from cellflow.model.flow import Flow
    from cellflow.model.recipes import ot_cfm

    x = rng.normal(size=(3, 40, 3))
    recipe = ot_cfm()
    recipe = replace(recipe, training=replace(recipe.training, steps=5))
    flow = fit(
        Snapshots(tuple(Population(x[k] + k, float(k)) for k in range(3))),
        recipe,
        random_state=seed,
        progress=False,
    )
    again = Flow.from_state(*flow.state())
    return float(np.abs(again.velocity(x[1], 0.7) - flow.velocity(x[1], 0.7)).max()), 0.0


_ORACLES: tuple[Oracle, ...] = (
    _wasserstein_distance,
    _exact_plan,
    _sparse_plan,
    _schroedinger_bridge,
    _bridge_drift,
    _order_of_rk4,
    _diffusion,
    _likelihood,
    _small_fit,
    _uniform_motion,
    _state_round_trip,
)

"""Comparisons of the installed package with closed forms: `cf.selftest`, `cellflow selftest`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch

from cellflow import couplings, metrics, paths, simulation
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core.population import Pairs, Population, Snapshots
from cellflow.evaluation._gaussians import EARLY, LATE, SIGMA, THETA, bridge_moments, bures, relaxed
from cellflow.model import recipes
from cellflow.model.fitting import fit
from cellflow.model.flow import Flow

__all__ = ["Finding", "selftest"]

#: Takes a generator and a seed; returns the measured value, never below zero, and the largest value
#: that passes. The first sentence of its docstring is its name in the table.
Oracle: TypeAlias = "Callable[[np.random.Generator, int], tuple[float, float]]"


@dataclass(frozen=True)
class Finding:
    """How one computation compares with its closed form.

    Parameters
    ----------
    name
        What was compared.
    measured
        The error; NaN where it could not be computed.
    bound
        The largest error that passes: rounding, a tolerance, or the error of samples of this size.
    seconds
        Time of the comparison.
    passed
        Whether `measured` is at most `bound`.
    error
        Why it could not be computed, else empty.
    """

    name: str
    measured: float
    bound: float
    seconds: float
    passed: bool
    error: str = ""


@guarded
def selftest(*, random_state: RandomState = 0) -> list[Finding]:
    """Compare the installed package with closed forms.

    Transport, paths, solvers, likelihood, a small fit. Needs no data, no network and no test
    runner, and takes about 20 seconds on one thread. A failure comes from the installation (a
    solver, a numerical library) or from a bug: please report it with the table.

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
    except Exception as cause:  # noqa: BLE001 (any error is a finding)
        error = f"{type(cause).__name__}: {cause}"
    seconds = time.perf_counter() - start
    first = (oracle.__doc__ or oracle.__name__).partition("\n")[0]
    name = first.partition(". ")[0].rstrip(".")
    passed = bool(measured <= bound)
    return Finding(name, float(measured), float(bound), seconds, passed, error)


# Oracles. Functions are looked up in their modules, as a user's calls are.


def _wasserstein_distance(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Wasserstein distance between Gaussians, relative error against Bures.

    It cannot be smaller at equal moments.
    """
    found = metrics.wasserstein(EARLY.sample(1000, rng), LATE.sample(1000, rng), p=2)
    return abs(found / bures(EARLY, LATE) ** 0.5 - 1.0), 0.01


def _exact_plan(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Cost of the exact plan against the Wasserstein distance, relative.

    Weights and sizes differ.
    """
    x = rng.normal(size=(120, 3))
    y = rng.normal(size=(80, 3)) + 1.0
    a = rng.random(120)
    b = rng.random(80)
    cost = couplings.Exact()(Population(x, 0.0, a), Population(y, 1.0, b)).cost
    return abs(cost / metrics.wasserstein(x, y, p=2, x_weight=a, y_weight=b) ** 2 - 1.0), 1e-9


def _sparse_plan(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Cost of the sparse plan above the exact one, relative.

    Its own tolerance is the bound.
    """
    source = Population(rng.normal(size=(900, 5)), 0.0)
    target = Population(rng.normal(size=(700, 5)) + 1.0, 1.0)
    sparse = couplings.Sparse()
    exact = couplings.Exact()(source, target)
    return abs(sparse(source, target).cost / exact.cost - 1.0), sparse.tol


def _schroedinger_bridge(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Schrödinger bridge between Gaussians, moments half-way and between its ends.

    An entropic plan and Brownian bridges.
    """
    gap = 2.0
    n = 20_000
    source = Population(EARLY.sample(800, rng), 0.0)
    target = Population(LATE.sample(800, rng), gap)
    i, j = couplings.Entropic(sigma=SIGMA)(source, target).sample(n, rng)
    ends = (source.x[i], target.x[j], rng.standard_normal((n, 2)))
    x0, x1, z = (torch.from_numpy(v) for v in ends)
    start, middle, end = (torch.full((n,), t, dtype=torch.float64) for t in (0.0, gap / 2, gap))
    x = paths.sample(paths.BrownianBridge(SIGMA), middle, Pairs(x0, x1, start, end), z).x.numpy()
    between, half_way = bridge_moments(EARLY, LATE, sigma=SIGMA, gap=gap)
    off = (
        np.cov(source.x[i].T, target.x[j].T)[:2, 2:] - between,
        np.cov(x.T) - half_way,
        x.mean(axis=0) - (EARLY.mean + LATE.mean) / 2,
    )
    return float(max(np.abs(part).max() for part in off)), 0.06


def _bridge_drift(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Velocity and score of a Brownian bridge against its drift.

    v + sigma^2/2 s = (x1 - x) / (t1 - t).
    """
    n = 200
    sigma = 0.8
    x0, x1, z, (t0, fraction) = (
        torch.from_numpy(v) for v in (*rng.normal(size=(3, n, 4)), rng.random((2, n)))
    )
    t1 = t0 + 1.5
    t = t0 + (0.05 + 0.9 * fraction) * (t1 - t0)
    made = paths.sample(paths.BrownianBridge(sigma), t, Pairs(x0, x1, t0, t1), z)
    assert made.score is not None
    drift = made.velocity + 0.5 * sigma**2 * made.score
    expected = (x1 - made.x) / (t1 - t)[:, None]
    return float(((drift - expected).abs() / (1.0 + expected.abs())).max()), 1e-10


def _order_of_rk4(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Order of convergence of RK4, away from 4.

    On x' = x (1 - x), whose solution is known.
    """
    start = rng.uniform(0.05, 0.2, size=(20, 2))
    end = 4.0
    exact = start / (start + (1.0 - start) * np.exp(-end))
    errors = []
    for step in (0.2, 0.1):
        moved = simulation.integrate(
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


def _diffusion(rng: np.random.Generator, seed: int) -> tuple[float, float]:
    """Ornstein-Uhlenbeck process, mean and covariance of simulated cells.

    In steps of a twentieth.
    """
    t = 1.5
    n = 20_000
    moved = simulation.integrate_sde(
        lambda _t, x: -THETA * x,
        EARLY.sample(n, rng),
        0.0,
        np.array([t]),
        sigma=SIGMA,
        step=0.05,
        random_state=seed,
    ).x[0]
    law = relaxed(t)
    off = (moved.mean(axis=0) - law.mean, np.cov(moved.T) - law.cov)
    return float(max(np.abs(part).max() for part in off)), 0.03


def _likelihood(rng: np.random.Generator, _: int) -> tuple[float, float]:
    """Log-density carried along the probability flow of that process, in nats.

    The law is Gaussian at every time.
    """

    def velocity(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        law = relaxed(float(t))
        score = (torch.from_numpy(law.mean) - x) @ torch.from_numpy(np.linalg.inv(law.cov))
        return -THETA * x - 0.5 * SIGMA**2 * score

    t = 1.5
    law = relaxed(1.5)
    x = law.sample(50, rng)
    found = simulation.log_likelihood(
        velocity, x, t, 0.0, EARLY.log_density, step=0.05, dtype=torch.float64
    )
    return float(np.abs(found - law.log_density(x)).max()), 1e-5


def _shorter(recipe: recipes.Recipe, steps: int) -> recipes.Recipe:
    return replace(recipe, training=replace(recipe.training, steps=steps))


def _small_fit(rng: np.random.Generator, seed: int) -> tuple[float, float]:
    """A small fit between Gaussians, W1 of moved cells over the noise floor.

    Cells that stay are at 18 times that floor.
    """
    cells = [Population(EARLY.sample(400, rng), 0.0), Population(LATE.sample(400, rng), 3.0)]
    recipe = _shorter(recipes.ot_cfm(), 400)
    flow = fit(Snapshots(tuple(cells)), recipe, random_state=seed, progress=False)
    moved = flow.simulate(EARLY.sample(400, rng), 0.0, [3.0]).x[0]
    others = [LATE.sample(400, rng) for _ in range(3)]
    floor = np.mean(
        [metrics.wasserstein(a, b) for a, b in zip(others, others[1:] + others[:1], strict=True)]
    )
    return float(np.mean([metrics.wasserstein(moved, other) for other in others]) / floor), 1.5


def _uniform_motion(rng: np.random.Generator, seed: int) -> tuple[float, float]:
    """Speed of a population in uniform motion, relative error of the default method at five times.

    It is the same at all.
    """
    speed = np.array([1.5, -1.0])
    recipe = _shorter(recipes.by_name(recipes.DEFAULT), 600)
    cells = [Population(EARLY.sample(150, rng) + t * speed, t) for t in (0.0, 2.0, 3.0)]
    flow = fit(Snapshots(tuple(cells)), recipe, random_state=seed, progress=False)
    others = EARLY.sample(300, rng)
    rates = [
        flow.velocity(others + t * speed, t).mean(axis=0) @ speed / (speed @ speed)
        for t in (0.0, 1.0, 2.0, 2.5, 3.0)
    ]
    return float(np.abs(np.array(rates) - 1.0).max()), 0.05


def _state_round_trip(rng: np.random.Generator, seed: int) -> tuple[float, float]:
    """A flow rebuilt from its plain values, largest difference of velocities.

    There must be none.
    """
    x = rng.normal(size=(3, 40, 3))
    recipe = _shorter(recipes.ot_cfm(), 5)
    snapshots = Snapshots(tuple(Population(x[k] + k, float(k)) for k in range(3)))
    flow = fit(snapshots, recipe, random_state=seed, progress=False)
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

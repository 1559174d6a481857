"""What a system is, and the numerical methods that several systems share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from cellflow.core._numbers import LARGEST, ROUNDS
from cellflow.core._typing import FloatArray
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError

__all__ = ["System", "diffused", "n_steps", "normal_log_density", "rk4", "snapshots"]


@runtime_checkable
class System(Protocol):
    """A population whose dynamics are known.

    Examples
    --------
    >>> isinstance(cf.synthetic.Rotation(), cf.synthetic.System)
    True
    """

    #: Times of the snapshots in examples and benchmarks.
    times: ClassVar[tuple[float, ...]]

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw `n_obs` cells at each of the strictly increasing times."""


def snapshots(
    times: Sequence[float],
    cells: Callable[[float], FloatArray],
    mass: Callable[[float], float] = lambda _: 1.0,
) -> Snapshots:
    """Snapshots of the positions `cells(t)`, shape `(n, d)`, with the masses `mass(t)`."""
    return Snapshots(
        tuple(Population(_positions(cells, float(t)), float(t), mass=mass(float(t))) for t in times)
    )


def _positions(cells: Callable[[float], FloatArray], t: float) -> FloatArray:
    """Positions of the cells at a time.

    Raises
    ------
    InputError
        A time at which they are no numbers to compute with.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            x = cells(t)
    except OverflowError:
        x = np.full((1, 1), np.inf)
    if not (np.abs(x) <= LARGEST).all():
        msg = f"times: at {t:g}, positions are above {LARGEST:g} or overflow. Pass earlier times."
        raise InputError(msg)
    return x


def n_steps(time: float, dt: float, most: int = ROUNDS) -> int:
    """Number of steps of at most `dt`; a time that takes too many is refused."""
    if time / dt > most:
        msg = (
            f"Time {time:g} takes {time / dt:.3g} steps of {dt:g}; expected at most {most:,}, times"
            f" up to {most * dt:g}."
        )
        raise InputError(msg)
    return math.ceil(time / dt)


def diffused(
    drift: Callable[[FloatArray], FloatArray],
    x: FloatArray,
    t: float,
    sigma: float,
    largest: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Follow cells from time 0 to `t` by Euler-Maruyama, in steps of at most `largest`."""
    steps = n_steps(t, largest)
    for _ in range(steps):
        dt = t / steps
        x = x + drift(x) * dt + sigma * math.sqrt(dt) * rng.standard_normal(x.shape)
    return x


def normal_log_density(x: FloatArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
    """Log-density of a Gaussian with independent coordinates."""
    distance: FloatArray = (((x - mean) / sd) ** 2).sum(axis=1)
    return -0.5 * distance - float(np.log(sd).sum()) - 0.5 * len(sd) * math.log(2 * math.pi)


def rk4(rate: Callable[[FloatArray], FloatArray], x: FloatArray, dt: float) -> FloatArray:
    """State after one step of the classical Runge-Kutta method."""
    k1 = rate(x)
    k2 = rate(x + dt / 2 * k1)
    k3 = rate(x + dt / 2 * k2)
    k4 = rate(x + dt * k3)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

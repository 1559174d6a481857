"""Stochastic simulation: diffusions with the marginals of the fitted dynamics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from cellflow.core._deprecated import Renamed, accepts
from cellflow.core._numbers import as_array, as_number, shown
from cellflow.core._random import as_seed
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.errors import InputError, closest
from cellflow.simulation._noise import Key, normal_steps
from cellflow.simulation._solution import Rate, Solution, require_few_steps, shaped
from cellflow.simulation.ode import grid
from cellflow.simulation.trajectories import Trajectories

__all__ = ["Scheme", "integrate_sde"]

Scheme = Literal["heun", "euler-maruyama"]


@guarded
@accepts(seed=Renamed("random_state"))
def integrate_sde(
    drift: Callable[..., Tensor],
    x: FloatArray,
    t0: float,
    times: FloatArray,
    *,
    sigma: float,
    step: float,
    random_state: RandomState = 0,
    along: Mapping[str, Rate] | None = None,
    scheme: Scheme = "heun",
    keys: Sequence[Key] | np.ndarray | None = None,
    context: FloatArray | None = None,
    through: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Trajectories:
    r"""Trajectories that solve :math:`dX = f(t, X)\, dt + \sigma\, dW` to later or earlier times.

    Every cell has its own Brownian motion, given by the seed and the cell's key. Its path does not
    depend on the other cells, to the last bit.

    Parameters
    ----------
    drift
        Drift in the direction of the solution, `(t, x) -> (n, d)` with `t` a float64 scalar, or
        `(t, x, context)`.
    x
        States at `t0`, shape `(n, d)`.
    t0
        Time of the start.
    times
        Times to report, shape `(T,)`, in any order, all of them on one side of `t0`.
    sigma
        Diffusion per square root of time, in the coordinates of `x`.
    step
        Largest step, in units of time; every reported time is a step's end.
    random_state
        Seed of all Brownian motions.
    along
        Rates of quantities along the paths by name, `(t, x) -> (n,)` or `(t, x, context)`. Each is
        integrated from `t0` over the steps of its path by the trapezoidal rule; the states do not
        depend on them, to the last bit.
    scheme
        `"heun"`: the mean of the drifts at both ends of a step, of weak order two for a constant
        `sigma`; `"euler-maruyama"`: the drift at its start, of order one.
    keys
        Key of each cell's Brownian motion, `n` tuples of non-negative integers of one length, or an
        array `(n, m)` of them; `(0,), (1,), ...` by default.
    context
        Features of each cell, shape `(n, c)`.
    through
        Linear map of the noise, `(n, d) -> (n, d)`; the identity by default.
    device, dtype
        Where and in which precision states are computed.

    Returns
    -------
    `Trajectories` with `x` of shape `(T, n, d)` and `along` of shape `(T, n)` by name.

    Raises
    ------
    InputError
        A `sigma` or `step` that is not positive, an unknown scheme, times on both sides of `t0` or
        too far away.
    IntegrationError
        Where a state stops being finite.

    References
    ----------
    Kloeden and Platen, Numerical solution of stochastic differential equations, 1992, sections 10.2
    and 15.1.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(5, 2))
    >>> moved = cf.simulation.integrate_sde(lambda t, x: -x, x, 0.0, [1.0], sigma=0.5, step=0.1)
    >>> moved.x.shape
    (1, 5, 2)
    """
    if not (isinstance(scheme, str) and scheme in get_args(Scheme)):
        known = list(get_args(Scheme))
        msg = f"scheme={shown(scheme)} is not one of {known}{closest(scheme, known)}"
        raise InputError(msg)
    sigma = as_number(
        "sigma", sigma, above=0.0, remedy="; without diffusion, integrate the probability flow"
    )
    step = as_number("step", step, above=0.0, remedy=", in units of time")
    t0 = as_number("t0", t0)
    x = as_array("x", x, shape="(n, d)", least=1)
    times = np.atleast_1d(as_array("times", times)).astype(np.float64)
    keys = np.arange(len(x))[:, None] if keys is None else keys
    if len(keys) != len(x):
        msg = f"{len(keys)} keys for {len(x)} cells; expected one per cell."
        raise InputError(msg)
    ordered = _ordered(t0, times)
    require_few_steps(min(ordered), max(ordered), step)
    ends, stops = _ends(t0, ordered, step)
    seed = as_seed(random_state)
    rates = {} if along is None else dict(along)
    solution = Solution.unsolved(ordered, x.shape, list(rates), dtype)
    done = 0
    with torch.no_grad():
        for chunk, n in Rows.of(x, context).to(device, dtype).padded():
            noise = normal_steps(seed, keys[done : done + n], len(chunk), len(ends) - 1, x.shape[1])
            noise = noise if through is None else map(through, noise)
            bound = [chunk.bound(rate) for rate in rates.values()]
            field = chunk.bound(drift)
            states = march(field, chunk.x, t0, ends, noise, sigma=sigma, scheme=scheme, rates=bound)
            kept = [values for values, stop in zip(states, stops, strict=True) if stop]
            solution.put(done, n, [torch.stack(part) for part in zip(*kept, strict=True)])
            done += n
    solution.require_finite(t0, scheme, times)
    return solution.at(times)


def _ordered(t0: float, times: FloatArray) -> FloatArray:
    """Distinct times in the order in which they are reached, `t0` first."""
    distinct = np.unique(np.append(times, t0))
    if distinct[0] < t0 < distinct[-1]:
        msg = (
            f"Times {times.min():g} to {times.max():g} lie on both sides of the start, {t0:g};"
            " solve to each side separately."
        )
        raise InputError(msg)
    return distinct if distinct[0] == t0 else distinct[::-1].copy()


def _ends(t0: float, times: FloatArray, step: float) -> tuple[Tensor, list[bool]]:
    """Distances of the steps' ends from `t0`, and whether each is one of the times.

    With distances in place of times, rounding to float32 does not depend on the time of the start.
    """
    distances = torch.from_numpy(times - t0)
    ends = grid(distances, step) if len(distances) > 1 else distances
    return ends, torch.isin(ends, distances).tolist()


def march(
    drift: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    t0: float,
    ends: Tensor,
    noise: Iterator[Tensor],
    *,
    sigma: float,
    scheme: Scheme,
    rates: Sequence[Rate] = (),
) -> Iterator[tuple[Tensor, ...]]:
    """States at the ends of all steps, the start included, each with the integrals of the rates.

    Parameters
    ----------
    drift
        `(t, x) -> (n, d)`.
    x
        States at `t0`, shape `(n, d)`.
    ends
        Distances of the steps' ends from `t0`, shape `(k + 1,)`, the first one zero; negative
        backward in time.
    noise
        Standard normal numbers of each step, `k` of shape `(n, d)`.
    sigma, scheme
        See `integrate_sde`.
    rates
        `(t, x) -> (n,)` each.
    """

    def at(function: Rate, distance: float, y: Tensor, shape: torch.Size, name: str) -> Tensor:
        t = torch.as_tensor(t0 + distance, dtype=torch.float64, device=y.device)
        return shaped(function(t, y), shape, name)

    integrals = tuple(x.new_zeros(len(x)) for _ in rates)
    slopes = [at(rate, 0.0, x, x.shape[:1], "rate") for rate in rates]
    yield (x, *integrals)
    for a, b, z in zip(ends[:-1].tolist(), ends[1:].tolist(), noise, strict=True):
        shaken = x + sigma * abs(b - a) ** 0.5 * z.to(x)
        here = at(drift, a, x, x.shape, "drift")
        if scheme == "heun":
            there = at(drift, b, shaken + (b - a) * here, x.shape, "drift")
            here = 0.5 * (here + there)
        x = shaken + (b - a) * here
        after = [at(rate, b, x, x.shape[:1], "rate") for rate in rates]
        integrals = tuple(
            i + 0.5 * (b - a) * (s + e) for i, s, e in zip(integrals, slopes, after, strict=True)
        )
        slopes = after
        yield (x, *integrals)

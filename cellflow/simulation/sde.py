"""Stochastic simulation: diffusions with the marginals of the fitted dynamics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import as_array, as_number, shown
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, IntegrationError, closest
from cellflow.fields.base import Field, padded_chunks
from cellflow.simulation._noise import Key, normal_steps
from cellflow.simulation.ode import (
    bound,
    check_finite,
    grid,
    reported,
    require_few_steps,
    with_context,
)
from cellflow.simulation.trajectories import Trajectories

__all__ = ["Scheme", "integrate_sde"]

Scheme = Literal["heun", "euler-maruyama"]


@guarded
def integrate_sde(
    drift: Callable[..., Tensor],
    x: FloatArray,
    t0: float,
    times: FloatArray,
    *,
    sigma: float,
    step: float,
    seed: int,
    scheme: Scheme = "heun",
    keys: Sequence[Key] | None = None,
    context: FloatArray | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Trajectories:
    r"""Solve :math:`dX = f(t, X)\, dt + \sigma\, dW` from one time to later ones, or to earlier ones.

    Every cell has a Brownian motion of its own, found by the seed and its key, so that its path
    does not depend on the cells that are asked with it, to the last bit.

    Parameters
    ----------
    drift
        `(t, x) -> (n, d)`, with `t` a float64 scalar, or `(t, x, context)`: the one of the
        direction in which is integrated.
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
    seed
        Of all Brownian motions.
    scheme
        `"heun"`: the mean of the drifts at both ends of a step, of weak order two for a constant
        `sigma`; `"euler-maruyama"`: the drift at its start, of order one.
    keys
        Name of each cell's Brownian motion, `n` tuples of non-negative integers; `(0,), (1,), ...`
        by default.
    context
        Features of each cell, shape `(n, c)`.
    device, dtype
        Where and in which precision states are computed.

    Returns
    -------
    `Trajectories` with `x` of shape `(T, n, d)`.

    Raises
    ------
    InputError
        A `sigma` or `step` that is not positive, an unknown scheme, times on both sides of `t0` or
        too far away.
    IntegrationError
        Where a state stops being finite.

    References
    ----------
    Kloeden and Platen, Numerical solution of stochastic differential equations, 1992, sections 10.2 and 15.1.
    """
    if not (isinstance(scheme, str) and scheme in get_args(Scheme)):
        msg = (
            f"scheme={shown(scheme)} is not one of"
            f" {list(get_args(Scheme))}{closest(scheme, get_args(Scheme))}"
        )
        raise InputError(msg)
    sigma = as_number(
        "sigma", sigma, above=0.0, remedy="; without diffusion, integrate the probability flow"
    )
    step = as_number("step", step, above=0.0, remedy=", in units of time")
    t0 = as_number("t0", t0)
    x = as_array("x", x, shape="(n, d)", least=1)
    times = np.atleast_1d(as_array("times", times)).astype(np.float64)
    if (times < t0).any() and (times > t0).any():
        msg = (
            f"Times {times.min():g} to {times.max():g} lie on both sides of the start, {t0:g};"
            " integrate to each by itself."
        )
        raise InputError(msg)
    n, n_dims = np.shape(x)
    keys = [(k,) for k in range(n)] if keys is None else list(keys)
    if len(keys) != n:
        msg = f"{len(keys)} keys for {n} cells; expected one per cell."
        raise InputError(msg)
    distinct, position = np.unique(np.append(times, t0), return_inverse=True)
    forward = bool((times >= t0).all())
    ordered = distinct if forward else distinct[::-1]
    require_few_steps(distinct[0], distinct[-1], step)
    # Time is counted from t0, so that float32 states do not cost the clock its digits.
    ends = torch.from_numpy(ordered - t0)
    fine = grid(ends, step) if len(ends) > 1 else ends
    stops = torch.isin(fine, ends).numpy()

    parts = []
    first = 0
    with torch.no_grad():
        for rows, size in padded_chunks(with_context(x, context).to(dtype).to(device)):
            noise = normal_steps(seed, keys[first : first + size], len(rows), len(fine) - 1, n_dims)
            field = bound(drift, rows, n_dims)
            way = march(field, rows[:, :n_dims], t0, fine, noise, sigma=sigma, scheme=scheme)
            parts.append(
                torch.stack(
                    [state[:size].cpu() for state, kept in zip(way, stops, strict=True) if kept]
                )
            )
            first += size
    states = torch.cat(parts, dim=1)
    states = states if forward else states.flip(0)
    try:
        check_finite(states, distinct, t0, scheme)
    except IntegrationError as failure:
        failure.partial = reported(states, times, position[:-1])
        raise
    x_out = states.numpy()[position[:-1]]
    return Trajectories(times, x_out, np.zeros(x_out.shape[:2]), np.arange(n))


def march(
    drift: Field,
    x: Tensor,
    t0: float,
    ends: Tensor,
    noise: Iterator[Tensor],
    *,
    sigma: float,
    scheme: Scheme,
) -> Iterator[Tensor]:
    """States at the ends of all steps, the start included.

    Parameters
    ----------
    drift
        `(t, x) -> (n, d)`.
    x
        States at `t0`, shape `(n, d)`.
    ends
        Distance of the step's ends from `t0`, shape `(k + 1,)`, the first one zero; negative
        backward in time.
    noise
        Standard normal numbers of each step, `k` of shape `(n, d)`.
    """
    yield x
    for a, b, z in zip(ends[:-1].tolist(), ends[1:].tolist(), noise, strict=True):
        shaken = x + sigma * abs(b - a) ** 0.5 * z.to(x)
        here = drift(torch.as_tensor(t0 + a, dtype=torch.float64, device=x.device), x)
        if scheme == "heun":
            there = drift(
                torch.as_tensor(t0 + b, dtype=torch.float64, device=x.device),
                shaken + (b - a) * here,
            )
            here = 0.5 * (here + there)
        x = shaken + (b - a) * here
        yield x

"""Densities along a flow, by the instantaneous change of variables, solved with the states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import as_array, as_number
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, IntegrationError
from cellflow.simulation._solution import System
from cellflow.simulation.divergence import Divergence, chosen, density_system
from cellflow.simulation.ode import Solver
from cellflow.simulation.trajectories import Trajectories

__all__ = ["log_likelihood", "push_with_log_prob"]

#: Rows of a chunk: a backward pass for each dimension makes a row expensive, and a chunk is filled
#: up for a few cells too.
_CHUNK = 256


@guarded
def log_likelihood(
    field: Callable[..., Tensor],
    x: FloatArray,
    t: float,
    t0: float,
    log_prob0: Callable[[FloatArray], FloatArray],
    *,
    step: float,
    divergence: Divergence | None = None,
    context: FloatArray | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    spread: float | None = None,
) -> FloatArray:
    r"""Log-density at one time of a population that a flow has moved there from another time.

    .. math:: \log p_t(x) = \log p_{t_0}\big(x(t_0)\big)
              - \int_{t_0}^{t} \nabla \cdot f\big(s, x(s)\big)\, ds

    where :math:`x(s)` solves :math:`\dot x = f(s, x)` through :math:`x` at :math:`t`. States and
    integral are solved together.

    Parameters
    ----------
    field
        `(t, x) -> (n, d)`, with `t` a float64 scalar, or `(t, x, context)`; differentiable in `x`.
    x
        States at `t`, shape `(n, d)`.
    t
        Their time, before or after `t0`.
    t0
        Time at which the density is known.
    log_prob0
        `(n, d) -> (n,)`, that density in nats.
    step
        Largest step of the solver (fourth-order Runge-Kutta, as `integrate`), in units of time.
    divergence
        `Exact()` or `Hutchinson()`; by default exact up to 100 dimensions.
    context
        Features of each cell, shape `(n, c)`, with which the field is called as `(t, x, context)`;
        they do not change.
    device, dtype
        Where and in which precision states and integral are computed.
    spread
        Of the data, see `cellflow.simulation.integrate`.

    Returns
    -------
    Nats, shape `(n,)`, float64. A cell's value does not depend on the other cells, up to rounding
    of float32: on some processors, a backward pass rounds a row by its position.

    Raises
    ------
    InputError
        Times that are not finite or more than 10,000 steps apart; a field or a density that does
        not fit.
    IntegrationError
        Where a state or a density stops being finite.

    Warns
    -----
    IntegrationWarning
        When halving the step moves a cell by more than a hundredth of the spread, or its
        log-density by 0.05.

    References
    ----------
    Chen et al. Neural ordinary differential equations. NeurIPS 2018.
    https://arxiv.org/abs/1806.07366

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(5, 2))
    >>> def normal(x):
    ...     return -0.5 * (x**2).sum(axis=1) - np.log(2 * np.pi)
    >>> log_p = cf.simulation.log_likelihood(lambda t, x: -x, x, 1.0, 0.0, normal, step=0.1)
    >>> bool(np.allclose(log_p, normal(x * np.e) + 2.0, atol=1e-4))
    True
    """
    t = as_number("t", t)
    solved = _solved(
        field, x, t, [as_number("t0", t0)], step, divergence, context, device, dtype, spread
    )
    # The integral ran from t to t0, against the formula's direction.
    log_p0 = _known("log_prob0(x(t0))", log_prob0(solved.x[0]), len(x))
    return np.asarray(log_p0 - solved.along["log_density"][0])


@guarded
def push_with_log_prob(
    field: Callable[..., Tensor],
    x0: FloatArray,
    log_p0: FloatArray,
    t0: float,
    times: FloatArray,
    *,
    step: float,
    divergence: Divergence | None = None,
    context: FloatArray | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    spread: float | None = None,
) -> tuple[Trajectories, FloatArray]:
    """Trajectories of cells, and the log-density of the population along them.

    Parameters
    ----------
    field
        `(t, x) -> (n, d)`, with `t` a float64 scalar, or `(t, x, context)`; differentiable in `x`.
    x0
        States at `t0`, shape `(n, d)`.
    log_p0
        Log-density of the population at `t0` in these states, nats, shape `(n,)`.
    t0
        Time of the start.
    times
        Times to report, shape `(T,)`, in any order, repeats allowed.
    step, divergence, context, device, dtype, spread
        See `log_likelihood`.

    Returns
    -------
    `Trajectories` with `x` of shape `(T, n, d)`, whose `along["log_density"]` is the change of the
    log-density since `t0`; and the log-densities, `(T, n)`, float64.

    Raises
    ------
    InputError, IntegrationError
        See `log_likelihood`.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(5, 2))
    >>> log_p0 = -0.5 * (x**2).sum(axis=1) - np.log(2 * np.pi)
    >>> moved, log_p = cf.simulation.push_with_log_prob(
    ...     lambda t, x: -x, x, log_p0, 0.0, [1.0], step=0.1
    ... )
    >>> bool(np.allclose(log_p[0], log_p0 + 2.0, atol=1e-5))
    True
    """
    known = _known("log_p0", log_p0, len(x0))
    moved = _solved(field, x0, t0, times, step, divergence, context, device, dtype, spread)
    return moved, known + moved.along["log_density"]


def _solved(
    field: Callable[..., Tensor],
    x: FloatArray,
    t0: float,
    times: FloatArray | list[float],
    step: float,
    divergence: Divergence | None,
    context: FloatArray | None,
    device: torch.device | str,
    dtype: torch.dtype,
    spread: float | None,
) -> Trajectories:
    """Trajectories with the change of the log-density along them since `t0`."""
    x = as_array("x", x, shape="(n, d)")
    if x.shape[1] == 0:
        msg = f"x has shape {x.shape}; expected (n, d)."
        raise InputError(msg)
    if divergence is None:
        divergence = chosen(x.shape[1])

    def system(chunk: Rows) -> System:
        return density_system(chunk.bound(field), divergence.probes(chunk.x))

    rows = Rows.of(x, context).to(device, dtype)
    return Solver(step).solve(
        system, rows, t0, np.asarray(times), names=["log_density"], spread=spread, size=_CHUNK
    )


def _known(name: str, log_prob: FloatArray, n: int) -> FloatArray:
    """Log-densities as `(n,)` float64; minus infinity is one."""
    log_prob = np.asarray(log_prob, dtype=np.float64)
    if log_prob.shape != (n,):
        msg = f"{name} has shape {log_prob.shape}; expected ({n},), a log-density per cell."
        raise InputError(msg)
    bad = np.flatnonzero(np.isnan(log_prob) | (log_prob == np.inf))
    if len(bad):
        msg = (
            f"has {name}={log_prob[bad[0]]} ({len(bad)} cells in all); expected log-densities in"
            " nats."
        )
        raise IntegrationError(msg, cell=int(bad[0]))
    return log_prob

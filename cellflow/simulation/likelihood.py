"""Densities carried along a flow: the instantaneous change of variables, solved together with the states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import ROUNDS, as_count, as_number
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core._warn import warn
from cellflow.errors import InputError, IntegrationError, IntegrationWarning
from cellflow.fields.base import Field, padded_chunks
from cellflow.simulation.ode import (
    _both_ways,
    bound,
    check_finite,
    reported,
    require_few_steps,
    smaller_step,
    spread_of,
    with_context,
)
from cellflow.simulation.trajectories import Trajectories

__all__ = ["Divergence", "Exact", "Hutchinson", "log_likelihood", "push_with_log_prob"]

#: Rows per solve: a backward pass for each dimension makes a row dear, and a chunk is filled up for
#: a handful of cells too.
_CHUNK = 256
#: Above this many dimensions the trace is estimated by default.
_EXACT_DIMS = 100
#: Cells that are integrated again with half the step; from these differences, relative and in nats,
#: a warning is due.
_CHECKED = 128
_COARSE = 1e-2
_COARSE_NATS = 5e-2


class Divergence(Protocol):
    """How the trace of a Jacobian `J` is taken: as the sum of `e J e` over probe vectors `e`."""

    def probes(self, x: Tensor) -> Tensor:
        """Vectors for each row of `x (n, d)`, shape `(k, n, d)`; a row's vectors depend on that row only."""


@dataclass(frozen=True)
class Exact:
    """The divergence itself, by one backward pass through the field for each dimension."""

    def probes(self, x: Tensor) -> Tensor:
        """Unit vectors, shape `(d, n, d)`."""
        return torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[:, None].expand(-1, *x.shape)


@dataclass(frozen=True)
class Hutchinson:
    r"""An unbiased estimate of the divergence: the mean of :math:`\epsilon^\top J \epsilon` over random signs.

    The signs of a cell are drawn from a generator keyed by its position at the start. So they stay
    the same all along a solve, which leaves the integrand smooth, and do not depend on the cells
    that are asked with it.

    Parameters
    ----------
    n_probes
        Backward passes per evaluation; the variance falls as one over their number.
    seed
        Of the signs.

    References
    ----------
    Grathwohl et al. FFJORD: free-form continuous dynamics for scalable reversible generative models. ICLR 2019.
    https://arxiv.org/abs/1810.01367
    """

    n_probes: int = 10
    seed: RandomState = 0

    def __post_init__(self) -> None:
        as_count("n_probes", self.n_probes, most=ROUNDS)
        object.__setattr__(self, "seed", as_seed(self.seed))

    def probes(self, x: Tensor) -> Tensor:
        """Signs over the root of their number, shape `(n_probes, n, d)`."""
        bits = np.ascontiguousarray(x.detach().cpu().numpy()).view(np.uint32)
        # A chunk that was filled up repeats one row many times.
        keys, row = np.unique(bits, axis=0, return_inverse=True)
        drawn = [
            stream(as_seed(self.seed), *key).integers(2, size=(self.n_probes, x.shape[1]))
            for key in keys.tolist()
        ]
        signs = 2.0 * np.stack(drawn, axis=1)[:, row.reshape(-1)] - 1.0
        return torch.from_numpy(signs / np.sqrt(self.n_probes)).to(x)


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
    r"""Log-density at one time of a population that a flow has carried there from another.

    .. math:: \log p_t(x) = \log p_{t_0}\big(x(t_0)\big) - \int_{t_0}^{t} \nabla \cdot f\big(s, x(s)\big)\, ds

    where :math:`x(s)` solves :math:`\dot x = f(s, x)` through :math:`x` at :math:`t`; states and
    integral are one system.

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
        Where and in which precision is computed.
    spread
        Of the data, see `cellflow.simulation.integrate`.

    Returns
    -------
    Nats, shape `(n,)`, float64. A cell's value does not depend on the cells that are asked with it, up to rounding of float32:
    on some processors, a backward pass rounds a row by its position.

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
    Chen et al. Neural ordinary differential equations. NeurIPS 2018. https://arxiv.org/abs/1806.07366
    """
    solved = _solve(field, x, t, [t0], step, divergence, context, device, dtype, spread)
    # The integral ran from t to t0, against the formula's direction.
    log_p: FloatArray = (
        _known("log_prob0(x(t0))", log_prob0(solved.x[0]), len(solved.x[0])) + solved.integral[0]
    )
    return log_p


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
    """Move cells, and the log-density at them, from one time to any others.

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
    `Trajectories` with `x` of shape `(T, n, d)`, and the log-densities there, `(T, n)`, float64.

    Raises
    ------
    InputError, IntegrationError
        See `log_likelihood`.
    """
    known = _known("log_p0", log_p0, len(x0))
    solved = _solve(field, x0, t0, times, step, divergence, context, device, dtype, spread)
    moved = Trajectories(
        solved.times, solved.x, np.zeros(solved.integral.shape), np.arange(len(known)), solved.error
    )
    return moved, known - solved.integral


@dataclass(frozen=True, eq=False)
class _Solved:
    """States `(T, n, d)`, integrals of the divergence from the start `(T, n)`, and the relative error of the step."""

    times: FloatArray
    x: FloatArray
    integral: FloatArray
    error: float


def _solve(
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
) -> _Solved:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] == 0:
        msg = f"States have shape {x.shape}; expected (n, d)."
        raise InputError(msg)
    t0 = as_number("start", t0)
    step = as_number("step", step, above=0.0, remedy=", in units of time")
    times = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if not np.isfinite(times).all():
        msg = f"Times must be finite; found {times[~np.isfinite(times)].tolist()} (start {t0:g})."
        raise InputError(msg)
    distinct, position = np.unique(times, return_inverse=True)
    if len(distinct):
        require_few_steps(min(t0, distinct[0]), max(t0, distinct[-1]), step)
    if divergence is None:
        divergence = Exact() if x.shape[1] <= _EXACT_DIMS else Hutchinson()
    start = with_context(x, context).to(dtype)
    n_dims = x.shape[1]

    def solve(rows: Tensor, largest: float) -> Tensor:
        rows = rows.to(device)
        chunk = rows[:, :n_dims]
        augmented = _augmented(bound(field, rows, n_dims), divergence.probes(chunk))
        began = torch.cat([chunk, torch.zeros_like(chunk[:, :1])], dim=1)
        return _both_ways(augmented, began, t0, distinct, largest, "rk4", {}).cpu()

    with torch.no_grad():
        parts = (
            [solve(chunk, step)[:, :n] for chunk, n in padded_chunks(start, _CHUNK)]
            if len(start)
            else []
        )
        solved = torch.cat(
            [torch.empty(len(distinct), 0, x.shape[1] + 1, dtype=dtype), *parts], dim=1
        )
        try:
            check_finite(solved, distinct, t0, "rk4")
        except IntegrationError as failure:
            failure.partial = reported(solved[..., :-1], times, position)
            raise
        error = 0.0
        if solved.numel():
            checked = torch.linspace(0, len(start) - 1, min(_CHECKED, len(start))).round().long()
            # The last bit does not matter here, so these few are not filled up to a chunk.
            finer = solve(start[checked], 0.5 * step)
            size = spread_of(start[:, :n_dims], solved[..., :-1]) if spread is None else spread
            error = float((solved[:, checked, :-1] - finer[..., :-1]).norm(dim=2).max()) / size
            nats = float((solved[:, checked, -1] - finer[..., -1]).abs().max())
            _warn_if_coarse(error, nats, step, t0, distinct)
    values = solved.double().numpy()[position]
    return _Solved(times, values[..., :-1], values[..., -1], error)


def _augmented(field: Field, probes: Tensor) -> Field:
    """The field with its divergence as one more column, for the rows that the probes `(k, n, d)` belong to."""

    def augmented(t: Tensor, x: Tensor) -> Tensor:
        with torch.enable_grad():
            state = x[:, :-1].detach().requires_grad_()
            velocity = field(t, state)
            if velocity.shape != state.shape:
                msg = (
                    f"The field returned shape {tuple(velocity.shape)} for states"
                    f" {tuple(state.shape)}; expected the same."
                )
                raise InputError(msg)
            rows = _products(velocity, state, probes)
            trace = sum(
                ((row * probe).sum(dim=1) for row, probe in rows),
                start=torch.zeros_like(state[:, 0]),
            )
        return torch.cat([velocity.detach(), trace[:, None]], dim=1)

    return augmented


def _products(velocity: Tensor, state: Tensor, probes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each probe multiplied by the Jacobian from the left, with the probe."""
    for k, probe in enumerate(probes):
        keep = k < len(probes) - 1
        row = None
        if velocity.requires_grad:
            (row,) = torch.autograd.grad(
                velocity, state, probe, retain_graph=keep, allow_unused=True
            )
        if row is None:
            msg = (
                "The field's value is not connected to the state by autograd, so its divergence is"
                " unknown. Compute it with torch, outside torch.no_grad(); a field that is constant"
                " in x may add 0 * x."
            )
            raise InputError(msg)
        yield row, probe


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


def _warn_if_coarse(error: float, nats: float, step: float, t0: float, times: FloatArray) -> None:
    if error > _COARSE or nats > _COARSE_NATS:
        msg = (
            f"Halving the step of {step:.3g} moves a cell by {error:.1%} of the spread of the"
            f" cells, and its log-density by {nats:.2g}, on the way from time {t0:g} to"
            f" {times.tolist()[:: max(1, len(times) - 1)]}. {smaller_step()}"
        )
        warn(msg, IntegrationWarning)

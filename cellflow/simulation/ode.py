"""Deterministic simulation; the only importer of torchdiffeq."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
import torchdiffeq
from torch import Tensor

from cellflow.core._numbers import as_array, as_number, shown
from cellflow.core._settings import guarded, offers
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.errors import InputError, IntegrationError, IntegrationWarning, closest
from cellflow.fields.base import Field, padded_chunks
from cellflow.simulation.trajectories import Trajectories

__all__ = [
    "Method",
    "bound",
    "check_finite",
    "grid",
    "integrate",
    "reported",
    "require_few_steps",
    "smaller_step",
    "spread_of",
    "with_context",
]

Method = Literal["rk4", "midpoint", "euler", "dopri5"]

#: Cells that are integrated again with half the step, and the relative difference from which a
#: warning is due.
_CHECKED = 128
_COARSE = 1e-2
#: More steps than this are a mistake: a time in another unit, or a step in one.
_MAX_STEPS = 10_000


@guarded
def integrate(
    field: Callable[..., Tensor],
    x: FloatArray,
    t0: float,
    times: FloatArray,
    *,
    step: float,
    method: Method = "rk4",
    rtol: float = 1e-5,
    atol: float = 1e-6,
    context: FloatArray | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    spread: float | None = None,
) -> Trajectories:
    r"""Solve :math:`\dot x = f(t, x)` from one time to any others, before or after it.

    With a fixed-step method, a cell's result does not depend on the cells that are asked with it,
    to the last bit. The error is estimated by halving the step on up to 128 cells.

    Parameters
    ----------
    field
        `(t, x) -> (n, d)`, with `t` a float64 scalar; or `(t, x, context)`.
    x
        States at `t0`, shape `(n, d)`.
    t0
        Time of the start.
    times
        Times to report, shape `(T,)`, in any order, repeats allowed.
    step
        Largest step of the fixed-step methods, in units of time; every reported time is a step's
        end.
    method
        `"rk4"` (the 3/8 rule), `"midpoint"` and `"euler"` take fixed steps; `"dopri5"` adapts its
        steps to `rtol` and `atol`, which makes a result depend on the cells of its chunk.
    context
        Features of each cell, shape `(n, c)`, with which the field is called as `(t, x, context)`;
        they do not change.
    device, dtype
        Where and in which precision states are computed.
    spread
        Root mean square distance of the data from their mean, in the coordinates of `x`: what the
        error is relative to. By default that of all states, the start included.

    Returns
    -------
    `Trajectories` with `x` of shape `(T, n, d)` and its `error`.

    Raises
    ------
    InputError
        An unknown method, times that are not finite, or so far away that it would take more than
        10,000 fixed steps.
    IntegrationError
        Where a state stops being finite: names the time, the cell and a remedy, and has the
        `partial` trajectories.

    Warns
    -----
    IntegrationWarning
        When halving the step moves a cell by more than a hundredth of the spread.
    """
    if not (isinstance(method, str) and method in get_args(Method)):
        msg = (
            f"method={shown(method)} is not one of"
            f" {list(get_args(Method))}{closest(method, get_args(Method))}"
        )
        raise InputError(msg)
    step = as_number("step", step, above=0.0, remedy=", in units of time")
    t0 = as_number("t0", t0)
    x = as_array("x", x, shape="(n, d)", least=1)
    times = np.atleast_1d(as_array("times", times)).astype(np.float64)
    distinct, position = np.unique(times, return_inverse=True)
    if method != "dopri5" and len(distinct):
        require_few_steps(min(t0, distinct[0]), max(t0, distinct[-1]), step)
    start = with_context(x, context).to(dtype)
    n_dims = np.shape(x)[1]

    def solve(cells: Tensor, largest: float) -> Tensor:
        options = {"rtol": rtol, "atol": atol} if method == "dopri5" else {}
        states = torch.full((len(distinct), len(cells), n_dims), torch.nan, dtype=dtype)
        done = 0
        for chunk, n in padded_chunks(cells.to(device)):
            rows = bound(field, chunk, n_dims)
            try:
                found = _both_ways(rows, chunk[:, :n_dims], t0, distinct, largest, method, options)
            except IntegrationError as failure:
                failure.partial = reported(states, times, position)
                raise
            states[:, done : done + n] = found[:, :n].cpu()
            done += n
        return states

    with torch.no_grad():
        states = solve(start, step)
        try:
            check_finite(states, distinct, t0, method)
        except IntegrationError as failure:
            failure.partial = reported(states, times, position)
            raise
        error = None
        if method != "dopri5" and states.numel():
            checked = torch.linspace(0, len(start) - 1, min(_CHECKED, len(start))).round().long()
            finer = solve(start[checked], 0.5 * step)
            size = spread_of(start[:, :n_dims], states) if spread is None else spread
            error = float((states[:, checked] - finer).norm(dim=2).max()) / size
    if error is not None and error > _COARSE:
        msg = (
            f"Halving the step of {step:.3g} moves a cell by {error:.1%} of the spread of the cells"
            f" on the way from time {t0:g} to {distinct.tolist()[:: max(1, len(distinct) - 1)]}."
            f" {smaller_step()}"
        )
        warn(msg, IntegrationWarning)
    return replace(reported(states, times, position), error=error)


def reported(states: Tensor, times: FloatArray, position: IntArray) -> Trajectories:
    """States `(T, n, d)` at distinct times as trajectories at all `times`; NaN for a state that is not finite."""
    finite = torch.isfinite(states).all(dim=2, keepdim=True)
    x = torch.where(finite, states, torch.nan).numpy()[position]
    return Trajectories(times, x, np.zeros(x.shape[:2]), np.arange(x.shape[1]))


def smaller_step() -> str:
    """What to do about a step that is too coarse, as far as the call that the user made offers it."""
    if offers("step", "method", "times"):
        return "Pass a smaller `step`, or method='dopri5'."
    if offers("step"):
        return "Pass a smaller `step`."
    return "The field changes too fast there: ask for times nearer to the data, or train longer."


def with_context(x: FloatArray, context: FloatArray | None) -> Tensor:
    """States `(n, d)` and their features `(n, c)` side by side, float64, so that chunks keep both together."""
    x = np.array(x, dtype=np.float64)
    if context is None:
        return torch.from_numpy(x)
    if np.ndim(context) != 2 or len(context) != len(x):
        msg = (
            f"context has shape {np.shape(context)}; expected one row of features per cell"
            f" ({len(x)})."
        )
        raise InputError(msg)
    return torch.from_numpy(np.column_stack([x, context]))


def bound(field: Callable[..., Tensor], rows: Tensor, n_dims: int) -> Field:
    """The field of `(t, x)` alone, with the features behind the states of `rows` (see `with_context`) fixed."""
    more = () if rows.shape[1] == n_dims else (rows[:, n_dims:],)

    def checked(t: Tensor, x: Tensor) -> Tensor:
        found = field(t, x, *more)
        if found.shape != x.shape:  # one column would be added to all
            msg = (
                f"The field returned shape {tuple(found.shape)} for states of shape"
                f" {tuple(x.shape)}; expected the same shape."
            )
            raise InputError(msg)
        return found

    return checked


def require_few_steps(first: float, last: float, step: float) -> None:
    """Make sure that a way in fixed steps has an end in sight: a time in another unit would take for ever.

    Raises
    ------
    InputError
        More than 10,000 steps.
    """
    if (last - first) / step > _MAX_STEPS:
        remedy = ", or pass a larger `step`" if offers("step") else ""
        msg = (
            f"From time {first:g} to time {last:g} it takes {(last - first) / step:,.0f} steps of"
            f" {step:.3g}; the limit is {_MAX_STEPS:,}. Check the unit of the time asked"
            f" for{remedy}."
        )
        raise InputError(msg)


def _both_ways(
    field: Field,
    x: Tensor,
    t0: float,
    times: FloatArray,
    step: float,
    method: Method,
    tolerances: dict[str, float],
) -> Tensor:
    """States `(T, n, d)` at increasing `times`, solving backward and forward from `t0`."""
    out = x.new_empty((len(times), *x.shape))
    options: dict[str, Any]
    out[times == t0] = x
    for side in (np.flatnonzero(times < t0)[::-1], np.flatnonzero(times > t0)):
        if len(side):
            # Time is integrated as the distance from t0, so that float32 states do not cost the
            # clock its digits.
            reached = torch.from_numpy(np.concatenate([[0.0], times[side] - t0])).to(x.device)
            fixed = {"grid_constructor": lambda _f, _y, t: grid(t, step)}
            options = {"max_num_steps": _MAX_STEPS} if tolerances else fixed
            try:
                states = torchdiffeq.odeint(
                    lambda s, y: field(s.double() + t0, y),
                    x,
                    reached,
                    method=method,
                    options=options,
                    **tolerances,
                )
            except AssertionError as failure:
                remedy = ", or loosen `rtol` and `atol`" if offers("rtol", "atol") else ""
                msg = (
                    f"{method} could not go on between time {t0:g} and {times[side[-1]]:g} within"
                    f" {_MAX_STEPS:,} steps ({failure}). Use method='rk4' with a `step`{remedy}."
                )
                raise IntegrationError(msg) from failure
            out[torch.from_numpy(side.copy())] = states[1:]
    return out


def grid(t: Tensor, step: float) -> Tensor:
    """Every reported time, and between two of them equal steps that are no longer than `step`."""
    pieces = [t[:1]]
    for a, b in zip(t[:-1].tolist(), t[1:].tolist(), strict=True):
        n = max(1, int(np.ceil(abs(b - a) / step - 1e-9)))
        inner = a + (b - a) * np.arange(1, n + 1) / n
        inner[-1] = b
        pieces.append(torch.from_numpy(inner).to(t))
    return torch.cat(pieces)


def check_finite(states: Tensor, times: FloatArray, t0: float, method: str) -> None:
    """Raise for the first state of `(T, n, d)` that stops being finite."""
    bad = torch.nonzero(~torch.isfinite(states).all(dim=2))
    if len(bad):
        # The time nearest to the start is where it went wrong first.
        k, cell = bad[np.argmin(np.abs(times[bad[:, 0].numpy()] - t0))].tolist()
        smaller = ", pass a smaller `step`" if offers("step") else ""
        msg = (
            f"stops being finite between time {t0:g} and {times[k]:g} ({method}). "
            f"Ask for times nearer to the data{smaller}, or train longer."
        )
        raise IntegrationError(msg, cell=cell, time=float(times[k]))


def spread_of(start: Tensor, states: Tensor) -> float:
    """Root mean square distance of starts `(n, d)` and states `(T, n, d)` from the mean of the starts.

    At least what rounding makes of states far from zero, so that cells that stay at one place have
    a size too.
    """
    every = torch.cat([start[None].to(states), states]).double()
    distance = (every - every[0].mean(dim=0)).square().sum(dim=2).mean().sqrt()
    rounding = torch.finfo(states.dtype).eps ** 0.5 * every.abs().max()
    return float(torch.maximum(distance, rounding)) or 1.0

"""Deterministic simulation; the only importer of torchdiffeq."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
import torchdiffeq
from torch import Tensor

from cellflow.core._numbers import as_array, as_number, shown
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded, offers
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, IntegrationError, closest
from cellflow.simulation import _solution
from cellflow.simulation._solution import Rate, Solution, System, require_few_steps, shaped
from cellflow.simulation.trajectories import Trajectories

__all__ = ["Method", "Solver", "grid", "integrate"]

Method = Literal["rk4", "midpoint", "euler", "dopri5"]

#: Cells that are solved again with half the step.
_CHECKED = 128
#: Their number is filled up to a multiple of this: one shape for few cells, at a small cost.
_CHECKED_WIDTH = 32


@guarded
def integrate(
    field: Callable[..., Tensor],
    x: FloatArray,
    t0: float,
    times: FloatArray,
    *,
    step: float,
    along: Mapping[str, Rate] | None = None,
    method: Method = "rk4",
    rtol: float = 1e-5,
    atol: float = 1e-6,
    context: FloatArray | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    spread: float | None = None,
) -> Trajectories:
    r"""Trajectories that solve :math:`\dot x = f(t, x)` from one time to any others.

    With a fixed-step method, a cell's result does not depend on the other cells, to the last bit.
    The error is estimated by halving the step on up to 128 cells.

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
    along
        Rates of quantities along the paths by name, `(t, x) -> (n,)` or `(t, x, context)`. Each is
        integrated from `t0` in the same solution. With a fixed-step method the states do not depend
        on them, to the last bit; `"dopri5"` keeps its tolerances for them too.
    method
        `"rk4"` (the 3/8 rule), `"midpoint"` and `"euler"` take fixed steps; `"dopri5"` adapts its
        steps to `rtol` and `atol`, so that a result depends on the cells of its chunk.
    context
        Features of each cell, shape `(n, c)`, with which the field is called as `(t, x, context)`;
        they do not change.
    device, dtype
        Where and in which precision states are computed.
    spread
        Root mean square distance of the data from their mean, in the coordinates of `x`; the error
        is relative to it. By default that of all states, the start included.

    Returns
    -------
    `Trajectories` with `x` of shape `(T, n, d)`, `along` of shape `(T, n)` by name, and `error`.

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
        When halving the step moves a cell by more than a hundredth of the spread, a quantity whose
        name starts with `log_` by 0.05, or another by a hundredth of its largest value.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(5, 2))
    >>> moved = cf.simulation.integrate(lambda t, x: -x, x, 0.0, [1.0], step=0.1)
    >>> bool(np.allclose(moved.x[0], x * np.exp(-1.0), atol=1e-5))
    True
    """
    if not (isinstance(method, str) and method in get_args(Method)):
        known = list(get_args(Method))
        msg = f"method={shown(method)} is not one of {known}{closest(method, known)}"
        raise InputError(msg)
    x = as_array("x", x, shape="(n, d)", least=1)
    rates = {} if along is None else dict(along)

    def system(chunk: Rows) -> System:
        velocity = chunk.bound(field)
        bound = {name: chunk.bound(rate) for name, rate in rates.items()}
        return lambda t, y: (
            shaped(velocity(t, y), y.shape, "field"),
            *(shaped(rate(t, y), y.shape[:1], name) for name, rate in bound.items()),
        )

    solver = Solver(step, method, rtol, atol)
    rows = Rows.of(x, context).to(device, dtype)
    return solver.solve(system, rows, t0, times, names=list(rates), spread=spread)


@dataclass(frozen=True)
class Solver:
    """How states and quantities along them are solved together.

    Parameters
    ----------
    step, method, rtol, atol
        See `integrate`.
    """

    step: float
    method: Method = "rk4"
    rtol: float = 1e-5
    atol: float = 1e-6

    def __post_init__(self) -> None:
        as_number("step", self.step, above=0.0, remedy=", in units of time")

    def solve(
        self,
        system: Callable[[Rows], System],
        rows: Rows,
        t0: float,
        times: FloatArray,
        *,
        names: Sequence[str] = (),
        spread: float | None = None,
        size: int | None = None,
    ) -> Trajectories:
        """Solve a system from one time to others.

        Parameters
        ----------
        system
            Makes the right-hand side for a chunk of cells: velocity and rates at `(t, x)`.
        rows
            States at `t0`, with features.
        t0, times
            As of `integrate`.
        names
            Of the quantities, in the order of the rates.
        spread
            As of `integrate`.
        size
            Rows of a chunk.
        """
        t0 = as_number("t0", t0)
        times = np.atleast_1d(as_array("times", times)).astype(np.float64)
        distinct = np.unique(times)
        adaptive = self.method == "dopri5"
        if not adaptive and len(distinct):
            require_few_steps(min(t0, distinct[0]), max(t0, distinct[-1]), self.step)

        def solved(part: Rows, solver: Solver, width: int | None) -> Solution:
            solution = Solution.unsolved(distinct, part.x.shape, names, part.x.dtype)
            done = 0
            for chunk, n in part.padded(*() if width is None else (width,)):
                try:
                    solution.put(
                        done, n, solver._both_ways(system(chunk), chunk.x, t0, distinct, names)
                    )
                except IntegrationError as failure:
                    failure.partial = solution.at(times)
                    raise
                done += n
            return solution

        with torch.no_grad():
            solution = solved(rows, self, size)
            solution.require_finite(t0, self.method, times)
            error = None
            if not adaptive and solution.x.numel():
                some = torch.linspace(0, len(rows) - 1, min(_CHECKED, len(rows))).round().long()
                width = -(-len(some) // _CHECKED_WIDTH) * _CHECKED_WIDTH
                finer = solved(rows[some], replace(self, step=0.5 * self.step), width)
                scale = solution.spread(rows.x) if spread is None else spread
                error = solution.error(finer, some, scale, step=self.step, t0=t0)
        return replace(solution.at(times), error=error)

    def _both_ways(
        self, system: System, x: Tensor, t0: float, times: FloatArray, names: Sequence[str]
    ) -> tuple[Tensor, ...]:
        """States `(T, n, d)` and quantities `(T, n)` at increasing `times` around `t0`."""
        start = (x, *(x.new_zeros(len(x)) for _ in names))
        out = tuple(part.new_empty((len(times), *part.shape)) for part in start)
        for place, part in zip(out, start, strict=True):
            place[times == t0] = part
        for side in (np.flatnonzero(times < t0)[::-1], np.flatnonzero(times > t0)):
            if len(side):
                # torchdiffeq rounds times to the precision of the states: distances from t0 keep
                # their digits.
                reached = torch.from_numpy(np.concatenate([[0.0], times[side] - t0])).to(x.device)
                solved = self.one_way(system, start, t0, reached)
                for place, part in zip(out, solved, strict=True):
                    place[torch.from_numpy(side.copy())] = part[1:]
        return out

    def one_way(
        self, system: System, start: tuple[Tensor, ...], t0: float, distances: Tensor
    ) -> tuple[Tensor, ...]:
        """States and quantities at distances from `t0`, the first of them zero."""
        limit = _solution.MAX_STEPS
        options: dict[str, Any] = {
            "options": {"grid_constructor": lambda _f, _y, t: grid(t, self.step)}
        }
        if self.method == "dopri5":
            options = {"options": {"max_num_steps": limit}, "rtol": self.rtol, "atol": self.atol}
        try:
            solved: tuple[Tensor, ...] = torchdiffeq.odeint(
                lambda s, y: system(s.double() + t0, y[0]),
                start,
                distances,
                method=self.method,
                **options,
            )
        except AssertionError as failure:
            remedy = ", or loosen `rtol` and `atol`" if offers("rtol", "atol") else ""
            msg = (
                f"{self.method} could not go on between time {t0:g} and"
                f" {t0 + float(distances[-1]):g} within {limit:,} steps ({failure}). Use"
                f" method='rk4' with a `step`{remedy}."
            )
            raise IntegrationError(msg) from failure
        return solved


def grid(t: Tensor, step: float) -> Tensor:
    """Ends of steps: every reported time, and equal steps of at most `step` between two of them."""
    pieces = [t[:1]]
    for a, b in zip(t[:-1].tolist(), t[1:].tolist(), strict=True):
        n = max(1, int(np.ceil(abs(b - a) / step - 1e-9)))
        inner = a + (b - a) * np.arange(1, n + 1) / n
        inner[-1] = b
        pieces.append(torch.from_numpy(inner).to(t))
    return torch.cat(pieces)

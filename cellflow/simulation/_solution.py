"""Results of a solver: states and quantities along the paths, checked and reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from cellflow.core._settings import offers
from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.errors import InputError, IntegrationError, IntegrationWarning
from cellflow.simulation.trajectories import Trajectories

__all__ = ["MAX_STEPS", "Rate", "Solution", "System", "require_few_steps", "shaped"]

#: Rate of a quantity along a path, `(t, x) -> (n,)`, or `(t, x, context) -> (n,)`.
Rate: TypeAlias = Callable[..., Tensor]
#: Velocity `(n, d)` and rates `(n,)` of a chunk of cells at `(t, x)`.
System: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, ...]]

#: A warning is due when halving the step moves a cell by this share of the spread of the cells, ...
_COARSE = 1e-2
#: ... changes a logarithm (a quantity whose name starts with `log_`) by this number, or another
#: quantity by the share `_COARSE` of its largest value.
_COARSE_LOG = 5e-2
#: More steps than this are a mistake: a time in another unit, or a step in one.
MAX_STEPS = 10_000


@dataclass(frozen=True, eq=False)
class Solution:
    """States and quantities at distinct times.

    Parameters
    ----------
    times
        Distinct, shape `(T,)`, increasing or decreasing.
    x
        States, shape `(T, n, d)`.
    along
        Quantities by name, shape `(T, n)` each.
    """

    times: FloatArray
    x: Tensor
    along: dict[str, Tensor]

    @classmethod
    def unsolved(
        cls, times: FloatArray, shape: Sequence[int], names: Sequence[str], dtype: torch.dtype
    ) -> Solution:
        """NaN everywhere, for `n` cells in `d` dimensions."""
        x = torch.full((len(times), *shape), torch.nan, dtype=dtype)
        return cls(times, x, {name: torch.full_like(x[..., 0], torch.nan) for name in names})

    def put(self, first: int, n: int, values: Sequence[Tensor]) -> None:
        """Fill in `n` cells from row `first` on, with states `(T, >=n, d)` and quantities."""
        for place, value in zip((self.x, *self.along.values()), values, strict=True):
            place[:, first : first + n] = value[:, :n].cpu()

    def at(self, times: FloatArray) -> Trajectories:
        """Trajectories at solved times, in any order; NaN for a state that is not finite."""
        order = np.argsort(self.times)
        position = order[np.searchsorted(self.times, times, sorter=order)]
        finite = torch.isfinite(self.x).all(dim=2, keepdim=True)
        x = torch.where(finite, self.x, torch.nan).numpy()[position]
        along = {name: value.double().numpy()[position] for name, value in self.along.items()}
        return Trajectories(times, x, along, np.arange(x.shape[1]))

    def require_finite(self, t0: float, method: str, times: FloatArray) -> None:
        """Raise for the first cell with a state or quantity that is not finite.

        The error has the trajectories at `times`.
        """
        parts = {"": torch.isfinite(self.x).all(dim=2)}
        parts |= {f"has a {name} that ": torch.isfinite(v) for name, v in self.along.items()}
        for subject, finite in parts.items():
            bad = torch.nonzero(~finite).numpy()
            if len(bad) == 0:
                continue
            # The time nearest to the start is the first that it goes wrong at.
            k, cell = bad[np.argmin(np.abs(self.times[bad[:, 0]] - t0))].tolist()
            smaller = ", pass a smaller `step`" if offers("step") else ""
            msg = (
                f"{subject}stops being finite between time {t0:g} and {self.times[k]:g} ({method})."
                f" Ask for times nearer to the data{smaller}, or train longer."
            )
            raise IntegrationError(
                msg, cell=cell, time=float(self.times[k]), partial=self.at(times)
            )

    def error(
        self, finer: Solution, rows: Tensor, spread: float, *, step: float, t0: float
    ) -> float:
        """Largest distance of some rows from a finer solution, relative to a spread.

        Warns where this distance, or the difference of a quantity, is large.
        """
        moved = float((self.x[:, rows] - finer.x).norm(dim=2).max()) / spread
        changed = {
            name: float((value[:, rows] - finer.along[name]).abs().max())
            for name, value in self.along.items()
        }
        if moved > _COARSE or any(c > self._allowed(name) for name, c in changed.items()):
            also = "".join(f", its {name} by {change:.2g}" for name, change in changed.items())
            ends = self.times.tolist()[:: max(1, len(self.times) - 1)]
            msg = (
                f"Halving the step of {step:.3g} moves a cell by {moved:.1%} of the spread of the"
                f" cells{also}, from time {t0:g} to {ends}. {_smaller_step()}"
            )
            warn(msg, IntegrationWarning)
        return moved

    def _allowed(self, name: str) -> float:
        """Largest change of a quantity by which a step is fine enough."""
        if name.startswith("log_"):
            return _COARSE_LOG
        return _COARSE * float(self.along[name].abs().max())

    def spread(self, start: Tensor) -> float:
        """Root mean square distance of starts `(n, d)` and states from the mean of the starts.

        At least the rounding error of the states, so that it is positive for cells that do not
        move.
        """
        every = torch.cat([start[None].to(self.x), self.x]).double()
        distance = (every - every[0].mean(dim=0)).square().sum(dim=2).mean().sqrt()
        rounding = torch.finfo(self.x.dtype).eps ** 0.5 * every.abs().max()
        return float(torch.maximum(distance, rounding)) or 1.0


def shaped(value: Tensor, shape: torch.Size, name: str) -> Tensor:
    """Return the value of a field or rate; refuse another shape, which broadcasting would hide."""
    if value.shape != shape:
        msg = f"The {name} returned shape {tuple(value.shape)}; expected {tuple(shape)}."
        raise InputError(msg)
    return value


def require_few_steps(first: float, last: float, step: float) -> None:
    """Refuse a solution that would take more than 10,000 fixed steps: a time in another unit.

    Raises
    ------
    InputError
        More steps.

    Examples
    --------
    >>> cf.simulation.require_few_steps(0.0, 72.0, 0.5)
    """
    if (last - first) / step > MAX_STEPS:
        remedy = ", or pass a larger `step`" if offers("step") else ""
        msg = (
            f"From time {first:g} to time {last:g} it takes {(last - first) / step:,.0f} steps of"
            f" {step:.3g}; the limit is {MAX_STEPS:,}. Check the unit of the time asked"
            f" for{remedy}."
        )
        raise InputError(msg)


def _smaller_step() -> str:
    """Remedy for a step that is too coarse, among the arguments of the user's call."""
    if offers("step", "method", "times"):
        return "Pass a smaller `step`, or method='dopri5'."
    if offers("step"):
        return "Pass a smaller `step`."
    return "The field changes too fast there: ask for times nearer to the data, or train longer."

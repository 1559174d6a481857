"""Observed times: whether times lie outside of them, and how far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cellflow.core._numbers import as_flag
from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.errors import InputError, IntegrationWarning

if TYPE_CHECKING:
    from cellflow.core.population import Snapshots
    from cellflow.model.base import FittedDynamics

__all__ = ["Observed", "growth"]

#: Mean intervals outside the observed times that are allowed without `extrapolate`.
REACH = 1.0
#: Relative rounding of times that were computed, such as `last + interval`.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Observed:
    """The span of the observed times.

    Parameters
    ----------
    first, last
        Earliest and latest observed time.
    interval
        Mean interval between the snapshots of the fit; 0 where it has one snapshot.
    """

    first: float
    last: float
    interval: float

    @classmethod
    def by(cls, flow: FittedDynamics, snapshots: Snapshots | None = None) -> Observed:
        """Return the times of the cells of a fit; with `snapshots`, only the part that these cover.

        A field is known at the times of its fit. A prediction also needs measured cells before and
        after its time: where a subset or a condition ends earlier, a prediction beyond is an
        extrapolation.
        """
        first = float(flow.times[0])
        last = float(flow.times[-1])
        found = cls(first, last, (last - first) / max(len(flow.times) - 1, 1))
        return found if snapshots is None else found.narrowed(snapshots)

    def narrowed(self, snapshots: Snapshots) -> Observed:
        """Return the part of the span that these snapshots cover; all times may lie outside."""
        first = max(self.first, float(snapshots.times[0]))
        last = min(self.last, float(snapshots.times[-1]))
        return replace(self, first=first, last=last)

    def outside(self, times: npt.ArrayLike) -> FloatArray:
        """Return those times that lie outside, shape `(k,)`; what is no number does."""
        asked = np.atleast_1d(np.asarray(times, dtype=np.float64))
        beyond: FloatArray = asked[~((asked >= self.first) & (asked <= self.last))]
        return beyond

    def require(self, times: npt.ArrayLike, what: str) -> None:
        """Make sure that all times lie inside, where `what` is known.

        Raises
        ------
        InputError
            One that is outside, or no number.
        """
        outside = self.outside(times)
        if len(outside):
            msg = (
                f"Time {outside[0]:g} ({len(outside)} in all) lies outside the times of the fit,"
                f" {self.first:g} to {self.last:g}, where {what} is not known. Leave it out, or fit"
                " with a snapshot there."
            )
            raise InputError(msg)

    def require_reached(
        self, times: npt.ArrayLike, *, extrapolate: bool, remedy: str = "pass extrapolate=True"
    ) -> None:
        """Require that no time lies more than one mean interval outside, or `extrapolate=True`.

        Raises
        ------
        InputError
            One that does, or `extrapolate` is neither True nor False.
        """
        as_flag("extrapolate", extrapolate)
        outside = self.outside(times)
        if extrapolate or len(outside) == 0:
            return
        reach = REACH * self.interval
        rounding = _ROUNDING * max(abs(self.first), abs(self.last), reach)
        if self._beyond(outside).max() > reach + rounding:
            msg = (
                f"{self._place(outside)}. Expected at most one mean interval, {self.interval:g}:"
                f" farther out, the fitted field is arbitrary. Check the unit, or {remedy}."
            )
            raise InputError(msg)

    def warn(self, times: npt.ArrayLike, growth: float | None = None) -> None:
        """Warn of times that lie outside; for the end of a call, so that an error comes alone.

        Parameters
        ----------
        times
            Those that were asked for.
        growth
            Of the states there; see the function.
        """
        outside = self.outside(times)
        if len(outside):
            msg = (
                f"{self._place(outside)}; the velocity field is extrapolated there, without data to"
                " say whether it holds."
            )
            if growth is not None:
                msg += (
                    f" The states there are {growth:.2g} times as far from the cells' mean as the"
                    " cells are."
                )
            warn(msg, IntegrationWarning)

    def _beyond(self, times: FloatArray) -> FloatArray:
        """How far times lie outside, in units of time; what is no number lies infinitely far."""
        beyond = np.maximum(self.first - times, times - self.last)
        return np.asarray(np.nan_to_num(beyond, nan=np.inf))

    def _place(self, outside: FloatArray) -> str:
        beyond = self._beyond(outside)
        farthest = int(np.argmax(beyond))
        span = f"{self.first:g} to {self.last:g}"
        if self.first > self.last:
            span = "of which the fit and these cells share none"
        place = f"Time {outside[farthest]:g} lies outside the observed times, {span}"
        if self.interval == 0:
            return place
        return f"{place}, by {beyond[farthest] / self.interval:.2g} mean intervals"


def growth(x: FloatArray, measured: FloatArray) -> float | None:
    """Mean distance of states from the mean of measured cells, relative to that of the cells.

    States among the cells have about 1; those of an extrapolation that diverges have many times
    that.

    Parameters
    ----------
    x
        States, shape `(n, d)`.
    measured
        Measured cells, shape `(m, d)`.

    Returns
    -------
    None where the cells are all in one place.
    """
    centre = measured.mean(axis=0)
    spread = float(np.linalg.norm(measured - centre, axis=1).mean())
    return float(np.linalg.norm(x - centre, axis=1).mean()) / spread if spread > 0 else None

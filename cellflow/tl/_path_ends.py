"""The two states that a path connects: cells, groups of cells, or positions, with their times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.adapter.selection import cell_rows
from cellflow.adapter.units import Time
from cellflow.core._numbers import as_array, is_integer, shown
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, closest
from cellflow.tl._groups import Groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

__all__ = ["End", "State", "end_of"]

#: A cell or a group by its name or number, or a position.
State: TypeAlias = "str | int | np.integer | Sequence[float] | FloatArray"


@dataclass(frozen=True, eq=False)
class End:
    """One end of a path.

    Parameters
    ----------
    x
        Position in the representation, shape `(d,)`.
    time
        When the path is there.
    words
        What it is.
    """

    x: FloatArray
    time: float
    words: str


def end_of(
    adata: AnnData,
    fitted: Fitted,
    state: State,
    argument: str,
    *,
    groupby: str | None,
    time: Time | None,
    context: FloatArray | None,
) -> End:
    """Find a state, and the time of it.

    Parameters
    ----------
    adata, fitted
        The cells, and their fit.
    state
        Which one.
    argument
        `"source"` or `"target"`: of a group or a position, the earlier or the later time counts.
    groupby
        Column of the groups, or None.
    time
        When the path is there; by default the time of the cell, that at which the group is most
        frequent, or the first or last one of the fit.
    context
        Features of the condition, `(c,)`; cells of a group have it, if any cell has.

    Raises
    ------
    InputError
        Something else, or another number of dimensions.
    MissingKeyError
        No such cell, group or column.
    """
    at = None if time is None else fitted.time(time, "time" if argument == "source" else "until")
    is_name = isinstance(state, str) or is_integer(state)
    if not is_name:
        times = fitted.flow.times
        own = float(times[0] if argument == "source" else times[-1])
        return End(_position(fitted, state, argument), own if at is None else at, "a position")
    if groupby is not None:
        groups = Groups.read(adata, groupby)
        name = Groups.name(state)
        is_cell = isinstance(state, str) and state in adata.obs_names
        if name in groups.of_cells or not is_cell:
            return _group(adata, fitted, groups, name, argument, at, context)
    row = int(_row(adata, state, argument))
    own = float(fitted.times[row])
    words = f"cell {str(adata.obs_names[row])!r}"
    return End(fitted.x[row].astype(np.float64), own if at is None else at, words)


def _position(fitted: Fitted, state: object, argument: str) -> FloatArray:
    x = as_array(argument, state)
    if x.shape != (fitted.x.shape[1],):
        msg = (
            f"{argument}= is an array of shape {x.shape}; expected a position of shape"
            f" ({fitted.x.shape[1]},) in {fitted.cells.use_rep!r}, or the name of a cell or group."
        )
        raise InputError(msg)
    return x.astype(np.float64)


def _row(adata: AnnData, state: object, argument: str) -> int:
    """Row of a cell by its name or number."""
    if isinstance(state, str) and state not in adata.obs_names:
        msg = (
            f"{argument}={shown(state)} is no cell of adata.obs_names"
            f"{closest(state, adata.obs_names)}. Expected a cell; for a group of cells pass"
            " groupby=, a column of adata.obs; or pass a position."
        )
        raise InputError(msg)
    if is_integer(state) and not 0 <= state < adata.n_obs:
        msg = (
            f"{argument}={state} is no row of adata. Expected 0 to {adata.n_obs - 1}, the name of a"
            " cell, or with groupby= that of a group."
        )
        raise InputError(msg)
    return int(cell_rows(adata, [state])[0])  # type: ignore[list-item] # a name or a number


def _group(
    adata: AnnData,
    fitted: Fitted,
    groups: Groups,
    name: str,
    argument: str,
    at: float | None,
    context: FloatArray | None,
) -> End:
    """The cell of a group that is nearest to their mean, at the time where they are frequent."""
    rows = groups.rows(name, argument)
    rows = rows[fitted.cells.timed[rows]]
    if context is not None and fitted.measured(context):
        rows = rows[(np.asarray(fitted.cells.context)[rows] == context).all(axis=1)]
    if len(rows) == 0:
        msg = (
            f"{argument}={name!r}: no cell of this group has a time (and the condition). Expected"
            " a group of the fit's cells; pass another one, or a position."
        )
        raise InputError(msg)
    time = _time_of(fitted, rows, argument, at)
    there = rows[fitted.times[rows] == time]
    x = fitted.x[there].astype(np.float64)
    row = int(np.argmin(((x - x.mean(axis=0)) ** 2).sum(axis=1)))
    words = f"group {name!r} (cell {str(adata.obs_names[there[row]])!r})"
    return End(x[row], time if at is None else at, words)


def _time_of(fitted: Fitted, rows: IntArray, argument: str, at: float | None) -> float:
    """The time of cells that is nearest to one, or where they make up the largest share."""
    times, counts = np.unique(fitted.times[rows], return_counts=True)
    if at is not None:
        return float(times[np.argmin(np.abs(times - at))])
    of_all = np.array([(fitted.times[fitted.cells.timed] == time).sum() for time in times])
    share = counts / of_all
    best = np.flatnonzero(share == share.max())
    return float(times[best[0] if argument == "source" else best[-1]])

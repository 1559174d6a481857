"""Terminal states that the field shows, without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.store import amended
from cellflow.adapter.units import Time
from cellflow.adapter.write import target_of, write
from cellflow.analysis.fates import terminal_states as find_states
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number
from cellflow.core._settings import guarded
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["terminal_states"]


@guarded
def terminal_states(
    adata: AnnData,
    *,
    at: Time = "last",
    max_speed: float = 0.25,
    n_neighbors: int = 15,
    min_cells: int = 10,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    """Write terminal states: groups of cells where the field is slow and contracts.

    A cell of the time `at` is terminal if, on the mean over it and its neighbours, the speed is low
    and the divergence of the velocity is below zero, and if its neighbours are at most as far as
    those of the median cell. Such cells are joined with their neighbours; groups with enough cells
    are terminal states, `"T1"` the largest. Pass the column to `cf.tl.fates` as `groupby`.

    Of an ensemble, the mean field is used; `cf.tl.fates` says how sure the probabilities of the
    states are.

    Parameters
    ----------
    adata
        Cells with a fit.
    at
        Time of the cells: `"last"`, or one at which cells were measured.
    max_speed
        Largest speed: the distance in a mean interval between snapshots, as a share of the mean
        distance of these cells from their mean.
    n_neighbors
        Neighbours of a cell.
    min_cells
        Cells of a state at least.
    key, overwrite, copy
        See `cf.tl.fates`.

    Returns
    -------
    None, or the copy. Written is

    - `obs["cf_terminal"]`: category, shape (n_obs,). The terminal state of each cell; NaN for all
      others, and for the cells of other times.

    Raises
    ------
    MissingKeyError
        No fit.
    InputError
        No cell of this time, numbers that are not positive, or no terminal state; `adata` is
        unchanged.

    See Also
    --------
    cellflow.tl.fates

    References
    ----------
    Strogatz, Nonlinear Dynamics and Chaos, 1994, chapter 6 (attracting fixed points).

    Examples
    --------
    >>> cf.tl.terminal_states(adata, max_speed=2.0)
    >>> cf.tl.fates(adata, "cf_terminal")
    """
    check_arguments(terminal_states, locals())
    import pandas as pd

    fitted = read_fitted(adata, key)
    speed = as_number("max_speed", max_speed, above=0.0)
    neighbors = as_count("n_neighbors", n_neighbors)
    least = as_count("min_cells", min_cells)
    known = np.unique(fitted.cells.time[fitted.cells.timed])
    time = float(known[-1]) if isinstance(at, str) and at == "last" else fitted.time(at, "at")
    rows = np.flatnonzero(fitted.cells.time == time)
    if len(rows) == 0:
        msg = f"at={at!r}: no cell was measured at time {time:g}. Expected one of {known.tolist()}."
        raise InputError(msg)
    place = ("obs", fitted.keys.terminal)
    require_free(adata, fitted.keys, [place], overwrite=overwrite)
    target = target_of(adata, copy=copy)
    found = find_states(
        fitted.flow,
        fitted.x[rows],
        time,
        context=fitted.features(None, rows),
        max_speed=speed,
        n_neighbors=neighbors,
        min_cells=least,
    )
    if found.max() < 0:
        msg = (
            f"No terminal state among {len(rows)} cells of time {time:g} with max_speed={speed:g},"
            f" n_neighbors={neighbors} and min_cells={least}. Pass a larger max_speed or a smaller"
            " min_cells; in a population that is still moving there may be none."
        )
        raise InputError(msg)
    codes = np.full(adata.n_obs, -1)
    codes[rows] = found
    names = pd.Index([f"T{k + 1}" for k in range(found.max() + 1)])
    staged = {place[1]: pd.Categorical.from_codes(codes, names)}
    record = amended(adata, fitted.keys, [place], {})
    write(target, {"obs": staged, "uns": {fitted.keys.uns: record}})
    return target if copy else None

"""Pseudotime: the time at which a cell is most likely, with its interval, and a rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.adapter.store import amended
from cellflow.adapter.units import Time
from cellflow.adapter.write import target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number
from cellflow.core._progress import is_shown
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.tl._course import course_of, grid_of, parts_of

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.age import Course

__all__ = ["pseudotime"]


@guarded
def pseudotime(
    adata: AnnData,
    *,
    cells: Selection | None = None,
    times: Sequence[Time] | FloatArray | None = None,
    n_times: int = 11,
    level: float = 0.9,
    key: str = DEFAULT,
    overwrite: bool = False,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Write at which times each cell is likely, beside its real time, and a rank for other tools.

    The density :math:`p_t(x)` of the population at the position of a cell, as a function of time,
    says when cells like it occur. Every time counts alike beforehand. Written are the time of the
    largest density, an interval, and whether the time is unique: a state that is there for long, or
    twice, has no single time, whatever a pseudotime says.

    The rank orders cells by the mean of these times, which is `cf.tl.age`, because it is the better
    order: of new cells of eight simulated systems, its rank correlation with the true time is .37
    to .99, above that of the most likely time on every system (by .015 on average). The intervals
    of 90 % contain the true time of 81 to 97 % of these cells, 90 % on average.

    Unlike a pseudotime along a graph, no root is chosen, and the unit is known; see `cf.tl.age` for
    how densities are estimated. Of an ensemble, the mean field is used, and no standard error is
    written.

    Parameters
    ----------
    adata
        Cells with a fit.
    cells
        A mask, positions or names; all by default. The others get NaN.
    times
        The grid: at least three times inside the observed ones. By default `n_times` equal steps
        from the first to the last snapshot, and the times of the snapshots.
    n_times
        Number of these steps. With more than some 20, fewer states are left for each time, and
        intervals are too narrow.
    level
        Of the intervals, between 0 and 1.
    key
        `key_added` of the fit.
    overwrite
        Replace existing fields that were not written for this fit.
    progress
        Show a progress bar over the cells. None: only in a terminal or a notebook.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written is, NaN where there is nothing to compare with,

    - `obs["cf_pseudotime"]`: float64, shape (n_obs,). Rank of the mean time among these cells, from
      0 (earliest) to 1; equal means share a rank. scVelo's plots and the `PseudotimeKernel` of
      CellRank read it.
    - `obs["cf_pseudotime_mode"]`: float64, shape (n_obs,). The time of the grid at which the cell
      is most likely, in the unit of the fit.
    - `obs["cf_pseudotime_low"]`: float64, shape (n_obs,). Lower end of the interval of times: the
      central one of the level, extended to the most likely time.
    - `obs["cf_pseudotime_high"]`: float64, shape (n_obs,). Upper end of it.
    - `obs["cf_pseudotime_unique"]`: float64, shape (n_obs,). From 0 (the cell may be of any time)
      to 1 (of one): one less the share of the course that it may be of, by the entropy of its
      times. A wide interval with a large value means that there are several separate times.

    Raises
    ------
    InputError
        No fit, or one with conditions, no cells, a level that is not between 0 and 1, or a grid
        that is too short or leaves the observed times; `adata` is unchanged.
    IntegrationError
        A state that is not finite.

    See Also
    --------
    cellflow.tl.age

    References
    ----------
    Tritschler et al., Concepts and limitations for learning developmental trajectories from single
    cell genomics, Development 2019 (what a pseudotime is not); Nadaraya, On estimating regression,
    Theory of Probability & Its Applications 1964.

    Examples
    --------
    >>> cf.tl.pseudotime(adata)
    >>> adata.obs[["cf_time", "cf_pseudotime", "cf_pseudotime_unique"]].shape
    (160, 3)
    """
    check_arguments(pseudotime, locals())
    level = as_number("level", level, above=0.0, below=1.0)
    fitted = read_fitted(adata, key)
    names = fitted.keys.pseudotimes
    places = [("obs", name) for name in names]
    require_free(adata, fitted.keys, places, overwrite=overwrite)
    rows = np.arange(adata.n_obs) if cells is None else np.unique(cell_rows(adata, cells))
    grid = grid_of(fitted, times, n_times)
    target = target_of(adata, copy=copy)
    course = course_of(adata, fitted, grid)
    columns = np.full((len(names), adata.n_obs), np.nan)
    columns[:, rows] = _asked(course, fitted.x[rows], level, progress=progress)
    columns[0] = _ranks(columns[0])
    record = amended(adata, fitted.keys, places, {})
    obs = dict(zip(names, columns, strict=True))
    write(target, {"obs": obs, "uns": {fitted.keys.uns: record}})
    return target if copy else None


def _asked(course: Course, x: FloatArray, level: float, *, progress: bool | None) -> FloatArray:
    """Mean, most likely time, both ends of the interval, and uniqueness, shape `(5, n)`."""
    from tqdm import tqdm

    found = np.empty((5, len(x)))
    parts = parts_of(np.arange(len(x)))
    for part in tqdm(parts, desc="pseudotime", unit="part", disable=not is_shown(progress)):
        known = course.posterior(x[part])
        found[0, part] = course.typical_time(x[part])
        found[1, part] = known.most_likely()
        found[2:4, part] = known.interval(level)
        found[4, part] = known.uniqueness()
    return found


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks from 0 to 1, equal values alike; of a single value one half; NaN stay."""
    from scipy.stats import rankdata

    found = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    if len(known):
        rank = rankdata(values[known]) - 1.0
        found[known] = rank / (len(known) - 1) if len(known) > 1 else 0.5
    return found

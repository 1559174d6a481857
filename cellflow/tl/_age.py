"""Age of each cell: the expected time given its position."""

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
from cellflow.core._progress import is_shown
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.tl._course import course_of, grid_of, parts_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["age"]


@guarded
def age(
    adata: AnnData,
    *,
    cells: Selection | None = None,
    times: Sequence[Time] | FloatArray | None = None,
    n_times: int = 11,
    key: str = DEFAULT,
    overwrite: bool = False,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Write the age of each cell: the expected time given its position, :math:`E[t \mid x]`.

    A cell that is ahead of its snapshot has a later age than its time, one that lags behind an
    earlier age. The age is the mean time of the nearest states, among the measured cells and those
    that the fit moves to the times between the snapshots. A cell of the fit is not compared with
    itself, nor with the states that it was moved to.

    On held-out cells of eleven data sets, the rank correlation of the age with the true or measured
    time is .86 on average. The mean time of the 30 nearest measured cells, which needs no fit, has
    the same; on single data sets the two differ by at most .035. The time of the largest density,
    which version 0.1.0 wrote, had .79.

    Of an ensemble, the mean field is used, and no standard error is written.

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
        Number of these steps.
    key
        `key_added` of the fit.
    overwrite
        Replace an existing field that was not written for this fit.
    progress
        Show a progress bar over the cells. None: only in a terminal or a notebook.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written is

    - `obs["cf_age"]`: float64, shape (n_obs,). In the unit of the fit; NaN where there is nothing
      to compare with.

    Raises
    ------
    InputError
        No fit, or one with conditions, no cells, or a grid that is too short or leaves the observed
        times; `adata` is unchanged.
    IntegrationError
        A state that is not finite.

    See Also
    --------
    cellflow.tl.pseudotime

    References
    ----------
    The estimate is a kernel regression: Nadaraya, On estimating regression, Theory of Probability &
    Its Applications 1964.

    Examples
    --------
    >>> cf.tl.age(adata)
    >>> ahead = adata.obs["cf_age"] - adata.obs["cf_time"]
    """
    check_arguments(age, locals())
    from tqdm import tqdm

    fitted = read_fitted(adata, key)
    place = ("obs", fitted.keys.age)
    require_free(adata, fitted.keys, [place], overwrite=overwrite)
    rows = np.arange(adata.n_obs) if cells is None else cell_rows(adata, cells)
    grid = grid_of(fitted, times, n_times)
    target = target_of(adata, copy=copy)
    course = course_of(adata, fitted, grid)
    ages = np.full(adata.n_obs, np.nan)
    for part in tqdm(parts_of(rows), desc="age", unit="part", disable=not is_shown(progress)):
        ages[part] = course.typical_time(fitted.x[part])
    write(
        target,
        {
            "obs": {fitted.keys.age: ages},
            "uns": {fitted.keys.uns: amended(adata, fitted.keys, [place], {})},
        },
    )
    return target if copy else None

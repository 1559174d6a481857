"""Fates of cells as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.fate_tables import fate_table
from cellflow.adapter.keys import DEFAULT
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["fates"]


@guarded
def fates(
    adata: AnnData,
    *,
    groupby: str | None = None,
    backward: bool = False,
    interval: float | None = None,
    key: str = DEFAULT,
) -> pd.DataFrame:
    r"""Return the fates of all cells, which `cf.tl.fates` wrote, or the mean over groups of cells.

    Parameters
    ----------
    adata
        Cells with fates.
    groupby
        Column of `obs`: one row for each group and fate. Means over cells are weighted by the mass
        of their descendants at the end, :math:`w_i m_i` with the weight of a cell and its
        `cf_fate_mass`; where cells are of several times, pass a column that separates them.
    backward
        Origins, which `cf.tl.ancestors` wrote; cells count by their weights.
    interval
        Level of the intervals of an ensemble's probabilities, such as 0.9; None for no intervals.
        That of a group is made of the means of each member, and is of the mean of these cells. Cut
        at 0 and 1; where all members agree, it has no width. Do not read the interval of one cell
        as that of its true probability: without `stochastic`, every member answers nearly 0 or 1.
    key
        `key_added` of the fit.

    Returns
    -------
    One row for each cell and fate: `cell`, `fate`, `probability`, `sd`, `entropy`, and
    `commitment_time` (of fates). By groups: `group`, `fate`, `n_cells`, `n_effective` (how many
    cells of equal mass the mean is worth; near 1, a single cell decides it), `probability`, `sd`
    (of the probabilities of single cells in the group), and `commitment_time`, the mean of the
    cells that have one. Where `cf.tl.calibrate` was called, `calibrated` is the calibrated
    probability or its mean. With `interval`, `se` (standard error of the probability, or of its
    mean), `low` and `high` in addition. `attrs` has what `uns["cellflow"]["fates"]` says.

    Raises
    ------
    MissingKeyError
        No fit under this key, no fates, or no such column.
    InputError
        Cells at other positions than when fates were computed, or an array of another shape;
        `interval` of a single flow, or a level that is not between 0 and 1.

    See Also
    --------
    cellflow.tl.fates, cellflow.tl.ancestors, cellflow.tl.calibrate

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", n_members=2)
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.get.fates(adata, groupby="cell_type").columns.tolist()
    ['group', 'fate', 'n_cells', 'n_effective', 'probability', 'sd', 'commitment_time']
    >>> sure = cf.get.fates(adata, groupby="cell_type", interval=0.9)
    >>> sure.columns.tolist()[4:]
    ['probability', 'sd', 'se', 'low', 'high', 'commitment_time']
    """
    check_arguments(fates, locals())
    return fate_table(adata, key, groupby=groupby, backward=backward, interval=interval)

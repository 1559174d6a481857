"""How genes depend on genes, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.stored_genes import read_jacobian, wide_jacobian
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["jacobian"]


@guarded
def jacobian(adata: AnnData, *, wide: bool = False, key: str = DEFAULT) -> pd.DataFrame:
    """Return how target genes, or growth, depend on regulators, which `cf.tl.jacobian` wrote.

    Parameters
    ----------
    adata
        Cells with such a result.
    wide
        Return `value` alone, as a matrix of regulators by targets.
    key
        `key_added` of the fit.

    Returns
    -------
    One row for each group of cells, regulator and target, in the order that was asked for, with the
    columns

    - `group` (`"all"` without groups), `regulator`, `target` (`"growth"` for the growth rate);
    - `value`: change of the target's velocity, expression per unit of time, for one unit of
      expression of the regulator; of growth, of the rate per unit of time. NaN where the regulator
      does not vary among the cells;
    - `scaled`: the same in standard deviations of both genes over all cells; for growth, for one
      standard deviation of the regulator within snapshots;
    - `se`, `low`, `high`: standard error and interval, over the cells that might have been
      measured; `p`, `q`: p-value that the value is zero (Student's t), and adjusted for the false
      discovery rate among all rows. NaN of a single flow; an ensemble has them (`n_members=` of
      `cf.tl.flow`);
    - `response`: `"alone"` or `"covariance"`, see `cf.tl.jacobian`;
    - `n_cells`: in the group.

    With `wide`, regulators by targets; with several groups, (group, regulator) by targets.
    `.attrs["words"]` says what was computed.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no result of `cf.tl.jacobian`.

    See Also
    --------
    cellflow.tl.jacobian

    Examples
    --------
    >>> cf.tl.jacobian(adata, ["TNNT2", "MYH3", "ENO3"])
    >>> strongest = cf.get.jacobian(adata).query("q < 0.1").nlargest(20, "scaled")
    """
    check_arguments(jacobian, locals())
    table = read_jacobian(adata, key)
    return wide_jacobian(table) if wide else table

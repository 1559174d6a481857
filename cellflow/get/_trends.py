"""Trends of genes as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.stored_genes import read_trends
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["trends"]


@guarded
def trends(
    adata: AnnData,
    *,
    table: Literal["trends", "differences", "parting"] = "trends",
    key: str = DEFAULT,
) -> pd.DataFrame:
    """Return the trends of genes that `cf.tl.trends` wrote, how they differ, or when they part.

    Parameters
    ----------
    adata
        Cells with trends.
    table
        `"trends"`; `"differences"` between fates, groups or conditions at each time; or
        `"parting"`, the times from which they differ.
    key
        `key_added` of the fit.

    Returns
    -------
    Of trends, one row for each gene, fate, group, condition and time, with the columns

    - `gene`, `fate`, `group`, `condition` (`"all"` where cells are not divided), `time`;
    - `mean`: mean expression; `se`, `low`, `high`: its standard error and interval by an ensemble,
      NaN of a single flow;
    - `sd`: standard deviation between single cells: that of the decoded paths and that of the
      decoder's residuals, as large as on cells kept out of it;
    - `decoded`: mean of what the states alone are decoded to. Where it differs from `measured`, the
      representation does not see all of the gene;
    - `measured`: at the times of snapshots, the mean of the measured expression of the same cells,
      with the same weights; else NaN. Without `start`, `mean` is the same there; with `start`, it
      says where the paths lead away from the cells. With both `start` and `groupby`, it is NaN at
      other times than the start;
    - `share`: share of the population at that time;
    - `n_eff`: effective number of cells; `off_data`: share of the mass whose paths lead to where no
      cell was measured; `supported`: whether both allow a value, else it is NaN;
    - `r2`: share of the gene's variance that is decoded, on held-out cells.

    Of differences, one row for each pair, gene and time: `gene`; `by`, what the pair differs in
    (`"fate"`, `"group"` or `"condition"`), `a` and `b`; the other two of `fate`, `group` and
    `condition`, which both share; `time`, `difference` (`a` less `b`), `se`, `low`, `high`,
    `supported`. Errors are of the differences within members.

    Of parting, one row for each pair and gene: the same names, and

    - `time`: the first time from which the interval of the difference excludes zero up to the last
      time with support; NaN where there is none, and of a single flow, which has no intervals.
      Times are tested from the last to the first, which keeps the level over all times of one
      gene; it is not corrected for the number of genes;
    - `low`, `high`: interval of that time, by the members; NaN where some member shows no parting;
    - `last_time`, `last_difference`: the last time with support, and the difference there.

    `.attrs["words"]` says what was computed.

    Raises
    ------
    MissingKeyError
        No fit under this key, no trends, or one trend only, which differs from none.
    InputError
        No such table.

    See Also
    --------
    cellflow.tl.trends

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.trends(adata, ["TNNT2", "MYH3"], fate=["myotube", "myoblast"])
    >>> cf.get.trends(adata, table="parting")[["gene", "a", "b"]].shape
    (2, 3)
    """
    check_arguments(trends, locals())
    return read_trends(adata, key, table)

"""Effects of edits of all genes, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.stored_genes import read_screen
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["screen"]


@guarded
def screen(adata: AnnData, fate: str | None = None, *, key: str = DEFAULT) -> pd.DataFrame:
    """Return what edits of single genes do to fates, which `cf.tl.screen` wrote.

    Parameters
    ----------
    adata
        Cells with a screen.
    fate
        Rows of this fate; of all by default.
    key
        `key_added` of the fit.

    Returns
    -------
    One row for each gene and fate, the smallest q- and p-values first, with the columns

    - `gene`, `fate`;
    - `effect_pp`: change of the share of the fate in percentage points; `se`, `low`, `high`, its
      standard error and interval, NaN of a single flow; `log_odds`, the change of the log-odds;
    - `p`: that the effect is zero, by Student's t; NaN of a single flow;
    - `p_matched`: share of genes alike in expression, R2 and leverage with an effect of first order
      as large, per standard deviation of the change;
    - `q`: `p` adjusted for the false discovery rate among all genes and fates (Benjamini and
      Hochberg); NaN of a single flow;
    - `simulated`: whether the effect was simulated, or is that of first order;
    - `on_manifold`: share of the states along the simulated paths that lie where cells were
      measured, see `cf.get.perturbation`; NaN of others;
    - `change_sd`: root mean square change of the gene, in standard deviations; `r2`, `leverage`,
      and the `response` used.

    `.attrs["words"]` says what was done.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no screen.
    InputError
        A fate that was not asked for.

    See Also
    --------
    cellflow.tl.screen

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.screen(adata, fate="myotube", n_simulated=5)
    >>> first = cf.get.screen(adata, "myotube").head()
    """
    check_arguments(screen, locals())
    return read_screen(adata, key, fate)

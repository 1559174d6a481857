"""Drivers of fates as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.stored_genes import read_drivers
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["drivers"]


@guarded
def drivers(adata: AnnData, fate: str | None = None, *, key: str = DEFAULT) -> pd.DataFrame:
    """Return the drivers of fates, which `cf.tl.drivers` found, as a table.

    Parameters
    ----------
    adata
        Cells with drivers.
    fate
        A fate that `cf.tl.drivers` was called for; by default all of them.
    key
        `key_added` of the fit.

    Returns
    -------
    One row for each fate and gene, those of a fate by their rank, with the columns

    - `fate`, `gene`;
    - `rank`, `score`: the score is the median of the three parts, with signs, each shrunk by its
      standard error and relative to its typical size among the genes; ranks are by its size;
    - `p`, `q`: that at least two parts are there by more than sampling; `p_matched`, `q_matched`:
      and by more than in genes of similar mean and variance. `q` is adjusted for the false
      discovery rate among the genes that have a `p`;
    - `association`: partial rank correlation with the probability of the fate, given the time;
    - `sensitivity`: change of the log-odds of the fate for one standard deviation of the gene;
    - `velocity`: in standard deviations per unit of time, by which the gene rises faster in cells
      of this fate than in others;
    - of each of these `_se`, the standard error (over cells or samples, and over the members of an
      ensemble), `_p`, `_q`, `_p_matched` and `_q_matched`, see `cf.tl.drivers`. Genes that the
      representation cannot decode have an association only;
    - `marker`, `marker_rank`: rank correlation with the label of the cells of the end, and its
      rank: whether an association with the end alone would have found the gene;
    - `r2`: share of the gene's variance that is decoded, on cells kept out; `leverage`: how much of
      a change of this gene alone the representation can express, from 0 to 1;
    - `response`: what changes with the gene in its sensitivity, `"covariance"` or `"alone"`;
    - `mean`, `sd`: of the expression in the window; the deviation is that within its times.

    `.attrs["words"]` says, by fate, what was compared.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no drivers.
    InputError
        A fate without drivers.

    See Also
    --------
    cellflow.tl.drivers

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.drivers(adata, "myotube")
    >>> table = cf.get.drivers(adata, "myotube")
    >>> found = table.query("q < 0.05 and marker_rank > 100")
    """
    check_arguments(drivers, locals())
    return read_drivers(adata, key, fate)

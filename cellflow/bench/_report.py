"""The held-out benchmark as one page that explains itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cellflow.adapter.keys import DEFAULT
from cellflow.core._arguments import check_arguments
from cellflow.core._files import write_text
from cellflow.core._paths import check_writable
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["report"]


@guarded
def report(
    adata: AnnData,
    path: str | os.PathLike[str] = "cellflow-report.html",
    *,
    key: str = "cf_holdout",
    fit_key: str = DEFAULT,
    basis: str | None = None,
    cluster_key: str | None = None,
    title: str = "Held-out report",
) -> Path:
    """Write what `cf.bench.holdout` found as one HTML file that explains every number.

    The page holds the verdict in words; distances of all methods to the hidden cells, as a picture
    and as the table with its intervals; predicted beside real cells in the first two dimensions and
    on an embedding; shares of cell types; whether the prediction is as wide as the cells are; how
    the fit that is stored beside it was trained; parameters, seeds and versions. The file needs no
    network and no other file.

    Parameters
    ----------
    adata
        The cells, after `cf.bench.holdout`. It is only read.
    path
        An `.html` file; an older one is replaced as a whole.
    key
        Where in `adata.uns` the benchmark is.
    fit_key
        Where in `adata.uns` a fit of all snapshots may be; its training is shown where there is
        one.
    basis
        Embedding to draw on, where predicted cells lie at the mean of the real cells nearest to
        them. By default UMAP or another common one, where there is one.
    cluster_key
        Column of `adata.obs` with cell types: predicted cells take the label that most of the 15
        nearest hidden cells have. The verdict counts them, and the page shows the mass that moves
        between types. By default the one of the benchmark.
    title
        Of the page.

    Returns
    -------
    The path that was written, resolved.

    Raises
    ------
    MissingKeyError
        No benchmark under this key, no such embedding, no such column.
    InputError
        A record that is not complete, or belongs to other cells.
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> table = cf.bench.holdout(adata, "hours", methods="ot-cfm", times=24)
    >>> cf.bench.report(adata, "report.html", cluster_key="cell_type").name
    'report.html'
    """
    check_arguments(report, locals())
    from cellflow.report.contents import read_contents
    from cellflow.report.page import page

    contents = read_contents(adata, key, fit_key, basis=basis, cluster_key=cluster_key)
    target = check_writable(path, suffix=".html")
    return write_text(page(contents, title), target, suffix=".html")

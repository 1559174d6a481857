"""The held-out benchmark as one page that explains itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cellflow import get
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.places import kind_of
from cellflow.adapter.record import record_of
from cellflow.core._arguments import check_arguments
from cellflow.core._files import write_text
from cellflow.core._paths import check_writable
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["report"]

#: Level of the intervals of an ensemble.
_LEVEL = 0.9


@guarded
def report(
    adata: AnnData,
    path: str | os.PathLike[str] = "cellflow-report.html",
    *,
    key: str = "cf_holdout",
    fit_key: str = DEFAULT,
    basis: str | None = None,
    cluster_key: str | None = None,
    title: str | None = None,
) -> Path:
    """Write what `cf.bench.holdout` found as one HTML file that explains every number.

    The page holds the verdict in words; distances of all methods to the hidden cells, as a picture
    and as the table with its intervals; predicted beside real cells in the first two dimensions and
    on an embedding; shares of cell types; whether the prediction is as wide as the cells are;
    fates, growth and the comparison of conditions, where the fit beside it has them; how that fit
    was trained; parameters, seeds and versions. The file needs no network and no other file.

    Parameters
    ----------
    adata
        The cells, after `cf.bench.holdout`. It is only read.
    path
        An `.html` file; an older one is replaced as a whole.
    key
        Where in `adata.uns` the benchmark is.
    fit_key
        Where in `adata.uns` a fit of all snapshots may be; its training, and its fates, growth and
        comparison are shown where they are stored.
    basis
        Embedding to draw on, where predicted cells lie at the mean of the real cells nearest to
        them. By default UMAP or another common one, where there is one.
    cluster_key
        Column of `adata.obs` with cell types: predicted cells take the label that most of the 15
        nearest hidden cells have. The verdict counts them, and the page shows the mass that moves
        between types. By default the one of the benchmark.
    title
        Of the page; by default it names the file of a backed AnnData, or `path`.

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
    contents = replace(contents, answers=_answers(adata, fit_key, contents.cluster_key))
    title = title or f"Held-out report: {Path(adata.filename or target).name}"
    return write_text(page(contents, title), target, suffix=".html")


def _answers(adata: AnnData, key: str, cluster_key: str | None) -> dict[str, pd.DataFrame]:
    """What the fit says about fates, growth and conditions, as far as it was asked."""
    if not isinstance(key, str) or kind_of(adata, key) != "fit":
        return {}
    record = record_of(adata, Keys(key))
    fates = record.get("fates", {})
    groupby = cluster_key or str(fates.get("groupby", record["params"]["time_key"]))
    found = {}
    if fates:
        level = _LEVEL if int(fates.get("n_members", 1)) > 1 else None
        found["fates"] = get.fates(adata, groupby=groupby, interval=level, key=key)
    if "growth_assumptions" in record:
        found["growth"] = get.growth(adata, groupby, key=key)
    if "comparison" in record:
        found["comparison"] = get.comparison(adata, key=key)
    return found

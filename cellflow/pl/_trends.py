"""Trends of genes over time: curves, and a heat map in the order of their peaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from cellflow.adapter.stored_genes import read_trends
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.errors import InputError, closest
from cellflow.pl._grid import require_one
from cellflow.pl._read import PlottedFit
from cellflow.pl._series import chosen_genes, chosen_rows, series_of
from cellflow.pl._trends_cascade import draw_cascade
from cellflow.pl._trends_curves import draw_curves

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["trends"]

_KINDS = ("curves", "cascade")
#: Genes that there is space for.
_MOST = {"curves": 100, "cascade": 2000}


@guarded
def trends(
    adata: AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    kind: Literal["curves", "cascade"] = "curves",
    fate: str | Sequence[str] | None = None,
    group: str | Sequence[str] | None = None,
    condition: str | Sequence[str] | None = None,
    n_columns: int = 4,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the trends of genes over time, which `cf.tl.trends` found.

    Parameters
    ----------
    adata
        Cells with trends.
    genes
        One gene or several; all that have a trend by default.
    kind
        `"curves"`: a panel for each gene, with a curve for each fate, group and condition, its
        interval (of an ensemble), and the means of the measured cells as dots. Times without
        support are gaps, and measured means there are faint. Where two trends are drawn and
        `cf.get.trends(adata, table="parting")` says from when they differ, that time is a dotted
        vertical line, with its interval as a bar at the bottom. `"cascade"`: a heat map for each
        fate, group and condition, with a row for each gene; rows are in the order of the times at
        which the first trend of each gene is largest. Colours go from the smallest to the largest
        value of each gene over all panels. Hatched times have no support.
    fate, group, condition
        Of these only; all that there are by default.
    n_columns
        Panels in a row.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several panels. Colours are those of the fates, else those of
    the groups; see `cf.pl.fates`.

    Raises
    ------
    MissingKeyError
        No fit, or no trends.
    InputError
        A gene, fate, group or condition that has no trend; more than 100 genes as curves; another
        kind; `ax` for several panels. No figure is made then.

    See Also
    --------
    cellflow.tl.trends, cellflow.get.trends

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.trends(adata, ["TNNT2", "MYH3"], fate=["myotube", "mesenchymal"], n_times=5)
    >>> axes = cf.pl.trends(adata)
    >>> axes = cf.pl.trends(adata, kind="cascade")
    """
    check_arguments(trends, locals())
    if kind not in _KINDS:
        msg = f"kind={shown(kind)}; expected one of {list(_KINDS)}{closest(kind, _KINDS)}."
        raise InputError(msg)
    if n_columns < 1:
        msg = f"n_columns={n_columns}; expected at least 1."
        raise InputError(msg)
    fitted = PlottedFit(adata, key)
    table = read_trends(adata, key)
    for argument, wanted in (("fate", fate), ("group", group), ("condition", condition)):
        table = chosen_rows(table, argument, wanted)
    names = chosen_genes(table, genes, _MOST[kind])
    about = fitted.record["trends"]
    groupby = about.get("groupby")
    series = series_of(fitted, table, None if groupby is None else str(groupby))
    if kind == "curves":
        require_one(ax, len(names), "genes")
        axes = draw_curves(fitted, table, names, series, columns=int(n_columns), ax=ax)
    else:
        require_one(ax, len(series), "trends of each gene")
        axes = draw_cascade(fitted, table, names, series, columns=int(n_columns), ax=ax)
    return axes[0] if len(axes) == 1 else axes

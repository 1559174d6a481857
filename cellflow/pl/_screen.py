"""Effects of edits of all genes on fates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.stored_genes import read_screen
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number
from cellflow.core._settings import guarded
from cellflow.pl._effect_rows import ROW, Rows, draw_rows, key_of
from cellflow.pl._grid import require_one, sized_panels
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["screen"]

#: Width of a panel, in inches.
_WIDTH = 2.4
#: Share of the states near measured cells, below which an effect is an extrapolation.
_SUPPORTED = 0.5
#: Change of a gene in its standard deviations, from which few cells show it.
_FAR = 3.0
#: Genes that there is space for.
_MOST = 150


@guarded
def screen(
    adata: AnnData,
    fate: str | None = None,
    *,
    n_genes: int = 20,
    fdr: float = 0.1,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the genes whose edits change a fate most, which `cf.tl.screen` found.

    Genes are in the order of the table: by their p-values, of a single flow by how they rank among
    genes alike. Squares are simulated effects, circles effects of first order. Bars are intervals
    of an ensemble. A mark is filled where the effect is significant at the false discovery rate
    among all genes and fates. Names in brackets are of edits that are extrapolations: changes of
    more than three standard deviations, or paths that mostly lie where no cell was measured.

    Parameters
    ----------
    adata
        Cells with a screen.
    fate
        A fate; all of them by default, with a panel each.
    n_genes
        Number of genes of each fate.
    fdr
        False discovery rate, between 0 and 1.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several fates.

    Raises
    ------
    MissingKeyError
        No fit, or no screen.
    InputError
        A fate that was not asked for; `ax` for several fates. No figure is made then.

    See Also
    --------
    cellflow.tl.screen, cellflow.get.screen

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.screen(adata, ["TNNT2", "MYH3", "ENO3"], to="-1sd", n_simulated=1)
    >>> ax = cf.pl.screen(adata, "myotube")
    """
    check_arguments(screen, locals())
    count = min(as_count("n_genes", n_genes), _MOST)
    level = as_number("fdr", fdr, above=0.0, below=1.0)
    fitted = PlottedFit(adata, key)
    table = read_screen(adata, key, fate)
    about = fitted.record["screen"]
    fates = sorted(set(table["fate"].astype(str)))
    require_one(ax, len(fates), "fates")
    parts = [table[table["fate"].astype(str) == name].head(count) for name in fates]
    height = max(ROW * max(map(len, parts)), 1.4)
    with sized_panels(ax, len(fates), width=_WIDTH, height=height, columns=3) as axes:
        for one, name, part in zip(axes, fates, parts, strict=True):
            label = "change of its share (percentage points)"
            names = _names(part)
            title = f"{name}, genes to {about['to']}"
            draw_rows(one, _rows(part, level), names=names, label=label, title=title, italic=True)
        key_of(axes[min(2, len(axes) - 1)], _key(table, level, float(about["level"])))
    return axes[0] if len(axes) == 1 else axes


def _rows(part: pd.DataFrame, level: float) -> Rows:
    values = {
        name: part[name].to_numpy(dtype=np.float64) for name in ("effect_pp", "low", "high", "q")
    }
    certain = values["q"] <= level
    return Rows(
        values["effect_pp"],
        values["low"],
        values["high"],
        certain,
        part["simulated"].to_numpy(dtype=bool),
    )


def _names(part: pd.DataFrame) -> list[str]:
    far = (part["change_sd"] > _FAR) | (part["on_manifold"] < _SUPPORTED)
    return [
        f"({gene})" if away else str(gene) for gene, away in zip(part["gene"], far, strict=True)
    ]


def _key(table: pd.DataFrame, level: float, interval: float) -> list[tuple[str, str]]:
    """What marks mean; a single flow has no q-values and no intervals."""
    entries = [("square", "simulated"), ("filled", "first order")]
    if table["q"].notna().any():
        entries += [("open", f"open: q above {level:g}"), ("bar", f"{interval:.0%} interval")]
    else:
        entries = [("open", "first order"), ("text", "single flow: no q-values")]
        entries.insert(0, ("square_open", "simulated"))
    return [*entries, ("text", "(gene): extrapolation")]

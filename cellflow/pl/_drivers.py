"""Genes that drive the decision for a fate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from cellflow.adapter.stored_genes import read_drivers
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number, shown
from cellflow.core._settings import guarded
from cellflow.core._text import drawable
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, closest
from cellflow.pl._effect_rows import ROW, Rows, draw_rows, key_of
from cellflow.pl._grid import require_one, sized_panels
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["drivers"]

Part = Literal["score", "association", "sensitivity", "velocity"]
#: Width of a panel, in inches.
_WIDTH = 1.75
#: Genes that there is space for.
_MOST = 150


@guarded
def drivers(
    adata: AnnData,
    fate: str,
    *,
    n_genes: int = 20,
    genes: str | Sequence[str] | None = None,
    show: str | Sequence[str] = ("score", "association", "sensitivity", "velocity"),
    fdr: float = 0.1,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the drivers of a fate, which `cf.tl.drivers` found: their rank, effects and errors.

    A row is a gene, the highest rank at the top. Dots are the score and the three parts of it, bars
    are one standard error to each side. A dot is filled where the effect is significant at the
    false discovery rate among all tested genes, and a square where it is so among genes of similar
    mean and variance too (`q` and `q_matched` of `cf.get.drivers`). Effects for the fate are
    orange, those against it blue.

    Parameters
    ----------
    adata
        Cells with drivers.
    fate
        A fate that `cf.tl.drivers` was called for.
    n_genes
        Number of genes, by their rank.
    genes
        These genes instead, by their rank.
    show
        `"score"`, `"association"` (partial rank correlation with the probability of the fate),
        `"sensitivity"` (change of its log-odds by one standard deviation of the gene), `"velocity"`
        (how much faster the gene rises in cells of this fate, in standard deviations per unit of
        time), or several, with a panel each.
    fdr
        False discovery rate, between 0 and 1.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several panels.

    Raises
    ------
    MissingKeyError
        No fit, or no drivers.
    InputError
        A fate without drivers, a gene that was not tested, another part; `ax` for several panels.
        No figure is made then.

    See Also
    --------
    cellflow.tl.drivers, cellflow.get.drivers

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.drivers(adata, "myotube")
    >>> axes = cf.pl.drivers(adata, "myotube", n_genes=10)
    """
    check_arguments(drivers, locals())
    count = as_count("n_genes", n_genes)
    level = as_number("fdr", fdr, above=0.0, below=1.0)
    fitted = PlottedFit(adata, key)
    table = _chosen(read_drivers(adata, key, fate), genes, count)
    parts = _parts(show)
    require_one(ax, len(parts), "parts")
    labels = _labels(fitted)
    names = [f"{row.rank}. {row.gene}" for row in table.itertuples()]
    height = max(ROW * len(names), 1.2)
    with sized_panels(ax, len(parts), width=_WIDTH, height=height) as axes:
        for number, (one, part) in enumerate(zip(axes, parts, strict=True)):
            rows = _rows(table, part, level)
            shown_names = names if number == 0 else [""] * len(names)
            draw_rows(one, rows, names=shown_names, label=labels[part], title=part, italic=True)
        axes[0].set_ylabel(drawable(f"drivers of {fate}"), fontsize=9)
        key_of(axes[-1], _key(level))
    return axes[0] if len(axes) == 1 else axes


def _chosen(table: pd.DataFrame, genes: str | Sequence[str] | None, n_genes: int) -> pd.DataFrame:
    """The rows to draw, by their rank."""
    if genes is None:
        return table.head(min(n_genes, _MOST))
    known = table["gene"].astype(str).tolist()
    asked = [genes] if isinstance(genes, str) else list(dict.fromkeys(genes))
    for gene in asked:
        if gene not in known:
            msg = f"genes={shown(gene)} has not been tested{closest(gene, known)}. Expected genes"
            msg += " of cf.get.drivers(adata)."
            raise InputError(msg)
    if not 0 < len(asked) <= _MOST:
        msg = f"{len(asked)} genes; expected 1 to {_MOST}."
        raise InputError(msg)
    return table[table["gene"].astype(str).isin(asked)]


def _parts(show: str | Sequence[str]) -> list[str]:
    known = list(get_args(Part))
    parts = [show] if isinstance(show, str) else list(dict.fromkeys(show))
    for part in parts:
        if part not in known:
            msg = f"show={shown(part)}; expected some of {known}{closest(part, known)}."
            raise InputError(msg)
    if not parts:
        msg = f"show=[] names no part; expected some of {known}."
        raise InputError(msg)
    return parts


def _labels(fitted: PlottedFit) -> dict[str, str]:
    per = f"per {fitted.unit.removesuffix('s')}" if fitted.unit else "per unit of time"
    return {
        "score": "median of the parts,\nshrunk and scaled",
        "association": "partial rank\ncorrelation",
        "sensitivity": "log-odds of the fate\nper sd of the gene",
        "velocity": f"sd of the gene\n{per}",
    }


def _rows(table: pd.DataFrame, part: str, level: float) -> Rows:
    """Effects of a part; the score has no standard error."""
    q, matched = ("q", "q_matched") if part == "score" else (f"{part}_q", f"{part}_q_matched")
    value = table[part].to_numpy(dtype=np.float64)
    se: FloatArray = np.full(len(table), np.nan)
    if part != "score":
        se = table[f"{part}_se"].to_numpy(dtype=np.float64)
    certain = table[q].to_numpy(dtype=np.float64) <= level
    apart = table[matched].to_numpy(dtype=np.float64) <= level
    return Rows(value, value - se, value + se, certain | apart, apart)


def _key(level: float) -> list[tuple[str, str]]:
    return [
        ("filled", f"q at most {level:g}"),
        ("square", f"and q_matched at most {level:g}"),
        ("open", "larger q"),
        ("bar", "± standard error"),
        ("favour", "for the fate"),
        ("against", "against it"),
    ]

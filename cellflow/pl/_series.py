"""Trends of genes as series: which are drawn, and in what colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._numbers import shown
from cellflow.errors import InputError, closest
from cellflow.pl._colours import groups_of
from cellflow.pl._fate_colours import fate_colours
from cellflow.pl._maps import remember_colours
from cellflow.pl._palettes import OKABE_ITO, chosen
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LINES", "MARKERS", "Series", "chosen_genes", "chosen_rows", "series_of"]

#: What trends differ in, the first that varies by colour, the second by the kind of line.
_PARTS = ("fate", "group", "condition")
#: Kinds of lines and of dots, which distinguish trends without colours.
LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: All cells, in one trend.
_PLAIN = "#0072b2"


@dataclass(frozen=True, eq=False)
class Series:
    """A trend of each gene: of one fate, group and condition.

    Parameters
    ----------
    kind
        `fate`, `group` and `condition`, by name.
    label
        What tells it apart from the others.
    shade, line, marker
        How it is drawn.
    """

    kind: dict[str, str]
    label: str
    shade: Any
    line: str
    marker: str

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that are of this trend."""
        mine = np.ones(len(table), dtype=bool)
        for name, value in self.kind.items():
            mine &= (table[name].astype(str) == value).to_numpy()
        return table[mine]


def chosen_genes(table: pd.DataFrame, genes: str | Sequence[str] | None, most: int) -> list[str]:
    """Names of the genes to draw, all by default.

    Raises
    ------
    InputError
        A gene that has no trend, none at all, or more than `most`.
    """
    known = list(dict.fromkeys(table["gene"].astype(str)))
    asked = known if genes is None else [genes] if isinstance(genes, str) else list(genes)
    for gene in asked:
        if gene not in known:
            msg = (
                f"genes={shown(gene)} has no trend{closest(gene, known)}. Expected some of"
                f" {known[:10]}, or call cf.tl.trends for it."
            )
            raise InputError(msg)
    asked = list(dict.fromkeys(asked))
    if not 0 < len(asked) <= most:
        msg = f"{len(asked)} genes; expected 1 to {most}: pass genes=, or kind='cascade' for many."
        raise InputError(msg)
    return asked


def chosen_rows(
    table: pd.DataFrame, argument: str, wanted: str | Sequence[str] | None
) -> pd.DataFrame:
    """Rows of some fates, groups or conditions, in the order of the names; all by default.

    Raises
    ------
    InputError
        A name that there is no trend of.
    """
    if wanted is None:
        return table
    column = table[argument].astype(str)
    known = list(dict.fromkeys(column))
    asked = [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))
    for name in asked:
        if name not in known:
            msg = f"{argument}={shown(name)} has no trend; expected one of {known}"
            msg += f"{closest(name, known)}."
            raise InputError(msg)
    if not asked:
        msg = f"{argument}=[] names no trend; expected some of {known}."
        raise InputError(msg)
    return table[column.isin(asked)]


def series_of(fitted: PlottedFit, table: pd.DataFrame, groupby: str | None) -> list[Series]:
    """The trends in a table, with colours by fate, else by group, else by condition.

    Parameters
    ----------
    fitted
        The fit.
    table
        Rows of `cf.get.trends`.
    groupby
        Column of the groups.
    """
    kinds = table[list(_PARTS)].astype(str).drop_duplicates()
    varying = [name for name in _PARTS if kinds[name].nunique() > 1]
    by_colour = varying[0] if varying else "fate"
    shades = _shades(fitted, by_colour, list(dict.fromkeys(kinds[by_colour])), groupby)
    by_line = varying[1] if len(varying) > 1 else by_colour
    lines = list(dict.fromkeys(kinds[by_line]))
    found = []
    for number, row in enumerate(kinds.to_dict("records")):
        kind = {str(name): str(value) for name, value in row.items()}
        line = LINES[lines.index(kind[by_line]) % len(LINES)]
        label = ", ".join(kind[name] for name in varying) or _single(kind)
        marker = MARKERS[number % len(MARKERS)]
        found.append(Series(kind, label, shades[kind[by_colour]], line, marker))
    return found


def _single(kind: dict[str, str]) -> str:
    """Name of the only trend."""
    return ", ".join(value for value in kind.values() if value != "all") or "all cells"


def _shades(
    fitted: PlottedFit, by: str, names: Sequence[str], groupby: str | None
) -> dict[str, Any]:
    if by == "fate" and names != ["all"]:
        return fate_colours(fitted, names)
    if by == "group" and groupby is not None and groupby in fitted.adata.obs:
        colours = groups_of(fitted.adata, groupby)
        if set(names) <= set(colours.names):
            remember_colours(fitted.adata, [colours])
            return dict(zip(colours.names, colours.shades, strict=True))
    if names == ["all"]:
        return {"all": _PLAIN}
    if len(names) <= len(OKABE_ITO):
        return dict(zip(names, OKABE_ITO, strict=False))
    return dict(zip(names, chosen(None, names, set(range(len(names)))), strict=True))

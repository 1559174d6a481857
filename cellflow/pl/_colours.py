"""Colours of cells: read and checked before a figure is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.columns import column_of
from cellflow.adapter.expression import expression
from cellflow.adapter.findings import settle
from cellflow.adapter.selection import gene_columns
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, MissingKeyError, closest
from cellflow.pl._palettes import Palette, Shades, chosen, colormap_of, hexes, stored
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.colors import Colormap

__all__ = ["MAP", "Groups", "Values", "groups_of", "numbers_of", "read_colours"]

#: Perceptually uniform, and readable without colour vision (of matplotlib).
MAP = "viridis"
#: Rows of expression that are read together.
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Values:
    """A number for each cell, shape `(n,)`, NaN where there is none; `is_time` for times.

    `limits` are the numbers at the ends of the colormap; the smallest and the largest by default.
    """

    name: str
    values: FloatArray
    is_time: bool = False
    cmap: str | Colormap = MAP
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Groups:
    """A group for each cell: `codes (n,)`, -1 for none; the name and the colour of each group.

    `to_store` are the colours that `uns["{name}_colors"]` shall hold after the figure is drawn.
    """

    name: str
    codes: IntArray
    names: Sequence[str]
    shades: Shades
    to_store: list[str] | None = None

    @property
    def sizes(self) -> IntArray:
        """Number of cells in each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))


def read_colours(
    adata: AnnData, color: object, fitted: PlottedFit, palette: Palette = None
) -> Values | Groups:
    """Read the colours of cells: by time, by a column of `obs`, or by a gene.

    Labels of times are drawn as numbers. Groups take their colours from `palette`, else from
    `uns["{color}_colors"]`, where there are any: a list in the order of the categories, as scanpy
    writes it, or a dictionary from category to colour. Else they take scanpy's default colours.

    Raises
    ------
    MissingKeyError
        There is no such column or gene.
    InputError
        A column that cannot be drawn, a gene without expression, colours that are none.

    Warns
    -----
    InputWarning
        Fewer colours in `uns` than categories.
    """
    cmap = colormap_of(palette, MAP)
    if color is None or (isinstance(color, str) and color == fitted.time_key):
        times = Values(fitted.time_key, fitted.times, is_time=True, cmap=cmap)
        return _finite(times, f"adata.obs[{fitted.keys.time!r}]")
    if not isinstance(color, str) or not (color in adata.obs or color in adata.var_names):
        msg = (
            f"color={color!r} is neither a column of adata.obs nor a"
            f" gene{closest(color, [*adata.obs, *adata.var_names])}."
        )
        raise MissingKeyError(msg)
    if color not in adata.obs:
        values = Values(color, _expression_of(adata, color), cmap=cmap)
        return _finite(values, f"The expression of {color!r}")
    column = settle(column_of(adata, color, "color"))
    where = f"adata.obs[{color!r}]"
    if _is_kind(column):
        return groups_of(adata, color, palette)
    return _finite(Values(color, numbers_of(column, where), cmap=cmap), where)


def _is_kind(column: pd.Series) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return not is_numeric_dtype(column) or is_bool_dtype(column)


def numbers_of(column: pd.Series, where: str) -> FloatArray:
    """A column of real numbers, NaN where there is none; InputError for others."""
    from pandas.api.types import is_complex_dtype

    if is_complex_dtype(column):
        msg = (
            f"{where} has dtype {column.dtype}; expected real numbers or categories. Pass another"
            " color=."
        )
        raise InputError(msg)
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _finite(values: Values, where: str) -> Values:
    if not np.isfinite(values.values).any():
        msg = (
            f"{where} holds no finite value to colour the cells by. Expected some; pass another"
            " color=."
        )
        raise InputError(msg)
    return values


def _expression_of(adata: AnnData, gene: str) -> FloatArray:
    """Expression of one gene, in blocks of cells."""
    column = gene_columns(adata, gene)
    rows = expression(adata)
    if rows is None:
        msg = (
            f"color={gene!r} is a gene, but adata.X is None. Expected expression there, or color= a"
            " column of adata.obs."
        )
        raise InputError(msg)
    blocks = []
    for start in range(0, adata.n_obs, _BLOCK):
        block: Any = rows[slice(start, start + _BLOCK)][:, column]
        block = block.toarray() if hasattr(block, "toarray") else block
        blocks.append(np.ma.filled(np.ma.asarray(block, dtype=np.float64), np.nan).ravel())
    return np.concatenate(blocks)


def groups_of(adata: AnnData, color: str, palette: Palette = None) -> Groups:
    """Read a column of `obs` as groups with their colours; see `read_colours`.

    `remember_colours` of `cellflow.pl._maps` writes the colours to `uns`.
    """
    column = settle(column_of(adata, color, "color"))
    try:
        groups = column.astype("category").cat
    except (TypeError, ValueError) as cause:
        msg = (
            f"adata.obs[{color!r}] cannot be read as categories ({cause}). Expected text,"
            " categories or numbers in it."
        )
        raise InputError(msg) from cause
    codes = groups.codes.to_numpy().astype(np.int64)
    names = list(map(str, groups.categories))
    categories = groups.categories.tolist()
    present = set(codes[codes >= 0].tolist())
    known = stored(adata, color, categories, present) if palette is None else None
    if known is not None:
        return Groups(color, codes, names, known)
    shades = chosen(palette, categories, present)
    return Groups(color, codes, names, shades, hexes(shades))

"""Colours of cells: read and checked before a figure is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.columns import column_of
from cellflow.adapter.expression import expression
from cellflow.adapter.findings import settle
from cellflow.adapter.selection import gene_columns
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, MissingKeyError, closest
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Groups", "Values", "read_colours"]

#: Palette of Okabe and Ito: eight colours that readers without colour vision can distinguish. No
#: larger palette has this property.
_GROUPS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#262626")
#: Rows of expression that are read together.
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Values:
    """A number for each cell, shape `(n,)`, NaN where there is none; `is_time` for times."""

    name: str
    values: FloatArray
    is_time: bool = False


@dataclass(frozen=True, eq=False)
class Groups:
    """A group for each cell: `codes (n,)`, -1 for none; the name and the colour of each group."""

    name: str
    codes: IntArray
    names: Sequence[str]
    shades: Sequence[tuple[float, ...]]

    @property
    def sizes(self) -> IntArray:
        """Number of cells in each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))


def read_colours(adata: AnnData, color: object, fitted: PlottedFit) -> Values | Groups:
    """Read the colours of cells: by time, by a column of `obs`, or by a gene.

    Labels of times are drawn as numbers. Groups take their colours from
    `uns["{color}_colors"]`, where there are any: a list in the order of the categories, as scanpy
    writes it, or a dictionary from category to colour.

    Raises
    ------
    MissingKeyError
        There is no such column or gene.
    InputError
        A column that cannot be drawn, a gene without expression, colours that are none.
    """
    if color is None or (isinstance(color, str) and color == fitted.time_key):
        times = Values(fitted.time_key, fitted.times, is_time=True)
        return _finite(times, f"adata.obs[{fitted.keys.time!r}]")
    if not isinstance(color, str) or not (color in adata.obs or color in adata.var_names):
        msg = (
            f"color={color!r} is neither a column of adata.obs nor a"
            f" gene{closest(color, [*adata.obs, *adata.var_names])}."
        )
        raise MissingKeyError(msg)
    if color not in adata.obs:
        return _finite(Values(color, _expression_of(adata, color)), f"The expression of {color!r}")
    column = settle(column_of(adata, color, "color"))
    where = f"adata.obs[{color!r}]"
    if _is_kind(column):
        return _groups(adata, color, column)
    return _finite(Values(color, _numbers(column, where)), where)


def _is_kind(column: pd.Series) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return not is_numeric_dtype(column) or is_bool_dtype(column)


def _numbers(column: pd.Series, where: str) -> FloatArray:
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


def _groups(adata: AnnData, color: str, column: pd.Series) -> Groups:
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
    present = set(codes[codes >= 0].tolist())
    given: Any = adata.uns.get(f"{color}_colors")
    given = given.tolist() if hasattr(given, "tolist") else given
    if given is None or (isinstance(given, list | tuple | Mapping) and not given):
        return Groups(color, codes, names, _palette(len(names)))
    categories = groups.categories.tolist()
    shades = _given(given, categories, present, f"adata.uns['{color}_colors']")
    return Groups(color, codes, names, shades)


def _given(
    given: object, categories: Sequence[Any], present: set[int], where: str
) -> list[tuple[float, ...]]:
    """The user's colours, one for each category; those of categories without cells are ignored."""
    remedy = (
        f"Expected a list with one colour for each of the {len(categories)} categories, or a"
        " dictionary from category to colour. Correct or delete it."
    )
    if isinstance(given, Mapping):
        by_name = {str(name): shade for name, shade in given.items()}
        lacking = [str(categories[k]) for k in sorted(present) if str(categories[k]) not in by_name]
        if lacking:
            msg = f"{where} has no colour for {lacking[:5]}. {remedy}"
            raise InputError(msg)
        colours = [by_name.get(str(name)) for name in categories]
    elif isinstance(given, list | tuple):
        colours = list(given)
        if len(colours) < len(categories):
            msg = f"{where} has {len(colours)} colours. {remedy}"
            raise InputError(msg)
    else:
        msg = f"{where} is {given!r}. {remedy}"
        raise InputError(msg)
    return [
        _rgba(colours[k], categories[k], where, remedy) if k in present else (0.0,) * 4
        for k in range(len(categories))
    ]


def _rgba(shade: Any, name: object, where: str, remedy: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgba

    try:
        return to_rgba(shade)
    except (TypeError, ValueError) as cause:
        msg = f"{where} has {shade!r} for {name!r}, which is no colour of matplotlib. {remedy}"
        raise InputError(msg) from cause


def _palette(n: int) -> list[tuple[float, ...]]:
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba

    if n <= len(_GROUPS):
        return [to_rgba(shade) for shade in _GROUPS[:n]]
    return [tuple(shade) for shade in colormaps["turbo"](np.linspace(0.05, 0.95, n)).tolist()]

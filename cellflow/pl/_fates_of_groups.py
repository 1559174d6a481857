"""What the figures of fates without an embedding show: read and checked, then drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fate_tables import fate_table
from cellflow.adapter.stored_fates import read_fates
from cellflow.core._text import drawable
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError
from cellflow.pl._colours import MAP, groups_of
from cellflow.pl._fate_colours import UNDECIDED
from cellflow.pl._fates_circular import draw_circle, project
from cellflow.pl._fates_heatmap import draw_heatmap
from cellflow.pl._fates_violin import Violins, draw_violins
from cellflow.pl._grid import require_one
from cellflow.pl._maps import remember_colours
from cellflow.pl._palettes import Palette, colormap_of
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, read_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["circle", "heatmap", "violins"]

#: Level of the intervals of an ensemble, where none is given.
_LEVEL = 0.9
#: Groups that a figure has space for.
_MOST = 80


def circle(
    fitted: PlottedFit,
    names: Sequence[str],
    *,
    color: str | Sequence[str] | None = None,
    groupby: str | None = None,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
    backward: bool,
    ax: Axes | None,
) -> Axes | list[Axes]:
    """Draw cells on a circle of fates; see `cf.pl.fates`."""
    ends = [name for name in names if name != UNDECIDED]
    weight = _weight(fitted)
    about = fitted.record["ancestors" if backward else "fates"]
    probability = _probability(fitted, ends, backward=backward)
    found = project(probability, ends, weight, [str(name) for name in about["names"]])
    look: dict[str, Any] = {"palette": palette, "size": size, "title": title}
    style = read_style(fitted, color=color, legend_loc=legend_loc, **look)
    require_one(ax, len(style.colours), "colours")
    groups = None if groupby is None else groups_of(fitted.adata, groupby)
    if groups is not None:
        _require_few(np.unique(groups.codes).tolist(), groupby)
    return draw_circle(fitted, found, style, groups=groups, backward=backward, ax=ax)


def heatmap(
    fitted: PlottedFit,
    names: Sequence[str],
    *,
    groupby: str | None = None,
    interval: float | None = None,
    palette: Palette = None,
    backward: bool,
    ax: Axes | None,
) -> Axes:
    """Draw mean probabilities of groups; see `cf.pl.fates`."""
    cmap = colormap_of(palette, MAP)
    table = _table(fitted, groupby, interval, backward=backward)
    table = table[table["fate"].isin(names)]
    fate = table["fate"].astype(str).map({name: k for k, name in enumerate(names)})
    group = table["group"].map({each: k for k, each in enumerate(dict.fromkeys(table["group"]))})
    order = np.lexsort((fate.to_numpy(dtype=int), group.to_numpy(dtype=int)))
    table = table.iloc[order].reset_index(drop=True)
    return draw_heatmap(table, cmap=cmap, row_label=_label(fitted, groupby), ax=ax)


def violins(
    fitted: PlottedFit,
    names: Sequence[str],
    *,
    groupby: str | None = None,
    interval: float | None = None,
    backward: bool,
    ax: Axes | None,
) -> Axes | list[Axes]:
    """Draw the distributions of probabilities over groups; see `cf.pl.fates`."""
    require_one(ax, len(names), "fates")
    table = _table(fitted, groupby, interval, backward=backward)
    probability = _probability(fitted, names, backward=backward)
    weight = _weight(fitted)
    groups = list(dict.fromkeys(table["group"]))
    codes = _codes(fitted, groupby or fitted.time_key, groups)
    rows = [np.flatnonzero((codes == k) & (weight > 0)) for k in range(len(groups))]
    wide = {
        what: table.pivot_table(what, "group", "fate", observed=True, dropna=False)
        .reindex(index=groups, columns=list(names))  # `loc` takes False and True as a mask
        .to_numpy()
        for what in ("probability", *({"low", "high"} & set(table)))
    }
    nothing = np.full((len(groups), len(names)), np.nan)
    found = Violins(
        [_text(group) for group in groups],
        _shades(fitted, groupby, groups),
        rows,
        weight,
        wide["probability"],
        wide.get("low", nothing),
        wide.get("high", nothing),
    )
    label = _label(fitted, groupby)
    axes = draw_violins(probability, names, found, row_label=label, backward=backward, ax=ax)
    return axes[0] if len(axes) == 1 else axes


def _table(
    fitted: PlottedFit, groupby: str | None, interval: float | None, *, backward: bool
) -> pd.DataFrame:
    """Means of groups, with intervals of an ensemble."""
    about = fitted.record["ancestors" if backward else "fates"]
    if interval is None and int(about.get("n_members", 1)) > 1:
        interval = _LEVEL
    column = fitted.time_key if groupby is None else groupby
    way: dict[str, Any] = {"groupby": column, "backward": backward, "interval": interval}
    table = fate_table(fitted.adata, fitted.key, **way)
    groups = list(dict.fromkeys(table["group"]))
    _require_few(groups, groupby)
    if column == fitted.time_key:  # labels such as "E8.5" and "E10.5", by the times they stand for
        codes = _codes(fitted, column, groups)
        first = [float(np.nanmin(fitted.times[codes == k])) for k in range(len(groups))]
        groups = [groups[k] for k in np.argsort(first, kind="stable")]
    place = table["group"].map({group: k for k, group in enumerate(groups)}).astype(int)
    order = np.argsort(place.to_numpy(), kind="stable")
    return table.iloc[order].reset_index(drop=True)


def _probability(fitted: PlottedFit, names: Sequence[str], *, backward: bool) -> FloatArray:
    found = read_fates(fitted.adata, fitted.keys, fitted.record, fitted.cells, backward=backward)
    return found.probability[:, [found.names.index(name) for name in names]]


def _weight(fitted: PlottedFit) -> FloatArray:
    """Weight of each cell, shape `(n,)`."""
    own = fitted.cells.weight
    return np.ones(fitted.adata.n_obs) if own is None else np.nan_to_num(own)


def _codes(fitted: PlottedFit, column: str, groups: Sequence[Any]) -> IntArray:
    """Place of the group of each cell in `groups`, shape `(n,)`; -1 for none."""
    import pandas as pd

    labels = pd.Categorical(fitted.adata.obs[column].astype("category"), categories=groups)
    return np.asarray(labels.codes, dtype=np.int64)


def _require_few(groups: Sequence[Any], groupby: str | None) -> None:
    if len(groups) > _MOST:
        msg = (
            f"groupby={groupby!r} has {len(groups):,} groups; expected at most {_MOST}. Pass a"
            " column with fewer."
        )
        raise InputError(msg)


def _shades(fitted: PlottedFit, groupby: str | None, groups: Sequence[Any]) -> list[Any]:
    """A colour for each group; times follow a colormap."""
    if groupby is None or groupby == fitted.time_key:
        codes = _codes(fitted, fitted.time_key, groups)
        first = [np.nanmin(fitted.times[codes == k]) for k in range(len(groups))]
        return _along(np.array(first))
    colours = groups_of(fitted.adata, groupby)
    remember_colours(fitted.adata, [colours])
    by_name = dict(zip(colours.names, colours.shades, strict=True))
    return [by_name[str(group)] for group in groups]


def _along(values: FloatArray) -> list[Any]:
    """Colours of a colormap at numbers, without its lightest."""
    from matplotlib import colormaps

    span = np.ptp(values) or 1.0
    return [tuple(shade) for shade in colormaps[MAP](0.95 * (values - values.min()) / span)]


def _label(fitted: PlottedFit, groupby: str | None) -> str:
    if groupby is not None and groupby != fitted.time_key:
        return drawable(groupby)
    return f"{fitted.time_key} ({fitted.unit})" if fitted.unit else fitted.time_key


def _text(group: object) -> str:
    return f"{group:g}" if isinstance(group, float) else str(group)

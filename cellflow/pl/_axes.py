"""What every picture shares: an Axes, colours that everybody can tell apart, legends beside the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow._typing import FloatArray
from cellflow.adapter.selection import gene_columns
from cellflow.errors import InputError, InputTypeError, MissingKeyError, closest
from cellflow.pl._read import Fitted

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = [
    "FAINT",
    "INK",
    "MAP",
    "OBSERVED",
    "PREDICTED",
    "embedding_axes",
    "legend",
    "map_axes",
    "new_axes",
    "paint",
    "scatter",
    "time_bar",
]

INK = "#262626"
FAINT = "#dcdcdc"
OBSERVED = "#0072b2"
PREDICTED = "#d55e00"
#: Perceptually uniform, and readable without colour vision.
MAP = "viridis"
#: Okabe and Ito's palette: eight groups that colour-blind readers can tell apart; more than that nobody can.
_GROUPS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#262626")
#: More measured times than this would run into each other on a colour bar.
_MAX_TICKS = 12


def new_axes(ax: Axes | None, *, width: float = 6.4, height: float = 4.8) -> Axes:
    """Return `ax`, or the Axes of a new figure that leaves room for what stands beside the data."""
    if ax is not None:
        if not hasattr(ax, "add_collection"):
            msg = f"ax= is of type {type(ax).__name__}; expected one Axes, such as plt.subplots()[1]."
            raise InputTypeError(msg)
        return ax
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return plt.subplots(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1, compress=True))[1]


def map_axes(ax: Axes | None, xy: FloatArray, *, width: float = 5.2, beside: float = 1.2, above: float = 0.0) -> Axes:
    """Return `ax`, or the Axes of a new figure in the shape of the map, with room `beside` and `above` it in inches."""
    across, up = np.maximum(np.ptp(xy, axis=0), np.finfo(np.float64).tiny)
    return new_axes(ax, width=width + beside, height=width * float(np.clip(up / across, 0.5, 1.3)) + 0.4 + above)


def embedding_axes(ax: Axes, basis: str) -> None:
    """Dress an Axes for coordinates without units: equal scales, so that directions are true, and two arrows as axes."""
    ax.set_aspect("equal", adjustable="box")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    name = {"pca": "PC", "tsne": "t-SNE"}.get(basis, basis.upper() if len(basis) <= 5 else basis)
    arrow = {"arrowstyle": "-|>", "color": INK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
    text: dict[str, Any] = {"fontsize": 7, "color": INK, "transform": ax.transAxes}
    for tip in ((0.12, 0.0), (0.0, 0.12)):
        ax.annotate("", tip, (0.0, 0.0), xycoords="axes fraction", arrowprops=arrow)
    ax.text(0.0, -0.015, f"{name} 1", ha="left", va="top", **text)
    ax.text(-0.015, 0.0, f"{name} 2", ha="right", va="bottom", rotation=90, **text)


def scatter(
    ax: Axes,
    xy: FloatArray,
    *,
    color: Any = None,
    values: FloatArray | None = None,
    alpha: float = 0.7,
    label: str | None = None,
    zorder: float = 1,
) -> Any:
    """Draw cells in one colour or by values, as discs whose size suits their number; a vector file holds them as an image."""
    size = float(np.clip(30_000 / max(len(xy), 1), 3.0, 32.0))
    shade: dict[str, Any] = {"color": color} if values is None else {"c": values, "cmap": MAP}
    return ax.scatter(
        xy[:, 0], xy[:, 1], s=size, alpha=alpha, linewidths=0, label=label, zorder=zorder, rasterized=True, **shade
    )


def paint(ax: Axes, adata: AnnData, xy: FloatArray, color: str, *, fitted: Fitted, alpha: float) -> None:
    """Draw cells at `xy` `(n, 2)` coloured by a column of `obs` or a gene, with a colour bar or a legend beside them.

    The column of times is drawn as the numbers it stands for.

    Raises
    ------
    MissingKeyError
        There is no such column or gene.
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if not isinstance(color, str) or not (color == fitted.time_key or color in adata.obs or color in adata.var_names):
        msg = f"color={color!r} is neither a column of adata.obs nor a gene{closest(color, [*adata.obs, *adata.var_names])}."
        raise MissingKeyError(msg)
    if color == fitted.time_key:
        time_bar(ax, _paint_numbers(ax, xy, fitted.times, alpha), fitted)
    elif color in adata.obs:
        column = adata.obs[color]
        if is_numeric_dtype(column) and not is_bool_dtype(column):
            colour_bar(ax, _paint_numbers(ax, xy, column.to_numpy(dtype=np.float64, na_value=np.nan), alpha), color)
        else:
            groups = column.astype("category").cat
            given = list(adata.uns.get(f"{color}_colors", ()))
            shades = given if len(given) >= len(groups.categories) else _shades(len(groups.categories))
            _paint_groups(ax, xy, groups.codes.to_numpy(), list(map(str, groups.categories)), shades, alpha)
            legend(ax, title=color)
    else:
        values = adata.X[:, gene_columns(adata, color)]
        dense = np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)
        colour_bar(ax, _paint_numbers(ax, xy, dense.ravel(), alpha), color)


def _paint_numbers(ax: Axes, xy: FloatArray, values: FloatArray, alpha: float) -> Any:
    known = np.isfinite(values)
    if not known.any():
        msg = "There is no finite value to colour the cells by."
        raise InputError(msg)
    scatter(ax, xy[~known], color=FAINT, alpha=alpha, zorder=0)
    return scatter(ax, xy[known], values=values[known], alpha=alpha)


def _paint_groups(
    ax: Axes, xy: FloatArray, codes: np.ndarray, names: Sequence[str], shades: Sequence[Any], alpha: float
) -> None:
    for code, (name, shade) in enumerate(zip(names, shades, strict=False)):
        if (codes == code).any():
            scatter(ax, xy[codes == code], color=shade, alpha=alpha, label=name)
    if (codes < 0).any():
        scatter(ax, xy[codes < 0], color=FAINT, alpha=alpha, label="not given", zorder=0)


def _shades(n: int) -> Sequence[Any]:
    from matplotlib import colormaps

    return _GROUPS[:n] if n <= len(_GROUPS) else colormaps["turbo"](np.linspace(0.05, 0.95, n)).tolist()


def colour_bar(ax: Axes, drawn: Any, label: str, ticks: Sequence[float] = ()) -> None:
    """Put a slim colour bar beside the data."""
    from matplotlib.cm import ScalarMappable

    # The bar shows the colours as they are, not as transparent as the cells.
    bar = ax.figure.colorbar(
        ScalarMappable(drawn.norm, drawn.cmap), ax=ax, shrink=0.5, aspect=20, pad=0.02, anchor=(0.0, 0.95)
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8)
    bar.set_label(label, fontsize=9)
    if ticks:
        bar.set_ticks(list(ticks), labels=[f"{t:g}" for t in ticks])


def time_bar(ax: Axes, drawn: Any, fitted: Fitted) -> None:
    """Put a colour bar of time beside the data, with ticks where cells were sampled."""
    ticks = fitted.snapshots.tolist()
    label = f"{fitted.time_key} ({fitted.unit})" if fitted.unit else fitted.time_key
    colour_bar(ax, drawn, label, ticks if len(ticks) <= _MAX_TICKS else ())


def legend(ax: Axes, *, title: str | None = None, x: float = 1.02) -> None:
    """Put the legend outside, right of the data."""
    _, labels = ax.get_legend_handles_labels()
    box = ax.legend(
        loc="upper left", bbox_to_anchor=(x, 1.0), borderaxespad=0.0, frameon=False, fontsize=8, handletextpad=0.4,
        title=title, title_fontsize=9, alignment="left", ncols=1 + len(labels) // 18,
    )  # fmt: skip
    for handle in box.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([28.0])
            handle.set_alpha(1.0)

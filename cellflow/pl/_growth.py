"""Growth rates on an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from cellflow.adapter.components import Components
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.errors import InputError, MissingKeyError
from cellflow.pl._colours import MAP, Values
from cellflow.pl._maps import draw_maps
from cellflow.pl._palettes import Palette, colormap_of, diverging
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, style_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["growth"]

#: The colours end at this percentile of the absolute rates, so that no cell decides them alone.
_END = 99.0
#: What is on the colour bar, which has place for 40 letters.
_ABSOLUTE = {"rate": "growth rate", "low": "smallest growth rate", "high": "largest growth rate"}
_RELATIVE = {
    "rate": "relative growth rate",
    "low": "least relative growth",
    "high": "largest relative growth",
}


@guarded
def growth(
    adata: AnnData,
    *,
    basis: str | None = None,
    components: Components = None,
    show: Literal["rate", "low", "high"] = "rate",
    palette: Palette = None,
    size: float | None = None,
    title: str | None = None,
    legend_loc: LegendLoc | None = "right margin",
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the growth rate of each cell on an embedding, in diverging colours around zero.

    The colour bar says "relative" where the fit had no sizes of populations (`mass_key`), or where
    conditions are taken to grow alike: zero is then the growth of the whole, and the rates of cells
    of different snapshots are not to be compared. `cf.get.growth(by_time=True)` keeps them apart.

    Parameters
    ----------
    adata
        Cells with the rates that `cf.tl.growth` wrote.
    basis
        The embedding to draw on.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`; see `cf.pl.stream`.
    show
        The rate of the fit, or the smallest or largest under the assumptions that were tried. The
        colours of all three have the same scale, so that figures can be compared.
    palette
        A diverging colormap of matplotlib. By default orange cells grow, purple ones shrink; they
        are light and dark without colour.
    size, title, legend_loc, key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes.

    Raises
    ------
    MissingKeyError
        No fit, no rates, or no such embedding.
    InputError
        Another value of `show`, components that do not exist, or rates that are all missing. No
        figure is made then.

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", growth="learn", key_added="growing")
    >>> cf.tl.growth(adata, key="growing")
    >>> ax = cf.pl.growth(adata, basis="umap", key="growing")
    """
    check_arguments(growth, locals())
    fitted = PlottedFit(adata, key)
    fitted.record  # noqa: B018 (raises where there is no fit)
    names = {
        "rate": fitted.keys.growth,
        "low": fitted.keys.growth_low,
        "high": fitted.keys.growth_high,
    }
    if show not in names:
        msg = f"show={show!r}; expected one of {list(names)}."
        raise InputError(msg)
    missing = [name for name in names.values() if name not in adata.obs]
    if missing:
        msg = (
            f"No {missing} in adata.obs. Compute the rates first:"
            f" cf.tl.growth(adata{fitted.keys.argument})."
        )
        raise MissingKeyError(msg)
    rates = {what: adata.obs[name].to_numpy(dtype=np.float64) for what, name in names.items()}
    values = rates[show]
    if not np.isfinite(values).any():
        msg = f"adata.obs[{names[show]!r}] holds no finite rate; expected those of cf.tl.growth."
        raise InputError(msg)
    every = np.abs(np.concatenate(list(rates.values())))
    end = float(np.percentile(every[np.isfinite(every)], _END)) or 1.0
    _, positions, plane = fitted.coordinates(fitted.map_basis(basis), components)
    label = f"{(_RELATIVE if _is_relative(fitted) else _ABSOLUTE)[show]} {_per(fitted)}"
    cmap = diverging() if palette is None else colormap_of(palette, MAP)
    colours = [Values(label, values, cmap=cmap, limits=(-end, end))]
    style = style_of(fitted, colours, size=size, title=title, legend_loc=legend_loc)
    return draw_maps(fitted, plane.of(positions), plane, style, ax=ax)


def _is_relative(fitted: PlottedFit) -> bool:
    """Whether zero is the growth of the whole, and not that of a cell that stays alone."""
    sized = fitted.params.get("mass_key") is not None
    return not sized or fitted.params.get("condition_key") is not None


def _per(fitted: PlottedFit) -> str:
    """What the rates are per."""
    unit = fitted.unit or "unit of time"
    return f"per {unit.removesuffix('s') or unit}"

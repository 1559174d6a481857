"""Mass that goes from label to label over the snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.plan_table import NOT_GIVEN, UNPAIRED, plan_table
from cellflow.adapter.units import Time
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.pl._axes import FAINT, INK, canvas
from cellflow.pl._colours import groups_of
from cellflow.pl._maps import remember_colours
from cellflow.pl._read import PlottedFit
from cellflow.pl._sankey import Sankey, draw_sankey
from cellflow.pl._words import headline

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["plan"]

#: Inches of a name on either side, at most.
_NAMES = 1.6
#: Inches of the row of a name, and of the lowest figure.
_ROW = 0.12
_LOWEST = 4.0
#: Names beside one time at most.
_MOST = 60
#: A smaller share that is left out is rounding.
_ALL = 0.0005


@guarded
def plan(
    adata: AnnData,
    groupby: str,
    *,
    times: Sequence[Time] | None = None,
    threshold: float = 0.01,
    title: str | None = None,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> tuple[Axes, pd.DataFrame]:
    """Draw the mass of cells that goes from label to label over several snapshots.

    A bar is a label at a time, and its height is its measured mass. A band is the mass that goes
    from one label to another, in the colour of the first. The masses are those of the transport
    plans of the fit, which are solved again: see `cf.get.plan`, which returns the same table. With
    growth a band is as wide at either end as its mass is there, so it widens where cells grow.

    Parameters
    ----------
    adata
        The measured cells, with a fit that moves cells.
    groupby
        Column of `adata.obs` with the labels. Categories take the colours in
        `uns["{groupby}_colors"]`.
    times
        At least two times of snapshots, increasing; all by default.
    threshold
        Bands with less than this share of the mass, at both ends, are left out. What is left out
        of each interval at most is printed above the figure.
    title
        Text above the figure, beside the share that is left out.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, and the table of all masses, also of those that are not drawn.

    Raises
    ------
    MissingKeyError
        No fit, or no such column.
    InputError
        A threshold that is not between 0 and 1, colours that are none, and as `cf.get.plan`. No
        figure is made then.
    CouplingError
        A plan that cannot be solved.

    References
    ----------
    Schiebinger et al., Optimal-transport analysis of single-cell gene expression identifies
    developmental trajectories in reprogramming, Cell 2019.

    Examples
    --------
    >>> ax, table = cf.pl.plan(adata, "cell_type", threshold=0.02)
    """
    check_arguments(plan, locals())
    threshold = as_number("threshold", threshold, least=0.0, most=1.0)
    fitted = PlottedFit(adata, key)
    table = plan_table(adata, groupby, times, key)
    names = _names(table)
    groups = groups_of(adata, groupby)
    shades = {**dict(zip(groups.names, groups.shades, strict=True)), NOT_GIVEN: FAINT}
    what, left_out = _sankey(table, names, threshold, shades)
    ends = np.unique(table[["from_time", "time"]].to_numpy())
    own = ax is None
    height = 0.9 + 1.4 * _ROW * int(what.named.sum(axis=1).max())
    size = {"width": 2 * _NAMES + 2.0 * (len(ends) - 1), "height": max(height, _LOWEST)}
    with canvas(ax, **size) as ax:
        draw_sankey(ax, what)
        ax.set_xticks(range(len(ends)), [f"{t:g}" for t in ends])
        unit = f" ({fitted.unit})" if fitted.unit else ""
        ax.set_xlabel(f"{fitted.time_key}{unit}", color=INK, fontsize=9)
        said = _left_out_words(threshold, left_out, ends, what.n_unnamed)
        headline([ax], "\n".join(filter(None, [title, said])), own=own)
    remember_colours(adata, [groups])
    return ax, table


def _names(table: pd.DataFrame) -> list[str]:
    """All labels of the table in their order."""
    order = [*table["source"].cat.categories, *table["target"].cat.categories]
    first = [str(name) for name in dict.fromkeys(order) if name not in (NOT_GIVEN, UNPAIRED)]
    return first + ([NOT_GIVEN] if NOT_GIVEN in order else [])


def _sankey(
    table: pd.DataFrame, names: Sequence[str], threshold: float, shades: Mapping[str, Any]
) -> tuple[Sankey, FloatArray]:
    """What is drawn, and the share of the mass of each interval that is not."""
    ends = np.unique(table[["from_time", "time"]].to_numpy())
    place = {name: k for k, name in enumerate(names)}
    n = len(names)
    mass = np.zeros((len(ends), n))
    before = np.zeros((len(ends) - 1, n, n))
    after = np.zeros_like(before)
    for k, (_, rows) in enumerate(table.groupby("from_time", sort=True)):
        found: Any = rows.itertuples()
        for row in found:
            i = place.get(str(row.source))
            j = place.get(str(row.target))
            if i is not None:
                mass[k, i] += row.mass_before if k == 0 else 0.0
            if j is not None:
                mass[k + 1, j] += row.mass_after
            if i is not None and j is not None:
                before[k, i, j] = row.mass_before
                after[k, i, j] = row.mass_after
    totals = mass.sum(axis=1)
    start, end = (t[:, None, None] for t in (totals[:-1], totals[1:]))
    kept = np.maximum(before / start, after / end) >= threshold
    share = [
        1.0 - (m * kept).sum(axis=(1, 2)) / t.ravel() for m, t in ((before, start), (after, end))
    ]
    drawn = Sankey(names, mass, before * kept, after * kept, shades, _MOST)
    return drawn, np.maximum(*share)


def _left_out_words(
    threshold: float, left_out: FloatArray, ends: FloatArray, n_unnamed: int
) -> str:
    """How much of the mass is not drawn, and how many labels have no name."""
    most = int(np.argmax(left_out))
    unnamed = f"; the {n_unnamed} smallest labels have no name" if n_unnamed else ""
    if left_out[most] < _ALL:
        return f"all of the mass is drawn{unnamed}"
    where = f"{ends[most]:g} to {ends[most + 1]:g}"
    every = f"at most {left_out[most]:.1%} of the mass of an interval ({where})"
    if len(left_out) == 1:
        every = f"{left_out[most]:.1%} of the mass"
    return f"bands below {100 * threshold:.3g} % of the mass are left out: {every}{unnamed}"

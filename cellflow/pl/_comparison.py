"""Effects of conditions, with intervals and p-values by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from cellflow.adapter.comparison_record import comparison_record
from cellflow.adapter.read import require_anndata
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number, shown
from cellflow.core._settings import guarded
from cellflow.errors import InputError, closest
from cellflow.pl._effects import Effects, draw_distance, draw_forest, draw_over_time
from cellflow.pl._grid import panels, require_one
from cellflow.pl._read import PlottedFit
from cellflow.pl._words import headline, wrapped

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["comparison"]

#: Quantities in the order of their panels.
_QUANTITIES = ("speed", "growth", "fate", "distance")
_OVER = ("group", "time")
#: Inches of a panel, of a row of it, and of a line of the words above.
_WIDTH = 4.6
_ROW = 0.3
_LINE = 0.15
#: Size of the words above, in points.
_SIZE = 8.5


@guarded
def comparison(
    adata: AnnData,
    *,
    quantity: str | Sequence[str] | None = None,
    over: Literal["group", "time"] = "group",
    alpha: float = 0.05,
    title: str | None = None,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the effects of conditions that `cf.tl.compare` found: by group, or over time.

    A point is an effect, the value in a condition less that in the reference, with its interval.
    It is filled where the p-value adjusted for all effects of the panel is at most `alpha`. The
    title says what the samples are.

    Parameters
    ----------
    adata
        Cells with a comparison.
    quantity
        One or several of `"speed"`, `"growth"`, `"fate"` and `"distance"`, a panel each; all that
        were compared by default. Fates are drawn by group. Distances between the populations are
        drawn over time, beside those between samples of one condition; a bar below marks where they
        diverge.
    over
        Speed and growth of the whole course by `"group"`, with their p-values; or of each interval
        over `"time"`.
    alpha
        Level of the adjusted p-values.
    title
        Replaces the words on what was compared; `""` for none.
    key, ax
        See `cf.pl.stream`. `ax` is for one quantity.

    Returns
    -------
    The Axes; those of several quantities in a list.

    Raises
    ------
    MissingKeyError
        No fit, or no comparison.
    InputError
        Quantities that were not compared, another `over`, a level that is none, or one Axes for
        several panels. No figure is made then.

    References
    ----------
    Lewis and Clarke, Forest plots: trying to see the wood and the trees, BMJ 2001.

    Examples
    --------
    >>> how = {"condition_key": "drug", "shared_until": 0, "sample_key": "dish"}
    >>> cf.tl.flow(adata, "hours", overwrite=True, **how)
    >>> cf.tl.compare(adata, "drug", groupby="cell_type", n_perm=50)
    >>> ax = cf.pl.comparison(adata, quantity="speed", over="time")
    """
    check_arguments(comparison, locals())
    require_anndata(adata)
    if over not in _OVER:
        msg = f"over={shown(over)}; expected one of {list(_OVER)}{closest(over, _OVER)}."
        raise InputError(msg)
    alpha = as_number("alpha", alpha, least=0.0, most=1.0)
    record = comparison_record(adata, key)
    effects = Effects(record["table"], alpha, PlottedFit(adata, key), over)
    names = _quantities(effects, quantity)
    require_one(ax, len(names), "quantities")
    text = str(record["words"]) if title is None else title
    columns = 2
    across = _WIDTH * min(len(names), columns)
    lines = 1 + wrapped(text, 0.96 * across, _SIZE).count("\n")
    height = max(3.2, 1.2 + _ROW * max(effects.n_rows(name) for name in names))
    height += _LINE * lines / -(-len(names) // columns)
    with panels(ax, len(names), width=_WIDTH, height=height, columns=columns) as every:
        for k, name in enumerate(names):
            if name == "distance":
                draw_distance(every[k], effects, name)
            elif over == "time" and name != "fate":
                draw_over_time(every[k], effects, name)
            else:
                draw_forest(every[k], effects, name)
        if text:
            headline(every, text, own=ax is None, size=_SIZE)
    return every[0] if len(every) == 1 else every


def _quantities(effects: Effects, asked: str | Sequence[str] | None) -> list[str]:
    """Names of the panels, checked."""
    known = [name for name in _QUANTITIES if len(effects.of(name))]
    names = known if asked is None else [asked] if isinstance(asked, str) else list(asked)
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        hint = closest(wrong[0], known) if wrong else ""
        msg = f"quantity={shown(asked)}; expected some of {known}, which were compared{hint}."
        raise InputError(msg)
    return list(dict.fromkeys(names))

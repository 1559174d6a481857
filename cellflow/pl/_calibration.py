"""Whether fates are as probable as they are said to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.calibration_table import calibration_table
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.core._text import drawable
from cellflow.errors import InputError, closest
from cellflow.pl._axes import INK, legend
from cellflow.pl._grid import panels, require_one
from cellflow.pl._reliability import draw_reliability, draw_shares

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["calibration"]

#: Inches of a reliability diagram with its bars, and of one panel of shares.
_DIAGRAM = (3.3, 4.4)
_SHARES = 3.0


@guarded
def calibration(
    adata: AnnData,
    *,
    fate: str | Sequence[str] | None = None,
    title: str | None = None,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the observed against the predicted shares of fates, before and after calibration.

    By clones it is a reliability diagram: the cells of a bin have about the same probability of a
    fate, and the share of their clones' later cells that have it should be as large. On the dashed
    diagonal it is; points below it are too certain. Bars are intervals over clones. Below stand the
    numbers of cells in each bin.

    By composition there is a panel for each earlier snapshot: the shares of the fates that its
    cells predict, beside those measured at the end with their intervals.

    Parameters
    ----------
    adata
        Cells whose fates `cf.tl.calibrate` has calibrated.
    fate
        One or several, by clones a panel each; by default `"most probable"`, the most probable fate
        of each cell. By composition, the rows; all by default.
    title
        Text above the figure.
    key, ax
        See `cf.pl.stream`. `ax` is for one panel.

    Returns
    -------
    The Axes; those of several panels in a list.

    Raises
    ------
    MissingKeyError
        No fit, or no calibration.
    InputError
        No such fate, or one Axes for several panels. No figure is made then.

    References
    ----------
    Murphy and Winkler, Reliability of subjective probability forecasts of precipitation and
    temperature, Applied Statistics 1977 (the diagram).

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.calibrate(adata, lineage_key="clone")
    >>> left, right = cf.pl.calibration(adata, fate=["most probable", "myotube"])
    """
    check_arguments(calibration, locals())
    table = calibration_table(adata, key)
    by_clones = "bin" in table
    known = list(map(str, table["fate"].cat.categories))
    names = _fates(fate, known, ["most probable"] if by_clones else known)
    drawn = _diagrams if by_clones else _compositions
    every = drawn(table, names, title, ax)
    return every[0] if len(every) == 1 else every


def _fates(asked: object, known: Sequence[str], default: Sequence[str]) -> list[str]:
    """Names of fates, checked."""
    if asked is None:
        return list(default)
    single = isinstance(asked, str) or not isinstance(asked, Sequence)
    names: list[Any] = [asked] if single else list(asked)  # type: ignore[call-overload]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        hint = closest(wrong[0], known) if wrong else ""
        msg = f"fate={shown(asked)}; expected some of {list(known)}{hint}."
        raise InputError(msg)
    return list(dict.fromkeys(names))


def _diagrams(
    table: pd.DataFrame, names: Sequence[str], title: str | None, ax: Axes | None
) -> list[Axes]:
    """A reliability diagram of each fate."""
    require_one(ax, len(names), "fates")
    errors = table.attrs.get("errors", [])
    beside = 1.9 / min(len(names), 4)
    with panels(ax, len(names), width=_DIAGRAM[0] + beside, height=_DIAGRAM[1]) as every:
        for k, name in enumerate(names):
            draw_reliability(every[k], table[table["fate"] == name])
            _name(every[k], name, errors, title if len(every) == 1 else None)
        legend(every[-1])
        if title and len(every) > 1:
            every[0].figure.suptitle(title, fontsize=10, color=INK)
    return every


def _name(ax: Axes, name: str, errors: Sequence[dict[str, Any]], title: str | None) -> None:
    """The fate, and its calibration errors."""
    found = {str(row["stage"]): row for row in errors if str(row["fate"]) == name}
    said = [f"{row['ece']:.3f} {stage}" for stage, row in found.items()]
    about = ""
    if said:
        chance = next(iter(found.values()))["chance"]
        about = f"error {', '.join(said)}; {chance:.3f} by chance"
    lines = filter(None, [title, drawable(name, longest=60), about])
    ax.set_title("\n".join(lines), fontsize=8.5, color=INK, loc="left")


def _compositions(
    table: pd.DataFrame, names: Sequence[str], title: str | None, ax: Axes | None
) -> list[Axes]:
    """Shares of the fates by each earlier snapshot."""
    times = np.unique(table["time"])
    require_one(ax, len(times), "earlier snapshots")
    height = 1.1 + 0.34 * len(names)
    width = _SHARES + 2.6 / min(len(times), 4)
    with panels(ax, len(times), width=width, height=height, sharex=True) as every:
        for k, time in enumerate(times):
            rows = table[table["time"] == time]
            draw_shares(every[k], rows, names)
            said = f"from time {time:g} (n = {int(rows['n_cells'].iloc[0]):,})"
            lines = filter(None, [title if len(every) == 1 else None, said])
            every[k].set_title("\n".join(lines), fontsize=9, color=INK, loc="left")
        legend(every[-1])
        if title and len(every) > 1:
            every[0].figure.suptitle(title, fontsize=10, color=INK)
    return every

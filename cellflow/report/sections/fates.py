"""What the cells become, by group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable
from cellflow.core._typing import FloatArray
from cellflow.report import pictures
from cellflow.report.contents import Contents
from cellflow.report.format import with_interval
from cellflow.report.markup import Markup, element, heading, table
from cellflow.report.pictures import INK, SOFT, Letters

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["fates"]

#: Squares of the picture along one side; the table has all of them.
_MOST = 24
#: A smaller probability is not written, neither into its square nor into the table.
_WRITTEN = 0.05
_ABOUT = (
    "The probability that the descendants of a cell end in each group of the last snapshot, by the"
    " fit to all snapshots: means over the cells of a group, weighted by the mass of their"
    " descendants; where they are worth few cells of equal mass, few cells decide the mean."
    " “undecided” are descendants that end far from all measured cells."
)
_INTERVAL = " In brackets the 90 % interval between the members of the ensemble."


def fates(contents: Contents) -> Iterator[Markup]:
    """Mean probabilities of fates by group of cells, as a picture and a table."""
    found = contents.answers.get("fates")
    if found is None:
        return
    yield heading("What the cells become")
    yield element("p", _ABOUT + (_INTERVAL if "low" in found else ""))
    yield _drawn(found)
    yield table(("fate", "probability"), list(_rows(found)))
    if "groupby" in found.attrs:
        at = contents.held.at(float(found.attrs["at"]))
        words = f"The fates are the groups of {found.attrs['groupby']} at {at}."
        yield element("p", words, class_="soft")


def _rows(found: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """The fates of each group, the most likely first, without those that are hardly likely."""
    shown = found.rename(columns={"low": "probability_low", "high": "probability_high"})
    for group, part in shown.groupby("group", sort=False):
        kept = part[part["probability"] >= _WRITTEN].sort_values("probability", ascending=False)
        n, worth = part[["n_cells", "n_effective"]].iloc[0]
        yield "group", [f"{group} ({n:,.0f} cells, worth {worth:,.1f} of equal mass)"]
        for _, row in kept.iterrows():
            yield "", [str(row["fate"]), with_interval(row, "probability", 2)]


def _drawn(found: pd.DataFrame) -> Markup:
    """Draw groups down, fates across."""
    wide = found.pivot(index="group", columns="fate", values="probability")
    wide = wide.reindex(columns=list(dict.fromkeys(found["fate"])))
    wide = wide.iloc[:_MOST, :_MOST]
    rows = [drawable(str(name)) for name in wide.index]
    columns = [drawable(str(name)) for name in wide.columns]
    letters = Letters.of(*rows, *columns)
    values = wide.to_numpy(dtype=np.float64)
    longest = max(map(len, [*rows, *columns]))
    drawing = pictures.blank(
        2.0 + 0.07 * longest + 0.5 * len(columns), 1.1 + 0.07 * longest + 0.32 * len(rows)
    )
    ax = drawing.add_subplot()
    ax.imshow(np.ma.masked_invalid(values), cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    _write(ax, values)
    ax.set_xticks(range(len(columns)), [letters(c) for c in columns], fontsize=8.5, rotation=90)
    ax.set_yticks(range(len(rows)), [letters(r) for r in rows], fontsize=8.5)
    ax.tick_params(axis="both", length=0, colors=INK)
    ax.set_xlabel("fate", fontsize=8.5, color=SOFT)
    ax.set_ylabel("group of cells", fontsize=8.5, color=SOFT)
    ax.spines[:].set_visible(False)
    caption = "Mean probability of each fate (columns) of the cells of each group (rows)."
    return pictures.finished(drawing, letters, caption, alt="Fates by group of cells")


def _write(ax: Axes, values: FloatArray) -> None:
    """Write probabilities into their squares."""
    for i, j in zip(*np.nonzero(np.nan_to_num(values) >= _WRITTEN), strict=True):
        shade = "white" if values[i, j] > 0.6 else INK
        at: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
        ax.text(j, i, f"{values[i, j]:.2f}", color=shade, **at)

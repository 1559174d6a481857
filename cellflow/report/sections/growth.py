"""How fast groups of cells grow."""

from __future__ import annotations

from collections.abc import Iterator

from cellflow.report.contents import Contents
from cellflow.report.format import digits, number, with_interval
from cellflow.report.markup import Markup, element, heading, table

__all__ = ["growth"]

_ABOUT = (
    "Rates are births less deaths per cell and unit of time: means over the cells of a group, by"
    " the fit to all snapshots. In brackets is the range over the assumptions that were tried."
    " Snapshots determine growth only with an assumption."
)
_HEADS = ("group", "cells", "rate (range over assumptions)", "doubling time")
_DOUBLING = (
    "The doubling time is log(2) divided by the rate, in the unit of time; a negative one is the"
    " time in which the group halves."
)


def growth(contents: Contents) -> Iterator[Markup]:
    """Mean growth rates by group of cells."""
    found = contents.answers.get("growth")
    if found is None:
        return
    yield heading("How fast the cells grow")
    yield element("p", _ABOUT)
    assumed = str(found.attrs.get("assumptions", ""))
    if assumed:
        yield element("p", f"Assumed: {assumed}")
    shown = found.rename(columns={"low": "growth_low", "high": "growth_high"})
    decimals = digits([found["growth"], found["low"], found["high"]])
    rows = [
        (
            "",
            [
                str(row["group"]),
                f"{row['n_cells']:,}",
                with_interval(row, "growth", decimals),
                number(row["doubling_time"], digits([found["doubling_time"]])),
            ],
        )
        for _, row in shown.iterrows()
    ]
    yield table(_HEADS, rows)
    yield element("p", _DOUBLING, class_="soft")

"""Shares of cell types, predicted and real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.evaluation.celltypes import CellTypes
from cellflow.evaluation.names import OBSERVED, STRAIGHT
from cellflow.report import pictures
from cellflow.report.celltypes import types_of_clouds
from cellflow.report.clouds import NO_REFERENCE
from cellflow.report.contents import Contents
from cellflow.report.markup import Markup, element, heading, table
from cellflow.report.pictures import BLUE, INK, ORANGE, SOFT, Letters

__all__ = ["composition"]

#: Cell types in one picture; the table has all of them.
_TYPES = 30


class _Shares(NamedTuple):
    """Shares of each type at one hidden time: of hidden, predicted and interpolated cells.

    The errors are the shares of predicted and of interpolated cells in a wrong type. Values of
    interpolated cells are None where there are none.
    """

    labels: tuple[str, ...]
    observed: FloatArray
    predicted: FloatArray
    straight: FloatArray | None
    error: float
    straight_error: float | None


def composition(contents: Contents) -> Iterator[Markup]:
    """Shares of cell types."""
    cluster_key = contents.cluster_key
    if cluster_key is None:
        return
    held = contents.held
    yield heading("Cell types")
    names = held.drawn(1)
    if not names:
        yield element("p", "No method gave a prediction whose cell types are known.")
        return
    found = types_of_clouds(contents.adata, held, cluster_key, [names[0], STRAIGHT])
    panels = {
        held.at(time): _shares(here, names[0])
        for time, here in found.items()
        if names[0] in here.predicted
    }
    if not panels:
        yield element("p", NO_REFERENCE)
        return
    yield element(
        "p",
        f"Every predicted cell takes the label ({cluster_key}) that most of the 15 hidden cells"
        " nearest to it have (a tenth of the hidden cells where these are fewer than 150). “Wrong"
        " in all” is the share of cells that would have to change their label for the shares to be"
        " right.",
    )
    largest, n_labels = _largest(panels)
    some = "" if n_labels <= _TYPES else f" The {_TYPES} largest of {n_labels} are drawn."
    caption = (
        f"Shares of cell types: hidden cells, the prediction of {names[0]}, and OT interpolation"
        f" without a model.{some}"
    )
    for part in pictures.groups(largest):
        yield _drawn(part, caption)
    rows = [row for title, shares in panels.items() for row in _rows(title, shares)]
    yield table([cluster_key, "hidden, %", "predicted, %", f"{STRAIGHT}, %"], rows)


def _shares(found: CellTypes, name: str) -> _Shares:
    own = found.composition(name)
    if STRAIGHT not in found.predicted:
        return _Shares(own.labels, own.y, own.x, None, own.error, None)
    other = found.composition(STRAIGHT)
    shares = dict(zip(other.labels, other.x, strict=True))
    straight = np.array([shares.get(label, 0.0) for label in own.labels])
    return _Shares(own.labels, own.y, own.x, straight, own.error, other.error)


def _rows(title: str, shares: _Shares) -> Iterator[tuple[str, list[str]]]:
    """Rows of the table, in percent."""
    yield "group", [f"Hidden: {title}"]
    for k, label in enumerate(shares.labels):
        third = None if shares.straight is None else shares.straight[k]
        values = (shares.observed[k], shares.predicted[k], third)
        yield "", [label, *map(_percent, values)]
    errors = (shares.error, shares.straight_error)
    yield "floor", ["wrong in all", "", *map(_percent, errors)]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _largest(panels: Mapping[str, _Shares]) -> tuple[dict[str, _Shares], int]:
    """The labels with the largest shares at any time; and how many labels there are."""
    most: dict[str, float] = {}
    for shares in panels.values():
        larger = np.maximum(shares.observed, shares.predicted)
        for label, share in zip(shares.labels, larger, strict=True):
            most[label] = max(float(share), most.get(label, 0.0))
    kept = set(sorted(most, key=lambda label: -most[label])[:_TYPES])
    return {title: _among(shares, kept) for title, shares in panels.items()}, len(most)


def _among(shares: _Shares, kept: set[str]) -> _Shares:
    """Shares of these labels only."""
    drawn = np.array([label in kept for label in shares.labels])
    return shares._replace(
        labels=tuple(label for label in shares.labels if label in kept),
        observed=shares.observed[drawn],
        predicted=shares.predicted[drawn],
        straight=None if shares.straight is None else shares.straight[drawn],
    )


def _drawn(panels: Mapping[str, _Shares], caption: str) -> Markup:
    """Draw shares of labels as bars, one panel per hidden time."""
    labels = list(dict.fromkeys(name for shares in panels.values() for name in shares.labels))
    letters = Letters.of(*labels, *panels)
    width = max(pictures.WIDTH, 2.4 + 2.2 * len(panels))
    drawing = pictures.blank(width, 1.1 + 0.36 * len(labels))
    axes = pictures.axes_in_a_row(drawing, len(panels), share_x=True, share_y=True)
    bar = {"height": 0.34, "alpha": 0.85}
    for k, (ax, (title, shares)) in enumerate(zip(axes, panels.items(), strict=True)):
        rows = np.array([labels.index(name) for name in shares.labels])
        ax.barh(rows - 0.19, 100 * shares.observed, color=BLUE, label=OBSERVED, **bar)
        ax.barh(rows + 0.19, 100 * shares.predicted, color=ORANGE, label="predicted", **bar)
        if shares.straight is not None:
            mark = {"color": INK, "ms": 9, "mew": 1.4, "label": STRAIGHT}
            ax.plot(100 * shares.straight, rows + 0.19, "|", **mark)
        pictures.titled(ax, letters(title))
        pictures.names_of_rows(ax, [letters(name) for name in labels], 0.55)
        pictures.framed(ax, "bottom")
        if k == 0:
            pictures.legend_below(drawing, *ax.get_legend_handles_labels())
    drawing.supxlabel("share of cells, %", fontsize=8.5, color=SOFT)
    alt = "Shares of cell types, real beside predicted"
    return pictures.finished(drawing, letters, caption, alt=alt)

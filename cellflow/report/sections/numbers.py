"""The table of the benchmark, with the meaning of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cellflow.evaluation.metric import METRICS
from cellflow.evaluation.names import FLOOR, MEANING, NO_NETWORK
from cellflow.evaluation.table import COMPOSITION
from cellflow.model import recipes
from cellflow.report.contents import Contents
from cellflow.report.format import digits, number, with_interval
from cellflow.report.held import Held
from cellflow.report.markup import Markup, definitions, element, heading, stacked, table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["numbers"]

#: Rows with one note that are named.
_FEW = 3
#: Columns of the table beside those of the metrics: name, heading and meaning. Those of the first
#: group follow W1.
_BESIDE_W1 = (
    (
        "w1_half",
        "W1, equal n",
        "The same with one number of cells for all rows, at most half of the hidden ones. Distances"
        " compare at equal numbers only, because they are larger for small clouds.",
    ),
    (
        "skill",
        "skill",
        "Where W1 at equal numbers lies between interpolation without a model (0) and real cells"
        " (1); negative is worse than no model. In brackets its 95 % interval over splits of the"
        " hidden cells.",
    ),
)
_BESIDE = (
    (
        COMPOSITION,
        "wrong types",
        "Share of the predicted cells that would have to change their cell type for the shares of"
        " types to be right.",
    ),
    ("n_predicted", "cells", "Predicted cells."),
    ("seconds", "seconds", "Time to predict, training and plans included, scoring not."),
)
_METRICS = [(m.name, m.label, m.meaning) for m in METRICS.values() if m.listed]
#: Column, its heading, and its meaning.
_MEANING = (_METRICS[0], *_BESIDE_W1, *_METRICS[1:], *_BESIDE)
_MORE = (
    (
        "protocol",
        "P1 pushes the real cells of the last snapshot before the hidden one; P2 simulates the"
        " cells of the first snapshot; two-sided joins the neighbours before and after, weighted by"
        " closeness in time.",
    ),
    (
        FLOOR,
        "One half of the hidden cells against the other half: the least distance to be expected.",
    ),
)


def numbers(contents: Contents) -> Iterator[Markup]:
    """The table, averaged over seeds; each column explained; and all rows as they are."""
    held = contents.held
    summaries = {time: held.summary(time) for time in held.times}
    shown = [c for c in _MEANING if any(s[c[0]].notna().any() for s in summaries.values())]
    decimals = {
        column: digits([s[column] for s in summaries.values()]) for column, _, _ in shown
    } | {"seconds": 1}
    rows: list[tuple[str, list[str]]] = []
    for time, summary in summaries.items():
        n = int(summary["n_observed"].max())
        n_half = int(summary["n_half"].max())
        rows.append(("group", [f"Hidden: {held.at(time)} ({n:,} cells; equal n: {n_half:,})"]))
        for _, row in summary.iterrows():
            values = [stacked(with_interval(row, c, decimals[c])) for c, _, _ in shown]
            rows.append((str(row["kind"]), [row["method"], row["protocol"], *values]))
    yield heading("The table")
    n_seeds = held.table["seed"].nunique()
    if n_seeds > 1:
        yield element("p", f"Means over {n_seeds} seeds; the single rows stand below.")
    yield table(["method", "protocol", *(heading for _, heading, _ in shown)], rows, text=(0, 1))
    yield element("h3", "What the numbers mean")
    yield definitions([*_rows(held), *_MORE, *((title, said) for _, title, said in shown)])
    notes = list(_notes(held))
    if notes:
        yield element("h3", "Notes")
        yield definitions(notes)
    yield _every_row(held.table)


def _rows(held: Held) -> Iterator[tuple[str, str]]:
    """What each method and each row without a model is."""
    for name in dict.fromkeys(held.table["method"]):
        row = NO_NETWORK if name.endswith(NO_NETWORK) else name
        said = recipes.summary(name) or MEANING.get(row, "")
        if said:
            yield name, said


def _notes(held: Held) -> Iterator[tuple[str, str]]:
    """What went wrong, once, and in which rows."""
    n_rows = len(held.table)
    found: dict[str, dict[str, None]] = {}
    for _, row in held.table[held.table["note"] != ""].iterrows():
        who = " ".join(filter(None, (row["method"], row["protocol"])))
        found.setdefault(row["note"], {})[f"{who}, {held.at(row['time'])}"] = None
    for note, rows in found.items():
        yield ("; ".join(rows) if len(rows) <= _FEW else f"{len(rows)} of {n_rows} rows"), note


def _every_row(rows: pd.DataFrame) -> Markup:
    from pandas.api.types import is_numeric_dtype

    numeric = {name: is_numeric_dtype(rows[name]) for name in rows.columns}
    columns = [
        name
        for name in rows.columns
        if name != "note" and (not numeric[name] or rows[name].notna().any())
    ]
    decimals = {name: digits([rows[name]]) for name in columns if numeric[name]}
    cells = [
        (
            row["kind"],
            [number(row[n], decimals[n]) if n in decimals else row[n] for n in columns],
        )
        for _, row in rows.iterrows()
    ]
    text = [k for k, name in enumerate(columns) if name not in decimals]
    said = element("summary", f"All {len(rows)} rows and columns")
    return element("details", said, table(columns, cells, text=text), class_="wide")

"""Whether conditions differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cellflow.report.contents import Contents
from cellflow.report.format import digits, number, with_interval
from cellflow.report.markup import Markup, definitions, element, heading, stacked, table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["comparison"]

#: Quantities of the table, and their meaning.
_MEANING = {
    "speed": "Mean length of the velocities, in the representation by unit of time.",
    "growth": "Mean growth rate, by unit of time.",
    "fate": "Mean probability of a fate.",
    "distance": "Energy distance between samples of two conditions, beside that within one.",
    "divergence": "First time at which the populations of the conditions have diverged.",
}
_P = (
    "The effect is the value in the condition less that in the reference, in brackets its interval;"
    " p by permutation of the samples; q adjusted for the number of effects of one quantity (false"
    " discovery rate). The samples are the replicates, unless the unit is “cell”: cells of one"
    " sample are no replicates, and their p-values are too small."
)
_HEADS = (
    *("quantity", "group", "fate", "time", "compared", "reference", "condition"),
    *("effect (interval)", "p", "q", "unit"),
)


def comparison(contents: Contents) -> Iterator[Markup]:
    """Effects of conditions, with their intervals and p-values."""
    found = contents.answers.get("comparison")
    if found is None:
        return
    yield heading("Whether conditions differ")
    yield element("p", str(found.attrs.get("words", "")))
    yield element("p", _P)
    yield table(_HEADS, [("", _row(found, row)) for _, row in found.iterrows()], text=(0, 1, 2))
    named = [(name, said) for name, said in _MEANING.items() if name in set(found["quantity"])]
    yield definitions(named)


def _row(found: pd.DataFrame, row: pd.Series) -> list[str]:
    same = found[found["quantity"] == row["quantity"]]
    decimals = digits([same["effect"], same["condition_value"]])
    shown = row.rename({"low": "effect_low", "high": "effect_high"})
    return [
        *(str(row[name]) for name in ("quantity", "group", "fate")),
        f"{row['time']:g}" if row["time"] == row["time"] else "all",
        f"{row['condition']} with {row['reference']}",
        number(row["reference_value"], decimals),
        number(row["condition_value"], decimals),
        stacked(with_interval(shown, "effect", decimals)),
        number(row["p"], 4),
        number(row["q"], 4),
        str(row["unit"]),
    ]

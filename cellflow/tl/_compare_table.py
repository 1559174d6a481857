"""Results of a comparison as a table, as text, and as values of the cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.analysis.comparison import ALL, ALPHA, Compared, Effect
from cellflow.core._typing import FloatArray
from cellflow.tl._compare_course import CourseOf, nearest_cells
from cellflow.tl._compare_samples import Kinds, Units

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["of_cells", "table_of", "words_of"]

#: Words for powers of a thousand.
_LARGE = {2: "million", 3: "billion", 4: "trillion"}


def table_of(found: Sequence[tuple[CourseOf, Compared]], units: Units) -> pd.DataFrame:
    """One row for each effect."""
    import pandas as pd

    rows = []
    for compared, result in found:
        names = dict(zip(("reference", "condition"), compared.names, strict=True))
        rows += [_row(effect) | names for effect in result.effects]
        rows += [row | names for row in _of_divergence(compared, result)]
    table = pd.DataFrame(rows).assign(unit=units.by)
    columns = ["quantity", "group", "fate", "time", "reference", "condition"]
    columns += ["reference_value", "condition_value", "effect", "low", "high"]
    columns += ["p", "p_t", "q", "p_smallest", "unit", "n_reference", "n_condition"]
    return table[columns]


def _row(effect: Effect) -> dict[str, Any]:
    return {
        "quantity": effect.quantity,
        "group": effect.group,
        "fate": effect.fate,
        "time": effect.time,
        "reference_value": effect.values[0],
        "condition_value": effect.values[1],
        "effect": effect.effect,
        "low": effect.low,
        "high": effect.high,
        "p": effect.p,
        "p_t": effect.p_t,
        "q": effect.q,
        "p_smallest": effect.smallest,
        "n_reference": effect.n[0],
        "n_condition": effect.n[1],
    }


def _of_divergence(compared: CourseOf, result: Compared) -> Iterator[dict[str, Any]]:
    """Rows of the distance at each time, and of the time of divergence."""
    found = result.divergence
    design = compared.course.design
    nothing = dict.fromkeys(("low", "high", "p_t", "p_smallest", "q"), np.nan)
    for k, time in enumerate(found.times):
        at = int(np.flatnonzero(compared.course.times == time)[0])
        kinds = design.condition[design.unit[design.at(at)]]
        yield nothing | {
            "quantity": "distance",
            "group": ALL,
            "fate": "",
            "time": float(time),
            "reference_value": float(found.within[k]),
            "condition_value": float(found.within[k] + found.distance[k]),
            "effect": float(found.distance[k]),
            "p": float(found.p[k]),
            "q": float(found.adjusted[k]),
            "n_reference": int((kinds == 0).sum()),
            "n_condition": int((kinds == 1).sum()),
        }
    counts = [int((design.condition == c).sum()) for c in (0, 1)]
    yield nothing | {
        "quantity": "divergence",
        "group": ALL,
        "fate": "",
        "time": found.first,
        "reference_value": np.nan,
        "condition_value": np.nan,
        "effect": found.first,
        "low": found.last_before,
        "high": found.first,
        "p": float(found.adjusted[-1]),
        "n_reference": counts[0],
        "n_condition": counts[1],
    }


def words_of(
    found: Sequence[tuple[CourseOf, Compared]],
    kinds: Kinds,
    units: Units,
    *,
    grows: bool,
) -> str:
    """What was compared and how, in sentences."""
    if units.by == "sample":
        words = [f"By sample ({units.key}): samples are the replicates."]
    else:
        words = [
            "By cell: random parts of the cells of each time and condition stand for samples. Cells"
            " are no replicates; p-values are too small where samples differ."
        ]
    for compared, result in found:
        name = compared.names[1]
        times = ", ".join(f"{t:g}" for t in compared.course.times)
        line = f"{name} against {compared.names[0]}, at the times {times}"
        shared = compared.course.times[compared.course.shared]
        if len(shared):
            line += f", of which {', '.join(f'{t:g}' for t in shared)} precede both"
        if compared.left_out:
            line += (
                f"; without {', '.join(f'{t:g}' for t in compared.left_out)}, where one of both has"
                " fewer than two samples"
            )
        how = "all" if result.exhaustive else "a random part of"
        words.append(f"{line}; {how} {_count(result.n_labellings)} labellings of the samples.")
        words.append(_said(result, name))
    if not grows:
        words.append("Growth is not compared: no cell grows in this fit.")
    words.append(f"Reference: {kinds.names[0]}.")
    return " ".join(words)


def _count(number: float) -> str:
    """A whole number of any size as people write it: all digits, or three and a word."""
    if number < 1e6:
        return f"{number:,.0f}"
    number = float(f"{number:.3g}")
    if number >= 1e15:
        return "more than 1,000 trillion"
    thousands = int(np.log10(number)) // 3
    return f"{number / 1000.0**thousands:.3g} {_LARGE[thousands]}"


def _said(result: Compared, name: str) -> str:
    """When one condition diverges."""
    found = result.divergence
    if np.isnan(found.first):
        return (
            f"{name} is at no time shown to be farther from the reference than samples are from"
            " each other."
        )
    line = f"{name} differs from the reference at {found.first:g} (level {ALPHA:g})"
    if np.isnan(found.last_before):
        return f"{line}, the first time that can be compared."
    return f"{line}, and is not shown to differ up to {found.last_before:g}."


def of_cells(
    fitted: Fitted, found: Sequence[tuple[CourseOf, Compared]]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Differences of velocities, p-values, adjusted ones: `(n, k)` for `k` conditions.

    A cell has the values of the nearest reference cell of its time, NaN where there is none.
    """
    values = np.full((3, len(fitted.times), len(found)), np.nan)
    for k, (compared, result) in enumerate(found):
        cells = result.cells
        size = np.sqrt((cells.difference**2).sum(axis=1))
        for time in compared.course.times[:-1]:
            some = np.flatnonzero(fitted.times[cells.rows] == time)
            rows, place = nearest_cells(fitted, cells.rows[some], float(time))
            for v, each in enumerate((size, cells.p, cells.q)):
                values[v, rows, k] = each[some][place]
    return values[0], values[1], values[2]

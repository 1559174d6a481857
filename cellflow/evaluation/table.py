"""The table of a hold-out: its columns, and the skill of each row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.evaluation.comparison import freedom_of, mean_and_error, quantile, splits_of
from cellflow.evaluation.metric import METRICS, columns
from cellflow.evaluation.names import FLOOR, STRAIGHT
from cellflow.evaluation.scores import HALF_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from cellflow.evaluation.rows import Row

__all__ = ["COLUMNS", "COMPOSITION", "LISTED", "NUMBERS", "TEXT", "table"]

_SKILL = ("skill", "skill_low", "skill_high")
_SIZES = ("n_predicted", "n_observed", "n_half")
#: Columns of the table, in order.
COLUMNS = (
    *("time", "method", "protocol", "seed", "kind"),
    *columns(),
    *("n_predicted", "n_observed", *HALF_COLUMNS.values(), "n_half", *_SKILL, "seconds"),
    *("halves", "representation", "note"),
)
#: A column after those of the metrics, where cells have types: the share in a wrong type.
COMPOSITION = "composition_error"
#: Columns that hold text, and columns that hold numbers.
TEXT = ("method", "protocol", "kind", "halves", "representation", "note")
NUMBERS = (*(name for name in COLUMNS if name not in TEXT), COMPOSITION)
#: Columns that fit on a screen.
LISTED = (
    *("time", "method", "protocol", "seed"),
    *columns(["w1"]),
    *("w1_half", *columns(m.name for m in METRICS.values() if m.listed and m.name != "w1")),
    *("skill", "seconds"),
)


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows as a tidy table, with the skill of each.

    The skill is `(OT interpolation - this) / (OT interpolation - noise floor)`, by W1 at the half
    size: 1 is as good as real cells, 0 as interpolating without a model, below 0 is worse. Its
    interval says how much it depends on which half of the held-out cells it was measured on.
    """
    import pandas as pd

    made = []
    for row in rows:
        notes = list(row.scores.notes)
        skill = _skill(row, rows)
        if math.isnan(skill[0]) and row.scores.splits.get("w1"):
            notes.append(f"no skill: {STRAIGHT} is missing, or within chance of the {FLOOR}")
        made.append(
            dict.fromkeys(columns(), math.nan)
            | dict.fromkeys(_SIZES, 0)
            | dict(row.scores.values)
            | dict(zip(_SKILL, skill, strict=True))
            | {name: getattr(row, name) for name in ("time", *TEXT[:-1], "seconds")}
            | {"seed": pd.NA if row.seed is None else row.seed, "note": "; ".join(notes)}
        )
    whole = dict.fromkeys(_SIZES, "int64")
    return pd.DataFrame(made, columns=list(COLUMNS)).astype(whole | {"seed": "Int64"})


def _skill(row: Row, rows: Sequence[Row]) -> tuple[float, float, float]:
    """Skill of a row, and its interval; NaN where OT interpolation is as near as the floor."""
    straight = splits_of(rows, row.time, STRAIGHT, "w1")
    floor = splits_of(rows, row.time, FLOOR, "w1")
    own = np.array(row.scores.splits.get("w1", ()))
    if not (len(own) == len(straight) == len(floor) > 0):
        return math.nan, math.nan, math.nan
    whole, doubt = mean_and_error(straight - floor, row.half_share)
    if not whole > 0 or (math.isfinite(doubt) and whole < 2 * doubt):
        return math.nan, math.nan, math.nan
    gain, error = mean_and_error(straight - own, row.half_share)
    width = quantile(freedom_of(len(own), row.n_samples)) * error
    return gain / whole, (gain - width) / whole, (gain + width) / whole

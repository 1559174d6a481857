"""The table of a benchmark, and what it says in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow._typing import FloatArray
from cellflow.benchmark.judging import FLOOR, STRAIGHT, Row
from cellflow.benchmark.scores import METRICS, columns

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["COLUMNS", "table", "verdict"]

#: Of the table, in order.
COLUMNS = (
    "time",
    "method",
    "protocol",
    "seed",
    "kind",
    *(c for c in ("w1", "w1_low", "w1_high", "w2", "energy", "mmd", "sliced_w1", "variance_ratio", "mean_error", "c2st")),
    "n_predicted",
    "n_observed",
    "w1_half",
    "energy_half",
    "n_half",
    "skill",
    "skill_low",
    "skill_high",
    "seconds",
    "representation",
    "note",
)
#: Level of the intervals.
_LEVEL = 0.95
#: A share of the true variance below this, or above its inverse, belongs into the verdict.
_NARROW = 0.8


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows as a tidy table, with the skill of each.

    The skill is `(OT interpolation - this) / (OT interpolation - noise floor)`, by W1 at the half size: 1 is as good as real
    cells, 0 as interpolating without a model, below 0 is worse. Its interval tells how much it depends on which half of the
    held-out cells it was measured on.
    """
    import pandas as pd

    made = []
    for row in rows:
        values, notes = dict(row.scores.values), list(row.scores.notes)
        skill = _skill(row, rows)
        if math.isnan(skill[0]) and row.scores.w1_splits:
            notes.append("no skill: OT interpolation is missing, or not told from the noise floor")
        made.append(
            dict.fromkeys(columns(METRICS), math.nan)
            | {"n_predicted": 0, "n_observed": 0, "n_half": 0}
            | values
            | dict(zip(("skill", "skill_low", "skill_high"), skill, strict=True))
            | {name: getattr(row, name) for name in ("time", "method", "protocol", "kind", "seconds", "representation")}
            | {"seed": pd.NA if row.seed is None else row.seed, "note": "; ".join(notes)}
        )
    whole = dict.fromkeys(("n_predicted", "n_observed", "n_half"), "int64")
    return pd.DataFrame(made, columns=list(COLUMNS)).astype(whole | {"seed": "Int64"})


def _skill(row: Row, rows: Sequence[Row]) -> tuple[float, float, float]:
    """Skill of a row, and its interval; NaN where there is none."""
    straight, floor = (_splits(rows, row.time, method) for method in (STRAIGHT, FLOOR))
    own = np.array(row.scores.w1_splits)
    if not (len(own) == len(straight) == len(floor) > 0):
        return math.nan, math.nan, math.nan
    room, doubt = _gain(straight - floor, row.half_share)
    if not room > 0 or (math.isfinite(doubt) and room < 2 * doubt):
        return math.nan, math.nan, math.nan
    gain, error = _gain(straight - own, row.half_share)
    width = _quantile(len(own) - 1) * error
    return gain / room, (gain - width) / room, (gain + width) / room


def _splits(rows: Sequence[Row], time: float, method: str) -> FloatArray:
    found = [row.scores.w1_splits for row in rows if (row.time, row.method) == (time, method) and row.kind != "model"]
    return np.array(found[0] if found else ())


def _gain(differences: FloatArray, share: float) -> tuple[float, float]:
    """Mean difference and its standard error, from values on random parts of the cells (the delete-d jackknife).

    Values on parts with a share `s` of the cells vary by `(1 - s) / s` of the variance of a mean over all cells (Shao and
    Wu 1989); on halves, by exactly that.
    """
    if len(differences) < 2:
        return float(differences.mean()), math.inf
    return float(differences.mean()), float(differences.std(ddof=1)) * math.sqrt(share / (1.0 - share))


def _quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + _LEVEL / 2, freedom)) if freedom > 0 else math.inf


def verdict(rows: Sequence[Row]) -> str:
    """Say plainly, for each method, whether it is better than interpolating along optimal transport without a model.

    Judged by W1 at the half size, mean over held-out times and seeds, by P1 where a method has it. The interval is that of
    the difference to OT interpolation on the same halves, over halves and seeds. W1 forgives a population that shrinks to its
    middle, so a variance that is far off is said in the same sentence, where it was measured.
    """
    methods = dict.fromkeys(row.method for row in rows if row.kind == "model")
    return "\n".join(
        _sentence(name, [row for row in rows if row.kind == "model" and row.method == name], rows) for name in methods
    )


def _sentence(name: str, own: Sequence[Row], rows: Sequence[Row]) -> str:
    protocols = list(dict.fromkeys(row.protocol for row in own if row.scores.w1_splits))
    if not protocols:
        reason = next((note for row in own for note in row.scores.notes), "no reason was given")
        return f"{name} could not be judged: no fit gave a prediction ({reason})."
    judged = [row for row in own if row.protocol == protocols[0] and row.scores.w1_splits]
    gains, variances, freedom, base = [], [], 0, []
    for time in dict.fromkeys(row.time for row in judged):
        straight, here = _splits(rows, time, STRAIGHT), [row for row in judged if row.time == time]
        if not len(straight):
            continue
        differences = np.stack([straight - np.array(row.scores.w1_splits) for row in here])
        gain, error = _gain(differences.mean(axis=0), here[0].half_share)
        by_seed = differences.mean(axis=1)
        gains.append(gain)
        variances.append(error**2 + (by_seed.var(ddof=1) / len(by_seed) if len(by_seed) > 1 else 0.0))
        freedom += len(straight) - 1
        base.append(float(straight.mean()))
    if not gains:
        return f"{name} could not be judged: {STRAIGHT} is missing."
    mean, total = float(np.mean(gains)), float(np.mean(base))
    width = _quantile(freedom) * math.sqrt(sum(variances)) / len(gains)
    missing = len({row.time for row in own}) - len(gains)
    where = f"over {len(gains)} held-out time{'s' * (len(gains) > 1)}" + (f" ({missing} failed)" if missing else "")
    low, high = (100 * (mean - width) / total, 100 * (mean + width) / total)
    spread = f"95 % interval {low:+.0f} to {high:+.0f} %" if math.isfinite(width) else "no interval from one split"
    change = f"{abs(100 * mean / total):.1f} % {'nearer to' if mean > 0 else 'farther from'} the cells that were held out"
    says = f"{name} ({protocols[0]}){_off(judged)} comes {change} than {STRAIGHT} without a model, {where} ({spread})"
    if mean - width > 0:
        return f"{says}: it is better."
    if mean + width < 0:
        return f"{says}: it is worse, so the model adds nothing to where cells are; use the interpolation for that."
    return f"{says}: it is not better beyond what chance explains."


def _off(judged: Sequence[Row]) -> str:
    """The share of the true variance at the time where it is worst, mean over seeds; nothing where it is right everywhere."""
    shares: dict[float, list[float]] = {}
    for row in judged:
        share = float(row.scores.values.get("variance_ratio", math.nan))
        if math.isfinite(share):
            shares.setdefault(row.time, []).append(share)
    means = {time: float(np.mean(found)) for time, found in shares.items()}
    worst = max(means, key=lambda time: abs(math.log(max(means[time], 1e-6))), default=None)
    if worst is None or _NARROW <= means[worst] <= 1.0 / _NARROW:
        return ""
    return f", with {100 * means[worst]:.0f} % of the variance of the cells at time {worst:g},"

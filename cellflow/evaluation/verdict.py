"""The table of a benchmark, and whether a method is better than no model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.evaluation.judging import FLOOR, STRAIGHT, Row
from cellflow.evaluation.scores import METRICS, columns

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["COLUMNS", "Change", "Comparison", "Verdict", "compare", "difference", "judge", "table"]

#: Of the table, in order.
COLUMNS = (
    "time",
    "method",
    "protocol",
    "seed",
    "kind",
    *(
        c
        for c in (
            "w1",
            "w1_low",
            "w1_high",
            "w2",
            "energy",
            "mmd",
            "sliced_w1",
            "variance_ratio",
            "mean_error",
            "c2st",
        )
    ),
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
#: A share of the true variance below this, or above its inverse, is far off.
_NARROW = 0.8
#: A smaller share of cells in a wrong type is not worth a doubt.
_SMALL = 0.02
#: The protocol of `cf.tl.predict`, which is judged where a method has it, and the literature's.
_DEFAULT = "two-sided"
_PUBLISHED = "P1"

Measure = Literal["w1", "energy", "composition", "variance_ratio"]
Outcome = Literal["better", "worse", "undecided", "contradictory", "unjudged"]


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows as a tidy table, with the skill of each.

    The skill is `(OT interpolation - this) / (OT interpolation - noise floor)`, by W1 at the half
    size: 1 is as good as real cells, 0 as interpolating without a model, below 0 is worse. Its
    interval tells how much it depends on which half of the held-out cells it was measured on.
    """
    import pandas as pd

    made = []
    for row in rows:
        values = dict(row.scores.values)
        notes = list(row.scores.notes)
        skill = _skill(row, rows)
        if math.isnan(skill[0]) and row.scores.splits.get("w1"):
            notes.append("no skill: OT interpolation is missing, or not told from the noise floor")
        made.append(
            dict.fromkeys(columns(METRICS), math.nan)
            | {"n_predicted": 0, "n_observed": 0, "n_half": 0}
            | values
            | dict(zip(("skill", "skill_low", "skill_high"), skill, strict=True))
            | {
                name: getattr(row, name)
                for name in ("time", "method", "protocol", "kind", "seconds", "representation")
            }
            | {"seed": pd.NA if row.seed is None else row.seed, "note": "; ".join(notes)}
        )
    whole = dict.fromkeys(("n_predicted", "n_observed", "n_half"), "int64")
    return pd.DataFrame(made, columns=list(COLUMNS)).astype(whole | {"seed": "Int64"})


def _skill(row: Row, rows: Sequence[Row]) -> tuple[float, float, float]:
    """Skill of a row, and its interval; NaN where there is none."""
    straight, floor = (_splits(rows, row.time, method, "w1") for method in (STRAIGHT, FLOOR))
    own = np.array(row.scores.splits.get("w1", ()))
    if not (len(own) == len(straight) == len(floor) > 0):
        return math.nan, math.nan, math.nan
    room, doubt = _gain(straight - floor, row.half_share)
    if not room > 0 or (math.isfinite(doubt) and room < 2 * doubt):
        return math.nan, math.nan, math.nan
    gain, error = _gain(straight - own, row.half_share)
    width = _quantile(len(own) - 1) * error
    return gain / room, (gain - width) / room, (gain + width) / room


def _splits(rows: Sequence[Row], time: float, method: str, measure: str) -> FloatArray:
    here = [row for row in rows if (row.time, row.method) == (time, method) and row.kind != "model"]
    return np.array(here[0].scores.splits.get(measure, ()) if here else ())


def _gain(differences: FloatArray, share: float) -> tuple[float, float]:
    """Mean difference and its standard error, from values on random parts of the cells (the delete-d jackknife).

    Values on parts with a share `s` of the cells vary by `(1 - s) / s` of the variance of a mean
    over all cells (Shao and Wu 1989); on halves, by exactly that.
    """
    if len(differences) < 2:
        return float(differences.mean()), math.inf
    return float(differences.mean()), float(differences.std(ddof=1)) * math.sqrt(
        share / (1.0 - share)
    )


def _quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + _LEVEL / 2, freedom)) if freedom > 0 else math.inf


@dataclass(frozen=True)
class Comparison:
    """A method beside OT interpolation at one held-out time, by one measure.

    Parameters
    ----------
    method, protocol, time
        What was predicted, and how.
    measure
        `"w1"`, `"energy"`, `"composition"` (share of the cells in a wrong type) or
        `"variance_ratio"`.
    own, base
        Values of the method and of OT interpolation, means over splits of the held-out cells and
        over seeds; NaN where the method gave no prediction.
    gain, error, freedom
        How much nearer to the truth the method is, its standard error from the same splits of both,
        and the error's degrees of freedom. Distances and shares: `base - own`. Variance: the same
        of the distances of both logarithms from zero.
    """

    method: str
    protocol: str
    time: float
    measure: str
    own: float
    base: float
    gain: float
    error: float
    freedom: int


@dataclass(frozen=True)
class Change:
    """A method beside OT interpolation by one measure, mean over held-out times.

    Parameters
    ----------
    measure, own, base, gain
        As in `Comparison`.
    low, high
        95 % interval of the gain.
    extreme
        Time at which the variance is farthest from the truth, the method's there, and that of OT
        interpolation.
    """

    measure: str
    own: float
    base: float
    gain: float
    low: float
    high: float
    extreme: tuple[float, float, float]

    @property
    def sign(self) -> int:
        """1 where the method is nearer beyond chance, -1 where it is farther, else 0.

        A variance within a fifth of the truth is never farther, and one that is nearer never counts
        for a method: clouds of any place can have it.
        """
        if self.measure == "variance_ratio":
            return -int(self.high < 0 and self.is_off)
        return int(self.low > 0) - int(self.high < 0)

    @property
    def is_off(self) -> bool:
        """Whether the variance is far from the truth at some time."""
        return self.measure == "variance_ratio" and not _NARROW <= self.extreme[1] <= 1.0 / _NARROW


@dataclass(frozen=True)
class Verdict:
    """Whether a method is better than OT interpolation, which has no model.

    Parameters
    ----------
    method, protocol
        What is judged.
    outcome
        `"better"`: W1 and the energy distance are smaller, each beyond chance, the composition is
        not farther from the truth by more than 2 % of the cells, and the variance not beyond
        chance. `"worse"`: one measure at least is worse and none better. `"contradictory"`: some
        better, some worse. `"undecided"`: anything else. `"unjudged"`: there is nothing to compare.
    changes
        By measure, in the order of `Comparison.measure`; those that were measured.
    n_times, n_failed
        Held-out times that are compared, and those without a prediction.
    reason
        Why nothing was compared.
    beside
        The verdict by the protocol of the literature, P1, where another one is judged.
    """

    method: str
    protocol: str
    outcome: Outcome
    changes: tuple[Change, ...] = ()
    n_times: int = 0
    n_failed: int = 0
    reason: str = ""
    beside: Verdict | None = None

    def change(self, measure: str) -> Change | None:
        """The change by one measure, None where it was not measured."""
        return next((change for change in self.changes if change.measure == measure), None)


#: Order of measures.
_MEASURES: tuple[Measure, ...] = ("w1", "energy", "composition", "variance_ratio")


def compare(rows: Sequence[Row]) -> list[Comparison]:
    """Compare every model with OT interpolation on the same halves of the held-out cells, by time, protocol and measure."""
    made = []
    models = [row for row in rows if row.kind == "model"]
    for name, protocol, time in dict.fromkeys(
        (row.method, row.protocol, row.time) for row in models
    ):
        own = [
            row for row in models if (row.method, row.protocol, row.time) == (name, protocol, time)
        ]
        for measure in ("w1", "energy", "variance_ratio"):
            straight = _splits(rows, time, STRAIGHT, measure)
            found = [
                np.array(row.scores.splits[measure])
                for row in own
                if row.scores.splits.get(measure)
            ]
            where = (name, protocol, time, measure)
            made.append(difference(where, found, straight, own[0].half_share))
    return made


def difference(
    where: tuple[str, str, float, str],
    own: Sequence[FloatArray],
    straight: FloatArray,
    share: float,
) -> Comparison:
    """Compare values on the same splits.

    Parameters
    ----------
    where
        Method, protocol, time and measure.
    own
        Values of the method, `(n_splits,)` for each seed; none where it gave no prediction.
    straight
        Values of OT interpolation, `(n_splits,)`; none where it is missing.
    share
        Share of the held-out cells in a split.
    """
    base = float(straight.mean()) if len(straight) else math.nan
    if not own or not len(straight):
        mean = float(np.mean(own)) if own else math.nan
        return Comparison(*where, mean, base, math.nan, math.nan, 0)
    values = np.stack(own)
    differences = _distance(straight, where[3]) - _distance(values, where[3])
    gain, error = _gain(differences.mean(axis=0), share)
    by_seed = differences.mean(axis=1)
    variance = error**2 + (by_seed.var(ddof=1) / len(by_seed) if len(by_seed) > 1 else 0.0)
    return Comparison(
        *where, float(values.mean()), base, gain, math.sqrt(variance), len(straight) - 1
    )


def _distance(values: FloatArray, measure: str) -> FloatArray:
    """How far from the truth; distances are that already."""
    if measure != "variance_ratio":
        return values
    # A cloud without any variance has no logarithm.
    return np.abs(np.log(np.maximum(values, 1e-6)))


def judge(
    comparisons: Sequence[Comparison], *, failures: Sequence[tuple[str, str]] = ()
) -> tuple[Verdict, ...]:
    """Judge every method by the protocol of `cf.tl.predict`, two-sided, where it has that; P1 stands beside it.

    Parameters
    ----------
    comparisons
        As `compare` returns them, and of the composition where cells have types.
    failures
        Why a method gave no prediction: its name and the reason.
    """
    reasons = dict(reversed(failures))
    made = []
    for name in dict.fromkeys(c.method for c in comparisons):
        own = [c for c in comparisons if c.method == name]
        given = dict.fromkeys(c.protocol for c in own if math.isfinite(c.own))
        protocols = sorted(given, key=lambda p: p != _DEFAULT)
        if not protocols:
            reason = f"no fit gave a prediction ({reasons.get(name, 'no reason was given')})"
            made.append(Verdict(name, "", "unjudged", reason=reason))
            continue
        found = {
            protocol: _judged([c for c in own if c.protocol == protocol]) for protocol in protocols
        }
        first = found[protocols[0]]
        beside = found.get(_PUBLISHED) if protocols[0] != _PUBLISHED else None
        made.append(replace(first, beside=beside))
    return tuple(made)


def _judged(own: Sequence[Comparison]) -> Verdict:
    """One method by one protocol."""
    name = own[0].method
    protocol = own[0].protocol
    usable = [c for c in own if math.isfinite(c.gain)]
    if not any(c.measure == "w1" for c in usable):
        reason = (
            f"{STRAIGHT} is missing" if any(math.isfinite(c.own) for c in own) else "no prediction"
        )
        return Verdict(name, protocol, "unjudged", reason=reason)
    changes = tuple(
        _change([c for c in usable if c.measure == m])
        for m in _MEASURES
        if any(c.measure == m for c in usable)
    )
    n_times = len({c.time for c in usable if c.measure == "w1"})
    n_failed = len({c.time for c in own}) - n_times
    return Verdict(name, protocol, _outcome(changes), changes, n_times, n_failed)


def _change(found: Sequence[Comparison]) -> Change:
    """Mean over times."""
    gain = float(np.mean([c.gain for c in found]))
    error = math.sqrt(sum(c.error**2 for c in found)) / len(found)
    quantile = _quantile(sum(c.freedom for c in found))
    width = quantile * error if error > 0 else 0.0
    own, base = (
        float(np.mean(values)) for values in ([c.own for c in found], [c.base for c in found])
    )
    extreme = max(found, key=lambda c: abs(math.log(max(c.own, 1e-6))))
    return Change(
        found[0].measure,
        own,
        base,
        gain,
        gain - width,
        gain + width,
        (extreme.time, extreme.own, extreme.base),
    )


def _outcome(changes: Sequence[Change]) -> Outcome:
    signs = {change.measure: change.sign for change in changes}
    good = any(sign > 0 for sign in signs.values())
    bad = any(sign < 0 for sign in signs.values())
    if good and bad:
        return "contradictory"
    if bad:
        return "worse"
    agree = signs.get("w1", 0) > 0 and signs.get("energy", 0) > 0
    # Types that are more often wrong, though by no more than chance explains, are no agreement.
    doubt = any(change.measure == "composition" and change.gain < -_SMALL for change in changes)
    return "better" if agree and not doubt else "undecided"

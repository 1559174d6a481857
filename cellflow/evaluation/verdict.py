"""Verdicts as values: whether a method is better than no model, by how much, on which measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from cellflow.evaluation.comparison import Comparison, quantile
from cellflow.evaluation.names import DEFAULT_PROTOCOL, PUBLISHED_PROTOCOL, STRAIGHT

__all__ = ["Change", "Outcome", "Verdict", "judge"]

Outcome: TypeAlias = Literal["better", "worse", "undecided", "contradictory", "unjudged"]

#: Measures of a verdict, in order.
_MEASURES = ("w1", "energy", "composition", "variance_ratio")
#: A variance ratio below this, or above its inverse, is far off.
_NARROW = 0.8
#: A share of cells in a wrong type that is larger by less than this is not held against a method.
_SMALL = 0.02
#: The smallest variance ratio that a logarithm is taken of.
_SMALLEST_RATIO = 1e-6


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

        A variance within a fifth of the truth is never farther, and a nearer one never counts for a
        method, because a cloud in a wrong place can have it.
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
        By measure, in the order W1, energy distance, composition, variance; those that were
        measured.
    n_times, n_failed
        Held-out times that are compared, and those without a prediction.
    reason
        Why nothing was compared.
    n_by_sample
        Held-out times whose intervals are by sample; those of the others are by cell.
    beside
        The verdict by P1, the protocol of the literature, where another one is judged.
    """

    method: str
    protocol: str
    outcome: Outcome
    changes: tuple[Change, ...] = ()
    n_times: int = 0
    n_failed: int = 0
    reason: str = ""
    n_by_sample: int = 0
    beside: Verdict | None = None

    def change(self, measure: str) -> Change | None:
        """The change by one measure, None where it was not measured."""
        return next((change for change in self.changes if change.measure == measure), None)


def judge(
    comparisons: Sequence[Comparison], *, failures: Sequence[tuple[str, str]] = ()
) -> tuple[Verdict, ...]:
    """Judge every method by the protocol of `cf.tl.predict`, if it has that, with P1 beside it.

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
        protocols = sorted(given, key=lambda p: p != DEFAULT_PROTOCOL)
        if not protocols:
            reason = f"no fit gave a prediction ({reasons.get(name, 'no reason was given')})"
            made.append(Verdict(name, "", "unjudged", reason=reason))
            continue
        found = {p: _judged([c for c in own if c.protocol == p]) for p in protocols}
        first = protocols[0]
        beside = None if first == PUBLISHED_PROTOCOL else found.get(PUBLISHED_PROTOCOL)
        made.append(replace(found[first], beside=beside))
    return tuple(made)


def _judged(own: Sequence[Comparison]) -> Verdict:
    """One method by one protocol."""
    name = own[0].method
    protocol = own[0].protocol
    usable = [c for c in own if math.isfinite(c.gain)]
    if not any(c.measure == "w1" for c in usable):
        predicted = any(math.isfinite(c.own) for c in own)
        reason = f"{STRAIGHT} is missing" if predicted else "no prediction"
        return Verdict(name, protocol, "unjudged", reason=reason)
    by_measure = ([c for c in usable if c.measure == m] for m in _MEASURES)
    changes = tuple(_change(found) for found in by_measure if found)
    n_times = len({c.time for c in usable if c.measure == "w1"})
    n_failed = len({c.time for c in own}) - n_times
    n_by_sample = len({c.time for c in usable if c.measure == "w1" and c.n_samples})
    return Verdict(
        name, protocol, _outcome(changes), changes, n_times, n_failed, n_by_sample=n_by_sample
    )


def _change(found: Sequence[Comparison]) -> Change:
    """Mean over times."""
    gain = float(np.mean([c.gain for c in found]))
    error = math.sqrt(sum(c.error**2 for c in found)) / len(found)
    width = quantile(_freedom(found)) * error if error > 0 else 0.0
    own = float(np.mean([c.own for c in found]))
    base = float(np.mean([c.base for c in found]))
    far = max(found, key=lambda c: abs(math.log(max(c.own, _SMALLEST_RATIO))))
    extreme = (far.time, far.own, far.base)
    return Change(found[0].measure, own, base, gain, gain - width, gain + width, extreme)


def _freedom(found: Sequence[Comparison]) -> float:
    """Degrees of freedom of a mean over times.

    Errors by sample and by cell differ much; Satterthwaite's approximation then weighs each.
    """
    if not any(c.n_samples for c in found):
        return sum(c.freedom for c in found)
    weighed = sum(c.error**4 / c.freedom for c in found if c.freedom > 0)
    return sum(c.error**2 for c in found) ** 2 / weighed if weighed > 0 else 0


def _outcome(changes: Sequence[Change]) -> Outcome:
    signs = {change.measure: change.sign for change in changes}
    good = any(sign > 0 for sign in signs.values())
    bad = any(sign < 0 for sign in signs.values())
    if good and bad:
        return "contradictory"
    if bad:
        return "worse"
    agree = signs.get("w1", 0) > 0 and signs.get("energy", 0) > 0
    # A larger share of wrong types, even within chance, is no agreement.
    doubt = any(change.measure == "composition" and change.gain < -_SMALL for change in changes)
    return "better" if agree and not doubt else "undecided"

"""A verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cellflow.evaluation.names import STRAIGHT
from cellflow.evaluation.verdict import Change, Verdict

__all__ = ["headline", "sentence", "sentences"]

_ENDS = {
    "better": "{} is better.",
    "worse": (
        "{} is worse, so the model adds nothing to where cells are; use the interpolation for that."
    ),
    "undecided": "{} is not better beyond what chance explains.",
    "contradictory": "the measures contradict each other, so {} is not better.",
}
_HEADLINES = {
    "better": "{} is better than interpolation without a model.",
    "worse": "{} is worse than interpolation without a model.",
    "undecided": "{} is not better than interpolation without a model beyond what chance explains.",
    "contradictory": "Some measures say that {} is better, others that it is worse.",
}
#: Measures by which a method is worse.
_MEASURES = {
    "w1": "W1",
    "energy": "the energy distance",
    "composition": "the shares of cell types",
    "variance_ratio": "the variance of the cloud",
}
_DISTANCES = {"w1": "W1", "energy": "the energy distance"}


def headline(verdict: Verdict) -> str:
    """Say the outcome in one short sentence, with what decided it; nothing where none is judged."""
    said = _HEADLINES.get(verdict.outcome, "").format(verdict.method)
    if verdict.outcome != "worse":
        return said
    worse = [_MEASURES[change.measure] for change in verdict.changes if change.sign < 0]
    where = " and ".join(worse)
    return f"{said.removesuffix('.')} in {where}, and better in nothing beyond chance."


def sentence(verdict: Verdict) -> str:
    """Say a verdict in words, in one line; see `sentences`."""
    return " ".join(sentences(verdict))


def sentences(verdict: Verdict) -> list[str]:
    """Say a verdict in words: what is nearer, what is farther, by how much, and what follows.

    Parameters
    ----------
    verdict
        By the protocol of `cf.tl.predict` where the method has it; P1 then is a second sentence.
    """
    if verdict.outcome == "unjudged":
        return [f"{verdict.method} could not be judged: {verdict.reason}."]
    n = verdict.n_times
    failed = f" ({verdict.n_failed} failed)" if verdict.n_failed else ""
    times = f"{n} held-out time{'s' * (n > 1)}{failed}"
    head = (
        f"{verdict.method} ({verdict.protocol}) compared with {STRAIGHT} without a model, over"
        f" {times}"
    )
    said = f"{head}: {_facts(verdict.changes)}: {_end(verdict, 'it')}{_units(verdict)}"
    beside = verdict.beside
    if beside is None or beside.outcome == "unjudged":
        return [said]
    how = "which moves the cells of the snapshot before alone"
    return [said, f"By {beside.protocol}, {how}, {_facts(beside.changes)}: {_end(beside, 'that')}"]


def _units(verdict: Verdict) -> str:
    """Whether intervals are by sample, where they are."""
    n = verdict.n_by_sample
    if not n:
        return ""
    if n == verdict.n_times:
        return " Intervals and the noise floor are by sample."
    return (
        f" Intervals and the noise floor are by sample at {n} of the {verdict.n_times} times, and"
        " by cell at the others, which have one sample."
    )


def _end(verdict: Verdict, subject: str) -> str:
    return _ENDS[verdict.outcome].format(subject)


def _facts(changes: Sequence[Change]) -> str:
    """All measures in order; where some are nearer, those that are farther follow a "but"."""
    shown = [c for c in changes if c.measure != "variance_ratio" or c.is_off]
    good = [_fact(c) for c in shown if c.sign > 0]
    bad = [_fact(c) for c in shown if c.sign < 0]
    if not (good and bad):
        return ", ".join(_fact(c) for c in shown)
    rest = [_fact(c) for c in shown if c.sign == 0]
    return f"{', '.join([*good, *rest])}, but {' and '.join(bad)}"


def _fact(change: Change) -> str:
    if change.measure == "variance_ratio":
        time, ratio, base = change.extreme
        verb = "keeps" if ratio < 1 else "has"
        said = (
            f"the predicted cloud {verb} {100 * ratio:.0f} % of the variance of the cells at time"
            f" {time:g}"
        )
        return f"{said} (by interpolation {100 * base:.0f} %)"
    if change.measure == "composition":
        return (
            f"{100 * change.own:.1f} % of the cells are in a wrong type, by interpolation"
            f" {100 * change.base:.1f} % ({_interval(change, 1.0, 'of the difference ')})"
        )
    name = _DISTANCES[change.measure]
    if not change.base > 0:
        return f"{name} is {change.own:.3g} and by interpolation {change.base:.3g}"
    word = "smaller" if change.gain >= 0 else "larger"
    value = abs(100 * change.gain / change.base)
    return f"{name} is {value:.1f} % {word} ({_interval(change, change.base, '')})"


def _interval(change: Change, base: float, of: str) -> str:
    low = -100 * change.high / base
    high = -100 * change.low / base
    if not (math.isfinite(low) and math.isfinite(high)):
        return "no interval from one split"
    return f"95 % interval {of}{round(low):+d} to {round(high):+d} %"

"""The verdict of held-out clones in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cellflow.evaluation.clones.benchmark import ClonalBenchmark
from cellflow.evaluation.clones.measures import MEASURES
from cellflow.evaluation.clones.run import CHANCE, LABELS
from cellflow.evaluation.clones.scores import ALL, Difference, Method, Score
from cellflow.evaluation.verdict import Outcome

__all__ = ["outcome_of", "verdict"]

_NAMES = {
    "accuracy": "accuracy",
    "brier_calibrated": "calibrated Brier score",
    "r": "r",
    "auroc": "AUROC",
    "precision": "precision",
}
_ENDS = {
    "better": "it is better",
    "worse": "it is worse",
    "undecided": "not better beyond what chance explains",
    "contradictory": "the measures contradict each other",
    "unjudged": "nothing can be compared",
}


def verdict(found: ClonalBenchmark) -> str:
    """One line for each method: beside the nearest labelled cells, and itself without clones.

    A method is better where one measure at least is better beyond chance, at a level at which all
    of its measures together hold in 95 % of cases, and none is worse.
    """
    return "\n".join(_lines(found))


def outcome_of(differences: Sequence[Difference]) -> Outcome:
    """Outcome of one method beside another, by all measures."""
    known = [d for d in differences if d.gain == d.gain and _is_judged(d.measure)]
    if not known:
        return "unjudged"
    good = any(d.sign > 0 for d in known)
    bad = any(d.sign < 0 for d in known)
    if good and bad:
        return "contradictory"
    return "better" if good else "worse" if bad else "undecided"


def _is_judged(measure: str) -> bool:
    return measure not in MEASURES or MEASURES[measure].judged


def _lines(found: ClonalBenchmark) -> Iterator[str]:
    every = [s for s in found.scores if s.start == ALL]
    pair = f"{found.pair[0]} against {found.pair[1]}"
    for method in dict.fromkeys(s.method for s in every if s.method.kind == "model"):
        own = [s for s in every if s.method == method]
        plain = Method(method.name, method.kind)
        bases = [LABELS, plain] if method.informed else [LABELS]
        beside = "; ".join(_beside(found, method, base) for base in bases)
        n = f"{own[0].n_cells} cells of {own[0].n_clones} held-out clones"
        yield f"{method.called}, by {n} (bias: {pair}): {_values(own)}. {beside}."
    yield from _inside(found)


def _values(scores: Sequence[Score]) -> str:
    return ", ".join(
        f"{_NAMES[s.measure]} {s.value:.2f} [{s.low:.2f}, {s.high:.2f}]"
        for s in scores
        if _is_judged(s.measure)
    )


def _beside(found: ClonalBenchmark, method: Method, base: Method) -> str:
    own = [
        d
        for d in found.differences
        if (d.start, d.method, d.base) == (ALL, method, base)
    ]  # fmt: skip
    what = "itself without clones" if base.name == method.name else f"the {base.name}"
    gains = ", ".join(
        f"{_NAMES[d.measure]} {d.gain:+.2f} [{d.low:+.2f}, {d.high:+.2f}]"
        for d in own
        if _is_judged(d.measure)
    )
    return f"Gain over {what}: {gains}: {_ENDS[outcome_of(own)]}"


def _inside(found: ClonalBenchmark) -> Iterator[str]:
    """Shares of the mass that stays in its clone."""
    rows = [s for s in found.scores if s.measure == "precision"]
    for method in dict.fromkeys(s.method for s in rows if s.method.kind == "model"):
        parts = []
        for s in rows:
            if s.method == method:
                chance = next(c for c in rows if (c.start, c.method) == (s.start, CHANCE))
                interval = f"[{s.low:.1%}, {s.high:.1%}]"
                parts.append(f"{s.value:.1%} {interval} from time {s.start} ({chance.value:.1%})")
        listed = ", ".join(parts)
        yield f"{method.called}, mass that stays in its clone (by chance): {listed}."

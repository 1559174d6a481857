"""What the verdict says beside the distance."""

import math

import pytest

from cellflow.benchmark.judging import FLOOR, STRAIGHT, Row
from cellflow.benchmark.scores import Scores
from cellflow.benchmark.verdict import verdict

SPLITS = (2.0, 2.1, 1.9)


def row(method: str, kind: str, *, by: float = 0.0, time: float = 1.0, seed: int | None = None, variance: float = 1.0) -> Row:
    """A row whose W1 is `by` smaller than that of the interpolation, on every half."""
    scores = Scores({"variance_ratio": variance}, tuple(w - by for w in SPLITS))
    return Row(time, method, "P1" if kind == "model" else "", seed, kind, scores, 0.0, "as given")  # type: ignore[arg-type]


def said(*models: Row) -> str:
    rows = [row(STRAIGHT, "baseline", time=t) for t in {m.time for m in models}]
    return verdict([*rows, *models, row(FLOOR, "floor", by=1.5)])


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.55, "ours (P1), with 55 % of the variance of the cells at time 1, comes 25.0 % nearer"),
        (2.0, "ours (P1), with 200 % of the variance of the cells at time 1, comes 25.0 % nearer"),
        (0.95, "ours (P1) comes 25.0 % nearer"),
        (math.nan, "ours (P1) comes 25.0 % nearer"),
        (0.0, "ours (P1), with 0 % of the variance of the cells at time 1, comes 25.0 % nearer"),
    ],
)
def test_a_variance_that_is_far_off_is_said_in_the_same_sentence(share, words):
    sentence = said(row("ours", "model", by=0.5, seed=0, variance=share))
    assert sentence.startswith(words)
    assert sentence.endswith("it is better."), "the distance is what it is"


def test_the_worst_time_speaks_and_seeds_are_averaged():
    models = [row("ours", "model", by=0.5, time=t, seed=s, variance=v) for t, s, v in
              ((1.0, 0, 0.9), (2.0, 0, 0.3), (2.0, 1, 0.5), (3.0, 0, 1.3))]  # fmt: skip
    assert "with 40 % of the variance of the cells at time 2," in said(*models)


def test_narrow_at_one_time_is_not_made_up_for_by_wide_at_another():
    models = [row("ours", "model", time=t, seed=0, variance=v) for t, v in ((1.0, 0.5), (2.0, 1.5))]
    assert "with 50 % of the variance of the cells at time 1," in said(*models)

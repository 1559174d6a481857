"""Whether a method is called better, and what is said of it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from cellflow.core.population import Population, Snapshots
from cellflow.evaluation import hold_out
from cellflow.evaluation.comparison import Comparison, compare
from cellflow.evaluation.names import FLOOR, STRAIGHT
from cellflow.evaluation.rows import Row
from cellflow.evaluation.scores import Scores
from cellflow.evaluation.verdict import judge
from cellflow.evaluation.words import sentence

#: Of OT interpolation, on three halves.
BASE = {"w1": (2.0, 2.1, 1.9), "energy": (1.0, 1.1, 0.9), "variance_ratio": (0.95, 0.96, 0.94)}


def row(
    method="ours",
    protocol="two-sided",
    *,
    w1=0.0,
    energy=0.0,
    variance=0.95,
    time=1.0,
    seed=0,
    noise=0.0,
):
    """A row whose W1 and energy distance are smaller than those of the interpolation by so much on
    every half.
    """
    jitter = noise * np.array([1.0, -1.0, 0.0])
    splits = {
        "w1": tuple(np.array(BASE["w1"]) - w1 + jitter),
        "energy": tuple(np.array(BASE["energy"]) - energy + jitter),
        "variance_ratio": (variance,) * 3,
    }
    kind = "baseline" if method == STRAIGHT else "floor" if method == FLOOR else "model"
    model = kind == "model"
    return Row(
        time,
        method,
        protocol if model else "",
        seed if model else None,
        kind,
        Scores({}, splits),
        0.0,
        "as given",
    )


def rows_of(*models):
    return [
        *(row(STRAIGHT, time=t) for t in {m.time for m in models}),
        *models,
        row(FLOOR, w1=1.5, energy=0.9),
    ]


def wrong_types(own, base, *, error=0.01, **where):
    about = {"method": "ours", "protocol": "two-sided", "time": 1.0} | where
    return Comparison(
        **about, measure="composition", own=own, base=base, gain=base - own, error=error, freedom=19
    )


def judged(*models, types=()):
    (found,) = judge([*compare(rows_of(*models)), *types])
    return found


@pytest.mark.parametrize(
    ("model", "types", "outcome"),
    [
        (row(w1=0.5, energy=0.3), (), "better"),
        (row(w1=-0.5, energy=-0.3), (), "worse"),
        (row(w1=0.5, energy=-0.3), (), "contradictory"),
        (row(w1=-0.5, energy=0.3), (), "contradictory"),
        (row(), (), "undecided"),
        (row(w1=0.5), (), "undecided"),
        (row(energy=0.3), (), "undecided"),
        (row(w1=-0.5), (), "worse"),
        (row(w1=0.5, energy=0.3, noise=0.6), (), "undecided"),
        # A cloud that lost or gained variance, though both distances fell.
        (row(w1=0.5, energy=0.3, variance=0.28), (), "contradictory"),
        (row(w1=0.5, energy=0.3, variance=0.0), (), "contradictory"),
        (row(w1=0.5, energy=0.3, variance=4.0), (), "contradictory"),
        (row(variance=0.28), (), "worse"),
        # As near to the truth as makes no difference.
        (row(w1=0.5, energy=0.3, variance=0.9), (), "better"),
        (row(w1=0.5, energy=0.3, variance=1.1), (), "better"),
        # Types.
        (row(w1=0.5, energy=0.3), (wrong_types(0.1, 0.25),), "better"),
        (row(w1=0.5, energy=0.3), (wrong_types(0.25, 0.25),), "better"),
        (row(w1=0.5, energy=0.3), (wrong_types(0.258, 0.096),), "contradictory"),
        (row(w1=0.5, energy=0.3), (wrong_types(0.26, 0.25),), "better"),
        (row(w1=0.5, energy=0.3), (wrong_types(0.258, 0.096, error=1.0),), "undecided"),
        (row(w1=-0.5, energy=-0.3), (wrong_types(0.096, 0.258),), "contradictory"),
        (row(), (wrong_types(0.258, 0.096),), "worse"),
        (row(), (wrong_types(0.096, 0.258),), "undecided"),
    ],
)
def test_better_needs_every_measure_to_agree(model, types, outcome):
    found = judged(model, types=types)
    assert found.outcome == outcome
    assert ("it is better." in sentence(found)) is (outcome == "better")
    assert ("contradict" in sentence(found)) is (outcome == "contradictory")


@pytest.mark.parametrize(
    ("model", "types", "said"),
    [
        (row(w1=0.5), (), "W1 is 25.0 % smaller (95 % interval -25 to -25 %)"),
        (
            row(energy=-0.48),
            (),
            "the energy distance is 48.0 % larger (95 % interval +48 to +48 %)",
        ),
        (row(w1=0.5, energy=-0.3), (), "-25 %), but the energy distance is 30.0 % larger"),
        (
            row(w1=0.5, variance=0.28),
            (),
            "but the predicted cloud keeps 28 % of the variance of the cells at time 1",
        ),
        (
            row(w1=0.5, energy=-0.3, variance=0.28),
            (),
            "30 %) and the predicted cloud keeps 28 % of the variance",
        ),
        (
            row(variance=2.0),
            (),
            "the predicted cloud has 200 % of the variance of the cells at time 1",
        ),
        (
            row(w1=0.5),
            (wrong_types(0.258, 0.096),),
            "but 25.8 % of the cells are in a wrong type, by interpolation 9.6 %",
        ),
        (row(), (wrong_types(0.2, 0.3),), "95 % interval of the difference -12 to -8 %"),
        (
            row(),
            (),
            (
                "ours (two-sided) compared with OT interpolation without a model, over 1 held-out"
                " time: "
            ),
        ),
    ],
)
def test_the_sentence_names_what_was_found(model, types, said):
    assert said in sentence(judged(model, types=types))


def test_a_variance_that_is_right_is_not_mentioned():
    assert "variance" not in sentence(judged(row(w1=0.5, energy=0.3, variance=0.9)))


def test_a_lost_variance_that_the_interpolation_lost_too_is_said_and_does_not_count():
    models = [row(w1=0.5, energy=0.3, variance=0.5), row(STRAIGHT, variance=0.4)]
    (found,) = judge(compare(models))
    assert found.outcome == "better"
    assert "keeps 50 % of the variance" in sentence(found)


def test_the_worst_time_speaks_for_the_variance_and_seeds_are_averaged():
    cases = ((1.0, 0, 0.9), (2.0, 0, 0.3), (2.0, 1, 0.5), (3.0, 0, 1.3))
    models = [row(w1=0.5, time=t, seed=s, variance=v) for t, s, v in cases]
    assert "keeps 40 % of the variance of the cells at time 2" in sentence(judged(*models))


def test_narrow_at_one_time_is_not_made_up_for_by_wide_at_another():
    models = [row(time=t, variance=v) for t, v in ((1.0, 0.5), (2.0, 1.5))]
    assert "keeps 50 % of the variance of the cells at time 1" in sentence(judged(*models))


def test_what_predict_does_is_judged_and_p1_stands_beside_it():
    models = [
        row(protocol=p, w1=w1, energy=w1 / 2)
        for p, w1 in (("P1", -0.5), ("P2", -1.0), ("two-sided", 0.5))
    ]
    found = judged(*models)
    assert (found.protocol, found.outcome, found.beside.protocol, found.beside.outcome) == (
        "two-sided",
        "better",
        "P1",
        "worse",
    )
    assert judged(*models[::-1]) == found
    said = sentence(found)
    assert (
        "it is better. By P1, which moves the cells of the snapshot before alone, W1 is 25.0 %"
        " larger" in said
    )
    assert said.endswith(
        "that is worse, so the model adds nothing to where cells are; use the interpolation for"
        " that."
    )
    assert "P2" not in said


@pytest.mark.parametrize("protocol", ["P1", "P2"])
def test_a_method_without_a_two_sided_prediction_is_judged_by_what_it_has(protocol):
    found = judged(row(protocol=protocol, w1=0.5, energy=0.3))
    assert (found.protocol, found.outcome, found.beside) == (protocol, "better", None)


def test_seeds_that_differ_widen_the_interval():
    same = judged(*(row(w1=0.5, energy=0.3, seed=s) for s in range(3)))
    other = judged(*(row(w1=0.5 + d, energy=0.3, seed=s) for s, d in enumerate((-0.9, 0.0, 0.9))))
    assert (same.outcome, other.outcome) == ("better", "undecided")
    assert other.change("w1").gain == pytest.approx(same.change("w1").gain)
    assert other.change("w1").low < same.change("w1").low


def test_one_split_has_no_interval():
    def single(found):
        return replace(
            found,
            scores=replace(found.scores, splits={k: v[:1] for k, v in found.scores.splits.items()}),
        )

    (found,) = judge(compare([single(r) for r in rows_of(row(w1=0.5, energy=0.3))]))
    assert found.outcome == "undecided"
    assert "no interval from one split" in sentence(found)


def test_times_that_failed_are_counted_and_the_reason_is_said():
    lost = replace(row(time=2.0), scores=Scores({}, {}, ("no luck",)))
    found = judged(row(w1=0.5, energy=0.3), lost)
    assert (found.n_times, found.n_failed) == (1, 1)
    assert "over 1 held-out time (1 failed)" in sentence(found)
    (nothing,) = judge(compare(rows_of(lost)), failures=[("ours", "no luck"), ("ours", "again")])
    assert sentence(nothing) == "ours could not be judged: no fit gave a prediction (no luck)."
    (alone,) = judge(compare([row(w1=0.5)]))
    assert sentence(alone) == "ours could not be judged: OT interpolation is missing."


def test_a_scale_of_the_coordinates_changes_nothing():
    def scaled(found):
        splits = {
            k: v if k == "variance_ratio" else tuple(1e3 * np.array(v))
            for k, v in found.scores.splits.items()
        }
        return replace(found, scores=replace(found.scores, splits=splits))

    rows = rows_of(row(w1=0.3, energy=-0.2, noise=0.01))
    one, other = (sentence(judge(compare(some))[0]) for some in (rows, [scaled(r) for r in rows]))
    assert one == other


# On clouds ----------------------------------------------------------------------------------------

N, D = 80, 10


def bent(seed=0):
    """A cloud that keeps its shape and whose mean leaves the straight line between the snapshots
    around the middle one.
    """
    rng = np.random.default_rng(seed)
    means = {0.0: 0.0, 1.0: 1.5, 2.0: 0.0}
    return Snapshots(
        tuple(Population(rng.normal(size=(N, D)) + m * np.eye(D)[0], t) for t, m in means.items())
    )


@dataclass(frozen=True)
class Cloud:
    """Predicts a normal cloud of some mean and spread, or what the interpolation predicts."""

    name: str
    mean: float
    spread: float

    def __call__(self, rest, time, *, random_state):
        rng = np.random.default_rng(7)
        x = self.spread * rng.normal(size=(4 * N, D))
        x[:, 0] += self.mean
        return {"two-sided": Population(x, time)}


@pytest.mark.parametrize(
    ("mean", "spread", "outcomes"),
    [
        (1.5, 1.0, {"better"}),
        (1.5, 0.9, {"better"}),
        (-1.5, 1.0, {"worse"}),
        # Mass at one point: near in W1 in many dimensions, and no cloud.
        (1.5, 0.0, {"contradictory", "worse"}),
        (1.5, 0.3, {"contradictory", "worse"}),
        (1.5, 0.5, {"contradictory", "worse"}),
        (0.0, 0.3, {"contradictory", "worse"}),
        (1.5, 2.0, {"contradictory", "worse"}),
        (1.5, 4.0, {"worse"}),
        (0.0, 2.0, {"worse"}),
    ],
)
def test_only_a_cloud_of_the_right_place_and_width_is_better(mean, spread, outcomes):
    found = hold_out(
        bent(), methods=Cloud("cloud", mean, spread), metrics=("w1", "energy"), n_splits=10
    )
    (verdict,) = found.verdicts
    assert verdict.outcome in outcomes
    assert found.verdict == sentence(verdict)


def test_the_interpolation_is_not_better_than_itself():
    from cellflow.evaluation.baselines import ot_interpolation

    @dataclass(frozen=True)
    class Copy:
        name: str = "copy"

        def __call__(self, rest, time, *, random_state):
            return {"two-sided": ot_interpolation(rest, time, np.random.default_rng(3))}

    (verdict,) = hold_out(bent(), methods=Copy(), metrics=("w1",), n_splits=10).verdicts
    assert verdict.outcome == "undecided"

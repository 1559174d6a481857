"""Choosing a method by inner hold-outs."""

from dataclasses import replace

import numpy as np
import pytest
from cellflow.recipes import DEFAULT, Head, by_name, fm, i_cfm, ot_cfm

from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, InputTypeError
from cellflow.evaluation import judging
from cellflow.evaluation import trials as module
from cellflow.evaluation.candidates import Candidate, as_seconds, candidates
from cellflow.evaluation.selection import select
from cellflow.model.fitting import couple
from cellflow.objectives import velocity_matching
from cellflow.paths import LimitedHermite
from cellflow.training import Training

SHORT = Training(steps=120, batch_size=64, record_every=40)


def two_branches(n=80, d=2, seed=0):
    """Two groups that move apart: pairs drawn at random cross from one to the other, pairs of the
    optimal plan do not.
    """
    rng = np.random.default_rng(seed)
    made = []
    for t in (0.0, 1.0, 2.0, 3.0):
        side = np.repeat([-1.0, 1.0], n // 2)
        x = 0.15 * rng.normal(size=(n, d))
        x[:, 0] += side * (1.0 + 2.0 * t)
        made.append(Population(x, t))
    return Snapshots(tuple(made))


@pytest.fixture(scope="module")
def snapshots():
    return two_branches()


@pytest.fixture(scope="module")
def found(snapshots):
    return select(
        snapshots, candidates([i_cfm(training=SHORT), ot_cfm(training=SHORT)]), budget=600
    )


def test_the_coupling_that_does_not_cross_is_chosen(found):
    assert found.best.name == "ot-cfm"
    assert found.times == (1.0, 2.0)
    first = {trial.candidate.name: trial for trial in found.trials[:2]}
    assert first["ot-cfm"].score < first["i-cfm"].score
    assert first["ot-cfm"].score == pytest.approx(
        (first["ot-cfm"].w1_ratio * first["ot-cfm"].energy_ratio) ** 0.5
    )


def test_the_better_half_goes_on_to_all_steps(found):
    assert [(t.candidate.name, t.steps) for t in found.trials] == [
        ("i-cfm", 30),
        ("ot-cfm", 30),
        ("ot-cfm", 120),
    ]
    assert not found.untried


def test_plans_are_solved_once_for_all_rounds_and_methods(snapshots, monkeypatch):
    solved = []
    monkeypatch.setattr(
        judging, "couple", lambda *args, **options: solved.append(1) or couple(*args, **options)
    )
    straight = ot_cfm(training=SHORT)
    found = select(
        snapshots,
        candidates([straight, replace(straight, name="curved", path=LimitedHermite())]),
        budget=600,
    )
    assert len(found.trials) == 3
    assert len(solved) == len(found.times)


def test_the_same_seed_chooses_the_same(snapshots, found):
    again = select(
        snapshots, candidates([i_cfm(training=SHORT), ot_cfm(training=SHORT)]), budget=600
    )
    assert [t.score for t in again.trials] == [t.score for t in found.trials]


def test_within_no_time_the_first_is_tried(snapshots):
    found = select(
        snapshots, candidates([i_cfm(training=SHORT), ot_cfm(training=SHORT)]), budget=1e-6
    )
    assert [t.candidate.name for t in found.trials] == ["i-cfm"]
    assert [c.name for c in found.untried] == ["ot-cfm"]
    assert found.best.name == "i-cfm"


def test_dimensions_are_compared_in_the_leading_ones(snapshots, monkeypatch):
    """The prediction in two dimensions is cut to one, and judged against the same straight path."""
    seen = []
    hold_out = module.hold_out

    def watched(folds, **arguments):
        found = hold_out(folds, **arguments)
        seen.append([fold.snapshots.n_dims for fold in folds])
        assert {row.scores.values["n_predicted"] for row in found.rows if row.kind == "model"} == {
            80
        }
        return found

    monkeypatch.setattr(module, "hold_out", watched)
    found = select(snapshots, candidates(ot_cfm(training=SHORT), n_dims=[1, 2]), budget=600)
    assert found.n_dims == 1
    assert {n for dims in seen for n in dims} == {1}
    assert [c.name for c in (found.trials[0].candidate, found.trials[1].candidate)] == [
        "ot-cfm (1 dims)",
        "ot-cfm (2 dims)",
    ]
    assert max(t.w1_ratio for t in found.trials) < 2


def test_a_candidate_that_fails_is_not_chosen(snapshots):
    broken = replace(i_cfm(training=replace(SHORT, lr=1e3, clip=1e12, warmup=0)), name="broken")
    broken = broken.with_head("velocity", Head(_Exploding, velocity_matching))
    found = select(snapshots, candidates([broken, ot_cfm(training=SHORT)]), budget=600)
    assert found.best.name == "ot-cfm"
    assert found.trials[0].score == np.inf
    assert "RuntimeError: no network" in found.trials[0].note


def _Exploding(dim, clock, **_):
    raise RuntimeError("no network")


def test_where_nothing_can_be_judged_the_first_is_taken_and_said(snapshots, caplog):
    broken = i_cfm(training=SHORT, field=_Exploding)
    found = select(snapshots, candidates(broken), budget=600)
    assert found.best.name == "i-cfm"
    assert "No method could be judged (RuntimeError: no network)" in caplog.text


def test_two_snapshots_choose_nothing(snapshots):
    with pytest.raises(InputError, match="nothing can be held out"):
        select(Snapshots(snapshots.populations[:2]))


def test_more_dimensions_than_there_are(snapshots):
    with pytest.raises(InputError, match="n_dims=3; the representation has 2"):
        select(snapshots, candidates("ot-cfm", n_dims=3))


def test_what_are_no_snapshots():
    with pytest.raises(InputTypeError, match=r"call cf\.bench\.tune"):
        select(np.zeros((3, 2)))


# Candidates ---------------------------------------------------------------------------------------


def test_combinations():
    made = candidates(
        ["ot-cfm", "sb-cfm", i_cfm(smoothing=0.7)], n_dims=(2, 5), smoothing=(0.05, 0.2), sigma=1.0
    )
    names = [
        "ot-cfm (smoothing=0.05, {} dims)",
        "ot-cfm (smoothing=0.2, {} dims)",
        "sb-cfm (sigma=1, {} dims)",
        "i-cfm ({} dims)",
    ]
    assert [c.name for c in made] == [name.format(n) for n in (2, 5) for name in names]
    assert made[1].recipe == ot_cfm(smoothing=0.2)
    assert made[3].recipe.path.smoothing == 0.7
    assert candidates()[0] == Candidate(by_name(DEFAULT))


def test_where_the_straight_path_is_perfect_nothing_is_chosen():
    still = Snapshots(tuple(Population(np.zeros((12, 2)), float(t)) for t in range(3)))
    found = select(still, candidates([i_cfm(training=SHORT), ot_cfm(training=SHORT)]), budget=600)
    assert found.best.name == "i-cfm"
    assert all(np.isinf(trial.score) and trial.note.startswith("no ") for trial in found.trials)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            {"methods": "sb-cfm", "smoothing": 0.1},
            r"smoothing=\[0\.1\], which none of the methods takes",
        ),
        ({"methods": ot_cfm(), "smoothing": 0.1}, "which none of the methods takes"),
        ({"methods": "ot-cfm", "sigma": 0.1}, "which none of the methods takes"),
        ({"methods": "ot-cmf"}, "did you mean 'ot-cfm'"),
        ({"methods": []}, "there is none"),
        ({"methods": ["ot-cfm", "ot_cfm"]}, "'ot-cfm' is there more than once"),
        ({"methods": fm()}, "makes cells from noise"),
        ({"n_dims": 0}, "n_dims=0"),
        ({"n_dims": (2, 2)}, "more than once"),
        ({"smoothing": -1.0}, "smoothing=-1"),
        ({"smoothing": "wide"}, "smoothing='wide'"),
    ],
)
def test_candidates_that_cannot_be(arguments, says):
    with pytest.raises(InputError, match=says):
        candidates(**arguments)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10min", 600),
        ("90s", 90),
        (" 1.5 H ", 5400),
        ("30", 30),
        (12, 12),
        (0.5, 0.5),
        ("2 m", 120),
    ],
)
def test_budgets(text, seconds):
    assert as_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["soon", "", "-3s", "1.2.3s", ".", "3 days", 0, -1, None, True, float("inf"), "0s"]
)
def test_budgets_that_are_none(text):
    with pytest.raises(InputError, match="budget="):
        as_seconds(text)

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from cellflow.recipes import i_cfm, ot_cfm

from cellflow.analysis.prediction import predict
from cellflow.core.population import Snapshots
from cellflow.errors import CellFlowError, InputError, IntegrationError
from cellflow.evaluation import leave_one_out, score_held_out
from cellflow.metrics import wasserstein
from cellflow.model.fitting import fit
from cellflow.synthetic import GaussianToGaussian

EB = Path(__file__).parents[3] / "shared" / "data" / "eb"
METHODS = ["previous snapshot", "OT interpolation", "ot-cfm", "ot-cfm, two-sided", "noise floor"]


def short(recipe, steps=300):
    return replace(recipe, training=replace(recipe.training, steps=steps))


@pytest.fixture(scope="module")
def snapshots():
    return GaussianToGaussian().sample(400, [0.0, 0.5, 1.0], np.random.default_rng(0))


@pytest.fixture(scope="module")
def rows(snapshots):
    return leave_one_out(snapshots, 0.5, recipe=short(ot_cfm()))


def test_one_row_per_method(rows):
    assert [row.method for row in rows] == METHODS
    assert set(asdict(rows[0])) == {"time", "method", "w1", "n_predicted", "n_observed", "seconds"}
    assert all(row.time == 0.5 and np.isfinite(row.w1) and row.seconds >= 0 for row in rows)


def test_sizes_are_stated(rows):
    sizes = {row.method: (row.n_predicted, row.n_observed) for row in rows}
    assert sizes["previous snapshot"] == sizes["ot-cfm"] == (400, 400)
    assert sizes["ot-cfm, two-sided"] == (800, 400)
    assert sizes["noise floor"] == (200, 200)


def test_the_model_beats_standing_still_and_nears_the_floor(rows):
    w1 = {row.method: row.w1 for row in rows}
    assert w1["ot-cfm"] < 0.4 * w1["previous snapshot"]
    assert w1["ot-cfm, two-sided"] < 0.4 * w1["previous snapshot"]
    assert w1["OT interpolation"] < 2 * w1["noise floor"]


def test_the_held_out_cells_are_not_looked_at(snapshots):
    """Whatever the left-out snapshot holds, fit and predictions are the same; only the distances
    change.
    """
    other = replace(snapshots[1], x=snapshots[1].x + 1000.0)
    moved = Snapshots((snapshots[0], other, snapshots[2]))
    fits = [fit(s.without(0.5), short(ot_cfm(), 20)) for s in (snapshots, moved)]
    seen, unseen = (
        predict(f, s.without(0.5), 0.5).x for f, s in zip(fits, (snapshots, moved), strict=True)
    )
    np.testing.assert_array_equal(seen, unseen)
    far = {row.method: row.w1 for row in leave_one_out(moved, 0.5, recipe=short(ot_cfm(), 20))}
    assert min(value for method, value in far.items() if method != "noise floor") > 1000


def test_same_seed_same_table(snapshots):
    first, again, other = (
        [
            row.w1
            for row in leave_one_out(snapshots, 0.5, recipe=short(i_cfm(), 20), random_state=seed)
        ]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("progress", [True, False])
def test_the_bar_is_shown_on_request(snapshots, progress, capsys):
    leave_one_out(snapshots, 0.5, recipe=short(i_cfm(), 5), progress=progress)
    assert ("5/5" in capsys.readouterr().err) is progress


def test_a_fit_that_is_there_is_not_made_again(snapshots):
    recipe = short(i_cfm(), 20)
    flow = fit(snapshots.without(0.5), recipe, random_state=3)
    rows = score_held_out(flow, snapshots, 0.5)
    made = leave_one_out(snapshots, 0.5, recipe=recipe, random_state=3)
    assert [replace(row, seconds=0.0) for row in rows] == [
        replace(row, seconds=0.0) for row in made
    ]
    assert all(row.seconds > flow.seconds for row in rows if row.method.startswith("i-cfm"))


def test_a_fit_that_has_seen_the_snapshot_is_no_judge(snapshots):
    flow = fit(snapshots, short(i_cfm(), 5))
    with pytest.raises(InputError, match=r"so it has seen time 0\.5; fit without"):
        score_held_out(flow, snapshots, 0.5)


@pytest.mark.parametrize("time", [0.0, 1.0, 0.3])
def test_only_an_inner_snapshot_can_be_left_out(snapshots, time):
    with pytest.raises(InputError, match=r"No snapshot at time|no snapshot on both sides"):
        leave_one_out(snapshots, time)


@pytest.mark.skipif(not EB.exists(), reason="the embryoid bodies are not beside the repository")
def test_a_short_fit_of_some_embryoid_bodies_is_far_better_than_the_snapshot_before():
    """The short form of the test below."""
    x, labels = np.load(EB / "eb_pcs5_whitened.npy")[::4], np.load(EB / "eb_labels.npy")[::4]
    rest = Snapshots.from_arrays(x, labels.astype(float)).without(1.0)
    predicted = predict(fit(rest, short(ot_cfm(), 200)), rest, 1.0, source="earlier")
    assert wasserstein(predicted.x, x[labels == 1]) < 0.75 * wasserstein(
        x[labels == 0], x[labels == 1]
    )


@pytest.mark.slow
@pytest.mark.skipif(not EB.exists(), reason="the embryoid bodies are not beside the repository")
def test_embryoid_bodies_come_out_as_published():
    """Protocol P1 at the first inner time, all cells, 5 whitened dimensions: the exact plan's
    midpoint scores .718.
    """
    x, labels = np.load(EB / "eb_pcs5_whitened.npy"), np.load(EB / "eb_labels.npy")
    rest = Snapshots.from_arrays(x, labels.astype(float)).without(1.0)
    predicted = predict(fit(rest), rest, 1.0, source="earlier")
    assert len(predicted.x) == 2381
    assert wasserstein(predicted.x, x[labels == 1]) < 0.745


def test_a_single_held_out_cell_has_no_floor(snapshots):
    few = Snapshots(
        tuple(p.part(np.array([0])) if p.time == 0.5 else p for p in snapshots.populations)
    )
    rows = {row.method: row for row in leave_one_out(few, 0.5, recipe=short(i_cfm(), 5))}
    assert np.isnan(rows.pop("noise floor").w1)
    assert all(np.isfinite(row.w1) and row.n_observed == 1 for row in rows.values())


def test_a_prediction_that_fails_says_why(snapshots, monkeypatch):
    def fail(*_, **__):
        msg = "no way"
        raise IntegrationError(msg)

    monkeypatch.setattr("cellflow.evaluation.methods.predict", fail)
    with pytest.raises(
        CellFlowError, match=r"i-cfm could not be scored at time 0\.5 \(IntegrationError: no way\)"
    ):
        leave_one_out(snapshots, 0.5, recipe=short(i_cfm(), 5))

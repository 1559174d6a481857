"""Which snapshots a prediction starts from, and what it returns."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.analysis.prediction import of_condition, predict, sources
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.simulation import Trajectories


class Drift:
    """A stand-in for a fitted flow: everything moves by +1 per unit of time."""

    def simulate(self, x, t0, times, *, context=None):
        moved = np.stack([x + (t - t0) for t in times])
        return Trajectories(np.asarray(times), moved, {}, np.arange(len(x)))


@pytest.fixture
def snapshots():
    weight = np.array([1.0, 1.0, 2.0])
    return Snapshots(
        (
            Population(np.zeros((2, 1)), 0.0, index=np.array([10, 11])),
            Population(np.ones((3, 1)), 1.0, weight, np.array([20, 21, 22])),
            Population(np.full((4, 1), 5.0), 5.0, index=np.arange(30, 34)),
        )
    )


@pytest.mark.parametrize(
    ("time", "source", "expected"),
    [
        (2.0, "both", [(1.0, 0.75), (5.0, 0.25)]),
        (2.0, "earlier", [(1.0, 1.0)]),
        (2.0, "later", [(5.0, 1.0)]),
        (2.0, 0.0, [(0.0, 1.0)]),
        (1.0, "both", [(0.0, 0.8), (5.0, 0.2)]),  # at a snapshot's own time, never that snapshot
        (7.0, "both", [(5.0, 1.0)]),
        (-1.0, "both", [(0.0, 1.0)]),
    ],
)
def test_sources(snapshots, time, source, expected):
    assert [
        (p.time, pytest.approx(share)) for p, share in sources(snapshots, time, source)
    ] == expected


def test_every_cell_comes_back_once_with_its_weight(snapshots):
    predicted = predict(Drift(), snapshots, 2.0)
    np.testing.assert_allclose(predicted.x, 2.0)
    assert predicted.origin.tolist() == [20, 21, 22, 30, 31, 32, 33]
    np.testing.assert_allclose(
        predicted.weight, [0.1875, 0.1875, 0.375, 0.0625, 0.0625, 0.0625, 0.0625]
    )
    assert predicted.origin_time.tolist() == [1.0] * 3 + [5.0] * 4
    assert not predicted.extrapolated


@pytest.mark.parametrize(
    ("time", "outside"), [(-0.1, True), (0.0, False), (5.0, False), (5.1, True)]
)
def test_extrapolation_is_flagged(snapshots, time, outside):
    assert predict(Drift(), snapshots, time).extrapolated is outside


def test_draws_follow_the_weights(snapshots):
    drawn = predict(Drift(), snapshots, 2.0, n_obs=1600, rng=np.random.default_rng(0))
    counts = np.bincount(drawn.origin, minlength=34)[[20, 21, 22, 30, 31, 32, 33]]
    # Systematic: each count is its expectation, rounded up or down.
    assert (
        np.abs(
            counts - 1600 * np.array([0.1875, 0.1875, 0.375, 0.0625, 0.0625, 0.0625, 0.0625])
        ).max()
        <= 1
    )
    np.testing.assert_allclose(drawn.weight, 1 / 1600)


class Growing(Drift):
    """A drift under which a cell at `x` grows by `x` per unit of time, fixed along its path."""

    def simulate(self, x, t0, times, *, context=None):
        moved = super().simulate(x, t0, times)
        growth = np.stack([x[:, 0] * (t - t0) for t in times])
        return replace(moved, along={"log_weight": growth})


@pytest.mark.parametrize("n_obs", [None, 7])
def test_weights_grow_and_a_source_keeps_its_share(n_obs):
    x = np.array([[0.0], [1.0], [2.0]])
    late = Population(np.zeros((4, 1)), 3.0)
    cells = Snapshots((Population(x, 1.0, np.array([1.0, 1.0, 2.0])), late))
    one = predict(Growing(), cells, 2.0, source="earlier")
    expected = np.array([1.0, np.exp(1.0), 2.0 * np.exp(2.0)])
    np.testing.assert_allclose(one.weight, expected / expected.sum())
    both = predict(Growing(), cells, 2.0)
    np.testing.assert_allclose(both.weight[:3], 0.5 * one.weight)
    drawn = predict(
        Growing(), cells, 2.0, source="earlier", n_obs=n_obs, rng=np.random.default_rng(0)
    )
    ratio = drawn.weight / np.exp(drawn.x[:, 0] - 1.0)
    assert n_obs is None or np.ptp(ratio) < 1e-12


def test_few_draws_do_not_repeat_a_cell():
    snapshots = Snapshots((Population(np.zeros((50, 1)), 0.0), Population(np.ones((50, 1)), 1.0)))
    drawn = predict(Drift(), snapshots, 2.0, n_obs=50, rng=np.random.default_rng(0))
    assert len(set(drawn.origin.tolist())) == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "erlier"}, "did you mean 'earlier'"),
        ({"source": 0.5}, "No snapshot at time 0.5"),
        ({"time": 9.0, "source": "later"}, "no snapshot is later"),
        ({"time": np.nan}, "finite"),
        ({"n_obs": 0}, "n_obs=0"),
        ({"n_obs": 10}, "generator"),
    ],
)
def test_bad_questions_are_refused(snapshots, options, message):
    with pytest.raises(InputError, match=message):
        predict(Drift(), snapshots, **({"time": 2.0} | options))


# Conditions ---------------------------------------------------------------------------------------


class Told:
    """A stand-in for a conditional flow: the first feature is the velocity."""

    def simulate(self, x, t0, times, *, context=None):
        moved = np.stack([x + (t - t0) * context[:, :1] for t in times])
        return Trajectories(np.asarray(times), moved, {}, np.arange(len(x)))


@pytest.fixture
def conditional():
    def snapshot(time, features, weight):
        return Population(
            np.zeros((3, 1)), time, np.array(weight), context=np.array(features)[:, None]
        )

    return Snapshots(
        (
            snapshot(0.0, [1.0, 2.0, 2.0], [1.0, 1.0, 2.0]),
            snapshot(1.0, [1.0, 1.0, 2.0], [1.0, 1.0, 0.0]),
        )
    )


@pytest.mark.parametrize("n_obs", [None, 8])
def test_every_cell_is_moved_in_its_own_condition(conditional, n_obs):
    found = predict(Told(), conditional, 3.0, source=0.0, n_obs=n_obs, rng=np.random.default_rng(0))
    own = conditional[0].context[found.origin, 0]
    np.testing.assert_allclose(found.x[:, 0], 3.0 * own)
    assert set(own) == {1.0, 2.0}


def test_cells_of_one_condition_are_chosen_where_there_are_any(conditional):
    chosen, measured = of_condition(conditional, np.array([2.0]))
    assert measured
    # At time 1 the only cell of it weighs nothing.
    assert chosen.times.tolist() == [0.0]
    np.testing.assert_allclose(chosen[0].weight, [1 / 3, 2 / 3])
    found = predict(Told(), chosen, 3.0)
    assert (found.origin.tolist(), found.x[:, 0].tolist()) == ([1, 2], [6.0, 6.0])


def test_all_cells_stand_in_for_a_condition_that_none_has(conditional):
    told, measured = of_condition(conditional, np.array([5.0]))
    assert not measured
    assert [len(p) for p in told.populations] == [3, 3]
    assert predict(Told(), told, 2.0, source=1.0).x[:, 0].tolist() == [5.0, 5.0, 5.0]

"""Populations, snapshots and their clock."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError


def cloud(n=5, d=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# One population -----------------------------------------------------------------------------------


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20).filter(lambda w: sum(w) > 1e-9))
def test_weights_sum_to_one_and_keep_their_ratios(weight):
    weight = np.array(weight)
    population = Population(cloud(len(weight)), 0.0, weight)
    assert population.weight.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(population.weight * weight.sum(), weight, rtol=1e-9, atol=1e-300)


def test_weights_short_of_one_in_float32_are_mended():
    population = Population(cloud(3), 0.0, np.full(3, 1 / 3 - 1e-7, dtype=np.float32))
    assert population.weight.dtype == np.float64
    assert population.weight.sum() == pytest.approx(1.0, abs=1e-15)


def test_uniform_by_default():
    population = Population(cloud(4), 2)
    assert population.weight.tolist() == [0.25] * 4
    assert population.index.tolist() == [0, 1, 2, 3]
    assert (len(population), population.time, population.mass, population.is_uniform) == (
        4,
        2.0,
        1.0,
        True,
    )
    assert not Population(cloud(2), 0.0, np.array([1.0, 2.0])).is_uniform


def test_a_part_keeps_everything_of_its_cells():
    whole = Population(
        cloud(4), 3.0, np.array([1.0, 2.0, 3.0, 4.0]), np.arange(10, 14), 7.0, np.eye(4)
    )
    part = whole.part(np.array([3, 1]))
    np.testing.assert_array_equal(part.x, whole.x[[3, 1]])
    np.testing.assert_allclose(part.weight, [2 / 3, 1 / 3])
    np.testing.assert_array_equal(part.context, np.eye(4)[[3, 1]])
    assert (part.time, part.mass, part.index.tolist()) == (3.0, 7.0, [13, 11])
    assert Population(cloud(4), 3.0).part(np.array([0])).context is None


def test_memory_maps_are_not_copied(tmp_path):
    x = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(4, 2))
    assert Population(x, 0.0).x is x


@pytest.mark.parametrize(
    ("x", "weight", "index", "message"),
    [
        (np.zeros(3), None, None, r"shape \(3,\); expected \(n, d\)"),
        (np.zeros((0, 2)), None, None, r"shape \(0, 2\)"),
        (np.zeros((2, 0)), None, None, r"shape \(2, 0\)"),
        (np.array([[0.0], [np.nan]]), None, None, "x at time 7 has nan in row 1, column 0"),
        (np.array([[0.0, np.inf]]), None, None, "has inf in row 0, column 1"),
        (np.zeros((2, 1)), np.array([-1.0, 2.0]), None, "2 non-negative finite numbers"),
        (np.zeros((2, 1)), np.zeros(2), None, "not all zero"),
        (np.zeros((2, 1)), np.array([np.nan, 1.0]), None, "weight at time 7"),
        (np.zeros((2, 1)), np.ones(3), None, "must be 2"),
        (
            np.zeros((2, 1)),
            None,
            np.arange(3),
            r"index at time 7.* has shape \(3,\); expected \(2,\)",
        ),
    ],
)
def test_what_is_no_population(x, weight, index, message):
    with pytest.raises(InputError, match=message):
        Population(x, 7.0, weight, index)


# Snapshots ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_arrays_are_split_by_time(labels):
    time = np.array(labels, dtype=float)
    x = np.arange(len(time), dtype=float)[:, None]
    snapshots = Snapshots.from_arrays(x, time)
    assert snapshots.times.tolist() == sorted(set(labels))
    assert sorted(np.concatenate([p.index for p in snapshots.populations])) == list(
        range(len(time))
    )
    for population in snapshots.populations:
        assert (time[population.index] == population.time).all()
        np.testing.assert_array_equal(population.x[:, 0], population.index)


@pytest.mark.parametrize(("n_times", "n_weights"), [(3, None), (6, 3), (0, None)])
def test_one_time_and_one_weight_per_cell(n_times, n_weights):
    weight = None if n_weights is None else np.ones(n_weights)
    with pytest.raises(InputError, match="one row of x, one time and one weight per cell"):
        Snapshots.from_arrays(np.zeros((6, 2)), np.zeros(n_times), weight=weight)


def test_weights_travel_with_their_cells():
    snapshots = Snapshots.from_arrays(
        cloud(4), np.array([1.0, 0.0, 1.0, 0.0]), weight=np.array([1.0, 2.0, 3.0, 6.0])
    )
    assert snapshots[0].weight.tolist() == [0.25, 0.75]
    assert snapshots[1].weight.tolist() == [0.25, 0.75]


def test_a_left_out_snapshot_is_a_longer_gap():
    snapshots = Snapshots(tuple(Population(cloud(), t) for t in (0.0, 1.0, 7.0)))
    without = snapshots.without(1.0)
    assert without.times.tolist() == [0.0, 7.0]
    (pair,) = without.intervals
    assert (pair[0] is snapshots[0], pair[1] is snapshots[2]) == (True, True)
    assert len(snapshots) == 3
    with pytest.raises(InputError, match=r"No snapshot at time 2; found \[0\.0, 1\.0, 7\.0\]"):
        snapshots.without(2.0)


def test_moving_keeps_everything_but_positions():
    snapshots = Snapshots(
        (Population(cloud(), 0.0, np.arange(5.0), np.arange(5) + 10, 3.0), Population(cloud(), 1.0))
    )
    moved = snapshots.moved([p.x + 1.0 for p in snapshots.populations])
    for before, after in zip(snapshots.populations, moved.populations, strict=True):
        np.testing.assert_array_equal(after.x, before.x + 1.0)
        np.testing.assert_allclose(after.weight, before.weight)
        np.testing.assert_array_equal(after.index, before.index)
        assert (after.time, after.mass) == (before.time, before.mass)


@pytest.mark.parametrize(
    ("populations", "message"),
    [
        ((), "There is no population"),
        (
            (Population(cloud(), 1.0), Population(cloud(), 0.0)),
            r"strictly increasing; found \[1\.0, 0\.0\]",
        ),
        ((Population(cloud(), 1.0), Population(cloud(), 1.0)), "strictly increasing"),
        (
            (Population(cloud(d=2), 0.0), Population(cloud(d=3), 1.0)),
            r"one number of dimensions; found \[2, 3\]",
        ),
    ],
)
def test_what_are_no_snapshots(populations, message):
    with pytest.raises(InputError, match=message):
        Snapshots(populations)


# The clock ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "shift"), [(24.0, 0.0), (1e-9, 0.0), (1000.0, -5.0)])
def test_rescaling_time_rescales_the_clock(factor, shift):
    times = np.array([0.0, 1.0, 2.0, 6.0])
    clock, other = (
        Snapshots(tuple(Population(cloud(), t) for t in ts)).clock
        for ts in (times, factor * times + shift)
    )
    assert (clock.start, clock.stop, clock.unit, clock.median_gap) == (0.0, 6.0, 2.0, 1.0)
    assert other.unit == pytest.approx(factor * clock.unit)
    assert other.median_gap == pytest.approx(factor * clock.median_gap)
    # Diffusion is per square root of time.
    assert other.sigma == pytest.approx(clock.sigma / np.sqrt(factor))
    assert clock.sigma == 0.5


def test_one_snapshot_has_no_clock():
    with pytest.raises(InputError, match=r"At least two snapshots .* found one, at time 3"):
        _ = Snapshots((Population(cloud(), 3.0),)).clock

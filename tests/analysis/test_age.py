"""The time at which a cell would be typical, for populations whose course is known."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from cellflow.analysis.age import Course
from cellflow.analysis.embedding import place
from cellflow.core.population import Snapshots
from cellflow.errors import InputError
from cellflow.simulation import Trajectories
from cellflow.synthetic import Bifurcation, BranchingTree, GaussianToGaussian


class Truth:
    """A stand-in for a fitted flow that has the true velocity."""

    n_context = 0

    def __init__(self, system):
        self.system = system

    def simulate(self, x, t0, times, *, context=None):
        out, order = np.empty((len(times), *x.shape)), np.argsort(np.abs(np.asarray(times) - t0))
        current, now = np.array(x, dtype=float), float(t0)
        for k in order:
            steps = max(1, int(np.ceil(abs(times[k] - now) / 0.02)))
            for _ in range(steps):
                current = current + (times[k] - now) / steps * self.system.velocity(now, current)
            now, out[k] = float(times[k]), current
        return Trajectories(np.asarray(times), out, {}, np.arange(len(x)))


CASES = [
    (Bifurcation(), [0.0, 1.0, 2.0, 3.0]),
    (Bifurcation(), [0.0, 3.0]),
    (Bifurcation(speed=0.5), [0.0, 1.0, 4.0]),
    (Bifurcation(sd=0.5), [0.0, 2.0, 4.0]),
    (BranchingTree(n_dims=3), [0.0, 1.0, 2.0, 3.0]),
    (BranchingTree(n_dims=3), [0.0, 2.0, 3.0]),
    (BranchingTree(n_dims=10), [0.0, 1.0, 2.0, 3.0]),
    (BranchingTree(n_dims=20, sd=0.3), [0.0, 1.0, 3.0]),
    (BranchingTree(n_dims=5, sd=1.0), [0.0, 1.0, 2.0, 3.0]),
    (BranchingTree(n_dims=2, depth=1), [0.0, 1.0, 2.0]),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_as_good_as_the_time_of_the_neighbours(case):
    """Cells of all times, not only of those that were measured."""
    system, times = CASES[case]
    rng = np.random.default_rng(case)
    snapshots = system.sample(150, times, rng)
    asked = system.sample(20, np.linspace(times[0], times[-1], 17)[1:-1], rng)
    x = np.concatenate([p.x for p in asked.populations])
    truth = np.repeat(asked.times, 20)
    course = Course.of(
        Truth(system), snapshots, np.union1d(np.linspace(times[0], times[-1], 11), times)
    )
    found = course.typical_time(x)
    measured = np.concatenate([p.x for p in snapshots.populations])
    neighbours = place(x, measured, np.repeat(snapshots.times, 150)[:, None], n_neighbors=30)[:, 0]
    assert spearmanr(found, truth)[0] > spearmanr(neighbours, truth)[0] - 0.02
    assert np.abs(found - truth).mean() < np.abs(neighbours - truth).mean() + 0.02 * (
        times[-1] - times[0]
    )
    assert ((found >= times[0]) & (found <= times[-1])).all()


class Still:
    """Nothing moves."""

    n_context = 0

    def simulate(self, x, t0, times, *, context=None):
        moved = np.stack([x for _ in times]).astype(float)
        return Trajectories(np.asarray(times), moved, {}, np.arange(len(x)))


def test_a_measured_cell_is_not_compared_with_itself():
    """An early cell among late ones is as old as they are."""
    rng = np.random.default_rng(0)
    early, late = rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 50.0
    early[0] = 50.0
    x, time = np.concatenate([early, late]).astype(np.float32), np.repeat([0.0, 1.0], 100)
    course = Course.of(Still(), Snapshots.from_arrays(x, time), np.array([0.0, 1.0]))
    assert course.typical_time(x[:1])[0] == 1.0


@pytest.mark.parametrize(
    "grid", [[0.0, 1.0, 4.0], [0.0, 0.1, 0.2, 0.3, 4.0], np.linspace(0, 4, 21)]
)
def test_every_time_counts_by_its_interval(grid):
    """Where nothing moves, nothing is known, however uneven the grid."""
    rng = np.random.default_rng(0)
    snapshots = Snapshots.from_arrays(rng.normal(size=(400, 2)), np.repeat([0.0, 4.0], 200))
    found = Course.of(Still(), snapshots, np.asarray(grid)).typical_time(rng.normal(size=(50, 2)))
    assert found.mean() == pytest.approx(np.average(grid, weights=np.gradient(grid)), abs=0.35)


def test_a_single_cell_has_no_age():
    course = Course.of(
        Still(), Snapshots.from_arrays(np.zeros((1, 2)), np.zeros(1)), np.array([0.0, 1.0])
    )
    assert np.isnan(course.typical_time(np.zeros((1, 2)))[0])
    assert course.typical_time(np.ones((1, 2)))[0] == 0.0


def test_what_cannot_be_asked():
    snapshots = GaussianToGaussian().sample(5, [0.0, 1.0], np.random.default_rng(0))
    with pytest.raises(InputError, match="No time of the grid"):
        Course.of(Still(), snapshots, np.array([2.0, 3.0]))
    conditional = Still()
    conditional.n_context = 2
    with pytest.raises(InputError, match="conditional on 2 context features"):
        Course.of(conditional, snapshots, np.array([0.0, 1.0]))


# The posterior of the time --------------------------------------------------------------------


def test_the_most_likely_time_of_states_far_apart():
    """Populations that do not overlap: every cell is of its own time, and of no other."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)) + np.repeat([0.0, 50.0, 100.0], 100)[:, None]
    time = np.repeat([0.0, 1.0, 5.0], 100)
    course = Course.of(Still(), Snapshots.from_arrays(x, time), np.array([0.0, 1.0, 5.0]))
    known = course.posterior(x + 1e-3)
    np.testing.assert_array_equal(known.most_likely(), time)
    low, high = known.interval(0.9)
    assert (low <= time).all()
    assert (time <= high).all()
    # The length of the interval that is nearest to each time, of 5 in all.
    length = np.repeat([0.5, 2.5, 2.0], 100)
    np.testing.assert_allclose(known.uniqueness(), 1 - length / 5, atol=1e-9)
    # Central intervals, which the first and the last time extend to their own side.
    central = np.repeat([0.95, 0.9, 0.95], 100) * length
    np.testing.assert_allclose(high - low, central, atol=1e-9)


def test_where_nothing_moves_no_time_is_more_likely():
    rng = np.random.default_rng(0)
    snapshots = Snapshots.from_arrays(rng.normal(size=(2000, 2)), np.repeat([0.0, 4.0], 1000))
    grid = np.linspace(0.0, 4.0, 5)
    known = Course.of(Still(), snapshots, grid).posterior(rng.normal(size=(200, 2)))
    assert known.uniqueness().mean() < 0.15
    low, high = known.interval(0.8)
    assert 2.9 < (high - low).mean() < 3.8


def test_a_state_that_comes_twice_is_not_unique():
    """Cells that return: two separate times, with everything between them unlikely."""
    rng = np.random.default_rng(0)
    places = np.array([0.0, 50.0, 0.0])
    x = rng.normal(size=(300, 2)) + np.repeat(places, 100)[:, None]
    grid = np.array([0.0, 1.0, 2.0])
    course = Course.of(Still(), Snapshots.from_arrays(x, np.repeat(grid, 100)), grid)
    known = course.posterior(rng.normal(size=(50, 2)))
    low, high = known.interval(0.9)
    assert (high - low).mean() > 1.5
    assert known.density[:, 1].max() < 0.01


def test_intervals_cover_the_true_time():
    system = Bifurcation()
    rng = np.random.default_rng(1)
    snapshots = system.sample(300, [0.0, 1.0, 2.0, 3.0], rng)
    asked = system.sample(10, np.sort(rng.uniform(0.0, 3.0, 40)), rng)
    truth = np.repeat(asked.times, 10)
    grid = np.union1d(np.linspace(0.0, 3.0, 11), snapshots.times)
    x = np.concatenate([p.x for p in asked.populations])
    low, high = Course.of(Truth(system), snapshots, grid).posterior(x).interval(0.9)
    covered = ((low <= truth) & (truth <= high)).mean()
    assert 0.84 < covered < 0.97


def test_density_integrates_to_one_and_is_unknown_where_nothing_is_near():
    grid = np.array([0.0, 1.0])
    course = Course.of(Still(), Snapshots.from_arrays(np.zeros((1, 2)), np.zeros(1)), grid)
    known = course.posterior(np.zeros((1, 2)))
    for found in (known.most_likely(), *known.interval(0.9), known.uniqueness()):
        assert np.isnan(found).all()

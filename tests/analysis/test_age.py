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

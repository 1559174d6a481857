import numpy as np
import pytest

import problems
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.evaluation import noise_floor, ot_interpolation, previous_snapshot
from cellflow.evaluation.baselines import around
from cellflow.metrics import wasserstein

RNG = np.random.default_rng


def gaussians(times, n=300):
    """Cells on the displacement interpolation between two Gaussians, at fractions of the span."""
    span = times[-1] - times[0]
    laws = [
        problems.displacement(problems.SOURCE, problems.TARGET, (t - times[0]) / span)
        for t in times
    ]
    return Snapshots(
        tuple(
            Population(law.sample(n, RNG(k)), t)
            for k, (law, t) in enumerate(zip(laws, times, strict=True))
        )
    )


@pytest.mark.parametrize(
    ("time", "expected"), [(0.5, (0.0, 1.0)), (1.0, (0.0, 3.0)), (2.9, (1.0, 3.0))]
)
def test_neighbours_are_strictly_before_and_after(time, expected):
    assert tuple(p.time for p in around(gaussians([0.0, 1.0, 3.0], n=5), time)) == expected


@pytest.mark.parametrize("time", [-1.0, 0.0, 3.0, 4.0])
def test_the_edges_have_no_neighbours(time):
    with pytest.raises(InputError, match="no snapshot on both sides"):
        around(gaussians([0.0, 1.0, 3.0], n=5), time)


def test_previous_snapshot_is_the_one_before():
    snapshots = gaussians([0.0, 1.0, 3.0], n=5)
    assert previous_snapshot(snapshots, 3.0 - 1e-9) is snapshots[1]


def test_interpolation_of_a_translation_is_the_translation():
    x = RNG(0).standard_normal((40, 3))
    shift = np.array([5.0, -2.0, 1.0])
    snapshots = Snapshots((Population(x, 2.0), Population(x[::-1] + shift, 6.0)))
    found = ot_interpolation(snapshots, 3.0, RNG(0))
    assert found.time == 3.0
    assert wasserstein(found.x, x + 0.25 * shift, x_weight=found.weight) == pytest.approx(
        0.0, abs=1e-6
    )


def test_interpolation_does_not_look_at_the_time_itself():
    snapshots = gaussians([0.0, 1.0, 3.0], n=30)
    with_, without = (ot_interpolation(s, 1.0, RNG(0)) for s in (snapshots, snapshots.without(1.0)))
    np.testing.assert_array_equal(with_.x, without.x)


def test_interpolation_takes_every_edge_with_its_mass():
    """Unequal sizes and weights: the interpolated cloud's mean is the interpolation of the weighted
    means.
    """
    source = Population(RNG(0).standard_normal((31, 2)), 0.0, RNG(1).random(31))
    target = Population(RNG(2).standard_normal((47, 2)) + 3, 1.0)
    found = ot_interpolation(Snapshots((source, target)), 0.3, RNG(0))
    assert len(found) >= 47
    expected = 0.7 * source.weight @ source.x + 0.3 * target.weight @ target.x
    np.testing.assert_allclose(found.weight @ found.x, expected, atol=1e-8)


def test_interpolation_is_the_geodesic_between_gaussians():
    snapshots = gaussians([0.0, 0.4, 1.0], n=1000)
    found = ot_interpolation(snapshots, 0.4, RNG(0))
    floor = noise_floor(snapshots[1], RNG(0))
    assert wasserstein(found.x, snapshots[1].x, x_weight=found.weight) < 1.3 * floor
    assert wasserstein(previous_snapshot(snapshots, 0.4).x, snapshots[1].x) > 4 * floor


def test_noise_floor_is_that_of_two_samples_of_half_the_size():
    rng = RNG(0)
    floor = noise_floor(Population(rng.standard_normal((400, 2)), 0.0), rng, n_repeats=10)
    fresh = np.mean([wasserstein(*rng.standard_normal((2, 200, 2))) for _ in range(10)])
    assert floor == pytest.approx(fresh, rel=0.15)


def test_noise_floor_of_one_cell_is_refused():
    with pytest.raises(InputError, match="has one cell"):
        noise_floor(Population(np.zeros((1, 2)), 0.0), RNG(0))

"""The stream of training points."""

import numpy as np
import pytest
import torch

from cellflow.core.plans import EdgePlan, ProductPlan
from cellflow.core.population import Population, Snapshots
from cellflow.paths import Linear
from cellflow.training import Stream


@pytest.fixture
def snapshots():
    """Cells that can be told apart by their first coordinate: snapshot * 100 + row."""
    sizes, times = (20, 30, 10), (0.0, 1.0, 4.0)
    return Snapshots(
        tuple(
            Population(np.column_stack([100.0 * k + np.arange(n), np.zeros(n)]), t)
            for k, (n, t) in enumerate(zip(sizes, times, strict=True))
        )
    )


def product(n, m):
    return ProductPlan(np.full(n, 1 / n), np.full(m, 1 / m), cost=0.0)


def stream_of(snapshots, **options):
    plans = [product(len(a), len(b)) for a, b in snapshots.intervals]
    options = {"batch_size": 64, "validation": 0.1, "seed": 0} | options
    return Stream(snapshots, plans, Linear(smoothing=0.0), **options)


def starts(sample):
    """First coordinate of the source cell that each point of a straight path came from."""
    t0 = torch.where(sample.t < 1.0, 0.0, 1.0)
    return (sample.x[:, 0] - (sample.t - t0) * sample.velocity[:, 0]).round().long()


def test_a_block_is_keyed_by_its_position(snapshots):
    one, other = stream_of(snapshots), stream_of(snapshots)
    one.block(0)
    torch.testing.assert_close(one.block(3).x, other.block(3).x, rtol=0, atol=0)
    assert not torch.equal(one.block(3).x, one.block(4).x)
    assert not torch.equal(one.block(3).x, stream_of(snapshots, seed=1).block(3).x)


def test_an_interval_too_short_to_be_drawn_is_no_error(snapshots):
    times = (0.0, 1.0, 1e7)
    uneven = Snapshots(
        tuple(Population(p.x, t) for p, t in zip(snapshots.populations, times, strict=True))
    )
    stream = stream_of(uneven)
    assert (stream.block(0).t > 1.0).all()
    assert len(stream.validation().t)


def test_batches_are_the_blocks_in_order(snapshots):
    stream = stream_of(snapshots)
    batches = stream.batches()
    first = [next(batches).x for _ in range(stream.batches_per_block + 1)]
    torch.testing.assert_close(torch.cat(first[:-1]), stream.block(0).x, rtol=0, atol=0)
    torch.testing.assert_close(first[-1], stream.block(1).x[:64], rtol=0, atol=0)


def test_intervals_in_proportion_to_their_lengths_and_times_uniform(snapshots):
    t = stream_of(snapshots, batch_size=5000).block(0).t.numpy()
    assert (t < 1.0).mean() == pytest.approx(0.25, abs=0.01)
    assert np.quantile(t, [0.25, 0.5, 0.75]) == pytest.approx([1.0, 2.0, 3.0], abs=0.05)
    assert t.min() > 0.0
    assert t.max() < 4.0


def test_cells_set_aside_start_no_training_path(snapshots):
    stream = stream_of(snapshots, validation=0.2)
    trained = set(torch.cat([starts(stream.block(k)) for k in range(3)]).tolist())
    held_out = set(starts(stream.validation()).tolist())
    assert len(held_out) == 4 + 6
    assert len(trained) == 16 + 24
    assert not trained & held_out


def test_without_validation_every_cell_trains(snapshots):
    stream = stream_of(snapshots, validation=0.0)
    assert stream.validation() is None
    assert len(set(starts(stream.block(0)).tolist())) == 50


def test_pairs_follow_the_plan(snapshots):
    permutations = [np.random.default_rng(k).permutation(10) for k in range(2)]
    few = Snapshots(tuple(Population(p.x[:10], p.time) for p in snapshots.populations))
    plans = [EdgePlan((10, 10), np.arange(10), p, np.full(10, 0.1), cost=0.0) for p in permutations]
    sample = Stream(few, plans, Linear(0.0), batch_size=100, validation=0.1, seed=0).block(0)
    first = sample.t < 1.0
    i = starts(sample)[first].numpy()
    ends = (
        sample.x[first, 0] + (1.0 - sample.t[first]) * sample.velocity[first, 0]
    ).round().long().numpy() - 100
    np.testing.assert_array_equal(ends, permutations[0][i])


def test_cells_without_weight_are_never_drawn(snapshots):
    weight = np.zeros(20)
    weight[3] = weight[5] = 0.5
    plans = [ProductPlan(weight, np.full(30, 1 / 30), cost=0.0), product(30, 10)]
    stream = Stream(snapshots, plans, Linear(0.0), batch_size=500, validation=0.05, seed=0)
    for sample in (stream.block(0), stream.validation()):
        assert set(starts(sample)[sample.t < 1.0].tolist()) <= {3, 5}


def test_a_cell_with_most_of_the_mass_is_not_set_aside(snapshots):
    heavy = np.full(20, 0.01 / 19)
    heavy[0] = 0.99
    for seed in range(30):
        plans = [ProductPlan(heavy, np.full(30, 1 / 30), cost=0.0), product(30, 10)]
        stream = Stream(snapshots, plans, Linear(0.0), batch_size=100, validation=0.05, seed=seed)
        assert 0 in starts(stream.block(0))[stream.block(0).t < 1.0]

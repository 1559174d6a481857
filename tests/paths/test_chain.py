"""Laws of the pairs that curved paths are prepared for."""

import numpy as np
import pytest

from cellflow.core.plans import BlockPlan
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Entropic, Exact
from cellflow.paths.chain import Pool, chained, smoothed


def snapshots_of(*sizes: int, dim: int = 2, seed: int = 0) -> Snapshots:
    rng = np.random.default_rng(seed)
    return Snapshots(
        tuple(
            Population(rng.normal(size=(n, dim)) + k, 2.0 * k + k**2) for k, n in enumerate(sizes)
        )
    )


def plans_of(snapshots: Snapshots, coupling=None) -> list:
    return [(coupling or Exact())(a, b) for a, b in snapshots.intervals]


@pytest.mark.parametrize("coupling", [Exact(), Entropic(epsilon=1.0)], ids=["edges", "potentials"])
def test_pairs_are_drawn_by_the_mass_of_the_plan(coupling):
    snapshots = snapshots_of(30, 50, 40)
    plans = plans_of(snapshots, coupling)
    chains, tables = chained(snapshots, plans)
    assert [len(t.row) for t in tables] == [50, 50]
    assert np.array_equal(np.concatenate([t.row for t in tables]), np.arange(100))
    for plan, table in zip(plans, tables, strict=True):
        # Every source cell carries its share, to within one pair for systematic draws, and by
        # chance for others.
        tolerance = 1 / 50 if isinstance(coupling, Exact) else 6 / 50
        assert np.abs(table.plan.row_mass - plan.row_mass).max() <= tolerance
    pairs = chains[0].pairs
    assert np.array_equal(pairs.x0[50:].numpy(), snapshots[1].x[chains[0].i[1]])
    assert np.array_equal(pairs.t1.numpy(), np.repeat(snapshots.times[1:], 50))


def test_conditions_have_chains_of_their_own():
    rng = np.random.default_rng(0)
    kind = np.array([0.0] * 20 + [1.0] * 10)[:, None]
    parts = tuple(
        Population(rng.normal(size=(30, 2)) + 10 * kind, float(k), context=kind) for k in range(3)
    )
    snapshots = Snapshots(parts)
    plans = []
    for a, b in snapshots.intervals:
        rows = [np.flatnonzero(kind[:, 0] == c) for c in (0, 1)]
        inside = [Exact()(a.part(r), b.part(r)) for r in rows]
        plans.append(BlockPlan((30, 30), inside, rows, rows, np.array([2 / 3, 1 / 3])))
    chains, tables = chained(snapshots, plans)
    assert [len(c.snapshots[0]) for c in chains] == [20, 10]
    assert sorted(np.concatenate([t.row for t in tables]).tolist()) == list(range(60))
    for k, table in enumerate(tables):
        assert np.array_equal(kind[table.plan.i], kind[table.plan.j])
        np.testing.assert_allclose(table.plan.row_mass[:20].sum(), 2 / 3)
        # The numbers of a table lead to the same pair in the chains.
        x0 = np.concatenate([c.pairs.x0.numpy() for c in chains])[table.row]
        assert np.array_equal(x0, snapshots[k].x[table.plan.i])


def test_values_of_the_pool_arrive_at_the_ends_of_pairs():
    import torch

    weight = np.array([0.0, 1.0, 1.0, 0.0, 2.0])
    rng = np.random.default_rng(1)
    snapshots = Snapshots(
        tuple(Population(rng.normal(size=(5, 2)), float(k), weight) for k in range(3))
    )
    (chain,), _ = chained(snapshots, plans_of(snapshots))
    assert len(chain.pool) == 9
    start, stop = chain.at_ends(torch.from_numpy(chain.pool.x))
    assert torch.equal(start, chain.pairs.x0)
    assert torch.equal(stop, chain.pairs.x1)


def test_the_mean_shift_vanishes_where_cells_are_symmetric_and_leads_to_them_elsewhere():
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    pool = Pool(
        np.stack([np.cos(angle), np.sin(angle)], axis=1), np.ones(40), np.zeros(40, dtype=int)
    )
    np.testing.assert_allclose(pool.near(40, np.zeros((1, 2))).shift, 0.0, atol=1e-12)
    outside = pool.near(5, np.array([[3.0, 0.0]])).shift
    assert outside[0, 0] < -1.5
    np.testing.assert_allclose(outside[0, 1], 0.0, atol=1e-9)


def test_cells_at_one_place_have_finite_kernels():
    pool = Pool(np.zeros((7, 3)), np.ones(7), np.zeros(7, dtype=int))
    found = pool.near(5)
    np.testing.assert_allclose(found.share, 0.2)
    np.testing.assert_allclose(found.shift, 0.0)
    np.testing.assert_allclose(found.radius, 0.0)


def test_smoothing_takes_the_mean_of_neighbours_with_weight():
    population = Population(
        np.array([[0.0], [0.1], [5.0], [5.1]]), 0.0, np.array([1.0, 3.0, 1.0, 0.0])
    )
    values = np.array([[0.0], [4.0], [7.0], [np.nan]])
    np.testing.assert_allclose(smoothed(population, values, 2)[:2], 3.0)
    np.testing.assert_allclose(smoothed(population, values, 1)[:3], values[:3])
    assert smoothed(population, values, 1)[3] == 0.0
    # What a plan moves nowhere counts for no other, and takes what its neighbours have.
    np.testing.assert_allclose(
        smoothed(population, np.where(values == values[1], np.nan, values), 1)[:2], values[[0, 0]]
    )

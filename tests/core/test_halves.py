"""Random halves of snapshots, and the spread between members of an ensemble."""

import numpy as np
import pytest

from cellflow.core._halves import degrees_of, halves
from cellflow.core._spread import spread
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError

RNG = np.random.default_rng(0)


def _population(n, time, **beside):
    return Population(RNG.normal(size=(n, 2)), time, **beside)


@pytest.mark.parametrize("n", [2, 5, 6])
def test_pairs_are_complementary_and_even(n):
    snapshots = Snapshots((_population(40, 0.0), _population(31, 1.0)))
    found = halves(snapshots, n, seed=3)
    assert len(found) == n
    for first, second in zip(found[::2], found[1::2], strict=False):
        for a, b, whole in zip(
            first.populations, second.populations, snapshots.populations, strict=True
        ):
            np.testing.assert_array_equal(np.sort(np.r_[a.index, b.index]), whole.index)
            assert abs(len(a) - len(b)) <= 1
    assert not np.array_equal(found[0][0].index, found[-1][0].index)


def test_halves_depend_on_the_seed_only():
    snapshots = Snapshots((_population(20, 0.0), _population(20, 1.0)))
    rows = [[p.index.tolist() for p in s.populations] for s in halves(snapshots, 4, seed=1)]
    again = [[p.index.tolist() for p in s.populations] for s in halves(snapshots, 4, seed=1)]
    other = [[p.index.tolist() for p in s.populations] for s in halves(snapshots, 4, seed=2)]
    assert rows == again != other


def test_samples_stay_together_at_all_times():
    """Samples a to d are at both times, e only at the second."""
    early = _population(40, 0.0, sample=np.repeat(np.arange(4), 10))
    late = _population(50, 1.0, sample=np.repeat(np.arange(5), 10))
    for seed in range(10):
        first, second = halves(Snapshots((early, late)), 2, seed)
        sides = [[set(p.sample.tolist()) for p in s.populations] for s in (first, second)]
        assert len(sides[0][0]) == len(sides[1][0]) == 2
        assert {len(sides[0][1]), len(sides[1][1])} == {2, 3}
        assert not sides[0][0] & sides[1][0]
        for side in sides:
            assert side[0] <= side[1]


def test_both_halves_have_cells_of_every_condition():
    """One cell alone is in both; the one sample of a condition is halved by cell."""
    condition = np.r_[np.zeros(1), np.ones(8), np.full(9, 2)][:, None]
    sample = np.r_[np.zeros(1), np.repeat([1, 2], 4), np.full(9, 3)].astype(int)
    population = _population(18, 0.0, context=condition, sample=sample)
    later = _population(18, 1.0, context=condition, sample=sample)
    for half in halves(Snapshots((population, later)), 6, seed=0):
        for p in half.populations:
            counts = [int((p.context == k).sum()) for k in range(3)]
            assert counts[0] == 1
            assert counts[1] == 4
            assert len(set(p.sample[p.context[:, 0] == 1].tolist())) == 1
            assert counts[2] in {4, 5}


def test_copies_of_a_cell_are_in_one_half():
    """Cells that are shared by two conditions are there twice, as the same rows."""
    index = np.tile(np.arange(10), 2)
    x = RNG.normal(size=(10, 2))[index]
    context = np.repeat([0.0, 1.0], 10)[:, None]
    shared = Population(x, 0.0, index=index, context=context)
    later = _population(20, 1.0, context=context)
    first, second = halves(Snapshots((shared, later)), 2, seed=0)
    for half in (first[0], second[0]):
        rows = [set(half.index[half.context[:, 0] == k].tolist()) for k in (0, 1)]
        assert rows[0] == rows[1]
        assert len(rows[0]) == 5
    assert not set(first[0].index.tolist()) & set(second[0].index.tolist())


def test_halves_get_back_what_their_samples_differ_by():
    """Of samples with names of their own at each time, a half has the mean that was measured."""
    sample = np.repeat(np.arange(4), 10)
    offset = RNG.normal(size=(4, 2)) * 5.0
    offset -= offset.mean(axis=0)
    aligned = RNG.normal(size=(40, 2))
    populations = [
        Population(aligned, t, sample=sample + 4 * int(t), removed=offset[sample])
        for t in (0.0, 1.0)
    ]
    for half in halves(Snapshots(tuple(populations)), 4, seed=0):
        for p in half.populations:
            measured = (aligned + offset[sample])[p.index]
            np.testing.assert_allclose(p.x.mean(axis=0), measured.mean(axis=0), atol=1e-12)
            apart = p.x - aligned[p.index]
            np.testing.assert_allclose(apart, apart[:1].repeat(20, axis=0), atol=1e-12)
            assert p.removed is None


def test_offsets_stay_removed_where_halves_are_by_cell():
    """One sample a condition: both halves have its offset, and stay where they are."""
    condition = np.repeat([0.0, 1.0], 10)[:, None]
    removed = np.repeat([[3.0, 0.0], [-3.0, 1.0]], 10, axis=0)
    populations = [
        _population(20, t, context=condition, removed=removed, sample=np.repeat([0, 1], 10))
        for t in (0.0, 1.0)
    ]
    for half in halves(Snapshots(tuple(populations)), 2, seed=0):
        for p, whole in zip(half.populations, populations, strict=True):
            np.testing.assert_allclose(p.x, whole.x[p.index], atol=1e-12)


def test_the_spread_between_halves_is_the_standard_error_of_the_mean():
    """Of the mean of normal numbers, exactly: E se^2 = 1 / n over many pairs of halves."""
    n = 20
    draws = RNG.normal(size=(4000, n))
    half = draws[:, : n // 2].mean(axis=1)
    other = draws[:, n // 2 :].mean(axis=1)
    found = spread(np.stack([half, other]))
    np.testing.assert_allclose(found.mean, draws.mean(axis=1), atol=1e-12)
    assert (found.se**2).mean() == pytest.approx(1 / n, rel=0.1)
    low, high = found.interval(0.9)
    assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("n_members", [4, 5, 10])
def test_intervals_of_several_pairs_cover_a_mean(n_members):
    n = 40
    draws = RNG.normal(size=(3000, n))
    each = []
    for _ in range((n_members + 1) // 2):
        order = RNG.permuted(np.tile(np.arange(n), (3000, 1)), axis=1)
        mixed = np.take_along_axis(draws, order, axis=1)
        each += [mixed[:, : n // 2].mean(axis=1), mixed[:, n // 2 :].mean(axis=1)]
    low, high = spread(np.stack(each[:n_members])).interval(0.9)
    assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(0.9, abs=0.025)


def test_degrees_of_freedom_are_those_of_pairs_or_of_samples():
    plain = Snapshots((_population(20, 0.0), _population(20, 1.0)))
    assert degrees_of(plain, 5) == 2.5
    sample = np.repeat(np.arange(4), 5)
    several = Snapshots((_population(20, 0.0, sample=sample), _population(20, 1.0)))
    assert degrees_of(several, 5) == 2.5
    assert degrees_of(several, 10) == 3
    alone = np.repeat([0, 1, 1, 2], 5)
    condition = np.repeat([0.0, 1.0], 10)[:, None]
    two = Snapshots(tuple(_population(20, t, sample=alone, context=condition) for t in (0.0, 1.0)))
    assert degrees_of(two, 10) == 1


@pytest.mark.parametrize("level", [0.0, 1.0, 90, np.nan])
def test_a_level_is_between_zero_and_one(level):
    with pytest.raises(InputError, match="level"):
        spread(np.array([0.0, 1.0])).interval(level)

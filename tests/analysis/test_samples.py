"""How far samples lie apart, and the offsets that are removed."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial import cKDTree
from scipy.stats import norm

from cellflow.analysis.sample_offsets import sample_offsets
from cellflow.analysis.samples import differ_beyond_chance, groups_of, sample_distances
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Exact


def _snapshots(cells):
    """Snapshots of `{time: {sample: positions}}`."""
    made = []
    for time, samples in cells.items():
        code = np.repeat(list(samples), [len(x) for x in samples.values()])
        made.append(Population(np.concatenate(list(samples.values())), time, sample=code))
    return Snapshots(tuple(made))


def _cloud(rng, n, *centre):
    return rng.normal(size=(n, len(centre))) + np.array(centre, dtype=float)


def _points(*at):
    return {s: np.full((10, 1), float(place)) for s, place in at}


def _shifted(a):
    """Energy distance of standard normals in one dimension at distance `a`."""

    def gap(x):
        return (norm.cdf(x) - norm.cdf(x - a)) ** 2

    return 2 * quad(gap, -12, a + 12)[0]


def test_the_share_is_one_half_where_times_lie_twice_as_far_apart_as_samples():
    found = sample_distances(
        _snapshots({0.0: _points((0, 0), (1, 1)), 1.0: _points((2, 2), (3, 3))})
    )
    np.testing.assert_allclose(found.between, 2.0)
    np.testing.assert_allclose(found.step[0], 4.0)
    np.testing.assert_allclose(found.share[0], 0.5)
    assert np.isnan(found.share[1])


def test_a_sample_at_both_ends_moves_by_time_alone():
    found = sample_distances(
        _snapshots({0.0: _points((0, 0), (1, 1)), 1.0: _points((0, 3), (1, 4))})
    )
    # 0 to 3 and 1 to 4 are of one sample; 0 to 4 and 1 to 3 of two.
    np.testing.assert_allclose(found.step[0], np.mean([6 + 2, 6 + 2, 8, 4]))


def test_distances_of_gaussians_are_those_of_the_closed_form():
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cells = {
            0.0: {0: _cloud(rng, 100, 0), 1: _cloud(rng, 100, 1)},
            1.0: {2: _cloud(rng, 100, 2), 3: _cloud(rng, 100, 3)},
        }
        distances = sample_distances(_snapshots(cells))
        found.append([distances.between.mean(), distances.step[0], distances.share[0]])
    between = _shifted(1)
    step = np.mean([_shifted(2), _shifted(3), _shifted(1), _shifted(2)])
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert (error < 0.05 * np.array([between, step, between / step])).all()
    assert (abs(np.mean(found, axis=0) - [between, step, between / step]) < 3 * error).all()


def test_samples_of_one_population_are_no_distance_apart():
    shares = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        cells = {
            float(t): {2 * t + s: _cloud(rng, 30, 2 * t, 0, 0) for s in range(2)} for t in range(2)
        }
        found = sample_distances(_snapshots(cells))
        shares.append(found.between.mean() / found.step[0])
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert abs(np.mean(shares)) < 3 * error
    assert error < 0.01


def test_samples_of_one_population_rarely_differ_beyond_chance():
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        cells = {0.0: {s: _cloud(rng, 15, 0, 0) for s in range(3)}, 1.0: {0: _cloud(rng, 15, 1, 0)}}
        found.append(differ_beyond_chance(_snapshots(cells)))
    assert np.mean(found) < 0.2
    rng = np.random.default_rng(0)
    cells = {0.0: {s: _cloud(rng, 15, 2 * s, 0) for s in range(3)}}
    assert differ_beyond_chance(_snapshots(cells))


def test_without_two_samples_at_a_time_no_share_is_known():
    found = sample_distances(_snapshots({0.0: _points((0, 0)), 1.0: _points((1, 2))}))
    assert np.isnan(found.share).all()
    assert found.worst is None
    np.testing.assert_allclose(found.step[0], 4.0)


def test_where_neither_end_has_two_samples_the_distance_of_other_times_is_taken():
    cells = {0.0: _points((0, 0)), 1.0: _points((1, 3)), 2.0: _points((2, 4), (3, 5))}
    found = sample_distances(_snapshots(cells))
    np.testing.assert_array_equal(found.n_samples, [1, 1, 2])
    np.testing.assert_allclose(found.share[0], 2.0 / 6.0)


def test_samples_are_compared_within_their_condition():
    x = np.repeat([0.0, 1.0, 50.0, 51.0], 10)[:, None]
    context = np.repeat([0.0, 0.0, 1.0, 1.0], 10)[:, None]
    at = [
        Population(x + 5 * t, float(t), context=context, sample=np.repeat(np.arange(4), 10) + 4 * t)
        for t in range(2)
    ]
    found = sample_distances(Snapshots(tuple(at)))
    np.testing.assert_allclose(found.between, 2.0)
    np.testing.assert_allclose(found.step[0], np.mean([10, 12, 8, 10]))


def test_small_samples_and_cells_without_one_are_left_out():
    sample = np.array([0] * 10 + [1] * 9 + [-1] * 12)
    population = Population(np.zeros((31, 2)), 0.0, sample=sample)
    assert [g.sample for g in groups_of(population)] == [0]
    assert groups_of(Population(np.zeros((3, 2)), 0.0)) == []


def test_weights_count():
    x = np.repeat([0.0, 1.0], 10)[:, None]
    cells = np.vstack([x, x])
    weight = np.r_[np.repeat([1.0, 0.0], 10), np.repeat([0.0, 1.0], 10)]
    population = Population(cells, 0.0, weight, sample=np.repeat([0, 1], 20))
    later = Population(x, 1.0, sample=np.zeros(20, dtype=int))
    found = sample_distances(Snapshots((population, later)))
    np.testing.assert_allclose(found.between[0], 2.0)


def _types(rng, n, share, d=6):
    """Cells of two types, six standard deviations apart; `share` of the first."""
    x = rng.normal(size=(n, d))
    x[rng.random(n) < share, 0] += 6.0
    return x


def test_an_offset_of_a_sample_is_found_and_the_sample_of_most_times_is_the_reference():
    rng = np.random.default_rng(0)
    shift = np.array([3.0, -2.0, 0, 0, 0, 1.0])
    cells = {float(t): {1: _types(rng, 200, 0.5)} for t in range(3)}
    cells[1.0][0] = _types(rng, 200, 0.5) + shift
    found = sample_offsets(_snapshots(cells), 3)
    np.testing.assert_array_equal(found.is_reference, [False, True, False])
    np.testing.assert_array_equal(found.values[1:], 0.0)
    assert np.linalg.norm(found.values[0] - shift) < 0.2 * np.linalg.norm(shift)
    moved = found.removed(_snapshots(cells))
    np.testing.assert_array_equal(moved[0].x, cells[0.0][1])
    assert (
        sample_distances(moved).between[1] < 0.05 * sample_distances(_snapshots(cells)).between[1]
    )


def test_samples_of_one_time_only_move_to_their_mean():
    rng = np.random.default_rng(1)
    cells = {
        float(t): {2 * t + s: _types(rng, 100, 0.5) + 4.0 * s for s in range(2)} for t in range(2)
    }
    before = _snapshots(cells)
    found = sample_offsets(before, 4)
    np.testing.assert_allclose(found.values[0::2], -found.values[1::2])
    after = found.removed(before)
    for a, b in zip(before.populations, after.populations, strict=True):
        np.testing.assert_allclose(a.x.mean(axis=0), b.x.mean(axis=0), atol=1e-6)


def test_one_offset_for_a_sample_at_several_times():
    rng = np.random.default_rng(2)
    shifts = rng.normal(size=(3, 6)) * 2
    cells = {
        float(t): {s: _types(rng, 150, 0.5) + shifts[s] + 3.0 * t for s in range(3)}
        for t in range(3)
    }
    found = sample_offsets(_snapshots(cells), 3)
    np.testing.assert_allclose(found.values.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(found.values, shifts - shifts.mean(axis=0), atol=0.4)


def test_offsets_link_times_through_a_shared_one():
    rng = np.random.default_rng(3)
    cells = {
        0.0: {0: _types(rng, 200, 0.5)},
        1.0: {0: _types(rng, 200, 0.5), 1: _types(rng, 200, 0.5) + 3.0},
        2.0: {1: _types(rng, 200, 0.5) + 3.0},
    }
    found = sample_offsets(_snapshots(cells), 2)
    np.testing.assert_allclose(found.values[1] - found.values[0], 3.0, atol=0.4)
    np.testing.assert_allclose(found.values.sum(axis=0), 0.0, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_samples_of_one_population_get_hardly_an_offset(seed):
    rng = np.random.default_rng(seed)
    cells = {0.0: {s: _types(rng, 60, 0.5) for s in range(2)}, 1.0: {0: _types(rng, 60, 0.5)}}
    found = sample_offsets(_snapshots(cells), 2)
    noise = 2 * (6 + 9) / 60  # expected square of the difference of two means
    assert ((found.values[1] - found.values[0]) ** 2).sum() < 2 * noise


def test_a_difference_in_composition_becomes_an_offset_in_part_only():
    squares = {"means": 0.0, "offsets": 0.0}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = _types(rng, 200, 0.6)
        y = _types(rng, 200, 0.4)
        values = sample_offsets(_snapshots({0.0: {0: x, 1: y}, 1.0: {2: x}}), 3).values
        squares["means"] += ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
        squares["offsets"] += ((values[0] - values[1]) ** 2).sum()
    assert squares["offsets"] < 0.25 * squares["means"]


def test_without_two_samples_at_a_time_there_is_no_offset():
    cells = {0.0: _points((0, 0)), 1.0: _points((1, 2))}
    found = sample_offsets(_snapshots(cells), 2)
    assert not found.values.any()
    assert not found.is_reference.any()
    x = np.ones((2, 1), dtype=np.float32)
    assert found.moved(x, np.array([0, -1])) is x


def _branches(rng, *, batch, same, share=0.5):
    """Three times of two types that move apart, with three samples at each.

    `batch` is the length of the samples' offsets, and `same` says whether the samples of one time
    are those of the others. Returns the snapshots and the true displacement of each cell by type.
    """
    made = []
    shifts = rng.normal(size=(3, 6))
    types = []
    for time in range(3):
        if not same:
            shifts = rng.normal(size=(3, 6))
        shares = share + rng.uniform(-0.2, 0.2, 3)
        first = np.concatenate([rng.random(80) < s for s in shares])
        x = rng.normal(size=(240, 6)) + np.repeat(shifts, 80, axis=0) * batch / np.sqrt(6)
        x[first, 0] += 6.0
        x[:, 1] += np.where(first, 2.0, -2.0) * time
        sample = np.repeat(np.arange(3), 80) + (0 if same else 3 * time)
        made.append(Population(x, float(time), sample=sample))
        types.append(first)
    return Snapshots(tuple(made)), types


def _velocity_error(snapshots, types):
    """Root mean square error of displacements by exact transport, smoothed over 15 cells."""
    errors = []
    for (source, target), first in zip(snapshots.intervals, types, strict=False):
        moved = Exact()(source, target).barycentre(target.x) - source.x
        near = cKDTree(source.x).query(source.x, 15)[1]
        truth = np.zeros_like(moved)
        truth[:, 1] = np.where(first, 2.0, -2.0)
        errors.append(((moved[near].mean(axis=1) - truth) ** 2).sum(axis=1).mean())
    return np.sqrt(np.mean(errors))


@pytest.mark.parametrize("same", [True, False])
def test_offsets_help_where_there_is_batch_and_harm_little_where_there_is_none(same):
    """Shares of types differ by up to 0.4 between samples; offsets must not follow them."""
    ratio = {}
    for batch in (0.0, 10.0):
        errors = []
        for seed in range(2):
            snapshots, types = _branches(np.random.default_rng(seed), batch=batch, same=same)
            removed = sample_offsets(snapshots, 9).removed(snapshots)
            errors.append([_velocity_error(s, types) for s in (snapshots, removed)])
        before, after = np.mean(errors, axis=0)
        ratio[batch] = after / before
    assert ratio[0.0] < 1.05
    assert ratio[10.0] < 0.95

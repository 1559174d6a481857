"""Conditions compared by sample, on arrays: closed forms, exact counts, and laws."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cellflow.analysis.comparison import ALL, Asked, Block, Course, Groups, compare
from cellflow.analysis.comparison.design import SHARED, Design, labellings, left_out
from cellflow.analysis.comparison.divergence import divergence, energy_distances, first_diverged
from cellflow.analysis.comparison.fates import fates, rates
from cellflow.analysis.comparison.resampling import (
    adjusted,
    inference,
    p_values,
    resampling,
    variance,
)
from cellflow.core.population import Population
from cellflow.couplings import Exact, Unbalanced
from cellflow.metrics import energy_distance

NAMES = ("down", "up")


def course(
    speeds=(1.0, 1.0),
    *,
    times=(0.0, 1.0, 3.0),
    n=3,
    cells=20,
    shares=None,
    shift=0.0,
    shared=False,
    coupling=None,
    seed=0,
):
    """Two rigid branches, the cells of which keep their offsets; `shares[condition][time]` of up.

    A cell of condition c moves with the speed speeds[c] along the first axis.
    """
    rng = np.random.default_rng(seed)
    blocks = []
    condition = []
    code = []
    offset = rng.normal(size=(cells, 2)) * 0.1
    for k, t in enumerate(times):
        for c, _ in itertools.product([0] if shared and k == 0 else [0, 1], range(n)):
            share = 0.5 if shares is None else shares[c][k]
            up = np.arange(cells) < round(share * cells)
            moved = np.column_stack([np.full(cells, speeds[c] * t), np.where(up, 10.0, 0.0)])
            x = offset + moved + shift * rng.normal(size=2)
            rows = np.arange(cells) + len(code) * cells
            blocks.append(Block(Population(x, t, index=rows), len(condition), k))
            condition.append(SHARED if shared and k == 0 else c)
            code.append(up.astype(int))
    first = np.zeros(len(times), dtype=bool)
    first[0] = shared
    made = Course(tuple(blocks), np.array(times), np.array(condition), first, coupling or Exact())
    return made, Groups(NAMES, np.concatenate(code))


def effects(made, groups, **how):
    asked = Asked(**{"n_perm": 99, "n_cells": 60} | how)
    found = compare(made, np.ones(2), groups, asked, groups)
    return {(e.quantity, e.group, e.fate, e.time): e for e in found.effects}, found


# Labellings ---------------------------------------------------------------------------------------


def design(n=(2, 3), times=2, recurring=False):
    unit = np.arange(times * sum(n)) if not recurring else np.tile(np.arange(sum(n)), times)
    time = np.repeat(np.arange(times), sum(n))
    condition = np.tile(np.repeat([0, 1], n), 1 if recurring else times)
    return Design(time, unit, condition, np.zeros(times, dtype=bool))


def test_all_labellings_are_taken_where_there_are_few():
    made = design((2, 3))
    found = labellings(made, 999, np.random.default_rng(0))
    assert found.exhaustive
    assert len(found.labels) == made.n_labellings() == math.comb(5, 2) ** 2
    assert len(np.unique(found.labels, axis=0)) == len(found.labels)
    np.testing.assert_array_equal(found.labels[0], made.condition)
    for units in (slice(0, 5), slice(5, 10)):
        assert (found.labels[:, units].sum(axis=1) == 3).all()


def test_a_sample_of_several_times_keeps_one_label():
    made = design((2, 2), recurring=True)
    assert made.n_labellings() == 6
    counts = made.counts(labellings(made, 99, np.random.default_rng(0)).labels)
    np.testing.assert_array_equal(counts[:, :, :4], counts[:, :, 4:])


def test_random_labellings_keep_the_numbers_of_samples_at_every_time():
    made = design((4, 4), times=3)
    found = labellings(made, 50, np.random.default_rng(1))
    assert not found.exhaustive
    assert found.labels.shape == (51, 24)
    assert (found.labels.reshape(51, 3, 8).sum(axis=2) == 4).all()


def test_cells_of_shared_times_are_in_both_conditions():
    made = Design(
        np.array([0, 1, 1]), np.arange(3), np.array([SHARED, 0, 1]), np.array([1, 0], bool)
    )
    counts = made.counts(made.condition[None])
    np.testing.assert_array_equal(counts[:, 0], [[1, 1, 0], [1, 0, 1]])


@pytest.mark.parametrize(
    ("n", "smallest"), [((3, 3), 2 / 400), ((2, 3), 1 / 100), ((6, 6), 1 / 1000)]
)
def test_the_smallest_p_value_is_said(n, smallest):
    assert design(n).smallest(999) == pytest.approx(smallest)


def test_a_single_sample_of_the_shared_times_is_not_left_out():
    made, _ = course(shared=True, n=2)
    alone = replace(made, condition=made.condition.copy())
    keep = [b for k, b in enumerate(alone.blocks) if k != 1]  # one of two shared samples
    numbered = tuple(replace(b, unit=k) for k, b in enumerate(keep))
    one = replace(alone, blocks=numbered, condition=np.delete(alone.condition, 1))
    assert len(left_out(made.design).unit) == 10
    assert len(left_out(one.design).unit) == 8


# Intervals and p-values ---------------------------------------------------------------------------


def test_jackknife_of_means_is_the_standard_error_and_welch_degrees():
    """For a difference of two means: s_0^2 / n_0 + s_1^2 / n_1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=5)
    y = 3.0 * rng.normal(size=4)
    without = [
        *(-np.delete(x, k).mean() for k in range(5)),
        *(np.delete(y, k).mean() for k in range(4)),
    ]
    shifted = np.array(without) + np.repeat([y.mean(), -x.mean()], [5, 4])
    total, degrees = variance(shifted[None, :, None], np.repeat([0, 1], [5, 4])[None])
    v = np.array([x.var(ddof=1) / 5, y.var(ddof=1) / 4])
    assert total[0, 0] == pytest.approx(v.sum())
    assert degrees[0, 0] == pytest.approx(v.sum() ** 2 / (v**2 / [6.0, 5.0]).sum() - 2.0)


def test_one_group_has_one_degree_less_than_samples():
    x = np.random.default_rng(0).normal(size=6)
    without = np.array([np.delete(x, k).mean() for k in range(6)])
    assert variance(without[None, :, None], np.zeros((1, 6), int))[1][0, 0] == pytest.approx(5.0)


def test_the_interval_of_equal_groups_is_that_of_students_t():
    made = design((6, 6), times=1)
    resampled = resampling(made, 49, np.random.default_rng(0))
    values = np.random.default_rng(1).normal(size=12)
    kept = resampled.counts.astype(float)
    mean = (kept @ values / kept.sum(axis=-1))[..., None]
    found = inference(mean, resampled, 0.9)
    x, y = values[:6], values[6:]
    assert found.effect[0] == pytest.approx(y.mean() - x.mean())
    error = np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 6)
    v = np.array([x.var(ddof=1), y.var(ddof=1)]) / 6
    degrees = v.sum() ** 2 / (v**2 / 7.0).sum() - 2.0
    half = stats.t.ppf(0.95, degrees) * error
    assert found.high[0] - found.low[0] == pytest.approx(2 * half)
    assert found.p_t[0] == pytest.approx(
        2 * stats.t.sf(abs(found.effect[0]) / error, degrees), rel=1e-4
    )


def test_the_p_value_is_the_share_of_labellings_as_extreme():
    """Every labelling by hand."""
    values = np.array([0.0, 0.3, 0.1, 1.0, 1.4, 0.9])
    made = design((3, 3), times=1)
    resampled = resampling(made, 99, np.random.default_rng(0))
    kept = resampled.counts.astype(float)
    found = inference((kept @ values / kept.sum(axis=-1))[..., None], resampled, 0.9)

    def size(group):
        x, y = values[list(group)], np.delete(values, list(group))
        return abs(y.mean() - x.mean()) / np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 3)

    sizes = [size(group) for group in itertools.combinations(range(6), 3)]
    assert found.p[0] == pytest.approx(np.mean(np.array(sizes) >= size((0, 1, 2)) * (1 - 1e-6)))
    assert found.p[0] == pytest.approx(0.1)


def test_labellings_without_a_value_count_as_larger():
    assert p_values(np.array([[1.0], [np.nan], [0.5], [2.0]]))[0] == pytest.approx(0.75)
    assert np.isnan(p_values(np.array([[np.nan], [1.0]]))[0])


def test_adjusted_p_values_are_those_of_scipy():
    p = np.random.default_rng(0).random(40) ** 2
    np.testing.assert_allclose(adjusted(p), stats.false_discovery_control(p))
    np.testing.assert_array_equal(np.isnan(adjusted(np.array([0.1, np.nan]))), [False, True])


# Effects ------------------------------------------------------------------------------------------


def test_speeds_of_rigid_motion_are_exact():
    made, groups = course(speeds=(1.0, 1.3))
    found, _ = effects(made, groups)
    for group in (ALL, *NAMES):
        for time in (0.0, 1.0):
            effect = found["speed", group, "", time]
            assert effect.values == pytest.approx((1.0, 1.3), abs=1e-5)
            assert effect.effect == pytest.approx(0.3, abs=1e-5)
    [overall] = [e for k, e in found.items() if k[:2] == ("speed", ALL) and np.isnan(k[3])]
    assert overall.effect == pytest.approx(0.3, abs=1e-5)


def test_fates_of_all_cells_are_the_composition_at_the_end():
    """Balanced plans: whatever is in between, the mean fate is the share at the last time."""
    made, groups = course(shares=[[0.5, 0.4, 0.3], [0.5, 0.6, 0.8]])
    found, _ = effects(made, groups)
    up = found["fate", ALL, "up", 0.0]
    assert up.values == pytest.approx((0.3, 0.8), abs=1e-5)
    assert found["fate", ALL, "down", 0.0].effect == pytest.approx(-0.5, abs=1e-5)


def test_fates_sum_to_one_and_unlabelled_cells_are_undecided():
    made, groups = course(shares=[[0.5, 0.5, 0.4], [0.5, 0.5, 0.6]])
    code = groups.code.copy()
    code[-4:] = -1
    found, _ = effects(made, Groups(NAMES, code))
    for group in (ALL, *NAMES):
        fate = [e.values for k, e in found.items() if k[:2] == ("fate", group)]
        assert len(fate) == 3
        np.testing.assert_allclose(np.sum(fate, axis=0), 1.0, atol=1e-5)
    assert found["fate", ALL, "undecided", 0.0].values[1] > 0.0


def test_growth_is_the_change_of_shares_where_branches_do_not_mix():
    """Plans that leave mass near: the rate of a branch is that of its share."""
    shares = [[0.5, 0.5, 0.5], [0.5, 0.6, 0.8]]
    made, groups = course(shares=shares, coupling=Unbalanced(0.1))
    found, _ = effects(made, groups, grows=True)
    for time, rate in ((0.0, np.log(0.6 / 0.5)), (1.0, np.log(0.8 / 0.6) / 2.0)):
        assert found["growth", "up", "", time].values == pytest.approx((0.0, rate), abs=0.01)
    assert ("growth", ALL, "", 0.0) not in found
    fate = found["fate", "up", "up", 0.0]
    assert fate.values == pytest.approx((1.0, 1.0), abs=1e-3)


def test_leaving_samples_out_of_chained_plans_is_exact():
    """Fates without a sample are those of a course without it."""
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.2, 0.8, size=(2, 3))
    made, groups = course(shares=shares, shift=1.0, n=3)
    resampled = resampling(made.design, 9, rng)
    found = fates(made, resampled, groups, groups)
    for m, unit in enumerate(resampled.left):
        kept = [b for b in made.blocks if b.unit != unit]
        units = sorted({b.unit for b in kept})
        blocks = tuple(replace(b, unit=units.index(b.unit)) for b in kept)
        less = replace(made, blocks=blocks, condition=made.condition[units])
        again = fates(less, resampling(less.design, 0, rng), groups, groups)
        np.testing.assert_allclose(found[:, 0, 1 + m], again[:, 0, 0], atol=1e-4)


def test_a_shared_start_has_the_same_cells_in_both_conditions():
    made, groups = course(speeds=(1.0, 1.0), shared=True, shares=[[0.5] * 3, [0.5, 0.5, 0.9]])
    resampled = resampling(made.design, 9, np.random.default_rng(0))
    growth = rates(made, made.intervals[0], resampled, groups)
    np.testing.assert_allclose(growth[0, 0, 0], growth[1, 0, 0], atol=1e-5)
    found, _ = effects(made, groups)
    assert found["fate", ALL, "up", 0.0].values == pytest.approx((0.5, 0.9), abs=1e-5)


def test_cells_of_the_faster_branch_are_those_that_differ():
    made, groups = course(speeds=(1.0, 1.6), shift=0.02, n=4, times=(0.0, 1.0, 2.0))
    _, found = effects(made, groups, n_perm=499)
    start = np.isin(found.cells.rows, np.arange(8 * 20))
    assert (found.cells.q[start] < 0.05).mean() > 0.9
    np.testing.assert_allclose(np.linalg.norm(found.cells.difference[start], axis=1), 0.6, atol=0.1)


def test_units_of_time_and_length_only_scale_effects():
    made, groups = course(speeds=(1.0, 1.3), shift=0.1)
    hours = replace(
        made,
        times=24.0 * made.times,
        blocks=tuple(
            replace(b, population=replace(b.population, time=24.0 * b.population.time))
            for b in made.blocks
        ),
    )
    first = [e for e in effects(made, groups)[0].values() if e.quantity == "speed"]
    second = [e for e in effects(hours, groups)[0].values() if e.quantity == "speed"]
    for a, b in zip(first, second, strict=True):
        assert (24.0 * b.effect, 24.0 * b.low, b.p) == pytest.approx(
            (a.effect, a.low, a.p), rel=1e-4
        )


# Divergence ---------------------------------------------------------------------------------------


def test_distances_of_samples_are_energy_distances():
    rng = np.random.default_rng(0)
    a, b = (Population(rng.normal(size=(n, 3)), 0.0) for n in (20, 30))
    assert energy_distances([a, b])[0, 1] == pytest.approx(energy_distance(a.x, b.x))


def test_the_populations_diverge_in_the_interval_in_which_they_part():
    made, _ = course(speeds=(1.0, 1.0), times=(0.0, 1.0, 2.0, 3.0), shift=0.1, n=4)
    late = tuple(
        replace(b, population=replace(b.population, x=b.population.x + [3.0, 0.0]))
        if b.time >= 2 and made.condition[b.unit] == 1
        else b
        for b in made.blocks
    )
    same, parted = divergence(made), divergence(replace(made, blocks=late))
    assert np.isnan(same.first)
    assert (parted.last_before, parted.first) == (1.0, 2.0)
    assert (parted.distance[2:] > 1.0).all()


def test_the_estimated_distance_is_zero_on_average_without_a_difference():
    found = [divergence(course(shift=1.0, seed=s, n=2)[0]).distance for s in range(150)]
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(150)
    assert (np.abs(mean) < 4.0 * error).all()


def test_the_level_of_divergence_holds_over_the_times():
    found = [divergence(course(shift=1.0, seed=s, times=range(4))[0]).first for s in range(200)]
    assert np.mean(~np.isnan(found)) <= 0.09


def test_times_are_tested_from_the_last_one_back():
    found, first = first_diverged(np.array([0.9, 0.04, 0.001]))
    np.testing.assert_allclose(found, [0.9, 0.08, 0.003])
    assert first == 2
    assert first_diverged(np.array([0.9, 0.9]))[1] == 2
    assert first_diverged(np.array([0.01, 0.9]))[1] == 0


@pytest.mark.parametrize(
    ("n", "spread"), [((2, 8), (0.6, 0.15)), ((2, 8), (0.15, 0.6)), ((3, 3), (0.3, 0.3))]
)
def test_the_level_of_divergence_holds_in_unequal_designs(n, spread):
    """Conditions with other numbers of samples, which vary by other amounts."""
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        kinds = np.repeat([0, 1], n)
        blocks = [
            Block(Population(rng.normal(size=(20, 2)) + spread[c] * rng.normal(size=2), 0.0), u, 0)
            for u, c in enumerate(kinds)
        ]
        made = Course(tuple(blocks), np.zeros(1), kinds, np.zeros(1, dtype=bool), Exact())
        found.append(divergence(made).p[0] <= 0.05)
    assert np.mean(found) <= 0.09

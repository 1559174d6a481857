"""A fork under treatment has the effects that it says, and samples of it vary by what they say."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.errors import InputError
from cellflow.synthetic import Experiment, GrowingFork, Rotation

CONTROL = GrowingFork(shares=(0.4, 0.6), growths=(0.5, 0.3))
FASTER = replace(CONTROL, onset=2.0, speed_factors=(1.3, 1.0))
GROWING = replace(CONTROL, onset=2.0, growth_factors=(1.0, 1.5))
LOST = replace(CONTROL, lost="B", onset=0.5)


# The treatment ------------------------------------------------------------------------------------


def test_effects_are_those_of_the_treatment():
    faster, growing, lost = (one.effects(CONTROL) for one in (FASTER, GROWING, LOST))
    np.testing.assert_allclose(faster.speed, [0.3, 0.0])
    np.testing.assert_allclose(faster.growth, [0.0, 0.0])
    np.testing.assert_allclose(growing.growth, [0.0, 0.15])
    np.testing.assert_allclose(growing.speed, [0.0, 0.0])
    np.testing.assert_allclose(lost.fates, [0.6, -0.6])
    np.testing.assert_allclose(lost.speed, [0.0, np.nan])
    assert not faster.fates.any()
    assert [one.divergence for one in (faster, growing, lost)] == [2.0, 2.0, 1.0]


def test_divergence_of_equal_and_of_other_systems():
    assert CONTROL.effects(replace(CONTROL, onset=3.0)).divergence == np.inf
    assert FASTER.effects(FASTER).divergence == np.inf
    assert FASTER.effects(replace(FASTER, onset=3.0)).divergence == 2.0
    assert GrowingFork().effects(CONTROL).divergence == 0.0


@pytest.mark.parametrize("treated", [FASTER, GROWING, LOST], ids=["speed", "growth", "fate"])
def test_it_is_one_population_until_the_divergence(treated):
    until = treated.effects(CONTROL).divergence
    x = CONTROL.sample(200, [until], np.random.default_rng(0))[0].x
    for t in (0.0, 0.5 * until, until):
        np.testing.assert_allclose(treated.log_density(t, x), CONTROL.log_density(t, x))
        np.testing.assert_allclose(treated.log_sizes(t), CONTROL.log_sizes(t))
    later = np.abs(treated.log_density(until + 0.5, x) - CONTROL.log_density(until + 0.5, x))
    assert later.max() > 0.01


@pytest.mark.parametrize("treated", [CONTROL, FASTER, GROWING, LOST])
def test_sizes_are_the_integral_of_the_rates(treated):
    grown = treated.log_sizes(3.0) - treated.log_sizes(0.0)
    # Midpoints of steps, of which none contains a change.
    t = (np.arange(300) + 0.5) / 100
    ends = [treated.ends.index(label) for label in treated.labels(3.0)]
    rates = np.array([treated.branch_growths(moment)[ends] for moment in t])
    np.testing.assert_allclose(grown, rates.sum(axis=0) / 100)


def test_cells_in_the_branches_move_at_their_speeds_and_their_rates():
    """Far from the fork a position has one kind."""
    x = FASTER.sample(500, [4.0], np.random.default_rng(0))[0].x
    speed = np.linalg.norm(FASTER.velocity(4.0, x), axis=1)
    upper = x[:, 1] > 0
    np.testing.assert_allclose(speed, np.where(upper, 1.3, 1.0), atol=1e-6)
    np.testing.assert_allclose(GROWING.growth(4.0, x), np.where(upper, 0.5, 0.45), atol=1e-6)
    np.testing.assert_allclose(LOST.fates(4.0, x), np.tile([1.0, 0.0], (500, 1)))


def test_fates_of_the_start_are_the_shares():
    """Their mean over the population of time 0, by draws."""
    x = CONTROL.sample(4000, [0.0], np.random.default_rng(0))[0].x
    np.testing.assert_allclose(CONTROL.fates(0.0, x).mean(axis=0), CONTROL.fate_shares(), atol=0.03)
    np.testing.assert_allclose(CONTROL.fate_shares(), [0.4, 0.6])
    np.testing.assert_allclose(LOST.fate_shares(), [1.0, 0.0])


def test_mean_growth_is_that_of_the_size():
    h = 1e-5
    for system in (CONTROL, GROWING):
        sizes = [np.log(np.exp(system.log_sizes(2.5 + e)).sum()) for e in (-h, h)]
        assert system.mean_growth(2.5) == pytest.approx((sizes[1] - sizes[0]) / (2 * h))


def test_without_a_separation_a_trunk_tells_nothing():
    hidden = replace(CONTROL, separation=0.0)
    x = hidden.sample(50, [0.5], np.random.default_rng(0))[0].x
    np.testing.assert_allclose(hidden.fates(0.5, x), np.tile([0.4, 0.6], (50, 1)))


def test_ways_cross_where_the_separation_is_negative():
    crossing = replace(CONTROL, separation=-2.0)
    early, late = crossing.sample(300, [1.0, 4.0], np.random.default_rng(0)).populations
    for x, t, end in ((early.x, 1.0, 1), (late.x, 4.0, 0)):
        above = x[:, 1] > 0.3
        np.testing.assert_allclose(crossing.fates(t, x[above])[:, end], 1.0, atol=1e-2)


def test_a_marker_tells_the_fate_in_the_third_dimension():
    """Its posterior is that of two Gaussians at a distance."""
    system = GrowingFork(separation=0.0, marker=0.6, n_dims=3)
    x = system.sample(500, [0.5], np.random.default_rng(0))[0].x
    expected = 1 / (1 + np.exp(-0.6 * x[:, 2] / system.sd**2))
    np.testing.assert_allclose(system.fates(0.5, x)[:, 0], expected)
    np.testing.assert_allclose(expected.mean(), 0.5, atol=0.05)


def test_other_dimensions_have_the_offsets_only():
    system = GrowingFork(n_dims=5)
    x = system.sample(4000, [3.0], np.random.default_rng(0))[0].x
    np.testing.assert_allclose(x[:, 2:].mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(x[:, 2:].std(axis=0), system.sd, atol=0.02)
    assert not system.velocity(3.0, x)[:, 2:].any()


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ({"shares": (0.0, 1.0)}, "expected two positive"),
        ({"n_dims": 1}, "at least 2"),
        ({"marker": 0.5}, "3 with a marker"),
        ({"lost": "C"}, "expected '', 'A' or 'B'"),
        ({"lost": "A", "onset": 2.0}, "after the fork"),
    ],
)
def test_constants_that_make_no_fork_are_named(constants, said):
    with pytest.raises(InputError, match=said):
        GrowingFork(**constants)


def test_a_size_that_overflows_is_refused():
    with pytest.raises(InputError, match="not finite"):
        GrowingFork(growths=(1e3, 0.0)).sample(3, [5.0], np.random.default_rng(0))


# Samples ------------------------------------------------------------------------------------------


def take(n_obs=50, times=(0.0, 2.0), seed=0, **constants):
    experiment = Experiment({"control": CONTROL, "treated": GROWING}, **constants)
    return experiment.take(n_obs, times, np.random.default_rng(seed))


def test_samples_vary_by_what_they_say():
    taken = take(20, [2.0], n_samples=300, shift=0.2)
    shifts = np.array([one.shift for one in taken])
    np.testing.assert_allclose(shifts.std(axis=0), 0.2, rtol=0.1)
    assert len(np.unique(shifts[:, 0])) == 600
    # A sample's mean is the population's plus its own shift.
    found = np.array([one.x.mean(axis=0) - one.shift for one in taken])
    expected = CONTROL.sample(20_000, [2.0], np.random.default_rng(1))[0].x.mean(axis=0)
    np.testing.assert_allclose(found.mean(axis=0), expected, atol=0.05)


def test_compositions_vary_by_what_they_say():
    """Log-odds of large samples have the deviation asked for, about those of the population."""
    odds = []
    for one in take(2000, [2.0], n_samples=150, composition=0.4):
        if one.condition == "control":
            share = one.kind.mean()
            odds.append(np.log(share / (1 - share)))
    sizes = CONTROL.log_sizes(2.0)
    assert np.mean(odds) == pytest.approx(sizes[1] - sizes[0], abs=0.1)
    assert np.std(odds) == pytest.approx(0.4, rel=0.2)


def test_without_effects_every_sample_is_the_population():
    first, other = (one.x for one in take(3000, [2.0], n_samples=2, shift=0.0, composition=0.0)[:2])
    np.testing.assert_allclose(first.mean(axis=0), other.mean(axis=0), atol=0.08)


# Barcodes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("heritability", "low", "high"), [(1.0, 1.0, 1.0), (0.0, 0.5, 0.75)])
def test_a_heritable_fate_is_that_of_the_clone(heritability, low, high):
    control, _ = take(4000, [2.0], n_clones=6, n_samples=1, heritability=heritability)
    share = np.bincount(control.clone, control.kind, 6) / np.bincount(control.clone, minlength=6)
    pure = np.maximum(share, 1 - share)
    assert low <= pure.min()
    assert pure.max() <= high


def test_clones_grow_with_their_kind():
    """The share of a clone changes as that of its kind does."""
    n = 20_000
    taken = take(n, [0.0, 4.0], n_samples=1, composition=0.0, n_clones=4)
    early, late = (one for one in taken if one.condition == "treated")
    first, last = (np.bincount(one.clone, minlength=4) / n for one in (early, late))
    kind = (np.bincount(late.clone, late.kind, 4) > 0).astype(int)
    before, after = (np.exp(GROWING.log_sizes(t)) for t in (0.0, 4.0))
    expected = first * ((after / after.sum()) / (before / before.sum()))[kind]
    assert (np.abs(last - expected) < 4 * np.sqrt(2 * expected / n)).all()
    assert set(kind) == {0, 1}


def test_pools_are_of_one_replicate_and_of_all_conditions():
    clones = {}
    for one in take(500, n_samples=3, n_clones=5, barcoded=0.6):
        assert (one.clone >= 0).mean() == pytest.approx(0.6, abs=0.1)
        clones.setdefault(one.replicate, set()).update(one.clone[one.clone >= 0].tolist())
    assert clones == {r: set(range(5 * r, 5 * r + 5)) for r in range(3)}


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ({"conditions": {}}, "there is none"),
        ({"conditions": {"wt/ko": CONTROL}}, "name without '/'"),
        ({"conditions": {"control": Rotation()}}, "is a Rotation; expected"),
        ({"n_samples": 0}, "n_samples=0"),
        ({"shift": -0.1}, "shift=-0.1"),
        ({"heritability": 1.5}, "from 0 to 1"),
        ({"n_clones": 1}, "one clone of each kind"),
    ],
)
def test_an_experiment_that_cannot_be_is_named(constants, said):
    with pytest.raises(InputError, match=said):
        Experiment(**({"conditions": {"control": CONTROL}} | constants))

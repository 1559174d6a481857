"""Laws of the calibration of fates: temperature, reliability, sets, composition."""

import numpy as np
import pytest
import scipy.sparse as sp

from cellflow.analysis.calibration import (
    BOUNDS,
    Judged,
    Reliability,
    Scaling,
    agreeing,
    by_clones,
    compared,
    crossed,
    fate_sets,
    fitted,
    is_better,
    smoothed,
    threshold,
    wilson,
)

MANY = 10**9


def simulated(n_units, temperature=1.0, offsets=(0.0, 0.0, 0.0), seed=0, late=4, cells=3):
    """Clones with known probabilities; predictions are those of another confidence."""
    rng = np.random.default_rng(seed)
    offsets = np.asarray(offsets)
    truth = 0.9 * rng.dirichlet(np.full(len(offsets), 0.6), n_units) + 0.1 / len(offsets)
    outcome = np.stack([rng.multinomial(late, p) / late for p in truth])
    predicted = (truth / np.exp(offsets)) ** temperature
    predicted /= predicted.sum(axis=1, keepdims=True)
    unit = np.repeat(np.arange(n_units), cells)
    return Judged(
        predicted[unit], outcome[unit], np.ones(len(unit)), unit, MANY, np.arange(len(unit))
    )


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_recovered(temperature):
    fit = fitted(simulated(4000, temperature), offsets=False)
    assert fit.scaling.temperature == pytest.approx(temperature, rel=0.05)
    low, high = fit.interval(0.99)
    assert low < temperature < high
    assert high / low < 1.2


def test_the_offsets_are_recovered():
    known = np.array([1.0, -0.5, -0.5])
    fit = fitted(simulated(4000, 2.0, known), offsets=True)
    assert fit.scaling.temperature == pytest.approx(2.0, rel=0.05)
    np.testing.assert_allclose(fit.scaling.offsets, known, atol=0.1)
    assert (np.abs(fit.scaling.offsets - known) < 4 * fit.offsets_sd).all()


def test_intervals_of_the_temperature_cover_it():
    covered = []
    for seed in range(200):
        low, high = fitted(simulated(60, 2.0, seed=seed), offsets=False).interval(0.9)
        covered.append(low <= 2.0 <= high)
    assert 0.84 <= np.mean(covered) <= 0.96


def test_copies_of_cells_are_no_replicates():
    once = fitted(simulated(50, 2.0, cells=1), offsets=False)
    often = fitted(simulated(50, 2.0, cells=20), offsets=False)
    assert often.log_sd == pytest.approx(once.log_sd)


def test_the_gradient_is_zero_at_the_fit():
    judged = simulated(100, 2.0, (0.5, 0.0, -0.5))
    best = fitted(judged, offsets=True).scaling

    def score(scaling):
        q = scaling(judged.log_predicted)
        return (judged.outcome * np.log(q)).sum(axis=1).mean() - 0.5 * (
            scaling.offsets**2
        ).sum() / judged.n_units

    for change in (*(1e-3 * np.eye(4)), *(-1e-3 * np.eye(4))):
        other = Scaling(1 / (1 / best.temperature + change[0]), best.offsets + change[1:])
        assert score(other) < score(best)


@pytest.mark.parametrize("offsets", [False, True])
def test_rows_sum_to_one_and_temperature_keeps_their_order(offsets):
    judged = simulated(50, 2.0)
    q = fitted(judged, offsets=offsets).scaling(judged.log_predicted)
    np.testing.assert_allclose(q.sum(axis=1), 1.0)
    if not offsets:
        np.testing.assert_array_equal(np.argsort(q, axis=1), np.argsort(judged.predicted, axis=1))


def test_predictions_without_information_reach_the_limit():
    judged = simulated(300)
    order = np.random.default_rng(1).permutation(300)
    shuffled = np.repeat(judged.predicted[::3][order], 3, axis=0)
    other = Judged(shuffled[:, ::-1], judged.outcome, judged.weight, judged.unit, MANY, judged.rows)
    fit = fitted(other, offsets=False)
    assert fit.scaling.temperature > 4.0
    wrong = Judged(
        1 - judged.outcome, judged.outcome, judged.weight, judged.unit, MANY, judged.rows
    )
    fit = fitted(wrong, offsets=False)
    assert fit.scaling.temperature == BOUNDS[1]
    assert np.isnan(fit.interval(0.9)).all()


def test_a_fate_that_no_clone_reaches_has_a_finite_offset():
    judged = simulated(100)
    outcome = judged.outcome * [1, 1, 0] + [1e-300, 0, 0]
    outcome /= outcome.sum(axis=1, keepdims=True)
    other = Judged(judged.predicted, outcome, judged.weight, judged.unit, MANY, judged.rows)
    assert other.reached[2] == 0
    fit = fitted(other, offsets=True)
    assert np.isfinite(fit.scaling.offsets).all()
    q = fit.scaling(other.log_predicted)
    assert (q > 0).all()
    assert q[:, 2].mean() < 0.1 < other.predicted[:, 2].mean()


def test_one_more_vote_keeps_probabilities_from_zero():
    p = np.array([[1.0, 0.0], [0.75, 0.25]])
    np.testing.assert_allclose(smoothed(p, 4), [[0.9, 0.1], [0.7, 0.3]])
    np.testing.assert_allclose(smoothed(p, MANY), p, atol=1e-8)


# Reliability --------------------------------------------------------------------------------------


def slow_ece(judged, probability, n_bins=10):
    """Of each fate, cell by cell."""
    found = []
    for p, y in zip(probability.T, judged.outcome.T, strict=True):
        edges = np.minimum((p * n_bins).astype(int), n_bins - 1)
        gaps = [abs((judged.weight * (p - y))[edges == b].sum()) for b in range(n_bins)]
        found.append(sum(gaps) / judged.weight.sum())
    return found


def test_errors_are_those_of_a_slow_loop_and_of_the_table():
    judged = simulated(80, 2.0)
    judged = Judged(
        judged.predicted,
        judged.outcome,
        np.random.default_rng(0).random(len(judged)) + 0.1,
        judged.unit,
        MANY,
        judged.rows,
    )
    found = Reliability.of(judged, judged.predicted, 10)
    np.testing.assert_allclose(found.ece[1:], slow_ece(judged, judged.predicted))
    even = Judged(judged.predicted, judged.outcome, np.ones(240), judged.unit, MANY, judged.rows)
    found = Reliability.of(even, judged.predicted, 10)
    table = found.table(["a", "b", "c"], 0.9)
    for name, ece in zip(["most probable", "a", "b", "c"], found.ece, strict=True):
        part = table[table["fate"] == name]
        assert part["n_cells"].sum() == 240
        gaps = (part["predicted"] - part["observed"]).abs() * part["n_cells"]
        assert gaps.sum() / 240 == pytest.approx(ece)
        assert (part["low"] <= part["observed"]).all()
        assert (part["observed"] <= part["high"]).all()


def test_right_predictions_err_by_chance():
    found = [
        Reliability.of(j, j.predicted, 10) for j in (simulated(100, seed=s) for s in range(60))
    ]
    ece = np.mean([f.ece for f in found], axis=0)
    chance = np.mean([f.chance for f in found], axis=0)
    np.testing.assert_allclose(ece, chance, rtol=0.15)


@pytest.mark.parametrize(("temperature", "least"), [(1.0, 0.9), (2.0, 0.87)])
def test_intervals_of_the_error_cover_it(temperature, least):
    large = simulated(50_000, temperature, seed=99, cells=1)
    true = Reliability.of(large, large.predicted, 10).ece[0] if temperature != 1.0 else 0.0
    covered = []
    for seed in range(100):
        judged = simulated(80, temperature, seed=seed)
        found = Reliability.of(judged, judged.predicted, 10)
        low, high = found.ece_interval(0.9, 200, np.random.default_rng(seed))
        assert low[0] <= high[0]
        covered.append(low[0] <= true <= high[0])
    assert least <= np.mean(covered)


def test_wilsons_interval():
    """Of 8 in 10 at 95 %, from the literature's formula."""
    low, high = wilson(np.array([0.8, 0.0]), np.array([10.0, 1.0]), 0.95)
    np.testing.assert_allclose([low[0], high[0]], [0.4902, 0.9433], atol=1e-4)
    assert low[1] == 0.0
    assert high[1] == pytest.approx(1.96**2 / (1 + 1.96**2), abs=1e-4)


# Cross-validation ---------------------------------------------------------------------------------


def test_no_clone_is_calibrated_by_itself():
    """With as many folds as clones, changing the outcome of one leaves its own probabilities."""
    judged = simulated(12, 2.0)
    before = crossed(judged, 12, 0, offsets=False).probability
    outcome = judged.outcome.copy()
    outcome[judged.unit == 5] = [0.0, 0.0, 1.0]
    changed = Judged(judged.predicted, outcome, judged.weight, judged.unit, MANY, judged.rows)
    after = crossed(changed, 12, 0, offsets=False).probability
    own = judged.unit == 5
    np.testing.assert_array_equal(after[own], before[own])
    assert (np.abs(after - before)[~own] > 0).any(axis=1).all()


def test_calibration_lowers_the_error_of_clones_kept_out():
    judged = simulated(200, 3.0)
    outside = crossed(judged, 10, 0, offsets=None)
    before = Reliability.of(judged, judged.predicted, 10).ece[0]
    after = Reliability.of(judged, outside.probability, 10)
    assert before > 0.15
    assert after.ece[0] < 2 * after.chance[0]
    gain, error = outside.gain
    assert gain > 3 * error


def test_offsets_are_chosen_where_they_help():
    assert is_better(simulated(300, 1.0, (1.0, -0.5, -0.5)), 0)
    chosen = [is_better(simulated(100, 2.0, seed=seed), 0) for seed in range(20)]
    assert np.mean(chosen) <= 0.3


# Clones -------------------------------------------------------------------------------------------


def test_outcomes_are_those_of_later_relatives():
    """Two clones, cells of three times; cells of the end are outcomes and have none themselves."""
    lineage = sp.csr_matrix(
        np.array([[1, 0], [0, 1], [1, 0], [1, 0], [1, 0], [0, 1], [0, 0], [0, 0]], dtype=float)
    )
    time = np.array([0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 0.0, 2.0])
    code = np.array([-1, -1, -1, 0, 1, 1, -1, 0])
    p = np.tile([0.3, 0.5, 0.2], (8, 1))
    weight = np.array([1.0, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 1.0])
    found = by_clones(p, lineage, code, time, weight, 10)
    np.testing.assert_array_equal(found.rows, [0, 1, 2])
    np.testing.assert_allclose(found.outcome, [[0.75, 0.25], [0, 1], [0.75, 0.25]])
    np.testing.assert_allclose(found.predicted, np.tile([0.375, 0.625], (3, 1)))
    np.testing.assert_allclose(found.weight, [0.8, 0.8, 1.6])
    np.testing.assert_array_equal(found.unit, [0, 1, 0])
    assert found.reached.tolist() == [1, 2]


def test_labels_of_earlier_times_are_no_outcome():
    """A group absorbs at time 1: its cells are outcomes of earlier cells only."""
    lineage = sp.csr_matrix(np.ones((4, 1)))
    time = np.array([0.0, 1.0, 1.0, 2.0])
    code = np.array([-1, 0, -1, 1])
    p = np.tile([0.5, 0.5, 0.0], (4, 1))
    found = by_clones(p, lineage, code, time, np.ones(4), 10)
    np.testing.assert_array_equal(found.rows, [0, 2])
    np.testing.assert_allclose(found.outcome, [[0.5, 0.5], [0.0, 1.0]])


def test_clones_with_a_cell_in_common_are_one_unit():
    lineage = np.zeros((8, 3))
    lineage[[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2]] = 1
    lineage[6, [0, 1]] = 1
    time = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, np.nan])
    code = np.array([-1, 0, -1, 1, -1, 0, -1, -1])
    p = np.tile([0.5, 0.5, 0.0], (8, 1))
    found = by_clones(p, sp.csr_matrix(lineage), code, time, np.ones(8), 10)
    np.testing.assert_array_equal(found.rows, [0, 2, 4, 6])
    np.testing.assert_array_equal(found.unit, [0, 0, 1, 0])
    np.testing.assert_allclose(found.outcome[3], [0.5, 0.5])


def test_undecided_cells_and_clones_without_late_cells_do_not_count():
    lineage = sp.csr_matrix(np.eye(3)[[0, 0, 1, 2]])
    p = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
    time = np.array([0.0, 1.0, 0.0, 0.0])
    found = by_clones(p, lineage, np.array([-1, 0, -1, -1]), time, np.ones(4), 10)
    assert len(found) == 0
    assert found.n_units == 0


# Sets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_sets_of_new_clones_have_the_fate(alpha):
    """On average over data sets, whatever the probabilities: here they are far too certain."""
    covered = []
    sizes = []
    for seed in range(300):
        every = simulated(41, 4.0, seed=seed, late=2, cells=2)
        judged = every.part(np.arange(41) < 40)
        new = every.part(np.arange(41) == 40)
        least = threshold(judged, judged.predicted, alpha)
        inside = fate_sets(new.predicted, least)
        covered.append((inside * new.outcome).sum(axis=1).mean())
        sizes.append(inside.sum(axis=1).mean())
    error = np.std(covered) / np.sqrt(len(covered))
    assert np.mean(covered) >= 1 - alpha - 3 * error
    assert np.mean(sizes) < 3.0


def test_the_threshold_by_hand():
    """Three clones of one fate each, with .9, .6, .2: one in four is set aside."""
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    judged = Judged(p, np.tile([1.0, 0.0], (3, 1)), np.ones(3), np.arange(3), 1, np.arange(3))
    assert threshold(judged, p, 0.2) == 0.0
    assert threshold(judged, p, 0.25) == pytest.approx(0.2)
    assert threshold(judged, p, 0.5) == pytest.approx(0.6)
    np.testing.assert_array_equal(fate_sets(p, 0.6), [[1, 0], [1, 0], [0, 1]])
    assert fate_sets(p, 0.0).all()
    assert (fate_sets(p, 0.99).sum(axis=1) == 1).all()


# Composition --------------------------------------------------------------------------------------


def test_offsets_make_averages_agree():
    rng = np.random.default_rng(0)
    p = [rng.dirichlet([2.0, 1.0, 0.5], n) for n in (200, 50)]
    mass = [rng.random(n) + 0.1 for n in (200, 50)]
    measured = np.array([0.2, 0.3, 0.5])
    scaling = agreeing([np.log(v) for v in p], mass, measured)
    worth = np.array([w.sum() ** 2 / (w**2).sum() for w in mass])
    shares = [w @ scaling(np.log(v)) / w.sum() for w, v in zip(mass, p, strict=True)]
    np.testing.assert_allclose(worth @ shares / worth.sum(), measured, atol=1e-9)
    assert scaling.temperature == 1.0
    assert scaling.offsets.sum() == pytest.approx(0.0, abs=1e-12)


def test_a_shift_of_the_prior_is_recovered():
    """Probabilities that agree with one composition, and offsets to another: those of Bayes."""
    rng = np.random.default_rng(0)
    log_p = np.log(rng.dirichlet([1.0, 1.0], 5000))
    known = Scaling(1.0, np.array([0.7, -0.7]))
    measured = known(log_p).mean(axis=0)
    found = agreeing([log_p], [np.ones(5000)], measured)
    np.testing.assert_allclose(found.offsets, known.offsets, atol=1e-6)
    alone = compared([log_p], [np.ones(5000)], [np.exp(log_p)], measured)
    assert np.isnan(alone.after).all()
    twice = compared([log_p] * 2, [np.ones(5000)] * 2, [np.exp(log_p)] * 2, measured)
    np.testing.assert_allclose(twice.after, np.tile(measured, (2, 1)), atol=1e-9)
    np.testing.assert_allclose(twice.variance[0], np.exp(log_p).var(axis=0) / 5000)

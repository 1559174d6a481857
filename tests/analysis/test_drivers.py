"""Laws of drivers: closed forms of linear systems, and p-values where nothing drives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.stats import kstest, spearmanr, ttest_1samp

from cellflow.analysis.genes.association import associations, strata_of
from cellflow.analysis.genes.classifier import Classifier
from cellflow.analysis.genes.contrast import contrast
from cellflow.analysis.genes.drivers import DriverGenes, DriverQuestion, drivers
from cellflow.analysis.genes.latent_effects import latent_effects
from cellflow.analysis.genes.nulls import (
    comparable,
    dimension_at,
    moderated,
    p_of_chance,
    p_of_directions,
    spread_of_directions,
)
from cellflow.analysis.genes.scoring import Part, PValues, against_of, combined, scored
from cellflow.core.population import Clock
from cellflow.simulation import sensitivity
from known_flows import cells_of

D = 4
RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(D, D)) / 3.0
N_EARLY = 300
N_LATE = 400


class Linear:
    """`dx/dt = A x`; members have matrices of their own."""

    n_context = 0
    clock = Clock(0.0, 2.0, 0.25, 0.25)

    def __init__(self, matrix=MATRIX, members=()):
        self.matrix = matrix
        self.members = tuple(Linear(other) for other in members)
        self.degrees = len(members) / 2

    def velocity(self, x, t, *, context=None):
        return x @ self.matrix.T

    def sensitivity(self, x, t0, end, value, *, context=None, step=None):
        matrix = torch.as_tensor(self.matrix.T)
        return sensitivity(
            lambda t, x: x @ matrix, x, t0, end, value, step=step, dtype=torch.float64
        )


def question(seed=0, flow=None, d=D):
    """Two early times, and two labels at time 2; fates by the true log-odds of the classifier."""
    rng = np.random.default_rng(seed)
    early = rng.normal(size=(2 * N_EARLY, d)) * np.linspace(2.0, 0.5, d)
    labels = np.repeat(["a", "b"], N_LATE // 2)
    late = rng.normal(size=(N_LATE, d)) + 3.0 * (labels == "a")[:, None] * rng.normal(size=d)
    time = np.concatenate([np.repeat([0.0, 1.0], N_EARLY), np.full(N_LATE, 2.0)])
    every = np.concatenate([np.full(2 * N_EARLY, None), labels]).astype(object)
    cells, targets = cells_of(np.concatenate([early, late]), time, every)
    flow = Linear() if flow is None else flow
    odds = log_odds(cells, targets, flow)
    p = np.zeros(len(time))
    p[: 2 * N_EARLY] = 1.0 / (1.0 + np.exp(-odds))
    rows = np.arange(2 * N_EARLY)
    return DriverQuestion(flow, cells, targets, 0, p[:, None], rows)


def classes(cells, targets):
    there = cells.measured == 2.0
    return Classifier.fitted(cells.x[there], targets.code[there], cells.weight[there])


def slope(cells, targets):
    """Of the log-odds of the first label."""
    found = classes(cells, targets)
    return found.slope[0] - found.slope[1]


def log_odds(cells, targets, flow):
    """Of the early cells at the end."""
    found = classes(cells, targets)
    early = cells.measured < 2.0
    parts = []
    for time in (0.0, 1.0):
        x = cells.x[early & (cells.measured == time)] @ expm(flow.matrix * (2.0 - time)).T
        parts.append(found.log_odds(torch.from_numpy(x), np.array([0])).numpy()[:, 0])
    return np.concatenate(parts)


def genes_of(cells, loadings, noise=0.0, seed=1):
    rng = np.random.default_rng(seed)
    values = cells.x @ loadings.T + noise * rng.normal(size=(len(cells.x), len(loadings)))
    n = len(loadings)
    seen = (np.full(n, 0.8), np.ones(n, dtype=bool), np.full(n, 0.1))
    return DriverGenes(loadings, loadings, *seen, lambda chunk: values[:, chunk])


def by_time(cells):
    return [np.flatnonzero(cells.measured == time) for time in (0.0, 1.0)]


def test_sensitivities_with_the_covariance_are_regressions_of_the_log_odds():
    """The log-odds at the end are linear in the state now: so the slope is exact for every gene."""
    asked = question()
    loadings = np.random.default_rng(2).normal(size=(30, D))
    found = drivers(asked, genes_of(asked.cells, loadings), response="covariance")
    y = asked.cells.x @ loadings.T
    odds = log_odds(asked.cells, asked.targets, Linear())
    expected = np.mean(
        [np.cov(y[rows].T, odds[rows], ddof=0)[-1, :-1] for rows in by_time(asked.cells)]
        / np.array([y[rows].std(axis=0) for rows in by_time(asked.cells)]),
        axis=0,
    )
    np.testing.assert_allclose(found.parts[1].value, expected, rtol=1e-5)


def test_what_is_not_seen_of_a_gene_changes_nothing():
    """With noise, a sensitivity is the slope of a regression on the measured gene."""
    asked = question()
    loadings = np.random.default_rng(2).normal(size=(30, D))
    genes = genes_of(asked.cells, loadings, noise=2.0)
    found = drivers(asked, genes, response="covariance")
    exact = drivers(asked, genes_of(asked.cells, loadings), response="covariance")
    y = genes.expression(slice(None))
    measured = np.sqrt(np.mean([y[rows].var(axis=0) for rows in by_time(asked.cells)], axis=0))
    clean = asked.cells.x @ loadings.T
    seen = np.sqrt(np.mean([clean[rows].var(axis=0) for rows in by_time(asked.cells)], axis=0))
    for part, without in zip(found.parts[1:], exact.parts[1:], strict=True):
        expected = without.value * np.minimum(seen / measured, 1.0)
        np.testing.assert_allclose(part.value, expected, rtol=1e-7)
    odds = log_odds(asked.cells, asked.targets, Linear())
    slopes = []
    for rows in by_time(asked.cells):
        off = y[rows] - y[rows].mean(axis=0)
        slopes.append(off.T @ odds[rows] / len(rows) / y[rows].std(axis=0))
    gap = found.parts[1].value - np.mean(slopes, axis=0)
    assert np.abs(gap).max() < 4.0 * odds.std() / np.sqrt(2 * N_EARLY)


def test_sensitivities_alone_are_those_of_coordinates():
    asked = question()
    found = drivers(asked, genes_of(asked.cells, np.eye(D)), response="auto")
    assert (found.response == "alone").all()
    gradient = [expm(MATRIX * ahead).T @ slope(asked.cells, asked.targets) for ahead in (2.0, 1.0)]
    sd = [asked.cells.x[rows].std(axis=0) for rows in by_time(asked.cells)]
    expected = np.mean(np.array(gradient) * np.array(sd), axis=0)
    np.testing.assert_allclose(found.parts[1].value, expected, rtol=1e-5)


def test_velocities_are_differences_of_weighted_means():
    asked = question()
    loadings = np.random.default_rng(2).normal(size=(30, D))
    found = drivers(asked, genes_of(asked.cells, loadings))
    parts = []
    for rows in by_time(asked.cells):
        x = asked.cells.x[rows]
        p = asked.probability[rows, 0]
        moved = x @ MATRIX.T @ loadings.T
        off = np.average(moved, axis=0, weights=p) - np.average(moved, axis=0, weights=1.0 - p)
        parts.append(off / (x @ loadings.T).std(axis=0))
    np.testing.assert_allclose(found.parts[2].value, np.mean(parts, axis=0), rtol=1e-8)


def test_units_and_shifts_of_genes_do_not_matter():
    asked = question()
    loadings = np.random.default_rng(2).normal(size=(30, D))
    one = drivers(asked, genes_of(asked.cells, loadings), response="covariance")
    other = drivers(asked, genes_of(asked.cells, 7.0 * loadings), response="covariance")
    for before, after in zip(one.parts, other.parts, strict=True):
        np.testing.assert_allclose(after.value, before.value, rtol=1e-7)
        np.testing.assert_allclose(after.se, before.se, rtol=1e-7)


def test_members_add_half_of_their_difference_to_the_error_over_cells():
    loadings = np.random.default_rng(2).normal(size=(30, D))
    found = []
    for factor in (1.0, 1.2):
        asked = question(flow=Linear(MATRIX, [MATRIX, factor * MATRIX]))
        asked = replace(asked, probability=np.tile(asked.probability, 3), degrees=1.0)
        found.append(drivers(asked, genes_of(asked.cells, loadings)).parts)
    equal, other = found
    # Velocities of the second member are 1.2 times those of the first.
    expected = np.hypot(equal[2].se, 0.1 * equal[2].value)
    np.testing.assert_allclose(other[2].se, expected, rtol=1e-9)
    np.testing.assert_allclose(other[0].se, equal[0].se, rtol=1e-9)
    assert (other[1].se > equal[1].se).all()


def test_associations_are_rank_correlations_given_the_time():
    rng = np.random.default_rng(0)
    n = 200
    time = np.repeat([0.0, 1.0], n)
    fate = rng.random(2 * n)
    y = rng.normal(size=(2 * n, 3)) + fate[:, None] * [0.0, 1.0, -2.0] + 5.0 * time[:, None]
    strata = strata_of(np.arange(2 * n), time[:, None], np.ones(2 * n))
    found = associations(strata, fate[:, None], y, lambda chunk: y[:, chunk], 3)
    each = [
        [spearmanr(y[rows, g], fate[rows])[0] for g in range(3)]
        for rows in (slice(0, n), slice(n, 2 * n))
    ]
    np.testing.assert_allclose(found.value, np.mean(each, axis=0), atol=1e-12)
    bent = np.exp(y) + 1e3 * time[:, None]
    again = associations(strata, fate[:, None], y, lambda chunk: bent[:, chunk], 3)
    np.testing.assert_allclose(again.value, found.value, atol=1e-12)
    expected = (1.0 - found.value**2) / np.sqrt(2 * n - 3)
    np.testing.assert_allclose(found.cells_se, expected)


def test_a_gene_that_follows_time_or_the_sample_alone_has_no_association():
    rng = np.random.default_rng(0)
    time = np.repeat([0.0, 1.0, 2.0], 100)
    sample = np.tile([0, 1], 150)
    fate = rng.random(300) + time + 2.0 * sample
    y = np.column_stack([np.exp(time), 3.0 * sample + time, fate])
    strata = strata_of(np.arange(300), time[:, None], np.ones(300), sample)
    found = associations(strata, fate[:, None], y, lambda chunk: y[:, chunk], 3)
    assert len(strata) == 6
    assert np.isnan(found.value[:2]).all()
    assert found.value[2] == pytest.approx(1.0)
    assert found.samples.shape == (2, 3)


def test_small_strata_and_cells_without_weight_are_left_out():
    time = np.repeat([0.0, 1.0], [4, 20])
    weight = np.ones(24)
    weight[4:10] = 0.0
    found = strata_of(np.arange(24), time[:, None], weight)
    assert [stratum.rows.tolist() for stratum in found] == [list(range(10, 24))]


def test_the_error_of_a_contrast_is_that_of_a_jackknife():
    rng = np.random.default_rng(0)
    v = rng.normal(size=(200, 2))
    own = rng.random(200)
    value, covariance = contrast(v, own, 1.0 - own)
    expected = np.average(v, axis=0, weights=own) - np.average(v, axis=0, weights=1.0 - own)
    np.testing.assert_allclose(value, expected)
    kept = ~np.eye(200, dtype=bool)
    left = np.array([contrast(v[k], own[k], 1.0 - own[k])[0] for k in kept])
    jackknife = 199 * np.cov(left.T, ddof=0)
    np.testing.assert_allclose(covariance, jackknife, rtol=0.05, atol=1e-5)
    assert np.isnan(contrast(v, np.zeros(200), own)[0]).all()


@pytest.mark.parametrize(("d", "noise"), [(2, 0.0), (5, 0.0), (5, 0.2), (30, 0.1)])
def test_p_values_of_random_directions_are_uniform(d, noise):
    rng = np.random.default_rng(d)
    direction = rng.normal(size=(4000, d))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    most = rng.uniform(0.5, 2.0, 4000)
    value = most * direction[:, 0] + noise * rng.normal(size=4000)
    p = p_of_directions(value, most, d, np.full(4000, noise))
    assert kstest(p, "uniform").pvalue > 0.01


def test_p_values_by_samples_are_those_of_students_t():
    values = np.random.default_rng(0).normal(size=(5, 20)) + 1.0
    variance = values.var(axis=0, ddof=1) / 5
    p = p_of_chance(values.mean(axis=0), [(variance, 4.0)])
    np.testing.assert_allclose(p, ttest_1samp(values, 0.0).pvalue)


def test_moderated_variances_are_between_their_own_and_the_common_one():
    rng = np.random.default_rng(0)
    equal = 3.0 * rng.chisquare(4, size=3000) / 4
    drawn, degrees = moderated(equal, 4.0)
    assert degrees > 100
    np.testing.assert_allclose(drawn, 3.0, rtol=0.15)
    # True variances that are an inverse chi-square of 6 degrees, times 2.
    true = 2.0 * 6 / rng.chisquare(6, size=20_000)
    found, degrees = moderated(true * rng.chisquare(4, size=20_000) / 4, 4.0)
    assert degrees == pytest.approx(10.0, rel=0.1)
    p = p_of_chance(np.sqrt(true) * rng.normal(size=20_000), [(found, degrees)])
    assert (p < 0.01).mean() == pytest.approx(0.01, abs=0.003)


def test_the_dimension_is_estimated_from_comparable_genes():
    """Half of the genes have directions of 3 dimensions, half of 50; few of either drive."""
    rng = np.random.default_rng(0)
    narrow = np.arange(2000) % 2 == 1
    features = np.column_stack([narrow + 0.01 * rng.random(2000)] * 3)
    directions = rng.normal(size=(2000, 50))
    directions[narrow, 3:] = 0.0
    cosine = (directions[:, 0] / np.linalg.norm(directions, axis=1)) ** 2
    cosine[:60] = 0.99
    others = comparable(features, np.zeros(2000))
    dims = dimension_at(np.median(cosine[others], axis=1))
    assert np.median(dims[narrow]) == pytest.approx(3.0, rel=0.1)
    assert np.median(dims[~narrow]) == pytest.approx(50.0, rel=0.2)
    twice = comparable(np.vstack([features, features[:1]]), np.zeros(2001))
    np.testing.assert_array_equal(np.sort(twice[0]), np.sort(twice[-1]))
    kind = np.arange(2000) % 4 == 0
    apart = comparable(features, kind)
    assert (kind[apart] == kind[:, None]).all()


@pytest.mark.parametrize("n_genes", [400, 60])
def test_p_values_where_nothing_drives(n_genes):
    """A fate that depends on a direction at random: few p-values are small, unlike the naive ones.

    Sixty genes are compared with random directions, 400 with each other.
    """
    small = {part: [] for part in ("association", "sensitivity", "velocity", "score", "naive")}
    for seed in range(12):
        rng = np.random.default_rng(100 + seed)
        flow = Linear(rng.normal(size=(8, 8)) / 3.0)
        flow.clock = Clock(0.0, 2.0, 1.25, 1.25)
        asked = question(seed, flow, d=8)
        genes = genes_of(asked.cells, rng.normal(size=(n_genes, 8)), noise=1.0, seed=seed)
        found = drivers(asked, genes, max_cells=200)
        assert found.against == ("genes" if n_genes == 400 else "directions")
        for name, part in zip(small, found.parts, strict=False):
            small[name].append((part.matched.p < 0.05).mean())
        small["score"].append((found.together.matched.p < 0.05).mean())
        z = np.arctanh(found.parts[0].value) * np.sqrt(2 * N_EARLY - 3)
        small["naive"].append((np.abs(z) > 1.96).mean())
    rates = {name: np.mean(values) for name, values in small.items()}
    assert rates.pop("naive") > 0.5
    assert max(rates.values()) < 0.08, rates
    assert rates["sensitivity"] > 0.01


def test_a_gene_that_differs_between_conditions_alone_has_no_part():
    """All cells of one condition rise in one coordinate, and have the fate more often."""
    asked = question()
    treated = np.arange(len(asked.cells.x)) % 2 == 0
    asked.cells.x[:, 3] = np.clip(asked.cells.x[:, 3], -1.5, 1.5) + 4.0 * treated
    context = treated[:, None].astype(float)

    class Treated(Linear):
        def velocity(self, x, t, *, context=None):
            rise = np.outer(x[:, 3] > 2.0, [0.0, 0.0, 0.0, 5.0])
            return rise + x @ np.diag([0.5, 0.2, 0.2, 0.0])

    p = np.clip(asked.probability * 0.4 + 0.5 * treated[:, None], 0.0, 1.0)
    cells = replace(asked.cells, context=context)
    asked = replace(asked, flow=Treated(), cells=cells, probability=p)
    found = drivers(asked, genes_of(cells, np.eye(D)))
    one = replace(asked, cells=replace(cells, context=None))
    pooled = drivers(one, genes_of(cells, np.eye(D)))
    size = np.abs(found.parts[2].value)
    assert size[3] == pytest.approx(0.0, abs=1e-9)
    assert size[:3].max() > 0.05
    assert np.abs(pooled.parts[2].value[3]) > 1.0
    assert np.abs(found.parts[0].value[3]) < np.abs(pooled.parts[0].value[3]) / 2.0


def test_p_values_of_an_ensemble_where_nothing_moves():
    """Velocities that are errors of the fit alone: members differ as their mean does from zero."""
    rates = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        error = 0.1 * rng.normal(size=(D, D))
        halves = [0.1 * rng.normal(size=(D, D)) for _ in range(3)]
        members = [error + sign * half for half in halves for sign in (1.0, -1.0)]
        asked = question(seed % 4, Linear(error, members))
        asked = replace(asked, probability=np.tile(asked.probability, 7), degrees=3.0)
        genes = genes_of(asked.cells, rng.normal(size=(40, D)))
        _, velocity, _ = latent_effects(asked, genes, np.ones(40), "auto", 20)
        decodable = np.ones(40, dtype=bool)
        against = against_of(np.zeros((40, 2)), np.zeros(40), decodable, rng.normal(size=(40, D)))
        rates.append((scored(velocity, against, 3.0, decodable=decodable).zero.p < 0.1).mean())
    assert np.mean(rates) == pytest.approx(0.1, abs=0.06)


def test_directions_of_genes_have_an_effective_number():
    assert spread_of_directions(np.eye(5)) == pytest.approx(5.0)
    assert spread_of_directions(np.tile([[0.5, 0.5]], (9, 1))) == pytest.approx(1.0, abs=0.02)
    uneven = spread_of_directions(np.diag([3.0, 1.0, 1.0]))
    assert uneven == pytest.approx(11.0**2 / (81.0 + 2.0))


def test_two_parts_have_to_be_there():
    n = 5
    sure = np.full(n, 1e-6)
    none = np.full(n, 0.5)
    effects = [np.full(n, 2.0), np.full(n, 2.0), np.full(n, -2.0)]

    def part(p, value):
        tested = PValues.of(p, np.sign(value))
        return Part(value, 0.1 * np.abs(value), tested, tested)

    agreeing = combined([part(sure, effects[0]), part(sure, effects[1]), part(none, effects[2])])
    np.testing.assert_allclose(agreeing.zero.p, 2e-6, rtol=1e-6)
    alone = combined([part(sure, effects[0]), part(none, effects[1]), part(none, effects[0])])
    assert (alone.zero.p == 1.0).all()
    opposed = combined([part(sure, effects[0]), part(none, effects[0]), part(sure, effects[2])])
    assert (opposed.zero.p > 0.5).all()
    unseen = [part(np.full(n, np.nan), np.full(n, np.nan))] * 2
    assert np.isnan(combined([part(sure, effects[0]), *unseen]).zero.p).all()

"""Trends of genes: closed forms of motion and growth, laws of shares, and when trends part."""

import numpy as np
import pytest

from cellflow.analysis.trends import clouds_of, measured, parted, parting, residuals, stretches
from cellflow.analysis.trends import trends as found_trends
from cellflow.core._spread import spread
from cellflow.core.decoder import Decoder
from cellflow.core.population import Snapshots
from known_flows import Known

V = np.array([1.0, -0.5])
GRID = np.linspace(0.0, 3.0, 13)
MOVING = Known(lambda x, t0, t: x + V * (t - t0))


def decoder(loadings=((1.0, 0.0), (0.5, 2.0), (0.0, 1.0)), mean=(0.0, 3.0, -1.0)):
    names = [f"g{k}" for k in range(len(mean))]
    return Decoder(np.array(mean), np.array(loadings), np.array(names), "ridge", 1.0)


def cloud(n=40, seed=0, times=(0.0, 1.0, 3.0)):
    """Other cells at every time, whose weighted mean is in uniform motion."""
    rng = np.random.default_rng(seed)
    time = np.repeat(times, n)
    x = rng.normal(size=(len(time), 2))
    weight = rng.uniform(0.5, 2.0, len(time))
    for t in times:
        here = time == t
        x[here] += V * t - np.average(x[here], axis=0, weights=weight[here])
    return Snapshots.from_arrays(x, time, weight=weight), x, time, weight


def all_cells(rows, context):
    return np.ones((len(rows), 1))


def decoded(snapshots):
    """Expression of all cells that is linear in their positions, by their rows."""
    x = np.concatenate([p.x for p in snapshots.populations])
    rows = np.concatenate([p.index for p in snapshots.populations])
    made = decoder()
    return made.mean + x[np.argsort(rows)] @ made.loadings.T


def run(flow, snapshots, parts=all_cells, *, expression=None, residual=None, clouds=None, **how):
    paths = stretches(flow, snapshots, GRID, clouds=clouds, **how)
    expression = decoded(snapshots) if expression is None else expression
    return found_trends(paths, len(GRID), parts, expression, decoder(), residual)


# Means --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [None, 0.0, 1.0, 3.0])
def test_a_population_in_uniform_motion_has_linear_trends(start):
    snapshots, *_ = cloud()
    found = run(MOVING, snapshots, start=start)
    made = decoder()
    expected = made.mean + GRID[:, None] * (V @ made.loadings.T)
    np.testing.assert_allclose(found.mean[0], expected, atol=1e-12)
    np.testing.assert_allclose(found.share, 1.0)


def test_at_the_time_of_a_snapshot_a_trend_is_its_weighted_mean_whatever_the_flow():
    snapshots, x, time, weight = cloud()
    wrong = Known(
        lambda x, t0, t: x * (1.0 + 5.0 * abs(t - t0)), lambda x, t0, t: x[:, 0] * (t - t0)
    )
    # One gene is linear in the positions, one is not, and one has nothing to do with them.
    expression = decoded(snapshots)
    expression[:, 1] = np.exp(x[:, 0])
    expression[:, 2] = np.random.default_rng(5).normal(size=len(x))
    found = run(wrong, snapshots, expression=expression)
    states = decoded(snapshots)
    seen = measured(snapshots, GRID, all_cells, expression)
    for t in (0.0, 1.0, 3.0):
        here = time == t
        mean = np.average(expression[here], axis=0, weights=weight[here])
        np.testing.assert_allclose(found.mean[0, t == GRID][0], mean, atol=1e-12)
        np.testing.assert_allclose(seen[0, t == GRID][0], mean, atol=1e-12)
        latent = np.average(states[here], axis=0, weights=weight[here])
        np.testing.assert_allclose(found.decoded[0, t == GRID][0], latent, atol=1e-12)
    assert np.isnan(seen[0, ~np.isin(GRID, [0.0, 1.0, 3.0])]).all()


@pytest.mark.parametrize("start", [None, 0.0])
def test_growth_weights_the_cells_on_both_sides(start):
    """Two kinds of cells at rest that grow at different rates: a closed form at every time."""
    rates = np.array([0.8, -0.3])
    place = np.array([[0.0, 1.0], [2.0, -1.0]])
    flow = Known(
        lambda x, t0, t: x, lambda x, t0, t: np.where(x[:, 0] > 1, *rates[::-1]) * (t - t0)
    )
    times = np.array([0.0, 1.0, 3.0])
    snapshots = Snapshots.from_arrays(
        np.tile(place, (3, 1)),
        np.repeat(times, 2),
        weight=np.exp(rates * times[:, None]).ravel(),
    )
    found = run(flow, snapshots, lambda rows, _: np.eye(2)[rows % 2], start=start)
    mass = np.exp(rates * GRID[:, None])
    np.testing.assert_allclose(found.share.T, mass / mass.sum(axis=1, keepdims=True))
    whole = run(flow, snapshots, start=start)
    made = decoder()
    expected = made.mean + found.share.T @ place @ made.loadings.T
    np.testing.assert_allclose(whole.mean[0], expected)
    if start is not None:
        kish = mass.sum(axis=1) ** 2 / (mass**2).sum(axis=1)
        np.testing.assert_allclose(whole.n_eff[0], kish)


def test_trends_of_fates_add_up_to_that_of_all_cells_by_their_shares():
    snapshots, x, *_ = cloud()
    probability = np.random.default_rng(1).dirichlet(np.ones(3), len(x))
    flow = Known(MOVING.path, lambda x, t0, t: 0.5 * x[:, 0] * (t - t0))
    each = run(flow, snapshots, lambda rows, _: probability[rows])
    whole = run(flow, snapshots)
    total = (each.share[:, :, None] * each.mean).sum(axis=0)
    np.testing.assert_allclose(total, whole.mean[0], atol=1e-12)
    np.testing.assert_allclose(each.share.sum(axis=0), 1.0)


def test_cells_that_enter_count_from_their_snapshot_on():
    """Half of the last snapshot comes from nowhere; cells that are followed never see it."""
    x = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [8.0, 0.0]])
    snapshots = Snapshots.from_arrays(x, np.array([0.0, 1.5, 3.0, 3.0]))
    still = Known(lambda x, t0, t: x)
    near = run(still, snapshots).mean[0, :, 0]
    np.testing.assert_allclose(near, np.interp(GRID, [0.0, 1.5, 3.0], [0.0, 0.0, 4.0]))
    np.testing.assert_allclose(run(still, snapshots, start=0.0).mean[0, :, 0], 0.0)


def test_cells_in_parts_give_the_same(monkeypatch):
    snapshots, x, *_ = cloud()
    residual = np.random.default_rng(0).normal(size=(len(x), 3))
    expected = run(MOVING, snapshots, residual=residual, clouds=clouds_of(snapshots))
    monkeypatch.setattr("cellflow.analysis.trends.paths._CHUNK", 7)
    found = run(MOVING, snapshots, residual=residual, clouds=clouds_of(snapshots))
    for name in ("mean", "decoded", "sd", "share", "n_eff", "off"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-12)


# Spread, support ----------------------------------------------------------------------------------


def test_the_spread_is_that_of_the_states_and_that_of_the_residuals():
    snapshots, x, time, weight = cloud(n=400)
    made = decoder()
    noise = np.array([0.0, 0.7, 1.5])
    expression = made.mean + x @ made.loadings.T
    expression += noise * np.random.default_rng(3).normal(size=expression.shape)
    found = run(MOVING, snapshots, expression=expression, residual=residuals(x, expression, made))
    for t in (0.0, 1.0, 3.0):
        here = time == t
        share = weight[here] / weight[here].sum()
        latent = np.sqrt(share @ (x[here] - share @ x[here]) ** 2)
        sd = found.sd[0, t == GRID][0]
        np.testing.assert_allclose(sd[0], latent[0], rtol=1e-6)
        total = np.sqrt(share @ (expression[here] - share @ expression[here]) ** 2)
        np.testing.assert_allclose(sd, total, rtol=0.06)


def test_residuals_are_as_large_as_on_cells_kept_out():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2))
    made = decoder()
    expression = made.mean + x @ made.loadings.T + rng.normal(size=(500, 3))
    r2 = np.array([0.1, 0.2, 0.999])
    own = expression - made.mean - x @ made.loadings.T
    known = Decoder(made.mean, made.loadings, made.genes, "ridge", 0.5, r2)
    found = residuals(x, expression, known)
    size = (1 - r2) * expression.var(axis=0)
    np.testing.assert_allclose((found[:, :2] ** 2).mean(axis=0), size[:2], rtol=1e-4)
    np.testing.assert_allclose(found[:, 2], own[:, 2], rtol=1e-3, atol=1e-5)


def test_paths_that_lead_to_where_no_cell_is_are_known():
    snapshots, x, *_ = cloud(n=60)
    lost = Known(lambda x, t0, t: x + V * (t - t0) + (x[:, :1] > 0) * 50.0 * (t != t0))

    def parts(rows, _):
        return np.column_stack([x[rows, 0] > 0, x[rows, 0] <= 0]).astype(float)

    found = run(lost, snapshots, parts, clouds=clouds_of(snapshots))
    between = ~np.isin(GRID, snapshots.times)
    assert (found.off[0, between] > 0.99).all()
    assert (found.off[1, between] < 0.1).all()
    np.testing.assert_array_equal(found.off[:, ~between], 0.0)
    right = run(MOVING, snapshots, parts, clouds=clouds_of(snapshots))
    assert (right.off < 0.15).all()


def test_times_outside_the_snapshots_have_no_mass():
    snapshots, *_ = cloud(times=(1.0, 2.0))
    found = run(MOVING, snapshots)
    outside = (GRID < 1.0) | (GRID > 2.0)
    assert (found.share[0, outside] == 0).all()
    assert (found.n_eff[0, outside] == 0).all()
    assert np.isnan(found.mean[0, outside]).all()
    assert np.isfinite(found.mean[0, ~outside]).all()
    nowhere, x, *_ = cloud(times=(4.0, 5.0))
    found = run(MOVING, nowhere, residual=np.zeros((len(x), 3)))
    assert found.mean.shape == found.sd.shape == (1, len(GRID), 3)
    assert np.isnan(found.mean).all()
    np.testing.assert_array_equal(found.n_eff, 0.0)


# Parting ------------------------------------------------------------------------------------------

TIMES = np.linspace(0.0, 10.0, 51)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_trends_part_where_their_difference_leaves_its_interval_for_good(sign):
    mean = sign * np.column_stack([TIMES - 4.0, np.maximum(TIMES - 4.0, 0.0), 0.2 + 0 * TIMES])
    width = np.full(mean.shape, 0.5)
    np.testing.assert_allclose(parted(mean, width, TIMES), [4.5, 4.5, np.nan])
    width[30] = 100.0  # at time 6 the interval covers zero again
    assert (parted(mean, width, TIMES)[:2] > 6.0).all()
    np.testing.assert_allclose(parted(sign * np.ones((51, 1)), width[:, :1] * 0, TIMES), 0.0)


def test_only_the_direction_of_the_end_counts():
    mean = np.where(TIMES < 5.0, -3.0, 3.0)[:, None]
    found = parted(mean, np.full(mean.shape, 0.5), TIMES)
    assert 4.8 < found[0] < 5.0


def test_with_little_error_the_time_is_that_of_the_branching():
    members = (
        np.maximum(TIMES - 6.0, 0.0)[None, :, None] + 1e-9 * np.array([1, -1, 2, -2])[:, None, None]
    )
    found = parting(spread(members), members, TIMES)
    np.testing.assert_allclose([found.time, found.low, found.high], 6.0, atol=1e-6)


def smooth_errors(n, seed):
    """Errors that are correlated over time, `(n, T)`, of variance one."""
    gap = TIMES[:, None] - TIMES
    root = np.linalg.cholesky(np.exp(-0.5 * (gap / 2.0) ** 2) + 1e-8 * np.eye(len(TIMES)))
    return np.random.default_rng(seed).normal(size=(n, len(TIMES))) @ root.T


def test_a_time_before_the_branching_is_reported_as_seldom_as_the_level_says():
    """Fixed-sequence tests keep the level over all times, with four pairs of halves."""
    n = 4000
    branch = 5.0
    truth = 3.0 * np.maximum(TIMES - branch, 0.0)
    error = smooth_errors(5 * n, seed=1).reshape(5, n, len(TIMES))
    mean = truth + error[0]
    members = np.concatenate([mean + error[1:], mean - error[1:]]).transpose(0, 2, 1)
    se = np.sqrt((error[1:] ** 2).mean(axis=0)).T
    difference = spread(members, 4.0)
    np.testing.assert_allclose(difference.se, se)
    found = parting(difference, members, TIMES, level=0.9)
    early = found.time < branch - 1e-9
    assert 0.02 < early.mean() < 0.11
    assert np.isfinite(found.time).mean() > 0.99
    assert (found.low <= found.time)[np.isfinite(found.low)].all()
    # The interval covers the time that is shown on average.
    shown = np.median(found.time)
    covered = (found.low <= shown) & (shown <= found.high)
    assert covered[np.isfinite(found.low)].mean() > 0.75


def test_a_member_that_shows_no_difference_leaves_no_interval():
    members = np.stack([np.maximum(TIMES - 6.0, 0.0)] * 7 + [0.0 * TIMES])[:, :, None]
    difference = spread(members, 40.0)
    found = parting(difference, members, TIMES)
    assert np.isfinite(found.time[0])
    assert np.isnan([found.low[0], found.high[0]]).all()

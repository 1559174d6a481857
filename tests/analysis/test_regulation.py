"""Mean derivatives of fields over groups of cells, and rotation: closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cellflow import recipes
from cellflow.analysis.genes.regulation import Cells, derivatives, diffusion, variation
from cellflow.analysis.rotation import rotation
from cellflow.core.population import Population, Snapshots
from cellflow.fields.dynamics import Dynamics
from cellflow.model.fitting import fit
from cellflow.training import Training

MATRIX = np.array([[0.3, -1.0, 0.0], [0.5, -0.2, 0.7], [0.0, 0.4, -0.6]])
RATE = np.array([0.2, 0.0, -0.5])
SCALE = np.array([1.0, 5.0, 0.2])
SIGMA = 0.6


class Linear(nn.Module):
    """`A x + b t + c x^2`, the last two by coordinate."""

    def __init__(self, matrix, drift=0.0, square=0.0):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix, dtype=torch.float32))
        self.drift = drift
        self.square = square

    def forward(self, t, x, noise=None, context=None):
        moved = x @ self.matrix.T + self.drift * torch.as_tensor(t, dtype=x.dtype).reshape(-1, 1)
        return moved + self.square * x**2 if self.square else moved


class Turning(nn.Module):
    """A rotation about the origin, once forward and once backward."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, t, x):
        return self.weight * torch.stack([-x[:, 1], x[:, 0]], dim=1)


@pytest.fixture(scope="module")
def base():
    """A flow whose networks are replaced; coordinates of different scales."""
    rng = np.random.default_rng(0)
    snapshots = Snapshots(
        tuple(Population(rng.normal(size=(40, 3)) * SCALE, float(t)) for t in range(2))
    )
    training = Training(steps=2, batch_size=16, record_every=1)
    return fit(snapshots, recipes.ot_cfm(training=training), scale="each")


def flow_of(base, matrix=MATRIX, *, rate=None, score=None, **how):
    """The field `matrix @ x` in data coordinates, in the model's own."""
    scale = base.frame.scale[: len(matrix)]
    frame = replace(base.frame, shift=np.zeros(len(scale)), scale=scale)
    velocity = Linear(matrix * scale / scale[:, None], **how)
    heads = {} if rate is None else {"growth": Linear(rate[None] * scale)}
    along = {} if rate is None else {"growth": "log_weight"}
    network = None if score is None else Linear(score * scale * scale[:, None])
    made = Dynamics(velocity, network, heads=heads, along=along, sigma=SIGMA)
    return replace(base, frame=frame, dynamics=made)


def cells_of(x, times, group=None, weight=None):
    group = np.zeros(len(x), dtype=int) if group is None else group
    weight = np.ones(len(x)) if weight is None else weight
    return Cells(x, times, weight, group, int(group.max()) + 1)


@pytest.fixture
def cells():
    """Two groups of cells at two times, of which some belong to no group or have no weight."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3)) * SCALE
    x[:, 2] += 0.1 * x[:, 0]
    group = np.arange(300) % 3 - 1
    weight = np.where(np.arange(300) % 7 == 0, 0.0, rng.uniform(0.5, 2.0, size=300))
    return cells_of(x, (np.arange(300) % 2).astype(float), group, weight)


@pytest.mark.parametrize("by", ["regression", "derivative"])
def test_of_a_linear_field_it_is_its_matrix_in_data_coordinates(base, cells, by):
    flow = flow_of(base, rate=RATE)
    velocity = derivatives(flow, cells, "velocity", by)
    np.testing.assert_allclose(velocity, np.stack([MATRIX, MATRIX]), atol=2e-5)
    growth = derivatives(flow, cells, "growth", by)
    np.testing.assert_allclose(growth, np.stack([RATE[None], RATE[None]]), atol=2e-5)


@pytest.mark.parametrize("by", ["regression", "derivative"])
def test_the_drift_adds_the_diffusion_times_the_score(base, cells, by):
    score = np.diag([-1.0, -2.0, -0.5])
    flow = flow_of(base, score=score)
    half = 0.5 * (0.4 * flow.frame.scale) ** 2
    found = derivatives(flow, cells, "drift", by, sigma=0.4)
    np.testing.assert_allclose(found, np.stack([MATRIX + half[:, None] * score] * 2), atol=1e-4)


def test_without_a_score_the_drift_of_whole_snapshots_is_that_of_the_exact_score(base):
    """Of Gaussian snapshots, whose score is linear in the distance from their means."""
    rng = np.random.default_rng(2)
    n = 40_000
    times = np.repeat([0.0, 1.0], n)
    mix = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.2, 0.0, 1.0]])
    spread = rng.normal(size=(2 * n, 3)) @ mix
    x = spread + times[:, None] * np.array([2.0, -1.0, 0.5])
    score = -spread @ np.linalg.inv(mix.T @ mix)
    flow = flow_of(base)
    half = 0.5 * (SIGMA * flow.frame.scale) ** 2
    drift = x @ MATRIX.T + half * score
    centred = x - x.mean(axis=0)
    expected = drift.T @ centred @ np.linalg.inv(centred.T @ centred)
    cells = replace(cells_of(x, times), are_whole=True)
    found = derivatives(flow, cells, "drift", "regression", sigma=SIGMA)[0]
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


class Diffusing(nn.Module):
    """Velocity of a normal population that follows `dX = A X dt + sigma dW`."""

    def __init__(self, means, covariances):
        super().__init__()
        inverse = np.linalg.inv(covariances)
        self.means = nn.Parameter(torch.as_tensor(means, dtype=torch.float32))
        self.inverse = nn.Parameter(torch.as_tensor(inverse, dtype=torch.float32))

    def forward(self, t, x):
        at = torch.as_tensor(t).long()
        off = torch.einsum("nij,nj->ni", self.inverse[at], x - self.means[at])
        return x @ torch.as_tensor(MATRIX, dtype=x.dtype).T + 0.5 * SIGMA**2 * off


def diffused(n_times):
    """Cells with the exact mean and covariance of a linear diffusion at each time."""
    from scipy.linalg import expm

    rng = np.random.default_rng(9)
    step = 0.001
    moved = expm(step * MATRIX)
    mean = np.array([1.0, -1.0, 0.5])
    covariance = np.diag([0.05, 0.2, 0.1])
    means, covariances, x = [], [], []
    for _ in range(n_times):
        z = rng.normal(size=(60, 3))
        z = z - z.mean(axis=0)
        root = np.linalg.cholesky(z.T @ z / 60)
        x.append(mean + z @ np.linalg.inv(root).T @ np.linalg.cholesky(covariance).T)
        means.append(mean)
        covariances.append(covariance)
        for _ in range(1000):
            mean = moved @ mean
            covariance = moved @ (covariance + step * SIGMA**2 * np.eye(3)) @ moved.T
    times = np.repeat(np.arange(float(n_times)), 60)
    return np.concatenate(x), times, Diffusing(np.array(means), np.array(covariances))


@pytest.mark.parametrize("n_times", [2, 3, 5])
def test_a_linear_diffusion_is_found_with_its_sigma(base, n_times):
    """Its drift is the same at all times; the spreading that the velocity has is not."""
    x, times, network = diffused(n_times)
    frame = replace(base.frame, shift=np.zeros(3), scale=np.ones(3))
    flow = replace(base, frame=frame, dynamics=Dynamics(network))
    cells = replace(cells_of(x, times), are_whole=True)
    assert diffusion(flow, cells) == pytest.approx(SIGMA, rel=1e-3)
    drift = derivatives(flow, cells, "drift", "regression")[0]
    np.testing.assert_allclose(drift, MATRIX, atol=3e-3)
    velocity = derivatives(flow, cells, "velocity", "regression")[0]
    assert np.abs(velocity - MATRIX).max() > 0.1
    scaled = replace(frame, scale=np.full(3, 2.0))
    other = replace(base, frame=scaled, dynamics=Dynamics(Scaled(network)))
    assert diffusion(other, cells) == pytest.approx(SIGMA / 2.0, rel=1e-3)


class Scaled(nn.Module):
    """A field in coordinates half as large."""

    def __init__(self, field):
        super().__init__()
        self.field = field

    def forward(self, t, x):
        return self.field(t, 2.0 * x) / 2.0


def test_without_spreading_there_is_no_diffusion(base, cells):
    whole = replace(cells, are_whole=True)
    assert diffusion(flow_of(base), whole) == pytest.approx(0.0, abs=2e-3)
    one = replace(whole, times=np.zeros(300))
    assert diffusion(flow_of(base), one) == 0.0


def test_a_trend_in_time_is_no_regulation(base):
    """With four times and more, velocities that only rise with time depend on no gene."""
    x, times, _ = diffused(5)
    flow = flow_of(base, drift=1.0)
    found = derivatives(flow, cells_of(x, times), "velocity", "regression")[0]
    np.testing.assert_allclose(found, MATRIX, atol=1e-4)
    late = cells_of(x[times > 1], times[times > 1])
    found = derivatives(flow, late, "velocity", "regression")[0]
    assert np.abs(found - MATRIX).max() > 0.1


def test_variation_is_around_the_trend_and_for_growth_within_snapshots():
    x, times, _ = diffused(5)
    cells = cells_of(x, times)
    line = np.column_stack([np.ones(len(x)), times])
    rest = x - line @ np.linalg.lstsq(line, x, rcond=None)[0]
    np.testing.assert_allclose(variation(cells, "drift")[0], rest.T @ rest / len(x), atol=1e-9)
    within = np.mean([np.cov(x[times == t].T, bias=True) for t in range(5)], axis=0)
    np.testing.assert_allclose(variation(cells, "growth")[0], within, atol=1e-9)
    early = cells_of(x[times < 3], times[times < 3])
    whole = np.cov(early.x.T, bias=True)
    np.testing.assert_allclose(variation(early, "drift")[0], whole, atol=1e-9)


def test_growth_that_differs_between_snapshots_alone_depends_on_no_gene(base):
    x, times, _ = diffused(3)
    flow = flow_of(base, rate=0.0 * RATE)
    heads = {"growth": Linear(np.zeros((1, 3)), drift=1.0)}
    grown = Dynamics(flow.dynamics.velocity, heads=heads, along={"growth": "log_weight"})
    found = derivatives(replace(flow, dynamics=grown), cells_of(x, times), "growth", "regression")
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_both_averages_agree_for_a_curved_field_of_a_normal_population(base):
    """Stein's lemma: the slope of the regression is the mean derivative."""
    rng = np.random.default_rng(3)
    x = rng.normal(1.0, 1.0, size=(60_000, 3)) * base.frame.scale
    one = cells_of(x, np.zeros(len(x)))
    flow = flow_of(base, square=0.4)
    slope = derivatives(flow, one, "velocity", "regression")[0]
    mean = derivatives(flow, one, "velocity", "derivative")[0]
    diagonal = np.diag(MATRIX) + 0.8 * x.mean(axis=0) / base.frame.scale
    np.testing.assert_allclose(np.diag(mean), diagonal, atol=1e-3)
    np.testing.assert_allclose(slope, mean, atol=0.02 * np.abs(base.frame.scale).max())


def test_the_regression_sees_how_velocities_change_in_time(base):
    """Within a time the field is constant; between times it grows with the first coordinate."""
    rng = np.random.default_rng(4)
    times = np.repeat([0.0, 1.0, 2.0], 500)
    x = 0.01 * rng.normal(size=(1500, 3)) * base.frame.scale
    x[:, 0] += times * base.frame.scale[0]
    flow = flow_of(base, np.zeros((3, 3)), drift=1.0)
    slope = derivatives(flow, cells_of(x, times), "velocity", "regression")[0]
    np.testing.assert_allclose(slope[:, 0], base.frame.scale / base.frame.scale[0], rtol=1e-3)
    mean = derivatives(flow, cells_of(x, times), "velocity", "derivative")[0]
    np.testing.assert_allclose(mean, 0.0, atol=1e-12)


def test_directions_without_variation_have_no_slope(base, cells):
    flat = replace(cells, x=cells.x * [1.0, 0.0, 1.0])
    found = derivatives(flow_of(base), flat, "velocity", "regression")
    np.testing.assert_allclose(found[:, :, 1], 0.0, atol=1e-9)
    np.testing.assert_allclose(
        found[:, :, [0, 2]], MATRIX[None][:, :, [0, 2]].repeat(2, 0), atol=1e-4
    )


def test_parts_of_a_group_make_no_difference(base, cells, monkeypatch):
    flow = flow_of(base, square=0.3)
    whole = derivatives(flow, cells, "velocity", "derivative")
    monkeypatch.setattr("cellflow.analysis.genes.regulation._CHUNK", 7)
    np.testing.assert_allclose(derivatives(flow, cells, "velocity", "derivative"), whole, rtol=1e-6)


def test_a_rotation_has_no_divergence_and_is_all_curl(base):
    frame = replace(base.frame, shift=np.zeros(2), scale=np.ones(2))
    flow = replace(base, frame=frame, dynamics=Dynamics(Turning()))
    x = np.random.default_rng(5).normal(size=(30, 2))
    found = rotation(flow, x, np.zeros(30))
    np.testing.assert_allclose(found.share, 1.0)
    np.testing.assert_allclose(found.signed, 2.0)
    assert found.total_share == pytest.approx(1.0)
    np.testing.assert_allclose(flow.divergence(x, 0.0), 0.0, atol=1e-7)


def test_a_gradient_has_no_curl(base):
    symmetric = MATRIX + MATRIX.T
    flow = flow_of(base, symmetric)
    x = np.random.default_rng(6).normal(size=(30, 3))
    found = rotation(flow, x, np.zeros(30))
    np.testing.assert_allclose(found.share, 0.0, atol=1e-10)
    np.testing.assert_allclose(flow.divergence(x, 0.0), np.trace(symmetric), rtol=1e-5)


def test_the_share_is_that_of_the_matrix_in_data_coordinates(base, monkeypatch):
    flow = flow_of(base)
    x = np.random.default_rng(7).normal(size=(25, 3))
    expected = ((MATRIX - MATRIX.T) ** 2).sum() / (4 * (MATRIX**2).sum())
    for size in (10**8, 9 * 8 * 4):
        monkeypatch.setattr("cellflow.analysis.rotation._BLOCK", size)
        found = rotation(flow, x, np.linspace(0.0, 1.0, 25))
        np.testing.assert_allclose(found.share, expected, rtol=1e-4)
        assert found.total_share == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(flow.divergence(x, 0.5), np.trace(MATRIX), rtol=1e-4)


def test_a_field_at_rest_has_share_zero(base):
    found = rotation(flow_of(base, np.zeros((3, 3))), np.ones((4, 3)), np.zeros(4))
    np.testing.assert_array_equal(found.share, 0.0)
    assert found.total_share == 0.0


def test_above_a_hundred_dimensions_the_divergence_is_estimated():
    rng = np.random.default_rng(8)
    snapshots = Snapshots(tuple(Population(rng.normal(size=(40, 120)), float(t)) for t in range(2)))
    training = Training(steps=2, batch_size=16, record_every=1)
    made = fit(snapshots, recipes.ot_cfm(training=training), scale="none")
    flow = replace(made, dynamics=Dynamics(Linear(np.diag(np.linspace(0.0, 1.0, 120)))))
    # Of a diagonal matrix, every random sign gives the trace.
    np.testing.assert_allclose(flow.divergence(np.ones((5, 120)), 0.0), 60.0, rtol=1e-4)

"""The whole spine against closed forms; tolerances are sampling errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import problems
from cellflow import recipes
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Auto, Entropic
from cellflow.fields import MLP
from cellflow.model.fitting import fit
from cellflow.paths import BrownianBridge
from cellflow.synthetic import OrnsteinUhlenbeck
from cellflow.training import Stream


def gaussian_snapshots(n):
    rng = np.random.default_rng(0)
    return Snapshots(
        (
            Population(problems.SOURCE.sample(n, rng), 0.0),
            Population(problems.TARGET.sample(n, rng), 2.0),
        )
    )


def test_the_plan_between_gaussians_costs_the_distance_of_bures_and_wasserstein():
    source, target = gaussian_snapshots(2500).populations
    exact = problems.wasserstein2(problems.SOURCE, problems.TARGET) ** 2
    assert Auto()(source, target).cost == pytest.approx(exact, rel=0.03)


def test_the_plan_between_gaussians_is_the_affine_map():
    source, target = gaussian_snapshots(2500).populations
    mapped = problems.TARGET.mean + (source.x - problems.SOURCE.mean) @ problems.transport_map(
        problems.SOURCE, problems.TARGET
    )
    error = Auto()(source, target).barycentre(target.x) - mapped
    assert np.sqrt((error**2).sum(axis=1).mean()) < 0.2 * np.sqrt(np.trace(problems.TARGET.cov))


def test_a_fit_between_gaussians_moves_along_the_geodesic():
    flow = fit(gaussian_snapshots(2500), recipes.ot_cfm(smoothing=0.02))
    start = problems.SOURCE.sample(4000, np.random.default_rng(1))
    states = flow.simulate(start, 0.0, [0.5, 1.0, 1.5, 2.0])
    for t, x in zip(states.times, states.x, strict=True):
        exact = problems.displacement(problems.SOURCE, problems.TARGET, t / 2.0)
        np.testing.assert_allclose(x.mean(axis=0), exact.mean, atol=0.1)
        np.testing.assert_allclose(np.cov(x.T), exact.cov, atol=0.15)


def test_a_fit_to_ornstein_uhlenbeck_snapshots_finds_its_probability_flow():
    """Close snapshots of an isotropic Gaussian process: transport is the probability flow."""
    system = OrnsteinUhlenbeck()
    snapshots = system.sample(800, np.linspace(0.0, 1.5, 7), np.random.default_rng(0))
    flow = fit(snapshots, recipes.ot_cfm(smoothing=0.02))
    for t in (0.3, 0.7, 1.2):
        x = system.sample(500, [t], np.random.default_rng(1))[0].x
        exact = system.velocity(t, x)
        error = flow.velocity(x, t) - exact
        assert np.sqrt((error**2).sum(axis=1).mean()) < 0.25 * np.sqrt(
            (exact**2).sum(axis=1).mean()
        )
    moved = flow.simulate(snapshots[0].x, 0.0, [1.5]).x[0]
    np.testing.assert_allclose(moved.mean(axis=0), system.mean(1.5), atol=0.1)
    np.testing.assert_allclose(moved.std(axis=0), system.sd(1.5), atol=0.1)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_entropic_plan_and_bridge_are_the_schroedinger_bridge_between_gaussians(sigma):
    snapshots = gaussian_snapshots(1500)
    plan = Entropic(sigma=sigma)(*snapshots.populations)
    stream = Stream(
        snapshots, [plan], BrownianBridge(sigma), batch_size=512, validation=0.0, seed=0
    )
    drawn = [stream.block(k) for k in range(8)]
    t, x = torch.cat([s.t for s in drawn]).numpy(), torch.cat([s.x for s in drawn]).numpy()
    for fraction in (0.25, 0.5, 0.75):
        near = np.abs(t / 2.0 - fraction) < 0.02
        exact = problems.schroedinger_bridge(problems.SOURCE, problems.TARGET, sigma, 2.0, fraction)
        np.testing.assert_allclose(x[near].mean(axis=0), exact.mean, atol=0.08)
        np.testing.assert_allclose(np.cov(x[near].T), exact.cov, atol=0.12)


def test_a_left_out_snapshot_is_just_a_longer_gap():
    """On a process of constant velocity, the fit without the middle snapshot predicts it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2))
    snapshots = Snapshots(tuple(Population(x + [3.0 * t, 0.0], t) for t in (0.0, 1.0, 4.0)))
    quick = replace(
        recipes.ot_cfm(field=MLP), training=replace(recipes.ot_cfm().training, steps=300)
    )
    flow = fit(snapshots.without(1.0), quick)
    predicted = flow.simulate(x, 0.0, [1.0]).x[0]
    np.testing.assert_allclose(predicted.mean(axis=0), [3.0, 0.0], atol=0.15)
    np.testing.assert_allclose(
        flow.velocity(x + [6.0, 0.0], 2.0).mean(axis=0), [3.0, 0.0], atol=0.15
    )

"""The trials beyond the default: every candidate is still a method that predicts."""

import numpy as np
import pytest

from cellflow.core.population import Population, Snapshots
from cellflow.evaluation.baselines import around
from cellflow.model.fitting import couple


@pytest.fixture
def beyond(script, monkeypatch):
    module = script("beyond")
    monkeypatch.setattr(script("bends"), "STEPS", 3)
    return module


@pytest.fixture(scope="module")
def rest():
    """A cloud on an arc, without its position at time 2."""
    rng = np.random.default_rng(0)
    return Snapshots(
        tuple(
            Population(0.1 * rng.normal(size=(40, 2)) + [t, t**2 / 4], t)
            for t in (0.0, 1.0, 3.0, 4.0)
        )
    )


@pytest.mark.parametrize("trial", ["metric", "score", "marginals", "constants"])
def test_all_candidates_of_a_trial_predict(beyond, rest, trial):
    family = beyond.TRIALS[trial]()
    members = {
        **family.shown,
        **{name: c for choices in family.choices.values() for name, c in choices.items()},
    }
    plans, (source, target) = couple(rest, "curved-cfm"), around(rest, 2.0)
    for name, candidate in members.items():
        cloud = candidate(rest, 2.0, plans)
        assert np.isfinite(cloud.x).all(), name
        assert source.x[:, 0].mean() < cloud.weight @ cloud.x[:, 0] < target.x[:, 0].mean(), name

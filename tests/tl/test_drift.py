"""The drift of single cells beside the flow of the population."""

import numpy as np
import pytest
from cellflow.recipes import sf2m

import cellflow as cf
from cellflow.core.population import Snapshots
from cellflow.errors import InputError
from cellflow.model.fitting import fit
from cellflow.training import Training


@pytest.fixture(scope="module")
def resting():
    """Cells at rest: noise and regulation balance, dx = -x dt + dW, so that nothing flows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 2)) * np.sqrt(0.5)
    snapshots = Snapshots.from_arrays(x, np.repeat([0.0, 1.0, 2.0], 500))
    return fit(snapshots, sf2m(sigma="auto", training=Training(steps=600)), progress=False)


def test_a_population_at_rest_does_not_flow_but_its_cells_drift_back(resting):
    x = np.random.default_rng(1).normal(size=(400, 2)) * np.sqrt(0.5)
    sigma = 1.0 / float(np.mean(resting.frame.scale))  # the circuit's own, in model coordinates
    flow, drift = resting.velocity(x, 1.0), resting.drift(x, 1.0, sigma=sigma)
    # The slope of the drift against the position is that of the relaxation; the flow has none.
    assert abs((flow * x).sum() / (x * x).sum()) < 0.15
    assert (drift * x).sum() / (x * x).sum() == pytest.approx(-1.0, abs=0.25)


def test_the_drift_is_the_velocity_and_half_the_score(resting):
    x = np.random.default_rng(2).normal(size=(20, 2))
    scale = np.mean(resting.frame.scale)
    for sigma in (0.2, 1.0, None):
        width = resting.sigma if sigma is None else sigma
        known = resting.velocity(x, 0.7) + 0.5 * (width * scale) ** 2 * resting.score(x, 0.7)
        np.testing.assert_allclose(resting.drift(x, 0.7, sigma=sigma), known, rtol=1e-4, atol=1e-5)


def test_kinds_of_velocity_are_written_and_told_apart(fitted):
    plain = cf.tl.velocity(fitted, genes="all", copy=True)
    drift = cf.tl.velocity(fitted, kind="drift", genes="all", copy=True)
    wide = cf.tl.velocity(fitted, kind="drift", sigma=2.0, copy=True)
    assert plain.uns["velocity_params"]["kind"] == "flow"
    assert "sigma" not in plain.uns["velocity_params"]
    flow = cf.get.flow(fitted)
    assert drift.uns["velocity_params"]["kind"] == "drift"
    assert drift.uns["velocity_params"]["sigma"] == flow.sigma
    assert wide.uns["velocity_params"]["sigma"] == 2.0
    x, t = fitted.obsm["X_pca"], fitted.obs["cf_time"].to_numpy()
    np.testing.assert_allclose(
        wide.obsm["velocity_pca"], flow.drift(x, t, sigma=2.0), rtol=1e-4, atol=1e-4
    )
    assert not np.allclose(drift.layers["velocity"], plain.layers["velocity"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "score"}, "expected 'flow'"),
        ({"kind": None}, "expected 'flow'"),
        ({"sigma": 1.0}, "kind='drift'"),
        ({"kind": "drift", "sigma": 0.0}, "above 0"),
        ({"kind": "drift", "sigma": float("nan")}, "finite"),
        ({"kind": "drift", "sigma": "wide"}, "number"),
    ],
)
def test_what_makes_no_drift_is_refused(fitted, options, said):
    with pytest.raises(InputError, match=said):
        cf.tl.velocity(fitted, **options)


def test_a_fit_without_a_score_has_no_drift(fitted_as):
    plain = fitted_as("default")
    with pytest.raises(InputError, match="score=True"):
        cf.tl.velocity(plain, kind="drift")
    assert "velocity_pca" not in plain.obsm

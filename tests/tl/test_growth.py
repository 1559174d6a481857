"""With a rate of growth along the paths, results have the weights w * exp(log_weight)."""

import numpy as np
import pytest
import torch

import cellflow as cf
from cellflow.errors import InputError
from cellflow.fields.dynamics import Dynamics

RATE = 0.25


@pytest.fixture
def growing(fitted, monkeypatch):
    """A fit in which every cell grows at a constant rate."""

    def rates(self):
        return {"log_weight": lambda t, x: torch.full_like(x[:, 0], RATE)}

    monkeypatch.setattr(Dynamics, "rates", property(rates))
    return fitted


def test_descendants_and_ancestors(growing):
    for call, sign in ((cf.tl.push, 1.0), (cf.tl.pull, -1.0)):
        chosen = growing.obs_names[growing.obs["hours"] == (0.0 if sign > 0 else 48.0)]
        moved = call(growing, chosen, time=12.0)
        gap = 12.0 if sign > 0 else 36.0
        expected = np.exp(sign * RATE * gap) / len(chosen)
        np.testing.assert_allclose(moved.obs["weight"], expected, rtol=1e-5)


def test_a_prediction_keeps_the_share_of_each_source(growing):
    later = cf.tl.predict(growing, time=30.0)
    weight = later.obs["weight"].groupby(later.obs["source_time"]).sum()
    np.testing.assert_allclose(weight, [0.5, 0.5], rtol=1e-6)
    assert weight.sum() == pytest.approx(1.0)


def test_a_density_with_growth_is_refused(growing):
    with pytest.raises(InputError, match="changes the mass of cells"):
        cf.tl.log_density(growing)

"""A fitted dynamics is any object with its methods: a closed form is analysed like a fit."""

from dataclasses import dataclass

import numpy as np
import pytest
from cellflow.recipes import ot_cfm

from cellflow.analysis.prediction import predict
from cellflow.core.frame import Frame
from cellflow.core.population import Clock
from cellflow.errors import InputError
from cellflow.model.base import FittedDynamics
from cellflow.model.fitting import fit
from cellflow.simulation import Trajectories
from cellflow.synthetic import OrnsteinUhlenbeck
from cellflow.training import Training

SYSTEM = OrnsteinUhlenbeck()
TIMES = np.array([0.0, 1.0, 2.0])


@dataclass(frozen=True, eq=False)
class ClosedForm(FittedDynamics):
    """The probability flow of an Ornstein-Uhlenbeck process: distances from the mean grow like its
    deviation.
    """

    frame: Frame
    clock: Clock
    times: np.ndarray
    recipe: dict
    plans: dict
    threads: int

    def velocity(self, x, t, *, context=None):
        return SYSTEM.velocity(t, x)

    def simulate(self, x, t0, times, *, method="rk4", step=None, context=None):
        about = (x - SYSTEM.mean(t0)) / SYSTEM.sd(t0)
        states = np.stack([SYSTEM.mean(t) + SYSTEM.sd(t) * about for t in np.atleast_1d(times)])
        return Trajectories(np.atleast_1d(times), states, {}, np.arange(len(x)))


@pytest.fixture
def snapshots():
    return SYSTEM.sample(3000, TIMES, np.random.default_rng(0))


@pytest.fixture
def flow(snapshots):
    frame = Frame(np.zeros(2), np.ones(2))
    return ClosedForm(frame, snapshots.clock, TIMES, {"name": "closed form"}, {}, 1)


def test_a_closed_form_predicts_a_population(flow, snapshots):
    found = predict(flow, snapshots, 1.5)
    assert np.abs(found.x.mean(axis=0) - SYSTEM.mean(1.5)).max() < 0.05
    assert np.abs(found.x.std(axis=0) - SYSTEM.sd(1.5)).max() < 0.05


def test_what_it_cannot_answer_is_an_error(flow):
    x = np.zeros((2, 2))
    assert flow.heads == ("velocity",)
    np.testing.assert_array_equal(flow.head("velocity", x, 1.0), flow.velocity(x, 1.0))
    for ask in (
        lambda: flow.score(x, 1.0),
        lambda: flow.drift(x, 1.0),
        lambda: flow.diffuse(x, 0.0, [1.0]),
        lambda: flow.sample(3, 1.0),
    ):
        with pytest.raises(InputError, match="method 'closed form'"):
            ask()
    with pytest.raises(InputError, match="No head 'growth'"):
        flow.head("growth", x, 1.0)


def test_a_fit_is_one_and_has_the_help_of_the_protocol(snapshots):
    import inspect

    made = fit(snapshots.without(1.0), ot_cfm(training=Training(steps=2)), progress=False)
    assert FittedDynamics in type(made).__mro__
    for name in ("velocity", "score", "drift", "simulate", "diffuse", "sample", "head"):
        assert "Returns" in inspect.getdoc(getattr(made, name))

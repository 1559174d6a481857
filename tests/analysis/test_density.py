"""The density of the population at any time, for dynamics whose densities are known."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import nn

import problems
from cellflow.analysis.density import EvolvingDensity
from cellflow.core.frame import Frame
from cellflow.core.population import Clock, Population
from cellflow.densities import GaussianMixture, fit_density
from cellflow.errors import InputError
from cellflow.fields import MLP
from cellflow.fields.dynamics import Dynamics
from cellflow.model.flow import Flow

CLOCK = Clock(1.0, 3.0, 1.0, 1.0)
FRAME = Frame(np.array([2.0, -1.0]), np.array([0.5, 4.0]))
SOURCE = GaussianMixture(
    np.ones(1), problems.SOURCE.mean[None], np.linalg.cholesky(problems.SOURCE.cov)[None]
)
X = np.random.default_rng(0).normal(size=(7, 2))


class Linear(nn.Module):
    """The spiral in model coordinates, such that it is the spiral of `problems` in data
    coordinates.
    """

    def __init__(self):
        super().__init__()
        scale = np.diag(FRAME.scale)
        inverse = np.diag(1 / FRAME.scale)
        self.matrix = nn.Parameter(
            torch.from_numpy(inverse @ problems.SPIRAL.matrix @ scale).float()
        )
        offset = inverse @ (problems.SPIRAL.matrix @ FRAME.shift + problems.SPIRAL.offset)
        self.offset = nn.Parameter(torch.from_numpy(offset).float())

    def forward(self, t, x):
        return x @ self.matrix.T + self.offset


def make_flow(velocity, frame=FRAME, n_context=0):
    return Flow(
        dynamics=Dynamics(velocity),
        frame=frame,
        clock=CLOCK,
        times=np.array([1.0, 2.0, 3.0]),
        recipe={},
        plans={},
        history={},
        seed=0,
        threads=1,
        seconds=0.0,
        n_context=n_context,
    )


def spiralled(t):
    flow = expm((t - 1.0) * problems.SPIRAL.matrix)
    mean = problems.SPIRAL.solution(problems.SOURCE.mean[None], t - 1.0)[0]
    return problems.Gaussian(mean, flow @ problems.SOURCE.cov @ flow.T)


@pytest.fixture
def exact():
    return EvolvingDensity(make_flow(Linear()), SOURCE, 1.0)


@pytest.fixture(scope="module")
def network():
    """An untrained network in three dimensions: a flow without symmetries."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        field = MLP(3, CLOCK)
    source = fit_density(np.random.default_rng(0).normal(size=(200, 3)), method="gmm")
    return EvolvingDensity(make_flow(field, Frame(np.ones(3), np.full(3, 2.0))), source, 1.0)


@pytest.mark.parametrize("t", [1.0, 1.7, 3.0])
def test_the_density_in_data_coordinates(exact, t):
    np.testing.assert_allclose(exact.log_prob(X, t), spiralled(t).log_density(X), atol=1e-4)


def test_a_time_for_each_cell(exact):
    t = np.array([1.0, 3.0, 1.7, 1.7, 2.0, 3.0, 1.0])
    expected = [spiralled(s).log_density(x[None])[0] for s, x in zip(t, X, strict=True)]
    np.testing.assert_allclose(exact.log_prob(X, t), expected, atol=1e-4)


def test_the_source_may_be_known_later(exact):
    later = spiralled(2.5)
    source = GaussianMixture(np.ones(1), later.mean[None], np.linalg.cholesky(later.cov)[None])
    found = EvolvingDensity(exact.flow, source, 2.5).log_prob(X, 1.2)
    np.testing.assert_allclose(found, spiralled(1.2).log_density(X), atol=1e-4)


def test_samples_follow_the_density(exact):
    drawn, log_p = exact.sample_with_log_prob(4000, 2.2, np.random.default_rng(0))
    expected = spiralled(2.2)
    np.testing.assert_allclose(drawn.mean(axis=0), expected.mean, atol=0.08)
    np.testing.assert_allclose(np.cov(drawn.T), expected.cov, atol=0.1)
    np.testing.assert_allclose(log_p, expected.log_density(drawn), atol=1e-4)


@pytest.mark.parametrize("t", [1.0, 1.5, 3.0])
def test_the_density_of_samples_is_that_of_their_own_solve(network, t):
    drawn, log_p = network.sample_with_log_prob(50, t, np.random.default_rng(0))
    np.testing.assert_allclose(network.log_prob(drawn, t), log_p, atol=1e-3)
    np.testing.assert_array_equal(network.sample(50, t, np.random.default_rng(0)), drawn)


def test_p9_a_cell_does_not_depend_on_the_others(network):
    x = np.random.default_rng(1).normal(size=(1100, 3))
    t = np.where(np.arange(1100) % 2, 2.0, 3.0)
    source = fit_density(x, method="nsf", training=quick())
    density = EvolvingDensity(network.flow, source, 1.0, step=0.5)
    every = density.log_prob(x, t)
    np.testing.assert_array_equal(density.log_prob(x[5:8], t[5:8]), every[5:8])
    np.testing.assert_array_equal(density.log_prob(x[::-1], t[::-1]), every[::-1])


def quick():
    from cellflow.densities import MaximumLikelihood

    return MaximumLikelihood(steps=10, record_every=10)


def test_the_source_is_learned_from_a_snapshot(exact):
    cells = problems.SOURCE.sample(2000, np.random.default_rng(0))
    weight = np.where(cells[:, 0] > 0, 1.0, 0.0)
    population = Population(cells, 1.0, weight)
    density = EvolvingDensity.fitted(exact.flow, population, source="gmm")
    assert (density.sample(500, 1.0, np.random.default_rng(0))[:, 0] > -0.3).mean() > 0.97
    assert density.time == 1.0


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (
            lambda d: d.log_prob(X, 0.9),
            r"Time 0\.9 \(7 in all\) lies outside the times of the fit, 1 to 3",
        ),
        (lambda d: d.log_prob(X, np.nan), "Time nan"),
        (
            lambda d: d.log_prob(X, np.zeros(3)),
            r"t has shape \(3,\); expected one time, or one per cell \(7,\)",
        ),
        (lambda d: d.log_prob(X[:, :1], 1.0), r"shape \(7, 1\); the flow lives in \(n, 2\)"),
        (lambda d: d.log_prob(X * [1.0, np.inf], 1.0), "cell 0, column 1 .*is not finite"),
        (lambda d: d.sample(5, 4.0, np.random.default_rng(0)), "outside the times of the fit"),
        (lambda d: d.sample(-1, 2.0, np.random.default_rng(0)), "n=-1"),
        (lambda d: EvolvingDensity(d.flow, SOURCE, 0.0), "Time 0 "),
        (lambda d: EvolvingDensity(d.flow, SOURCE, 1.0, step=0.0), r"step=0\.0"),
        (
            lambda _d: EvolvingDensity(make_flow(Linear(), n_context=2), SOURCE, 1.0),
            "conditional on 2 context features",
        ),
        (
            lambda _d: EvolvingDensity.fitted(make_flow(Linear(), n_context=1), Population(X, 1.0)),
            "conditional on 1 context",
        ),
        (lambda d: EvolvingDensity.fitted(d.flow, Population(X, 1.0)), "7 cells"),
    ],
)
def test_bad_questions(exact, question, words):
    with pytest.raises(InputError, match=words):
        question(exact)

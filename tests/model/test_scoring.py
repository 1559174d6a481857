"""A score of one population: three objectives, each alone; sampling; a sheet in many dimensions."""

import numpy as np
import pytest

import problems
from cellflow import Population
from cellflow.errors import InputError
from cellflow.fields.ladder import Ladder
from cellflow.model.scoring import fit_score
from cellflow.objectives import (
    denoising_score_matching,
    implicit_score_matching,
    sliced_score_matching,
)
from cellflow.training import Training

QUICK = Training(steps=400)


def two_modes(n, rng):
    """Song and Ermon (2019): one fifth and four fifths, far apart."""
    return np.where(rng.random((n, 1)) < 0.2, -5.0, 5.0) + rng.normal(size=(n, 2))


@pytest.mark.parametrize(
    "objective", [denoising_score_matching, sliced_score_matching, implicit_score_matching]
)
def test_each_objective_alone_learns_the_score_of_a_population(objective):
    x = problems.SOURCE.sample(2000, np.random.default_rng(0))
    model = fit_score(Population(x, 3.0), objective=objective, training=QUICK, progress=False)
    test = problems.SOURCE.sample(500, np.random.default_rng(1))
    for noise in (0.3, 1.0):
        # The level is in model coordinates, where one number scales all dimensions.
        width = noise * model.frame.scale[0]
        noisy = problems.Gaussian(problems.SOURCE.mean, problems.SOURCE.cov + width**2 * np.eye(2))
        exact, found = noisy.score(test), model.score(test, noise=noise)
        assert np.linalg.norm(found - exact) < 0.25 * np.linalg.norm(exact)


def test_sampling_gets_the_weights_of_two_modes_right():
    x = two_modes(3000, np.random.default_rng(0))
    model = fit_score(
        Population(x, 0.0), ladder=Ladder.between(0.02, 5.0, n_dims=2), progress=False
    )
    drawn = model.sample(3000, random_state=1)
    share = (x.sum(axis=1) < 0).mean()
    assert (drawn.sum(axis=1) < 0).mean() == pytest.approx(share, abs=0.05)
    for sign in (-1, 1):
        mode = drawn[np.sign(drawn.sum(axis=1)) == sign]
        np.testing.assert_allclose(mode.mean(axis=0), 5 * sign, atol=0.3)
        np.testing.assert_allclose(mode.std(axis=0), 1, atol=0.25)


def test_a_seed_is_a_result_and_more_cells_are_the_same_and_others():
    x = problems.SOURCE.sample(200, np.random.default_rng(0))
    one, other = (
        fit_score(Population(x, 0.0), training=Training(steps=20), progress=False) for _ in range(2)
    )
    few = one.sample(5, random_state=2)
    np.testing.assert_array_equal(few, other.sample(5, random_state=2))
    np.testing.assert_array_equal(few, one.sample(9, random_state=2)[:5])
    assert not np.isclose(few, one.sample(5, random_state=3)).any()


def test_denoising_without_noise_levels_is_refused():
    x = problems.SOURCE.sample(50, np.random.default_rng(0))
    with pytest.raises(InputError, match="carry none"):
        fit_score(Population(x, 0.0), levels=False, progress=False)
    model = fit_score(
        Population(x, 0.0),
        levels=False,
        objective=implicit_score_matching,
        training=Training(steps=5),
        progress=False,
    )
    assert np.isfinite(model.score(x, noise=0.0)).all()


def test_cells_without_weight_take_no_part():
    x = problems.SOURCE.sample(40, np.random.default_rng(0))
    weight = np.zeros(40)
    weight[:4] = 1.0
    model = fit_score(
        Population(x, 0.0, weight), training=Training(steps=5, validation=0.5), progress=False
    )
    assert np.isfinite(model.score(x, noise=0.5)).all()
    np.testing.assert_array_equal(model.score(x, noise=0.5)[:3], model.score(x[:3], noise=0.5))

import numpy as np
import pytest
from scipy.stats import norm

from cellflow.errors import InputError
from cellflow.metrics import c2st


def gaussians(n, d=3, shift=0.0, seed=0):
    x, y = np.random.default_rng(seed).standard_normal((2, n, d))
    y[:, 0] += shift
    return x, y


def near(found, expected, times=3.0):
    assert abs(found.accuracy - expected) < times * found.standard_error, found


@pytest.mark.parametrize("d", [1, 5, 30])
@pytest.mark.parametrize("seed", [0, 1])
def test_one_distribution_cannot_be_told_apart(d, seed):
    near(c2st(*gaussians(250, d, seed=seed), random_state=seed), 0.5)


def test_the_standard_error_is_what_repeats_vary_by():
    """Over draws of both clouds; the folds' shared training cells included."""
    found = [c2st(*gaussians(60, 2, seed=seed)) for seed in range(30)]
    spread, said = np.std([f.accuracy for f in found]), np.mean([f.standard_error for f in found])
    assert 0.5 * said < spread < 1.3 * said
    near(found[0], np.mean([f.accuracy for f in found]))


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_shifted_gaussians_have_the_accuracy_of_the_best_classifier(shift):
    """The best one cuts half-way, and is right with probability Phi(shift / 2)."""
    found = c2st(*gaussians(1000, 2, shift=shift))
    best = norm.cdf(shift / 2)
    near(found, best)
    assert found.accuracy < best + 0.02


def test_far_apart_is_always_right():
    x, y = gaussians(100, shift=50.0)
    found = c2st(x, y)
    assert (found.accuracy, found.standard_error, found.n_points, found.n_folds) == (
        1.0,
        0.0,
        100,
        5,
    )


def wider(rng, x):
    return 1.7 * rng.standard_normal(x.shape)


def correlated(rng, x):
    return (
        rng.standard_normal(x.shape)
        @ np.linalg.cholesky([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]]).T
    )


def two_modes(rng, x):
    y = rng.standard_normal(x.shape)
    y[:, 0] = rng.choice([-0.95, 0.95], len(x)) + np.sqrt(1 - 0.95**2) * y[:, 0]
    return y


def on_a_sphere(rng, x):
    y = rng.standard_normal(x.shape)
    return np.sqrt(3) * y / np.linalg.norm(y, axis=1, keepdims=True)


@pytest.mark.parametrize("other", [wider, correlated, two_modes, on_a_sphere])
def test_differences_that_no_line_shows_are_found(other):
    """The means are equal, for the last two the covariances, too."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 3))
    found = c2st(x, other(rng, x))
    assert found.accuracy > 0.5 + 3 * found.standard_error


def test_symmetric_and_independent_of_row_order():
    x, y = gaussians(80, shift=0.7)
    a, b = np.random.default_rng(1).random((2, 80))
    found = c2st(x, y, x_weight=a, y_weight=b)
    assert c2st(y, x, x_weight=b, y_weight=a) == found
    i, j = (np.random.default_rng(seed).permutation(80) for seed in (2, 3))
    assert c2st(x[i], y[j], x_weight=a[i], y_weight=b[j]) == found


def test_seeds():
    x, y = gaussians(80, shift=0.7)
    assert c2st(x, y, random_state=1) == c2st(x, y, random_state=1) != c2st(x, y, random_state=2)


def test_units_do_not_matter():
    x, y = gaussians(80, shift=0.7)
    assert c2st(1024.0 * x, 1024.0 * y).accuracy == c2st(x, y).accuracy


def test_weights_are_the_population():
    """Cells of weight zero do not count; a mixture differs from its parts unless the weights
    are equal.
    """
    x, y = gaussians(300)
    far = 30.0 + np.random.default_rng(1).standard_normal((300, 3))
    found = c2st(x, np.concatenate([far, y]), y_weight=np.repeat([0.0, 1.0], 300))
    assert found == c2st(x, y)
    one, other = np.concatenate([x[:150], far[:150]]), np.concatenate([y[:150], far[150:]])
    rare, even = np.repeat([0.9, 0.1], 150), np.repeat([0.5, 0.5], 150)
    near(c2st(one, other, x_weight=rare, y_weight=rare), 0.5)
    # Where all are far, one says `other`; where all are near, `one`: (0.9 + 0.5) / 2.
    near(c2st(one, other, x_weight=rare, y_weight=even), 0.7)


def test_copies_teach_nothing():
    """A cell that is drawn again and again, or stands in both clouds, is in one fold only."""
    x, y = gaussians(400, 2)
    skewed = np.where(np.arange(400) < 60, 1.0, 1e-3)
    near(c2st(x, y, x_weight=skewed), 0.5)
    assert c2st(x, x).accuracy == 0.5
    assert c2st(x, x + 1e-9).accuracy < 0.4  # near copies, as documented


def test_no_more_points_than_asked_for():
    x, y = gaussians(90)
    assert c2st(x, y, max_cells=50).n_points == 50
    assert c2st(x[:30], y).n_points == 30


def test_the_callers_threads_and_filters_stay():
    import warnings

    from threadpoolctl import threadpool_info

    x, y = gaussians(40)
    c2st(x, y)
    before = (
        [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()],
        list(warnings.filters),
    )
    c2st(x, y)
    assert (
        [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()],
        list(warnings.filters),
    ) == before


X = np.random.default_rng(0).standard_normal((40, 2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"y": X[:19]}, r"`y` has 19 different cells among the 19 .* at least 20"),
        ({"y": np.repeat(X[:4], 10, axis=0)}, "`y` has 4 different cells among the 40"),
        ({"y": X, "x_weight": np.r_[np.ones(5), np.zeros(35)]}, "`x` has 5 different cells"),
        (
            {"y": X, "x_weight": np.r_[np.ones(5), np.full(35, 1e-9)]},
            "`x` has 5 different cells among the 40",
        ),
        ({"y": X[:, :1]}, "`x` has 2 dimensions and `y` has 1"),
        ({"y": np.full((40, 2), np.inf)}, "`y` has inf in row 0"),
        ({"y": X, "y_weight": np.ones(3)}, "`y_weight` must be 40"),
        ({"y": X, "n_folds": 1}, "n_folds=1"),
        ({"y": X, "n_folds": 21}, "n_folds=21; expected 2 to 20"),
        ({"y": X, "max_cells": 10}, "max_cells=10; expected an integer of at least 20"),
        ({"y": X, "random_state": -1}, "is no seed"),
    ],
)
def test_unusable_input_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        c2st(X, **arguments)

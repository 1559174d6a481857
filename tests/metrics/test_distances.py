import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from scipy.stats import energy_distance as energy_on_a_line

from cellflow.errors import InputError
from cellflow.metrics import _statistics as pairs
from cellflow.metrics import (
    energy_distance,
    mean_error,
    mmd,
    moment_errors,
    sliced_wasserstein,
    variance_ratio,
    wasserstein,
)


def sliced_w2(x, y, **arguments):
    return sliced_wasserstein(x, y, p=2, **arguments)


DISTANCES = [energy_distance, mmd, sliced_wasserstein, sliced_w2, mean_error]
distances = pytest.mark.parametrize("distance", DISTANCES)
everything = pytest.mark.parametrize("distance", [*DISTANCES, variance_ratio])


def two(n=40, m=30, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), 0.7 + 1.5 * rng.standard_normal((m, d))


@distances
def test_zero_on_itself_symmetric_and_positive(distance):
    x, y = two()
    assert distance(x, x[::-1]) == pytest.approx(0.0, abs=1e-12)
    assert distance(y, x) == pytest.approx(distance(x, y))
    assert distance(x, y) > 0.01


@everything
def test_a_weight_is_as_many_copies(distance):
    x, y = two(10, 12)
    copies = np.arange(1, 11)
    assert distance(x, y, x_weight=7.0 * copies) == pytest.approx(
        distance(np.repeat(x, copies, axis=0), y)
    )
    assert distance(y, x, y_weight=copies) == pytest.approx(
        distance(y, np.repeat(x, copies, axis=0))
    )
    without = distance(x, y, x_weight=np.r_[np.ones(9), 0.0])
    assert without == pytest.approx(distance(x[:9], y))


@pytest.mark.parametrize(
    ("distance", "power"),
    [
        (energy_distance, 1),
        (mmd, 0),
        (sliced_wasserstein, 1),
        (sliced_w2, 1),
        (mean_error, 1),
        (variance_ratio, 0),
    ],
)
def test_units(distance, power):
    x, y = two()
    assert distance(8.0 * x, 8.0 * y) == pytest.approx(8.0**power * distance(x, y))
    assert distance(x + 1e6, y + 1e6) == pytest.approx(distance(x, y), rel=1e-6)


def test_energy_distance_agrees_with_scipy_on_a_line_and_with_all_pairs():
    rng = np.random.default_rng(0)
    x, y, a, b = (
        rng.standard_normal(30),
        1 + rng.standard_normal(20),
        rng.random(30),
        rng.random(20),
    )
    ours = energy_distance(x[:, None], y[:, None], x_weight=a, y_weight=b)
    assert ours == pytest.approx(energy_on_a_line(x, y, a, b) ** 2)
    x, y = two()
    slow = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert energy_distance(x, y) == pytest.approx(slow)


def test_energy_distance_of_two_samples_is_what_is_said_of_it():
    """Of one population, on average: (1/n + 1/m) times the mean distance of two cells, times (n -
    1) / n of each.
    """
    rng = np.random.default_rng(0)
    n, m, d = 50, 80, 4
    found = np.mean(
        [
            energy_distance(rng.standard_normal((n, d)), rng.standard_normal((m, d)))
            for _ in range(200)
        ]
    )
    typical = np.mean(pdist(rng.standard_normal((2000, d))))
    assert found == pytest.approx((1 / n + 1 / m) * typical, rel=0.02)


def test_mmd_agrees_with_the_double_sum_and_the_bandwidth_is_the_median():
    x, y = two(60, 60)
    a, b = np.random.default_rng(1).random((2, 60))

    def mean_kernel(x, y, a, b, width):
        square = cdist(x, y, "sqeuclidean")
        values = np.mean(
            [np.exp(-square / (2 * (s * width) ** 2)) for s in (0.25, 0.5, 1, 2, 4)], axis=0
        )
        return a @ values @ b / (a.sum() * b.sum())

    slow = (
        mean_kernel(x, x, a, a, 1.3)
        + mean_kernel(y, y, b, b, 1.3)
        - 2 * mean_kernel(x, y, a, b, 1.3)
    )
    assert mmd(x, y, bandwidth=1.3, x_weight=a, y_weight=b) == pytest.approx(slow)
    width = np.median(pdist(np.concatenate([x, y])))
    assert pairs.median_distance(
        pairs.Two(x, y, np.full(60, 1 / 60), np.full(60, 1 / 60))
    ) == pytest.approx(width, rel=0.02)
    assert mmd(x, y) == pytest.approx(mmd(x, y, bandwidth=width), rel=0.02)


def test_mmd_of_cells_that_all_coincide_is_zero():
    assert mmd(np.ones((4, 2)), np.ones((3, 2))) == 0.0


def test_tiles_change_nothing(monkeypatch):
    x, y = two(90, 70)
    whole = energy_distance(x, y), mmd(x, y)
    monkeypatch.setattr(pairs, "_TILE", 200)
    assert (energy_distance(x, y), mmd(x, y)) == pytest.approx(whole)


@pytest.mark.parametrize("p", [1, 2])
def test_on_a_line_the_slice_is_the_whole(p):
    x, y = two(d=1)
    weight = np.random.default_rng(2).random(40)
    assert sliced_wasserstein(x, y, p=p, x_weight=weight) == pytest.approx(
        wasserstein(x, y, p=p, x_weight=weight)
    )


def test_slices_of_a_translation():
    """W2 of each shadow is the step's own: on average the step over the root of the dimension, and
    smaller than W.
    """
    x, y = two(d=4)
    step = np.array([0.0, 3.0, 0.0, 4.0])
    assert sliced_w2(x, x + step, n_projections=4000) == pytest.approx(5.0 / 2.0, rel=0.03)
    assert sliced_wasserstein(x, y) < wasserstein(x, y)
    assert (
        sliced_wasserstein(x, y, random_state=1)
        != sliced_wasserstein(x, y)
        == sliced_wasserstein(x, y, random_state=0)
    )


def test_slices_of_gaussians():
    """Shadows of isotropic Gaussians are Gaussians: SW2 of widths 1 and 2 is 1."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 4000, 3))
    assert sliced_w2(x, 2 * y) == pytest.approx(1.0, rel=0.05)


def test_moments_in_closed_form():
    x, y = two()
    assert mean_error(x, x + [3.0, 4.0, 0.0]) == pytest.approx(5.0)
    assert mean_error(x, y) <= wasserstein(x, y)
    assert variance_ratio(3.0 * x, x) == pytest.approx(9.0)
    assert variance_ratio(x, y) == pytest.approx(
        np.trace(np.cov(x.T, ddof=0)) / np.trace(np.cov(y.T, ddof=0))
    )
    assert variance_ratio(np.ones((5, 3)), y) == 0.0


def test_moment_errors_of_genes():
    rng = np.random.default_rng(0)
    observed = rng.gamma(2.0, size=(50, 6)) * np.arange(1, 7)
    found = moment_errors(2.0 * observed + 1.0, observed)
    mean, variance = observed.mean(axis=0), observed.var(axis=0)
    np.testing.assert_allclose(found.mean, mean + 1.0)
    np.testing.assert_allclose(found.variance, 3.0 * variance)
    assert found.mean_rmse == pytest.approx(np.sqrt(np.mean((mean + 1.0) ** 2)))
    assert found.variance_rmse == pytest.approx(3.0 * np.sqrt(np.mean(variance**2)))
    assert (found.mean_correlation, found.variance_correlation) == (
        pytest.approx(1.0),
        pytest.approx(1.0),
    )
    weight = rng.random(50)
    weighted = moment_errors(observed, observed, predicted_weight=weight)
    np.testing.assert_allclose(weighted.mean, np.average(observed, axis=0, weights=weight) - mean)
    assert np.isnan(moment_errors(np.ones((3, 2)), observed[:, :2]).mean_correlation)


X = np.random.default_rng(0).standard_normal((5, 2))


@everything
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"y": X[:0]}, r"`y` has shape \(0, 2\)"),
        ({"y": X[:, :1]}, "`x` has 2 dimensions and `y` has 1"),
        ({"y": X * np.nan}, "`y` has nan in row 0, column 0"),
        ({"y": X, "x_weight": np.ones(2)}, "`x_weight` must be 5"),
        ({"y": X, "y_weight": -np.ones(5)}, "`y_weight` must be 5"),
    ],
)
def test_unusable_input_is_refused(distance, arguments, said):
    with pytest.raises(InputError, match=said):
        distance(X, **arguments)


def test_unusable_options_are_refused():
    with pytest.raises(InputError, match="bandwidth=0; expected a finite number above 0"):
        mmd(X, X, bandwidth=0)
    with pytest.raises(InputError, match="n_projections=0; expected a positive integer"):
        sliced_wasserstein(X, X, n_projections=0)
    with pytest.raises(InputError, match="p=3 is not supported"):
        sliced_wasserstein(X, X, p=3)
    with pytest.raises(InputError, match="All cells of `y` are at one position"):
        variance_ratio(X, np.full((3, 2), 0.1))

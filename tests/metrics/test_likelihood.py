"""The held-out negative log-likelihood."""

import numpy as np
import pytest

from cellflow.errors import InputError
from cellflow.metrics import negative_log_likelihood


def test_of_a_normal_distribution_it_is_the_entropy():
    x = np.random.default_rng(0).normal(size=(20000, 3))
    log_p = -0.5 * (x**2).sum(axis=1) - 1.5 * np.log(2 * np.pi)
    found = negative_log_likelihood(log_p, 3)
    entropy = 1.5 * np.log(2 * np.pi * np.e)
    assert abs(found.mean - entropy) < 4 * found.standard_error
    assert found.per_dim == pytest.approx(found.mean / 3)
    assert found.standard_error == pytest.approx((1.5 / 20000) ** 0.5, rel=0.05)


def test_weights_are_cells_counted_more_often():
    log_p = np.array([-1.0, -2.0, -5.0])
    weighted = negative_log_likelihood(log_p, 2, weight=np.array([2.0, 1.0, 0.0]))
    assert weighted.mean == pytest.approx(4 / 3)
    even = negative_log_likelihood(log_p, 2, weight=np.full(3, 7.0))
    assert even == pytest.approx(negative_log_likelihood(log_p, 2))
    assert even.standard_error == pytest.approx(log_p.std(ddof=1) / 3**0.5)


def test_the_standard_error_is_that_of_repeated_draws():
    rng = np.random.default_rng(0)
    weight = rng.gamma(1.0, size=400)
    found = [negative_log_likelihood(rng.normal(size=400), 1, weight=weight) for _ in range(300)]
    assert np.mean([f.standard_error for f in found]) == pytest.approx(
        np.std([f.mean for f in found]), rel=0.12
    )


def test_a_cell_that_is_impossible():
    log_p = np.array([-1.0, -np.inf])
    assert negative_log_likelihood(log_p, 1).mean == np.inf
    assert negative_log_likelihood(log_p, 1, weight=np.array([1.0, 0.0])).mean == 1.0
    assert np.isnan(negative_log_likelihood(log_p[:1], 1).standard_error)


@pytest.mark.parametrize(
    ("log_p", "weight", "words"),
    [
        (np.zeros((2, 2)), None, r"shape \(2, 2\)"),
        (np.zeros(0), None, r"shape \(0,\)"),
        (np.array([0.0, np.nan]), None, "1 values that are no numbers"),
        (np.zeros(2), np.ones(3), "weight must be 2"),
        (np.zeros(2), -np.ones(2), "non-negative"),
        (np.zeros(2), np.zeros(2), "not all zero"),
    ],
)
def test_bad_input(log_p, weight, words):
    with pytest.raises(InputError, match=words):
        negative_log_likelihood(log_p, 2, weight=weight)

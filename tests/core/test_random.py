"""Systematic resampling: shares to within one draw, nothing without weight, order."""

import numpy as np
import pytest

from cellflow.core._random import shuffled, stream, systematic

WEIGHTS = {
    "equal": np.full(7, 1 / 7),
    "any": np.random.default_rng(0).dirichlet(np.ones(20)),
    "zeros": np.array([0.0, 0.0, 3.0, 0.0, 1.0, 0.0]),
    "whole units": np.array([5, 0, 2**51, 3]),
    "extreme": np.array([1e-300, 1.0, 1e-17, 0.0]),
}


@pytest.mark.parametrize("start", [0.0, 0.3, np.nextafter(1.0, 0.0)])
@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
def test_rows_stand_for_weights(weight, start):
    rows = systematic(weight, 1000, start)
    assert (np.diff(rows) >= 0).all()
    counts = np.bincount(rows, minlength=len(weight))
    assert (np.abs(counts - 1000 * weight / weight.sum()) <= 1).all()
    assert not counts[weight == 0].any()


def test_equal_weights_give_every_row_once():
    np.testing.assert_array_equal(systematic(np.full(7, 1 / 7), 7, 0.5), np.arange(7))


def test_a_generator_gives_the_place():
    weight = WEIGHTS["any"]
    np.testing.assert_array_equal(
        systematic(weight, 50, stream(3)), systematic(weight, 50, stream(3).random())
    )


def test_shuffled_rows_stand_for_weights_in_any_order():
    weight = WEIGHTS["any"]
    rows = shuffled(weight, 1000, stream(0))
    assert (np.diff(rows) < 0).any()
    counts = np.bincount(rows, minlength=len(weight))
    assert (np.abs(counts - 1000 * weight) < 1).all()

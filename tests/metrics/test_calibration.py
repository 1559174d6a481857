import numpy as np
import pytest
from scipy.stats import norm

from cellflow.errors import InputError
from cellflow.metrics import calibration

LEVELS = [0.0, 0.5, 0.8, 0.95, 1.0]


def test_one_population_is_calibrated():
    x, y = np.random.default_rng(0).standard_normal((2, 5000, 3))
    found = calibration(x, y, level=LEVELS)
    assert found.coverage.shape == (5, 3)
    np.testing.assert_allclose(found.coverage, np.array(LEVELS)[:, None] * np.ones(3), atol=0.025)


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_a_prediction_of_another_width_in_closed_form(width):
    rng = np.random.default_rng(0)
    predicted, observed = width * rng.standard_normal((20_000, 1)), rng.standard_normal((20_000, 1))
    level = np.array([0.5, 0.8, 0.95])
    expected = 2 * norm.cdf(width * norm.ppf((1 + level) / 2)) - 1
    np.testing.assert_allclose(
        calibration(predicted, observed, level=level).coverage[:, 0], expected, atol=0.015
    )


def test_a_prediction_elsewhere_covers_nothing():
    x = np.random.default_rng(0).standard_normal((50, 2))
    found = calibration(x + [100.0, 0.0], x)
    assert (found.coverage[:, 0] == 0).all()
    assert (found.coverage[:, 1] >= [0.5, 0.8, 0.94]).all()


def test_weights_are_copies_and_units_do_not_matter():
    rng = np.random.default_rng(0)
    x, y, copies, others = (
        rng.standard_normal((30, 2)),
        rng.standard_normal((20, 2)),
        np.arange(30),
        np.arange(20),
    )
    weighted = calibration(x, y, predicted_weight=copies, observed_weight=others).coverage
    repeated = calibration(np.repeat(x, copies, axis=0), np.repeat(y, others, axis=0)).coverage
    np.testing.assert_allclose(weighted, repeated)
    np.testing.assert_allclose(
        calibration(-3 * x + 5, -3 * y + 5).coverage, calibration(x, y).coverage
    )


def test_a_collapsed_prediction():
    """Cells at the single predicted value are in its middle, the others outside of all intervals
    but the whole.
    """
    observed = np.array([[1.0], [1.0], [2.0], [0.0]])
    found = calibration(np.ones((5, 1)), observed, level=LEVELS)
    np.testing.assert_allclose(found.coverage[:, 0], [0.5, 0.5, 0.5, 0.5, 1.0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"level": [95.0]}, "expected numbers between 0 and 1"),
        ({"observed": np.zeros((3, 1))}, "`predicted` has 2 dimensions and `observed` has 1"),
        ({"predicted_weight": np.zeros(5)}, "`predicted_weight` must be 5"),
    ],
)
def test_unusable_input_is_refused(arguments, said):
    x = np.random.default_rng(0).standard_normal((5, 2))
    with pytest.raises(InputError, match=said):
        calibration(**{"predicted": x, "observed": x, **arguments})

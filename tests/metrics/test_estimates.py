import numpy as np
import pytest

from cellflow import metrics
from cellflow.errors import InputError
from cellflow.metrics import estimate

PLAIN = {
    "w1": metrics.wasserstein,
    "w2": lambda x, y, **weights: metrics.wasserstein(x, y, p=2, **weights),
    "sliced_w1": metrics.sliced_wasserstein,
    "sliced_w2": lambda x, y, **weights: metrics.sliced_wasserstein(x, y, p=2, **weights),
    "energy": metrics.energy_distance,
    "mmd": metrics.mmd,
    "variance_ratio": metrics.variance_ratio,
    "mean_error": metrics.mean_error,
}
names = pytest.mark.parametrize("name", PLAIN)


def two(n, m, rng):
    """Two populations that differ in mean and width."""
    return rng.standard_normal((n, 3)), [1.0, 0.5, 0.0] + 1.3 * rng.standard_normal((m, 3))


@names
def test_the_value_is_the_metric_and_the_sizes_are_there(name):
    x, y = two(60, 50, np.random.default_rng(0))
    a = np.r_[np.zeros(4), np.random.default_rng(1).random(56)]
    found = estimate(name, x, y, x_weight=a, level=0.9, n_boot=200)
    assert found.value == PLAIN[name](x, y, x_weight=a)
    assert (found.n_x, found.n_y, found.metric, found.level, found.n_boot) == (
        56,
        50,
        name,
        0.9,
        200,
    )
    assert found.low < found.value < found.high


@names
def test_the_interval_covers_what_repeated_samples_give(name):
    """The mean over samples of these sizes lies inside 95 % intervals as often as it should, within
    four standard errors.
    """
    repeats, rng = 200, np.random.default_rng(7)
    found = [estimate(name, *two(60, 50, rng), n_boot=200, random_state=k) for k in range(repeats)]
    values = np.array([f.value for f in found])
    covered = np.mean([f.low <= values.mean() <= f.high for f in found])
    assert 0.95 - 4 * np.sqrt(0.95 * 0.05 / repeats) < covered < 0.995
    width = np.mean([f.high - f.low for f in found]) / (2 * 1.96)
    assert width == pytest.approx(values.std(), rel=0.25)


@names
def test_weights_are_part_of_the_cells(name):
    """Cells of small weight add little to what is known; the scale of the weights says nothing."""
    rng = np.random.default_rng(0)
    x, y = two(100, 80, rng)
    more = np.concatenate([x, two(100, 1, rng)[0]])
    weight = np.repeat([1.0, 1e-9], 100)
    few, many = (
        estimate(name, x, y, n_boot=1000),
        estimate(name, more, y, x_weight=weight, n_boot=1000),
    )
    assert many.value == pytest.approx(few.value, rel=1e-4)
    assert many.high - many.low > 0.9 * (few.high - few.low)
    again = estimate(name, more, y, x_weight=16.0 * weight, n_boot=1000)
    assert (again.value, again.low, again.high) == pytest.approx((many.value, many.low, many.high))


@names
def test_four_times_the_cells_halve_the_interval(name):
    rng = np.random.default_rng(0)
    few, many = (estimate(name, *two(n, n, rng), n_boot=400) for n in (120, 480))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2.0, rel=0.3)


@names
def test_no_end_is_negative(name):
    """Of two small samples of one population: the derivative reaches below zero, the metric never
    does.
    """
    x, y = np.random.default_rng(0).standard_normal((2, 12, 1))
    assert estimate(name, x, y).low >= 0.0


def test_levels_are_nested_and_seeds_repeat():
    x, y = two(60, 50, np.random.default_rng(0))
    narrow, wide = (estimate("w1", x, y, level=level) for level in (0.5, 0.95))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert estimate("w1", x, y, random_state=3) == estimate("w1", x, y, random_state=3) != wide


def test_large_clouds_have_intervals_at_one_solve(monkeypatch):
    """The interval reads potentials; it does not solve again."""
    x, y = two(700, 500, np.random.default_rng(0))
    solves, solve = [], metrics.estimates.solve

    def counted(*arguments, **options):
        solves.append(1)
        return solve(*arguments, **options)

    monkeypatch.setattr(metrics.estimates, "solve", counted)
    found = estimate("w1", x, y)
    assert len(solves) == 1
    assert found.value == metrics.wasserstein(x, y)
    assert 0.02 < found.high - found.low < 0.3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"metric": "w3"}, "metric='w3' is not known; expected one of w1, w2"),
        ({"level": 95}, "level=95; expected a finite number above 0 and below 1"),
        ({"n_boot": 0}, "n_boot=0; expected a positive integer"),
        ({"x": np.zeros((0, 2))}, r"`x` has shape \(0, 2\)"),
    ],
)
def test_unusable_input_is_refused(arguments, said):
    x = np.random.default_rng(0).standard_normal((5, 2))
    with pytest.raises(InputError, match=said):
        estimate(**{"metric": "w1", "x": x, "y": x, **arguments})

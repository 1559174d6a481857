"""Parts of `benchmarks/calibration.py` on clones whose calibration is known."""

import numpy as np
import pytest

from cellflow.analysis.calibration import Judged


@pytest.fixture
def bench(script):
    return script("calibration")


@pytest.fixture
def every():
    """Two cells of each of 2000 clones, whose predicted odds are the squares of the true ones."""
    rng = np.random.default_rng(0)
    upper = 0.05 + 0.9 * rng.random(2000)
    truth = np.repeat(np.stack([1 - upper, upper], axis=1), 2, axis=0)
    predicted = truth**2 / (truth**2).sum(axis=1, keepdims=True)
    unit = np.repeat(np.arange(2000), 2)
    return Judged(predicted, truth, np.ones(4000), unit, 10**9, np.arange(4000))


def test_a_data_set_has_few_late_cells_and_the_rest_the_truth(bench, every):
    data, rest = bench.drawn(every, 50, np.random.default_rng(0))
    assert data.n_units == 50
    assert rest.n_units == 1950
    counts = data.outcome * bench.N_LATE
    np.testing.assert_allclose(counts, counts.round())
    np.testing.assert_array_equal(data.outcome[::2], data.outcome[1::2])
    np.testing.assert_array_equal(rest.outcome, every.outcome[rest.rows])
    assert not set(data.rows) & set(rest.rows)


def test_a_known_temperature_is_found_and_errors_fall(bench, every):
    found = bench.one(every, 300, 0)
    assert found["T"] == pytest.approx(2.0, rel=0.25)
    assert found["before"] > 0.08
    assert found["after"] < 0.05
    assert found["off after"] < 0.5 * found["off"]
    # Of one data set: within four standard errors of 300 clones.
    assert found["in set"] >= 0.9 - 4 * (0.09 / 300) ** 0.5
    assert 1.0 <= found["size"] <= 2.0


def test_diffusions_of_the_wells_keep_their_symmetry(bench):
    x = np.zeros((4000, 2))
    moved = bench.diffused(x, 0.2, np.random.default_rng(0))
    assert abs(moved[:, 1].mean()) < 0.02
    assert moved[:, 1].std() > 0.25

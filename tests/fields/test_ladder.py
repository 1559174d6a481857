"""Laws of the ladder of noise levels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from cellflow import Snapshots
from cellflow.errors import InputError
from cellflow.fields.ladder import Ladder, overlapping_ratio


def snapshots(n=300, d=3, *, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return Snapshots.from_arrays(scale * rng.normal(size=(2 * n, d)), np.repeat([0.0, 1.0], n))


@given(st.integers(1, 500))
def test_neighbouring_levels_overlap_by_half_or_differ_by_two(d):
    ratio = overlapping_ratio(d)
    shift = np.sqrt(2 * d) * (ratio - 1)
    overlap = ndtr(shift + 3 * ratio) - ndtr(shift - 3 * ratio)
    assert 1 < ratio <= 2
    assert overlap == pytest.approx(0.5, abs=1e-6) if ratio < 2 else overlap >= 0.5


def test_levels_span_from_the_diameter_to_the_nearest_neighbour():
    data = snapshots()
    ladder = Ladder.fitted(data)
    distances = [np.linalg.norm(p.x[:, None] - p.x[None], axis=2) for p in data.populations]
    nearest = np.concatenate([np.sort(d, axis=1)[:, 1] for d in distances])
    assert ladder.largest == pytest.approx(max(d.max() for d in distances))
    assert ladder.smallest == pytest.approx(np.median(nearest) / np.sqrt(3))
    ratios = np.divide(ladder.levels[:-1], ladder.levels[1:])
    assert ratios == pytest.approx(np.full(len(ratios), ratios[0]))
    assert ratios[0] <= overlapping_ratio(3) + 1e-9


def test_rescaling_the_data_rescales_the_ladder():
    one, other = Ladder.fitted(snapshots()), Ladder.fitted(snapshots(scale=1e-20))
    np.testing.assert_allclose(np.multiply(one.levels, 1e-20), other.levels)


def test_copies_of_cells_do_not_matter():
    data = snapshots()
    doubled = Snapshots.from_arrays(
        np.concatenate([np.repeat(p.x, 2, axis=0) for p in data.populations]),
        np.repeat([0.0, 1.0], 600),
    )
    np.testing.assert_allclose(Ladder.fitted(doubled).levels, Ladder.fitted(data).levels)


@pytest.mark.parametrize(
    "levels",
    [(), (1.0,), (1.0, 1.0), (1.0, 2.0), (1.0, 0.0), (2.0, -1.0), (np.inf, 1.0), (2.0, np.nan)],
)
def test_a_ladder_needs_two_levels_that_fall(levels):
    with pytest.raises(InputError, match="strictly decreasing"):
        Ladder(levels)


def test_cells_that_all_coincide_have_no_ladder():
    with pytest.raises(InputError, match="distinct"):
        Ladder.fitted(Snapshots.from_arrays(np.zeros((4, 2)), np.array([0.0, 0.0, 1.0, 1.0])))
    with pytest.raises(InputError, match="smallest < largest"):
        Ladder.between(1.0, 1.0, n_dims=2)


def test_two_cells_a_snapshot_are_enough():
    ladder = Ladder.fitted(
        Snapshots.from_arrays(
            np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0.0, 0.0, 1.0, 1.0])
        )
    )
    assert ladder.levels == pytest.approx((1.0, 0.5))

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cellflow.errors import InputError
from cellflow.metrics import nearest_neighbour_novelty


@pytest.fixture(params=[2, 30], ids=["tree", "brute"])
def cells(request):
    """Training, held-out and fresh cells of one population, far from the origin."""
    return 1e4 + np.random.default_rng(0).standard_normal((3, 300, request.param))


def test_fresh_cells_are_as_far_as_real_ones(cells):
    training, held_out, fresh = cells
    found = nearest_neighbour_novelty(fresh, training, held_out=held_out)
    assert found.nearer == pytest.approx(
        0.5, abs=3 * np.sqrt(1 / (6 * 300))
    )  # sd of the Mann-Whitney statistic
    assert np.median(found.ratio) == pytest.approx(np.median(found.real_ratio), rel=0.2)
    alone = nearest_neighbour_novelty(fresh, training)
    assert np.median(alone.real_ratio) == pytest.approx(1.0)
    assert alone.nearer == pytest.approx(0.5, abs=3 * np.sqrt(1 / (6 * 300)))


@pytest.mark.parametrize("with_held_out", [False, True])
def test_copies_are_copies_to_the_last_bit(cells, with_held_out):
    training, held_out, _ = cells
    found = nearest_neighbour_novelty(
        training[::2], training, held_out=held_out if with_held_out else None
    )
    assert (found.ratio == 0).all()
    assert (found.copies, found.nearer) == (1.0, 1.0)
    assert found.real_copies < 0.2


def test_a_share_of_copies_is_that_share():
    training, fresh = np.random.default_rng(0).standard_normal((2, 400, 30))
    mixed = np.concatenate([training[:100] + 1e-3, fresh[:300]])
    found = nearest_neighbour_novelty(mixed, training)
    assert (found.copies, found.real_copies) == (0.25, 0.0)
    assert found.nearer == pytest.approx(0.25 + 0.75 * 0.5, abs=0.08)


def test_cells_from_elsewhere_are_too_new(cells):
    training, held_out, fresh = cells
    found = nearest_neighbour_novelty(fresh + 50.0, training, held_out=held_out)
    assert (found.copies, found.nearer) == (0.0, 0.0)
    assert found.ratio.min() > 5


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_share_that_chance_makes(d):
    """Among cells of even density the nearest is at most a third as far as the second with
    probability 3^-d.
    """
    training, new = np.random.default_rng(0).random((2, 4000, d))
    found = nearest_neighbour_novelty(new, training)
    p = 3.0**-d
    for share in (found.copies, found.real_copies):
        assert share == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / 4000))


def test_agrees_with_all_distances():
    training, held_out, new = np.random.default_rng(0).standard_normal((3, 50, 4))
    found = nearest_neighbour_novelty(new, training, held_out=held_out)
    own = cdist(training, training) + np.diag(np.full(50, np.inf))
    assert found.typical == pytest.approx(np.median(own.min(axis=1)))
    np.testing.assert_allclose(found.ratio, cdist(new, training).min(axis=1) / found.typical)
    np.testing.assert_allclose(
        found.real_ratio, cdist(held_out, training).min(axis=1) / found.typical
    )
    a, b = found.ratio[:, None], found.real_ratio
    assert found.nearer == pytest.approx((a < b).mean() + 0.5 * (a == b).mean())
    np.testing.assert_allclose(nearest_neighbour_novelty(new, training).real_ratio * found.typical,
                               own.min(axis=1)[np.lexsort(training.T[::-1])])  # fmt: skip


def test_order_units_and_repeats_of_training_cells_do_not_matter(cells):
    training, held_out, fresh = cells
    found = nearest_neighbour_novelty(fresh, training, held_out=held_out)
    again = nearest_neighbour_novelty(
        8 * fresh, 8 * np.concatenate([training[::-1], training]), held_out=8 * held_out
    )
    np.testing.assert_allclose(again.ratio, found.ratio)
    assert again.typical == pytest.approx(8 * found.typical)
    assert (again.copies, again.real_copies, again.nearer) == (
        found.copies,
        found.real_copies,
        found.nearer,
    )


X = np.random.default_rng(0).standard_normal((5, 2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"generated": X[:0], "training": X}, r"`generated` has shape \(0, 2\)"),
        (
            {"generated": X, "training": X[:2]},
            "`training` has 2 different cells; expected at least three",
        ),
        (
            {"generated": X, "training": np.repeat(X[:2], 9, axis=0)},
            "`training` has 2 different cells",
        ),
        (
            {"generated": X[:, :1], "training": X},
            "`training` has 2 dimensions and `generated` has 1",
        ),
        (
            {"generated": X, "training": X, "held_out": X[:, :1]},
            "`training` has 2 dimensions and `held_out` has 1",
        ),
        (
            {"generated": X, "training": X, "held_out": X * np.nan},
            "`held_out` has nan in row 0, column 0",
        ),
    ],
)
def test_unusable_input_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        nearest_neighbour_novelty(**arguments)

"""Conformal p-values: of the population's own cells a share of at most alpha is flagged, whatever
the population.
"""

import numpy as np
import pytest

from cellflow.analysis.conformal import Reference, as_level, too_many
from cellflow.errors import InputError


def normal(n, d, rng):
    return rng.normal(size=(n, d))


def anisotropic(n, d, rng):
    return rng.normal(size=(n, d)) * np.logspace(0, -3, d) + 1e3


def clusters(n, d, rng):
    """Two clusters of very different width and share."""
    small = rng.random(n) < 0.05
    return np.where(small[:, None], 20.0 + 0.1 * rng.normal(size=(n, d)), rng.normal(size=(n, d)))


def heavy(n, d, rng):
    return rng.standard_t(1.5, size=(n, d))


def ring(n, d, rng):
    x = rng.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def counts(n, d, rng):
    """Many cells at exactly the same place."""
    return rng.poisson(0.7, size=(n, d)).astype(float)


def skewed(n, d, rng):
    return rng.exponential(size=(n, d)) ** 2


POPULATIONS = [normal, anisotropic, clusters, heavy, ring, counts, skewed]
SIZES = [
    (2, 60),
    (2, 400),
    (5, 60),
    (5, 150),
    (10, 60),
    (10, 400),
    (20, 150),
    (2, 2000),
    (10, 2000),
    (1, 99),
]


def rates(population, n, d, levels, *, draws):
    """Share of fresh cells that are flagged at each level, over many references, with its standard
    error.
    """
    shares = []
    for seed in range(draws):
        rng = np.random.default_rng([seed, n, d])
        reference = Reference(population(n, d, rng).astype(np.float32))
        p = reference.p_values(population(150, d, rng).astype(np.float32))
        shares.append([(p <= level).mean() for level in levels])
    return np.mean(shares, axis=0), np.std(shares, axis=0) / np.sqrt(draws)


@pytest.mark.parametrize(("d", "n"), SIZES)
def test_ordinary_cells_are_flagged_as_often_as_promised(d, n):
    levels = np.array([0.01, 0.02, 0.05, 0.1, 0.2])
    found, error = rates(normal, n, d, levels, draws=6 if n > 1000 else 25)
    assert (found <= levels + 4 * np.maximum(error, 1e-3)).all()
    least = np.floor(levels * (n + 1)) / (n + 1)
    assert (found >= 0.4 * least - 4 * error).all()  # and not much more seldom


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize(("d", "n"), [(2, 150), (5, 99), (8, 60)])
def test_whatever_the_population(population, d, n):
    levels = np.array([0.01, 0.05, 0.1])
    found, error = rates(population, n, d, levels, draws=20)
    assert (found <= levels + 4 * np.maximum(error, 1e-3)).all()


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("n", [2, 9, 60, 500])
def test_of_the_cells_compared_with_each_other_no_more_than_alpha(population, n):
    x = population(n, 4, np.random.default_rng(0)).astype(np.float32)
    p = Reference(x).p_values(x)
    for alpha in (0.01, 0.05, 0.1, 0.5):
        assert (p <= alpha).mean() <= alpha


@pytest.mark.parametrize("d", [1, 2, 5, 10, 50])
@pytest.mark.parametrize("n", [60, 150, 1000])
def test_a_far_cell_is_flagged(n, d):
    rng = np.random.default_rng(0)
    reference = Reference(normal(n, d, rng).astype(np.float32))
    far = np.full((1, d), 30.0, dtype=np.float32)
    assert reference.p_values(far)[0] == 1 / (n + 1)
    assert reference.p_values(np.zeros((1, d)))[0] > 0.3


@pytest.mark.parametrize("n", [1, 2, 5, 9, 19, 98])
@pytest.mark.parametrize("alpha", [0.01, 0.0049])
def test_too_few_cells_flag_nothing(n, alpha):
    reference = Reference(normal(n, 3, np.random.default_rng(0)))
    assert not reference.can_flag(alpha)
    assert (reference.p_values(np.full((2, 3), 1e6)) > alpha).all()


@pytest.mark.parametrize(
    ("n", "alpha"), [(99, 0.01), (19, 0.05), (9, 0.1), (199, 0.005), (999, 0.001), (3, 0.25)]
)
def test_just_enough_cells_flag_a_far_one(n, alpha):
    reference = Reference(normal(n, 3, np.random.default_rng(0)))
    assert reference.can_flag(alpha)
    assert (reference.p_values(np.full((1, 3), 1e6)) <= alpha).all()


@pytest.mark.parametrize("d", [3, 40])
def test_p9_a_cell_does_not_depend_on_the_others(d):
    rng = np.random.default_rng(0)
    reference = Reference(normal(300, d, rng).astype(np.float32))
    x = np.concatenate([normal(50, d, rng).astype(np.float32), reference.x[:20].astype(np.float32)])
    every = reference.p_values(x)
    np.testing.assert_array_equal(reference.p_values(x[::-1]), every[::-1])
    np.testing.assert_array_equal(reference.p_values(x[40:60]), every[40:60])
    assert reference.holds(x).tolist() == [False] * 50 + [True] * 20


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, np.nan, "low", None, True])
def test_levels_that_are_none(alpha):
    with pytest.raises(InputError, match="alpha="):
        as_level(alpha)


@pytest.mark.parametrize(
    ("flagged", "asked", "n", "alpha", "expected"),
    [
        (0, 100, 500, 0.01, False),
        (1, 100, 500, 0.01, False),
        (4, 100, 500, 0.01, False),
        (31, 100, 500, 0.01, True),
        (71, 100, 100, 0.01, True),
        (10, 200, 100, 0.05, False),
        (25, 200, 60, 0.05, False),  # of 60 cells, the level itself is uncertain
        (90, 200, 1000, 0.05, True),
        (3, 3, 1000, 0.01, True),
        (1, 1, 1000, 0.01, False),
        (5, 5, 50, 0.01, False),  # none can be flagged at all
        (200, 1000, 2000, 0.1, True),
    ],
)
def test_what_is_too_many(flagged, asked, n, alpha, expected):
    assert too_many(flagged, asked, n, alpha) is expected


def test_ordinary_cells_are_seldom_too_many():
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        reference = Reference(normal(100, 3, rng))
        flagged = int((reference.p_values(normal(100, 3, rng)) <= 0.05).sum())
        alarms += too_many(flagged, 100, 100, 0.05)
    assert alarms <= 1

"""Plans inside clones."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from cellflow.transport.clones import inside_clones, shared_clones
from cellflow.transport.exact import solve_dense


def clones(n, k, rng, share=1.0):
    """One clone for a share of the cells, as cells by clones."""
    label = rng.integers(k, size=n)
    matrix = np.eye(k)[label] * (rng.random(n) < share)[:, None]
    return sp.csr_matrix(matrix)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(60)), rng.dirichlet(np.ones(80))
    a[:5] = 0.0
    a /= a.sum()
    sides = clones(60, 12, rng, 0.7), clones(80, 12, rng, 0.5)
    return rng.normal(size=(60, 3)), rng.normal(size=(80, 3)), *sides, a, b


def test_the_mass_of_a_clone_is_the_smaller_of_both_ends(problem):
    x, y, own, their, a, b = problem
    pairs = inside_clones(x, y, shared_clones(own, their, a, b))
    own, their = own.toarray(), their.toarray()
    assert (own[pairs.i] * their[pairs.j]).sum(axis=1).min() == 1
    rows, columns = np.bincount(pairs.i, pairs.mass, 60), np.bincount(pairs.j, pairs.mass, 80)
    mass = np.minimum(a @ own, b @ their)
    np.testing.assert_allclose(rows @ own, mass, atol=1e-15)
    # The same share of every cell of a clone is coupled.
    share = own @ np.divide(mass, a @ own, where=mass > 0, out=np.zeros(12))
    np.testing.assert_allclose(rows, share * a, atol=1e-15)
    share = their @ np.divide(mass, b @ their, where=mass > 0, out=np.zeros(12))
    np.testing.assert_allclose(columns, share * b, atol=1e-15)


def test_each_clone_is_coupled_optimally(problem):
    x, y, own, their, a, b = problem
    shared = shared_clones(own, their, a, b)
    pairs = inside_clones(x, y, shared)
    label = np.asarray(own.argmax(axis=1)).ravel()[pairs.i]
    squares = ((x[pairs.i] - y[pairs.j]) ** 2).sum(axis=1)
    compared = 0
    for c in np.unique(label):
        i, j = np.flatnonzero(own.toarray()[:, c] * a), np.flatnonzero(their.toarray()[:, c] * b)
        best = solve_dense(a[i] / a[i].sum(), b[j] / b[j].sum(), cdist(x[i], y[j], "sqeuclidean"))[
            1
        ]
        mine = label == c
        assert pairs.mass[mine] @ squares[mine] / pairs.mass[mine].sum() == pytest.approx(best)
        compared += min(len(i), len(j)) > 1
    assert compared >= 5


def test_clones_at_one_end_and_cells_without_weight_are_none():
    own = sp.csr_matrix([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    their = sp.csr_matrix([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    shared = shared_clones(own, their, np.array([0.0, 0.5, 0.5]), np.full(3, 1 / 3))
    assert len(shared) == 1
    np.testing.assert_array_equal(shared.source.toarray(), [[0], [0.5], [0]])


def test_cells_of_several_clones_split_their_mass():
    own = sp.csr_matrix([[1, 1, 1], [0, 1, 0]])  # the third clone occurs at one end
    their = sp.csr_matrix([[1, 0, 0], [0, 1, 0]])
    shared = shared_clones(own, their, np.array([0.6, 0.4]), np.array([0.3, 0.7]))
    np.testing.assert_allclose(shared.source.toarray(), [[0.3, 0.3], [0, 0.4]])
    pairs = inside_clones(np.zeros((2, 1)), np.zeros((2, 1)), shared)
    assert pairs.mass.sum() == pytest.approx(1.0)


def test_large_clones_are_nearly_optimal():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1200, 4)), rng.normal(size=(1100, 4)) + 1.0
    one = [sp.csr_matrix(np.ones((len(z), 1))) for z in (x, y)]
    weights = [np.full(len(z), 1 / len(z)) for z in (x, y)]
    pairs = inside_clones(x, y, shared_clones(*one, *weights))
    assert pairs.mass.sum() == pytest.approx(1.0)
    best = solve_dense(*weights, cdist(x, y, "sqeuclidean"))[1]
    cost = pairs.mass @ ((x[pairs.i] - y[pairs.j]) ** 2).sum(axis=1)
    assert best * (1 - 1e-9) <= cost <= best * (1 + 1e-3)

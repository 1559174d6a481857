"""Terminal states and transition matrices of dynamics that are known."""

import numpy as np
import pytest

from cellflow.analysis.fates import terminal_states
from cellflow.analysis.fates.terminal import divergence
from cellflow.analysis.transitions import transitions
from cellflow.core.population import Clock
from known_flows import Known, cells_of


class Field:
    """A velocity alone."""

    clock = Clock(0.0, 1.0, 1.0, 1.0)

    def __init__(self, rule):
        self.rule = rule

    def velocity(self, x, t, *, context=None):
        return self.rule(np.asarray(x, dtype=float))


def wells(x):
    """Attracting points at (-1, 0) and (1, 0), and a saddle between them."""
    return np.stack([4 * (x[:, 0] - x[:, 0] ** 3), -2 * x[:, 1]], axis=1)


def test_the_divergence_is_exact_for_a_quadratic_field():
    x = np.random.default_rng(0).normal(size=(50, 3))
    rule = Field(lambda x: np.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], -x[:, 2]], axis=1))
    np.testing.assert_allclose(divergence(rule, x, 0.0), 3 * x[:, 0] - 1, atol=1e-9)


def test_two_attractors_are_two_states_and_the_saddle_is_none():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2)) * 0.01
    x[:300, 0] -= 1.0
    x[300:700, 0] += 1.0  # the larger one
    found = terminal_states(Field(wells), x, 0.0)
    assert set(found) == {-1, 0, 1}
    assert set(found[300:700]) <= {-1, 0}
    assert set(found[:300]) <= {-1, 1}
    assert (found[700:] == -1).all()
    assert (found[:700] >= 0).mean() > 0.3


def test_a_population_in_motion_has_no_terminal_state():
    x = np.random.default_rng(0).normal(size=(300, 2))
    moving = Field(lambda x: np.tile([5.0, 0.0], (len(x), 1)) - 0.1 * x)
    assert (terminal_states(moving, x, 0.0) == -1).all()


def test_rows_lead_to_where_cells_are_moved():
    rng = np.random.default_rng(0)
    early = rng.normal(size=(100, 2))
    x = np.concatenate([early, early + [10.0, 0.0]])
    cells, _ = cells_of(x, np.repeat([0.0, 1.0], 100), np.full(200, "a", dtype=object))
    found = transitions(Known(lambda x, t0, t: x + [10.0 * (t - t0), 0.0]), cells, n_neighbors=5)
    matrix = found.matrix.toarray()
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    np.testing.assert_array_equal(matrix[:100].argmax(axis=1), 100 + np.arange(100))
    np.testing.assert_array_equal(matrix[100:], np.eye(200)[100:])
    assert (matrix[:100] > 0).sum(axis=1).max() <= 5
    assert not found.lost.any()


@pytest.mark.parametrize("far", [0.0, 50.0])
def test_cells_that_arrive_where_no_cell_lives_are_marked(far):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    x[:10, 1] += far
    cells, _ = cells_of(x, np.repeat([0.0, 1.0], 150), np.full(300, "a", dtype=object))
    found = transitions(Known(lambda x, t0, t: x.copy()), cells, n_neighbors=30)
    np.testing.assert_allclose(np.asarray(found.matrix.sum(axis=1)).ravel(), 1.0)
    assert found.lost[:10].all() == (far > 0)
    assert found.lost[10:].mean() < 0.05

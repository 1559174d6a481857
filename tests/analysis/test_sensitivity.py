"""Sensitivities of fates: closed forms of linear systems, and what they are of a population."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from cellflow.analysis.genes.classifier import Classifier
from cellflow.analysis.genes.sensitivity import fate_sensitivity, sensitivities
from cellflow.errors import InputError
from cellflow.simulation import sensitivity
from known_flows import cells_of

MATRIX = np.array([[0.3, -1.0, 0.2], [0.5, -0.2, 0.0], [0.1, 0.4, -0.5]])
#: Growth is linear too.
RATE = np.array([0.2, -0.1, 0.3])


class Linear:
    """`dx/dt = A x`, with growth `r x` or none."""

    def __init__(self, *, grows=False):
        self.along = {"log_weight": lambda t, x: x @ torch.as_tensor(RATE)} if grows else None

    def sensitivity(self, x, t0, end, value, *, context=None, step=None):
        return sensitivity(
            lambda t, x: x @ torch.as_tensor(MATRIX.T),
            *(x, t0, end, value),
            step=0.05,
            along=self.along,
            dtype=torch.float64,
        )


def two_or_three(n_labels=2, seed=0):
    """Cells at times 0, 0.5 and 2; those of the last have labels in Gaussian clusters."""
    rng = np.random.default_rng(seed)
    names = np.array(["a", "b", "c"])[:n_labels]
    late = np.repeat(names, 100).astype(object)
    middle = 3.0 * np.eye(3)[np.repeat(np.arange(n_labels), 100)]
    x = np.concatenate([rng.normal(size=(60, 3)), middle + rng.normal(size=(len(late), 3))])
    time = np.concatenate([np.repeat([0.0, 0.5], 30), np.full(len(late), 2.0)])
    return cells_of(x, time, np.concatenate([np.full(60, None), late]))


def test_the_classifier_finds_the_true_log_odds():
    """Normal classes of one covariance have linear log-odds, known in closed form."""
    rng = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [2.0, 1.0], [0.0, 6.0]])
    sd = np.array([1.0, 3.0])
    x = rng.normal(size=(30_000, 2)) * sd + np.repeat(means, 10_000, axis=0)
    ours = Classifier.fitted(x, np.repeat([0, 2, 5], 10_000), np.ones(len(x)))
    some = x[::1000]
    logs = -0.5 * (((some[:, None] - means) / sd) ** 2).sum(axis=2)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    expected = logs - np.log1p(-np.exp(logs))
    found = ours.log_odds(torch.from_numpy(some), np.array([0, 2, 5])).numpy()
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.15)


def test_labels_that_are_separated_have_finite_log_odds():
    x = np.repeat([[0.0, 0.0], [100.0, 0.0]], 50, axis=0)
    found = Classifier.fitted(x, np.repeat([0, 1], 50), np.ones(100))
    odds = found.log_odds(torch.from_numpy(x), np.array([1])).numpy()
    assert 2.0 < odds.max() < 10.0


def test_weights_are_numbers_of_cells():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    code = np.repeat([0, 1], 20)
    weight = np.tile([1, 2, 1, 0], 10) + 1.0
    once = Classifier.fitted(x, code, weight)
    scaled = Classifier.fitted(x, code, 2.5 * weight)
    np.testing.assert_allclose(scaled.slope, once.slope, rtol=1e-6)
    order = rng.permutation(40)
    mixed = Classifier.fitted(x[order], code[order], weight[order])
    np.testing.assert_allclose(mixed.slope, once.slope, rtol=1e-4)


def test_a_linear_system_has_its_closed_form():
    """Of two fates the gradient is exp(A'T) times the slope between them, for every cell."""
    cells, targets = two_or_three()
    found = fate_sensitivity(Linear(), cells, targets, np.arange(60))
    there = cells.measured == 2.0
    classes = Classifier.fitted(cells.x[there], targets.code[there], cells.weight[there])
    slope = classes.slope[0] - classes.slope[1]
    for rows, ahead in ((slice(0, 30), 2.0), (slice(30, 60), 1.5)):
        expected = expm(MATRIX * ahead).T @ slope
        np.testing.assert_allclose(found[rows, 0], np.tile(expected, (30, 1)), rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], -found[:, 0], rtol=1e-9)


def test_one_fate_of_three_is_against_both_others():
    """Log-odds against all others, by differences."""
    cells, targets = two_or_three(3)
    every = sensitivities(Linear(grows=True), cells, targets, np.arange(60))
    some = sensitivities(Linear(), cells, targets, np.arange(60), np.array([1]))
    np.testing.assert_allclose(some.gradient[:, 0], every.gradient[:, 1], rtol=1e-9)
    for b in range(3):
        moved = cells_of(cells.x + 1e-5 * np.eye(3)[b], cells.start)[0]
        again = sensitivities(Linear(), _with_ends(moved, cells), targets, np.arange(60))
        rough = (again.log_odds - every.log_odds) / 1e-5
        np.testing.assert_allclose(every.gradient[:, :, b], rough, rtol=2e-3, atol=2e-3)


def _with_ends(moved, cells):
    moved.x[60:] = cells.x[60:]
    return moved


def test_growth_has_its_closed_form():
    r"""The mass is the integral of r x: its gradient is that of :math:`r \int \exp(A s) ds`."""
    cells, targets = two_or_three()
    found = sensitivities(Linear(grows=True), cells, targets, np.arange(30))
    total = np.linalg.solve(MATRIX, expm(MATRIX * 2.0) - np.eye(3))
    np.testing.assert_allclose(found.mass_gradient, np.tile(RATE @ total, (30, 1)), rtol=1e-5)
    np.testing.assert_allclose(found.log_mass, cells.x[:30] @ (RATE @ total), rtol=1e-5)
    without = sensitivities(Linear(), cells, targets, np.arange(30))
    assert not without.log_mass.any()
    assert not without.mass_gradient.any()


@pytest.mark.parametrize("grows", [False, True])
def test_the_composition_follows_a_shift_of_all_cells(grows):
    cells, targets = two_or_three(3)
    rows = np.arange(30)
    weight = np.linspace(1.0, 3.0, 30)

    def log_odds(cells):
        found = sensitivities(Linear(grows=grows), cells, targets, rows)
        mass = weight * np.exp(found.log_mass)
        share = mass @ (1.0 / (1.0 + np.exp(-found.log_odds))) / mass.sum()
        return found, np.log(share / (1.0 - share))

    found, before = log_odds(cells)
    gradient = found.of_composition(weight)
    for b in range(3):
        moved = cells_of(cells.x + 1e-5 * np.eye(3)[b], cells.start)[0]
        _, after = log_odds(_with_ends(moved, cells))
        np.testing.assert_allclose(gradient[:, b], (after - before) / 1e-5, rtol=2e-3, atol=2e-3)


def test_cells_and_fates_that_have_no_sensitivity():
    cells, targets = two_or_three()
    with pytest.raises(InputError, match=r"time 2 does not lie before the end, time 2"):
        fate_sensitivity(Linear(), cells, targets, np.arange(50, 70))
    one = cells_of(cells.x, cells.start, np.where(cells.start == 2.0, "a", None))
    with pytest.raises(InputError, match=r"labels \['a'\]; expected at least two"):
        fate_sensitivity(Linear(), *one, np.arange(50))

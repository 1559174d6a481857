"""Derivatives of a flow, against differences and closed forms; flows with held functions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cellflow import recipes
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.fields.dynamics import Dynamics
from cellflow.model.fitting import fit
from cellflow.training import Training

QUICK = Training(steps=80, batch_size=128, record_every=20)
MATRIX = np.array([[0.3, -1.0], [0.5, -0.2]])


def _snapshots(scale=(1.0, 20.0)):
    """A population that moves and spreads, in coordinates of two scales."""
    rng = np.random.default_rng(0)
    return Snapshots(
        tuple(
            Population((rng.normal(size=(150, 2)) * (1 + t) + t) * scale, float(t))
            for t in range(3)
        )
    )


class Linear(nn.Module):
    """The field `A x`, with a weight so that it has a device."""

    def __init__(self, matrix, rate=False):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix, dtype=torch.float32))
        self.rate = rate

    def forward(self, t, x):
        return x.sum(dim=1) if self.rate else x @ self.matrix.T


@pytest.fixture(scope="module")
def growing():
    return fit(_snapshots(), recipes.uot_cfm(training=QUICK), scale="each")


@pytest.fixture(scope="module")
def scored():
    recipe = recipes.ot_cfm(training=QUICK).with_score(training=QUICK)
    return fit(_snapshots(), recipe, scale="each", n_members=2)


@pytest.fixture(scope="module")
def linear(growing):
    """The flow `A x` with growth `x_1 + x_2`, in data coordinates."""
    frame = replace(growing.frame, shift=np.zeros(2), scale=np.ones(2))
    heads = {"growth": Linear(np.eye(2), rate=True)}
    made = Dynamics(Linear(MATRIX), heads=heads, along={"growth": "log_weight"})
    return replace(growing, frame=frame, dynamics=made)


def _differences(function, x, width):
    """Central differences, the last axis the coordinate that is changed."""
    columns = []
    for b in range(x.shape[1]):
        shift = np.zeros(x.shape[1])
        shift[b] = width * np.abs(x).max(axis=0)[b]
        columns.append((function(x + shift) - function(x - shift)) / (2 * shift[b]))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("head", ["velocity", "growth"])
def test_the_jacobian_is_that_of_differences(growing, head):
    x = _snapshots().populations[1].x[:20]
    t = np.linspace(0.0, 2.0, 20)
    exact = growing.jacobian(x, t, head=head)
    rough = _differences(lambda x: growing.head(head, x, t), x, 3e-3)
    assert exact.shape == rough.shape
    np.testing.assert_allclose(exact, rough, atol=0.03 * np.abs(rough).max((0, 1)).max())


def test_the_jacobian_of_an_ensemble_is_the_mean_of_its_members(scored):
    x = _snapshots().populations[1].x[:5]
    each = [member.jacobian(x, 0.5, head="score") for member in scored.members]
    np.testing.assert_allclose(
        scored.jacobian(x, 0.5, head="score"), np.mean(each, axis=0), rtol=1e-3, atol=1e-4
    )


def test_the_sensitivity_of_a_linear_flow_is_the_matrix_exponential(linear):
    from scipy.linalg import expm, solve

    x = np.random.default_rng(1).normal(size=(6, 2))
    values, gradients = linear.sensitivity(
        x, 0.5, 2.0, lambda x, along: torch.column_stack([x, along["log_weight"]])
    )
    moved = expm(1.5 * MATRIX)
    grown = np.ones(2) @ solve(MATRIX, moved - np.eye(2))
    expected = np.vstack([moved, grown])
    np.testing.assert_allclose(gradients, np.broadcast_to(expected, (6, 3, 2)), atol=1e-3)
    np.testing.assert_allclose(values, x @ expected.T, atol=2e-3)


def test_the_sensitivity_is_that_of_differences_and_of_the_same_solution(growing):
    x = _snapshots().populations[0].x[:9]

    def value(x, along):
        return torch.column_stack([x[:, 0] ** 2, x[:, 1], along["log_weight"]])

    values, gradients = growing.sensitivity(x, 0.0, 2.0, value)
    moved = growing.simulate(x, 0.0, [2.0])
    at_end = value(torch.from_numpy(moved.x[0]), {"log_weight": torch.tensor(moved.log_weight[0])})
    np.testing.assert_allclose(values, at_end, rtol=1e-5, atol=1e-5)
    rough = _differences(lambda x: growing.sensitivity(x, 0.0, 2.0, value)[0], x, 3e-3)
    for k in range(3):
        np.testing.assert_allclose(
            gradients[:, k], rough[:, k], atol=0.03 * np.abs(rough[:, k]).max()
        )


def test_at_its_end_a_cell_depends_on_itself(growing):
    x = np.array([[1.0, 2.0]])
    values, gradients = growing.sensitivity(x, 1.0, 1.0, lambda x, along: x)
    np.testing.assert_allclose(values, x, rtol=1e-6)
    np.testing.assert_allclose(gradients[0], np.eye(2), atol=1e-6)


def test_a_value_of_another_shape_is_refused(growing):
    with pytest.raises(InputError, match=r"expected \(32, k\)"):
        growing.sensitivity(np.zeros((2, 2)), 0.0, 1.0, lambda x, along: x[:, 0])


FUNCTIONS = np.array([[1.0, 0.1]])
RESPONSE = np.array([[0.5], [5.0]])


def test_held_functions_stay_and_growth_follows_the_states(growing):
    held = growing.held(FUNCTIONS, RESPONSE)
    x = _snapshots().populations[0].x[:30]
    moved = held.simulate(x, 0.0, [0.7, 2.0])
    kept = np.broadcast_to(x @ FUNCTIONS.T, (2, 30, 1))
    np.testing.assert_allclose(moved.x @ FUNCTIONS.T, kept, atol=1e-4)
    free = growing.simulate(x, 0.0, [0.7, 2.0])
    assert np.abs(moved.x - free.x).max() > 0.1
    assert np.abs(moved.log_weight - free.log_weight).max() > 1e-3
    v = growing.velocity(x, 0.7)
    np.testing.assert_allclose(
        held.velocity(x, 0.7), v - v @ FUNCTIONS.T @ RESPONSE.T, rtol=1e-4, atol=1e-4
    )


def test_held_functions_stay_along_diffusions_of_every_member(scored):
    held = scored.held(FUNCTIONS, RESPONSE)
    x = _snapshots().populations[0].x[:10]
    for flow in (held, *held.members):
        moved = flow.diffuse(x, 0.0, [1.0], n_rep=3)
        kept = np.repeat(x, 3, axis=0) @ FUNCTIONS.T
        np.testing.assert_allclose(moved.x[0] @ FUNCTIONS.T, kept, atol=1e-4)
    assert np.abs(moved.x[0] - np.repeat(x, 3, axis=0)).max() > 0.1


def test_matrices_that_do_not_fit_are_refused(growing):
    with pytest.raises(InputError, match="is not the identity"):
        growing.held(FUNCTIONS, 2 * RESPONSE)
    with pytest.raises(InputError, match=r"expected \(k, 2\) and \(2, k\)"):
        growing.held(FUNCTIONS, RESPONSE.T)
    with pytest.raises(InputError, match="head='age'"):
        growing.jacobian(np.zeros((1, 2)), 0.0, head="age")

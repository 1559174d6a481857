"""The change of coordinates between data and model: its chain rule, and what it is fitted to."""

from dataclasses import replace

import numpy as np
import pytest
from cellflow.recipes import ot_cfm

from cellflow.core.frame import Frame
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.model.fitting import fit
from cellflow.training import Training

SCALES = ["joint", "each", "none"]


def snapshots(seed=0):
    """Two clouds of unequal size, spread and weights, far from the origin."""
    rng = np.random.default_rng(seed)
    return Snapshots(
        (
            Population(
                rng.normal(size=(300, 3)) * [5.0, 1.0, 0.1] + [100.0, -3.0, 0.0],
                0.0,
                rng.random(300),
            ),
            Population(rng.normal(size=(40, 3)) * [3.0, 1.0, 0.2] + [120.0, 3.0, 0.0], 2.0),
        )
    )


def density(x):
    """An unnormalised log-density and its gradient, in data coordinates."""
    centre, width = np.array([100.0, 0.0, 0.0]), np.array([5.0, 2.0, 0.5])
    return -0.5 * (((x - centre) / width) ** 2).sum(axis=-1), -(x - centre) / width**2


@pytest.mark.parametrize("scale", SCALES)
def test_there_and_back_again(scale):
    frame, x = Frame.fitted(snapshots(), scale), snapshots()[0].x
    np.testing.assert_allclose(frame.to_data(frame.to_model(x)), x, rtol=1e-12)
    np.testing.assert_allclose(frame.to_model(frame.to_data(x)), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_velocities_are_derivatives_of_positions(scale):
    frame = Frame.fitted(snapshots(), scale)

    def path(t):  # in model coordinates
        return np.stack([np.cos(t), t**2, np.exp(-t)], axis=-1)

    t, h = np.linspace(0.0, 2.0, 7), 1e-5
    there = (frame.to_data(path(t + h)) - frame.to_data(path(t - h))) / (2 * h)
    velocity = np.stack([-np.sin(t), 2 * t, -np.exp(-t)], axis=-1)
    np.testing.assert_allclose(frame.velocity_to_data(velocity), there, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_scores_are_gradients_of_log_densities(scale):
    frame = Frame.fitted(snapshots(), scale)
    x = snapshots()[0].x[:20]
    z, h = frame.to_model(x), 1e-6
    in_model = np.stack(
        [
            (density(frame.to_data(z + h * e))[0] - density(frame.to_data(z - h * e))[0]) / (2 * h)
            for e in np.eye(3)
        ],
        axis=-1,
    )
    np.testing.assert_allclose(frame.score_to_data(in_model), density(x)[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", SCALES)
def test_densities_keep_their_mass(scale):
    """A standard normal in model coordinates has, in data coordinates, the density of the normal it
    is moved to.
    """
    frame = Frame.fitted(snapshots(), scale)
    z = np.random.default_rng(1).normal(size=(50, 3))
    in_model = -0.5 * (z**2).sum(axis=1) - 1.5 * np.log(2 * np.pi)
    x = frame.to_data(z)
    expected = -0.5 * (
        ((x - frame.shift) / frame.scale) ** 2 + np.log(2 * np.pi * frame.scale**2)
    ).sum(axis=1)
    np.testing.assert_allclose(frame.log_density_to_data(in_model), expected)


def test_each_whitens_the_pooled_cells_and_joint_keeps_proportions():
    cells = snapshots()

    def pooled_variance(frame):
        return np.mean([p.weight @ frame.to_model(p.x) ** 2 for p in cells.populations], axis=0)

    np.testing.assert_allclose(pooled_variance(Frame.fitted(cells, "each")), 1.0)
    joint = Frame.fitted(cells, "joint")
    assert pooled_variance(joint).mean() == pytest.approx(1.0)
    assert len(set(joint.scale)) == 1
    none = Frame.fitted(cells, "none")
    np.testing.assert_array_equal(none.to_model(cells[0].x), cells[0].x)


@pytest.mark.parametrize("scale", ["joint", "each"])
def test_every_snapshot_counts_the_same(scale):
    cells = snapshots()
    large = cells[0]
    twice = Population(np.repeat(large.x, 3, axis=0), 0.0, np.repeat(large.weight, 3))
    one, other = Frame.fitted(cells, scale), Frame.fitted(Snapshots((twice, cells[1])), scale)
    np.testing.assert_allclose(one.shift, other.shift)
    np.testing.assert_allclose(one.scale, other.scale)


@pytest.mark.parametrize("scale", ["joint", "each"])
@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1e6, 1e30])
@pytest.mark.parametrize("constant", [0.0, 1 / 3, 1e9])
def test_units_of_the_data_do_not_matter(scale, factor, constant):
    """Nor for a dimension that does not vary, where later cells may differ."""
    cells = snapshots().moved(
        [np.column_stack([p.x, np.full(len(p), constant)]) for p in snapshots().populations]
    )
    other = cells.moved([factor * p.x for p in cells.populations])
    one, two = Frame.fitted(cells, scale), Frame.fitted(other, scale)
    np.testing.assert_allclose(factor * one.scale, two.scale, rtol=1e-9)
    later = cells[0].x + [1.0, 2.0, 3.0, 4.0]
    np.testing.assert_allclose(
        one.to_model(later), two.to_model(factor * later), rtol=1e-6, atol=1e-6
    )


def test_a_fit_to_data_in_other_units_is_the_same_fit():
    rng = np.random.default_rng(0)
    cells = Snapshots(tuple(Population(rng.normal(size=(40, 2)) + t, t) for t in (0.0, 1.0)))
    factor, quick = (
        2.0**-70,
        replace(ot_cfm(), training=Training(steps=5, batch_size=16)),
    )  # exact in binary
    one = fit(cells, quick)
    two = fit(cells.moved([factor * p.x for p in cells.populations]), quick)
    x = cells[0].x
    np.testing.assert_allclose(
        two.velocity(factor * x, 0.3), factor * one.velocity(x, 0.3), rtol=1e-6, atol=0.0
    )


def test_constant_dimensions_take_the_scale_of_all():
    x = np.column_stack([np.arange(5.0), np.full(5, 1e8 + 1 / 3)])
    cells = Snapshots((Population(x, 0.0), Population(np.add(x, [1.0, 0.0]), 1.0)))
    frame = Frame.fitted(cells, "each")
    assert frame.scale[1] == Frame.fitted(cells, "joint").scale[1]
    assert np.abs(frame.to_model(x)[:, 1]).max() < 1e-6
    still = Snapshots((Population(np.ones((3, 2)), 0.0), Population(np.ones((3, 2)), 1.0)))
    np.testing.assert_array_equal(Frame.fitted(still, "joint").scale, 1.0)


def test_an_unknown_scale():
    with pytest.raises(
        InputError,
        match=r"scale='joined' is not one of \['joint', 'each', 'none'\] \(did you mean 'joint'",
    ):
        Frame.fitted(snapshots(), "joined")

"""The least-squares potential of velocities: gradients exactly, rotations not at all."""

import numpy as np
import pytest

from cellflow.analysis.landscape import potential
from cellflow.synthetic import Bifurcation, TwoWell


def cells(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def solved(x, field, weight=None, **options):
    weight = np.ones(len(x)) if weight is None else weight
    return potential(x, [field], weight, **options)[0]


def matrices(d, seed=1):
    """A symmetric and an antisymmetric matrix of one norm."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((d, d))
    b = rng.standard_normal((d, d))
    symmetric, turning = -a @ a.T, b - b.T
    return symmetric / np.linalg.norm(symmetric), turning / np.linalg.norm(turning)


def test_the_drift_in_two_wells_has_the_potential_of_the_wells():
    system = TwoWell()
    x = system.sample(400, [1.0], np.random.default_rng(0))[0].x
    found = solved(x, lambda x: system.drift(1.0, x))
    known = (x[:, 1] ** 2 - 1) ** 2 + 0.5 * x[:, 0] ** 2
    np.testing.assert_allclose(found.value, known - known.mean(), atol=1e-4)
    assert found.unexplained < 1e-4


def test_a_bifurcation_has_its_potential():
    system = Bifurcation()
    x = system.sample(400, [2.0], np.random.default_rng(0))[0].x
    found = solved(x, lambda x: system.velocity(2.0, x))
    y = x[:, 1]
    known = -system.speed * x[:, 0] - system.rate * y**2 / 2 + y**4 / 4
    np.testing.assert_allclose(found.value, known - known.mean(), atol=1e-4)


@pytest.mark.parametrize(("n", "d"), [(3, 2), (12, 5), (60, 30), (400, 10)])
def test_gradients_are_recovered_from_few_cells_in_many_dimensions(n, d):
    x = cells(n, d)
    found = solved(x, lambda x: -(x**3))
    known = (x**4).sum(axis=1) / 4
    np.testing.assert_allclose(found.value, known - known.mean(), atol=2e-4 * known.std())


@pytest.mark.parametrize("d", [2, 10, 30])
def test_half_of_a_velocity_is_a_rotation(d):
    # In a standard Gaussian, Ax with antisymmetric A does not change the population: what is left
    # of the velocity Sx + Ax is the gradient Sx.
    symmetric, turning = matrices(d)
    x = cells(2000, d)
    found = solved(x, lambda x: x @ (symmetric + turning).T)
    known = -0.5 * np.einsum("nd,nd->n", x @ symmetric, x)
    off = found.value - (known - known.mean())
    assert found.unexplained == pytest.approx(0.5, abs=0.06)
    assert np.sqrt((off**2).mean()) < 0.15 * known.std()


@pytest.mark.parametrize("d", [2, 10, 30])
def test_a_rotation_has_no_potential(d):
    _, turning = matrices(d)
    x = cells(1000, d)
    found = solved(x, lambda x: x @ turning.T)
    assert 0.9 < found.unexplained <= 1.0
    # Against the work along the mean velocity, the potential is flat.
    assert found.value.std() < 0.1 * np.linalg.norm(x @ turning.T, axis=1).mean()


def test_a_rotation_far_from_its_centre_is_nearly_a_gradient():
    x = cells(500, 2) * 0.1 + np.array([5.0, 0.0])
    found = solved(x, lambda x: np.stack([-x[:, 1], x[:, 0]], axis=1))
    assert found.unexplained < 0.01
    assert np.corrcoef(found.value, -x[:, 1])[0, 1] > 0.99


def test_a_rotation_beside_two_wells_leaves_the_wells():
    rng = np.random.default_rng(3)
    x = cells(3000, 10) * 0.5
    x[:, 1] = rng.choice([-1.0, 1.0], 3000) + 0.35 * rng.standard_normal(3000)

    def downhill(x):
        slope = -x.copy()
        slope[:, 1] = -4 * x[:, 1] * (x[:, 1] ** 2 - 1)
        return slope

    def turning(x):
        at = np.zeros_like(x)
        wave = np.sin(3 * (x[:, 0] ** 2 + x[:, 2] ** 2))
        at[:, 0], at[:, 2] = -x[:, 2] * wave, x[:, 0] * wave
        return at

    ratio = np.sqrt((downhill(x) ** 2).sum() / (turning(x) ** 2).sum())
    found = solved(x, lambda x: downhill(x) + ratio * turning(x))
    known = (x[:, 1] ** 2 - 1) ** 2 + 0.5 * (np.delete(x, 1, 1) ** 2).sum(axis=1)
    assert found.unexplained == pytest.approx(0.5, abs=0.1)
    assert np.corrcoef(found.value, known)[0, 1] > 0.93


# Laws ---------------------------------------------------------------------------------------------


def field(x):
    return np.stack([np.sin(x[:, 1]), x[:, 0] ** 2], axis=1)


def test_neither_the_order_of_cells_nor_their_origin_matters():
    x = cells(200, 2)
    found = solved(x, field)
    order = np.random.default_rng(0).permutation(200)
    again = solved(x[order], field)
    np.testing.assert_allclose(again.value, found.value[order], atol=1e-9)
    moved = solved(x + 100.0, lambda x: field(x - 100.0))
    np.testing.assert_allclose(moved.value, found.value, atol=1e-4)
    assert moved.unexplained == pytest.approx(found.unexplained, abs=1e-3)


@pytest.mark.parametrize("factor", [1e-6, 7.0, 1e6])
def test_units_of_time_and_length(factor):
    x = cells(200, 2)
    found = solved(x, field)
    faster = solved(x, lambda x: factor * field(x))
    np.testing.assert_allclose(faster.value, factor * found.value, atol=1e-4 * factor)
    longer = solved(factor * x, lambda x: factor * field(x / factor))
    np.testing.assert_allclose(longer.value, factor**2 * found.value, atol=1e-4 * factor**2)
    assert longer.unexplained == pytest.approx(found.unexplained, rel=1e-3)


def test_repeated_positions_have_one_value():
    x = cells(60, 2)
    found = solved(np.concatenate([x, x[:7]]), field)
    np.testing.assert_array_equal(found.value[60:], found.value[:7])


def test_weights_choose_the_zero():
    x = cells(100, 2)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 100)
    found = solved(x, field, weight)
    assert weight @ found.value == pytest.approx(0.0, abs=1e-9)


def test_components_have_a_zero_each():
    x = cells(100, 2)
    x[50:] += 1000.0
    found = solved(x, lambda x: -(x - 500.0), n_neighbors=5)
    assert found.n_components == 2
    for part in (slice(0, 50), slice(50, 100)):
        known = 0.5 * ((x[part] - 500.0) ** 2).sum(axis=1)
        assert found.value[part].mean() == pytest.approx(0.0, abs=1e-6)
        np.testing.assert_allclose(found.value[part], known - known.mean(), atol=1e-3)


def test_one_position_has_no_potential():
    found = solved(np.ones((3, 2)), field)
    assert np.isnan(found.value).all()
    assert found.n_components == 0
    assert np.isnan(found.unexplained)


def test_two_cells_have_the_work_between_them_and_no_known_share():
    x = np.array([[0.0, 0.0], [1.0, 0.0]])
    found = solved(x, lambda x: np.stack([3 * x[:, 0] ** 2, 0 * x[:, 0]], axis=1))
    np.testing.assert_allclose(found.value, [0.5, -0.5], atol=1e-6)
    assert np.isnan(found.unexplained)


def test_where_nothing_moves_it_is_flat():
    found = solved(cells(50, 3), np.zeros_like)
    np.testing.assert_array_equal(found.value, 0.0)
    assert found.unexplained == 0.0


def test_several_fields_have_the_potential_of_their_mean():
    x = cells(200, 3)
    fields = [lambda x: -(x**3), lambda x: -x]
    found, members = potential(x, fields, np.ones(200))
    np.testing.assert_allclose(members.mean(axis=0), found.value, atol=1e-4)
    assert members.shape == (2, 200)

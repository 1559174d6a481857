import numpy as np
import pytest


@pytest.fixture
def reference(script):
    return script("moscot_reference")


def test_the_divergence_of_a_translation_is_its_square(reference):
    x = np.random.default_rng(0).normal(size=(40, 3))
    shift = np.array([1.0, -2.0, 0.5])
    assert reference.divergence(x, x + shift, 1.0) == pytest.approx(shift @ shift, rel=1e-3)
    assert reference.divergence(x, x, 1.0) == 0.0


def test_strong_penalties_keep_the_marginals(reference):
    cost = np.random.default_rng(1).random((6, 9))
    plan = reference.unbalanced(cost, penalties=(1e4, 1e4))
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 6, rtol=1e-3)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 9, rtol=1e-3)


def test_weak_penalties_let_mass_grow_where_the_cost_is_low(reference):
    cost = np.ones((4, 4)) - np.eye(4)
    cost[0, 0] = -1.0
    mass = reference.unbalanced(cost, penalties=(1.0, 1.0)).sum(axis=1)
    assert mass[0] > mass[1]
    np.testing.assert_allclose(mass[1:], mass[1])


def test_pairs_are_drawn_by_the_plan(reference):
    plan = np.diag([0.0, 0.5, 0.5])
    i, j = reference.drawn(plan, 20, 0)
    assert len(i) == 20
    assert (i == j).all()
    assert (i > 0).all()


def test_the_stored_values_of_moscot_are_ours(reference):
    if not reference.FILE.exists():
        pytest.skip(f"moscot's fixture is absent: {reference.FILE.name}")
    found = reference.references()
    assert len(found) == 6
    for value in found:
        assert value.found == pytest.approx(value.stored, rel=0.001), value.name


def test_a_plan_beats_random_pairs_in_one_space(reference):
    if not reference.FILE.exists():
        pytest.skip(f"moscot's fixture is absent: {reference.FILE.name}")
    interpolated, random, previous = reference.in_one_space()
    assert interpolated < random < previous

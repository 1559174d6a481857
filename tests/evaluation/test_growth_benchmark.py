"""Measures of `benchmarks/growth.py`, and methods with growth in the other benchmarks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import ot_cfm

from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Unbalanced
from cellflow.training import Training

RNG = np.random.default_rng


@pytest.fixture
def growth(script):
    return script("growth")


@pytest.fixture
def methods(script):
    return script("methods")


def doubling(n=40, n_times=3):
    """A cloud that stands still and doubles in each unit of time."""
    x = RNG(0).normal(size=(n, 2))
    return Snapshots(tuple(Population(x, float(t), mass=2.0**t) for t in range(n_times)))


def quick(methods, recipe=None):
    """A fit of moments with the growth that the sizes imply."""
    short = ot_cfm(training=Training(steps=200, batch_size=64, record_every=100))
    return methods.Fits((recipe or short).with_growth(), "none", "ot-cfm+mass")


def test_sizes_are_relative_to_the_first_snapshot(growth):
    x = RNG(0).normal(size=(50, 2))
    given = Snapshots(tuple(Population(x[:n], t) for n, t in ((20, 0.0), (50, 1.0))))
    assert [p.mass for p in growth.with_sizes(given).populations] == [1.0, 2.5]


def test_the_size_of_a_doubling_population_is_found(growth, methods):
    snapshots = doubling()
    flow, assumption = quick(methods).fitted(snapshots, random_state=0)
    found = growth.pushed(flow, snapshots[0], 2.0)
    assert assumption == "mass"
    assert found.mass == pytest.approx(4.0, rel=0.05)
    assert growth.compared(found, snapshots[2])["mass"] < 0.05


def test_the_known_rate_is_half_where_the_second_gene_is_one(growth):
    x = np.array([[5.0, 1.0], [5.0, 0.0], [0.0, 3.0]])
    np.testing.assert_allclose(growth.known_growth(x), [0.5, 0.0, 0.9])


def test_rates_are_compared_at_all_cells_of_fits_with_growth(growth):
    class Known:
        def __init__(self, *heads):
            self.recipe = {"heads": heads}

        def head(self, name, x, time):
            assert name == "growth"
            return 0.5 * growth.known_growth(x)

    snapshots = doubling()
    found = growth.rates(Known("velocity", "growth"), snapshots)
    assert (found["r"], found["slope"]) == pytest.approx((1.0, 0.5))
    assert growth.rates(Known("velocity"), snapshots) == {}


def test_weights_count_in_distances(growth):
    x = np.array([[0.0, 0.0], [10.0, 0.0]])
    known = Population(x[:1], 1.0, mass=2.0)
    found = growth.compared(Population(x, 1.0, np.array([0.9, 0.1]), mass=1.0), known)
    assert (found["w1"], found["mass"]) == pytest.approx((1.0, 0.5))


def test_a_cell_takes_the_type_of_most_cells_around_it(growth):
    later = np.concatenate([RNG(0).normal(size=(30, 2)), RNG(1).normal(size=(30, 2)) + 20.0])
    label = np.repeat(["ADL", "AWC"], 30)
    later[0] += 20.0  # one cell among the others
    landed = growth.majority(np.array([[0.0, 0.0], [20.0, 20.0]]), later, label)
    assert landed.tolist() == ["ADL", "AWC"]


def test_descendants_are_in_the_lineage_and_ancestors_are_not(growth):
    later = np.concatenate([np.zeros((20, 2)), np.full((20, 2), 9.0)])
    theirs = np.repeat(["ADL", "ADL_parent"], 20)
    x = np.array([[0.0, 0.0], [9.0, 9.0]])
    own = np.array(["ADL_parent", "ADL"])
    found = growth.own_lineage(x, own, later, theirs)
    assert found == {"share": 0.5, "progenitors": 1.0}


def test_composition_of_a_prediction_is_that_of_its_weights(growth):
    seen = np.concatenate([np.zeros((20, 2)), np.full((20, 2), 9.0)])
    rest = Snapshots((Population(seen, 0.0), Population(seen, 2.0)))
    types = [np.repeat(["a", "b"], 20)] * 2
    x = np.array([[0.0, 0.0], [9.0, 9.0]])
    cloud = Population(x, 1.0, np.array([0.8, 0.2]))
    known = np.array(["a", "b"])
    assert growth.composition(cloud, rest, types, known) == pytest.approx(0.3)


def test_assumptions_follow_the_name_of_a_recipe(methods):
    strong = methods.fits("curved-cfm+tau=0.3,epsilon=0.01").recipe
    assert strong.grows
    assert strong.coupling == Unbalanced(0.3, epsilon=0.01)
    assert methods.fits("ot-cfm@50+mass").recipe.training.steps == 50
    assert methods.fits("ot-cfm+auto").growth == "auto"
    assert not methods.fits("ot-cfm").recipe.grows
    assert methods.named("ot-cfm+mass").name == "ot-cfm+mass"


def test_a_choice_is_made_from_the_snapshots_that_a_method_may_see(methods):
    """Two snapshots allow none; a cloud that stands still is best kept balanced."""
    snapshots = Snapshots(tuple(replace(p, mass=1.0) for p in doubling(n_times=4).populations))
    method = methods.Fits(ot_cfm(), "auto", "ot-cfm+auto")
    few = Snapshots(snapshots.populations[:2])
    assert method.chosen(few, random_state=0)[1] == "none"
    recipe, assumption, _ = method.chosen(snapshots, random_state=0)
    assert (assumption, recipe.grows) == ("none", False)


def test_assumptions_are_counted(script, capsys):
    rows = pd.DataFrame(
        {
            "set": ["a", "a", "b", "b"],
            "method": ["ot-cfm+auto"] * 3 + ["straight"],
            "assumption": ["none", "tau=1", "tau=1", ""],
        }
    )
    script("across").assumed(rows)
    printed = capsys.readouterr().out
    assert "| all | 1 | 2 |" in printed
    assert "straight" not in printed

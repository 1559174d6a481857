"""Plans that are given: the pairs, costs and masses of a fit are those of the matrices."""

import numpy as np
import pytest
import scipy.sparse as sp

import cellflow as cf
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Exact, Given, Lineage
from cellflow.errors import CouplingError, CouplingWarning, InputError
from cellflow.model.description import coupling_from, describe
from conftest import quick_recipe


def populations(n=7, m=5, seed=0):
    rng = np.random.default_rng(seed)
    return Population(rng.normal(size=(n, 2)), 0.0), Population(rng.normal(size=(m, 2)), 2.0)


def matrix(n=7, m=5, seed=1):
    mass = np.random.default_rng(seed).random((n, m))
    return mass / mass.sum()


def dense(plan):
    mass = np.zeros(plan.shape)
    np.add.at(mass, (plan.i, plan.j), plan.mass)
    return mass


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csr_array, sp.coo_matrix])
def test_the_plan_is_the_matrix(kind):
    source, target = populations()
    plan = Given({(0, 2): kind(matrix())})(source, target)
    np.testing.assert_allclose(dense(plan), matrix(), rtol=1e-12)
    squares = ((source.x[:, None] - target.x[None]) ** 2).sum(axis=2)
    assert plan.cost == pytest.approx((matrix() * squares).sum())
    assert plan.total == pytest.approx(1.0)
    assert plan.gap is None


def test_the_optimal_plan_given_is_the_optimal_plan():
    source, target = populations()
    optimal = Exact()(source, target)
    again = Given({(0.0, 2.0): dense(optimal)})(source, target)
    np.testing.assert_allclose(dense(again), dense(optimal), rtol=1e-12)
    assert again.cost == pytest.approx(optimal.cost)


def test_mass_of_an_unbalanced_plan_is_kept():
    source, target = populations()
    assert Given({(0.0, 2.0): 0.4 * matrix()})(source, target).total == pytest.approx(0.4)


def test_rows_say_which_cell_is_which():
    source, target = populations()
    order = np.random.default_rng(2).permutation(7)
    given = Given({(0.0, 2.0): matrix()[order]}, {0.0: order})
    np.testing.assert_allclose(dense(given(source, target)), matrix(), rtol=1e-12)


def test_some_of_the_cells_keep_the_masses_between_them():
    source, target = populations()
    rows = np.array([1, 4, 6])
    plan = Given({(0.0, 2.0): matrix()})(source.part(rows), target)
    part = matrix()[rows]
    np.testing.assert_allclose(dense(plan), part / part.sum(), rtol=1e-12)


def test_mass_that_leaves_the_cells_is_reported():
    source, target = populations()
    given = Given({(0.0, 2.0): matrix()})
    lost = matrix()[:, 3:].sum()
    with pytest.warns(CouplingWarning, match=f"{lost:.0%} of the mass"):
        given(source, target.part(np.arange(3)))


def test_what_is_not_given_is_an_error_that_says_what_is():
    source, target = populations()
    with pytest.raises(CouplingError, match=r"from time 0 to 2.*given are 0 to 1"):
        Given({(0.0, 1.0): matrix()})(source, target)
    with pytest.raises(CouplingError, match="2 of 7 cells at time 0 are not among the 5"):
        Given({(0.0, 2.0): matrix(5, 5)})(source, target)
    nothing = matrix()
    nothing[:2] = 0
    with pytest.raises(CouplingError, match="no mass between these 2 and 5"):
        Given({(0.0, 2.0): nothing})(source.part(np.arange(2)), target)


@pytest.mark.parametrize(
    ("plans", "rows", "message"),
    [
        ({}, None, "a matrix for each interval"),
        ({(0, 1): -matrix()}, None, "35 negative"),
        ({(0, 1): np.zeros((2, 2))}, None, "sum of 0"),
        ({(0, 1): np.full((2, 2), np.nan)}, None, "4 that are not finite"),
        ({(0, 1): matrix()}, {0: np.arange(3)}, "shape .7, 5.*3 cells at time 0"),
        ({(0, 1): matrix(), (1, 2): matrix()}, None, "5 cells at time 1"),
    ],
)
def test_matrices_that_are_no_plans_are_refused(plans, rows, message):
    with pytest.raises(InputError, match=message):
        Given(plans, rows)


def moved_by(adata, plans):
    """A fit by given plans between the cells of `make_cells`."""
    recipe = quick_recipe()
    method = cf.recipes.ot_cfm(coupling=plans, training=recipe.training)
    return cf.tl.flow(adata, "hours", method=method, copy=True)


def in_order(adata):
    """The k-th cell of a time becomes the k-th of the next."""
    n = adata.n_obs // 3
    rows = {t: np.flatnonzero(adata.obs["hours"] == t) for t in (0.0, 12.0, 48.0)}
    return Given({(0.0, 12.0): np.eye(n) / n, (12.0, 48.0): np.eye(n) / n}, rows)


def test_a_fit_takes_given_plans_and_records_their_checksum(cells):
    given = in_order(cells)
    fitted = moved_by(cells, given)
    plans = fitted.uns["cellflow"]["plans"]
    assert plans["0.0_to_12.0"]["coupling"] == {"type": "Given", "checksum": given.checksum}
    x = cf.get.flow(fitted).frame.to_model(cells.obsm["X_pca"])
    cost = ((x[:30] - x[30:60]) ** 2).sum(axis=1).mean()
    assert plans["0.0_to_12.0"]["cost"] == pytest.approx(cost, rel=1e-5)


def test_the_record_survives_a_file_and_moves_cells(cells, tmp_path):
    import anndata as ad

    moved_by(cells, in_order(cells)).write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert np.isfinite(cf.tl.push(again, time=48.0).obsm["X_pca"]).all()


def test_given_plans_under_barcodes_are_the_rest():
    """`Lineage` couples what its clones leave by the coupling inside of it."""
    source, target = populations()
    given = Given({(0.0, 2.0): matrix()})
    np.testing.assert_allclose(
        dense(Lineage(given)(source, target)), dense(given(source, target)), rtol=1e-9
    )


def test_a_fit_does_not_keep_the_plans():
    described = {"coupling": describe(Given({(0.0, 2.0): matrix()}))}
    with pytest.raises(InputError, match="data that a fit does not keep"):
        coupling_from(described)


def test_checksums_tell_plans_apart():
    one = Given({(0.0, 2.0): matrix()}).checksum
    assert one == Given({(0, 2): sp.csr_matrix(matrix())}).checksum
    assert one != Given({(0.0, 2.0): matrix(seed=3)}).checksum
    assert one != Given({(0.0, 1.0): matrix()}).checksum


def test_what_would_replace_given_plans_is_refused(cells, frozen):
    method = cf.recipes.ot_cfm(coupling=in_order(cells), training=quick_recipe().training)
    with frozen(cells), pytest.raises(InputError, match=r"growth='learn' with the given plans"):
        cf.tl.flow(cells, "hours", method=method, growth="learn")
    with frozen(cells), pytest.raises(InputError, match=r"n_members=2 with given plans"):
        cf.tl.flow(cells, "hours", method=method, n_members=2)


def test_growth_is_learned_from_given_plans():
    """Half of the cells has three descendants for one of the others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1)) * 0.1
    source = Population(x + np.repeat([-2.0, 2.0], 100)[:, None], 0.0)
    target = Population(x + np.repeat([-2.0, 2.0], [50, 150])[:, None], 1.0)
    mass = np.zeros((200, 200))
    mass[:100, :50] = 0.25 / (100 * 50)
    mass[100:, 50:] = 0.75 / (100 * 150)
    from cellflow.training import Training

    recipe = cf.recipes.ot_cfm(
        coupling=Given({(0.0, 1.0): mass}), training=Training(steps=600, record_every=300)
    )
    flow = cf.fit(Snapshots((source, target)), recipe.with_growth())
    rate = flow.simulate(np.array([[-2.0], [2.0]]), 0.0, [1.0]).along["log_weight"][-1]
    np.testing.assert_allclose(rate[1] - rate[0], np.log(3.0), atol=0.25)

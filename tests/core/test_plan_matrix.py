"""Plans as sparse matrices: masses are those of the plan."""

import numpy as np
import pytest
import scipy.sparse as sp

from cellflow.core.plans import BlockPlan, MixedPlan, ProductPlan, plan_matrix, without_small
from cellflow.core.population import Population
from cellflow.errors import CouplingError
from examples import COUPLINGS, clouds


def plans():
    x, y = clouds()
    pair = (Population(x, 0.0), Population(y, 1.0))
    made = {name: coupling(*pair) for name, coupling in COUPLINGS.items() if name != "Lineage"}
    halves = (np.arange(0, 40, 2), np.arange(1, 40, 2)), (np.arange(15), np.arange(15, 30))
    inside = [
        COUPLINGS["Sparse"](pair[0].part(i), pair[1].part(j)) for i, j in zip(*halves, strict=True)
    ]
    made["blocks"] = BlockPlan((40, 30), inside, *halves, np.array([0.3, 0.7]))
    parts = [made["Entropic"], made["Independent"]]
    made["mixed"] = MixedPlan(parts, [0.25, 0.75], cost=1.0)
    return made


PLANS = plans()


@pytest.mark.parametrize("name", PLANS)
def test_masses_are_those_of_the_plan(name):
    plan = PLANS[name]
    matrix = plan_matrix(plan)
    assert matrix.shape == plan.shape
    assert isinstance(matrix, sp.csr_matrix)
    np.testing.assert_allclose(np.ravel(matrix.sum(axis=1)), plan.row_mass, atol=1e-7)
    np.testing.assert_allclose(np.ravel(matrix.sum(axis=0)), plan.col_mass, atol=1e-7)
    values = np.random.default_rng(0).normal(size=(30, 2))
    with np.errstate(invalid="ignore"):
        mean = matrix @ values / np.asarray(matrix.sum(axis=1))
    np.testing.assert_allclose(mean, plan.barycentre(values), atol=1e-5)


@pytest.mark.parametrize("name", PLANS)
def test_rows_keep_their_mass_without_small_entries(name):
    plan = PLANS[name]
    cut = plan_matrix(plan, least=0.05)
    np.testing.assert_allclose(np.ravel(cut.sum(axis=1)), plan.row_mass, atol=1e-7)
    assert cut.nnz <= plan_matrix(plan).nnz


def test_entries_below_the_share_of_the_largest_are_left_out():
    matrix = sp.csr_matrix([[8.0, 4.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    cut = without_small(matrix, 0.25)
    np.testing.assert_allclose(cut.toarray(), [[26 / 3, 13 / 3, 0, 0], [0, 0, 0, 0]])
    assert matrix.nnz == 3  # unchanged
    np.testing.assert_array_equal(without_small(matrix, 0.0).toarray(), matrix.toarray())


def test_blocks_of_rows_are_joined(monkeypatch):
    rng = np.random.default_rng(0)
    row, column = (w / w.sum() for w in (rng.random(9), rng.random(4)))
    plan = ProductPlan(row, column, cost=1.0)
    monkeypatch.setattr("cellflow.core.plans.matrix._BLOCK", 8)
    np.testing.assert_allclose(plan_matrix(plan).toarray(), np.outer(row, column), rtol=1e-12)


def test_a_plan_of_another_class_is_refused():
    with pytest.raises(CouplingError, match="of type object"):
        plan_matrix(object())

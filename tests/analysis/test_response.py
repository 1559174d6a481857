"""How a state changes with a gene: laws of both kinds, and of several genes at once."""

import numpy as np
import pytest

from cellflow.analysis.genes.response import (
    covariance_of,
    joint_response,
    kinds_of,
    leverage,
    responses,
)
from cellflow.errors import InputError

RNG = np.random.default_rng(0)
LOADINGS = RNG.normal(size=(40, 3))
MIXED = RNG.normal(size=(3, 3))
X = RNG.normal(size=(500, 3)) @ MIXED
BOTH = {"covariance": covariance_of(X), "all_loadings": LOADINGS}


@pytest.mark.parametrize("kind", ["covariance", "alone", "auto"])
def test_a_gene_changes_by_one_unit(kind):
    change = responses(LOADINGS, kind=kind, **BOTH)
    np.testing.assert_allclose((change * LOADINGS).sum(axis=1), 1.0)


def test_the_covariance_gives_the_slope_of_the_cells_on_the_gene():
    y = X @ LOADINGS[4]
    slope = [np.cov(X[:, k], y)[0, 1] / y.var(ddof=1) for k in range(3)]
    np.testing.assert_allclose(responses(LOADINGS[[4]], kind="covariance", **BOTH)[0], slope)


def test_alone_the_other_genes_change_least():
    change = responses(LOADINGS[[7]], kind="alone", **BOTH)[0]
    least = ((LOADINGS @ change) ** 2).sum()
    for off in RNG.normal(size=(20, 3)):
        along = off - (off @ LOADINGS[7]) / (LOADINGS[7] @ LOADINGS[7]) * LOADINGS[7]
        assert ((LOADINGS @ (change + 0.1 * along)) ** 2).sum() >= least


def test_genes_that_are_coordinates_are_changed_alone():
    loadings = np.eye(3)
    assert leverage(loadings).tolist() == [1.0, 1.0, 1.0]
    assert kinds_of(loadings, loadings, "auto").tolist() == ["alone"] * 3
    change = responses(loadings, covariance=BOTH["covariance"], all_loadings=loadings)
    np.testing.assert_allclose(change, np.eye(3))
    # A rotation of all coordinates is none of the data.
    turned = np.linalg.qr(MIXED)[0]
    change = responses(turned, covariance=BOTH["covariance"], all_loadings=turned)
    np.testing.assert_allclose(turned @ change.T, np.eye(3), atol=1e-12)


def test_leverages_sum_to_the_dimensions():
    assert leverage(LOADINGS).sum() == pytest.approx(3)
    assert kinds_of(LOADINGS, LOADINGS, "auto").tolist() == ["covariance"] * 40


@pytest.mark.parametrize("kind", ["covariance", "alone"])
def test_several_genes_are_set_independently(kind):
    both = joint_response(LOADINGS[:2], kind=kind, **BOTH)
    np.testing.assert_allclose(LOADINGS[:2] @ both, np.eye(2), atol=1e-12)
    one = joint_response(LOADINGS[:1], kind=kind, **BOTH)
    np.testing.assert_allclose(one[:, 0], responses(LOADINGS[:1], kind=kind, **BOTH)[0])


def test_genes_that_cannot_be_set_are_refused_or_nan():
    with pytest.raises(InputError, match="independently"):
        joint_response(LOADINGS[[1, 1]], **BOTH)
    with pytest.raises(InputError, match="independently"):
        joint_response(LOADINGS[:4], **BOTH)
    flat = np.diag([1.0, 1.0, 0.0])
    change = responses(np.eye(3), kind="covariance", covariance=flat, all_loadings=LOADINGS)
    assert np.isnan(change[2]).all()
    assert np.isfinite(change[:2]).all()
    with pytest.raises(InputError, match=r"response='covariances'.*did you mean 'covariance'"):
        responses(LOADINGS, kind="covariances", **BOTH)


def test_weights_count_cells():
    weight = np.zeros(500)
    weight[:10] = 2.0
    weight[5] = 4.0
    repeated = np.vstack([X[:10], X[5:6]])
    np.testing.assert_allclose(covariance_of(X, weight), covariance_of(repeated))
    with pytest.raises(InputError, match="at least two"):
        covariance_of(X[:1])

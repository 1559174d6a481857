"""Genes and fates that calls are asked about."""

import numpy as np
import pytest

import cellflow as cf
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.genes import gene_values, seen_genes
from cellflow.errors import InputError, MissingKeyError
from cellflow.tl._fate_question import fate_question
from conftest import quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")


@pytest.fixture
def labelled(fitted):
    fitted.obs["cell_type"] = np.where(fitted.obsm["X_pca"][:, 2] > 0, "up/per", "lower")
    return fitted


def test_genes_are_found_once_and_by_what_is_decoded(fitted):
    fit = read_fitted(fitted, "cellflow")
    every = seen_genes(fitted, fit)
    good = fitted.var["cf_gene_r2"].to_numpy() >= 0.1
    assert every.columns.tolist() == np.flatnonzero(good).tolist()
    some = fitted.var_names[every.columns[:2]][::-1].tolist()
    found = seen_genes(fitted, fit, some)
    assert found.decoder.genes.tolist() == some
    np.testing.assert_allclose(
        gene_values(fitted, fit, found.columns),
        np.asarray(fitted[:, some].X.todense())
        if hasattr(fitted.X, "todense")
        else fitted[:, some].X,
    )
    with pytest.raises(InputError, match="more than once"):
        seen_genes(fitted, fit, [some[0], some[0]])
    with pytest.raises(MissingKeyError, match=r"did you mean|names look like"):
        seen_genes(fitted, fit, [some[0] + "x"])
    with pytest.raises(InputError, match="chooses no gene"):
        seen_genes(fitted, fit, [])


def test_a_gene_that_the_representation_cannot_see_is_refused_by_name(fitted):
    fitted.X = np.asarray(fitted.X.todense()) if hasattr(fitted.X, "todense") else fitted.X.copy()
    fitted.X[:, 0] = np.random.default_rng(0).permutation(np.linspace(0, 3, fitted.n_obs))
    cf.tl.flow(fitted, "hours", method=quick_recipe())
    name = fitted.var_names[0]
    with pytest.raises(InputError, match=rf"'{name}' \(R2 .*0.1"):
        seen_genes(fitted, read_fitted(fitted, "cellflow"), [name])


@pytest.mark.parametrize("absorb", [None, ["up/per"]])
def test_the_question_is_that_of_the_fates(labelled, absorb):
    from cellflow.analysis.fates import fates

    cf.tl.fates(labelled, absorb=absorb)
    fit = read_fitted(labelled, "cellflow")
    question = fate_question(labelled, fit)
    again = fates(fit.flow, question.cells, question.targets, noise=question.noise)
    n = len(question.stored.names)
    np.testing.assert_allclose(again.probability[:, :n], question.stored.probability)
    assert question.number("lower") == 0
    with pytest.raises(InputError, match=r"fate='lowr'.*did you mean 'lower'"):
        question.number("lowr")


def test_the_noise_of_the_fates_is_known(labelled):
    cf.tl.fates(labelled, stochastic=True, n_rep=3, random_state=4)
    noise = fate_question(labelled, read_fitted(labelled, "cellflow")).noise
    assert (noise.n_rep, noise.seed) == (3, 4)


def test_without_fates_or_labels_nothing_is_asked(labelled):
    fit = read_fitted(labelled, "cellflow")
    with pytest.raises(MissingKeyError, match=r"cf.tl.fates"):
        fate_question(labelled, fit)
    cf.tl.fates(labelled)
    stored = labelled.obsm["lineages_fwd"]
    stored[labelled.obs["hours"].to_numpy() != 48, 0] = 0.0
    with pytest.raises(InputError, match="no cell before the end"):
        fate_question(labelled, fit).number("lower")
    labelled.obs["cell_type"] = "lower"
    with pytest.raises(InputError, match=r"no cell of \['up/per'\]"):
        fate_question(labelled, fit)


def test_labels_that_have_changed_are_noticed(labelled):
    cf.tl.fates(labelled)
    fit = read_fitted(labelled, "cellflow")
    labelled.obs["cell_type"] = np.where(labelled.obsm["X_pca"][:, 1] > 0, "up/per", "lower")
    with pytest.raises(InputError, match="has changed since"):
        fate_question(labelled, fit)


def test_trends_by_fate_go_with_the_fates_and_others_stay(labelled):
    genes = labelled.var_names[labelled.var["cf_gene_r2"] >= 0.1][:1].tolist()
    cf.tl.fates(labelled)
    cf.tl.trends(labelled, genes, fate="lower", n_times=3)
    cf.tl.fates(labelled)
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.trends"):
        cf.get.trends(labelled)
    cf.tl.trends(labelled, genes, n_times=3)
    cf.tl.fates(labelled)
    assert len(cf.get.trends(labelled))


@pytest.mark.parametrize(
    "change", [lambda y: (y - y.mean(0)) / y.std(0), np.expm1, lambda y: y * 5]
)
def test_expression_in_another_unit_than_at_the_fit_is_refused(fitted, change):
    fit = read_fitted(fitted, "cellflow")
    columns = seen_genes(fitted, fit).columns
    before = gene_values(fitted, fit, columns)
    for rows in (slice(None, None, 3), fitted.obsm["X_pca"][:, 0] > 1.0):
        some = fitted[rows].copy()
        gene_values(some, read_fitted(some, "cellflow"), columns[:1])
    fitted.X = change(np.asarray(fitted.X.todense()) if hasattr(fitted.X, "todense") else fitted.X)
    assert np.isfinite(before).all()
    with pytest.raises(InputError, match="is not the expression that the fit was made with"):
        gene_values(fitted, fit, columns)

"""`cf.tl.perturb`: what is written and read back, and requests that cannot be answered."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.errors import InputError, InputTypeError, InputWarning, MissingKeyError
from conftest import quick_recipe

pytestmark = [
    pytest.mark.usefixtures("long_steps"),
    pytest.mark.filterwarnings("ignore::cellflow.errors.IntegrationWarning"),
]

COLUMNS = [
    *("perturbation", "quantity", "fate", "unperturbed", "perturbed", "effect", "unit"),
    *("se", "low", "high", "p", "p_matched", "null_low", "null_high"),
    *("log_odds", "log_odds_low", "log_odds_high"),
]


def labelled(adata):
    adata.obs["kind"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "upper", "lower")
    cf.tl.fates(adata, "kind")
    return adata


@pytest.fixture(scope="module")
def known(fitted_as):
    """Fits with fates of two kinds: a single flow with a score, an ensemble with growth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cf.Flow, "step", property(lambda flow: flow.clock.unit / 3))
        return {kind: labelled(fitted_as(kind)) for kind in ("score", "ensemble")}


@pytest.fixture
def fated(known):
    return known["score"].copy()


@pytest.fixture
def sure(known):
    return known["ensemble"].copy()


def test_the_table_of_a_single_flow(fated):
    cf.tl.perturb(fated, {"gene1": "+1sd"}, n_null=3)
    table = cf.get.perturbation(fated)
    assert list(table.columns) == COLUMNS
    assert list(table["fate"]) == ["lower", "upper", "undecided", ""]
    assert list(table["quantity"]) == ["fate", "fate", "undecided", "mass"]
    np.testing.assert_allclose(table["unperturbed"][:2].sum(), 1.0)
    np.testing.assert_allclose(
        table["effect"][:3], 100 * (table["perturbed"] - table["unperturbed"])[:3]
    )
    shares = table[:2]
    odds = np.log(shares["perturbed"] / (1 - shares["perturbed"]))
    odds -= np.log(shares["unperturbed"] / (1 - shares["unperturbed"]))
    np.testing.assert_allclose(shares["log_odds"], odds)
    assert table[["se", "low", "high", "p"]].isna().all(axis=None)
    assert "A single flow gives no intervals" in table.attrs["words"]["gene1=+1sd"]


def test_unperturbed_cells_have_the_fates_that_were_written(fated):
    cf.tl.perturb(fated, {"gene1": "+0sd"}, hold=False, n_null=0)
    table = cf.get.perturbation(fated).set_index("fate")
    of_time = fated.obs["hours"] == 0
    p = fated.obsm["lineages_fwd"][of_time].mean(axis=0)
    np.testing.assert_allclose(
        table.loc[["lower", "upper"], "unperturbed"], p[:2] / p[:2].sum(), atol=1e-3
    )
    assert (table["effect"] == 0.0).all()
    assert table[["p_matched", "null_low", "null_high"]].isna().all(axis=None)


def test_an_ensemble_gives_intervals_of_fates_and_mass(sure):
    cf.tl.perturb(sure, {"gene1": "-1sd"}, n_null=2, level=0.8)
    table = cf.get.perturbation(sure)
    assert table[["se", "low", "high", "p"]].notna().all(axis=None)
    assert (table["low"] <= table["effect"]).all()
    assert (table["null_low"] <= table["null_high"]).all()
    mass = table[table["quantity"] == "mass"].iloc[0]
    np.testing.assert_allclose(mass["effect"], np.log(mass["perturbed"] / mass["unperturbed"]))


def test_genes_and_support_are_told(fated):
    cf.tl.perturb(fated, {"gene1": 2.5, "gene3": "-0.5 SD"}, time=12, n_null=0, name="two")
    genes = cf.get.perturbation(fated, "two", table="genes")
    assert list(genes["asked"]) == ["2.5", "-0.5sd"]
    np.testing.assert_allclose(genes["after"][0], 2.5)
    np.testing.assert_allclose(genes["change_sd"][1], -0.5)
    assert set(genes["response"]) == {"covariance"}
    support = cf.get.perturbation(fated, table="support")
    assert list(support["time"]) == [12.0, 48.0]
    assert support["unperturbed"][0] > 0.9


def test_several_are_kept_and_one_of_the_same_name_is_replaced(fated):
    for edits in ({"gene1": 0.0}, {"gene2": "+1sd"}, {"gene1": 0.0}):
        cf.tl.perturb(fated, edits, n_null=0)
    table = cf.get.perturbation(fated)
    # The newest is the last.
    assert list(table["perturbation"].unique()) == ["gene2=+1sd", "gene1=0"]
    assert len(cf.get.perturbation(fated, "gene2=+1sd")) == 4
    cf.tl.fates(fated, "kind")
    with pytest.raises(MissingKeyError, match="no perturbation"):
        cf.get.perturbation(fated)


def test_cells_and_ends_can_be_chosen(fated):
    names = fated.obs_names[fated.obs["hours"] == 0][:9]
    cf.tl.perturb(fated, {"gene1": 0.0}, cells=list(names), until=12.0, n_null=0)
    record = fated.uns["cellflow"]["perturbations"]["gene1=0"]
    assert (record["time"], record["until"], record["n_cells"]) == (0.0, 12.0, 9)
    cf.tl.perturb(fated, {"gene1": 0.0}, max_cells=7, n_null=0)
    assert fated.uns["cellflow"]["perturbations"]["gene1=0"]["n_cells"] == 7


def test_cells_of_the_score_are_refined_and_keep_their_values(fated):
    cf.tl.perturb(fated, {"gene1": "+3sd"}, refine=True, hold=False, n_null=0)
    assert "by the score" in cf.get.perturbation(fated).attrs["words"]["gene1=+3sd"]
    genes = cf.get.perturbation(fated, table="genes")
    np.testing.assert_allclose(genes["change_sd"], 3.0)


def test_results_do_not_depend_on_the_order_of_cells(fated):
    cf.tl.perturb(fated, {"gene1": 0.0}, n_null=2)
    turned = fated[::-1].copy()
    cf.tl.perturb(turned, {"gene1": 0.0}, n_null=2)
    pd.testing.assert_frame_equal(
        cf.get.perturbation(turned), cf.get.perturbation(fated), rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # of formats
def test_files_keep_perturbations(fated, form, tmp_path):
    fated.var_names = ["a/b", *fated.var_names[1:]]
    cf.tl.flow(fated, "hours", method=quick_recipe())
    cf.tl.fates(fated, "kind")
    cf.tl.perturb(fated, {"a/b": 0.0}, n_null=0)
    path = tmp_path / f"a.{form}"
    getattr(fated, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    for table in ("effects", "genes", "support"):
        pd.testing.assert_frame_equal(
            cf.get.perturbation(again, "a_b=0", table=table),
            cf.get.perturbation(fated, "a_b=0", table=table),
            check_dtype=False,
        )
    cf.tl.flow(fated, "hours", method=quick_recipe())
    assert "perturbations" not in fated.uns["cellflow"]


@pytest.mark.parametrize(
    ("edits", "given", "kind", "words"),
    [
        ({"GENE1": 0.0}, {}, MissingKeyError, "did you mean 'gene1'"),
        ({}, {}, InputError, "names no gene"),
        (["gene1"], {}, InputTypeError, "expected a dictionary"),
        ({1: 0.0}, {}, InputTypeError, "expected names of genes"),
        ({"gene1": -0.5}, {}, InputError, "never below zero"),
        ({"gene1": np.nan}, {}, InputError, "0.0 for a knock-out"),
        ({"gene1": True}, {}, InputError, "0.0 for a knock-out"),
        ({"gene1": "2 sd"}, {}, InputError, r"such as '\+2sd'"),
        ({"gene1": "+2 SDs"}, {}, InputError, r"such as '\+2sd'"),
        ({"gene1": 0.0}, {"time": 48}, InputError, "at or after the end of the fates, 48"),
        ({"gene1": 0.0}, {"time": 12, "until": 12}, InputError, "at or after the end"),
        ({"gene1": 0.0}, {"time": 13}, InputError, r"one of \[0.0, 12.0, 48.0\]"),
        ({"gene1": 0.0}, {"until": 100}, InputError, "until=100: no cell with a label"),
        ({"gene1": 0.0}, {"cells": [0, 40]}, InputError, "is of time 12, not 0"),
        ({"gene1": 0.0}, {"cells": [0], "time": 12}, InputError, "is of time 0, not 12"),
        ({"gene1": 0.0}, {"cells": [7]}, InputError, "has no time"),
        ({"gene1": 0.0}, {"cells": ["cell"]}, MissingKeyError, "obs_names"),
        ({"gene1": 0.0}, {"name": "a/b"}, InputError, "without '/'"),
        ({"gene1": 0.0}, {"response": "alnoe"}, InputError, "did you mean 'alone'"),
        ({"gene1": 0.0}, {"level": 1.5}, InputError, "level"),
        ({"gene1": 0.0}, {"n_null": -1}, InputError, "n_null"),
        ({f"gene{i}": 0.0 for i in range(5)}, {}, InputError, "independently"),
    ],
)
def test_unusable_requests_are_refused(fated, frozen, edits, given, kind, words):
    with frozen(fated), pytest.raises(kind, match=words):
        cf.tl.perturb(fated, edits, **given)


def test_genes_that_are_not_seen_are_refused_by_name(fated, frozen):
    rng = np.random.default_rng(0)
    fated.X = fated.X.toarray()
    fated.X[:, 4] = rng.random(90)
    cf.tl.flow(fated, "hours", method=quick_recipe())
    cf.tl.fates(fated, "kind")
    with frozen(fated), pytest.raises(InputError, match=r"'gene4' \(R2 -?0"):
        cf.tl.perturb(fated, {"gene4": 0.0})


def test_without_fates_or_a_score(fitted, fitted_as, frozen):
    with frozen(fitted), pytest.raises(MissingKeyError, match=r"cf\.tl\.fates"):
        cf.tl.perturb(fitted, {"gene1": 0.0})
    plain = labelled(fitted_as("default"))
    with frozen(plain), pytest.raises(InputError, match="without a score"):
        cf.tl.perturb(plain, {"gene1": 0.0}, refine=True)
    cf.tl.perturb(plain, {"gene1": 0.0}, n_null=0)
    with pytest.raises(MissingKeyError, match="expected one of"):
        cf.get.perturbation(plain, "gene2=0")
    with pytest.raises(InputError, match="did you mean 'genes'"):
        cf.get.perturbation(plain, table="gene")


def test_absence_in_centred_expression_is_doubted(fitted_as):
    adata = fitted_as("score")
    adata.obs["kind"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "upper", "lower")
    expression = adata.to_df().to_numpy()
    adata.layers["centred"] = expression - expression.mean(axis=0)
    cf.tl.flow(adata, "hours", layer="centred", method=quick_recipe(), overwrite=True)
    cf.tl.fates(adata, "kind")
    with pytest.warns(InputWarning, match="not absence"):
        cf.tl.perturb(adata, {"gene1": 0.0}, n_null=0)


def test_a_mass_that_no_edit_changes_is_no_effect(fated):
    """Without growth, differences of masses are rounding."""
    cf.tl.perturb(fated, {"gene1": "+1sd"}, n_null=5)
    table = cf.get.perturbation(fated).set_index("quantity")
    assert table.loc["mass", "p_matched"] == 1.0
    fates = table.loc["fate"]
    assert ((fates["null_low"] < 0) | (fates["null_high"] > 0)).all()

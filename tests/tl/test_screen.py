"""`cf.tl.screen`: tables, agreement with single perturbations, requests that are refused."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.errors import InputError, MissingKeyError
from conftest import make_cells, quick_recipe

pytestmark = [
    pytest.mark.usefixtures("long_steps"),
    pytest.mark.filterwarnings("ignore::cellflow.errors.IntegrationWarning"),
]

COLUMNS = [
    *("gene", "fate", "effect_pp", "se", "low", "high", "log_odds", "p", "p_matched", "q"),
    *("simulated", "on_manifold", "change_sd", "r2", "leverage", "response"),
]


@pytest.fixture(scope="module")
def known(fitted_as):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cf.Flow, "step", property(lambda flow: flow.clock.unit / 3))
        made = {kind: fitted_as(kind) for kind in ("score", "ensemble")}
        for adata in made.values():
            adata.obs["kind"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "upper", "lower")
            cf.tl.fates(adata, "kind")
        return made


@pytest.fixture
def fated(known):
    return known["score"].copy()


@pytest.fixture
def sure(known):
    return known["ensemble"].copy()


def test_every_gene_and_fate_has_a_row(fated):
    cf.tl.screen(fated, to="-1sd", n_simulated=3)
    table = cf.get.screen(fated)
    assert list(table.columns) == COLUMNS
    assert len(table) == 24
    assert not table[["gene", "fate"]].duplicated().any()
    assert table["simulated"].sum() == 6
    assert (table["on_manifold"].notna() == table["simulated"]).all()
    assert table[["se", "low", "high", "p"]].isna().all(axis=None)
    assert table["q"].isna().all()
    assert table["p_matched"].is_monotonic_increasing
    assert "no q-values" in table.attrs["words"]
    # Of two fates, one gains what the other loses.
    wide = table.pivot_table("effect_pp", "gene", "fate")
    np.testing.assert_allclose(wide["upper"], -wide["lower"], atol=1e-6)


def test_the_genes_that_are_simulated_are_those_of_the_largest_effects(fated):
    cf.tl.screen(fated, to="-1sd", n_simulated=0, fate="upper")
    first = cf.get.screen(fated)
    assert set(first["fate"]) == {"upper"}
    assert not first["simulated"].any()
    largest = first.iloc[(-first["log_odds"].abs()).argsort()]["gene"].tolist()[:4]
    cf.tl.screen(fated, to="-1sd", n_simulated=4, fate="upper")
    table = cf.get.screen(fated)
    assert set(table.loc[table["simulated"], "gene"]) == set(largest)
    cf.tl.screen(fated, to="-1sd", n_simulated=99, fate="upper")
    assert cf.get.screen(fated)["simulated"].all()
    assert "12 were simulated" in cf.get.screen(fated).attrs["words"]


@pytest.mark.parametrize("hold", [True, False])
def test_simulated_effects_are_those_of_a_perturbation(sure, hold, monkeypatch):
    monkeypatch.setattr(cf.Flow, "step", property(lambda flow: flow.clock.unit / 8))
    cf.tl.screen(sure, ["gene1", "gene5"], to=3.0, n_simulated=2, hold=hold)
    table = cf.get.screen(sure, "upper").set_index("gene")
    for gene in ("gene1", "gene5"):
        cf.tl.perturb(sure, {gene: 3.0}, hold=hold, n_null=0, name="one")
        alone = cf.get.perturbation(sure, "one").set_index("fate").loc["upper"]
        for mine, theirs in (("effect_pp", "effect"), ("se", "se"), ("p", "p"), ("low", "low")):
            np.testing.assert_allclose(
                table.loc[gene, mine], alone[theirs], rtol=2e-2, atol=1e-2, err_msg=mine
            )


def test_an_ensemble_has_intervals_of_all_genes(sure):
    cf.tl.screen(sure, to="+0.5sd", n_simulated=2)
    table = cf.get.screen(sure)
    first = table[~table["simulated"]]
    assert first[["se", "low", "high", "p", "q"]].notna().all(axis=None)
    assert (first["low"] <= first["effect_pp"]).all()
    assert (first["effect_pp"] <= first["high"]).all()
    assert (first["q"] >= first["p"] - 1e-12).all()


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # of formats
def test_files_keep_a_screen_until_new_fates(fated, form, tmp_path):
    cf.tl.screen(fated, n_simulated=1)
    path = tmp_path / f"a.{form}"
    getattr(fated, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    pd.testing.assert_frame_equal(cf.get.screen(again), cf.get.screen(fated), check_dtype=False)
    cf.tl.fates(fated, "kind")
    with pytest.raises(MissingKeyError, match="no screen"):
        cf.get.screen(fated)


def test_results_do_not_depend_on_the_order_of_cells(fated):
    cf.tl.screen(fated, n_simulated=2, to="-1sd")
    turned = fated[::-1].copy()
    cf.tl.screen(turned, n_simulated=2, to="-1sd")
    pd.testing.assert_frame_equal(
        cf.get.screen(turned).sort_values(["gene", "fate"], ignore_index=True),
        cf.get.screen(fated).sort_values(["gene", "fate"], ignore_index=True),
        rtol=1e-3,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"genes": ["GENE1"]}, MissingKeyError, "did you mean 'gene1'"),
        ({"genes": ["gene1", 1]}, InputError, "genes"),
        ({"genes": ["gene1", "gene1"]}, InputError, "more than once"),
        ({"genes": []}, InputError, "chooses no gene"),
        ({"fate": "uper"}, InputError, "did you mean 'upper'"),
        ({"to": -1.0}, InputError, "never below zero"),
        ({"to": "2sd"}, InputError, r"such as '\+2sd'"),
        ({"to": float("nan")}, InputError, "0.0 for a knock-out"),
        ({"time": 48}, InputError, "at or after the end"),
        ({"n_simulated": -1}, InputError, "n_simulated"),
    ],
)
def test_unusable_requests_are_refused(fated, frozen, given, kind, words):
    with frozen(fated), pytest.raises(kind, match=words):
        cf.tl.screen(fated, **given)


def test_another_end_has_fates_of_its_own(fated, frozen):
    labels = fated.obs["kind"].astype(object)
    labels[(fated.obs["hours"] == 12) & (labels == "upper")] = "early"
    fated.obs["kind"] = labels
    cf.tl.fates(fated, "kind")
    cf.tl.screen(fated, until=12, fate="early", n_simulated=1, to="-1sd")
    assert set(cf.get.screen(fated)["fate"]) == {"early"}
    with frozen(fated), pytest.raises(InputError, match="did you mean 'early'"):
        cf.tl.screen(fated, until=12, fate="eraly")
    with frozen(fated), pytest.raises(InputError, match="fate='early'"):
        cf.tl.screen(fated, fate="early")


def test_a_fate_that_no_cell_reaches_is_refused_by_name(fated, frozen):
    p = fated.obsm["lineages_fwd"].copy()
    column = list(fated.uns["cellflow"]["fates"]["names"]).index("upper")
    p[fated.obs["hours"].to_numpy() != 48, column] = 0.0
    fated.obsm["lineages_fwd"] = p
    with frozen(fated), pytest.raises(InputError, match="reaches it"):
        cf.tl.screen(fated, fate="upper")
    cf.tl.screen(fated, fate="lower", n_simulated=0)
    with pytest.raises(InputError, match="did you mean 'lower'"):
        cf.get.screen(fated, "lowe")


def test_errors_of_shares_are_those_of_log_odds_where_the_share_is():
    """In the limit of small errors, an interval of the log-odds is one of the share."""
    from cellflow.analysis.genes.effects import Estimate
    from cellflow.analysis.genes.first_order import FirstOrder
    from cellflow.tl._screen_table import _of_first_order

    odds = Estimate(np.array([0.0, 2.0, -3.0]), np.full(3, 1e-4), np.full(3, 1e6))
    found = FirstOrder(np.array([0.3]), odds, np.ones(3))
    columns = _of_first_order(found, (1, 3), 0.9)
    np.testing.assert_allclose(
        columns["high"] - columns["low"], 2 * 1.6448536 * columns["se"], rtol=1e-4
    )
    np.testing.assert_allclose(columns["effect_pp"][0, 0], 0.0, atol=1e-12)


def test_changes_that_few_cells_show_count_as_those_of_three_deviations(fated):
    cf.tl.screen(fated, to=30.0, n_simulated=0, fate="upper")
    first = cf.get.screen(fated)
    assert (first["change_sd"] > 3).sum() > 4
    assert "of their standard deviations" in first.attrs["words"]
    reach = first["log_odds"].abs() * 3 / first["change_sd"].clip(lower=3)
    expected = set(first["gene"][reach.sort_values()[::-1].index[:3]])
    cf.tl.screen(fated, to=30.0, n_simulated=3, fate="upper")
    table = cf.get.screen(fated)
    assert set(table["gene"][table["simulated"]]) == expected


def test_a_gene_that_does_not_vary_has_no_effect_in_a_standard_deviation():
    """Neither a warning nor a division by the rounding of zero."""
    adata = make_cells()
    adata.obsm["X_pca"][adata.obs["hours"].to_numpy() == 0, 3] = 0.5
    loadings = np.eye(12, 4)
    loadings[4:8, :3] = np.eye(4, 3)
    adata.varm["PCs"] = loadings
    adata.X = (adata.obsm["X_pca"] @ loadings.T).astype(np.float32)
    cf.tl.flow(adata, "hours", method=quick_recipe())
    adata.obs["kind"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "upper", "lower")
    cf.tl.fates(adata, "kind")
    cf.tl.screen(adata, to="+1sd", n_simulated=20, response="covariance")
    table = cf.get.screen(adata).set_index("gene")
    values = ["effect_pp", "log_odds", "p_matched", "change_sd"]
    assert table.loc["gene3", values].isna().all(axis=None)
    assert not table.loc["gene3", "simulated"].any()
    others = table.drop(index="gene3")
    assert others[values].notna().all(axis=None)
    assert others["simulated"].all()
    assert "6 were simulated" in table.attrs["words"]

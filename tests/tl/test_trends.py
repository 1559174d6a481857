"""`cf.tl.trends` and `cf.get.trends`: what is written, what it says, and what is refused."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.errors import InputError, InputTypeError, MissingKeyError
from conftest import make_cells, quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")

GENES = ["gene3", "gene1"]


def trends(adata, genes=GENES, table="trends", **how):
    cf.tl.trends(adata, genes, **({"n_times": 5} | how))
    return cf.get.trends(adata, table=table)


def with_fates(n, **how):
    """Cells of two conditions, with growth, and the fates of two halves of the space."""
    adata = make_cells(n)
    adata.obs["half"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    adata.obs["drug"] = np.tile(["none", "some"], n // 2)
    how = {"method": quick_recipe(), "growth": "learn", "condition_key": "drug"} | how
    cf.tl.flow(adata, "hours", **how)
    cf.tl.fates(adata, "half")
    return adata


@pytest.fixture(scope="module")
def made():
    return with_fates(300)


@pytest.fixture(scope="module")
def surely():
    return with_fates(150, n_members=4)


@pytest.fixture
def adata(made):
    """A single flow."""
    return made.copy()


@pytest.fixture
def sure(surely):
    """An ensemble."""
    return surely.copy()


def expression(adata, genes=GENES):
    return adata[:, genes].X.toarray().astype(float)


# Values -------------------------------------------------------------------------------------------


def test_at_snapshots_trends_are_the_means_of_the_cells(fitted_as):
    adata = fitted_as("growth")
    table = trends(adata)
    assert len(table) == 2 * 5  # the grid has the times of all three snapshots
    assert list(table["time"].unique()) == [0.0, 12.0, 24.0, 36.0, 48.0]
    for time in (0.0, 12.0, 48.0):
        here = table.query("time == @time").set_index("gene").loc[GENES]
        cells = expression(adata[(adata.obs["hours"] == time).to_numpy()])
        # These genes are linear in the representation, but for rounding.
        np.testing.assert_allclose(here["mean"], cells.mean(axis=0), rtol=1e-3)
        np.testing.assert_allclose(here["measured"], cells.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(here["sd"], cells.std(axis=0), rtol=0.01)
    between = ~table["time"].isin([0.0, 12.0, 48.0])
    assert table.loc[between, "measured"].isna().all()
    assert table["supported"].all()
    assert (table[["fate", "group", "condition"]] == "all").all(axis=None)
    assert table[["se", "low", "high"]].isna().all(axis=None)
    assert "A single flow has no standard errors" in table.attrs["words"]


def test_a_gene_that_is_seen_in_part_has_its_measured_means(cells):
    cells.X = cells.X.toarray()
    time = cells.obs["hours"].to_numpy()
    cells.X[:, 7] += np.random.default_rng(1).normal(size=cells.n_obs) + (time == 12)
    cf.tl.flow(cells, "hours", method=quick_recipe())
    table = trends(cells, ["gene7"])
    assert 0.1 < table["r2"].iloc[0] < 0.9
    there = table[table["measured"].notna()]
    np.testing.assert_allclose(there["mean"], there["measured"], rtol=1e-6)
    assert (there["decoded"] - there["measured"]).abs().max() > 0.2
    # The residuals of the cells are part of the spread between cells.
    sd = [cells.X[time == t, 7].std() for t in (0.0, 12.0, 48.0)]
    np.testing.assert_allclose(there["sd"], sd, rtol=0.25)


def test_standard_errors_are_those_of_the_cells_that_might_have_been_measured(sure):
    """At a snapshot nothing is moved: its error is that of a mean over its cells."""
    genes = [f"gene{k}" for k in range(12)]
    table = trends(sure, genes).query("time in [0, 12, 48]")
    n = 50
    ratio = (table["se"] ** 2).mean() / (table["sd"] ** 2 / n).mean()
    assert 0.4 < ratio < 2.0
    assert (table["low"] < table["mean"]).all()
    assert (table["mean"] < table["high"]).all()
    t = (table["high"] - table["mean"]) / table["se"]
    np.testing.assert_allclose(t, 2.92, rtol=1e-3)  # Student's t of two pairs, two-sided 90 %


@pytest.mark.parametrize("align", [True, False])
def test_where_samples_are_known_standard_errors_are_those_of_samples(align):
    """Also where the fit has removed the offsets by which samples differ."""
    rng = np.random.default_rng(0)
    adata = make_cells(360)
    adata.obs["mouse"] = [f"m{h:g}_{k % 6}" for k, h in enumerate(adata.obs["hours"])]
    names, code = np.unique(adata.obs["mouse"], return_inverse=True)
    offsets = 0.35 * rng.normal(size=(len(names), 4))[code]
    adata.obsm["X_pca"] = (adata.obsm["X_pca"] + offsets).astype(np.float32)
    adata.X = (adata.X.toarray() + offsets @ adata.varm["PCs"].T).astype(np.float32)
    cf.tl.flow(
        adata, "hours", method=quick_recipe(), n_members=6, sample_key="mouse", align_samples=align
    )
    assert np.any(adata.uns["cellflow"]["samples"]["offsets"]) == align
    table = trends(adata, list(adata.var_names), times=[0, 12, 48])
    means = pd.DataFrame(adata.X, columns=adata.var_names).groupby(adata.obs["mouse"].to_numpy())
    time = means.first().index.str.extract(r"m(\d+)_")[0].to_numpy()
    expected = means.mean().groupby(time).var().to_numpy().mean() / 6
    assert 0.4 < (table["se"] ** 2).mean() / expected < 2.0
    assert (table["sd"] ** 2).mean() / 120 < 0.3 * expected  # cells as replicates would say this


def test_fates_add_up_to_all_cells_by_their_shares(adata):
    names = list(adata.uns["cellflow"]["fates"]["names"])
    each = trends(adata, fate=names, min_cells=1)
    whole = trends(adata)
    each["part"] = each["share"] * each["mean"].fillna(0.0)
    # Undecided mass leads to where no cell is: between snapshots, its trend is masked.
    each["known"] = each["supported"] | (each["share"] == 0)
    by = each.groupby(["gene", "time"], observed=True)
    known = by["known"].all()
    assert known.sum() >= 6
    expected = whole.set_index(["gene", "time"])["mean"].loc[known.index[known]]
    np.testing.assert_allclose(by["part"].sum()[known], expected, rtol=1e-6)
    np.testing.assert_allclose(by["share"].sum(), 1.0)


def test_trends_of_a_fate_are_weighted_by_its_probability(adata):
    table = trends(adata, fate="a").query("time == 12")
    here = (adata.obs["hours"] == 12).to_numpy()
    p = adata.obsm["lineages_fwd"][here, list(adata.uns["cellflow"]["fates"]["names"]).index("a")]
    np.testing.assert_allclose(table["share"], p.mean())
    np.testing.assert_allclose(table["measured"], p @ expression(adata[here]) / p.sum())
    np.testing.assert_allclose(table["n_eff"], p.sum() ** 2 / (p**2).sum())


def test_a_group_is_that_of_each_time_or_of_the_start(adata):
    groups = trends(adata, groupby="half")
    here = groups.query("time == 48 and group == 'a' and gene == 'gene3'").iloc[0]
    cells = adata[((adata.obs["hours"] == 48) & (adata.obs["half"] == "a")).to_numpy()]
    assert here["measured"] == pytest.approx(expression(cells)[:, 0].mean())
    assert here["n_eff"] == pytest.approx(cells.n_obs)
    followed = trends(adata, groupby="half", start="0 h")
    ends = followed.query("time == 48 and group == 'a' and gene == 'gene3'").iloc[0]
    first = ((adata.obs["hours"] == 0) & (adata.obs["half"] == "a")).to_numpy()
    moved = cf.tl.push(adata, first, time=48, genes=["gene3"])
    mean = np.average(moved.X[:, 0], weights=moved.obs["weight"])
    assert ends["mean"] == pytest.approx(mean, rel=1e-4)
    assert np.isnan(ends["measured"])
    assert followed.query("time == 0")["measured"].notna().all()


def test_each_condition_has_the_trend_of_its_own_cells(adata):
    table = trends(adata, condition=["some", "none"])
    assert list(table["condition"].unique()) == ["some", "none"]
    alone = trends(adata, condition="none")
    own = table.query("condition == 'none'").reset_index(drop=True)
    np.testing.assert_allclose(own["mean"], alone["mean"])
    here = alone.query("time == 12")
    cells = adata[((adata.obs["hours"] == 12) & (adata.obs["drug"] == "none")).to_numpy()]
    np.testing.assert_allclose(here["measured"], expression(cells).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(here["n_eff"], cells.n_obs)


def test_fates_in_another_condition_are_computed_there():
    """Cells that precede both conditions have the fates of the one that is asked for."""
    adata = make_cells(150)
    adata.obs["half"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    adata.obs["drug"] = np.tile(["none", "some"], 75)
    cf.tl.flow(adata, "hours", method=quick_recipe(), condition_key="drug", shared_until=0)
    cf.tl.fates(adata, "half")
    shares = {}
    for drug in ("none", "some"):
        table = trends(adata, fate=["a", "b"], condition=drug, min_cells=1)
        shares[drug] = table.query("time == 0 and gene == 'gene3' and fate == 'a'")["share"].item()
        early = adata.copy()
        early.obs.loc[early.obs["hours"] == 0, "drug"] = drug
        cf.tl.flow(early, "hours", method=quick_recipe(), condition_key="drug", shared_until=0)
        cf.tl.fates(early, "half")
        here = (early.obs["hours"] == 0).to_numpy()
        expected = early.obsm["lineages_fwd"][here, 0].mean()
        assert shares[drug] == pytest.approx(expected, abs=0.02)


def test_differences_are_within_members_and_part_where_their_interval_does(sure):
    table = trends(sure, fate=["a", "b"], n_times=13)
    differ = cf.get.trends(sure, table="differences")
    a, b = (table.query("fate == @fate")["mean"].to_numpy() for fate in "ab")
    np.testing.assert_allclose(differ["difference"], a - b)
    assert set(differ["by"]) == {"fate"}
    when = cf.get.trends(sure, table="parting").set_index("gene")
    assert list(when.index) == GENES
    for gene in GENES:
        rows = differ.query("gene == @gene")
        shown = (rows["low"] > 0) | (rows["high"] < 0)
        run = int(np.logical_and.accumulate(shown.to_numpy()[::-1]).sum())
        last = rows.iloc[-1]
        assert when.loc[gene, "last_difference"] == pytest.approx(last["difference"])
        if run == 0:
            assert np.isnan(when.loc[gene, "time"])
        else:
            assert when.loc[gene, "time"] <= rows["time"].iloc[-run]
            assert run == len(rows) or when.loc[gene, "time"] > rows["time"].iloc[-run - 1]


def test_a_single_flow_has_no_time_of_parting(fitted_as):
    adata = fitted_as("default")
    adata.obs["half"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    when = trends(adata, groupby="half", table="parting")
    assert when[["time", "low", "high"]].isna().all(axis=None)
    assert when["last_difference"].notna().all()


def test_times_without_support_are_masked(adata):
    table = trends(adata, fate=["a", "b"], min_cells=52)
    assert 0 < table["supported"].sum() < len(table)
    np.testing.assert_array_equal(table["supported"], (table["n_eff"] >= 52))
    values = table[["mean", "sd"]]
    np.testing.assert_array_equal(values.notna().all(axis=1), table["supported"])
    assert "have no support" in table.attrs["words"]
    off = cf.get.trends(adata, table="differences")
    assert off.loc[~off["supported"], "difference"].isna().all()


# Writing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", ["write_h5ad", "write_zarr"])
@pytest.mark.filterwarnings("ignore")  # zarr's and anndata's own, about formats
def test_results_survive_files_and_go_with_the_fit(sure, tmp_path, write):
    trends(sure, fate=["a", "b"])
    getattr(sure, write)(tmp_path / "a")
    again = (ad.read_h5ad if write == "write_h5ad" else ad.read_zarr)(tmp_path / "a")
    for table in ("trends", "differences", "parting"):
        pd.testing.assert_frame_equal(
            cf.get.trends(again, table=table), cf.get.trends(sure, table=table)
        )
    cf.tl.flow(again, "hours", method=quick_recipe())
    with pytest.raises(MissingKeyError, match=r"no trends.*cf\.tl\.trends"):
        cf.get.trends(again)


def test_a_copy_leaves_the_cells_unchanged(sure, frozen):
    with frozen(sure):
        one = cf.tl.trends(sure, GENES, fate="a", n_times=5, copy=True)
        two = cf.tl.trends(sure, GENES, fate="a", n_times=5, copy=True)
    pd.testing.assert_frame_equal(cf.get.trends(one), cf.get.trends(two))


def test_the_order_of_the_cells_does_not_matter_to_trends(sure):
    other = sure[np.random.default_rng(0).permutation(sure.n_obs)].copy()
    one = trends(sure)
    two = trends(other)
    columns = ["mean", "sd", "measured", "share", "n_eff", "off_data"]
    np.testing.assert_allclose(one[columns], two[columns], rtol=1e-5)
    assert two["se"].between(0.0, 1.0, inclusive="neither").all()  # other halves of the same cells


def test_tables_are_copies(fitted_as):
    adata = fitted_as("default")
    trends(adata)["mean"] = 0.0
    assert (cf.get.trends(adata)["mean"] != 0).all()


# What is refused ----------------------------------------------------------------------------------


def unseen(adata):
    """A gene of noise, which no representation sees."""
    adata.X = adata.X.toarray()
    adata.X[:, 5] = np.random.default_rng(9).normal(size=adata.n_obs)
    cf.tl.flow(adata, "hours", method=quick_recipe())


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"genes": ["gene33"]}, MissingKeyError, "did you mean 'gene3'"),
        ({"genes": ["gene3", "gene3"]}, InputError, "more than once"),
        ({"genes": []}, InputError, "chooses no gene"),
        ({"fate": "c"}, InputError, r"fate='c'; expected one of \['a', 'b'\]"),
        ({"fate": ["a", "a"]}, InputError, "fate= names"),
        ({"fate": []}, InputError, r"fate=\[\]; expected a name"),
        ({"condition": "other"}, InputError, "other"),
        ({"condition": []}, InputError, "names none"),
        ({"condition": ["some", "some"]}, InputError, "condition= names"),
        ({"groupby": "halves"}, MissingKeyError, "did you mean 'half'"),
        ({"n_times": 0}, InputError, "n_times=0"),
        ({"times": [0.0, 60.0]}, InputError, "Time 60 .* outside the times of the fit"),
        ({"times": []}, InputError, r"times=\[\]"),
        ({"start": 5}, InputError, "start=5: no cell was measured at time 5"),
        ({"level": 1.0}, InputError, "level=1.0"),
        ({"min_cells": 0}, InputError, "min_cells=0"),
        ({"fate": 3}, InputError, "fate=3"),
        ({"groupby": 3}, InputTypeError, "groupby=3"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(made, frozen, how, error, message):
    arguments = {"genes": GENES} | how
    with frozen(made), pytest.raises(error, match=message):
        cf.tl.trends(made, **arguments)


def test_what_a_fit_does_not_have_is_refused(fitted_as, frozen):
    adata = fitted_as("default")
    with frozen(adata), pytest.raises(MissingKeyError, match=r"call cf\.tl\.fates"):
        cf.tl.trends(adata, GENES, fate="a")
    with frozen(adata), pytest.raises(InputError, match="without conditions"):
        cf.tl.trends(adata, GENES, condition="some")
    trends(adata)
    with pytest.raises(MissingKeyError, match="one trend of each gene"):
        cf.get.trends(adata, table="parting")
    with pytest.raises(InputError, match="table='trend'"):
        cf.get.trends(adata, table="trend")


def test_a_gene_that_the_representation_cannot_see_is_refused_by_name(cells, frozen):
    unseen(cells)
    with frozen(cells), pytest.raises(InputError, match=r"'gene5' \(R2 0\.0"):
        cf.tl.trends(cells, ["gene3", "gene5"])

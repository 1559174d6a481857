"""cf.tl.least_action_path: ends, times, what is written and returned."""

import anndata as ad
import numpy as np
import pytest

import cellflow as cf
from cellflow.errors import InputError, IntegrationWarning, MissingKeyError


@pytest.fixture
def halved(fitted_as):
    """A fit without a score, whose cells have a type."""
    adata = fitted_as("default")
    late = adata.obs["hours"] == 48.0
    adata.obs["type"] = np.where(late, np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b"), "root")
    return adata


def about(adata):
    return adata.uns["cellflow"]["least_action"]


def test_a_path_between_two_cells(halved):
    cf.tl.least_action_path(halved, "cell3", "cell80", n_steps=20)
    found = about(halved)
    x = halved.obsm["X_pca"]
    assert found["path"].shape == (21, 4)
    np.testing.assert_allclose(found["path"][[0, -1]], x[[3, 80]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["times"], np.linspace(0.0, 48.0, 21))
    assert found["action"][0] == 0.0
    assert (np.diff(found["action"]) >= 0).all()
    assert found["action"][-1] <= min(found["straight"], found["flow"]) + 1e-9
    assert found["kind"] == "flow"
    assert found["converged"]
    assert "cell 'cell3' at 0" in found["words"]


def test_where_the_flow_leads_the_action_is_zero(halved):
    flow = cf.get.flow(halved)
    x = halved.obsm["X_pca"][3]
    moved = flow.simulate(x[None], 0.0, [24.0]).x[0, 0]
    cf.tl.least_action_path(halved, x, moved, time=0.0, until=24.0)
    found = about(halved)
    assert found["action"][-1] < 1e-4 * found["straight"]
    assert found["miss"] < 1e-3
    middle = flow.simulate(x[None], 0.0, [12.0]).x[0, 0]
    np.testing.assert_allclose(found["path"][25], middle, atol=1e-2)


def test_sigma_scales_the_action_of_a_flow_and_not_its_path(halved):
    cf.tl.least_action_path(halved, 3, 80, n_steps=10, sigma=0.1)
    first = about(halved)
    cf.tl.least_action_path(halved, 3, 80, n_steps=10, sigma=0.2)
    second = about(halved)
    np.testing.assert_allclose(first["action"], 4 * second["action"], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(first["path"], second["path"], atol=1e-3)


def test_groups_are_taken_where_they_are_frequent(halved):
    cf.tl.least_action_path(halved, "root", "a", groupby="type", n_steps=10)
    found = about(halved)
    assert found["times"][[0, -1]].tolist() == [0.0, 48.0]
    x = halved.obsm["X_pca"][(halved.obs["type"] == "a").to_numpy()]
    nearest = x[((x - x.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    np.testing.assert_allclose(found["path"][-1], nearest, rtol=1e-5, atol=1e-6)
    assert found["target"].startswith("group 'a' (cell 'cell")
    cf.tl.least_action_path(halved, "cell0", "a", groupby="type", n_steps=10)
    assert about(halved)["source"] == "cell 'cell0'"
    # Of cells at the nearest time.
    cf.tl.least_action_path(halved, "root", "a", groupby="type", time=11.0, n_steps=10)
    row = int(about(halved)["source"].split("'cell")[1].split("'")[0])
    assert halved.obs["hours"].iloc[row] == 12.0
    assert about(halved)["times"][0] == 11.0


def test_numbers_of_clusters_are_groups(halved):
    halved.obs["cluster"] = halved.obs["type"].map({"root": 0, "a": 1, "b": 2})
    cf.tl.least_action_path(halved, 0, 2, groupby="cluster", n_steps=5)
    assert about(halved)["target"].startswith("group '2'")


def test_the_best_time_of_arrival(halved):
    flow = cf.get.flow(halved)
    x = halved.obsm["X_pca"][3]
    moved = flow.simulate(x[None], 0.0, [18.0]).x[0, 0]
    cf.tl.least_action_path(halved, "cell3", moved, until="optimal", n_steps=20)
    found = about(halved)
    assert found["times"][-1] == pytest.approx(18.0, abs=0.5)
    late = cf.tl.least_action_path(halved, "cell3", moved, until=48.0, n_steps=20, copy=True)
    assert found["action"][-1] < 0.05 * about(late)["action"][-1]


def test_the_drift_is_used_where_there_is_a_score(fitted):
    drift = cf.tl.least_action_path(fitted, 3, 80, n_steps=5, copy=True)
    flow = cf.tl.least_action_path(fitted, 3, 80, n_steps=5, kind="flow", copy=True)
    assert about(drift)["kind"] == "drift"
    assert about(flow)["kind"] == "flow"
    assert about(drift)["action"][-1] != pytest.approx(about(flow)["action"][-1], rel=1e-3)


def test_an_ensemble_has_members(fitted_as):
    adata = fitted_as("ensemble")
    cf.tl.least_action_path(adata, 3, 80, n_steps=5)
    found = about(adata)
    assert found["members"].shape == (2,)
    assert found["se"] == pytest.approx(abs(np.diff(found["members"])[0]) / 2)
    assert found["member_paths"].shape == (2, 6, 4)
    table = cf.get.least_action_path(adata, ["gene2"], interval=0.9)
    assert table.columns.tolist() == ["time", "action", "gene2", "gene2_low", "gene2_high"]
    inner = table.iloc[1:-1]
    assert (inner["gene2_low"] < inner["gene2"]).all()
    assert (inner["gene2"] < inner["gene2_high"]).all()
    # All members end where they should.
    np.testing.assert_allclose(table["gene2_low"].iloc[-1], table["gene2"].iloc[-1], rtol=1e-6)
    assert table.attrs["se"] == found["se"]


def test_a_condition(fitted_as, frozen):
    adata = fitted_as("conditions")
    with frozen(adata), pytest.raises(InputError, match="condition="):
        cf.tl.least_action_path(adata, 3, 100)
    cf.tl.least_action_path(adata, 3, 100, condition="some", n_steps=5)
    assert about(adata)["condition"] == "drug='some'"
    other = cf.tl.least_action_path(adata, 3, 100, condition="none", n_steps=5, copy=True)
    assert about(other)["action"][-1] != about(adata)["action"][-1]


def test_the_table(halved, tmp_path):
    cf.tl.least_action_path(halved, "cell3", "cell80", n_steps=10)
    table = cf.get.least_action_path(halved)
    assert table.columns.tolist() == ["time", "action", *(f"pca_{k}" for k in range(4))]
    np.testing.assert_array_equal(table.filter(like="pca"), about(halved)["path"])
    genes = cf.get.least_action_path(halved, ["gene5", "gene2"])
    decoder = cf.get.flow(halved).decoder
    known = decoder.mean + about(halved)["path"] @ decoder.loadings.T
    np.testing.assert_allclose(genes["gene5"], known[:, 5], rtol=1e-4)
    assert genes.attrs["straight"] == about(halved)["straight"]
    assert "Least action" in genes.attrs["words"]
    halved.write_h5ad(tmp_path / "path.h5ad")
    again = cf.get.least_action_path(ad.read_h5ad(tmp_path / "path.h5ad"), ["gene5", "gene2"])
    np.testing.assert_array_equal(again, genes)
    assert again.attrs == genes.attrs


def test_it_goes_with_a_new_fit(halved):
    from conftest import quick_recipe

    cf.tl.least_action_path(halved, 3, 80, n_steps=5)
    cf.tl.flow(halved, "hours", method=quick_recipe())
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.least_action_path"):
        cf.get.least_action_path(halved)


@pytest.mark.parametrize(
    ("ends", "options", "said"),
    [
        (("cell07", 80), {}, "no cell of adata.obs_names.*did you mean"),
        (("root", 80), {}, "pass groupby="),
        (("rot", 80), {"groupby": "type"}, "no group.*did you mean 'root'"),
        ((3, 80), {"groupby": "kind"}, "kind"),
        ((3, 900), {}, "target=900 is no row of adata. Expected 0 to 89"),
        ((-1, 80), {}, "source=-1 is no row"),
        ((True, 80), {}, r"shape \(\)"),
        ((np.zeros(3), 80), {}, r"shape \(4,\)"),
        (([0.0, np.nan, 0.0, 0.0], 80), {}, "finite"),
        ((80, 3), {}, "not before the target.*exchange them"),
        ((3, 4), {}, "not before the target"),
        ((80, 3), {"until": "optimal"}, "earlier time="),
        ((3, 80), {"time": 48.0}, "not before"),
        ((3, 80), {"until": 500.0}, "mean interval"),
        ((3, 80), {"until": "best"}, "best"),
        ((3, 80), {"n_steps": 1}, "n_steps"),
        ((3, 80), {"n_steps": 10_000}, "n_steps=10000.*at most 1,000"),
        ((3, 80), {"kind": "up"}, "expected 'flow'"),
        ((3, 80), {"kind": "drift"}, "no score"),
        ((3, 80), {"sigma": 0.0}, "above 0"),
        ((3, 80), {"condition": "a"}, "without conditions"),
        ((None, 80), {}, "source"),
    ],
)
def test_bad_input(halved, frozen, ends, options, said):
    with frozen(halved), pytest.raises(InputError, match=said):
        cf.tl.least_action_path(halved, *ends, **options)


def test_times_outside_are_marked(halved):
    with pytest.warns(IntegrationWarning, match="extrapolated"):
        cf.tl.least_action_path(halved, 3, 80, until=60.0, n_steps=5)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"genes": ["gene99"]}, MissingKeyError, "gene99"),
        ({"genes": ["gene1", "gene1"]}, InputError, "more than once"),
        ({"interval": 0.9}, InputError, "n_members"),
        ({"interval": 1.5}, InputError, "interval"),
    ],
)
def test_what_a_table_cannot_have(halved, options, error, said):
    cf.tl.least_action_path(halved, 3, 80, n_steps=5)
    with pytest.raises(error, match=said):
        cf.get.least_action_path(halved, **options)

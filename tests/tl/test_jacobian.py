"""`cf.tl.jacobian`, `cf.tl.divergence` and `cf.tl.curl`: closed forms, tables, bad input."""

import warnings
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from cellflow.recipes import fm
from torch import nn

import cellflow as cf
from cellflow.core._spread import spread
from cellflow.errors import InputError, InputWarning, MissingKeyError
from cellflow.fields.dynamics import Dynamics
from cellflow.training import Training
from conftest import quick_recipe

GENES = ["a", "b", "c"]
MATRIX = np.array([[-0.3, -1.0, 0.0], [0.5, -0.2, 0.7], [0.0, 0.4, -0.6]])
COLUMNS = [
    *("group", "regulator", "target", "value", "scaled", "se", "low", "high", "p", "q"),
    *("response", "n_cells"),
]


class Linear(nn.Module):
    def __init__(self, matrix):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix, dtype=torch.float32))

    def forward(self, t, x):
        return x @ self.matrix.T


@pytest.fixture(scope="module")
def circuit():
    """A fit whose representation is the expression of three genes."""
    rng = np.random.default_rng(0)
    day = np.repeat([0.0, 1.0, 2.0], 40)
    x = (rng.normal(size=(120, 3)) + day[:, None] * [1.0, -0.5, 0.2]) * [1.0, 2.0, 0.5]
    x[:, 1] += 0.5 * x[:, 0]
    obs = pd.DataFrame(
        {"day": day, "kind": np.where(np.arange(120) % 2, "odd", "even")},
        index=[f"cell{i}" for i in range(120)],
    )
    adata = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=GENES))
    cf.tl.flow(adata, "day", use_rep="X", method=quick_recipe(), growth="learn")
    return adata


@pytest.fixture
def linear(circuit, monkeypatch):
    """The same fit, of which the velocity is `MATRIX @ x`."""
    flow = cf.get.flow(circuit)
    frame = replace(flow.frame, shift=np.zeros(3), scale=np.ones(3))
    heads = {"growth": Linear([[0.1, 0.0, -0.2]])}
    made = Dynamics(Linear(MATRIX), heads=heads, along={"growth": "log_weight"})
    known = replace(flow, frame=frame, dynamics=made)
    monkeypatch.setattr("cellflow.adapter.fitted.load_flow", lambda *_: known)
    return circuit.copy()


@pytest.mark.parametrize("by", ["regression", "derivative"])
def test_of_genes_that_are_coordinates_it_is_the_matrix(linear, by):
    cf.tl.jacobian(linear, ["c", "a"], ["b", "a"], of="velocity", by=by)
    table = cf.get.jacobian(linear)
    assert list(table.columns) == COLUMNS
    assert list(table["regulator"]) == ["c", "c", "a", "a"]
    assert list(table["target"]) == ["b", "a", "b", "a"]
    np.testing.assert_allclose(table["value"], [0.7, 0.0, 0.5, -0.3], atol=1e-5)
    sd = linear.X.std(axis=0)
    np.testing.assert_allclose(table["scaled"][2], 0.5 * sd[0] / sd[1], rtol=1e-4)
    assert set(table["response"]) == {"alone"}
    assert (table["n_cells"] == 120).all()
    assert table[["se", "low", "high", "p", "q"]].isna().all(axis=None)
    wide = cf.get.jacobian(linear, wide=True)
    np.testing.assert_allclose(wide, [[0.7, 0.0], [0.5, -0.3]], atol=1e-5)
    assert (list(wide.index), list(wide.columns)) == (["c", "a"], ["b", "a"])
    assert cf.get.jacobian(linear).attrs["words"] == linear.uns["cellflow"]["jacobian"]["words"]


def test_targets_are_the_regulators_by_default_and_growth_has_one(linear):
    cf.tl.jacobian(linear, GENES, of="velocity")
    np.testing.assert_allclose(cf.get.jacobian(linear, wide=True).T, MATRIX, atol=1e-5)
    cf.tl.jacobian(linear, GENES, of="growth", response="alone")
    table = cf.get.jacobian(linear)
    assert set(table["target"]) == {"growth"}
    np.testing.assert_allclose(table["value"], [0.1, 0.0, -0.2], atol=1e-6)


def test_growth_is_compared_within_snapshots(linear):
    cf.tl.jacobian(linear, GENES, of="growth")
    table = cf.get.jacobian(linear)
    assert set(table["response"]) == {"covariance"}
    x = linear.X - linear.to_df().groupby(linear.obs["day"].to_numpy()).transform("mean").to_numpy()
    rate = x @ [0.1, 0.0, -0.2]
    np.testing.assert_allclose(table["value"], x.T @ rate / (x**2).sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose(table["scaled"], table["value"] * x.std(axis=0), rtol=1e-5)


def test_with_covariance_it_is_the_slope_on_the_regulator_alone(linear):
    cf.tl.jacobian(linear, GENES, of="velocity", response="covariance")
    velocity = linear.X @ MATRIX.T
    for _, row in cf.get.jacobian(linear).iterrows():
        x = linear.X[:, GENES.index(row["regulator"])]
        slope = np.polyfit(x, velocity[:, GENES.index(row["target"])], 1)[0]
        assert row["value"] == pytest.approx(slope, abs=1e-4)
        assert row["response"] == "covariance"
    assert "all that varies with it" in linear.uns["cellflow"]["jacobian"]["words"]


def test_the_drift_takes_the_spreading_away(linear):
    """The slope less half the squared diffusion by the covariance, without a score."""
    cf.tl.jacobian(linear, GENES, of="velocity")
    velocity = cf.get.jacobian(linear, wide=True)
    cf.tl.jacobian(linear, GENES, sigma=0.5)
    record = linear.uns["cellflow"]["jacobian"]
    assert (record["of"], record["sigma"]) == ("drift", 0.5)
    expected = velocity.to_numpy() - 0.125 * np.linalg.inv(np.cov(linear.X.T, bias=True))
    np.testing.assert_allclose(cf.get.jacobian(linear, wide=True), expected, rtol=1e-4, atol=1e-5)
    cf.tl.jacobian(linear, GENES)
    record = linear.uns["cellflow"]["jacobian"]
    assert record["of"] == "drift"
    assert 0.0 <= record["sigma"] < 0.1
    cf.tl.jacobian(linear, GENES, groupby="day")
    assert linear.uns["cellflow"]["jacobian"]["of"] == "drift"
    cf.tl.jacobian(linear, GENES, groupby="kind")
    assert linear.uns["cellflow"]["jacobian"]["of"] == "velocity"
    some = linear[:100].copy()
    cf.tl.jacobian(some, GENES)
    assert some.uns["cellflow"]["jacobian"]["of"] == "velocity"


def test_groups_are_averaged_by_themselves(linear):
    cf.tl.jacobian(linear, ["a"], GENES, groupby="kind", response="covariance", of="velocity")
    table = cf.get.jacobian(linear)
    assert list(table["group"]) == ["even"] * 3 + ["odd"] * 3
    alone = linear[linear.obs["kind"] == "odd"].copy()
    cf.tl.jacobian(alone, ["a"], GENES, response="covariance", of="velocity")
    np.testing.assert_allclose(
        table["value"][3:], cf.get.jacobian(alone)["value"], rtol=1e-6, atol=1e-9
    )
    wide = cf.get.jacobian(linear, wide=True)
    assert list(wide.index) == [("even", "a"), ("odd", "a")]
    linear.obs["kind"] = ["few"] * 3 + ["many"] * 117
    with pytest.warns(InputWarning, match=r"'few' \(3\)"):
        cf.tl.jacobian(linear, ["a"], groupby="kind")
    assert set(cf.get.jacobian(linear)["group"]) == {"many"}


def test_an_ensemble_has_intervals_and_p_values(fitted_as):
    adata = fitted_as("ensemble")
    genes = ["gene1", "gene2"]
    cf.tl.jacobian(adata, genes, of="velocity", level=0.8)
    table = cf.get.jacobian(adata)
    flow = cf.get.flow(adata)
    timed = adata.obs["hours"].notna().to_numpy()
    x = adata.obsm["X_pca"][timed].astype(float)
    loadings = flow.decoder.loadings[[1, 2]]
    centred = x - x.mean(axis=0)
    covariance = centred.T @ centred / len(x)

    def slopes(member):
        v = member.velocity(x, adata.obs["hours"].to_numpy()[timed])
        together = loadings @ (v.T @ centred / len(x)) @ loadings.T
        return (together / np.einsum("gi,ij,gj->g", loadings, covariance, loadings)).T.ravel()

    own = spread(np.stack([slopes(member) for member in flow.members]), flow.degrees)
    assert set(table["response"]) == {"covariance"}
    np.testing.assert_allclose(table["value"], own.mean, rtol=1e-3)
    np.testing.assert_allclose(table["se"], own.se, rtol=1e-2)
    low, high = own.interval(0.8)
    np.testing.assert_allclose(table["low"], low, rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(table["high"], high, rtol=1e-2, atol=1e-4)
    assert ((table["p"] > 0) & (table["p"] <= table["q"]) & (table["q"] <= 1)).all()
    assert (table["n_cells"] == timed.sum()).all()


def test_the_drift_of_a_score_is_for_any_group_and_derivative(fitted_as):
    adata = fitted_as("score")
    adata.obs["half"] = np.where(np.arange(90) % 2, "a", "b")
    for by in ("regression", "derivative"):
        cf.tl.jacobian(adata, ["gene1"], groupby="half", by=by)
        assert adata.uns["cellflow"]["jacobian"]["of"] == "drift"
    assert "by the score of the fit" in adata.uns["cellflow"]["jacobian"]["words"]


def test_conditions_enter_with_their_cells(fitted_as):
    adata = fitted_as("conditions")
    cf.tl.jacobian(adata, ["gene1"], groupby="drug")
    assert adata.uns["cellflow"]["jacobian"]["of"] == "drift"
    some = adata[adata.obs["drug"] == "some"].copy()
    cf.tl.jacobian(some, ["gene1"], of="velocity")
    cf.tl.jacobian(adata, ["gene1"], of="velocity", groupby="drug")
    again = cf.get.jacobian(adata).set_index("group")["value"]
    assert again["some"] == pytest.approx(cf.get.jacobian(some)["value"][0], rel=1e-6)
    assert not np.isclose(again["some"], again["none"])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"regulators": ["A"]}, MissingKeyError, "did you mean 'a'"),
        ({"regulators": ["a", "a"]}, InputError, "more than once"),
        ({"regulators": ["a"], "targets": ["b", "b"]}, InputError, "targets= names"),
        ({"regulators": []}, InputError, "regulators= chooses no gene"),
        ({"regulators": ["a"], "of": "grwth"}, InputError, "did you mean 'growth'"),
        ({"regulators": ["a"], "by": "slope"}, InputError, "by='slope'"),
        ({"regulators": ["a"], "response": "both"}, InputError, "response='both'"),
        ({"regulators": ["a"], "targets": ["b"], "of": "growth"}, InputError, "Omit targets="),
        ({"regulators": ["a"], "of": "drift", "by": "derivative"}, InputError, "score=True"),
        ({"regulators": ["a"], "of": "drift", "groupby": "kind"}, InputError, "whole snapshots"),
        ({"regulators": ["a"], "sigma": 1.0, "of": "velocity"}, InputError, "sigma=1"),
        ({"regulators": ["a"], "sigma": -1.0}, InputError, "sigma"),
        ({"regulators": ["a"], "level": 1.5}, InputError, "level"),
        ({"regulators": ["a"], "groupby": "type"}, MissingKeyError, "'type'"),
        ({"regulators": ["a"], "groupby": "cell"}, InputError, "Expected larger groups"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(circuit, arguments, error, match, frozen):
    adata = circuit.copy()
    adata.obs["cell"] = adata.obs_names
    with frozen(adata), pytest.raises(error, match=match):
        cf.tl.jacobian(adata, **arguments)


def test_genes_that_cannot_be_decoded_are_refused_by_name(fitted, frozen):
    rng = np.random.default_rng(0)
    adata = fitted.copy()
    x = adata.X.toarray()
    x[:, 5] = rng.normal(size=90)
    adata.X = x
    cf.tl.flow(adata, "hours", method=quick_recipe(), overwrite=True)
    with frozen(adata), pytest.raises(InputError, match=r"regulators= .*'gene5' \(R2"):
        cf.tl.jacobian(adata, ["gene1", "gene5"])


def test_growth_of_a_fit_without_it_and_generators_are_refused(fitted, cells, frozen):
    with frozen(fitted), pytest.raises(InputError, match="no growth head"):
        cf.tl.jacobian(fitted, ["gene1"], of="growth")
    cf.tl.flow(cells, "hours", method=fm(training=Training(steps=5, batch_size=16)))
    for call in (lambda a: cf.tl.jacobian(a, ["gene1"]), cf.tl.divergence, cf.tl.curl):
        with frozen(cells), pytest.raises(InputError, match="generates cells"):
            call(cells)


def test_results_survive_files_and_end_with_the_fit(fitted, tmp_path):
    cf.tl.jacobian(fitted, ["gene1", "gene3"])
    cf.tl.divergence(fitted)
    cf.tl.curl(fitted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of anndata, about versions of zarr
        fitted.write_h5ad(tmp_path / "a.h5ad")
        fitted.write_zarr(tmp_path / "a.zarr")
        read = [ad.read_h5ad(tmp_path / "a.h5ad"), ad.read_zarr(tmp_path / "a.zarr")]
    for again in read:
        pd.testing.assert_frame_equal(cf.get.jacobian(again), cf.get.jacobian(fitted))
        assert again.uns["cellflow"]["curl"]["share"] == fitted.uns["cellflow"]["curl"]["share"]
    cf.tl.flow(fitted, "hours", method=quick_recipe())
    assert not {"cf_divergence", "cf_curl"} & set(fitted.obs)
    with pytest.raises(MissingKeyError, match=r"call cf\.tl\.jacobian"):
        cf.get.jacobian(fitted)


def test_divergence_is_the_trace_and_curl_the_antisymmetric_share(linear):
    cf.tl.divergence(linear)
    np.testing.assert_allclose(linear.obs["cf_divergence"], np.trace(MATRIX), rtol=1e-5)
    assert "cf_divergence_se" not in linear.obs
    cf.tl.curl(linear)
    expected = ((MATRIX - MATRIX.T) ** 2).sum() / (4 * (MATRIX**2).sum())
    np.testing.assert_allclose(linear.obs["cf_curl"], expected, rtol=1e-5)
    assert linear.uns["cellflow"]["curl"]["share"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="only in two"):
        cf.tl.curl(linear, kind="signed")


def test_the_signed_curl_of_two_dimensions_is_that_of_differences():
    adata = cf.datasets.simulate("rotation", n_obs=40)
    cf.tl.flow(adata, "time", use_rep="X_state", method=quick_recipe())
    cf.tl.curl(adata, kind="signed")
    flow = cf.get.flow(adata)
    x = adata.obsm["X_state"]
    t = adata.obs["time"].to_numpy()
    h = 3e-3
    right = flow.velocity(x + [h, 0.0], t) - flow.velocity(x - [h, 0.0], t)
    above = flow.velocity(x + [0.0, h], t) - flow.velocity(x - [0.0, h], t)
    rough = (right[:, 1] - above[:, 0]) / (2 * h)
    np.testing.assert_allclose(adata.obs["cf_curl"], rough, atol=0.01)


def test_the_divergence_of_an_ensemble_has_standard_errors(fitted_as):
    adata = fitted_as("ensemble")
    cf.tl.divergence(adata)
    flow = cf.get.flow(adata)
    x = adata.obsm["X_pca"]
    t = adata.obs["cf_time"].to_numpy()
    own = spread(np.stack([member.divergence(x, t) for member in flow.members]), flow.degrees)
    np.testing.assert_allclose(adata.obs["cf_divergence"], own.mean, atol=1e-4)
    np.testing.assert_allclose(adata.obs["cf_divergence_se"], own.se, atol=1e-4)
    assert adata.obs["cf_time_inferred"].sum() == 3
    assert np.isfinite(adata.obs["cf_divergence"]).all()


def test_in_a_ring_of_repressors_each_represses_the_next_more_than_the_one_before():
    ring = cf.synthetic.GeneCircuit(
        regulation=((0.0, 0.0, -8.0), (-8.0, 0.0, 0.0), (0.0, -8.0, 0.0)),
        basal=(3.0, 3.0, 3.0),
        start=(0.6, 0.4, 0.2),
    )
    adata = cf.datasets.simulate(ring, n_obs=300)
    method = cf.recipes.ot_cfm(training=Training(steps=500, batch_size=256))
    cf.tl.flow(adata, "time", use_rep="X_state", method=method)
    cf.tl.jacobian(adata, adata.var_names)
    found = cf.get.jacobian(adata, wide=True).to_numpy().T
    represses = np.array(ring.regulation) < 0
    others = ~represses & ~np.eye(3, dtype=bool)
    assert (found[represses] < 0).all()
    assert found[represses].mean() < 1.15 * found[others].mean()
    assert (np.diag(found) < 0).all()
    sigma = adata.uns["cellflow"]["jacobian"]["sigma"] * cf.get.flow(adata).frame.scale[0]
    assert 0.5 * ring.sigma < sigma < 1.2 * ring.sigma

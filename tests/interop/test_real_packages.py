"""The tools themselves, unmodified, on what is handed to them; run by `make interop`.

Without one of them, its tests are skipped.
"""

from importlib import import_module
from importlib.util import find_spec

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.metrics import plan_transitions
from cellflow.training import Training

#: Other packages warn about themselves and their dependencies.
pytestmark = pytest.mark.filterwarnings("default")
WHY = "the other tools live in an environment of their own: make interop"
QUICK = Training(steps=60, record_every=30)


def needs(package):
    """Skip a test, before its fixtures are made, where a package is missing."""
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package}: {WHY}")


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


def sums(matrix):
    return np.ravel(matrix.sum(axis=1))


# scVelo -------------------------------------------------------------------------------------------


@needs("scvelo")
def test_scvelo_draws_the_stream(forked, frozen):
    scv = import_module("scvelo")
    with frozen(forked):
        handed = cf.interop.to_scvelo(forked)
        ax = scv.pl.velocity_embedding_stream(handed, basis="umap", color="arm", show=False)
    assert len(ax.collections) > 1
    assert "velocity_graph" not in handed.uns  # the arrows are ours


@needs("scvelo")
def test_scvelo_draws_the_adata_itself(forked):
    """Without a detour, where the embedding is float64."""
    scv = import_module("scvelo")
    adata = forked.copy()
    adata.obsm["X_umap"] = adata.obsm["X_umap"].astype(np.float64)
    ax = scv.pl.velocity_embedding_grid(adata, basis="umap", color="arm", show=False)
    assert len(ax.collections) > 1


@needs("scvelo")
def test_scvelo_computes_with_the_genes(forked):
    """The graph of gene velocities points along the arrows of the representation."""
    scv = import_module("scvelo")
    handed = cf.interop.to_scvelo(forked)
    scv.tl.velocity_graph(handed, vkey="velocity", xkey="Ms", n_jobs=1, show_progress_bar=False)
    scv.tl.velocity_confidence(handed, vkey="velocity")
    assert handed.obs["velocity_confidence"].median() > 0.7
    scv.tl.velocity_pseudotime(handed, vkey="velocity")
    assert handed.obs["velocity_pseudotime"].corr(forked.obs["day"], method="spearman") > 0.8


# CellRank -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["velocity", "realtime"])
@needs("cellrank")
def test_cellrank_finds_both_arms_by_gpcca(kind, forked, committed):
    cr = import_module("cellrank")
    adata = forked.copy()
    kernel = cf.interop.to_cellrank(adata, kind)
    np.testing.assert_allclose(sums(kernel.transition_matrix), 1.0, rtol=1e-6)
    estimator = cr.estimators.GPCCA(kernel)
    estimator.compute_schur(n_components=6, method="brandts")
    np.testing.assert_allclose(estimator.eigendecomposition["D"][:2], 1.0, atol=1e-4)
    estimator.compute_macrostates(n_states=2, cluster_key="arm")
    estimator.set_terminal_states(["up", "down"])
    estimator.compute_fate_probabilities(solver="direct", use_petsc=False)
    found = estimator.fate_probabilities
    np.testing.assert_allclose(sums(found.X), 1.0, rtol=1e-4)
    inside, up = committed
    right = np.where(up, np.ravel(found["up"].X), np.ravel(found["down"].X))
    assert np.mean(right[inside] > 0.5) > 0.95


@needs("cellrank")
def test_cellrank_reads_the_transitions(forked):
    kernel = cf.interop.to_cellrank(forked.copy(), "precomputed")
    np.testing.assert_allclose(sums(kernel.transition_matrix), 1.0, rtol=1e-9)
    half = 0.5 * kernel + 0.5 * cf.interop.to_cellrank(forked.copy(), "velocity")
    np.testing.assert_allclose(sums(half.transition_matrix), 1.0, rtol=1e-6)


@needs("cellrank")
def test_cellrank_draws_our_fates(forked):
    cr = import_module("cellrank")
    adata = forked.copy()
    cf.interop.to_cellrank(adata)
    from cellrank._utils._lineage import Lineage

    read = Lineage.from_adata(adata)
    assert list(read.names) == list(adata.obs["term_states_fwd"].cat.categories)
    np.testing.assert_allclose(read.X, adata.obsm["lineages_fwd"])
    cr.pl.circular_projection(adata, keys="arm")
    assert plt.gcf().axes
    cr.pl.aggregate_fate_probabilities(adata, cluster_key="arm", mode="heatmap")
    values = [t.get_text() for ax in plt.gcf().axes for t in ax.texts]
    means = adata.obsm["lineages_fwd"][(adata.obs["arm"] == "up").to_numpy()].mean(axis=0)
    assert f"{means[list(read.names).index('up')]:.2f}" in values


@needs("cellrank")
def test_cellrank_draws_trends_of_our_fates(forked):
    cr = import_module("cellrank")
    model = cr.models.GAM(forked, n_knots=5)
    cr.pl.gene_trends(
        forked.copy(),
        model=model,
        genes=["gene0", "gene3"],
        time_key="cf_pseudotime",
        data_key="X",
        lineages=["up", "down"],
        same_plot=True,
        hide_cells=True,
        n_jobs=1,
        show_progress_bar=False,
    )
    drawn = [ax for ax in plt.gcf().axes if len(ax.lines) >= 2]
    assert len(drawn) == 2


# Palantir -----------------------------------------------------------------------------------------


@needs("palantir")
def test_palantir_selects_the_cells_of_an_arm(forked, committed):
    palantir = import_module("palantir")
    handed = cf.interop.to_palantir(forked)
    palantir.plot.plot_palantir_results(handed)
    titles = [ax.get_title() for ax in plt.gcf().axes]
    assert {"Pseudotime", "Entropy", "up", "down"} <= set(titles)
    masks = palantir.presults.select_branch_cells(handed, q=0.05, eps=0.05)
    inside, up = committed
    late = inside & (forked.obs["day"] >= 2).to_numpy()
    fates = list(handed.obsm["palantir_fate_probabilities"].columns)
    for name, there in (("up", up), ("down", ~up)):
        chosen = masks[:, fates.index(name)]
        assert chosen[late & there].mean() > 0.9
        assert chosen[late & ~there].mean() < 0.1


@needs("palantir")
def test_palantir_computes_trends(forked):
    palantir = import_module("palantir")
    handed = cf.interop.to_palantir(forked[:, :3].copy())
    palantir.presults.select_branch_cells(handed, q=0.05, eps=0.05)
    trends = palantir.presults.compute_gene_trends(handed, lineages=["up"])
    table = trends["up"]["trends"]
    assert table.shape[0] == 3
    assert np.isfinite(table).all(axis=None)


# moscot -------------------------------------------------------------------------------------------


def problem_of(adata):
    moscot_time = import_module("moscot.problems.time")
    categorical = adata.copy()
    categorical.obs["day"] = categorical.obs["day"].astype("category")
    problem = moscot_time.TemporalProblem(categorical)
    return problem.prepare(time_key="day", joint_attr={"attr": "obsm", "key": "X_pca"})


@needs("moscot")
def test_a_flow_follows_the_plans_of_moscot(forked):
    problem = problem_of(forked).solve(epsilon=0.01)
    given = cf.interop.from_moscot(forked, problem)
    for pair, matrix in given.plans.items():
        theirs = np.asarray(problem.solutions[pair].transport_matrix, dtype=np.float64)
        np.testing.assert_allclose(sums(matrix), theirs.sum(axis=1), rtol=1e-6)
        assert np.abs(matrix.toarray() - theirs).sum() < 0.01
    adata = forked.copy()
    method = cf.recipes.ot_cfm(coupling=given, training=QUICK)
    cf.tl.flow(adata, "day", method=method)
    plans = adata.uns["cellflow"]["plans"]
    assert plans["0.0_to_1.0"]["coupling"]["checksum"] == given.checksum
    assert plans["0.0_to_1.0"]["total"] == pytest.approx(1.0, abs=1e-3)


@needs("moscot")
def test_moscot_works_with_the_plans_of_a_fit(forked):
    problem = cf.interop.to_moscot(forked, problem_of(forked))
    table = problem.cell_transition(1.0, 2.0, "arm", "arm", forward=True)
    np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-6)
    given = cf.interop.from_moscot(forked, problem, least=0.0)
    x = cf.get.flow(forked).frame.to_model(forked.obsm["X_pca"])
    cells = [cf.Population(x[given.rows[t]], t, index=given.rows[t]) for t in (1.0, 2.0)]
    labels = [forked.obs["arm"].astype(str).to_numpy()[given.rows[t]] for t in (1.0, 2.0)]
    ours = plan_transitions(given(*cells), *labels)
    mass = pd.DataFrame(ours.mass, ours.labels, ours.labels)
    expected = mass.div(mass.sum(axis=1), axis=0).loc[table.index, table.columns]
    np.testing.assert_allclose(table, expected, atol=1e-6)
    pushed = problem.push(source=0.0, target=3.0, key_added=None, return_all=True)
    assert sorted(pushed) == [0.0, 1.0, 2.0, 3.0]
    for mass in pushed.values():
        np.testing.assert_allclose(np.sum(mass), np.sum(pushed[0.0]), rtol=1e-5)


# Waddington-OT ------------------------------------------------------------------------------------


@needs("wot")
def test_a_flow_follows_the_maps_of_wot(forked, tmp_path):
    wot = import_module("wot")
    adata = forked[forked.obs["day"] < 2.5].copy()
    model = wot.ot.OTModel(adata.copy(), day_field="day", local_pca=5)
    model.compute_all_transport_maps(tmap_out=str(tmp_path / "maps" / "arms"))
    given = cf.interop.from_wot(adata, tmp_path / "maps" / "arms")
    assert sorted(given.plans) == [(0.0, 1.0), (1.0, 2.0)]
    for matrix in given.plans.values():
        assert matrix.sum() == pytest.approx(1.0)
    method = cf.recipes.ot_cfm(coupling=given, training=QUICK)
    cf.tl.flow(adata, "day", method=method)
    assert np.isfinite(cf.tl.push(adata, time=2.0).obsm["X_pca"]).all()


@needs("wot")
def test_wot_pushes_by_the_maps_of_a_fit(forked, tmp_path):
    """`from_directory` reads the files. wot 1.0.8 then asks for `anndata.read`, which is gone, so
    the maps are given to it as they are read.
    """
    wot = import_module("wot")
    files = cf.interop.to_wot(forked, tmp_path / "arms")
    model = wot.tmap.TransportMapModel.from_directory(str(tmp_path / "arms"))
    assert model.timepoints == [0.0, 1.0, 2.0, 3.0]
    assert set(model.meta.index) == set(forked.obs_names)
    model.tmaps = dict(zip(sorted(model.tmaps), map(ad.read_h5ad, files), strict=True))
    first = wot.Population(0.0, np.full(80, 1 / 80))
    last = model.push_forward(first, to_time=3.0)
    np.testing.assert_allclose(last.p, 1 / 80, rtol=1e-6)  # the plans keep the weights


@needs("cellrank")
def test_cellrank_reads_the_files(forked, tmp_path):
    cr = import_module("cellrank")
    cf.interop.to_wot(forked, f"{tmp_path}/")
    adata = forked.copy()
    adata.obs["day"] = adata.obs["day"].astype("category")
    kernel = cr.kernels.RealTimeKernel.from_wot(adata, path=tmp_path, time_key="day")
    kernel.compute_transition_matrix(threshold=None)
    ours = cf.interop.to_cellrank(forked.copy(), "realtime")
    np.testing.assert_allclose(
        kernel.transition_matrix.toarray(), ours.transition_matrix.toarray(), atol=1e-7
    )


# scVI ---------------------------------------------------------------------------------------------


def counts(adata):
    made = adata[:, :].copy()
    rng = np.random.default_rng(0)
    made.layers["counts"] = rng.poisson(np.expm1(0.5 * made.X)).astype(np.float32)
    return made


@pytest.mark.parametrize("kind", ["SCVI", "LinearSCVI"])
@needs("scvi")
def test_a_flow_in_the_latent_space_of_scvi_decodes_genes(kind, forked):
    scvi = import_module("scvi")
    scvi.settings.seed = 0
    adata = counts(forked)
    model_class = getattr(scvi.model, kind)
    model_class.setup_anndata(adata, layer="counts")
    model = model_class(adata, n_latent=4)
    model.train(max_epochs=40, accelerator="cpu", enable_progress_bar=False, logger=False)
    decode = cf.interop.from_scvi(adata, model)
    theirs = model.get_normalized_expression(library_size=1e4, n_samples=25, return_numpy=True)
    found = np.corrcoef(np.log1p(theirs).ravel(), adata.layers["scvi"].ravel())[0, 1]
    assert found > 0.97
    if kind == "LinearSCVI":
        # Logarithms of shares are linear in the latent position, up to the sum over genes.
        z = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
        logs = np.log(np.expm1(decode(z).to_numpy()))
        linear = z @ model.get_loadings().to_numpy().T
        difference = (logs - linear) - (logs - linear)[:, :1]
        np.testing.assert_allclose(difference, np.tile(difference[0], (20, 1)), atol=2e-2)
    method = cf.recipes.ot_cfm(training=QUICK)
    cf.tl.flow(adata, "day", method=method, use_rep="X_scVI", layer="scvi", key_added="latent")
    assert adata.var["latent_gene_r2"].median() > 0.5
    later = cf.tl.predict(adata, time=2.5, key="latent")
    assert decode(later.obsm["X_scVI"]).shape == (later.n_obs, 30)

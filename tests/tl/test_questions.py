"""What is asked of a fit: velocities, trajectories, predictions, descendants and ancestors."""

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cellflow as cf
from cellflow.analysis import trajectories as trajectories_module
from cellflow.core import decoder as decoder_module
from cellflow.errors import InputError, InputTypeError, MissingKeyError
from conftest import make_cells, quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")

# Containers ---------------------------------------------------------------------------------------


def _frame(x):
    return pd.DataFrame(x, index=[f"cell{i}" for i in range(len(x))], columns=list("abcd"))


CONTAINERS = {
    "csr": sp.csr_matrix,
    "csc_array": sp.csc_array,
    "dask": lambda x: da.from_array(x, chunks=(8, 3)),
    "Fortran": np.asfortranarray,
    "float64": lambda x: x.astype(np.float64),
    "big endian": lambda x: x.astype(">f4"),
    "reversed": lambda x: x[::-1].copy()[::-1],
    "DataFrame": _frame,
}

QUESTIONS = {
    "velocity": lambda a: cf.tl.velocity(a, basis="umap", copy=True).obsm["velocity_umap"],
    "velocity of genes": lambda a: cf.tl.velocity(a, genes="all", copy=True).layers["velocity"],
    "trajectories": lambda a: cf.tl.trajectories(a, n_times=3, copy=True).obsm["cf_trajectory"],
    "paths": lambda a: cf.tl.simulate(a, n_times=3, cells=["cell5"]).X,
    "predict": lambda a: cf.tl.predict(a, time=30.0).X,
    "push": lambda a: cf.tl.push(a, [1, 31], time=40.0).X,
    "pull": lambda a: cf.tl.pull(a, [81, 31], time=4.0).X,
    "get.velocity": lambda a: cf.get.velocity(a, ["gene3"]).to_numpy(),
}


@pytest.mark.parametrize("question", ["velocity", "predict", "get.velocity"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_give_one_answer(fitted, question, container):
    expected = QUESTIONS[question](fitted)
    fitted.obsm["X_pca"] = CONTAINERS[container](fitted.obsm["X_pca"])
    np.testing.assert_array_equal(QUESTIONS[question](fitted), expected)


@pytest.mark.parametrize("question", QUESTIONS)
def test_files_give_one_answer(fitted, question, tmp_path):
    expected = QUESTIONS[question](fitted)
    fitted.write_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(QUESTIONS[question](ad.read_h5ad(tmp_path / "a.h5ad")), expected)


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_backed_files_are_annotated_in_memory(fitted, mode, tmp_path):
    expected = cf.tl.velocity(fitted, basis="umap", genes="all", copy=True)
    fitted.write_h5ad(tmp_path / "a.h5ad")
    content = (tmp_path / "a.h5ad").read_bytes()
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed=mode)
    cf.tl.velocity(backed, basis="umap", genes="all")
    np.testing.assert_array_equal(backed.obsm["velocity_umap"], expected.obsm["velocity_umap"])
    np.testing.assert_array_equal(backed.layers["velocity"], expected.layers["velocity"])
    assert cf.tl.predict(backed, time=30.0).n_obs == cf.tl.predict(fitted, time=30.0).n_obs
    backed.file.close()
    assert (tmp_path / "a.h5ad").read_bytes() == content


# Velocity -----------------------------------------------------------------------------------------


def test_velocities_of_the_representation_the_genes_and_the_picture(fitted):
    x, names = fitted.X.copy(), fitted.obs_names.copy()
    cf.tl.velocity(fitted, basis="umap", genes="all")
    flow = cf.get.flow(fitted)
    expected = flow.velocity(fitted.obsm["X_pca"], fitted.obs["cf_time"].to_numpy())
    np.testing.assert_allclose(fitted.obsm["velocity_pca"], expected, rtol=1e-6)
    np.testing.assert_allclose(
        fitted.layers["velocity"], expected @ fitted.varm["PCs"].T, atol=1e-6
    )
    np.testing.assert_allclose(fitted.layers["Ms"], fitted.X.toarray(), atol=1e-4)
    assert fitted.obsm["velocity_umap"].shape == (90, 2)
    assert fitted.var["velocity_genes"].all()
    params = fitted.uns["velocity_params"]
    assert (params["basis"], params["embeddings"].tolist(), params["time_key"]) == (
        "pca",
        ["umap"],
        "hours",
    )
    assert "mode" not in params
    for value in (
        fitted.obsm["velocity_pca"],
        fitted.obsm["velocity_umap"],
        fitted.layers["velocity"],
    ):
        assert np.isfinite(value).all()
    assert (x != fitted.X).nnz == 0
    assert fitted.obs_names.equals(names)


def test_pictures_add_up(fitted):
    fitted.obsm["X_tsne"] = fitted.obsm["X_umap"][:, ::-1].copy()
    cf.tl.velocity(fitted, basis="X_umap")
    cf.tl.velocity(fitted, basis=["tsne", "pca"])
    assert fitted.uns["velocity_params"]["embeddings"].tolist() == ["umap", "tsne"]
    np.testing.assert_allclose(
        fitted.obsm["velocity_tsne"], fitted.obsm["velocity_umap"][:, ::-1], atol=1e-12
    )


def test_unused_dimensions_do_not_move(fitted):
    cf.tl.flow(fitted, "hours", n_dims=3, method=quick_recipe())
    cf.tl.velocity(fitted)
    assert fitted.obsm["velocity_pca"].shape == fitted.obsm["X_pca"].shape
    assert (fitted.obsm["velocity_pca"][:, 3] == 0).all()


@pytest.mark.parametrize("genes", [["gene7", "gene2"], [7, 2], np.isin(np.arange(12), [2, 7])])
def test_some_genes(fitted, genes):
    everything = cf.tl.velocity(fitted, genes="all", copy=True).layers
    cf.tl.velocity(fitted, genes=genes)
    for name in ("velocity", "Ms"):
        assert sp.issparse(fitted.layers[name])
        np.testing.assert_array_equal(
            fitted.layers[name][:, [2, 7]].toarray(), everything[name][:, [2, 7]]
        )
        assert fitted.layers[name].nnz == 180
    assert np.flatnonzero(fitted.var["velocity_genes"]).tolist() == [2, 7]


@pytest.mark.parametrize("arguments", [{}, {"genes": None}, {"genes": []}])
def test_no_genes_is_the_default(fitted, arguments):
    before = fitted.var.copy()
    cf.tl.velocity(fitted, **arguments)
    assert not fitted.layers
    assert fitted.var.equals(before)
    assert "velocity_pca" in fitted.obsm


def test_layers_stay_with_the_velocities_that_they_were_decoded_from(fitted):
    cf.tl.flow(fitted, "hours", method=quick_recipe(), score=True)
    cf.tl.velocity(fitted, genes="all")
    layer = fitted.layers["velocity"].copy()
    cf.tl.velocity(fitted, basis="umap")
    np.testing.assert_array_equal(fitted.layers["velocity"], layer)
    cf.tl.velocity(fitted, kind="drift")
    assert not fitted.layers
    assert "velocity_genes" not in fitted.var
    assert not any("layers" in place for place in fitted.uns["cellflow"]["written"])


def test_a_gene_may_be_called_all(fitted):
    fitted.var_names = ["all", *fitted.var_names[1:]]
    cf.tl.flow(fitted, "hours", method=quick_recipe())
    cf.tl.velocity(fitted, genes="all")
    assert np.flatnonzero(fitted.var["velocity_genes"]).tolist() == [0]


def test_layers_that_are_too_large(fitted, monkeypatch, frozen):
    monkeypatch.setattr(decoder_module, "_LIMIT", 1000)
    with (
        frozen(fitted),
        pytest.raises(InputError, match=r"90 cells by 12 genes take .* genes=\[\.\.\.\]"),
    ):
        cf.tl.velocity(fitted, genes="all")
    cf.tl.velocity(fitted, genes=["gene1"])


def test_velocities_of_another_tool_stay_unless_told(fitted, frozen):
    fitted.layers["velocity"] = np.ones(fitted.shape)
    fitted.layers["Ms"] = np.ones(fitted.shape)
    with frozen(fitted), pytest.raises(InputError, match=r"adata\.layers\['velocity'\] exists"):
        cf.tl.velocity(fitted, genes="all")
    cf.tl.velocity(fitted, genes="all", overwrite=True)
    # Ms is replaced too: tools that pair it with velocity would mix units.
    assert (fitted.layers["velocity"] != 1).any()
    np.testing.assert_allclose(fitted.layers["Ms"], fitted.X.toarray(), atol=1e-4)


def test_velocity_table(fitted):
    cf.tl.velocity(fitted, genes="all")
    table = cf.get.velocity(fitted)
    assert (table.index.equals(fitted.obs_names), table.columns.equals(fitted.var_names)) == (
        True,
        True,
    )
    np.testing.assert_array_equal(table, fitted.layers["velocity"])
    np.testing.assert_array_equal(
        cf.get.velocity(fitted, ["gene9", "gene1"]), table[["gene9", "gene1"]]
    )
    fewer = fitted[:, ["gene5", "gene3"]].copy()
    np.testing.assert_array_equal(cf.get.velocity(fewer), table[["gene5", "gene3"]])


# Trajectories -------------------------------------------------------------------------------------


def test_every_cell_passes_through_itself(fitted):
    cf.tl.trajectories(fitted, times=[48.0, 0.0, 12.0, 30.0])
    states, times = cf.get.trajectories(fitted), fitted.uns["cellflow"]["trajectory_times"]
    assert times.tolist() == [0.0, 12.0, 30.0, 48.0]
    assert states.shape == (90, 4, 4)
    for i, t in ((0, 0.0), (1, 12.0), (3, 48.0)):
        here = (fitted.obs["hours"] == t).to_numpy()
        np.testing.assert_allclose(states[here, i], fitted.obsm["X_pca"][here], atol=1e-5)
    assert np.isfinite(states).all()


def test_default_grid_and_chosen_paths(fitted, frozen):
    cf.tl.trajectories(fitted, n_times=5)
    assert fitted.uns["cellflow"]["trajectory_times"].tolist() == [0.0, 12.0, 24.0, 36.0, 48.0]
    with frozen(fitted):
        paths = cf.tl.simulate(fitted, n_times=5, cells=["cell7", "cell2"])
    assert paths.obs["source_cell"].tolist() == ["cell7"] * 5 + ["cell2"] * 5
    assert paths.obs["path"].tolist() == [0] * 5 + [1] * 5
    assert paths.obs["step"].tolist() == list(range(5)) * 2
    np.testing.assert_array_equal(paths.obs["t"], np.tile([0.0, 12.0, 24.0, 36.0, 48.0], 2))
    np.testing.assert_array_equal(
        paths.obsm["X_pca"].reshape(2, 20), fitted.obsm["cf_trajectory"][[7, 2]]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": []}, "at least 1 different"),
        ({"times": [0.0, np.nan]}, "times=nan; expected a finite number in hours"),
        ({"times": ["early"]}, "times='early' is no time"),
        ({"n_times": 1}, "n_times=1"),
        ({"n_times": 2.5}, r"n_times=2\.5"),
    ],
)
@pytest.mark.parametrize("call", [cf.tl.trajectories, cf.tl.simulate])
def test_bad_grids(fitted, call, arguments, message, frozen):
    with frozen(fitted), pytest.raises(InputError, match=message):
        call(fitted, **arguments)


@pytest.mark.parametrize(
    ("cells", "message"), [(["cell_1"], "did you mean 'cell1'"), ([], "chooses no cell")]
)
def test_bad_cells(fitted, cells, message):
    with pytest.raises(InputError, match=message):
        cf.tl.simulate(fitted, cells)


@pytest.mark.parametrize(("n_snapshots", "n_times"), [(2, 16), (3, 16), (5, 17), (9, 33)])
def test_paths_have_four_steps_to_an_interval_and_sixteen_times_at_least(n_snapshots, n_times):
    rng = np.random.default_rng(0)
    time = np.repeat(np.arange(float(n_snapshots)), 20)
    adata = ad.AnnData(obs=pd.DataFrame({"day": time}, index=[f"c{i}" for i in range(len(time))]))
    adata.obsm["X_pca"] = (rng.normal(size=(len(time), 2)) + time[:, None]).astype(np.float32)
    cf.tl.flow(adata, "day", method=quick_recipe())
    cf.tl.trajectories(adata)
    grid = adata.uns["cellflow"]["trajectory_times"]
    np.testing.assert_allclose(grid, np.linspace(0, n_snapshots - 1, n_times))
    assert adata.obsm["cf_trajectory"].shape == (len(time), n_times * 2)


def test_what_a_fit_adds_to_a_file_is_small(tmp_path):
    """Velocities, paths and the model of 2,000 genes: float32, and no matrix of cells by genes."""
    adata = make_cells(3000, genes=2000, d=10)
    adata.write_h5ad(tmp_path / "before.h5ad", compression="gzip")
    cf.tl.flow(adata, "hours", method=quick_recipe())
    cf.tl.velocity(adata, basis="umap")
    cf.tl.trajectories(adata)
    assert adata.obsm["cf_trajectory"].dtype == np.float32
    arrays = adata.uns["cellflow"]["model"]["arrays"]
    assert arrays["decoder.loadings"].dtype == arrays["decoder.mean"].dtype == np.float32
    adata.write_h5ad(tmp_path / "after.h5ad", compression="gzip")
    added = (tmp_path / "after.h5ad").stat().st_size - (tmp_path / "before.h5ad").stat().st_size
    # Per cell: paths, velocities, kept positions, hashes; per gene: its map, R2 and name.
    per_cell = 4 * (10 * 16 + 2 * 10 + 10 + 4) + 8 * 2
    per_gene = 4 * 10 + 4 + 8 + 8 + 40
    assert added < 1.1 * (3000 * per_cell + 2000 * per_gene) + 400_000


def test_trajectories_that_are_too_large(fitted, monkeypatch, frozen):
    monkeypatch.setattr(trajectories_module, "_LIMIT", 10_000)
    with (
        frozen(fitted),
        pytest.raises(
            InputError, match=r"90 cells at 16 times in 4 dimensions take .* cf\.tl\.simulate"
        ),
    ):
        cf.tl.trajectories(fitted)
    assert cf.tl.simulate(fitted, cells=[1]).n_obs == 50


# Predictions --------------------------------------------------------------------------------------


def test_both_neighbours_by_default(fitted):
    later = cf.tl.predict(fitted, time=39.0)
    assert later.shape == (fitted.obs["hours"].isin([12.0, 48.0]).sum(), 12)
    assert later.obs.groupby("source_time")["weight"].sum().to_dict() == pytest.approx(
        {12.0: 0.25, 48.0: 0.75}
    )
    assert later.var_names.equals(fitted.var_names)
    np.testing.assert_allclose(
        later.X, cf.get.flow(fitted).decoder.positions(later.obsm["X_pca"]), atol=1e-5
    )
    note = later.uns["cf_prediction"]
    assert (note["time"], note["source"], note["extrapolated"], note["key"]) == (
        39.0,
        "both",
        False,
        "cellflow",
    )
    sources = fitted.obs.loc[later.obs["source_cell"], "hours"].to_numpy()
    np.testing.assert_array_equal(sources, later.obs["source_time"])


@pytest.mark.parametrize(
    ("time", "source", "origins"),
    [
        (30.0, "earlier", {12.0}),
        (30.0, "later", {48.0}),
        (30.0, 0.0, {0.0}),
        (12.0, "both", {0.0, 48.0}),
        (48.0, "both", {12.0}),
    ],
)
def test_chosen_sources(fitted, time, source, origins):
    assert set(cf.tl.predict(fitted, time=time, source=source).obs["source_time"]) == origins


def test_draws_follow_the_seed(fitted):
    one, same, other = (
        cf.tl.predict(fitted, time=30.0, n_obs=200, random_state=s) for s in (0, 0, 1)
    )
    assert one.n_obs == 200
    assert one.obs_names.is_unique
    np.testing.assert_array_equal(one.X, same.X)
    assert (one.X != other.X).any()


BY_TIME = [
    lambda a, t, **how: cf.tl.predict(a, time=t, **how),
    lambda a, t, **how: cf.tl.push(a, time=t, **how),
    lambda a, t, **how: cf.tl.trajectories(a, times=[0.0, t], **how),
]


@pytest.mark.parametrize("call", BY_TIME)
def test_a_time_in_another_unit_is_refused_at_once_and_nothing_else_is_said(fitted, call, frozen):
    with (
        frozen(fitted),
        pytest.raises(InputError, match=r"by 4\.2e\+10 mean intervals\. .* Check the unit"),
    ):
        call(fitted, 1e12)
    with (
        frozen(fitted),
        pytest.raises(InputError, match=r"steps of 8; the limit is 10,000\. Check the unit"),
    ):
        call(fitted, 1e12, extrapolate=True)


def test_questions_do_not_repeat_what_the_fit_said(fitted, caplog):
    fitted.obsm["X_pca"] = fitted.obsm["X_pca"].astype(np.float64)
    with caplog.at_level("INFO", logger="cellflow"):
        cf.tl.velocity(fitted, basis="umap")
    assert not [record for record in caplog.records if record.name != "cellflow.added"]


def test_results_survive_a_file(fitted, tmp_path):
    for name, result in {
        "predict": cf.tl.predict(fitted, time=30.0, n_obs=10),
        "push": cf.tl.push(fitted, [3], time=30.0),
        "paths": cf.tl.simulate(fitted, n_times=3, cells=[3]),
    }.items():
        result.write_h5ad(tmp_path / f"{name}.h5ad")
        again = ad.read_h5ad(tmp_path / f"{name}.h5ad")
        np.testing.assert_array_equal(again.X, result.X)
        assert again.uns["cf_prediction"].keys() == result.uns["cf_prediction"].keys()


def test_a_result_that_is_too_large(fitted, monkeypatch, frozen):
    monkeypatch.setattr(decoder_module, "_LIMIT", 1000)
    with frozen(fitted), pytest.raises(InputError, match=r"Pass genes= .* or ask for fewer cells"):
        cf.tl.predict(fitted, time=30.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"time": np.nan}, InputError, "time=nan; expected a finite number"),
        ({"time": "soon"}, InputError, "time='soon' is no time; expected a number in hours"),
        ({"time": True}, InputError, "time=True"),
        ({"time": None}, InputError, "time=None"),
        ({"time": 30.0, "source": "ealier"}, InputError, "did you mean 'earlier'"),
        ({"time": 30.0, "source": 13.0}, InputError, "No snapshot at time 13"),
        (
            {"time": 30.0, "source": None},
            InputError,
            "source=None; expected a finite number, the time of a snapshot",
        ),
        ({"time": 0.0, "source": "earlier"}, InputError, "no snapshot is earlier"),
        ({"time": 30.0, "n_obs": 0}, InputError, "n_obs=0"),
        ({"time": 30.0, "n_obs": 2.5}, InputError, r"n_obs=2\.5"),
        ({"time": 30.0, "random_state": "x"}, InputError, "is no seed"),
        ({"time": 30.0, "key": "celflow"}, MissingKeyError, "did you mean 'cellflow'"),
        ({"time": 30.0, "key": None}, InputError, "key=None .of type NoneType.; expected text"),
    ],
)
def test_bad_questions(fitted, arguments, error, message, frozen):
    with frozen(fitted), pytest.raises(error, match=message):
        cf.tl.predict(fitted, **arguments)


# Descendants and ancestors ------------------------------------------------------------------------


def test_one_row_per_given_cell_in_their_order(fitted):
    chosen = ["cell40", "cell3", "cell40"]
    later = cf.tl.push(fitted, chosen, time=45.0)
    assert later.obs["source_cell"].tolist() == chosen
    assert later.obs["source_time"].tolist() == [12.0, 0.0, 12.0]
    np.testing.assert_array_equal(later.X[0], later.X[2])
    positions = cf.tl.push(fitted, [40, 3, 40], time=45.0)
    np.testing.assert_array_equal(later.X, positions.X)


def test_there_and_back_again(fitted):
    there = cf.tl.push(fitted, [1, 2, 4], time=12.0)
    flow = cf.get.flow(fitted)
    back = flow.simulate(there.obsm["X_pca"], 12.0, [0.0]).x[0]
    np.testing.assert_allclose(back, fitted.obsm["X_pca"][[1, 2, 4]], atol=1e-3)
    np.testing.assert_allclose(
        cf.tl.pull(fitted, [31], time=12.0).obsm["X_pca"], fitted.obsm["X_pca"][[31]], atol=1e-5
    )


def test_all_cells_on_one_side_by_default(fitted):
    later, earlier = cf.tl.push(fitted, time=12.0), cf.tl.pull(fitted, time=12.0)
    assert set(later.obs["source_time"][later.obs["source_time"] % 12 == 0]) == {0.0, 12.0}
    assert set(earlier.obs["source_time"][earlier.obs["source_time"] % 12 == 0]) == {12.0, 48.0}
    assert later.uns["cf_prediction"]["direction"] == "push"


def test_the_wrong_side(fitted, frozen):
    with (
        frozen(fitted),
        pytest.raises(
            InputError, match=r"'cell80' is of time 48, after time=20\. .* use cf\.tl\.pull"
        ),
    ):
        cf.tl.push(fitted, ["cell1", "cell80"], time=20.0)
    with (
        frozen(fitted),
        pytest.raises(
            InputError, match=r"'cell1' is of time 0, before time=20\. .* use cf\.tl\.push"
        ),
    ):
        cf.tl.pull(fitted, ["cell80", "cell1"], time=20.0)
    with pytest.raises(InputError, match=r"cells=\[\] chooses no cell"):
        cf.tl.push(fitted, [], time=20.0)
    with pytest.raises(InputError, match=r"Every cell is after time=-5\."):
        cf.tl.push(fitted, time=-5.0)


# Other cells --------------------------------------------------------------------------------------


def test_another_representation_of_the_same_cells_is_refused(fitted, frozen):
    fitted.obsm["X_pca"] = -fitted.obsm["X_pca"]
    for question in QUESTIONS.values():
        with frozen(fitted), pytest.raises(InputError, match="fitted on another representation"):
            question(fitted)


def test_a_subset_of_genes_and_cells_may_ask(fitted):
    part = fitted[5:60, ["gene7", "gene1"]].copy()
    cf.tl.velocity(part, genes="all")
    cf.tl.velocity(fitted, genes="all")
    np.testing.assert_array_equal(
        part.layers["velocity"], fitted.layers["velocity"][5:60][:, [7, 1]]
    )
    assert cf.tl.predict(part, time=6.0).var_names.tolist() == ["gene7", "gene1"]
    one_snapshot = fitted[(fitted.obs["hours"] == 0).to_numpy()].copy()
    assert cf.tl.push(one_snapshot, time=20.0).n_obs == one_snapshot.n_obs


def test_new_cells_may_ask(fitted):
    names = [f"new{i}" for i in range(90)]
    new = ad.AnnData(
        fitted.X,
        obs=pd.DataFrame({"hours": fitted.obs["hours"].to_numpy()}, index=names),
        var=fitted.var,
    )
    new.obsm["X_pca"] = fitted.obsm["X_pca"]
    new.uns["cellflow"] = fitted.uns["cellflow"]
    cf.tl.velocity(new)
    cf.tl.velocity(fitted)
    np.testing.assert_array_equal(new.obsm["velocity_pca"], fitted.obsm["velocity_pca"])


@pytest.mark.parametrize("call", [cf.get.flow, cf.get.velocity, cf.tl.velocity, cf.tl.trajectories])
def test_what_is_no_anndata_or_has_no_fit(cells, call):
    with pytest.raises(InputTypeError, match="Expected AnnData"):
        call(np.zeros((3, 2)))
    with pytest.raises(MissingKeyError, match=r"Fit first: cf\.tl\.flow"):
        call(cells)


def test_spoilt_records_of_time(fitted, frozen):
    fitted.obs.loc["cell3", "cf_time"] = np.nan
    with (
        frozen(fitted),
        pytest.raises(InputError, match=r"obs\['cf_time'\] has no finite time for 1 cells"),
    ):
        cf.tl.predict(fitted, time=30.0)
    fitted.obs["cf_time_inferred"] = "no"
    fitted.obs["cf_time"] = 1.0
    with (
        frozen(fitted),
        pytest.raises(InputError, match=r"has dtype object\. Expected one column of bool"),
    ):
        cf.tl.predict(fitted, time=30.0)

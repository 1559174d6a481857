"""`cf.tl.flow`: what it reads, what it writes, and when it refuses."""

import logging
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from cellflow.recipes import Head, by_name

import cellflow as cf
from cellflow.core.population import Clock
from cellflow.errors import InputError, InputWarning, MissingKeyError
from cellflow.fields import MLP, Potential, Residual
from cellflow.objectives import velocity_matching
from conftest import make_cells, quick_recipe

QUICK = {"method": quick_recipe()}


def latent(adata, time=6.0):
    return cf.get.flow(adata).velocity(adata.obsm["X_pca"][:5, : cf.get.flow(adata).n_dims], time)


def test_the_default_method_is_the_recipes_default():
    from inspect import signature

    from cellflow.recipes import DEFAULT

    assert signature(cf.tl.flow).parameters["method"].default == DEFAULT


def test_what_is_written(fitted):
    record = fitted.uns["cellflow"]
    assert set(fitted.obs) == {"hours", "cf_time", "cf_time_inferred", "cf_predicted"}
    assert record["params"]["time_key"] == "hours"
    assert (
        record["params"]["use_rep"],
        record["params"]["n_dims"],
        record["params"]["n_untimed"],
    ) == ("X_pca", 4, 3)
    assert record["params"]["decoder"] == "loadings"
    assert record["params"]["decoder_r2"] == pytest.approx(1.0, abs=1e-3)
    assert list(record["plans"]) == ["0.0_to_12.0", "12.0_to_48.0"]
    assert len(record["history"]["step"]) == len(record["history"]["loss"]) > 0
    assert record["written"].tolist() == ["obs/cf_time", "obs/cf_time_inferred", "var/cf_gene_r2"]


def test_untimed_cells_get_their_neighbours_time_and_a_flag(fitted):
    untimed = fitted.obs["hours"].isna()
    assert fitted.obs["cf_time_inferred"].tolist() == untimed.tolist()
    np.testing.assert_array_equal(fitted.obs["cf_time"][~untimed], fitted.obs["hours"][~untimed])
    truth = make_cells().obs["hours"].to_numpy()[untimed]
    assert np.abs(fitted.obs["cf_time"][untimed] - truth).mean() < 12.0
    assert fitted.obs["cf_time"][untimed].between(0.0, 48.0).all()


def test_the_seed_decides(cells):
    one, two, other = (
        cf.tl.flow(cells, "hours", random_state=seed, copy=True, **QUICK)
        for seed in (0, np.random.default_rng(3), 1)
    )
    assert (latent(one) != latent(other)).any()
    again = cf.tl.flow(
        cells,
        "hours",
        random_state=two.uns["cellflow"]["params"]["random_state"],
        copy=True,
        **QUICK,
    )
    assert (latent(two) == latent(again)).all()
    assert set(cells.uns) == set()


@pytest.mark.parametrize(
    "container",
    [
        sp.csr_matrix,
        lambda x: da.from_array(x, chunks=(8, 3)),
        np.asfortranarray,
        lambda x: x.astype(np.float64),
    ],
)
def test_containers_give_one_fit(cells, container):
    plain = cf.tl.flow(cells, "hours", copy=True, **QUICK)
    cells.obsm["X_pca"] = container(cells.obsm["X_pca"])
    cells.X = container(cells.X.toarray()) if container is not sp.csr_matrix else cells.X
    cf.tl.flow(cells, "hours", **QUICK)
    x = plain.obsm["X_pca"]
    np.testing.assert_array_equal(
        cf.get.flow(cells).velocity(x, 6.0), cf.get.flow(plain).velocity(x, 6.0)
    )
    np.testing.assert_allclose(
        cf.get.flow(cells).decoder.positions(x), cf.get.flow(plain).decoder.positions(x), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        (lambda h: h.astype(int), ""),
        (lambda h: pd.Categorical(h.astype(int).astype(str) + " hours"), "hours"),
        (lambda h: h.astype(int).astype(str) + "h", "hours"),
        (lambda h: pd.to_timedelta(h, unit="min"), "minutes"),
    ],
)
def test_times_in_any_form_give_one_fit(cells, column, unit):
    plain = cf.tl.flow(cells, "hours", copy=True, **QUICK)
    cells.obs["when"] = column(cells.obs["hours"])
    cf.tl.flow(cells, "when", **QUICK)
    assert (latent(cells) == latent(plain)).all()
    assert cells.uns["cellflow"]["params"]["time_unit"] == unit


def test_mixed_units_are_told_and_a_time_with_a_unit_is_read_in_that_of_the_fit(cells):
    cells.obs["when"] = np.where(
        cells.obs["hours"] == 48.0, "day 2", cells.obs["hours"].astype(int).astype(str) + "h"
    )
    with pytest.warns(InputWarning, match=r"All times are in hours from here on"):
        cf.tl.flow(cells, "when", **QUICK)
    by_number, by_label = (cf.tl.predict(cells, time=t).obsm["X_pca"] for t in (24.0, "day 1"))
    assert (by_number == by_label).all()


def test_few_dimensions_and_few_genes(cells):
    cf.tl.flow(cells, "hours", n_dims=2, **QUICK)
    assert cf.get.flow(cells).n_dims == 2
    cf.tl.flow(cells, "hours", use_rep="X", key_added="genes", **QUICK)
    flow = cf.get.flow(cells, key="genes")
    assert (flow.n_dims, flow.decoder.kind) == (12, "loadings")
    later = cf.tl.predict(cells, time=30.0, key="genes")
    assert later.shape == (60, 12)
    # X_pca is an affine function of the genes here.
    assert later.uns["genes_prediction"]["placed"].tolist() == ["X_umap"]
    expected = later.X @ cells.varm["PCs"]
    centred = [x - x.mean(axis=0) for x in (later.obsm["X_pca"], expected)]
    np.testing.assert_allclose(*centred, atol=0.02)
    cells.obsm["X_pca"] = cells.obsm["X_pca"][:, :1]
    cf.tl.flow(cells, "hours", key_added="one", **QUICK)
    assert cf.tl.predict(cells, time=30.0, key="one").obsm["X_pca"].shape == (60, 1)


def test_without_expression_there_is_no_decoder(cells):
    bare = ad.AnnData(obs=cells.obs, obsm=dict(cells.obsm))
    cf.tl.flow(bare, "hours", **QUICK)
    cf.tl.velocity(bare, basis="umap")
    assert {"velocity_pca", "velocity_umap"} < set(bare.obsm)
    assert not bare.layers
    assert cf.tl.predict(bare, time=30.0).X is None
    with pytest.raises(InputError, match=r"has no decoder\. Expected expression"):
        cf.get.velocity(bare)
    with pytest.raises(InputError, match="has no decoder"):
        cf.tl.velocity(bare, genes=["gene1"])
    with pytest.raises(InputError, match=r"genes='all', but the fit .* has no decoder"):
        cf.tl.velocity(bare, genes="all")


def test_two_fits_live_side_by_side(fitted):
    before = latent(fitted)
    cf.tl.flow(fitted, "hours", key_added="second", random_state=5, **QUICK)
    cf.tl.velocity(fitted, basis="umap", genes="all", key="second")
    cf.tl.trajectories(fitted, n_times=3, key="second")
    assert {"second_time", "second_time_inferred"} < set(fitted.obs)
    assert {"second_velocity_pca", "second_velocity_umap", "second_trajectory"} < set(fitted.obsm)
    assert set(fitted.layers) == {"second_velocity", "second_Ms"}
    assert {"second", "second_velocity_params", "cellflow"} == set(fitted.uns)
    assert (latent(fitted) == before).all()


def test_a_refit_removes_what_the_old_fit_computed(fitted):
    cf.tl.velocity(fitted, basis="umap", genes="all")
    cf.tl.trajectories(fitted, n_times=3)
    fitted.obsm["velocity_other"] = np.zeros((90, 2))
    cf.tl.flow(fitted, "hours", random_state=1, **QUICK)
    assert set(fitted.obsm) == {"X_pca", "X_umap", "velocity_other"}
    assert not fitted.layers
    assert set(fitted.uns) == {"cellflow"}


def test_nobody_elses_results_are_replaced(cells, frozen):
    cells.obs["cf_time"] = "mine"
    with frozen(cells), pytest.raises(InputError, match=r"adata\.obs\['cf_time'\] exists"):
        cf.tl.flow(cells, "hours", **QUICK)
    cf.tl.flow(cells, "hours", overwrite=True, **QUICK)
    assert cells.obs["cf_time"].dtype == np.float64


def test_copy_leaves_the_original_alone(cells, frozen):
    with frozen(cells):
        changed = cf.tl.flow(cells, "hours", copy=True, **QUICK)
    assert "cellflow" in changed.uns
    assert cf.tl.flow(cells, "hours", **QUICK) is None


def test_copy_of_a_backed_file_is_refused(cells, tmp_path):
    cells.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.raises(InputError, match="to_memory"):
        cf.tl.flow(backed, "hours", copy=True, **QUICK)
    cf.tl.flow(backed, "hours", **QUICK)
    plain = cf.tl.flow(cells, "hours", copy=True, **QUICK)
    assert (latent(backed) == latent(plain)).all()
    backed.file.close()


def test_a_view_becomes_a_copy_and_says_so(cells, caplog):
    view = cells[cells.obs["hours"] < 40]
    with caplog.at_level(logging.INFO, logger="cellflow"):
        cf.tl.flow(view, "hours", **QUICK)
    assert sum("view" in r.message for r in caplog.records) == 1
    assert "cellflow" in view.uns
    assert "cellflow" not in cells.uns


def test_weights_move_the_fit(cells):
    cells.obs["weight"] = (cells.obsm["X_pca"][:, 1] > 0).astype(float)
    cf.tl.flow(cells, "hours", weight_key="weight", **QUICK)
    later = cf.tl.predict(cells, time=30.0)
    heavy = cells.obs["weight"][later.obs["source_cell"]].to_numpy() > 0
    assert (later.obs["weight"][~heavy] == 0).all()
    assert later.obs["weight"].sum() == pytest.approx(1.0)
    drawn = cf.tl.predict(cells, time=30.0, n_obs=500)
    assert (cells.obs["weight"][drawn.obs["source_cell"]] > 0).all()


def test_a_forced_picture_works(cells):
    cf.tl.flow(cells, "hours", use_rep="umap", force_rep=True, **QUICK)
    cf.tl.velocity(cells)
    assert cells.obsm["velocity_umap"].shape == (90, 2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "ot-cmf"}, InputError, "did you mean 'ot-cfm'"),
        ({"method": None}, InputError, "neither a Recipe nor one of"),
        ({"method": by_name("ot-cfm", scale="join")}, InputError, "did you mean 'joint'"),
        ({"use_rep": "X_pac"}, MissingKeyError, "did you mean 'X_pca'"),
        ({"layer": "log"}, MissingKeyError, r"adata\.layers\['log'\] is missing"),
        ({"key_added": "a/b"}, InputError, "without '/'"),
        ({"random_state": -1}, InputError, "is no seed"),
        ({"device": "gpu"}, InputError, "not available"),
        ({"n_dims": 9}, InputError, "n_dims is 9"),
        ({"threads": 0}, InputError, "threads"),
        ({"threads": "al"}, InputError, "threads='al'; expected a positive integer or 'auto'"),
    ],
)
def test_bad_arguments(cells, arguments, error, message, frozen, monkeypatch):
    too_late = "work was done before the arguments were looked at"
    monkeypatch.setattr("cellflow.model.fitting.couple", lambda *_: pytest.fail(too_late))
    with frozen(cells), pytest.raises(error, match=message):
        cf.tl.flow(cells, "hours", **(QUICK | arguments))


def test_a_failing_callback_changes_nothing(cells, frozen):
    def fail(step, loss):
        raise RuntimeError("enough")

    with frozen(cells), pytest.raises(RuntimeError, match="enough"):
        cf.tl.flow(cells, "hours", callback=fail, **QUICK)


def test_unusable_expression_is_refused_before_the_fit(cells, frozen):
    cells.X.data[3] = np.nan
    trained = []
    with frozen(cells), pytest.raises(InputError, match=r"is not finite \(first: 'gene"):
        cf.tl.flow(cells, "hours", callback=lambda *record: trained.append(record), **QUICK)
    assert not trained


def test_snapshots_of_one_cell_warn_and_work():
    adata = make_cells(n=30)
    adata = adata[[*range(10), 10, *range(20, 30)]].copy()
    with pytest.warns(InputWarning, match=r"1 of 3 snapshots with fewer than 5 cells: 12 \(1\)"):
        cf.tl.flow(adata, "hours", **QUICK)
    assert cf.tl.predict(adata, time=30.0).n_obs == 11


# Sizes of populations, which only one method looks at ---------------------------------------------


@pytest.mark.parametrize(
    "method", ["curved-cfm", "ot-cfm", "i-cfm", "sb-cfm", "sf2m", "vp-cfm", "auto", quick_recipe()]
)
def test_sizes_that_a_method_does_not_look_at_are_refused(cells, frozen, method):
    cells.obs["size"] = cells.obs["hours"] + 1.0
    said = (
        "mass_key='size' with method=.*growth='none'.*Pass growth='auto' or 'learn', or omit"
        " mass_key="
    )
    with frozen(cells), pytest.raises(InputError, match=said):
        cf.tl.flow(cells, "hours", method=method, mass_key="size")


def test_the_method_that_looks_at_sizes_takes_them(cells):
    cells.obs["size"] = cells.obs["hours"] + 1.0
    recipe = replace(cf.recipes.fm(), training=quick_recipe().training)
    fits = {}
    for mass_key in (None, "size"):
        cf.tl.flow(cells, "hours", method=recipe, mass_key=mass_key)
        fits[mass_key] = cells.uns["cellflow"]["history"]["loss"].copy()
    assert not np.array_equal(fits[None], fits["size"])


def test_the_check_says_what_sizes_are_used_for(cells):
    cells.obs["size"] = cells.obs["hours"] + 1.0
    found = cf.pp.check(cells, "hours", mass_key="size")
    assert found["severity"].tolist().count("warning") == 1
    assert "growth='learn' or 'auto'" in found["expected"].iloc[0]


# Seeds and networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "fixed"])
def test_a_generator_is_drawn_once_and_its_seed_recorded(cells, method, monkeypatch):
    """So that the recorded seed gives the same choice of a method and the same fit again."""
    from cellflow.evaluation import selection

    seeds = []

    def select(snapshots, choices, *, random_state, **_):
        seeds.append(random_state)
        return SimpleNamespace(best=SimpleNamespace(recipe=quick_recipe(), name="ot-cfm"))

    monkeypatch.setattr(selection, "select", select)
    monkeypatch.setattr(selection, "curve", lambda found: pd.DataFrame({"method": ["ot-cfm"]}))
    chosen = "auto" if method == "auto" else quick_recipe()
    drawn, expected = np.random.default_rng(3), np.random.default_rng(3)
    cf.tl.flow(cells, "hours", method=chosen, random_state=drawn)
    seed = int(expected.integers(2**63))
    assert drawn.bit_generator.state == expected.bit_generator.state
    assert cells.uns["cellflow"]["params"]["random_state"] == seed
    assert seeds == ([seed] if method == "auto" else [])
    first = cf.tl.velocity(cells, genes=[], copy=True).obsm["velocity_pca"]
    cf.tl.flow(cells, "hours", method=chosen, random_state=seed)
    np.testing.assert_array_equal(
        cf.tl.velocity(cells, genes=[], copy=True).obsm["velocity_pca"], first
    )


def _hidden():
    class _Own(MLP):
        """A network of the user's own without an import path."""

    return _Own


_Own = _hidden()


def _function(dim, clock, **options):
    return MLP(dim, clock, **options)


_Impostor = _hidden()
_Impostor.__name__ = "MLP"

FOREIGN = {
    "class": (_Own, "_Own"),
    "class with options": (partial(_Own, width=8), "_Own"),
    "function": (_function, "_function"),
    "lambda": (lambda dim, clock, **options: MLP(dim, clock, **options), "<lambda>"),
    "another of a known name": (_Impostor, "MLP"),
    "unnamed options": (partial(MLP, 2), "unnamed arguments"),
    "a class as option": (partial(MLP, width=_Own), "_Own"),
    "an array as option": (partial(MLP, width=np.array([8])), "ndarray"),
    "nested": (partial(partial(_Own, width=8), depth=1), "_Own"),
    "an object": (MLP(2, Clock(0.0, 1.0, 1.0, 1.0)), "MLP"),
}


@pytest.mark.parametrize("where", ["field", "score"])
@pytest.mark.parametrize("case", FOREIGN)
def test_a_network_that_cannot_be_asked_again_is_refused_before_training(
    cells, case, where, frozen, monkeypatch
):
    from cellflow.model import fitting

    monkeypatch.setattr(fitting, "train", lambda *_, **__: pytest.fail("trained"))
    network, named = FOREIGN[case]
    recipe = (
        quick_recipe().with_head("velocity", Head(network, velocity_matching))
        if where == "field"
        else quick_recipe().with_score(network)
    )
    with (
        frozen(cells),
        pytest.raises(
            InputError, match=rf"network that cellflow does not have: .*{named}.*cf\.fit"
        ) as said,
    ):
        cf.tl.flow(cells, "hours", method=recipe)
    assert "Flow.load(folder, fields=" in str(said.value)


@pytest.mark.parametrize(
    "network",
    [
        MLP,
        partial(MLP, width=8, depth=1),
        partial(Residual, width=8),
        partial(Potential, field=partial(MLP, width=8)),
    ],
)
def test_networks_of_the_package_are_asked_again(cells, network):
    cf.tl.flow(
        cells,
        "hours",
        method=quick_recipe().with_head("velocity", Head(network, velocity_matching)),
    )
    cf.tl.velocity(cells)

"""Fates in an AnnData: what is written, read back and removed, and unusable requests."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.errors import InputError, InputWarning, MissingKeyError
from conftest import quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")


@pytest.fixture
def labelled(fitted):
    """Cells of a fit with a score, with two types, in the order of the categories."""
    side = np.where(fitted.obsm["X_pca"][:, 2] > 0, "upper", "lower")
    fitted.obs["cell_type"] = pd.Categorical(side, ["upper", "lower", "none"])
    fitted.uns["cell_type_colors"] = ["#ff0000", "#0000ff", "#00ff00"]
    return fitted


def test_columns_are_those_of_the_categories(labelled):
    cf.tl.fates(labelled)
    p = labelled.obsm["lineages_fwd"]
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    states = labelled.obs["term_states_fwd"]
    assert list(states.cat.categories)[:2] == ["upper", "lower"]
    assert p.shape[1] == len(states.cat.categories)
    assert labelled.uns["term_states_fwd_colors"][:2].tolist() == ["#ff0000", "#0000ff"]
    last = labelled.obs["hours"] == 48
    assert states[last].astype(str).tolist() == labelled.obs["cell_type"][last].tolist()
    assert states[~last].isna().all()
    np.testing.assert_array_equal(p[last].argmax(axis=1), states[last].cat.codes)


@pytest.mark.parametrize("stochastic", [False, True])
def test_the_table_has_what_was_written(labelled, stochastic):
    cf.tl.fates(labelled, stochastic=stochastic, n_rep=3)
    table = cf.get.fates(labelled)
    p = labelled.obsm["lineages_fwd"]
    wide = table.pivot_table("probability", "cell", "fate", sort=False, observed=False)
    np.testing.assert_array_equal(wide.to_numpy(), p)
    assert table.attrs["groupby"] == "cell_type"
    assert table.attrs["n_rep"] == (3 if stochastic else 1)
    by_time = cf.get.fates(labelled, groupby="hours")
    mean = by_time[by_time["group"] == 12].set_index("fate")["probability"]
    np.testing.assert_allclose(mean, p[labelled.obs["hours"] == 12].mean(axis=0), atol=1e-12)


def test_means_of_groups_are_weighted_by_mass(labelled):
    cf.tl.fates(labelled)
    labelled.obs["cf_fate_mass"] = np.arange(1.0, 91.0)
    labelled.obs["all"] = "x"
    table = cf.get.fates(labelled, groupby="all")
    mean = table["probability"]
    np.testing.assert_allclose(table["n_effective"], 4095**2 / (np.arange(1.0, 91.0) ** 2).sum())
    labelled.obs["cf_fate_mass"] = np.where(np.arange(90) == 7, 1e9, 1.0)
    alone = cf.get.fates(labelled, groupby="all")["n_effective"]
    np.testing.assert_allclose(alone, 1.0, atol=1e-6)
    expected = np.average(labelled.obsm["lineages_fwd"], axis=0, weights=np.arange(1.0, 91.0))
    np.testing.assert_allclose(mean, expected)


def test_origins_and_fates_are_kept_apart(labelled):
    cf.tl.fates(labelled)
    before = labelled.obsm["lineages_fwd"].copy()
    cf.tl.ancestors(labelled)
    np.testing.assert_array_equal(labelled.obsm["lineages_fwd"], before)
    first = labelled.obs["hours"] == 0
    assert labelled.obs["term_states_bwd"][first].notna().all()
    assert "commitment_time" not in cf.get.fates(labelled, backward=True)


def test_an_ensemble_is_the_mean_over_fits(labelled):
    cf.tl.flow(labelled, "hours", method=quick_recipe(), key_added="second", random_state=1)
    cf.tl.fates(labelled, key="second")
    alone = cf.tl.fates(labelled, copy=True)
    cf.tl.fates(labelled, ensemble=["second"])
    pair = [labelled.obsm["second_lineages_fwd"][:, :2], alone.obsm["lineages_fwd"][:, :2]]
    np.testing.assert_allclose(labelled.obsm["lineages_fwd"][:, :2], np.mean(pair, axis=0))
    np.testing.assert_allclose(labelled.obsm["cf_fates_sd"][:, :2], np.std(pair, axis=0, ddof=1))
    record = labelled.uns["cellflow"]["fates"]
    assert record["ensemble"].tolist() == ["cellflow", "second"]


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning"
)  # zarr's and anndata's own, about formats
def test_files_keep_fates(labelled, form, tmp_path):
    cf.tl.fates(labelled, absorb={"upper": 12})
    cf.tl.ancestors(labelled)
    path = tmp_path / f"a.{form}"
    getattr(labelled, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    pd.testing.assert_frame_equal(cf.get.fates(again), cf.get.fates(labelled))
    pd.testing.assert_series_equal(again.obs["term_states_fwd"], labelled.obs["term_states_fwd"])


def test_a_new_fit_removes_fates(labelled):
    before = (set(labelled.obs), set(labelled.obsm), set(labelled.uns))
    cf.tl.fates(labelled)
    cf.tl.ancestors(labelled)
    cf.tl.flow(labelled, "hours", method=quick_recipe())
    assert (set(labelled.obs), set(labelled.obsm), set(labelled.uns)) == before
    with pytest.raises(MissingKeyError, match=r"Expected: call cf\.tl\.fates"):
        cf.get.fates(labelled)


def test_colours_of_an_older_call_do_not_stay(labelled):
    cf.tl.fates(labelled)
    del labelled.uns["cell_type_colors"]
    cf.tl.fates(labelled)
    assert "term_states_fwd_colors" not in labelled.uns


def test_replaced_positions_are_noticed(labelled):
    cf.tl.fates(labelled)
    labelled.obsm["lineages_fwd"] = labelled.obsm["lineages_fwd"][:, :1]
    with pytest.raises(InputError, match=r"lineages_fwd.*Compute it again"):
        cf.get.fates(labelled)


def test_cells_without_a_time_have_fates(labelled):
    cf.tl.fates(labelled)
    untimed = labelled.obs["hours"].isna()
    assert untimed.sum() == 3
    assert np.isfinite(labelled.obsm["lineages_fwd"][untimed]).all()


def missing_at_the_end(adata):
    adata.obs.loc[adata.obs["hours"] == 48, "cell_type"] = np.nan


def without_labels(adata):
    adata.obs["cell_type"] = np.nan


def named_undecided(adata):
    adata.obs["cell_type"] = "undecided"


def early_group(adata):
    labels = adata.obs["cell_type"].astype(object)
    labels[adata.obs["hours"] == 0] = "start"
    adata.obs["cell_type"] = labels


def other_representation(adata):
    adata.obsm["X_small"] = adata.obsm["X_pca"][:, :2].copy()
    cf.tl.flow(adata, "hours", use_rep="X_small", method=quick_recipe(), key_added="small")


def no_score(adata):
    cf.tl.flow(adata, "hours", method=quick_recipe())


def as_it_is(adata):
    pass


@pytest.mark.parametrize(
    ("spoil", "arguments", "match"),
    [
        (missing_at_the_end, {}, r"time 48 has a label .* of times \[0\.0, 12\.0\]"),
        (without_labels, {}, r"has no label for any cell.*pass another groupby="),
        (named_undecided, {}, r"has a group 'undecided'.*Rename it"),
        (as_it_is, {"groupby": "celltype"}, r"obs\['celltype'\] is missing.*'cell_type'"),
        (as_it_is, {"at": 30.0}, r"no cell was measured at time 30\. .*\[0\.0, 12\.0, 48\.0\]"),
        (as_it_is, {"at": "soon"}, r"at='soon' is no time"),
        (as_it_is, {"at": 1000.0}, r"no cell was measured at time 1000"),
        (as_it_is, {"absorb": ["uper"]}, r"absorb names 'uper'.*did you mean 'upper'"),
        (as_it_is, {"absorb": "upper"}, r"absorb='upper'; expected a list"),
        (early_group, {"absorb": {"start": 12}}, r"no cell of this group .*\[0\.0\]"),
        (as_it_is, {"stochastic": True, "n_rep": 0}, r"n_rep=0"),
        (no_score, {"stochastic": True}, r"without a score"),
        (as_it_is, {"ensemble": ["secnd"]}, r"holds no fit"),
        (other_representation, {"ensemble": ["small"]}, r"ensemble: .*X_small.* 2 dimensions"),
        (as_it_is, {"threads": 0}, r"threads=0"),
        (as_it_is, {"random_state": -1}, r"random_state=-1"),
    ],
)
def test_unusable_requests_change_nothing(labelled, spoil, arguments, match, frozen):
    spoil(labelled)
    with frozen(labelled), pytest.raises(InputError, match=match):
        cf.tl.fates(labelled, **arguments)


def test_a_group_of_the_first_time_absorbs_its_own_cells(labelled):
    early_group(labelled)
    cf.tl.fates(labelled, absorb=["start"])
    column = list(labelled.obs["term_states_fwd"].cat.categories).index("start")
    own = (labelled.obs["cell_type"] == "start").to_numpy()
    np.testing.assert_array_equal(labelled.obsm["lineages_fwd"][:, column] == 1.0, own)


def test_an_earlier_end_leaves_later_cells_undecided(labelled):
    cf.tl.fates(labelled, at="12h")
    later = (labelled.obs["cf_time"] > 12).to_numpy()
    assert labelled.obs["term_states_fwd"].cat.categories[-1] == "undecided"
    np.testing.assert_array_equal(labelled.obsm["lineages_fwd"][later, -1], 1.0)
    assert labelled.uns["cellflow"]["fates"]["n_beyond"] == later.sum()


def test_much_undecided_mass_is_a_warning(labelled):
    late = np.flatnonzero(labelled.obs["hours"] == 48)
    labelled.obs.iloc[late[1:], labelled.obs.columns.get_loc("cell_type")] = np.nan
    with pytest.warns(InputWarning, match="of the mass is undecided"):
        cf.tl.fates(labelled)
    assert labelled.uns["cellflow"]["fates"]["undecided"] > 0.5


def test_the_transition_matrix_is_returned_and_written(labelled, tmp_path):
    matrix = cf.get.transition_matrix(labelled, n_neighbors=5)
    assert matrix.shape == (90, 90)
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1.0)
    assert matrix.min() >= 0
    np.testing.assert_array_equal(labelled.obsp["T_fwd"].toarray(), matrix.toarray())
    np.testing.assert_array_equal(
        cf.get.transition_matrix(labelled, n_neighbors=5, sparse=False), matrix.toarray()
    )
    labelled.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.obsp["T_fwd"].toarray(), matrix.toarray())
    assert labelled.uns["cellflow"]["transitions"]["n_neighbors"] == 5
    cf.tl.flow(labelled, "hours", method=quick_recipe())
    assert "T_fwd" not in labelled.obsp


def test_a_foreign_transition_matrix_stays(labelled, frozen):
    labelled.obsp["T_fwd"] = np.eye(90)
    with frozen(labelled), pytest.raises(InputError, match=r"obsp\['T_fwd'\] exists"):
        cf.get.transition_matrix(labelled)
    cf.get.transition_matrix(labelled, overwrite=True)


def test_terminal_states_are_labels_of_fates(labelled):
    cf.tl.terminal_states(labelled, max_speed=100.0, min_cells=2)
    states = labelled.obs["cf_terminal"]
    assert states.cat.categories[0] == "T1"
    assert states[(labelled.obs["hours"] != 48).to_numpy()].isna().all()
    with pytest.warns(InputWarning, match="of the mass is undecided"):  # most cells have no state
        cf.tl.fates(labelled, "cf_terminal")
    assert "T1" in cf.get.fates(labelled)["fate"].cat.categories


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"max_speed": 1e-6}, r"No terminal state among 29 cells.*larger max_speed"),
        ({"at": 13}, r"no cell was measured at time 13.*\[0\.0, 12\.0, 48\.0\]"),
        ({"n_neighbors": 0}, "n_neighbors=0"),
    ],
)
def test_terminal_states_that_are_not_there(labelled, arguments, match, frozen):
    with frozen(labelled), pytest.raises(InputError, match=match):
        cf.tl.terminal_states(labelled, **arguments)

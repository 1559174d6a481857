"""Calibrated fates in an AnnData: what is written, read back and removed, and unusable requests."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cellflow as cf
from cellflow.errors import InputError, InputWarning, MissingKeyError
from conftest import quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")


@pytest.fixture
def cloned(fitted):
    """Fates of three types, and clones that mostly keep theirs."""
    third = fitted.obsm["X_pca"][:, 2]
    side = np.array(["low", "middle", "high"])[np.digitize(third, np.quantile(third, [0.4, 0.7]))]
    fitted.obs["cell_type"] = pd.Categorical(side, ["low", "middle", "high"])
    number = np.where(np.arange(90) % 7, np.arange(90) % 4, 4 + np.arange(90) % 5)
    mixed = np.where(np.arange(90) % 5, side, "any")
    fitted.obs["clone"] = [f"{a}{b}" for a, b in zip(mixed, number, strict=True)]
    cf.tl.fates(fitted)
    return fitted


def early(adata):
    return np.flatnonzero(adata.obs["cf_time"] < 48)


def test_calibrated_fates_lie_beside_the_others(cloned):
    before = cloned.obsm["lineages_fwd"].copy()
    cf.tl.calibrate(cloned, lineage_key="clone", offsets=False)
    np.testing.assert_array_equal(cloned.obsm["lineages_fwd"], before)
    q = cloned.obsm["cf_fates_calibrated"]
    np.testing.assert_allclose(q.sum(axis=1), 1.0)
    assert q.shape == before.shape
    ends = cloned.obs["cf_time"] >= 48
    np.testing.assert_array_equal(q[ends], before[ends])
    if before.shape[1] == 4:
        np.testing.assert_allclose(q[:, 3], before[:, 3])
    # Equal probabilities stay equal, but for rounding.
    rows = early(cloned)
    order = np.argsort(before[rows][:, :3], axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(q[rows][:, :3], order, axis=1)) >= -1e-12).all()


def test_the_record_gives_what_was_written(cloned):
    cf.tl.calibrate(cloned, lineage_key="clone", offsets=True)
    found = cloned.uns["cellflow"]["calibration"]
    assert found["names"].tolist() == ["low", "middle", "high"]
    p = cloned.obsm["lineages_fwd"][:, :3]
    decided = p.sum(axis=1, keepdims=True)
    votes = cloned.uns["cellflow"]["fates"]["neighbors"]["48"]
    share = (votes * p / np.where(decided > 0, decided, 1) + 1 / 3) / (votes + 1)
    scaled = share ** (1 / found["temperature"]) * np.exp(found["offsets"])
    expected = decided * scaled / scaled.sum(axis=1, keepdims=True)
    rows = early(cloned)
    np.testing.assert_allclose(cloned.obsm["cf_fates_calibrated"][rows, :3], expected[rows])
    sets = cloned.obsm["cf_fate_sets"]
    assert sets[rows].any(axis=1).all()
    inside = scaled / scaled.sum(axis=1, keepdims=True) >= found["threshold"] * (1 - 1e-6)
    np.testing.assert_array_equal(sets[rows] | inside[rows], sets[rows])


def test_sets_of_cells_with_a_fate_are_that_fate(cloned):
    cf.tl.calibrate(cloned, lineage_key="clone")
    ends = (cloned.obs["hours"] == 48).to_numpy()
    codes = cloned.obs["cell_type"].cat.codes.to_numpy()[ends]
    np.testing.assert_array_equal(cloned.obsm["cf_fate_sets"][ends], np.eye(3)[codes] > 0)


def test_the_table(cloned):
    cf.tl.calibrate(cloned, lineage_key="clone")
    table = cf.get.calibration(cloned)
    assert set(table["stage"]) == {"before", "after"}
    assert list(table["fate"].cat.categories) == ["most probable", "low", "middle", "high"]
    assert ((table["low"] <= table["observed"]) & (table["observed"] <= table["high"])).all()
    n = table.groupby(["stage", "fate"], observed=True)["n_cells"].sum()
    assert (n == table.attrs["n_cells"]).all()
    errors = pd.DataFrame(table.attrs["errors"]).set_index(["stage", "fate"])
    for (stage, fate), part in table.groupby(["stage", "fate"], observed=True):
        gaps = (part["predicted"] - part["observed"]).abs()
        assert np.average(gaps, weights=part["n_cells"]) == pytest.approx(
            errors.loc[(stage, fate), "ece"], abs=0.05
        )
    assert "Temperature" in table.attrs["words"]


def test_the_table_of_fates_has_calibrated_ones(cloned):
    assert "calibrated" not in cf.get.fates(cloned)
    cf.tl.calibrate(cloned, lineage_key="clone")
    table = cf.get.fates(cloned)
    q = cloned.obsm["cf_fates_calibrated"]
    np.testing.assert_array_equal(table["calibrated"].to_numpy().reshape(q.shape), q)
    cloned.obs["cf_fate_mass"] = np.arange(1.0, 91.0)
    mean = cf.get.fates(cloned, groupby="cell_type").query("group == 'low'")["calibrated"]
    here = (cloned.obs["cell_type"] == "low").to_numpy()
    expected = np.average(q[here], axis=0, weights=np.arange(1.0, 91.0)[here])
    np.testing.assert_allclose(mean, expected)


def test_barcodes_and_a_matrix_of_clones_are_the_same(cloned):
    codes = pd.Categorical(cloned.obs["clone"]).codes
    cloned.obsm["X_clone"] = sp.csr_matrix(np.eye(codes.max() + 1)[codes])
    other = cf.tl.calibrate(cloned, lineage_key="X_clone", copy=True)
    cf.tl.calibrate(cloned, lineage_key="clone")
    pd.testing.assert_frame_equal(cf.get.calibration(other), cf.get.calibration(cloned))


def test_the_order_of_the_cells_does_not_matter(cloned):
    order = np.random.default_rng(0).permutation(cloned.n_obs)
    other = cloned[order].copy()
    for adata in (cloned, other):
        cf.tl.calibrate(adata, lineage_key="clone")
    np.testing.assert_allclose(
        other.obsm["cf_fates_calibrated"], cloned.obsm["cf_fates_calibrated"][order]
    )
    np.testing.assert_array_equal(other.obsm["cf_fate_sets"], cloned.obsm["cf_fate_sets"][order])
    pd.testing.assert_frame_equal(cf.get.calibration(other), cf.get.calibration(cloned))


@pytest.mark.parametrize("by", ["clones", "composition"])
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # about formats
def test_files_keep_it(cloned, by, form, tmp_path):
    cf.tl.calibrate(cloned, by=by, lineage_key="clone" if by == "clones" else None)
    path = tmp_path / f"a.{form}"
    getattr(cloned, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    found = cf.get.calibration(again)
    kept = cf.get.calibration(cloned)
    pd.testing.assert_frame_equal(found, kept)
    assert found.attrs.keys() == kept.attrs.keys()
    assert found.attrs["errors"] == kept.attrs["errors"]
    for name in ("cf_fates_calibrated", "cf_fate_sets"):
        if name in cloned.obsm:
            np.testing.assert_array_equal(again.obsm[name], cloned.obsm[name])
    cf.tl.fates(again)
    assert "cf_fates_calibrated" not in again.obsm


@pytest.mark.parametrize("again", ["fates", "flow"])
def test_new_fates_and_fits_remove_it(cloned, again):
    cf.tl.calibrate(cloned, lineage_key="clone")
    if again == "fates":
        cf.tl.fates(cloned)
    else:
        cf.tl.flow(cloned, "hours", method=quick_recipe())
    assert not {"cf_fates_calibrated", "cf_fate_sets"} & set(cloned.obsm)
    assert "calibration" not in cloned.uns["cellflow"]
    with pytest.raises(MissingKeyError, match=r"call cf\.tl\.calibrate\(adata\)"):
        cf.get.calibration(cloned)
    # What is no longer ours is not removed.
    cloned.obsm["cf_fates_calibrated"] = np.ones((90, 1))
    cf.tl.flow(cloned, "hours", method=quick_recipe())
    assert "cf_fates_calibrated" in cloned.obsm


def test_origins_keep_it(cloned):
    cf.tl.calibrate(cloned, lineage_key="clone")
    cf.tl.ancestors(cloned)
    assert "cf_fates_calibrated" in cloned.obsm
    assert len(cf.get.calibration(cloned))


def test_composition_agrees_on_average_and_has_no_sets(cloned):
    cf.tl.calibrate(cloned, lineage_key="clone")
    cf.tl.calibrate(cloned, by="composition")
    assert "cf_fate_sets" not in cloned.obsm
    found = cloned.uns["cellflow"]["calibration"]
    assert "temperature" not in found
    table = cf.get.calibration(cloned)
    assert set(table["time"]) == {0.0, 12.0}
    sums = table.groupby(["stage", "time"], observed=True)[["predicted", "observed"]].sum()
    np.testing.assert_allclose(sums, 1.0)
    rows = early(cloned)
    rows = rows[cloned.obs["hours"].notna().to_numpy()[rows]]
    q = cloned.obsm["cf_fates_calibrated"][rows, :3]
    decided = q.sum(axis=1)
    mass = cloned.obs["cf_fate_mass"].to_numpy()[rows] * decided
    q = q / np.where(decided > 0, decided, 1)[:, None]
    time = cloned.obs["hours"].to_numpy()[rows]
    worth = []
    shares = []
    for t in (0.0, 12.0):
        w = mass[time == t]
        worth.append(w.sum() ** 2 / (w**2).sum())
        shares.append(w @ q[time == t] / w.sum())
    mean = np.average(shares, axis=0, weights=worth)
    np.testing.assert_allclose(mean, found["measured"], atol=1e-8)


def test_undecided_mass_stays(cloned):
    """Labels of few cells of the end: much mass is undecided, and is left so."""
    label = cloned.obs["cell_type"].astype(object).where(np.arange(90) % 2 == 0)
    cloned.obs["some"] = pd.Categorical(label)
    cf.tl.fates(cloned, "some")
    before = cloned.obsm["lineages_fwd"]
    assert cloned.uns["cellflow"]["fates"]["names"][-1] == "undecided"
    cf.tl.calibrate(cloned, lineage_key="clone")
    q = cloned.obsm["cf_fates_calibrated"]
    np.testing.assert_allclose(q[:, -1], before[:, -1])
    np.testing.assert_allclose(q.sum(axis=1), 1.0)
    assert cloned.obsm["cf_fate_sets"].shape == (90, 3)
    assert cloned.uns["cellflow"]["calibration"]["names"].tolist() == ["high", "low", "middle"]


@pytest.mark.filterwarnings("ignore:lineage_key=:cellflow.errors.InputWarning")  # few cells
def test_clones_of_the_coupling_judge_nothing(cloned, frozen):
    """Unless they were kept out, and have a column of their own."""
    out = cloned.obs["clone"].str[-1].isin(["0", "1"]).to_numpy()
    cloned.obs["seen"] = cloned.obs["clone"].where(~out)
    cloned.obs["unseen"] = cloned.obs["clone"].where(out)
    cf.tl.flow(cloned, "hours", method=quick_recipe(), lineage_key="seen")
    cf.tl.fates(cloned)
    n = cloned.obs["clone"].nunique()
    seen = cloned.obs["seen"].nunique()
    for key, said in (("clone", f"{seen} of {n} clones"), (None, f"{seen} of {seen} clones")):
        with frozen(cloned), pytest.raises(InputError, match=f"{said} have cells with barcodes"):
            cf.tl.calibrate(cloned, lineage_key=key)
    cf.tl.calibrate(cloned, lineage_key="unseen")
    assert cf.get.calibration(cloned).attrs["n_clones"] <= cloned.obs["unseen"].nunique()
    # Fates of an ensemble are those of all of its fits.
    cf.tl.flow(cloned, "hours", method=quick_recipe(), key_added="plain")
    cf.tl.fates(cloned, key="plain", ensemble=["cellflow"])
    with pytest.raises(InputError, match=r"uns\['cellflow'\] has used"):
        cf.tl.calibrate(cloned, lineage_key="clone", key="plain")


# Unusable requests --------------------------------------------------------------------------------


def no_fates(adata):
    cf.tl.flow(adata, "hours", method=quick_recipe())


def one_clone(adata):
    adata.obs["clone"] = "a"


def no_late_cells(adata):
    adata.obs.loc[adata.obs["hours"] == 48, "clone"] = np.nan


def one_fate(adata):
    adata.obs["cell_type"] = "a"
    cf.tl.fates(adata)


def no_labels(adata):
    del adata.obs["term_states_fwd"]


def absorbing(adata):
    cf.tl.fates(adata, absorb=["low"])


def taken(adata):
    adata.obsm["cf_fate_sets"] = np.ones((90, 1))


def nothing(adata):
    pass


@pytest.mark.parametrize(
    ("spoil", "arguments", "said"),
    [
        (no_fates, {}, r"adata has no fates.*call cf\.tl\.fates"),
        (nothing, {"lineage_key": None}, r"no clones are known.*by='composition'"),
        (nothing, {"lineage_key": "clones"}, "did you mean 'clone'"),
        (one_clone, {}, "one clone has cells before the end.*at least two"),
        (no_late_cells, {}, "no clone has cells before the end"),
        (one_fate, {}, r"has the fates \['a'\] only"),
        (no_labels, {}, r"term_states_fwd'\] is missing"),
        (taken, {}, r"cf_fate_sets'\] exists.*overwrite=True"),
        (absorbing, {"by": "composition", "lineage_key": None}, r"\['low'\] absorb before the end"),
        (nothing, {"by": "composition"}, "which is for clones. Omit lineage_key="),
        (nothing, {"by": "cells"}, "by='cells'; expected 'clones' or 'composition'"),
        (nothing, {"alpha": 1.0}, "alpha=1.0; expected a finite number above 0 and below 1"),
        (nothing, {"n_folds": 1}, "n_folds=1"),
        (nothing, {"offsets": "yes"}, "offsets='yes'"),
    ],
)
def test_unusable_requests_change_nothing(cloned, spoil, arguments, said, frozen):
    spoil(cloned)
    with frozen(cloned), pytest.raises(cf.errors.CellFlowError, match=said):
        cf.tl.calibrate(cloned, **{"lineage_key": "clone", **arguments})


def test_two_conditions_have_two_compositions(fitted_as, frozen):
    adata = fitted_as("conditions")
    adata.obs["cell_type"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    cf.tl.fates(adata)
    with frozen(adata), pytest.raises(InputError, match="2 conditions in adata"):
        cf.tl.calibrate(adata, by="composition")
    alone = adata[adata.obs["drug"] == "none"].copy()
    cf.tl.calibrate(alone, by="composition")
    assert len(cf.get.calibration(alone))


def test_fates_that_tell_nothing_are_a_warning(cloned):
    """The clones of each cell become what it is least likely to become."""
    p = cloned.obsm["lineages_fwd"][:, :3]
    cloned.obs["clone"] = [f"c{i}" for i in range(30)] * 3
    codes = p[:30].argmin(axis=1)
    labels = cloned.obs["cell_type"].cat.categories[codes]
    cloned.obs["term_states_fwd"] = pd.Categorical(
        [None] * 60 + list(labels), cloned.obs["term_states_fwd"].cat.categories
    )
    with pytest.warns(InputWarning, match="do not tell clones apart"):
        cf.tl.calibrate(cloned, lineage_key="clone", offsets=False)
    assert np.isnan(cloned.uns["cellflow"]["calibration"]["temperature_low"])

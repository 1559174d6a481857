"""Diagnoses of a fit on an AnnData: what is read, what is written, when they refuse."""

import logging
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.adapter.fitted import read_fitted
from cellflow.analysis.diagnosis import diagnose
from cellflow.couplings import Exact
from cellflow.errors import (
    CouplingWarning,
    InputError,
    InputTypeError,
    InputWarning,
    MissingKeyError,
)
from cellflow.model.fitting import couple_again
from conftest import make_cells, quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")


@pytest.fixture(scope="module")
def _scored(fitted_as):
    """A fit with a score and the density of its first snapshot."""
    adata = fitted_as("sf2m")
    cf.tl.log_density(adata, source="gmm")
    return adata


@pytest.fixture
def scored(_scored):
    return _scored.copy()


def test_the_table_is_that_of_the_fit(fitted):
    assert cf.tl.diagnose(fitted, n_cells=20, random_state=3) is None
    read = read_fitted(fitted, "cellflow")
    expected = diagnose(read.flow, read.cells.snapshots(), n_cells=20, random_state=3)
    table = cf.get.diagnosis(fitted)
    assert table.attrs["verdict"].split("\n") == list(expected.verdict)
    assert list(table) == list(expected.table)
    for name in set(table) - {"region_cell"}:
        np.testing.assert_array_equal(table[name], expected.table[name], err_msg=name)
    # Rows are named by cells, and cells without a time are in no snapshot.
    times = fitted.obs["hours"]
    assert table["time"].tolist() == [0.0, 12.0, 48.0]
    assert table["region_cell"][0] == ""
    assert [times[cell] for cell in table["region_cell"][1:]] == [12.0, 48.0]
    assert fitted.uns["cellflow"]["diagnosis"]["params"] == {
        "n_cells": 20,
        "random_state": 3,
        "density": False,
    }


def test_score_and_density_are_compared_where_they_are(scored):
    cf.tl.diagnose(scored, n_cells=30)
    table = cf.get.diagnosis(scored)
    for column in (
        "cosine_score_shift",
        "cosine_density_shift",
        "cosine_score_density",
        "effective_samples",
    ):
        assert table[column].notna().all()
    levels = cf.get.flow(scored).score_network.ladder.levels
    assert set(table["noise"]) <= set(levels)
    assert "no score" not in table.attrs["verdict"]
    # A new fit has not been diagnosed, and has no density.
    cf.tl.flow(scored, "hours", method=quick_recipe())
    with pytest.raises(MissingKeyError, match=r"no 'diagnosis'.*cf.tl.diagnose"):
        cf.get.diagnosis(scored)


def test_it_survives_a_file(scored, tmp_path):
    cf.tl.diagnose(scored, n_cells=20)
    scored.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(cf.get.diagnosis(again), cf.get.diagnosis(scored))
    assert cf.get.diagnosis(again).attrs == cf.get.diagnosis(scored).attrs
    before = cf.get.diagnosis(again)
    cf.tl.diagnose(again, n_cells=20)
    pd.testing.assert_frame_equal(cf.get.diagnosis(again), before)


def test_a_copy_leaves_the_original_alone(fitted, frozen, caplog):
    with frozen(fitted), caplog.at_level(logging.INFO, logger="cellflow"):
        copy = cf.tl.diagnose(fitted, n_cells=20, copy=True)
    for sentence in cf.get.diagnosis(copy).attrs["verdict"].split("\n"):
        assert sentence in caplog.text


def test_only_the_diagnosis_is_written(fitted):
    before = fitted.copy()
    cf.tl.diagnose(fitted, n_cells=20)
    assert set(fitted.uns["cellflow"]) == set(before.uns["cellflow"]) | {"diagnosis"}
    pd.testing.assert_frame_equal(fitted.obs, before.obs)
    # What is computed from the fit afterwards does not touch it.
    cf.tl.velocity(fitted)
    cf.get.diagnosis(fitted)


def test_conditions_stay_apart(fitted_as):
    adata = fitted_as("conditions")
    cf.tl.diagnose(adata, n_cells=20)
    table = cf.get.diagnosis(adata)
    assert table[["round_trip", "energy_ratio", "detour", "imbalance", "end_distance"]].notna().all(
        axis=1
    ).tolist()[1:] == [
        True,
        True,
    ]
    # Without its partners, a condition cannot be judged.
    alone = adata[~((adata.obs["drug"] == "some") & (adata.obs["hours"] == 12.0)).to_numpy()].copy()
    with pytest.raises(InputError, match="drug"):
        cf.tl.diagnose(alone)


def test_what_it_refuses(fitted, frozen):
    with frozen(fitted), pytest.raises(InputError, match="at least 10"):
        cf.tl.diagnose(fitted, n_cells=5)
    untimed = fitted[fitted.obs["hours"].isna().to_numpy()].copy()
    with frozen(untimed), pytest.raises(InputError, match="has a time of its own"):
        cf.tl.diagnose(untimed)
    later = fitted.copy()
    later.obs = later.obs.drop(columns=["cf_time", "cf_time_inferred"])
    later.obs_names = [f"new{k}" for k in range(later.n_obs)]  # others than those of the fit
    later.obs["hours"] = later.obs["hours"] + 1.0
    with (
        frozen(later),
        pytest.raises(
            InputError, match="Time 49 of 29 cells lies outside the times of the fit, 0 to 48"
        ),
    ):
        cf.tl.diagnose(later)


def test_a_foreign_entry_is_replaced_only_when_asked(fitted, frozen):
    fitted.uns["cellflow"]["diagnosis"] = "acute"
    with frozen(fitted), pytest.raises(InputError, match=r"\['diagnosis'\] exists.*overwrite=True"):
        cf.tl.diagnose(fitted, n_cells=20)
    cf.tl.diagnose(fitted, n_cells=20, overwrite=True)
    assert len(cf.get.diagnosis(fitted)) == 3


# Cell types ---------------------------------------------------------------------------------------


def typed(adata, growth=0.4):
    """Two separate types; the share of the second grows from .1 by `growth` twice."""
    apart = adata.copy()
    rng = np.random.default_rng(0)
    for k, hours in enumerate((0.0, 12.0, 48.0)):
        rows = np.flatnonzero(apart.obs["hours"] == hours)
        second = np.arange(len(rows)) < round((0.1 + growth * k) * len(rows))
        x = 0.3 * rng.normal(size=(len(rows), 4))
        x[:, 3] += 20.0 * second
        apart.obsm["X_pca"][rows] = x
        apart.obs.loc[apart.obs_names[rows], "kind"] = np.where(second, "b/2", "a")
    return apart


@pytest.fixture(scope="module")
def _growing():
    adata = typed(make_cells())
    del adata.varm["PCs"]
    cf.tl.flow(adata, "hours", method=quick_recipe())
    return adata


@pytest.fixture
def growing(_growing):
    return _growing.copy()


def test_a_plan_that_turns_types_into_others_is_warned_of_with_its_numbers(growing, tmp_path):
    with pytest.warns(
        CouplingWarning, match="the plan moves 40.0% of the mass to another type"
    ) as caught:
        cf.tl.diagnose(growing, n_cells=20, cluster_key="kind")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    table = cf.get.diagnosis(growing)
    np.testing.assert_allclose(table["types_plan"], [np.nan, 0.4, 0.4], atol=1e-9)
    np.testing.assert_allclose(table["types_least"], [np.nan, 0.4, 0.4], atol=1e-9)
    np.testing.assert_allclose(table["types_unmoved"], [np.nan, 0.0, 0.0])
    assert table["types_pushed"][1:].between(0, 1).all()
    assert "Do not read lineages off these intervals" in table.attrs["verdict"]
    shares = table.attrs["types"]["0.0_to_12.0"]
    assert shares["a"] == pytest.approx({"a": 5 / 9, "b/2": 4 / 9})
    assert shares["b/2"] == pytest.approx({"a": 0.0, "b/2": 1.0})
    growing.write_h5ad(tmp_path / "a.h5ad")
    again = cf.get.diagnosis(ad.read_h5ad(tmp_path / "a.h5ad"))
    pd.testing.assert_frame_equal(again, table)
    assert again.attrs == table.attrs


def test_types_that_become_others_by_their_lineage_are_no_fault(growing):
    cf.tl.diagnose(growing, n_cells=20, cluster_key="kind", lineage={"a": ["b/2"]})
    table = cf.get.diagnosis(growing)
    np.testing.assert_allclose(table["types_plan"][1:], 0.0, atol=1e-9)
    assert "no more than if no cell had moved" in table.attrs["verdict"]


def test_types_whose_shares_stay_are_no_fault():
    adata = typed(make_cells(), growth=0.0)
    del adata.varm["PCs"]
    cf.tl.flow(adata, "hours", method=quick_recipe())
    adata.obs.loc[adata.obs_names[:3], "kind"] = np.nan
    cf.tl.diagnose(adata, n_cells=20, cluster_key="kind")
    np.testing.assert_allclose(cf.get.diagnosis(adata)["types_plan"][1:], 0.0, atol=0.02)


def test_the_plan_is_the_one_of_the_fit(growing):
    """Solved again in the fit's coordinates: its cost is the one that the fit kept."""
    flow, read = cf.get.flow(growing), read_fitted(growing, "cellflow")
    plans = couple_again(flow, read.cells.snapshots())
    assert [p.cost for p in plans] == [kept["cost"] for kept in flow.plans.values()]


def test_without_types_nothing_is_said_of_them(fitted):
    cf.tl.diagnose(fitted, n_cells=20)
    table = cf.get.diagnosis(fitted)
    assert (
        table[["types_plan", "types_least", "types_unmoved", "types_pushed"]].isna().all(axis=None)
    )
    assert "types" not in table.attrs
    assert "lineage" not in table.attrs["verdict"]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (
            {"cluster_key": "Kind"},
            MissingKeyError,
            r"adata.obs\['Kind'\] is missing.*did you mean 'kind'",
        ),
        ({"cluster_key": ["kind"]}, InputTypeError, "expected text or None"),
        ({"cluster_key": "empty"}, InputError, "holds no value for any cell"),
        ({"cluster_key": "score"}, InputError, "holds numbers with fractions"),
        ({"lineage": {"a": ["b/2"]}}, InputError, "lineage= was given without cluster_key="),
        ({"cluster_key": "kind", "lineage": ["a"]}, InputTypeError, "lineage is of type list"),
        ({"cluster_key": "kind", "lineage": {"a": 3}}, InputTypeError, r"lineage\['a'\] is 3"),
        (
            {"cluster_key": "kind", "lineage": {"A": ["B/2"]}},
            InputError,
            "'A' .did you mean 'a'.*Found .'a', 'b/2'",
        ),
    ],
)
def test_types_that_cannot_be_read_are_refused(growing, frozen, arguments, error, said):
    growing.obs["empty"], growing.obs["score"] = np.nan, 0.5
    with frozen(growing), pytest.raises(error, match=said):
        cf.tl.diagnose(growing, **arguments)


def test_a_lineage_with_types_that_no_cell_has_is_warned_of(growing):
    with pytest.warns(InputWarning, match="names 1 types that no cell in .*: 'between'"):
        cf.tl.diagnose(
            growing, n_cells=20, cluster_key="kind", lineage={"a": ["between"], "between": ["b/2"]}
        )
    np.testing.assert_allclose(cf.get.diagnosis(growing)["types_plan"][1:], 0.0, atol=1e-9)


class Mine:
    """A coupling that only its author has."""

    def __call__(self, source, target):
        return Exact()(source, target)


def test_plans_of_a_coupling_of_ones_own_cannot_be_solved_again(frozen):
    adata = typed(make_cells())
    cf.tl.flow(adata, "hours", method=replace(quick_recipe(), coupling=Mine()))
    with (
        frozen(adata),
        pytest.raises(InputError, match=r"cannot be solved again.*'Mine'.*Leave cluster_key= out"),
    ):
        cf.tl.diagnose(adata, cluster_key="kind")
    cf.tl.diagnose(adata, n_cells=20)

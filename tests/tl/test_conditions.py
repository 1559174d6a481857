"""Conditions through the AnnData: fitted, stored, asked, and refused."""

import logging
import re
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import ot_cfm

import cellflow as cf
from cellflow.errors import InputError, InputTypeError, InputWarning, MissingKeyError
from cellflow.training import Training
from conftest import make_cells

QUICK = ot_cfm(training=Training(steps=300, batch_size=128))
SHORT = ot_cfm(training=Training(steps=5, batch_size=32))
MOVE = {"control": 1.0, "drug": -1.0}


def treated(n=180):
    """Two drugs that push in opposite directions along axis 1, at two doses without effect."""
    adata = make_cells(n)
    adata.obs["drug"] = pd.Categorical(np.tile(["control", "drug"], n // 2))
    adata.obs["dose"] = np.tile([1.0, 1.0, 3.0, 3.0], n // 4)
    sign = adata.obs["drug"].map(MOVE).to_numpy(dtype=float)
    latent = adata.obsm["X_pca"] * 0.3
    latent[:, 1] += sign * adata.obs["hours"].to_numpy() / 24.0
    adata.obsm["X_pca"] = latent.astype(np.float32)
    return adata


@pytest.fixture(scope="module")
def _conditional():
    adata = treated()
    cf.tl.flow(adata, "hours", method=QUICK, condition_key="drug")
    return adata


@pytest.fixture
def conditional(_conditional):
    return _conditional.copy()


def test_each_cell_moves_in_its_own_condition(conditional):
    cf.tl.velocity(conditional, genes="all")
    along = conditional.obsm["velocity_pca"][:, 1]
    sign = conditional.obs["drug"].map(MOVE).to_numpy(dtype=float)
    later = conditional.obs["hours"].to_numpy() > 0
    assert (along[later] * sign[later] > 0).mean() > 0.9
    expected = cf.get.velocity(conditional, ["gene3"]).to_numpy()[:, 0]
    np.testing.assert_allclose(conditional.layers["velocity"][:, 3], expected, rtol=1e-5, atol=1e-6)


def test_trajectories_and_predictions_part_by_condition(conditional):
    cf.tl.trajectories(conditional, times=[0.0, 48.0])
    first = (conditional.obs["hours"] == 0).to_numpy()
    end = cf.get.trajectories(conditional)[first, 1, 1]
    drug = (conditional.obs["drug"] == "drug").to_numpy()[first]
    assert end[~drug].mean() - end[drug].mean() == pytest.approx(4.0, abs=1.0)
    # A path asked alone, and a push, say the same.
    alone = cf.tl.simulate(conditional, times=[48.0], cells=conditional.obs_names[first])
    np.testing.assert_allclose(alone.obsm["X_pca"][:, 1], end, atol=1e-5)
    pushed = cf.tl.push(conditional, conditional.obs_names[first], time=48.0)
    np.testing.assert_allclose(pushed.obsm["X_pca"][:, 1], end, atol=1e-5)


def test_a_prediction_for_one_condition_starts_from_its_cells(conditional):
    for name, sign in MOVE.items():
        predicted = cf.tl.predict(conditional, time=30.0, condition=name)
        assert (conditional.obs["drug"][predicted.obs["source_cell"]] == name).all()
        assert predicted.obs["weight"].sum() == pytest.approx(1.0)
        assert predicted.obsm["X_pca"][:, 1].mean() * sign > 0
        about = predicted.uns["cf_prediction"]
        assert (about["condition"], about["condition_measured"]) == ({"drug": name}, True)
    everybody = cf.tl.predict(conditional, time=30.0)
    assert set(conditional.obs["drug"][everybody.obs["source_cell"]]) == set(MOVE)
    assert "condition" not in everybody.uns["cf_prediction"]


def test_a_counterfactual_push_moves_cells_as_the_other_condition(conditional):
    cells = conditional.obs_names[
        (conditional.obs["hours"] == 12) & (conditional.obs["drug"] == "control")
    ]
    own, other = (
        cf.tl.push(conditional, cells, time=48.0, condition=c).obsm["X_pca"][:, 1]
        for c in (None, "drug")
    )
    assert (own > other).all()
    same = cf.tl.push(conditional, cells, time=48.0, condition={"drug": "control"})
    np.testing.assert_array_equal(same.obsm["X_pca"][:, 1], own)
    assert same.uns["cf_prediction"]["condition"] == {"drug": "control"}
    back = cf.tl.pull(conditional, cells, time=0.0, condition="drug")
    assert (
        back.obsm["X_pca"][:, 1] > cf.tl.pull(conditional, cells, time=0.0).obsm["X_pca"][:, 1]
    ).mean() > 0.9


def test_the_order_of_cells_does_not_matter(conditional):
    backwards = conditional[::-1].copy()
    here, there = (
        cf.tl.velocity(a, copy=True).obsm["velocity_pca"] for a in (conditional, backwards)
    )
    np.testing.assert_array_equal(here[::-1], there)


def test_a_conditional_fit_answers_from_a_file(conditional, tmp_path):
    expected = cf.tl.predict(conditional, time=30.0, condition="drug").obsm["X_pca"]
    conditional.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert list(again.uns["cellflow"]["params"]["condition_key"]) == ["drug"]
    parts = again.uns["cellflow"]["plans"]["0.0_to_12.0"]["conditions"]
    assert sorted(part["condition"] for part in parts.values()) == ["drug='control'", "drug='drug'"]
    np.testing.assert_array_equal(
        cf.tl.predict(again, time=30.0, condition="drug").obsm["X_pca"], expected
    )


def test_several_columns_and_a_combination_that_nobody_measured(caplog):
    adata = treated()
    adata = adata[~((adata.obs["drug"] == "drug") & (adata.obs["dose"] == 3.0))].copy()
    cf.tl.flow(adata, "hours", method=QUICK, condition_key=["drug", "dose"])
    asked = {"drug": "drug", "dose": 3.0}
    with caplog.at_level(logging.INFO, logger="cellflow"):
        predicted = cf.tl.predict(adata, time=48.0, source=12.0, condition=asked)
    assert any(
        "drug='drug', dose=3: a combination that was not measured" in r.message
        for r in caplog.records
    )
    about = predicted.uns["cf_prediction"]
    assert about["condition"] == asked
    assert not about["condition_measured"]
    assert predicted.n_obs == (adata.obs["hours"] == 12).sum()
    # The drug pushes down, which only its other dose showed.
    without = cf.tl.predict(
        adata, time=48.0, source=12.0, condition={"drug": "control", "dose": 3.0}
    )
    assert predicted.obsm["X_pca"][:, 1].mean() < without.obsm["X_pca"][:, 1].mean() - 1.0


def _no_drug_at_the_end(adata):
    return adata[~((adata.obs["drug"] == "drug") & (adata.obs["hours"] == 48.0))].copy()


def _an_empty_cell(adata):
    adata.obs.loc[adata.obs_names[4], "drug"] = None
    return adata


@pytest.mark.parametrize(
    ("spoil", "key", "error", "message"),
    [
        (
            lambda a: a,
            "drog",
            MissingKeyError,
            r"adata\.obs\['drog'\] is missing.*did you mean 'drug'",
        ),
        (lambda a: a, ["drug", "drug"], InputError, "distinct columns"),
        (lambda a: a, [], InputError, "at least one"),
        (lambda a: a, 3, InputTypeError, "condition_key=3 .of type int.; expected text"),
        (
            _an_empty_cell,
            "drug",
            InputError,
            r"adata\.obs\['drug'\] holds no value for 1 of 180 cells \(first: 'cell4'\)",
        ),
        (
            _no_drug_at_the_end,
            "drug",
            InputError,
            "Condition drug='drug' has cells at time 12 and none at time 48",
        ),
        (
            lambda a: a,
            "hours",
            InputError,
            "Condition hours=0 has cells at time 0 and none at time 12",
        ),
    ],
)
def test_unusable_conditions_change_nothing(spoil, key, error, message, frozen, monkeypatch):
    monkeypatch.setattr(
        "cellflow.model.fitting.couple", lambda *_: pytest.fail("work was done first")
    )
    adata = spoil(treated())
    with frozen(adata), pytest.raises(error, match=message):
        cf.tl.flow(adata, "hours", method=QUICK, condition_key=key)


@pytest.mark.parametrize(
    "ask", [cf.tl.predict, cf.tl.push, cf.tl.pull], ids=["predict", "push", "pull"]
)
@pytest.mark.parametrize(
    ("condition", "error", "message"),
    [
        ("Drug", InputError, "'Drug', which the fit has not seen.*did you mean 'drug'"),
        ({"dose": 1.0}, MissingKeyError, r"names 'dose'. Expected a value for each of \['drug'\]"),
        ({}, MissingKeyError, r"leaves out \['drug'\]"),
    ],
)
def test_conditions_that_cannot_be_asked(conditional, ask, condition, error, message, frozen):
    with frozen(conditional), pytest.raises(error, match=message):
        ask(conditional, time=12.0, condition=condition)


def test_a_fit_without_conditions_says_so(fitted, frozen):
    with frozen(fitted), pytest.raises(InputError, match="made without conditions"):
        cf.tl.predict(fitted, time=30.0, condition="drug")
    with frozen(fitted), pytest.raises(InputError, match="made without conditions"):
        cf.tl.push(fitted, time=30.0, condition="drug")


def test_new_cells_must_have_conditions_that_were_fitted(conditional, frozen):
    conditional.obs["drug"] = conditional.obs["drug"].astype(str)
    conditional.obs.loc[conditional.obs_names[3], "drug"] = "other"
    with (
        frozen(conditional),
        pytest.raises(InputError, match="'other', which the fit has not seen"),
    ):
        cf.tl.velocity(conditional)
    del conditional.obs["drug"]
    with frozen(conditional), pytest.raises(MissingKeyError, match=r"obs\['drug'\] is missing"):
        cf.tl.velocity(conditional)


def test_a_score_is_conditional_too():
    adata = treated(60)
    recipe = ot_cfm(training=Training(steps=40, batch_size=64)).with_score()
    cf.tl.flow(adata, "hours", method=recipe, condition_key="drug")
    paths = cf.tl.simulate(adata, times=[12.0, 48.0], cells=[0, 1], stochastic=True, n_rep=2)
    assert np.isfinite(paths.obsm["X_pca"]).all()
    both = [
        cf.tl.predict(adata, time=30.0, condition=c, stochastic=True, n_obs=10).obsm["X_pca"]
        for c in MOVE
    ]
    assert not np.allclose(*both)
    drawn = [cf.tl.sample(adata, time=30.0, n_obs=10, condition=c, n_steps=2) for c in MOVE]
    assert [d.uns["cf_sample"]["condition"]["drug"] for d in drawn] == list(MOVE)
    assert not np.allclose(*(d.obsm["X_pca"] for d in drawn))
    with pytest.raises(
        InputError,
        match=r"condition=None, but the fit .* conditions \['drug'\]. Expected one of them",
    ):
        cf.tl.sample(adata, time=30.0, n_obs=10)
    with pytest.raises(
        InputError, match=r"conditions \['drug'\], and a population of several cannot be refined"
    ):
        cf.tl.refine(adata, cf.tl.predict(adata, time=30.0))


# Amounts and codes --------------------------------------------------------------------------------


def answered(column, asked):
    """Warnings about a condition, for a fit to these values of it, and whether it was measured."""
    adata = make_cells(120)
    adata.obs["value"] = np.resize(np.asarray(column), 120)
    cf.tl.flow(adata, "hours", method=SHORT, condition_key="value")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        later = cf.tl.predict(adata, time=24.0, condition=asked)
    found = [str(w.message) for w in said if issubclass(w.category, InputWarning)]
    return found, later.uns["cf_prediction"]["condition_measured"]


@pytest.mark.parametrize(
    ("column", "asked", "words"),
    [
        ([1, 2, 3], 4, "No cell has value=4 .measured: 1, 2, 3.*astype"),
        ([1.0, 2.0, 4.0], 3, "No cell has value=3 .*astype"),
        ([0, 10, 100], 50, "No cell has value=50"),
        ([7, 9], 8.0, "No cell has value=8"),
        ([-1, 0, 1], 2, "No cell has value=2"),
        ([101, 205], np.int64(150), "No cell has value=150"),
        ([0.5, 1.5, 2.0], 3.0, "outside the measured amounts, 0.5 to 2"),
        ([0.1, 0.2], 0.05, "outside the measured amounts"),
        ([1, 2, 3], 3.5, "outside the measured amounts, 1 to 3"),
        ([0.5, 1.5, 2.0], 1.0, None),
        ([1, 2, 3], 1.5, None),
        ([1, 2, 3], 2, None),
        ([0.1, 0.2], 0.2, None),
    ],
)
def test_an_amount_that_may_be_a_code_or_lies_outside_is_told(column, asked, words):
    found, measured = answered(column, asked)
    assert len(found) == (words is not None)
    assert all(re.search(words, text) for text in found)
    assert measured == (asked in column)


@pytest.mark.parametrize(
    "condition",
    [
        pd.NA,
        np.nan,
        [1],
        np.array([1, 2]),
        {"drug": pd.NaT},
        {"drug": []},
        {"drug": pd.NA},
        object(),
        1j,
        (),
    ],
)
def test_a_condition_that_is_no_value(conditional, condition):
    with pytest.raises(InputError, match="condition"):
        cf.tl.predict(conditional, time=30.0, condition=condition)


# Cells that precede all conditions ----------------------------------------------------------------


def started_together(*, early=("control",), until=0.0):
    """As `treated`, but the cells up to a time are of these conditions only."""
    adata = treated()
    drug = adata.obs["drug"].astype(str).to_numpy(dtype=object)
    at = (adata.obs["hours"] <= until).to_numpy()
    drug[at] = np.resize(np.array(early, dtype=object), at.sum())
    adata.obs["drug"] = drug
    return adata


def test_without_shared_cells_the_error_says_how_to_share_them(frozen):
    adata = started_together()
    with frozen(adata), pytest.raises(InputError, match=r"none at time 0.* pass shared_until=0\."):
        cf.tl.flow(adata, "hours", method=SHORT, condition_key="drug")


@pytest.mark.parametrize("until", [0, "day 0", np.timedelta64(0, "h")])
def test_shared_cells_move_in_every_condition(until):
    adata = started_together()
    cf.tl.flow(adata, "hours", method=QUICK, condition_key="drug", shared_until=until)
    assert adata.uns["cellflow"]["params"]["shared_until"] == 0.0
    first = adata.obs_names[adata.obs["hours"] == 0]
    for name, sign in MOVE.items():
        moved = cf.tl.push(adata, first, time=48.0, condition=name)
        assert moved.obsm["X_pca"][:, 1].mean() * sign > 0.5
        assert moved.uns["cf_prediction"]["condition_measured"]
        predicted = cf.tl.predict(adata, time=6.0, condition=name, source="earlier")
        assert set(predicted.obs["source_cell"]) == set(first)
    everybody = cf.tl.predict(adata, time=6.0, source="earlier")
    assert everybody.n_obs == 2 * len(first)  # each in both conditions
    assert everybody.obs["weight"].sum() == pytest.approx(1.0)


def test_shared_cells_count_as_the_next_snapshot_does():
    adata = started_together()
    later = np.flatnonzero((adata.obs["hours"] == 12) & (adata.obs["drug"] == "drug"))
    adata = adata[np.setdiff1d(np.arange(adata.n_obs), later[10:])].copy()  # 10 of 40 cells
    cf.tl.flow(adata, "hours", method=SHORT, condition_key="drug", shared_until=0)
    predicted = cf.tl.predict(adata, time=6.0, source="earlier")
    n = int((adata.obs["hours"] == 0).sum())
    np.testing.assert_allclose(
        predicted.obs["weight"], np.repeat([10 / 40, 30 / 40], n) / n, rtol=1e-6
    )


def test_two_shared_snapshots_and_a_file_in_between(tmp_path):
    adata = started_together(until=12.0)
    cf.tl.flow(adata, "hours", method=SHORT, condition_key="drug", shared_until=12)
    expected = cf.tl.predict(adata, time=6.0).obsm["X_pca"]
    adata.write_h5ad(tmp_path / "fit.h5ad")
    again = ad.read_h5ad(tmp_path / "fit.h5ad")
    np.testing.assert_array_equal(cf.tl.predict(again, time=6.0).obsm["X_pca"], expected)


@pytest.mark.parametrize(
    ("early", "arguments", "words"),
    [
        (
            ("untreated",),
            {"shared_until": 0},
            "untreated.*which no cell after that time has. .*drug='control'; drug='drug'",
        ),
        (("control", "placebo"), {"shared_until": 0}, "placebo"),
        (("control",), {"shared_until": 48}, "before the last, 0 to 48"),
        (("control",), {"shared_until": -1}, "shared_until=-1; expected a time from the first"),
        (("control",), {"shared_until": "noon"}, "shared_until='noon' is no time"),
        (("control",), {"shared_until": [0]}, "shared_until="),
        (("control",), {"shared_until": np.nan}, "shared_until=nan"),
        (("control",), {"shared_until": 0, "condition_key": None}, "without conditions"),
    ],
)
def test_shared_cells_that_cannot_be_shared(early, arguments, words, frozen):
    adata = started_together(early=early)
    with frozen(adata), pytest.raises(InputError, match=words):
        cf.tl.flow(adata, "hours", **{"method": SHORT, "condition_key": "drug"} | arguments)

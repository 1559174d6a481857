"""`cf.bench.tune`, and `method="auto"` of `cf.tl.flow`."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import from_description, i_cfm, ot_cfm

import cellflow as cf
from cellflow.adapter.record import read_record
from cellflow.errors import InputError, InputWarning
from cellflow.training import Training

SHORT = Training(steps=40, batch_size=64, record_every=20)
QUICK = [i_cfm(training=SHORT), ot_cfm(training=SHORT)]


def test_the_curve_is_returned_and_kept(cells, tmp_path):
    table = cf.bench.tune(cells, "hours", methods=QUICK, n_dims=(2, 4))
    assert list(table.columns) == [
        "method", "n_dims", "smoothing", "sigma", "steps", "w1_ratio", "energy_ratio", "score",
        "seconds", "best", "note",
    ]  # fmt: skip
    assert table["steps"].tolist() == [10] * 4 + [40] * 2
    assert table["best"].sum() == 1
    full = table[table["steps"] == 40]
    assert full.loc[full["score"].idxmin(), "best"]
    best = table[table["best"]].iloc[0]
    recipe = from_description(table.attrs["recipe"])
    assert (recipe.name, table.attrs["n_dims"]) == (best["method"], best["n_dims"])
    cells.write_h5ad(tmp_path / "cells.h5ad")
    record = ad.read_h5ad(tmp_path / "cells.h5ad").uns["cf_tune"]
    pd.testing.assert_frame_equal(
        record["table"].reset_index(drop=True), table, check_flags=False, check_dtype=False
    )
    assert json.loads(record["recipe"]) == table.attrs["recipe"]
    assert record["params"]["compared_in"] == 2
    cf.tl.flow(cells, "hours", method=recipe, n_dims=table.attrs["n_dims"])
    assert cells.uns["cellflow"]["params"]["n_dims"] == best["n_dims"]


@pytest.mark.parametrize("damage", ["recipe", "best", "params", "table"])
def test_a_record_has_a_schema(cells, damage):
    cf.bench.tune(cells, "hours", methods=QUICK[1], budget="1s")
    assert read_record(cells, "cf_tune", "choice")["best"] == "ot-cfm"
    cells.uns["cf_tune"][damage] = 3
    with pytest.raises(
        InputError, match=rf"\['cf_tune'\]\['{damage}'\] is 3\. Expected .*cf.bench.tune"
    ):
        read_record(cells, "cf_tune", "choice")


def test_widths_are_chosen_too(cells, frozen):
    with frozen(cells):
        table = cf.bench.tune(
            cells, "hours", methods="ot-cfm", smoothing=(0.1, 0.3), budget="1s", write=False
        )
    assert table["smoothing"].iloc[0] == 0.1
    assert table.attrs["recipe"]["path"]["smoothing"] in (0.1, 0.3)


def test_two_snapshots_choose_nothing(cells, frozen):
    two = cells[cells.obs["hours"] != 12.0].copy()
    with frozen(two), pytest.raises(InputError, match="nothing can be held out"):
        cf.bench.tune(two, "hours", methods=QUICK)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n_dims": 9}, "n_dims"),
        ({"budget": "soon"}, "budget='soon'"),
        ({"methods": "ot-cmf"}, "did you mean 'ot-cfm'"),
    ],
)
def test_arguments_that_cannot_be(cells, frozen, arguments, says):
    with frozen(cells), pytest.raises(InputError, match=says):
        cf.bench.tune(cells, "hours", **arguments)


# method="auto" ------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    from cellflow.evaluation import candidates

    monkeypatch.setattr(candidates, "METHODS", tuple(QUICK))


def test_auto_fits_what_was_chosen(cells, quick):
    cf.tl.flow(cells, "hours", method="auto")
    record = cells.uns["cellflow"]
    chosen = record["selection"]
    assert record["params"]["method"] == chosen["best"]
    assert chosen["table"]["method"].tolist()[:2] == ["i-cfm", "ot-cfm"]
    other = cells.copy()
    cf.tl.flow(other, "hours", method=next(r for r in QUICK if r.name == chosen["best"]))
    np.testing.assert_array_equal(
        cf.get.flow(cells).velocity(cells.obsm["X_pca"], 3.0),
        cf.get.flow(other).velocity(cells.obsm["X_pca"], 3.0),
    )


def test_auto_of_two_snapshots_is_the_first_and_says_so(cells, monkeypatch):
    two = cells[cells.obs["hours"] != 12.0].copy()
    monkeypatch.setattr("cellflow.evaluation.candidates.METHODS", tuple(QUICK))
    first = QUICK[0].name
    words = f"methods to choose from .* no inner snapshot can be held out, so {first!r}"
    with pytest.warns(InputWarning, match=words):
        cf.tl.flow(two, "hours", method="auto")
    assert "selection" not in two.uns["cellflow"]
    assert two.uns["cellflow"]["params"]["method"] == first

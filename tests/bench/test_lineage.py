"""`cf.bench.lineage`: AnnData with clones in, table and verdict out."""

import math

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from cellflow.recipes import ot_cfm

import cellflow as cf
from cellflow.adapter.places import kind_of
from cellflow.couplings import Lineage
from cellflow.errors import InputError, InputWarning, MissingKeyError
from conftest import quick_recipe

QUICK = quick_recipe()
ARGUMENTS = {"lineage_key": "clone", "cluster_key": "kind", "methods": QUICK, "n_bootstrap": 100}
PLANS = {**ARGUMENTS, "network": False}
METHODS = [
    "nearest labelled cells",
    "shares of all cells",
    "clones of the nearest cells",
    "ot-cfm: plans",
    "ot-cfm: plans of the nearest cells",
]


def crossing(n_clones=30, per_time=2, seed=0):
    """Two arms that cross: clones on the left at first are on the right in the end.

    Positions say the opposite of what clones say, so that a plan without clones is always wrong.
    """
    rng = np.random.default_rng(seed)
    clone = np.tile(np.repeat(np.arange(n_clones), per_time), 3)
    day = np.repeat([0.0, 1.0, 2.0], n_clones * per_time)
    side = np.where(clone % 2, 1.0, -1.0) * np.where(day == 2, -1.0, 1.0)
    x = np.stack([3.0 * side, day, np.zeros(len(day))], axis=1)
    x += 0.3 * rng.normal(size=x.shape)
    kind = np.where(clone % 2, "left", "right")
    adata = ad.AnnData(
        sp.csr_matrix(x.astype(np.float32)),
        obs=pd.DataFrame(
            {"day": day, "clone": [f"c{k:02d}" for k in clone], "kind": kind},
            index=[f"cell{i}" for i in range(len(x))],
        ),
    )
    adata.obs.loc[day < 2, "kind"] = np.nan
    adata.obsm["X_pca"] = x.astype(np.float32)
    return adata


@pytest.fixture(scope="module")
def _done():
    adata = crossing()
    return adata, cf.bench.lineage(adata, "day", strength=math.inf, **ARGUMENTS)


@pytest.fixture
def done(_done):
    return _done[0].copy(), _done[1]


def value(table, method, measure, start="all", *, clones=False):
    rows = table[
        (table["method"] == method)
        & (table["measure"] == measure)
        & (table["start"] == start)
        & (table["clones"] == clones)
    ]
    assert len(rows) == 1
    return rows["value"].iloc[0]


def test_the_table_is_returned_and_kept(done):
    adata, table = done
    record = adata.uns["cf_lineage"]
    pd.testing.assert_frame_equal(record["table"], table, check_flags=False)
    assert kind_of(adata, "cf_lineage") == record["kind"] == "clones"
    assert record["verdict"] == table.attrs["verdict"]
    pd.testing.assert_frame_equal(record["comparisons"], table.attrs["comparisons"])
    assert record["params"]["lineage_key"] == "clone"
    assert record["params"]["fates"].tolist() == ["left", "right"]
    assert record["folds"].shape == (1, 30)
    assert np.bincount(record["folds"][0]).tolist() == [6] * 5
    strengths = record["strengths"]
    assert strengths["fold"].tolist() == list(range(5))
    assert (strengths["strength"] == math.inf).all()
    first = table[table["start"] == "all"]
    assert first["n_cells"].unique().tolist() == [120]
    assert first["n_clones"].unique().tolist() == [30]
    assert list(dict.fromkeys(first["method"])) == [*METHODS, "ot-cfm: flow", "half of the clone"]
    assert set(table["start"]) == {"all", "0", "1"}


def test_hidden_clones_are_predicted_by_seen_ones(done):
    """Plans without clones pair the wrong arms; with clones of other folds, the right ones."""
    _, table = done
    for method in ("ot-cfm: plans", "ot-cfm: plans of the nearest cells"):
        assert value(table, method, "accuracy") < 0.1
        assert value(table, method, "accuracy", clones=True) > 0.9
        assert value(table, method, "auroc") < 0.1
        assert value(table, method, "r", clones=True) > 0.8
    assert value(table, "nearest labelled cells", "accuracy") < 0.1
    assert value(table, "clones of the nearest cells", "accuracy") > 0.9
    assert value(table, "half of the clone", "accuracy") == 1
    assert value(table, "ot-cfm: plans", "precision", "1") < 0.01
    assert value(table, "ot-cfm: plans", "precision", "1", clones=True) > 1 / 30
    assert value(table, "independent pairs", "precision", "1") == pytest.approx(1 / 30)
    compared = table.attrs["comparisons"]
    mine = compared[
        (compared["method"] == "ot-cfm: plans") & compared["clones"] & (compared["start"] == "all")
    ]
    beside = ["shares of all cells", "nearest labelled cells", "clones of the nearest cells"]
    assert list(dict.fromkeys(mine["beside"])) == [*beside, "ot-cfm: plans"]
    assert (mine[mine["beside"] == "ot-cfm: plans"]["outcome"] == "better").all()
    line = next(
        row for row in table.attrs["verdict"].splitlines() if row.startswith("ot-cfm: plans, with")
    )
    assert "by 120 cells of 30 held-out clones (bias: left against right)" in line
    assert line.count("it is better") == 2


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning"
)  # zarr's and anndata's own, about formats
def test_everything_survives_a_file(done, suffix, tmp_path):
    adata, table = done
    getattr(adata, f"write_{suffix}")(tmp_path / f"cells.{suffix}")
    again = getattr(ad, f"read_{suffix}")(tmp_path / f"cells.{suffix}").uns["cf_lineage"]
    assert list(again["table"].columns) == list(table.columns)
    for column in ("value", "low", "high", "n_cells", "clones"):
        np.testing.assert_array_equal(again["table"][column], table[column])
    assert again["table"]["method"].astype(str).tolist() == table["method"].tolist()
    assert again["verdict"] == table.attrs["verdict"]
    assert again["params"]["fates"].tolist() == ["left", "right"]
    np.testing.assert_array_equal(again["folds"], adata.uns["cf_lineage"]["folds"])


def test_barcodes_in_obs_and_in_obsm_are_the_same(cells_of_clones):
    adata = cells_of_clones
    names = sorted(set(adata.obs["clone"]))
    matrix = adata.obs["clone"].to_numpy()[:, None] == np.array(names)
    adata.obsm["X_clone"] = sp.csr_matrix(matrix.astype(np.int8))
    one = cf.bench.lineage(adata, "day", write=False, **PLANS)
    other = cf.bench.lineage(
        adata, "day", write=False, **{**PLANS, "lineage_key": "X_clone"}
    )  # fmt: skip
    pd.testing.assert_frame_equal(one, other, check_flags=False)


@pytest.fixture
def cells_of_clones():
    return crossing(20)


def test_the_same_seed_gives_the_same_table_in_any_order_of_rows(cells_of_clones, frozen):
    adata = cells_of_clones
    with frozen(adata):
        one = cf.bench.lineage(adata, "day", write=False, **PLANS)
        two = cf.bench.lineage(adata, "day", write=False, **PLANS)
    pd.testing.assert_frame_equal(one, two, check_flags=False)
    three = cf.bench.lineage(adata, "day", write=False, random_state=1, **PLANS)
    assert (three["value"] != one["value"]).any()
    order = np.random.default_rng(0).permutation(adata.n_obs)
    moved = cf.bench.lineage(adata[order].copy(), "day", write=False, **PLANS)
    np.testing.assert_allclose(moved["value"], one["value"], rtol=1e-9)


def test_splits_are_averaged(cells_of_clones):
    """What sees no clone is the same in all splits; the first split is that of a single one."""
    adata = cells_of_clones
    one = cf.bench.lineage(adata, "day", **PLANS)
    first = adata.uns["cf_lineage"]["folds"]
    three = cf.bench.lineage(adata, "day", n_repeats=3, **PLANS)
    folds = adata.uns["cf_lineage"]["folds"]
    assert folds.shape == (3, 20)
    np.testing.assert_array_equal(folds[:1], first)
    assert (folds[1] != folds[2]).any()
    assert len(adata.uns["cf_lineage"]["strengths"]) == 15
    assert list(three["method"]) == list(one["method"])
    plain = ~one["clones"] & one["method"].str.startswith("ot-cfm")
    plain &= one["measure"] != "brier_calibrated"
    np.testing.assert_allclose(three["value"][plain], one["value"][plain])
    assert (three["value"] != one["value"])[one["clones"]].any()


def test_strengths_are_chosen_and_kept(cells_of_clones):
    adata = cells_of_clones
    recipe = ot_cfm(coupling=Lineage(n_neighbors=0))
    cf.bench.lineage(adata, "day", strength=[0.01, math.inf], **{**PLANS, "methods": recipe})
    assert set(adata.uns["cf_lineage"]["strengths"]["strength"]) <= {0.01, math.inf}
    cf.bench.lineage(
        adata, "day", **{**PLANS, "methods": ot_cfm(coupling=Lineage(strength=0.7))}
    )  # fmt: skip
    assert adata.uns["cf_lineage"]["strengths"]["strength"].tolist() == [0.7] * 5


def test_barcodes_that_are_known_until_a_time(cells_of_clones):
    """Arms cross after day 1: barcodes of days 0 and 1 say nothing about it."""
    early = cf.bench.lineage(
        cells_of_clones, "day", until="day 1", strength=math.inf, write=False, **PLANS
    )
    assert value(early, "ot-cfm: plans", "accuracy", clones=True) < 0.1
    assert value(early, "ot-cfm: plans", "precision", "0", clones=True) > 1 / 20


def test_rows_are_replaced_and_foreign_ones_are_not(done, frozen):
    adata, _ = done
    cf.bench.lineage(adata, "day", **PLANS)
    assert "ot-cfm: flow" not in set(adata.uns["cf_lineage"]["table"]["method"])
    adata.uns["mine"] = "hand-made"
    with frozen(adata), pytest.raises(InputError, match="another key_added"):
        cf.bench.lineage(adata, "day", key_added="mine", **PLANS)
    with frozen(adata), pytest.raises(MissingKeyError, match=r"cf\.bench\.holdout"):
        cf.bench.report(adata, key="cf_lineage")


def no_shared_clones(adata):
    adata.obs["clone"] = adata.obs["clone"] + adata.obs["day"].astype(str)


def one_label(adata):
    adata.obs.loc[adata.obs["kind"] == "left", "kind"] = np.nan


def no_label_at_the_end(adata):
    adata.obs["kind"] = np.where(adata.obs["day"] < 2, "left", None)


def few_clones(adata):
    adata.obs.loc[adata.obs["clone"] > "c03", "clone"] = ""


def nothing(adata):
    pass


@pytest.mark.parametrize(
    ("spoil", "arguments", "says"),
    [
        (no_shared_clones, {}, "No clone has a cell before time 2 .* check lineage_key="),
        (one_label, {}, r"obs\['kind'\] has the single label 'right' at the last time, 2"),
        (no_label_at_the_end, {}, r"obs\['kind'\] has no label at the last time"),
        (few_clones, {}, "4 clones .* n_splits=5 folds. Pass a smaller n_splits="),
        (nothing, {"n_splits": 1}, "n_splits=1; expected an integer of at least 2"),
        (nothing, {"n_repeats": 0}, "n_repeats=0; expected a positive integer"),
        (nothing, {"n_bootstrap": 3}, "n_bootstrap=3; expected an integer of at least 100"),
        (nothing, {"n_neighbors": 0}, "n_neighbors=0"),
        (nothing, {"fates": ["left", "rihgt"]}, "'rihgt'.*did you mean 'right'"),
        (nothing, {"fates": ["left"]}, "expected two labels that differ"),
        (nothing, {"strength": 0.0}, "strength=0"),
        (nothing, {"until": 0.0}, "until=0.0: barcodes are known at 1 times up to 0"),
        (nothing, {"methods": "fm"}, "'fm' generates cells"),
        (nothing, {"methods": ["ot-cfm", "ot-cfm"]}, "'ot-cfm' is given twice"),
        (nothing, {"cluster_key": "kinds"}, r"obs\['kinds'\] is missing.*did you mean 'kind'"),
        (nothing, {"lineage_key": "clones"}, "lineage_key='clones'.*did you mean 'clone'"),
    ],
)
def test_what_cannot_be_judged(cells_of_clones, frozen, spoil, arguments, says):
    spoil(cells_of_clones)
    with frozen(cells_of_clones), pytest.raises((InputError, MissingKeyError), match=says):
        cf.bench.lineage(cells_of_clones, "day", **{**PLANS, **arguments})


def test_few_clones_are_pointed_out(cells_of_clones):
    cells_of_clones.obs.loc[cells_of_clones.obs["clone"] > "c10", "clone"] = ""
    with pytest.warns(InputWarning, match="11 clones are scored"):
        cf.bench.lineage(cells_of_clones, "day", **PLANS)

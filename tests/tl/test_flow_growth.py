"""cf.tl.flow(growth=): what is assumed, what is written, what is refused."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import ot_cfm

import cellflow as cf
from cellflow.errors import InputError
from cellflow.training import Training

QUICK = ot_cfm(training=Training(steps=150))


@pytest.fixture
def cells():
    """Two types far apart, at rest; the second one doubles its share from day to day."""
    rng = np.random.default_rng(0)
    n = 120
    parts = []
    for share in (0.2, 0.4, 0.8):
        second = np.arange(n) < share * n
        parts.append(np.where(second, 6.0, 0.0)[:, None] + 0.5 * rng.normal(size=(n, 3)))
    x = np.concatenate(parts)
    adata = ad.AnnData(np.abs(x).astype(np.float32))
    adata.obsm["X_pca"] = x
    adata.obs["day"] = np.repeat([0.0, 1.0, 2.0], n)
    adata.obs["size"] = np.repeat([1.0, 2.0, 4.0], n)
    adata.obs["rate"] = np.where(x[:, 0] > 3, 0.7, -0.3)
    adata.obs["cell_type"] = np.where(x[:, 0] > 3, "second", "first")
    return adata


def fitted(adata, **options):
    cf.tl.flow(adata, "day", method=QUICK, progress=False, **options)
    return cf.get.flow(adata), adata.uns["cellflow"]


def test_auto_finds_growth_and_says_why(cells):
    flow, record = fitted(cells, growth="auto")
    about = record["growth"]
    assert about["assumption"].startswith("tau=")
    assert "inner snapshot" in about["reason"]
    assert set(about["table"]["name"]) == set(about["tried"])
    assert about["table"].loc[about["table"]["best"], "name"].eq(about["assumption"]).all()
    assert "growth" in flow.heads
    assert record["params"]["growth"]


def test_growing_cells_stay_within_their_type(cells):
    flow, _ = fitted(cells, growth="auto")
    x = cells.obsm["X_pca"][:120]
    moved = flow.simulate(x, 0.0, [2.0])
    stays = (moved.x[0][:, 0] > 3) == (x[:, 0] > 3)
    assert stays.mean() > 0.98
    mass = moved.weights(np.full(120, 1 / 120))[0]
    assert mass[x[:, 0] > 3].sum() / mass.sum() == pytest.approx(0.8, abs=0.05)


def test_sizes_of_populations_make_rates_absolute(cells):
    flow, record = fitted(cells, growth="auto", mass_key="size")
    moved = flow.simulate(cells.obsm["X_pca"][:120], 0.0, [2.0])
    assert moved.weights(np.full(120, 1 / 120))[0].sum() == pytest.approx(4.0, rel=0.1)
    assert "mass" in record["growth"]["tried"]


def test_a_prior_is_used_and_recorded(cells):
    flow, record = fitted(cells, growth="prior", growth_key="rate")
    assert record["growth"]["assumption"] == "prior"
    assert record["params"]["growth_key"] == "rate"
    x = cells.obsm["X_pca"][:120]
    rates = flow.head("growth", x, 0.5)
    assert rates[x[:, 0] > 3].mean() > rates[x[:, 0] < 3].mean() + 0.5


def test_auto_takes_balanced_where_nothing_grows(cells):
    cells.obsm["X_pca"] = (
        np.random.default_rng(1).normal(size=(360, 3)) + cells.obs[["day"]].to_numpy()
    )
    flow, record = fitted(cells, growth="auto")
    assert record["growth"]["assumption"] == "none"
    assert "growth" not in flow.heads


def test_cells_at_rest_are_told_from_rounding(cells):
    cells.obsm["X_pca"] = np.tile(np.random.default_rng(2).normal(size=(120, 3)), (3, 1))
    cells.X = (cells.obsm["X_pca"] + 5.0).astype(np.float32)
    _, record = fitted(cells, growth="auto")
    table = record["growth"]["table"]
    assert record["growth"]["assumption"] == "none"
    assert table["energy_ratio"].eq(1.0).sum() >= 1
    assert np.isfinite(table[["w1_ratio", "energy_ratio"]].to_numpy()).all()


def test_two_snapshots_cannot_be_compared(cells):
    two = cells[cells.obs["day"] < 2].copy()
    _, record = fitted(two, growth="auto")
    assert record["growth"]["assumption"] == "none"
    assert "no inner one can be held out" in record["growth"]["reason"]
    flow, record = fitted(two, growth="learn")
    assert record["growth"]["assumption"] == "tau=0.3"
    assert "growth" in flow.heads


def test_a_fit_with_growth_survives_a_file(cells, tmp_path):
    flow, _ = fitted(cells, growth="learn")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    again = cf.get.flow(ad.read_h5ad(tmp_path / "cells.h5ad"))
    x = cells.obsm["X_pca"][:50]
    np.testing.assert_array_equal(again.head("growth", x, 0.3), flow.head("growth", x, 0.3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"growth": "some"}, "growth='some'"),
        ({"growth": "prior"}, "growth='prior' without growth_key="),
        ({"growth": "learn", "growth_key": "rate"}, "growth_key='rate' with growth='learn'"),
        ({"growth_key": "rate"}, "growth_key='rate' with growth='none'"),
        ({"mass_key": "size"}, "mass_key='size' with method="),
        ({"growth": "auto", "method": "fm"}, "makes cells from noise"),
        ({"growth": "auto", "method": "uot-cfm"}, "assumes something about growth itself"),
    ],
)
def test_unusable_arguments_leave_adata_as_it_was(cells, options, said):
    before = cells.copy()
    with pytest.raises(InputError, match=said):
        cf.tl.flow(cells, "day", **({"method": QUICK} | options))
    assert list(cells.uns) == list(before.uns)
    pd.testing.assert_frame_equal(cells.obs, before.obs)


def test_holdouts_try_every_value_of_growth(cells):
    table = cf.bench.holdout(
        cells, "day", methods=QUICK, growth=("none", "learn"), protocols="P1", leak_free=False
    )
    methods = table.loc[table["kind"] == "model"].set_index("method")
    assert list(methods.index) == ["ot-cfm", "ot-cfm, growth=learn"]
    assert methods.loc["ot-cfm, growth=learn", "w1"] < 0.8 * methods.loc["ot-cfm", "w1"]

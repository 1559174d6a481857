"""Barcodes that cannot inform plans, or that look like no barcodes."""

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellflow as cf
from cellflow.adapter.barcodes import require_shared_clones
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.errors import InputError


def course(barcode, *, n=60, seed=0):
    """Clones that stay where they are, at three times; `barcode(clone, time) -> label`."""
    rng = np.random.default_rng(seed)
    clone = rng.integers(15, size=3 * n)
    time = np.repeat([0.0, 1.0, 2.0], n)
    x = 4.0 * rng.normal(size=(15, 3))[clone] + rng.normal(size=(3 * n, 3))
    obs = pd.DataFrame(
        {
            "day": time,
            "barcode": [barcode(c, t) for c, t in zip(clone, time, strict=True)],
            "cell_type": pd.Categorical([f"type {c}" for c in clone]),
        },
        index=[f"cell{k}" for k in range(3 * n)],
    )
    return AnnData(x.astype(np.float32), obs=obs, obsm={"X_pca": x.astype(np.float32)})


def found(adata, key="barcode"):
    table = cf.pp.check(adata, "day", lineage_key=key)
    return table[table["key"].str.startswith("lineage_key")]["found"].tolist()


def some(c, t):
    """A barcode for clones below 12 only."""
    return f"bc{c}" if c < 12 else ""


def test_barcodes_of_cells_that_stay_together_are_fine():
    assert found(course(some)) == []


def test_shuffled_barcodes_are_noticed():
    adata = course(some)
    rng = np.random.default_rng(1)
    adata.obs["barcode"] = rng.permutation(adata.obs["barcode"].to_numpy())
    (words,) = found(adata)
    assert "as if barcodes were shuffled" in words


def test_shuffled_barcodes_are_noticed_as_often_as_stated():
    """In five percent of shufflings, clones are placed alike by chance."""
    rng = np.random.default_rng(2)
    adata = course(some)
    labels = adata.obs["barcode"].to_numpy()
    noticed = 0
    for _ in range(60):
        adata.obs["barcode"] = rng.permutation(labels)
        noticed += len(found(adata))
    assert noticed >= 52


def test_clones_whose_cells_cross_are_fine():
    adata = course(some)
    x = adata.obsm["X_pca"]
    x[adata.obs["day"] == 1.0] *= -1.0
    assert found(adata) == []


def test_one_clone_of_most_cells_is_noticed():
    (words,) = found(course(lambda c, t: f"bc{c}" if c < 5 else "none"))
    assert "one clone with" in words


def test_a_label_that_is_no_barcode_is_noticed():
    adata = course(lambda c, t: f"bc{c}", n=120)
    assert "exactly as adata.obs['cell_type']" in found(adata)[0]
    assert "exactly as adata.obs['barcode']" in found(adata, "cell_type")[0]


def test_names_of_small_clones_may_stand_beside_them_but_not_as_samples():
    adata = course(lambda c, t: f"bc{c}")
    adata.obsm["X_clone"] = pd.get_dummies(adata.obs["barcode"]).to_numpy(dtype=float)
    assert found(adata, "X_clone") == []
    table = cf.pp.check(adata, "day", lineage_key="X_clone", sample_key="barcode")
    assert table["found"].str.contains(r"exactly as adata.obs\['barcode'\]").any()


def test_barcodes_of_one_time_only_cannot_inform():
    adata = course(lambda c, t: f"bc{c} of day {t:g}")
    cells = read(adata, Reading("day", lineage_key="barcode"))
    with pytest.raises(InputError, match="none of its 45 clones has cells at two consecutive"):
        require_shared_clones(cells)


def test_numbers_of_shared_clones_are_logged(caplog):
    adata = course(lambda c, t: f"bc{c}" if t < 2 else f"late {c}")
    cells = read(adata, Reading("day", lineage_key="barcode"))
    with caplog.at_level(logging.INFO, logger="cellflow"):
        require_shared_clones(cells)
    assert "15 of 30 clones occur at one time only" in caplog.text
    assert "[15, 0]" in caplog.text

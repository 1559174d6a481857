"""Samples and clones of cells, read from an AnnData."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix, issparse

from cellflow.adapter.lineage import read_clones
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.errors import InputError, MissingKeyError

pytestmark = pytest.mark.filterwarnings("ignore:.*fewer than 5 cells")


def _adata():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "day": np.repeat([0.0, 1.0], 4),
            "mouse": pd.Categorical(list("abababcc")),
            "barcode": ["x", "", None, "y", "x", "y", "z", np.nan],
        },
        index=[f"cell{k}" for k in range(8)],
    )
    clones = np.zeros((8, 3))
    clones[[0, 4], 0] = 1
    clones[[3, 5], 1] = 1
    clones[[3, 6], 2] = 1
    pca = rng.normal(size=(8, 2)).astype(np.float32)
    return AnnData(pca.copy(), obs=obs, obsm={"X_pca": pca, "X_clone": csr_matrix(clones)})


def _read(adata, **keys):
    return read(adata, Reading("day", **keys), apart=())


def test_samples_are_numbered_and_reach_the_snapshots():
    cells = _read(_adata(), sample_key="mouse")
    assert cells.sample_names == ("a", "b", "c")
    np.testing.assert_array_equal(cells.sample, [0, 1, 0, 1, 0, 1, 2, 2])
    late = cells.snapshots()[1]
    np.testing.assert_array_equal(late.sample, [0, 1, 2, 2])
    np.testing.assert_array_equal(late.part(np.array([3, 0])).sample, [2, 0])


def test_a_cell_without_time_needs_no_sample():
    adata = _adata()
    adata.obs.loc["cell7", "day"] = np.nan
    adata.obs.loc["cell7", "mouse"] = np.nan
    cells = _read(adata, sample_key="mouse")
    assert cells.sample[-1] == -1
    assert cells.snapshots()[1].sample.min() >= 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.obs.__setitem__("mouse", [None, *"bababcc"]), "no sample for 1 cells"),
        (lambda a: a.obs.__setitem__("mouse", list("abcdefgh")), "another sample for every cell"),
        (lambda a: a.obs.__delitem__("mouse"), "is missing"),
    ],
)
def test_unusable_samples_are_errors(change, words):
    adata = _adata()
    change(adata)
    with pytest.raises(InputError, match=words):
        _read(adata, sample_key="mouse")


def test_whole_numbers_have_one_name_whatever_their_type():
    adata = _adata()
    adata.obs["mouse"] = [1, 2, 1, 2, 1, 2, 10, 10]
    whole = _read(adata, sample_key="mouse")
    adata.obs["mouse"] = adata.obs["mouse"].astype(float)
    assert _read(adata, sample_key="mouse").sample_names == whole.sample_names == ("1", "10", "2")


@pytest.mark.parametrize("key", ["barcode", "X_clone"])
def test_clones_of_a_column_or_a_matrix(key):
    cells = _read(_adata(), lineage_key=key)
    assert issparse(cells.lineage)
    lineage = cells.lineage.toarray()
    np.testing.assert_array_equal(lineage[0], lineage[4])
    assert lineage[1].sum() == lineage[2].sum() == lineage[7].sum() == 0
    snapshots = cells.snapshots()
    np.testing.assert_array_equal(snapshots[0].lineage.toarray(), lineage[:4])
    part = snapshots[1].part(np.array([2, 0]))
    np.testing.assert_array_equal(part.lineage.toarray(), lineage[[6, 4]])
    moved = snapshots.moved([p.x + 1.0 for p in snapshots.populations])
    np.testing.assert_array_equal(moved[1].lineage.toarray(), lineage[4:])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((8, 2), 2.0), "holds 2"),
        (np.full((8, 2), np.nan), "holds nan"),
        (np.full((8, 2), -1.0), "holds -1"),
        (np.zeros((8, 2)), "no clone for any cell"),
    ],
)
def test_unusable_clones_are_errors(values, words):
    adata = _adata()
    adata.obsm["X_clone"] = values
    with pytest.raises(InputError, match=words):
        read_clones(adata, "X_clone")


def test_barcodes_are_no_fractions_and_known():
    adata = _adata()
    adata.obs["barcode"] = np.linspace(0, 1, 8)
    with pytest.raises(InputError, match="fractions"):
        read_clones(adata, "barcode")
    adata.obs["barcode"] = ["", " ", None, "", "", "", "", ""]
    with pytest.raises(InputError, match="no clone for any cell"):
        read_clones(adata, "barcode")
    with pytest.raises(MissingKeyError, match="X_clone"):
        read_clones(adata, "X_clones")

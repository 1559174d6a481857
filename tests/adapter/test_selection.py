import numpy as np
import pandas as pd
import pytest

from cellflow.adapter.selection import cell_rows, gene_columns, shared_genes
from cellflow.errors import InputError, MissingKeyError


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        (["cell4", "cell1"], [4, 1]),
        (pd.Index(["cell4", "cell1"]), [4, 1]),
        (np.array(["cell4", "cell4"]), [4, 4]),
        ("cell3", [3]),
        ([5, 2, 2], [5, 2, 2]),
        (7, [7]),
        (np.arange(90) < 3, [0, 1, 2]),
        (pd.Series(np.arange(90) == 6), [6]),
    ],
)
def test_ways_to_choose(cells, chosen, rows):
    assert cell_rows(cells, chosen).tolist() == rows


@pytest.mark.parametrize("none", [[], np.zeros(90, dtype=bool)])
def test_there_is_some_cell_and_perhaps_no_gene(cells, none):
    with pytest.raises(InputError, match="chooses no cell"):
        cell_rows(cells, none)
    assert gene_columns(cells, none[:12]).tolist() == []


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        (
            ["Gene1"],
            MissingKeyError,
            r"not in adata\.var_names: \['Gene1'\]; for 'Gene1' did you mean 'gene1'",
        ),
        (["gne11"], MissingKeyError, "did you mean 'gene11'"),
        (["Actb"], MissingKeyError, r"names look like \['gene0', 'gene1', 'gene2'\]"),
        ([99], InputError, r"position 99; expected 0 to 11"),
        ([-1], InputError, r"position -1; expected 0 to 11"),
        (np.ones(3, dtype=bool), InputError, "mask of length 3; expected 12"),
        ([0.5], InputError, "has dtype float64"),
        ([None], InputError, "neither a mask"),
        ([["gene1"]], InputError, "neither a mask"),
        (slice(2, 4), InputError, "nor positions, nor names"),
    ],
)
def test_bad_choices(cells, chosen, error, message):
    with pytest.raises(error, match=message):
        gene_columns(cells, chosen)


def test_a_mask_of_other_names_is_refused(cells):
    mask = pd.Series(np.arange(90) < 3, index=cells.obs_names)
    assert cell_rows(cells, mask).tolist() == [0, 1, 2]
    with pytest.raises(
        InputError, match=r"another index than adata\.obs_names; pass mask\.loc\[adata\.obs_names\]"
    ):
        cell_rows(cells, mask[::-1])


def test_names_that_stand_for_several(cells):
    cells.var_names = ["twin", "twin", *cells.var_names[2:]]
    with pytest.raises(
        InputError, match=r"stand for several entries of adata\.var_names: \['twin'\]"
    ):
        gene_columns(cells, ["twin", "gene5"])
    assert gene_columns(cells, ["gene5"]).tolist() == [5]


def test_shared_genes(cells):
    names = cells.var_names.to_numpy(dtype=str)
    assert [i.tolist() for i in shared_genes(cells, names)] == [list(range(12))] * 2
    assert [i.tolist() for i in shared_genes(cells[:, ["gene7", "gene2"]], names)] == [
        [0, 1],
        [7, 2],
    ]
    assert [i.tolist() for i in shared_genes(cells, np.array(["gene9", "other", "gene1"]))] == [
        [1, 9],
        [2, 0],
    ]
    with pytest.raises(InputError, match=r"genes of the fit repeats \['gene1'\]"):
        shared_genes(cells, np.array(["gene1", "gene1"]))

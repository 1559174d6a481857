"""Columns of a picture: counted as scanpy counts them, and called what scanpy calls them."""

import numpy as np
import pytest

from cellflow.adapter.components import first_column, plane_of
from cellflow.errors import InputError


@pytest.mark.parametrize(
    ("basis", "components", "columns", "axes"),
    [
        ("umap", None, (0, 1), ("UMAP1", "UMAP2")),
        ("X_pca", "1,2", (0, 1), ("PC1", "PC2")),
        ("pca", "3, 1", (2, 0), ("PC3", "PC1")),
        ("pca", (2, 4), (1, 3), ("PC2", "PC4")),
        ("pca", ["2,4"], (1, 3), ("PC2", "PC4")),
        ("pca", ["2", "4"], (1, 3), ("PC2", "PC4")),
        ("pca", np.array([2, 4]), (1, 3), ("PC2", "PC4")),
        ("tsne", [np.int64(1), 2], (0, 1), ("tSNE1", "tSNE2")),
        ("diffmap", None, (1, 2), ("DC1", "DC2")),
        ("X_diffmap", "2,3", (2, 3), ("DC2", "DC3")),
        ("X_diffmap_rna", None, (1, 2), ("diffmap_rna1", "diffmap_rna2")),
        ("draw_graph_fa", None, (0, 1), ("FA1", "FA2")),
        ("X_mine", None, (0, 1), ("mine1", "mine2")),
    ],
)
def test_columns_and_axes(basis, components, columns, axes):
    plane = plane_of(basis, 5, components)
    assert plane.columns == columns
    assert plane.axes == axes
    x = np.arange(30.0).reshape(2, 3, 5)
    np.testing.assert_array_equal(plane.of(x), x[..., list(columns)])


@pytest.mark.parametrize(
    "components",
    ["1", "1,1", "1,2,3", "all", "", "a,b", "1.5,2", (1,), (1, 2, 3), (1.0, 2.0), (True, 2), {1,
    2}, 1, b"1,2", [[1, 2]],
     "-1,2", (1, None), np.array(1), {"x": 1}],
)  # fmt: skip
def test_what_are_no_two_components(components):
    with pytest.raises(
        InputError, match=r"components=.*; expected two numbers, such as '1,2' or \(1, 2\)"
    ):
        plane_of("pca", 5, components)


@pytest.mark.parametrize(
    ("basis", "components", "said"),
    [
        ("pca", "0,1", "0 is not there.*components 1 to 5 of 'pca', counted from 1"),
        ("pca", "5,6", "6 is not there"),
        ("diffmap", (0, 1), "components 1 to 4 of 'diffmap'.*stationary state"),
        ("diffmap", "4,5", "5 is not there"),
    ],
)
def test_components_that_are_not_there(basis, components, said):
    with pytest.raises(InputError, match=said):
        plane_of(basis, 5, components)


def test_one_component_is_drawn_on_a_line():
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(plane_of("diffmap", 2).of(x), np.c_[x[:, 1], np.zeros(3)])
    assert plane_of("pca", 1).axes == ("PC1", "")
    with pytest.raises(InputError, match="stationary state, no component"):
        plane_of("diffmap", 1)


def test_only_diffusion_maps_have_a_stationary_state():
    assert [
        first_column(b)
        for b in ("diffmap", "X_diffmap", "X_DiffMap", "umap", "X_pca", "my_diffmap")
    ] == [
        1,
        1,
        1,
        0,
        0,
        0,
    ]

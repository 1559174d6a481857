"""Expression that is no logarithm: decoded to, or what a representation was made of."""

import warnings

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from cellflow.recipes import i_cfm

import cellflow as cf
from cellflow.errors import InputWarning
from cellflow.training import Training


def counted(n=150, g=60):
    """Counts in `X` and the layer "counts", their logarithm in "lognorm", and no representation
    yet.
    """
    rng = np.random.default_rng(0)
    time = np.repeat([0, 1, 2], n // 3)
    depth = rng.normal(size=(n, 1)) * rng.normal(size=g)
    rate = np.exp(rng.uniform(-1, 2, g) + np.outer(time, rng.normal(size=g)) / 2 + 0.5 * depth)
    adata = ad.AnnData(
        rng.poisson(rate).astype("float32"),
        obs=pd.DataFrame({"time": time}, index=[f"c{i}" for i in range(n)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(g)]),
    )
    adata.layers["counts"] = adata.X.copy()
    logged = adata.copy()
    sc.pp.normalize_total(logged, target_sum=1e4)
    adata.layers["normed"] = logged.X.copy()
    sc.pp.log1p(logged)
    adata.layers["lognorm"] = logged.X.copy()
    return adata


def pca(adata, layer, **options):
    """A PCA of a layer, as a user makes it: of `X`."""
    made = ad.AnnData(adata.layers[layer].copy(), var=adata.var.copy())
    sc.pp.pca(made, n_comps=5, **options)
    adata.obsm["X_pca"], adata.varm["PCs"] = made.obsm["X_pca"], made.varm["PCs"]
    return adata


def with_x(adata, layer, container=lambda x: x):
    adata.X = container(adata.layers[layer].copy())
    del adata.layers[layer]
    return adata


def masked(adata, layer):
    adata.var["highly_variable"] = np.arange(adata.n_vars) % 2 == 0
    return pca(adata, layer)


def without_axes(adata):
    del adata.varm["PCs"]
    return adata


def without_layers(adata):
    adata.layers.clear()
    return adata


def raw_of(adata, layer="counts"):
    adata.raw = ad.AnnData(adata.layers[layer].copy(), var=adata.var.copy())
    del adata.layers[layer]
    return adata


def latent(adata):
    """Another representation than a PCA, as a variational autoencoder gives."""
    adata.obsm["X_pca"] = np.tanh(pca(adata, "lognorm").obsm["X_pca"])
    return without_axes(adata)


DECODED, PCA_OF = "positions are decoded linearly", "is a PCA of "
#: name: cells, the layer to decode to, words of the finding (None: nothing is wrong).
CASES = {
    "logarithm": (lambda a: with_x(pca(a, "lognorm"), "lognorm"), None, None),
    "logarithm, counts gone": (
        lambda a: with_x(pca(a, "lognorm"), "lognorm")[:, :].copy(),
        None,
        None,
    ),
    "logarithm in a layer that is named": (lambda a: pca(a, "lognorm"), "lognorm", None),
    "logarithm, counts in raw": (
        lambda a: with_x(pca(raw_of(a), "lognorm"), "lognorm"),
        None,
        None,
    ),
    "logarithm, sparse": (
        lambda a: with_x(pca(a, "lognorm"), "lognorm", sp.csr_matrix),
        None,
        None,
    ),
    "logarithm, PCA of some genes": (lambda a: with_x(masked(a, "lognorm"), "lognorm"), None, None),
    "logarithm, loadings gone": (
        lambda a: with_x(without_axes(pca(a, "lognorm")), "lognorm"),
        None,
        None,
    ),
    "logarithm, some of the cells": (
        lambda a: with_x(pca(a, "lognorm"), "lognorm")[20:140].copy(),
        None,
        None,
    ),
    "logarithm, another representation": (lambda a: with_x(latent(a), "lognorm"), None, None),
    "counts": (lambda a: pca(a, "lognorm"), None, DECODED),
    "counts, sparse": (lambda a: with_x(pca(a, "lognorm"), "counts", sp.csr_matrix), None, DECODED),
    "counts, dask": (lambda a: with_x(pca(a, "lognorm"), "counts", da.from_array), None, DECODED),
    "counts as integers": (
        lambda a: with_x(pca(a, "lognorm"), "counts", lambda x: x.astype(int)),
        None,
        DECODED,
    ),
    "counts in the layer that is named": (
        lambda a: with_x(pca(a, "lognorm"), "lognorm"),
        "counts",
        DECODED,
    ),
    "counts beside a latent space": (latent, None, DECODED),
    "normalised only": (lambda a: with_x(pca(a, "lognorm"), "normed"), None, DECODED),
    "PCA of counts": (lambda a: pca(a, "counts"), None, PCA_OF + r"adata\.X, which holds counts"),
    "PCA of counts, sparse": (
        lambda a: with_x(pca(a, "counts"), "counts", sp.csc_matrix),
        None,
        PCA_OF + r"adata\.X",
    ),
    "PCA of counts, loadings gone": (
        lambda a: without_axes(pca(a, "counts")),
        None,
        PCA_OF + r"adata\.X",
    ),
    "PCA of counts, some genes": (lambda a: masked(a, "counts"), None, PCA_OF + r"adata\.X"),
    "PCA of counts, some genes, loadings gone": (
        lambda a: without_axes(masked(a, "counts")),
        None,
        PCA_OF + r"adata\.X",
    ),
    "PCA of counts, some of the cells": (
        lambda a: pca(a, "counts")[20:140].copy(),
        None,
        PCA_OF + r"adata\.X",
    ),
    "PCA of counts, without its centre": (
        lambda a: pca(a, "counts", zero_center=False),
        None,
        PCA_OF + r"adata\.X",
    ),
    "PCA of counts, logarithm in X": (
        lambda a: with_x(pca(a, "counts"), "lognorm"),
        None,
        PCA_OF + r"adata\.layers\['counts'\]",
    ),
    "PCA of counts in raw": (
        lambda a: with_x(raw_of(pca(a, "counts")), "lognorm"),
        None,
        PCA_OF + r"adata\.raw\.X, which holds counts",
    ),
    "PCA of counts, named layer": (lambda a: pca(a, "counts"), "lognorm", PCA_OF),
    "PCA of normalised values": (
        lambda a: with_x(pca(a, "normed"), "normed"),
        None,
        PCA_OF + r"adata\.X, which is on a linear",
    ),
    "PCA of normalised values, logarithm in X": (
        lambda a: without_layers(with_x(pca(a, "normed"), "lognorm")),
        None,
        PCA_OF + r"numpy\.expm1\(adata\.X\)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fit_and_a_check_say_the_same(case):
    make, layer, words = CASES[case]
    adata = make(counted())
    table = cf.pp.check(adata, "time", layer=layer)
    found = table[table["severity"] == "warning"]
    method = i_cfm(training=Training(steps=2, batch_size=32, record_every=2))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cf.tl.flow(adata, "time", method=method, layer=layer)
    said = [w for w in said if issubclass(w.category, InputWarning)]
    assert len(found) == len(said) == (words is not None)
    for warning, (_, row) in zip(said, found.iterrows(), strict=True):
        assert (
            str(warning.message)
            == f"{row['key']} {row['found']}. Expected {row['expected']}. {row['remedy']}"
        )
        assert pd.Series([str(warning.message)]).str.contains(words)[0]
        assert warning.filename == __file__


@pytest.mark.parametrize(
    ("x", "layer", "remedy"),
    [("counts", None, "layer='lognorm'"), ("lognorm", "counts", "layer=None")],
)
def test_the_remedy_names_the_expression_that_the_representation_was_made_of(x, layer, remedy):
    adata = pca(counted(), "lognorm")
    if x == "lognorm":
        with_x(adata, "lognorm")
    (row,) = cf.pp.check(adata, "time", layer=layer).to_dict("records")
    assert remedy in row["remedy"]
    chosen = None if remedy == "layer=None" else "lognorm"
    assert not len(cf.pp.check(adata, "time", layer=chosen))


def test_the_remedy_does_not_name_raw_as_a_layer():
    adata = without_layers(raw_of(pca(counted(), "lognorm"), "lognorm"))
    (row,) = cf.pp.check(adata, "time").to_dict("records")
    assert row["found"].startswith("holds counts")
    assert row["remedy"].startswith("Store the expression")


def test_expression_that_nothing_decodes_is_said():
    adata = counted()
    adata.X = np.random.default_rng(1).normal(size=adata.shape)
    adata.layers.clear()
    adata.obsm["X_pca"] = np.random.default_rng(2).normal(size=(adata.n_obs, 5)).astype("float32")
    (row,) = cf.pp.check(adata, "time").to_dict("records")
    assert "no gene has a held-out R2 of 0.1" in row["found"]

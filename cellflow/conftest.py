"""What the examples of the docstrings start from when they are run as tests.

The lines of an example are those that a user writes for their own file. Run as a test, each
docstring finds the names `cf`, `np` and `adata`, a copy of one small prepared and fitted AnnData;
it trains for moments, and writes files into an empty folder. This file is not part of the
installed package.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import cellflow as cf
from cellflow.errors import CouplingWarning, InputWarning, IntegrationWarning

if TYPE_CHECKING:
    from anndata import AnnData

#: Steps of every training.
_STEPS = 30
#: Steps of a solver per mean interval; 20 without the tests.
_STEPS_PER_UNIT = 3
#: Cells of each snapshot, and genes beside those of proliferation and apoptosis.
_CELLS = 40
_GENES = 100
#: Genes that examples name.
_NAMED = ["TNNT2", "MYH3", "ENO3", "CCNB1", "ID1"]


def _selected_genes(adata: AnnData) -> list[str]:
    """Genes that examples name, those that `cf.pp.growth_scores` reads, and some that vary."""
    from cellflow.analysis.growth_prior import found_genes, gene_lists

    names = list(map(str, adata.var_names))
    prior = [names[k] for genes in gene_lists("human") for k in found_genes(genes, names)]
    varying = adata.var_names[np.argsort(-adata.X.var(axis=0))][:_GENES]
    return list(dict.fromkeys([*_NAMED, *prior, *varying]))


def _prepared() -> AnnData:
    """Myoblasts as a user prepares them: some of the cells and genes, PCA, UMAP, annotations.

    Columns `drug`, `dish` and `clone` are made up, and so are the two axes of `X_umap`, which take
    no time.
    """
    import scanpy as sc

    adata = cf.datasets.myoblasts()
    rows = [np.flatnonzero(adata.obs["hours"] == t)[:_CELLS] for t in (0.0, 24.0, 48.0, 72.0)]
    adata = adata[np.concatenate(rows)].copy()
    sc.pp.log1p(adata)
    adata = adata[:, _selected_genes(adata)].copy()
    sc.pp.pca(adata, n_comps=5)
    adata.obsm["X_umap"] = np.tanh(adata.obsm["X_pca"][:, :2] / 5.0).astype(np.float64)
    names = {"1": "myoblast", "2": "myotube", "3": "mesenchymal"}
    adata.obs["cell_type"] = adata.obs["State"].astype(str).map(names).astype("category")
    n = np.arange(adata.n_obs)
    first = adata.obs["hours"].to_numpy() == 0.0
    adata.obs["drug"] = np.where(first | (n % 2 == 0), "dmso", "inhibitor")
    dishes = zip(adata.obs["drug"], 1 + n % 4 // 2, strict=True)
    adata.obs["dish"] = [f"{drug}_{number}" for drug, number in dishes]
    adata.obs["clone"] = [f"clone{k % 25}" for k in n]
    return adata


def _fitted() -> AnnData:
    """A flow with a score, and its velocities."""
    adata = _prepared()
    cf.tl.flow(adata, "hours", score=True, progress=False)
    cf.tl.velocity(adata, basis="umap")
    return adata


def _shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for moments, and solve in long steps, whatever the call asks for."""
    from cellflow.training.loop import Loop

    whole: Callable[..., None] = Loop.__init__

    def short(loop: Any, module: Any, losses: Any, training: Any, **kwargs: Any) -> None:
        steps = min(training.steps, _STEPS)
        whole(loop, module, losses, replace(training, steps=steps), **kwargs)

    monkeypatch.setattr(Loop, "__init__", short)
    step = property(lambda flow: flow.clock.unit / _STEPS_PER_UNIT)
    monkeypatch.setattr(cf.Flow, "step", step)


@pytest.fixture(scope="session")
def _example_cells() -> Callable[[], AnnData]:
    """`_example_cells()`: a copy of the cells; they are fitted when first asked for."""
    made: list[AnnData] = []

    def copy_of() -> AnnData:
        if not made:
            made.append(_fitted())
        return made[0].copy()

    return copy_of


@pytest.fixture(autouse=True)
def _example_names(
    request: pytest.FixtureRequest,
    doctest_namespace: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    _example_cells: Callable[[], AnnData],
) -> Iterator[None]:
    """Put the names of the examples into the namespace of one docstring."""
    text = "".join(example.source for example in request.node.dtest.examples)
    for category in (CouplingWarning, InputWarning, IntegrationWarning):
        # Of a short training and of made-up columns; pytest restores the filters after each test.
        warnings.simplefilter("ignore", category)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    doctest_namespace.clear()
    doctest_namespace.update(cf=cf, np=np)
    if re.search(r"\badata\b|\bcf\.fit", text):
        _shorten(monkeypatch)
    if re.search(r"\badata\b", text):
        doctest_namespace["adata"] = _example_cells()
    yield
    if "cf.pl." in text:
        import matplotlib.pyplot as plt

        plt.close("all")

"""Cells of simulated circuits with a fit, for `circuits.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import cellflow as cf
import methods
from cellflow.core.population import Snapshots
from cellflow.synthetic import Circuit, circuits

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.flow import Flow

#: Times of the snapshots, and cells of each; fresh cells of each for comparisons.
TIMES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
N_CELLS = 400
N_FRESH = 200
#: Members of the ensemble.
N_MEMBERS = 5


@dataclass(frozen=True, eq=False)
class Case:
    """A circuit, its cells with a fit, and fresh cells."""

    circuit: Circuit
    adata: AnnData
    fresh: Snapshots
    method: str
    seed: int

    @property
    def flow(self) -> Flow:
        """The fit."""
        return cf.get.flow(self.adata)

    @property
    def genes(self) -> list[str]:
        """Names."""
        return list(self.circuit.genes)

    @property
    def x(self) -> np.ndarray:
        """Expression of all cells."""
        return np.asarray(self.adata.X)

    @property
    def t(self) -> np.ndarray:
        """Times of all cells."""
        return self.adata.obs["time"].to_numpy()

    @property
    def loadings(self) -> np.ndarray:
        """Genes by dimensions of the representation."""
        if "PCs" in self.adata.varm:
            return np.asarray(self.adata.varm["PCs"])
        return np.eye(len(self.genes))

    def placed(self, x: np.ndarray) -> np.ndarray:
        """Positions of expression in the representation."""
        if "PCs" in self.adata.varm:
            return np.asarray((x - self.x.mean(axis=0)) @ self.loadings)
        return x


def case(n_genes: int, n_fates: int, seed: int, *, method: str, rep: str, quick: bool) -> Case:
    """Draw a circuit, simulate cells, and fit an ensemble with fates."""
    circuit = circuits(n_genes, n_fates, seed)
    n_cells = 100 if quick else N_CELLS
    adata = cf.datasets.simulate(circuit, n_obs=n_cells, times=TIMES, random_state=seed)
    labels = np.array(circuit.ends)[circuit.labels(np.asarray(adata.X))]
    adata.obs["fate"] = pd.Series(labels, adata.obs_names).where(adata.obs["time"] == TIMES[-1])
    if rep == "pca":
        import scanpy as sc

        sc.pp.pca(adata, n_comps=n_genes, zero_center=True, svd_solver="full")
    cf.tl.flow(
        adata,
        "time",
        use_rep="X_pca" if rep == "pca" else "X_state",
        method=methods.fits(f"curved-cfm+{method}").recipe,
        mass_key="mass",
        n_members=2 if quick else N_MEMBERS,
        random_state=seed,
        progress=False,
    )
    cf.tl.fates(adata, "fate", progress=False)
    fresh = circuit.sample(N_FRESH, TIMES, np.random.default_rng([seed, 1]))
    return Case(circuit, adata, fresh, method, seed)

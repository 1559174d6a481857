"""Reader of the data sets that methods are judged on; `cellflow.evaluation.sets` lists them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.errors import MissingDataError

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.evaluation.sets import DataSet

__all__ = ["principal_components", "read_set", "read_types", "standardised"]


class _Cells(NamedTuple):
    """Positions `(n, d)`, times `(n,)`, and types `(n,)` where the set has any."""

    x: FloatArray
    time: FloatArray
    types: np.ndarray | None = None


def read_set(data: DataSet, folder: Path) -> Snapshots:
    """Read a set from a folder of data; cells without a time are left out.

    Raises
    ------
    MissingDataError
        The file is not there.
    """
    cells = _read(data, folder)
    return Snapshots.from_arrays(cells.x, cells.time)


def read_types(data: DataSet, folder: Path) -> tuple[Snapshots, list[np.ndarray]]:
    """Read a set in double precision with the cell types, snapshot by snapshot; see `read_set`."""
    cells = _read(data, folder)
    assert cells.types is not None
    snapshots = Snapshots.from_arrays(cells.x.astype(np.float64), cells.time)
    return snapshots, [cells.types[p.index] for p in snapshots.populations]


def _read(data: DataSet, folder: Path) -> _Cells:
    path = folder / data.file
    if data.file and not path.exists():
        msg = f"{path} is absent."
        raise MissingDataError(msg)
    if path.suffix == ".csv":
        return _table(data, path)
    if path.suffix == ".npy":
        return _Cells(np.load(path), np.load(path.with_name(data.time)).astype(np.float64))
    if path.suffix == ".npz":
        with np.load(path) as file:
            return _Cells(file["X"], file[data.time].astype(np.float64))
    return _annotated(data, path)


def _table(data: DataSet, path: Path) -> _Cells:
    """A text table with a column of times, and coordinates in the columns `x...`."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    names = [key for key in rows[0] if key.startswith("x")]
    x = np.array([[float(row[key]) for key in names] for row in rows])
    return _Cells(x, np.array([float(row[data.time]) for row in rows]))


def _annotated(data: DataSet, path: Path) -> _Cells:
    """An AnnData, with its coordinates made by the steps of the set."""
    import anndata as ad

    from cellflow import datasets

    adata = getattr(datasets, data.loader)() if data.loader else ad.read_h5ad(path)
    if data.literature is not None and data.literature.donor:
        donor = adata.obs["donor"].astype(str).str.removesuffix(".0")
        adata = adata[(donor == data.literature.donor).to_numpy()].copy()
    _make_coordinates(adata, data)
    # scanpy's components stay in single precision, as in the tables of benchmarks/README.md.
    precision = None if "pca" in data.steps else np.float64
    x = np.asarray(adata.obsm["X_pca"][:, : data.n_dims], dtype=precision)
    time = adata.obs[data.time].astype(float).to_numpy()
    if data.mean_time:
        exact = adata.obs[data.mean_time].to_numpy(dtype=np.float64)
        means = {t: exact[time == t].mean() for t in np.unique(time)}
        time = np.array([means[t] for t in time])
    known = np.isfinite(time)
    types = adata.obs[data.types].to_numpy(dtype=str)[known] if data.types else None
    return _Cells((standardised(x) if data.standardise else x)[known], time[known], types)


def _make_coordinates(adata: AnnData, data: DataSet) -> None:
    import scanpy as sc

    for step in data.steps:
        if step == "total":
            sc.pp.normalize_total(adata, target_sum=1e4)
        elif step == "log":
            sc.pp.log1p(adata)
        elif step == "genes":
            sc.pp.highly_variable_genes(adata, n_top_genes=2000)
        elif step == "pca":
            sc.pp.pca(adata, n_comps=data.n_dims)
        else:
            x = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
            adata.obsm["X_pca"] = principal_components(x, data.n_dims)


def principal_components(x: FloatArray, n_dims: int | None) -> FloatArray:
    """Scores on the first principal axes, by a full singular value decomposition."""
    centred = np.asarray(x, dtype=np.float64) - x.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    scores: FloatArray = u[:, :n_dims] * s[:n_dims]
    return scores


def standardised(x: FloatArray) -> FloatArray:
    """Coordinates with mean 0 and variance 1 over all cells."""
    made: FloatArray = (x - x.mean(axis=0)) / x.std(axis=0)
    return made

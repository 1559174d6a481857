"""Published data sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.read import read_h5ad
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._warn import ignored
from cellflow.datasets._download import Download, local_file
from cellflow.datasets._npz import read_npz, require, require_numbers
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["cite", "embryoid_body", "larry", "multi"]

_MENDELEY = "https://data.mendeley.com/public-files/datasets/hhny5ff7yj/files"
_TRAJECTORYNET = "https://raw.githubusercontent.com/KrishnaswamyLab/TrajectoryNet/master/data"
_EB_DAYS = ("Day 00-03", "Day 06-09", "Day 12-15", "Day 18-21", "Day 24-27")

_EB = Download(
    "eb_velocity_v5.npz",
    f"{_TRAJECTORYNET}/eb_velocity_v5.npz",
    "17623d16dd4fe7b679aad80916d130cb2863a4cd4ee742f139a3c2eed91ba230",
    "https://github.com/KrishnaswamyLab/TrajectoryNet",
    "less than 100 MB",
)
_CITE = Download(
    "op_cite_inputs_0.h5ad",
    f"{_MENDELEY}/1862acf5-6294-4eb1-8644-d1c6d25e4126/file_downloaded",
    "fa1d117df3d6c23e0b80a997a259bcac3a79ad27d581e1a6654e107c39885e4c",
    "https://data.mendeley.com/datasets/hhny5ff7yj/1",
    "1.2 GB",
)
_MULTI = Download(
    "op_train_multi_targets_0.h5ad",
    f"{_MENDELEY}/5f4b6e5b-f122-4f5a-8ede-0d188c5cf00c/file_downloaded",
    "a16c28ef861503111bb2f4c6ab6b1d5ed3df07d49eb0baa7378515fc098af4d2",
    "https://data.mendeley.com/datasets/hhny5ff7yj/1",
    "1.1 GB",
)
_LARRY = Download(
    "LARRY_adata_preprocessed.h5ad",
    "https://kleintools.hms.harvard.edu/tools/downloads/cospar/LARRY_adata_preprocessed.h5ad",
    "16607046cd2550dbcdb33c24c58e5b8852c5558f7b52a437e0ae20b0137ef881",
    "https://github.com/AllonKleinLab/cospar",
    "187 MB",
)


@guarded
def embryoid_body(*, path: str | os.PathLike[str] | None = None) -> AnnData:
    """Human embryoid bodies over 27 days: 16,819 cells in 100 principal components, five snapshots.

    Parameters
    ----------
    path
        A local copy, or the folder that holds it: `eb_velocity_v5.npz` (arrays `pcs` and
        `sample_labels`), or an h5ad with `obsm["X_pca"]` and `obs["time"]`. None downloads it once.

    Returns
    -------
    An AnnData without genes. Its fields are

    - `obsm["X_pca"]`: float32 or float64, shape (n_obs, 100). Principal components, not scaled.
    - `obs["time"]`: float64, shape (n_obs,). 0 to 4; consecutive snapshots are six days apart.
    - `obs["day"]`: category, shape (n_obs,). The days that were pooled, as text.

    Raises
    ------
    MissingDataError
        No such file, or it could not be downloaded; the message says what to download from where.
    MissingKeyError
        The file has another layout.

    References
    ----------
    Moon et al., Visualizing structure and transitions in high-dimensional biological data, Nature
    Biotechnology 2019 (data: Mendeley v6n743h5ng); this file: Tong et al., TrajectoryNet, ICML
    2020.

    Examples
    --------
    >>> # A download, unless path= names the file.
    >>> adata = cf.datasets.embryoid_body()  # doctest: +SKIP
    """
    check_arguments(embryoid_body, locals())
    import anndata as ad
    import pandas as pd

    file = local_file(_EB, path)
    if file.suffix != ".npz":
        return _timed(_read_h5ad(file), file, "time")
    arrays = read_npz(file, ("pcs", "sample_labels"), ("phate",))
    pcs = arrays["pcs"]
    labels = arrays["sample_labels"]
    for name, array in arrays.items():
        require_numbers(file, name, array, n_rows=labels.size, ndim=1 if array is labels else 2)
    extra = {"X_phate": arrays["phate"]} if "phate" in arrays else {}
    if not np.isin(labels, range(len(_EB_DAYS))).all():
        msg = (
            f"{file}: 'sample_labels' has values {np.unique(labels).tolist()}; expected 0 to"
            f" {len(_EB_DAYS) - 1}."
        )
        raise InputError(msg)
    codes: list[int] = labels.astype(int).tolist()
    obs = pd.DataFrame(
        {
            "time": labels.astype(np.float64),
            "day": pd.Categorical.from_codes(codes, pd.Index(_EB_DAYS)),
        },
        index=[f"cell{i}" for i in range(len(labels))],
    )
    return ad.AnnData(obs=obs, obsm={"X_pca": pcs, **extra})


@guarded
def cite(*, path: str | os.PathLike[str] | None = None) -> AnnData:
    """CITE-seq of CD34+ blood progenitors, donor 13176, days 2, 3, 4 and 7 (NeurIPS 2022).

    Parameters
    ----------
    path
        A local copy of `op_cite_inputs_0.h5ad`, or the folder that holds it. None downloads it once
        (1.2 GB).

    Returns
    -------
    The file as it is, with `obsm["X_pca"]`. Its new fields are

    - `obs["time"]`: float64, shape (n_obs,). In days.
    - `obs["time_index"]`: int64, shape (n_obs,). 0 to 3, the times of the published tables.

    Raises
    ------
    MissingDataError
        No such file, or it could not be downloaded; the message says what to download from where.
    MissingKeyError
        The file has another layout.

    References
    ----------
    Burkhardt et al., Open problems: multimodal single-cell integration, NeurIPS 2022 competition;
    this file: Tong et al., Improving and generalizing flow-based generative models with minibatch
    optimal transport, TMLR 2024 (Mendeley hhny5ff7yj).

    Examples
    --------
    >>> # A download, unless path= names the file.
    >>> adata = cf.datasets.cite()  # doctest: +SKIP
    """
    check_arguments(cite, locals())
    return _progenitors(_CITE, path)


@guarded
def multi(*, path: str | os.PathLike[str] | None = None) -> AnnData:
    """Multiome of CD34+ blood progenitors, donor 13176, days 2, 3, 4 and 7: gene expression.

    Parameters
    ----------
    path
        A local copy of `op_train_multi_targets_0.h5ad`, or the folder that holds it. None downloads
        it once (1.1 GB).

    Returns
    -------
    The file as it is, with the same new fields as `cellflow.datasets.cite`, whose errors and
    references also hold for this function.

    Examples
    --------
    >>> # A download, unless path= names the file.
    >>> adata = cf.datasets.multi()  # doctest: +SKIP
    """
    check_arguments(multi, locals())
    return _progenitors(_MULTI, path)


@guarded
def larry(*, path: str | os.PathLike[str] | None = None) -> AnnData:
    """Mouse blood progenitors with lineage barcodes (LARRY), days 2, 4 and 6, as in CoSpar.

    Parameters
    ----------
    path
        A local copy of `LARRY_adata_preprocessed.h5ad`, or the folder that holds it. None downloads
        it once (187 MB).

    Returns
    -------
    The file as it is, with `obs["state_info"]` (cell type), `obsm["X_clone"]` (cells by clones, 0
    or 1), `obsm["X_pca"]` and `obsm["X_emb"]` (the authors' layout). Its new field is

    - `obs["time"]`: float64, shape (n_obs,). In days.

    Raises
    ------
    MissingDataError
        No such file, or it could not be downloaded; the message says what to download from where.
    MissingKeyError
        The file has another layout.

    References
    ----------
    Weinreb et al., Lineage tracing on transcriptional landscapes links state to fate during
    differentiation, Science 2020 (GSE140802); this file: Wang et al., CoSpar, Nature Biotechnology
    2022.

    Examples
    --------
    >>> # A download, unless path= names the file.
    >>> adata = cf.datasets.larry()  # doctest: +SKIP
    """
    check_arguments(larry, locals())
    file = local_file(_LARRY, path)
    adata = _timed(_read_h5ad(file), file, "time_info")
    require("X_clone", adata.obsm, file)
    return adata


def _progenitors(source: Download, path: str | os.PathLike[str] | None) -> AnnData:
    """A file of the NeurIPS 2022 challenge, with times in days and in the published indices."""
    file = local_file(source, path)
    return _timed(_read_h5ad(file), file, "day", index=True)


def _read_h5ad(file: Path) -> AnnData:
    import anndata as ad

    # The published files are in the format of their time.
    with ignored(ad.OldFormatWarning):
        return read_h5ad(file)


def _timed(adata: AnnData, file: Path, column: str, *, index: bool = False) -> AnnData:
    """Add the times of a column as `obs["time"]`, and with `index` their ranks as `time_index`."""
    require(column, adata.obs, file)
    require("X_pca", adata.obsm, file)
    values = adata.obs[column].astype(str)  # categories and integers alike
    try:
        times = values.to_numpy(dtype=np.float64)
        if not np.isfinite(times).all():
            msg = "a time that is not finite"
            raise ValueError(msg)
    except ValueError as cause:
        msg = f"{file}: obs[{column!r}] should hold numbers; found {sorted(set(values))[:5]}."
        raise InputError(msg) from cause
    adata.obs["time"] = times
    if index:
        adata.obs["time_index"] = np.unique(adata.obs["time"], return_inverse=True)[1]
    return adata

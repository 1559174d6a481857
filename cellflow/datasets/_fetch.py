"""Published data sets, fetched once and kept in the user's cache."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.read import read_h5ad
from cellflow.core._arguments import check_arguments
from cellflow.core._paths import as_path
from cellflow.core._settings import guarded
from cellflow.core._warn import ignored
from cellflow.errors import InputError, MissingDataError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["cite", "embryoid_body", "larry", "multi"]

_TIMEOUT_SECONDS = 10
#: Bytes of a published table of arrays at most, unpacked; the real one takes a tenth of it.
_LARGEST = 2 * 1024**3
_MENDELEY = "https://data.mendeley.com/public-files/datasets/hhny5ff7yj/files"
_EB_DAYS = ("Day 00-03", "Day 06-09", "Day 12-15", "Day 18-21", "Day 24-27")


@dataclass(frozen=True)
class _Source:
    """Where a file is, and how to know it."""

    file: str
    url: str
    sha256: str
    page: str
    size: str


_EB = _Source(
    "eb_velocity_v5.npz",
    "https://raw.githubusercontent.com/KrishnaswamyLab/TrajectoryNet/master/data/eb_velocity_v5.npz",
    "17623d16dd4fe7b679aad80916d130cb2863a4cd4ee742f139a3c2eed91ba230",
    "https://github.com/KrishnaswamyLab/TrajectoryNet",
    "less than 100 MB",
)
_CITE = _Source(
    "op_cite_inputs_0.h5ad",
    f"{_MENDELEY}/1862acf5-6294-4eb1-8644-d1c6d25e4126/file_downloaded",
    "fa1d117df3d6c23e0b80a997a259bcac3a79ad27d581e1a6654e107c39885e4c",
    "https://data.mendeley.com/datasets/hhny5ff7yj/1",
    "1.2 GB",
)
_MULTI = _Source(
    "op_train_multi_targets_0.h5ad",
    f"{_MENDELEY}/5f4b6e5b-f122-4f5a-8ede-0d188c5cf00c/file_downloaded",
    "a16c28ef861503111bb2f4c6ab6b1d5ed3df07d49eb0baa7378515fc098af4d2",
    "https://data.mendeley.com/datasets/hhny5ff7yj/1",
    "1.1 GB",
)
_LARRY = _Source(
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
    `obsm["X_pca"]` (unscaled), `obs["time"]` (0 to 4: snapshots, each six days after the one before) and `obs["day"]` (the
    range of days that was pooled). There are no genes in this file.

    Raises
    ------
    MissingDataError
        No such file, or it could not be downloaded; says what to download from where.
    MissingKeyError
        The file has another layout.

    References
    ----------
    Moon et al., Visualizing structure and transitions in high-dimensional biological data, Nature Biotechnology 2019 (data:
    Mendeley v6n743h5ng); this file: Tong et al., TrajectoryNet, ICML 2020.
    """
    check_arguments(embryoid_body, locals())
    import anndata as ad
    import pandas as pd

    file = _local(_EB, path)
    if file.suffix != ".npz":
        return _timed(_read_h5ad(file), file, "time")
    arrays = _read_npz(file, ("pcs", "sample_labels"), ("phate",))
    pcs = arrays["pcs"]
    labels = arrays["sample_labels"]
    for name, array in arrays.items():
        _require_numbers(file, name, array, n_rows=labels.size, ndim=1 if array is labels else 2)
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
    """CITE-seq of CD34+ blood progenitors (NeurIPS 2022 challenge), donor 13176, days 2, 3, 4 and 7.

    Parameters
    ----------
    path
        A local copy of `op_cite_inputs_0.h5ad`, or the folder that holds it. None downloads it once
        (1.2 GB).

    Returns
    -------
    The file as it is, with `obs["time"]` (days) and `obs["time_index"]` (0 to 3, the times of the published tables) beside
    `obsm["X_pca"]`.

    Raises
    ------
    MissingDataError
        No such file, or it could not be downloaded; says what to download from where.
    MissingKeyError
        The file has another layout.

    References
    ----------
    Burkhardt et al., Open problems: multimodal single-cell integration, NeurIPS 2022 competition; this file: Tong et al.,
    Improving and generalizing flow-based generative models with minibatch optimal transport, TMLR 2024 (Mendeley hhny5ff7yj).
    """
    check_arguments(cite, locals())
    return _progenitors(_CITE, path)


@guarded
def multi(*, path: str | os.PathLike[str] | None = None) -> AnnData:
    """Multiome of CD34+ blood progenitors (NeurIPS 2022 challenge), donor 13176, days 2, 3, 4 and 7: gene expression.

    Parameters
    ----------
    path
        A local copy of `op_train_multi_targets_0.h5ad`, or the folder that holds it. None downloads
        it once (1.1 GB).

    Returns
    -------
    As `cite`, whose errors and references hold here, too.
    """
    check_arguments(multi, locals())
    return _progenitors(_MULTI, path)


@guarded
def larry(*, path: str | os.PathLike[str] | None = None) -> AnnData:
    """Mouse blood progenitors in culture with lineage barcodes (LARRY), days 2, 4 and 6, as CoSpar prepared them.

    Parameters
    ----------
    path
        A local copy of `LARRY_adata_preprocessed.h5ad`, or the folder that holds it. None downloads
        it once (187 MB).

    Returns
    -------
    The file as it is, with `obs["time"]` (days) beside `obs["state_info"]` (cell type), `obsm["X_clone"]` (cells x clones,
    0 or 1), `obsm["X_pca"]` and `obsm["X_emb"]` (the authors' layout).

    Raises
    ------
    MissingDataError
        No such file, or it could not be downloaded; says what to download from where.
    MissingKeyError
        The file has another layout.

    References
    ----------
    Weinreb et al., Lineage tracing on transcriptional landscapes links state to fate during differentiation, Science 2020
    (GSE140802); this file: Wang et al., CoSpar, Nature Biotechnology 2022.
    """
    check_arguments(larry, locals())
    file = _local(_LARRY, path)
    adata = _timed(_read_h5ad(file), file, "time_info")
    _require("X_clone", adata.obsm, file)
    return adata


def _progenitors(source: _Source, path: str | os.PathLike[str] | None) -> AnnData:
    """Read a file of the NeurIPS 2022 challenge, in days and in the time indices of the published tables."""
    file = _local(source, path)
    return _timed(_read_h5ad(file), file, "day", index=True)


def _local(source: _Source, path: str | os.PathLike[str] | None) -> Path:
    """Return the file on this machine, fetched where no path is given."""
    if path is None:
        return _fetch(source)
    given = as_path(path)
    try:
        file = given / source.file if given.is_dir() else given
    except (OSError, ValueError) as cause:  # too long, or with a null character
        msg = (
            f"path={str(given)[:80]!r} is no usable path ({cause}); pass the path of {source.file}."
        )
        raise InputError(msg) from cause
    if not file.is_file():
        msg = (
            f"No file {file}. Download {source.file} ({source.size}) from {source.page} and pass"
            f" path='.../{source.file}'."
        )
        raise MissingDataError(msg)
    return file


def _fetch(source: _Source) -> Path:
    """Download once into the user's cache, and check what arrived."""
    import pooch

    cache = pooch.os_cache("cellflow")
    download = pooch.HTTPDownloader(
        timeout=_TIMEOUT_SECONDS,
        progressbar=sys.stderr.isatty(),
        headers={
            "User-Agent": "Mozilla/5.0 (cellflow)"
        },  # Mendeley refuses the default of Python's clients
    )
    try:
        return Path(
            pooch.retrieve(
                source.url, f"sha256:{source.sha256}", source.file, cache, downloader=download
            )
        )
    except (
        OSError,
        ValueError,
    ) as cause:  # no network, no such page, no room; or another file than expected
        msg = (
            f"{source.file} could not be downloaded from {source.url} ({type(cause).__name__}:"
            f" {cause}). Download it ({source.size}, sha256 {source.sha256}) from {source.page} on"
            f" a machine that can, then either pass path='.../{source.file}' or put it into"
            f" {cache}."
        )
        raise MissingDataError(msg) from cause


def _read_npz(file: Path, required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """Arrays of an npz file by name; what numpy would have to unpickle is refused."""
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LARGEST:
            msg = f"its content takes {size / 1e9:.0f} GB"
            raise ValueError(msg)
        with np.load(file, allow_pickle=False) as stored:
            for name in required:
                _require(name, stored, file)
            return {name: stored[name] for name in (*required, *optional) if name in stored}
    except MissingKeyError:
        raise
    # What zipfile, zlib and numpy raise for a file that is none of theirs is of many classes.
    except Exception as cause:
        msg = (
            f"{file} could not be read as an npz of numbers ({type(cause).__name__}: {cause});"
            " download it again."
        )
        raise InputError(msg) from cause


def _require_numbers(file: Path, name: str, array: np.ndarray, *, n_rows: int, ndim: int) -> None:
    """Make sure that an array is a table of finite numbers with one row per cell."""
    problem = ""
    if array.dtype.kind not in "biuf":
        problem = f"dtype {array.dtype}"
    elif array.ndim != ndim or 0 in array.shape or len(array) != n_rows:
        problem = f"shape {array.shape}"
    elif not np.isfinite(array).all():
        problem = f"{int((~np.isfinite(array)).sum())} values that are not finite"
    if problem:
        expected = f"({n_rows},)" if ndim == 1 else f"({n_rows}, d)"
        msg = (
            f"{file}: {name!r} has {problem}; expected finite numbers of shape {expected}, one row"
            " per label in 'sample_labels'. Download it again."
        )
        raise InputError(msg)


def _read_h5ad(file: Path) -> AnnData:
    import anndata as ad

    # The published files are years old, and nobody who loads them can change that.
    with ignored(ad.OldFormatWarning):
        return read_h5ad(file)


def _timed(adata: AnnData, file: Path, column: str, *, index: bool = False) -> AnnData:
    """Put the numeric times of a column into `obs["time"]`, and their ranks into `obs["time_index"]` on request."""
    _require(column, adata.obs, file)
    _require("X_pca", adata.obsm, file)
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


def _require(key: str, container: Any, file: Path) -> None:
    if key not in container:
        msg = (
            f"{file} has no {key!r}; found {sorted(map(str, container))}. Is it the file that the"
            " documentation names?"
        )
        raise MissingKeyError(msg)

"""A data set that is part of the package."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, MissingDataError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["myoblasts"]


@guarded
def myoblasts() -> AnnData:
    """Human skeletal muscle myoblasts, 0 to 72 hours after the switch to differentiation medium.

    271 cells x 7,961 genes in FPKM (not counts), three significant digits; genes above 0.1 FPKM in
    at least 100 cells. Ships with the package, under the Artistic License 2.0.

    Returns
    -------
    An AnnData of cells by genes. Its fields are

    - `X`: float32, shape (n_obs, n_vars). FPKM.
    - `obs["hours"]`: float64, shape (n_obs,). 0, 24, 48 or 72.
    - `obs["Media"]`: category, shape (n_obs,). GM or DM.
    - `obs["Library"]`: category, shape (n_obs,).
    - `obs["Mapped.Fragments"]`: int64, shape (n_obs,).
    - `obs["Pseudotime"]`: float64, shape (n_obs,). By the authors.
    - `obs["State"]`: category, shape (n_obs,). By the authors.
    - `var["ensembl"]`: object, shape (n_vars,).
    - `var["biotype"]`: category, shape (n_vars,).

    Raises
    ------
    MissingDataError
        The file is not where the package was installed.
    InputError
        The file is not the one that was shipped.

    References
    ----------
    Trapnell et al., The dynamics and regulators of cell fate decisions are revealed by
    pseudotemporal ordering of single cells, Nature Biotechnology 2014 (GSE52529).

    Examples
    --------
    >>> myoblasts().obs["hours"].value_counts(sort=False).to_dict()
    {0.0: 69, 24.0: 74, 48.0: 79, 72.0: 49}
    """
    import anndata as ad

    adata = ad.read_h5ad(_verify(_folder("myoblasts") / "myoblasts.h5ad"))
    # Half precision holds three digits, but shows more: 40.1 comes back as 40.09375.
    adata.X = three_digits(adata.X.astype(np.float64)).astype(np.float32)
    return adata


def three_digits(x: FloatArray) -> FloatArray:
    """Round non-negative numbers to three significant decimal digits."""
    step = 10.0 ** (np.floor(np.log10(np.where(x > 0, x, 1.0))) - 2)
    return np.round(x / step) * step


def _folder(name: str) -> Path:
    """Find a folder of `data/`: in an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    places = [package / "_data" / name, package.parent / "data" / name]
    for place in places:
        if place.is_dir():
            return place
    msg = (
        f"The data of cellflow are missing: no {places[0]} and no {places[1]}. Install"
        " cellflow-trajectory again."
    )
    raise MissingDataError(msg)


def _verify(file: Path) -> Path:
    """Compare a file with its checksum in the package."""
    lines = file.with_name("SHA256SUMS").read_text(encoding="utf-8").splitlines()
    expected = {name: digest for digest, name in (line.split() for line in lines)}[file.name]
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != expected:
        msg = (
            f"{file} is damaged: its SHA-256 is {found}, expected {expected}. Install"
            " cellflow-trajectory again."
        )
        raise InputError(msg)
    return file

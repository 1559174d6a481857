"""Data sets that are part of the package."""

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

__all__ = ["myoblasts", "simulated_progenitors"]


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


@guarded
def simulated_progenitors() -> AnnData:
    """**Simulated** progenitors that become the cell types A, B and C over four days.

    1,500 cells x 400 genes, raw counts; 300 cells on each of the days 0 to 4. Ships with the
    package. The law is `cellflow.synthetic.Circuit`: a gene R1 and a gene R2 repress each other,
    and so do R3 and R4 where R1 is on. Cells with R2 become A, the others B (R3) or C (R4), by way
    of BC. R2 switches on D1, which makes cells divide, so that the share of A rises although no
    cell changes its type. T1 and T2 follow R3 and R1 without any effect; C1 and C2 follow time
    alone. Other genes follow one of these nine or none. Counts are negative binomial. Cells were
    followed and divided one by one from 300 founders, and a random part was taken on each day.

    Returns
    -------
    An AnnData of cells by genes. Its fields are

    - `X`: float32, shape (n_obs, n_vars). Counts, sparse.
    - `obs["day"]`: float64, shape (n_obs,). 0, 1, 2, 3 or 4.
    - `obs["cell_type"]`: category, shape (n_obs,). By the regulators that are on: progenitor, A,
      BC, B, C.
    - `obs["clone"]`: category, shape (n_obs,). The founder's barcode; missing in a fifth of the
      cells.
    - `obs["culture_size"]`: float64, shape (n_obs,). Cells in the culture on that day, relative to
      day 0.
    - `obs["fate_true"]`: category, shape (n_obs,). What the cell becomes by day 4, in one
      simulation from its state.
    - `obs["growth_true"]`: float64, shape (n_obs,). Rate of division per day.
    - `obsm["fates_true"]`: float32, shape (n_obs, 3). Shares of A, B and C among the descendants on
      day 4, by 100 simulations.
    - `obsm["state_true"]`: float32, shape (n_obs, 9). State of the nine genes, about 0 to 1.
    - `var["role"]`: category, shape (n_vars,). What the gene does.
    - `var["follows"]`: category, shape (n_vars,). The gene whose state it follows.
    - `uns["simulation"]`: dict. `system`, `words` and `seed`.

    Raises
    ------
    MissingDataError
        The file is not where the package was installed.
    InputError
        The file is not the one that was shipped.

    Examples
    --------
    >>> adata = simulated_progenitors()
    >>> adata.obs["cell_type"][adata.obs["day"] == 4].value_counts().to_dict()
    {'A': 231, 'C': 36, 'B': 32, 'BC': 1, 'progenitor': 0}
    """
    import anndata as ad

    return ad.read_h5ad(_verify(_folder("progenitors") / "progenitors.h5ad"))


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

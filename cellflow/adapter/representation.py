"""Principal components that have not seen some of the cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow._typing import FloatArray, IntArray
from cellflow._warn import warn
from cellflow.adapter.keys import basis_of, spelled
from cellflow.adapter.positions import expression
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["LEAKY", "Refit", "refit_of"]

#: What a table says of coordinates that have seen the cells they are judged on.
LEAKY = "as given: has seen the held-out cells"
#: Variable genes that are chosen where nothing tells how many were.
_N_GENES = 2000
#: Of the normalisation of counts.
_TARGET = 1e4
#: Values above this are no logarithms of anything that was sequenced.
_LARGEST_LOG = 30.0
#: Means of genes below this share of their standard deviations are no accident: somebody has subtracted them.
_CENTRED = 1e-3


@dataclass(frozen=True, eq=False)
class Refit:
    """A principal component analysis that can be made again from some of the cells.

    Parameters
    ----------
    values
        Expression, cells x genes, dense or sparse.
    linear
        Whether it is on a linear scale, as counts are: it is normalised and logged first.
    n_genes
        How many variable genes enter; all of them, if there are no more.
    n_dims
        Number of components.
    centred
        Whether the mean of all cells, held-out ones included, was subtracted before.
    """

    values: Any
    linear: bool
    n_genes: int
    n_dims: int
    centred: bool = False

    @property
    def label(self) -> str:
        """What it is, in words."""
        made = "normalised, logged expression" if self.linear else "the expression"
        seen = ", which was centred with them" if self.centred else ""
        return f"PCA of {made}, made without the held-out cells{seen}"

    def coordinates(self, seen: IntArray, *, random_state: int = 0) -> FloatArray:
        """Find genes, centre and axes from the cells `seen`, and project all cells; shape `(n, n_dims)`, float32.

        Raises
        ------
        InputError
            Fewer cells or genes than dimensions, or values whose variable genes cannot be told.
        """
        import anndata as ad
        import scanpy as sc

        everything = ad.AnnData(self.values)
        if self.linear:
            everything = everything.copy()  # scanpy changes it, and it is the caller's
            # To a fixed total, so that no cell's scale depends on the others.
            sc.pp.normalize_total(everything, target_sum=_TARGET)
            sc.pp.log1p(everything)
        train = everything[seen].copy()
        if self.n_genes < train.n_vars:
            try:
                with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below
                    sc.pp.highly_variable_genes(train, n_top_genes=self.n_genes)
            except ValueError as cause:
                msg = (
                    f"The {self.n_genes} most variable of {train.n_vars} genes cannot be told without the held-out cells "
                    f"({cause}). Pass layer= with counts or log expression, or leak_free=False."
                )
                raise InputError(msg) from cause
            genes = train.var["highly_variable"].to_numpy()
            train, everything = train[:, genes].copy(), everything[:, genes]
        if not self.n_dims < min(train.shape):
            msg = (
                f"{train.n_obs} cells and {train.n_vars} genes are too few for {self.n_dims} principal components without the "
                "held-out cells. Pass n_dims= below both, or leak_free=False."
            )
            raise InputError(msg)
        sc.pp.pca(train, n_comps=self.n_dims, random_state=random_state)
        axes = np.asarray(train.varm["PCs"], dtype=np.float64)
        centre = np.asarray(train.X.mean(axis=0), dtype=np.float64).ravel()
        return np.asarray(everything.X @ axes - centre @ axes, dtype=np.float32)


def refit_of(adata: AnnData, *, use_rep: str, n_dims: int, layer: str | None = None) -> tuple[Refit | None, str]:
    """Find out how a representation can be made again without some cells; returns that, or None and the reason.

    Values on a linear scale (whole numbers, or larger ones than a logarithm has) are normalised to 10,000 a cell and logged;
    others are taken as log expression. As many variable genes are chosen anew as carry the stored loadings (`varm["PCs"]`),
    2,000 where there are none.

    Raises
    ------
    MissingKeyError
        There is no such layer.
    InputError
        Expression that is not finite.

    Warns
    -----
    InputWarning
        Expression that is neither counts nor, by its size, a logarithm; expression that was centred on all cells.
    """
    key = spelled(adata, use_rep) or use_rep
    if basis_of(key).casefold() != "pca":
        return None, f"{use_rep!r} is not a PCA, and only a PCA can be made again"
    rows = expression(adata, layer)
    where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    if rows is None:
        return None, f"{where} holds no expression to make the PCA from"
    values = rows[slice(0, adata.n_obs)]
    stored = values.data if hasattr(values, "nnz") else np.asarray(values)
    largest, smallest = (float(stored.max()), float(stored.min())) if stored.size else (0.0, 0.0)
    if not (np.isfinite(largest) and np.isfinite(smallest)):
        msg = f"{where} is not finite everywhere, and no PCA can be made of it; remove such values, or pass leak_free=False."
        raise InputError(msg)
    centred = smallest < 0 and _centred(values)
    if centred:
        msg = (
            f"The genes of {where} have mean zero over all cells: they were scaled or centred with the held-out cells among "
            "them, which the PCA without these cells cannot undo. Pass layer= with counts or log expression."
        )
        warn(msg, InputWarning)
    whole = smallest >= 0 and largest >= 2 and bool((stored == np.round(stored)).all())
    large = not whole and not centred and largest > _LARGEST_LOG
    if large:
        done = "it is normalised to 10,000 a cell and logged for that" if smallest >= 0 else "it is made from it as it is"
        msg = (
            f"{where} goes up to {largest:.4g}: neither whole counts nor a logarithm. The PCA without held-out cells needs "
            f"log expression; {done}. Pass layer= with counts or log expression to decide it."
        )
        warn(msg, InputWarning)
    return Refit(values, whole or (large and smallest >= 0), _genes(adata), n_dims, centred), ""


def _genes(adata: AnnData) -> int:
    """How many variable genes to choose."""
    loadings = adata.varm.get("PCs")
    return _N_GENES if loadings is None else max(1, int(np.count_nonzero(np.any(np.asarray(loadings) != 0, axis=1))))


def _centred(values: Any) -> bool:
    """Whether the genes have mean zero over all cells."""
    mean = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
    square = values.multiply(values) if hasattr(values, "nnz") else np.square(values, dtype=np.float64)
    width = np.sqrt(np.asarray(square.mean(axis=0), dtype=np.float64).ravel())
    return bool(np.median(np.abs(mean) - _CENTRED * width) <= 0.0)

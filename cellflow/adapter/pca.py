"""Principal components: what is stored of them, how they are computed and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.bases import basis_of
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "NEAR",
    "StoredPCA",
    "Target",
    "ValueScale",
    "components",
    "difference_of",
    "is_centred",
    "loadings_of",
    "log_normalised",
    "plausible",
]

#: Two sets of coordinates with at most this root mean square difference, as a share of their
#: spread, are components of nearly the same cells, if one is a projection onto stored loadings.
NEAR = 0.3
#: Total of every cell after normalisation.
Target = float | Literal["median"] | None
#: Genes with means below this share of their standard deviations were centred.
_CENTRED = 1e-3
#: Values above this are no logarithms of anything that was sequenced.
_LARGEST_LOG = 30.0
#: Keys of `varm` and `uns` under which scanpy keeps what belongs to its own `X_pca`.
_SCANPY = ("PCs", "pca")


@dataclass(frozen=True, eq=False)
class StoredPCA:
    """Loadings `(genes, dims)` that are stored beside a PCA, or None, and scanpy's parameters."""

    loadings: FloatArray | None
    params: Mapping[str, Any]

    @classmethod
    def of(cls, adata: AnnData, key: str, n_dims: int) -> StoredPCA:
        """Read them from `varm` and `uns`."""
        own = _SCANPY if basis_of(key).casefold() == "pca" else ()
        loadings = (
            loadings_of(adata.varm[name], n_dims) for name in (key, *own) if name in adata.varm
        )
        records = (adata.uns[name] for name in (key, *own) if name in adata.uns)
        params = (
            r["params"]
            for r in records
            if isinstance(r, Mapping) and isinstance(r.get("params"), Mapping)
        )
        return cls(next((w for w in loadings if w is not None), None), next(params, {}))

    def masks(self, adata: AnnData) -> Iterator[np.ndarray]:
        """Genes that the PCA may be of, the most likely first."""
        if self.loadings is not None:
            yield (self.loadings != 0).any(axis=1)
            return
        if "highly_variable" in adata.var and adata.var["highly_variable"].dtype == bool:
            yield adata.var["highly_variable"].to_numpy()
        yield np.ones(adata.n_vars, dtype=bool)


def loadings_of(value: Any, n_dims: int) -> FloatArray | None:
    """The leading loadings, `(genes, n_dims)`; None for what cannot be so many loadings."""
    dense = np.asarray(value.toarray() if hasattr(value, "toarray") else value)
    if (
        dense.ndim != 2
        or dense.shape[1] < n_dims
        or dense.dtype.kind not in "fiu"
        or not np.isfinite(dense).all()
    ):
        return None
    return dense[:, :n_dims].astype(np.float64)


@dataclass(frozen=True)
class ValueScale:
    """What the values say about their scale: counts, another linear scale, or centred genes."""

    whole: bool
    large: bool
    centred: bool
    smallest: float
    largest: float

    @classmethod
    def of(cls, values: Any, where: str) -> ValueScale:
        """Look at the smallest and the largest value, and at the means of the genes."""
        stored = values.data if hasattr(values, "nnz") else np.asarray(values)
        largest, smallest = (
            (float(stored.max()), float(stored.min())) if stored.size else (0.0, 0.0)
        )
        if not (np.isfinite(largest) and np.isfinite(smallest)):
            msg = (
                f"{where} is not finite everywhere, and no PCA can be made of it; remove such"
                " values, or pass leak_free=False."
            )
            raise InputError(msg)
        if smallest == largest:
            msg = (
                f"{where} is {largest:g} everywhere, so that no PCA can be made of it. Expected"
                " expression that varies: pass layer= with counts or log expression, or"
                " leak_free=False."
            )
            raise InputError(msg)
        centred = smallest < 0 and is_centred(values)
        whole = smallest >= 0 and largest >= 2 and bool((stored == np.round(stored)).all())
        large = not whole and not centred and largest > _LARGEST_LOG
        return cls(whole, large, centred, smallest, largest)

    @property
    def linear(self) -> bool:
        """Whether the values are counts or on another linear scale."""
        return self.whole or (self.large and self.smallest >= 0)


def plausible(stored: FloatArray, values: Any, *, zero_center: bool) -> bool:
    """Whether values vary along the stored coordinates as much as these do.

    Along principal components they must. One product with the values decides, which saves the PCA
    of values that the coordinates were not made of.
    """
    x = stored - stored.mean(axis=0) if zero_center else stored
    directions, widths, _ = np.linalg.svd(x, full_matrices=False)
    centre = _centre(values, zero_center=zero_center)
    along = np.asarray(values.T @ directions) - np.outer(centre, directions.sum(axis=0))
    found = np.linalg.svd(along, compute_uv=False)
    return bool(np.linalg.norm(found - widths) <= NEAR * np.linalg.norm(widths))


def _centre(values: Any, *, zero_center: bool) -> FloatArray:
    """Mean of each gene, `(genes,)`, or zeros."""
    if not zero_center:
        return np.zeros(values.shape[1])
    return np.asarray(values.mean(axis=0), dtype=np.float64).ravel()


def components(
    values: Any, n_dims: int, *, zero_center: bool, random_state: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Axes `(genes, n_dims)` and centre `(genes,)` of the leading principal components."""
    import anndata as ad
    import scanpy as sc

    centre = _centre(values, zero_center=zero_center)
    if n_dims < min(values.shape):
        single = values.dtype not in (np.float32, np.float64)
        cells = ad.AnnData(values.astype(np.float32) if single else values.copy())
        sc.pp.pca(
            cells, n_comps=n_dims, zero_center=zero_center, mask_var=None, random_state=random_state
        )
        return np.asarray(cells.varm["PCs"], dtype=np.float64), centre
    # As many components as there are cells or genes, which are few then.
    dense = np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)
    return np.linalg.svd(dense - centre, full_matrices=False)[2][:n_dims].T, centre


def difference_of(x: FloatArray, y: FloatArray) -> float:
    """Root mean square difference after the best rotation, as a share of the spread of `x`."""
    x, y = (a.astype(np.float64) - a.mean(axis=0, dtype=np.float64) for a in (x, y))
    spread = float(np.square(x).sum())
    if spread == 0.0:
        return float(np.square(y).sum() > 0.0)
    shared = float(np.linalg.svd(x.T @ y, compute_uv=False).sum())
    return float(np.sqrt(max(spread + float(np.square(y).sum()) - 2.0 * shared, 0.0) / spread))


def log_normalised(values: Any, target: Target, seen: IntArray) -> Any:
    """Logarithm of one plus the values, after every cell is scaled to a total; see `Refit`."""
    if target is not None:
        totals = np.asarray(values.sum(axis=1), dtype=np.float64).ravel()
        known = totals[seen][totals[seen] > 0]
        total = (float(np.median(known)) if len(known) else 1.0) if target == "median" else target
        factor = np.divide(total, totals, out=np.zeros_like(totals), where=totals > 0).astype(
            np.float32
        )[:, None]
        values = (
            values.multiply(factor).tocsr()
            if hasattr(values, "nnz")
            else np.asarray(values) * factor
        )
    return values.log1p() if hasattr(values, "nnz") else np.log1p(values)


def is_centred(values: Any) -> bool:
    """Whether the genes have mean zero over all cells."""
    mean = _centre(values, zero_center=True)
    square = (
        values.multiply(values) if hasattr(values, "nnz") else np.square(values, dtype=np.float64)
    )
    width = np.sqrt(np.asarray(square.mean(axis=0), dtype=np.float64).ravel())
    return bool(np.median(np.abs(mean) - _CENTRED * width) <= 0.0)

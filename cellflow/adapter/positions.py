"""Positions of cells, from any container."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.bases import basis_of, spelled
from cellflow.adapter.expression import is_sparse
from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.adapter.outliers import not_finite, oddities
from cellflow.core._numbers import is_integer, shown
from cellflow.core._typing import FloatArray
from cellflow.errors import MissingKeyError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["MAX_GENES", "examine_positions", "read_positions"]

#: With more genes than this, `use_rep="X"` is refused, and PCA recommended.
MAX_GENES = 500
#: What is stored sparse is made dense up to this many bytes.
_DENSE_LIMIT = 2 * 1024**3
#: Rows of a dask array that are computed together.
_CHUNK = 65536
#: Embeddings for drawing, whose distances and densities have no meaning.
_PICTURES = re.compile(
    r"umap|t-?sne|draw_graph|force_?(directed|atlas)|(^|_)(fa2?|fr|kk|drl|spring)($|_)"
    r"|spring|phate|pacmap|trimap"
    r"|mde(?![a-z])",
    re.IGNORECASE,
)


def read_positions(adata: AnnData, *, use_rep: str, n_dims: int | None = None) -> FloatArray:
    """Read the positions of all cells only, shape `(n, d)`, float32; see `read`."""
    examination = examine_positions(adata, use_rep=use_rep, n_dims=n_dims, force_rep=True)
    return settle(examination, again=True, instead=f"Compute {use_rep!r} again, or restore it.")[1]


def examine_positions(
    adata: AnnData, *, use_rep: str, n_dims: int | None = None, force_rep: bool = False
) -> Examination[tuple[str, FloatArray] | None]:
    """Check and read a representation; returns its key and the positions `(n, d)` as float32."""
    found = yield from _stored(adata, use_rep, force_rep=force_rep)
    if found is None:
        return None
    use_rep, where, value = found
    width = yield from _width(adata, value, where, n_dims)
    if width is None:
        return None
    raw = _dense(value, width)
    if raw.dtype.kind not in "fiub" and raw.dtype.name != "bfloat16":
        remedy = "Convert it, for example with .astype('float32')."
        yield Finding(where, f"has dtype {raw.dtype}", "real numbers", remedy)
        return None
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(raw, dtype=np.float32)
    if raw.dtype != np.float32:
        yield Finding(where, f"has dtype {raw.dtype}", "float32", "It is converted.", "note")
    bad = list(not_finite(x, raw, where, adata, getattr(value, "columns", None)))
    if bad:
        yield from bad
        return None
    yield from oddities(x, raw, where)
    return use_rep, x


def _width(adata: AnnData, value: Any, where: str, n_dims: int | None) -> Examination[int | None]:
    """Check the shape of a representation; returns the number of dimensions to use."""
    shape = tuple(value.shape)
    if len(shape) != 2 or shape[0] != adata.n_obs or 0 in shape:
        expected = (
            f"shape ({adata.n_obs}, d), one row per cell" if adata.n_obs else "at least one cell"
        )
        yield Finding(where, f"has shape {shape}", expected, "Compute the representation again.")
        return None
    if n_dims is not None and not (is_integer(n_dims) and 1 <= n_dims <= shape[1]):
        remedy = f"Pass n_dims={shape[1]} or less, or None for all."
        expected = f"an integer from 1 to {shape[1]}, the dimensions of {where}"
        yield Finding("n_dims", f"is {shown(n_dims)}", expected, remedy, argument="n_dims")
        return None
    width = shape[1] if n_dims is None else int(n_dims)
    if is_sparse(value) and shape[0] * width * 4 > _DENSE_LIMIT:
        size = f"is sparse and would take {shape[0] * width * 4 / 1024**3:.0f} GB as a dense matrix"
        remedy = "Pass n_dims=, or reduce it by PCA."
        yield Finding(
            where, size, f"at most {_DENSE_LIMIT / 1024**3:.0f} GB", remedy, argument="n_dims"
        )
        return None
    return width


def _stored(
    adata: AnnData, use_rep: object, *, force_rep: bool
) -> Examination[tuple[str, str, Any] | None]:
    """Find the representation: its key, what messages call it, and the value as it is stored."""
    known = sorted(map(str, adata.obsm))
    key = spelled(adata, use_rep)
    if key is None and isinstance(use_rep, str) and use_rep == "X":
        usable = yield from _genes_as_positions(adata, known)
        return ("X", "adata.X", adata.X) if usable else None
    if key is None:
        hint = closest(use_rep, [*known, *map(basis_of, known)])
        expected = f"one of {known}"
        remedy = f"Pass use_rep= one of them{hint}."
        if not known:
            expected = "a representation of the cells"
            remedy = "Run sc.pp.pca(adata) first."
        at = f"adata.obsm[{shown(use_rep)}]"
        yield Finding(at, "is missing", expected, remedy, kind=MissingKeyError, argument="use_rep")
        return None
    where = f"adata.obsm[{key!r}]"
    if not force_rep and _PICTURES.search(key):
        remedy = (
            "Pass use_rep='X_pca' and draw in the picture afterwards, or force_rep=True if you are"
            " sure."
        )
        expected = "a representation whose distances mean something, such as 'X_pca'"
        yield Finding(where, "is an embedding for drawing", expected, remedy, argument="force_rep")
        return None
    value: Any = adata.obsm[key]
    if not hasattr(value, "shape") or not (hasattr(value, "dtype") or hasattr(value, "dtypes")):
        found = f"is a {type(value).__name__}"
        yield Finding(where, found, "a matrix", "Convert it with numpy.asarray.")
        return None
    return key, where, value


def _genes_as_positions(adata: AnnData, known: list[str]) -> Examination[bool]:
    """Check whether `X` can be the representation."""
    if adata.X is None:
        remedy = f"Pass use_rep= one of {known}."
        yield Finding("adata.X", "is None", "expression", remedy, argument="use_rep")
        return False
    if adata.n_vars > MAX_GENES:
        remedy = "Run sc.pp.pca(adata) and pass use_rep='X_pca'."
        found = f"has {adata.n_vars:,} genes"
        expected = f"at most {MAX_GENES} genes as positions"
        yield Finding("adata.X", found, expected, remedy, argument="use_rep")
        return False
    yield from _counts(adata.X)
    return True


def _counts(x: Any) -> Iterator[Finding]:
    sample = _dense(x[: min(x.shape[0], 1000)], x.shape[1])
    if sample.dtype.kind not in "fiu" or not sample.size:
        return
    top = sample.max()
    if top >= 10 and sample.min() >= 0 and (sample == np.round(sample)).all():
        remedy = (
            "Normalise and take the logarithm first: sc.pp.normalize_total(adata);"
            " sc.pp.log1p(adata)."
        )
        found = f"looks like counts (integers, max {top:.0f})"
        yield Finding("adata.X", found, "log-normalised expression", remedy, "warning")


def _dense(value: Any, width: int) -> np.ndarray:
    """The first `width` columns as a dense array, from any container."""
    import pandas as pd
    import scipy.sparse as sp

    if isinstance(value, pd.DataFrame):
        value = value.iloc[:, :width]
        if all(
            pd.api.types.is_numeric_dtype(d) and not pd.api.types.is_complex_dtype(d)
            for d in value.dtypes
        ):
            return np.asarray(value.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.asarray(value.to_numpy(dtype=object))
    if hasattr(value, "dask"):
        blocks = (value[i : i + _CHUNK, :width].compute() for i in range(0, value.shape[0], _CHUNK))
        return np.concatenate(
            [block.toarray() if sp.issparse(block) else np.asarray(block) for block in blocks]
        )
    if hasattr(value, "to_memory"):
        value = value.to_memory()
    if sp.issparse(value):
        return np.asarray(value.tocsr()[:, :width].toarray())
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)
    return np.asarray(value[:, :width])

"""Positions of cells and their expression, out of whatever container holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.expression import is_sparse
from cellflow.adapter.keys import basis_of, spelled
from cellflow.adapter.problem import Examination, Problem, settle
from cellflow.core._numbers import is_integer, shown
from cellflow.core._typing import FloatArray
from cellflow.errors import MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["MAX_GENES", "examine_distances", "examine_positions", "read_positions"]

#: With more genes than this, `use_rep="X"` is asked to go through PCA.
MAX_GENES = 500
#: What is stored sparse is made dense up to this many bytes.
_DENSE_LIMIT = 2 * 1024**3
#: Rows of a dask array that are computed together.
_CHUNK = 65536
#: Distance of a cell from which it is pointed out, and from which it is refused; see
#: `examine_distances`.
_FAR = 30.0
_HOPELESS = 1e6
#: Rounding by float32 that is pointed out, and that leaves nothing, in standard deviations of the
#: column.
_COARSE = 1e-2
_LOST = 1.0
#: Pictures: made for the eye, with distances and densities that mean nothing to a dynamics.
_PICTURES = re.compile(
    r"umap|t-?sne|draw_graph|force_?(directed|atlas)|(^|_)(fa2?|fr|kk|drl|spring)($|_)|spring|phate|pacmap|trimap"
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
    shape = tuple(value.shape)
    if len(shape) != 2 or shape[0] != adata.n_obs or 0 in shape:
        expected = (
            f"shape ({adata.n_obs}, d), one row per cell" if adata.n_obs else "at least one cell"
        )
        yield Problem(where, f"has shape {shape}", expected, "Compute the representation again.")
        return None
    if n_dims is not None and not (is_integer(n_dims) and 1 <= n_dims <= shape[1]):
        remedy = f"Pass n_dims={shape[1]} or less, or None for all."
        expected = f"an integer from 1 to {shape[1]}, the dimensions of {where}"
        yield Problem("n_dims", f"is {shown(n_dims)}", expected, remedy, argument="n_dims")
        return None
    width = shape[1] if n_dims is None else int(n_dims)
    if is_sparse(value) and shape[0] * width * 4 > _DENSE_LIMIT:
        size = f"is sparse and would take {shape[0] * width * 4 / 1024**3:.0f} GB as a dense matrix"
        remedy = "Pass n_dims=, or reduce it by PCA."
        yield Problem(
            where, size, f"at most {_DENSE_LIMIT / 1024**3:.0f} GB", remedy, argument="n_dims"
        )
        return None
    raw = _dense(value, width)
    if raw.dtype.kind not in "fiub" and raw.dtype.name != "bfloat16":
        yield Problem(
            where,
            f"has dtype {raw.dtype}",
            "real numbers",
            "Convert it, for example with .astype('float32').",
        )
        return None
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(raw, dtype=np.float32)
    if raw.dtype != np.float32:
        yield Problem(where, f"has dtype {raw.dtype}", "float32", "It is converted.", "note")
    bad = list(_not_finite(x, raw, where, adata, getattr(value, "columns", None)))
    if bad:
        yield from bad
        return None
    yield from _oddities(x, raw, where)
    return use_rep, x


def examine_distances(
    x: FloatArray, time: FloatArray, where: str, names: pd.Index
) -> Iterator[Problem]:
    """Look for single cells that are extremely far from the others of their time.

    A distance is from the median of the snapshot, in units of the 90th percentile there; of tight
    snapshots, of that of a typical one. On measured sets the largest is below 15.

    Parameters
    ----------
    x
        Positions, shape `(n, d)`.
    time
        Shape `(n,)`; cells without a time are passed over.
    where
        What messages call the positions.
    names
        Of the cells.
    """
    groups = [np.flatnonzero(time == t) for t in np.unique(time[~np.isnan(time)])]
    away = np.zeros(len(x))
    widths = np.zeros(len(groups))
    for k, rows in enumerate(groups):
        positions = x[rows].astype(np.float64)
        away[rows] = np.linalg.norm(positions - np.median(positions, axis=0), axis=1)
        widths[k] = np.percentile(away[rows], 90, method="lower")
    typical = float(np.median(widths[widths > 0])) if (widths > 0).any() else 0.0
    if typical == 0.0:
        return
    for rows, width in zip(groups, widths, strict=True):
        away[rows] /= max(width, typical)
    far = np.flatnonzero(away > _FAR)
    if len(far) == 0:
        return
    worst = far[np.argmax(away[far])]
    found = (
        f"has {len(far)} cells that are extremely far from the others of their time (first:"
        f" {names[far[0]]!r}; worst: {names[worst]!r}, {away[worst]:.3g} times as far as nine"
        " tenths of them)"
    )
    expected = f"cells within {_FAR:g} times that distance"
    remedy = (
        "Remove such cells, if they are debris or doublets: they stretch the coordinates that the"
        " others are learned in."
    )
    if away[worst] > _HOPELESS:
        remedy = "Remove these cells: beside them, all others are one point in single precision."
    yield Problem(where, found, expected, remedy, "error" if away[worst] > _HOPELESS else "warning")


def _stored(
    adata: AnnData, use_rep: object, *, force_rep: bool
) -> Examination[tuple[str, str, Any] | None]:
    """Find the representation: its key, what messages call it, and the value as it is stored."""
    known = sorted(map(str, adata.obsm))
    key = spelled(adata, use_rep)
    if key is None and isinstance(use_rep, str) and use_rep == "X":
        if adata.X is None:
            yield Problem(
                "adata.X",
                "is None",
                "expression",
                f"Pass use_rep= one of {known}.",
                argument="use_rep",
            )
        elif adata.n_vars > MAX_GENES:
            remedy = "Run sc.pp.pca(adata) and pass use_rep='X_pca'."
            expected = f"at most {MAX_GENES} genes as positions"
            yield Problem(
                "adata.X", f"has {adata.n_vars:,} genes", expected, remedy, argument="use_rep"
            )
        else:
            yield from _counts(adata.X)
            return "X", "adata.X", adata.X
        return None
    if key is None:
        hint = closest(use_rep, [*known, *map(basis_of, known)])
        expected = f"one of {known}"
        remedy = f"Pass use_rep= one of them{hint}."
        if not known:
            expected = "a representation of the cells"
            remedy = "Run sc.pp.pca(adata) first."
        at = f"adata.obsm[{shown(use_rep)}]"
        yield Problem(at, "is missing", expected, remedy, kind=MissingKeyError, argument="use_rep")
        return None
    where = f"adata.obsm[{key!r}]"
    if not force_rep and _PICTURES.search(key):
        remedy = (
            "Pass use_rep='X_pca' and draw in the picture afterwards, or force_rep=True if you are"
            " sure."
        )
        expected = "a representation whose distances mean something, such as 'X_pca'"
        yield Problem(where, "is an embedding for drawing", expected, remedy, argument="force_rep")
        return None
    value: Any = adata.obsm[key]
    if not hasattr(value, "shape") or not (hasattr(value, "dtype") or hasattr(value, "dtypes")):
        yield Problem(
            where, f"is a {type(value).__name__}", "a matrix", "Convert it with numpy.asarray."
        )
        return None
    return key, where, value


def _counts(x: Any) -> Iterator[Problem]:
    sample = _dense(x[: min(x.shape[0], 1000)], x.shape[1])
    if sample.dtype.kind not in "fiu" or not sample.size:
        return
    top = sample.max()
    if top >= 10 and sample.min() >= 0 and (sample == np.round(sample)).all():
        remedy = (
            "Normalise and take the logarithm first: sc.pp.normalize_total(adata);"
            " sc.pp.log1p(adata)."
        )
        yield Problem(
            "adata.X",
            f"looks like counts (integers, max {top:.0f})",
            "log-normalised expression",
            remedy,
            "warning",
        )


def _dense(value: Any, width: int) -> np.ndarray:
    """The first `width` columns as a dense array, whatever holds them."""
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


def _not_finite(
    x: FloatArray, raw: np.ndarray, where: str, adata: AnnData, columns: pd.Index | None
) -> Iterator[Problem]:
    """One problem for each kind of value that is no usable number."""
    if np.isfinite(x).all():
        return
    nan = np.isnan(x)
    infinite = (
        np.isinf(raw.astype(np.float64))
        if raw.dtype.kind in "fV"
        else np.zeros(x.shape, dtype=bool)
    )
    kinds = (
        ("NaN", nan, f"np.isnan({where})"),
        ("infinite values", infinite, f"np.isinf({where})"),
        (
            "values above the float32 maximum of 3.4e38",
            np.isinf(x) & ~infinite,
            f"(abs({where}) > 3.4e38)",
        ),
    )
    for name, bad, test in kinds:
        if bad.any():
            row, column = np.argwhere(bad)[0]
            label = int(column) if columns is None else columns[column]
            found = (
                f"has {bad.sum()} {name} (first: cell {adata.obs_names[row]!r}, column {label!r})"
            )
            yield Problem(where, found, "finite numbers", f"Remove: adata[~{test}.any(1)].copy()")


def _oddities(x: FloatArray, raw: np.ndarray, where: str) -> Iterator[Problem]:
    if len(x) < 2:
        return
    varies = np.ptp(raw.astype(np.float64), axis=0) > 0
    constant = np.flatnonzero(~varies)
    if len(constant):
        found = (
            f"has {len(constant)} of {x.shape[1]} dimensions that are constant (first: column"
            f" {constant[0]})"
        )
        severity = "warning" if varies.any() else "error"
        remedy = "Compute the representation again, or remove them; they carry no information."
        yield Problem(where, found, "dimensions that vary", remedy, severity)  # type: ignore[arg-type] # of a Literal
    lost = np.zeros(x.shape[1])
    for k in np.flatnonzero(varies):
        column = raw[:, k].astype(np.float64)
        lost[k] = np.abs(column - x[:, k]).max() / column.std()
    coarse = np.flatnonzero(lost > _COARSE)
    if len(coarse):
        worst = coarse[np.argmax(lost[coarse])]
        found = (
            f"loses precision in float32 in {len(coarse)} of {x.shape[1]} dimensions (worst: column"
            f" {worst}, rounded by up to {lost[worst]:.2g} of its standard deviation)"
        )
        remedy = f"Centre and scale it first: x = {where}; {where} = (x - x.mean(0)) / x.std()."
        severity = "error" if lost[worst] > _LOST else "warning"
        expected = "values near zero, of a size that single precision holds"
        yield Problem(where, found, expected, remedy, severity)  # type: ignore[arg-type] # of a Literal

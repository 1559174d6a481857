"""What kind of values a matrix of expression holds, and whether a representation is a PCA of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cellflow.adapter.expression import expression, expression_at
from cellflow.adapter.findings import Finding
from cellflow.adapter.pca import loadings_of
from cellflow.core._moments import Expression
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["examine_scale", "linear_scale", "stored_axes"]

#: Cells that are looked at, evenly spaced, and rows that are read together.
_SAMPLE = 512
#: Values above this are no logarithms: 2 to its power is more than the largest intensity of any
#: instrument.
_LARGEST_LOG = 40.0
#: How closely a projection must reproduce a representation, relative to its spread.
_RTOL = 1e-3
#: What messages call the expression in `raw`, which `layer=` cannot name.
_RAW = "adata.raw.X"


def examine_scale(
    adata: AnnData, rows: Expression, x: FloatArray, use_rep: str, layer: str | None
) -> Iterator[Finding]:
    """Report a PCA of values that are no logarithms, and expression that is none."""
    where = expression_at(layer)
    axes = stored_axes(adata, x.shape[1])
    scale = linear_scale(rows)
    if axes is not None and _reproduces(rows, axes, x):
        if scale:
            yield _pca_of(where, scale, use_rep)
        return
    sources = list(_sources(adata, layer))
    for name, values in [(where, rows), *sources]:
        found = linear_scale(values)
        if found and _is_pca(adata, values, axes, x):
            yield _pca_of(name, found, use_rep)
            return
    if axes is not None and not scale and _reproduces(_Unlogged(rows), axes, x):
        yield _pca_of(f"numpy.expm1({where})", "is on a linear scale", use_rep)
    if scale:
        expected = (
            "log-normalised expression: positions are decoded linearly, and predicted counts would"
            " fall below zero"
        )
        remedy = (
            "Store the expression that the representation was made of in adata.layers, and pass its"
            " name as layer=."
        )
        made_of = (
            name for name, values in sources if axes is not None and _reproduces(values, axes, x)
        )
        best = next((name for name in made_of if name != _RAW), None)
        if best is not None:
            choice = "None" if best == "adata.X" else best.removeprefix("adata.layers[")[:-1]
            remedy = f"Pass layer={choice}, which the representation was made of."
        yield Finding(where, scale, expected, remedy, "warning")


def stored_axes(adata: AnnData, n_dims: int) -> FloatArray | None:
    """The leading principal axes in `varm["PCs"]`, shape `(genes, n_dims)`, or None."""
    stored = adata.varm.get("PCs")
    return None if stored is None else loadings_of(stored, n_dims)


def _pca_of(name: str, scale: str, use_rep: str) -> Finding:
    return Finding(
        f"adata.obsm[{use_rep!r}]",
        f"is a PCA of {name}, which {scale}",
        "a PCA of log-normalised expression; without the logarithm, the few genes with the largest"
        " values decide it",
        "Run sc.pp.normalize_total, sc.pp.log1p and sc.pp.pca, and fit with that.",
        "warning",
    )


def _sources(adata: AnnData, layer: str | None) -> Iterator[tuple[str, Expression]]:
    """Other matrices with the genes of `adata` that a representation may have been made of."""
    names: list[str | None] = [None, *(name for name in adata.layers if isinstance(name, str))]
    for name in names:
        try:
            rows = None if name == layer else expression(adata, name)
        except InputError:  # no numbers
            continue
        if rows is not None:
            yield expression_at(name), rows
    if adata.raw is not None and adata.raw.X is not None and adata.var_names.is_unique:
        columns = (
            adata.raw.var_names.get_indexer(adata.var_names)
            if adata.raw.var_names.is_unique
            else np.array([-1])
        )
        if (columns >= 0).all():
            yield _RAW, cast("Expression", adata.raw.X[:, columns])


class _Unlogged:
    """Rows of another matrix before their logarithm."""

    def __init__(self, rows: Expression) -> None:
        self.rows = rows
        self.shape = rows.shape

    def __getitem__(self, rows: slice, /) -> Any:
        block = self.rows[rows]
        with np.errstate(over="ignore"):
            return block.expm1() if hasattr(block, "expm1") else np.expm1(block)


def linear_scale(rows: Expression) -> str:
    """Evidence that values are no logarithms, as the predicate of a sentence; or empty."""
    block = _sampled(rows)
    values = block.data if hasattr(block, "nnz") else np.asarray(block).ravel()
    if (
        values.dtype.kind not in "fiu"
        or not values.size
        or not np.isfinite(values).all()
        or values.min() < 0
    ):
        return ""
    top = float(values.max())
    if top >= 2 and (values == np.round(values)).all():
        return f"holds counts (whole numbers up to {top:.4g})"
    return f"is on a linear scale (values up to {top:.4g})" if top > _LARGEST_LOG else ""


def _is_pca(adata: AnnData, rows: Expression, axes: FloatArray | None, x: FloatArray) -> bool:
    """Whether a representation is a PCA of a matrix, by stored axes or by those of the cells."""
    if axes is not None and _reproduces(rows, axes, x):
        return True
    # Axes of a PCA follow from its scores: W = Y'x / diag(x'x). Of anything else, projecting on W
    # does not give x back.
    centred = np.asarray(x, dtype=np.float64) - x.mean(axis=0, dtype=np.float64)
    squares = (centred**2).sum(axis=0)
    if (squares == 0).any():
        return False
    products = np.zeros((rows.shape[1], x.shape[1]))
    for start in range(0, len(x), _SAMPLE):
        part = slice(start, min(start + _SAMPLE, len(x)))
        products += rows[part].T @ centred[part]
    variable = adata.var["highly_variable"].to_numpy() if "highly_variable" in adata.var else None
    masks = [np.ones(len(products))] + (
        [variable.astype(np.float64)] if variable is not None and variable.dtype == bool else []
    )
    return any(_reproduces(rows, products * mask[:, None] / squares, x) for mask in masks)


def _reproduces(rows: Expression, axes: FloatArray, x: FloatArray) -> bool:
    """Whether values projected on `axes` are `x` up to a shift, by evenly spaced cells."""
    there = np.asarray(x[_every(len(x))], dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        projected = np.asarray(_sampled(rows) @ axes)
        residual = (projected - projected.mean(axis=0)) - (there - there.mean(axis=0))
        return bool(np.linalg.norm(residual) <= _RTOL * np.linalg.norm(there - there.mean(axis=0)))


def _sampled(rows: Expression) -> Any:
    return rows[_every(rows.shape[0])]


def _every(n: int) -> slice:
    return slice(0, n, max(1, n // _SAMPLE))

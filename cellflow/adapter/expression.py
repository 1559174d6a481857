"""Expression in an AnnData, read by blocks of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.core._moments import Expression
from cellflow.core._numbers import shown
from cellflow.errors import MissingKeyError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["examine_expression", "expression", "expression_at"]


def is_sparse(value: Any) -> bool:
    import scipy.sparse as sp

    return bool(sp.issparse(value)) or hasattr(value, "to_memory")


#: Rows of expression that are looked at together; with 30,000 genes a dense block is 0.1 GB.
_BLOCK = 512


def expression(adata: AnnData, layer: str | None = None) -> Expression | None:
    """Expression by blocks of rows, from `adata.X` or a layer; None where there is none.

    Raises
    ------
    MissingKeyError
        There is no such layer.
    InputError
        The values are no real numbers. Whether they are finite, `examine_expression` checks.
    """
    return settle(_stored_expression(adata, layer), again=True)


def examine_expression(adata: AnnData, layer: str | None = None) -> Examination[None]:
    """Check what a decoder would be fitted to, reading all of it in blocks of rows."""
    rows = yield from _stored_expression(adata, layer)
    if rows is None:
        return
    bad = np.zeros(adata.n_vars, dtype=bool)
    first = None
    for start in range(0, adata.n_obs, _BLOCK):
        block = rows[slice(start, min(start + _BLOCK, adata.n_obs))]
        cells, genes = _where_not_finite(block)
        bad[genes] = True
        if first is None and len(cells):
            first = start + int(cells.min())
    if first is not None:
        genes = np.flatnonzero(bad)
        found = (
            f"is not finite in {len(genes)} genes (first: {adata.var_names[genes[0]]!r}; cell"
            f" {adata.obs_names[first]!r})"
        )
        remedy = "Remove these genes or cells, or fill the gaps."
        yield Finding(expression_at(layer), found, "finite numbers", remedy)


def _stored_expression(adata: AnnData, layer: str | None) -> Examination[Expression | None]:
    """Find the expression, and make sure that it is one."""
    if layer is not None and not (isinstance(layer, str) and layer in adata.layers):
        known = sorted(name for name in adata.layers if isinstance(name, str))
        remedy = f"Pass layer=None for adata.X{closest(layer, known)}."
        at = expression_at(layer)
        expected = f"one of {known}"
        yield Finding(at, "is missing", expected, remedy, kind=MissingKeyError, argument="layer")
        return None
    value: Any = adata.X if layer is None else adata.layers[layer]
    if value is None or adata.n_vars == 0:
        return None
    value = value.to_memory() if hasattr(value, "to_memory") else value
    if np.dtype(value.dtype).kind not in "fiub":
        found = f"has dtype {value.dtype}"
        remedy = "Convert it, for example with .astype('float32')."
        yield Finding(expression_at(layer), found, "real numbers", remedy)
        return None
    if hasattr(value, "dask"):
        return _Computed(value)
    if isinstance(value, np.ma.MaskedArray):
        # A masked value is a gap, as NaN is one; readers of the blocks refuse both.
        value = np.ma.filled(value.astype(np.float64), np.nan)
    return cast("Expression", value.tocsr() if is_sparse(value) else value)


def expression_at(layer: str | None) -> str:
    """What messages call the expression."""
    return "adata.X" if layer is None else f"adata.layers[{shown(layer)}]"


def _where_not_finite(block: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a block, dense or sparse, that hold NaN or infinity."""
    import scipy.sparse as sp

    if sp.issparse(block):
        block = block.tocoo()
        bad = ~np.isfinite(block.data)
        return block.row[bad], block.col[bad]
    rows, columns = np.nonzero(~np.isfinite(block))
    return rows, columns


@dataclass(frozen=True, eq=False)
class _Computed:
    """A dask array that gives blocks of rows as arrays."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    def __getitem__(self, rows: slice, /) -> Any:
        return self.array[rows].compute()

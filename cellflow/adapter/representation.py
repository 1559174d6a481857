"""A stored PCA made again without some of the cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.bases import spelled
from cellflow.adapter.expression import expression
from cellflow.adapter.pca import (
    NEAR,
    StoredPCA,
    Target,
    ValueScale,
    components,
    difference_of,
    log_normalised,
    plausible,
)
from cellflow.adapter.positions import read_positions
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["LEAKY", "Refit", "refit_of", "seen_by"]

#: Label of coordinates that were computed with the cells that they are judged on.
LEAKY = "as given: has seen the held-out cells"
#: Variable genes that are chosen where their number is not stored.
_N_GENES = 2000
#: Total of a cell after the usual normalisation of counts.
_TARGET = 1e4
#: Two sets of coordinates with at most this root mean square difference are the same ones. It is
#: taken after the best rotation, as a share of their spread. Solvers differ by less (a hundredth in
#: single precision), corrections for batches by more.
_SAME = 0.02
#: Differences of projections onto the same loadings: rounding in single precision.
_ROUNDING = 0.01
#: Usual totals of a cell before the logarithm.
_TARGETS: tuple[Target, ...] = (_TARGET, "median", 1e6, None)


@dataclass(frozen=True, eq=False)
class Refit:
    """A principal component analysis that can be made again from some of the cells.

    Parameters
    ----------
    values
        Expression, cells x genes, dense or sparse.
    linear
        Whether it is normalised and logged first.
    n_genes
        How many variable genes enter; all of them, if there are no more.
    n_dims
        Number of components.
    centred
        Whether the mean of all cells, held-out ones included, was subtracted before.
    target
        Total of every cell after normalisation: a number, `"median"` for that of the cells that are
        seen, or None to log the values without it.
    zero_center
        Whether the means of the genes are subtracted, as a principal component analysis does.
    what
        The expression in words.
    note
        What else has to be said of the coordinates.
    """

    values: Any
    linear: bool
    n_genes: int
    n_dims: int
    centred: bool = False
    target: Target = _TARGET
    zero_center: bool = True
    what: str = "expression"
    note: str = ""

    @property
    def label(self) -> str:
        """What it is, in words."""
        done = "logged" if self.target is None else "normalised, logged"
        made = f"{done} {self.what}" if self.linear else f"the {self.what}"
        seen = ", which was centred with them" if self.centred else ""
        return f"PCA of {made}, made without the held-out cells{seen}{self.note}"

    def coordinates(self, seen: IntArray, *, random_state: int = 0) -> FloatArray:
        """Find genes, centre and axes from the cells `seen`, and project all cells: `(n, n_dims)`.

        Raises
        ------
        InputError
            Fewer cells or genes than dimensions, or values whose variable genes cannot be found.
        """
        values = log_normalised(self.values, self.target, seen) if self.linear else self.values
        if self.n_genes < values.shape[1]:
            values = values[:, self._variable(values[seen])]
        train = values[seen]
        if not self.n_dims < min(train.shape):
            msg = (
                f"{train.shape[0]} cells and {train.shape[1]} genes are too few for {self.n_dims}"
                " principal components without the held-out cells. Pass n_dims= below both, or"
                " leak_free=False."
            )
            raise InputError(msg)
        axes, centre = components(
            train, self.n_dims, zero_center=self.zero_center, random_state=random_state
        )
        return np.asarray(values @ axes - centre @ axes, dtype=np.float32)

    def _variable(self, train: Any) -> np.ndarray:
        """The most variable genes `(g,)`, as a mask."""
        import anndata as ad
        import scanpy as sc

        cells = ad.AnnData(train.copy())
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below
                sc.pp.highly_variable_genes(cells, n_top_genes=self.n_genes)
        except ValueError as cause:
            msg = (
                f"The {self.n_genes} most variable of {cells.n_vars} genes cannot be found without"
                f" the held-out cells ({cause}). Pass layer= with counts or log expression, or"
                " leak_free=False."
            )
            raise InputError(msg) from cause
        return np.asarray(cells.var["highly_variable"].to_numpy())


def refit_of(
    adata: AnnData, *, use_rep: str, n_dims: int, layer: str | None = None
) -> tuple[Refit | None, str]:
    """Find how a representation can be made again without some cells; or None, and the reason.

    Whether the representation is a PCA of the expression is decided by its values, whatever its
    name: the PCA of all cells is computed and compared with it, up to a rotation. Compared are the
    expression as it is and, where it looks like counts or another linear scale, logged, after every
    cell was brought to one of the usual totals or not; of the genes with loadings, else of the
    variable ones or all; with and without centring. The expression is that of `layer`, by default
    of the layer that scanpy recorded, else `adata.X`. As many variable genes are chosen anew as
    entered the stored PCA.

    A `layer` that is asked for is taken even if the representation is no PCA of it.

    Raises
    ------
    MissingKeyError
        There is no such layer.
    InputError
        Expression that is not finite.

    Warns
    -----
    InputWarning
        Expression that was centred on all cells; a `layer` of which the representation is no PCA.
    """
    key = spelled(adata, use_rep) or use_rep
    stored = read_positions(adata, use_rep=key, n_dims=n_dims).astype(np.float64)
    pca = StoredPCA.of(adata, key, n_dims)
    recorded = pca.params.get("layer")
    known = isinstance(recorded, str) and recorded in adata.layers
    sources = [layer] if layer is not None else [recorded, None] if known else [None]
    reasons = []
    for source in sources:
        where = "adata.X" if source is None else f"adata.layers[{source!r}]"
        rows = expression(adata, source)
        if rows is None:
            reasons.append(f"{where} holds no expression to make the PCA from")
            continue
        values = rows[slice(0, adata.n_obs)]
        scale = ValueScale.of(values, where)
        found, difference, other = _matched(adata, values, scale, pca, stored)
        if found is not None:
            _warn_if_centred(found, where)
            what = "expression" if source is None else f"expression in {where}"
            return replace(found, what=what), ""
        what = f"adata.obsm[{key!r}] is not the PCA of {where}"
        if np.isfinite(difference):
            what += (
                f": up to a rotation, it differs from it by {100 * difference:.0f} % of its spread"
            )
        if other:
            what += (
                " (it is a projection of these values, made with other cells: run sc.pp.pca(adata)"
                " again)"
            )
        reasons.append(what)
        if layer is not None:
            return _as_asked(values, scale, pca, n_dims, what, where), ""
    return None, "; ".join(reasons)


def seen_by(use_rep: str) -> str:
    """Sentence of a verdict about coordinates that were computed with the judged cells."""
    return (
        f"Distances are in adata.obsm[{use_rep!r}] as it is, which has seen the held-out cells, so"
        " they are no test on cells that are new to the representation."
    )


def _matched(
    adata: AnnData, values: Any, scale: ValueScale, pca: StoredPCA, stored: FloatArray
) -> tuple[Refit | None, float, bool]:
    """The analysis that gives the stored coordinates.

    None where none does, with the smallest difference, and whether they are a projection onto the
    stored loadings.
    """
    everyone = np.arange(adata.n_obs)
    n_dims = stored.shape[1]
    best = None
    nearest = np.inf
    projected = False
    logged = [(True, target) for target in _TARGETS] if scale.linear else []
    for linear, target in [*logged, (False, None)]:
        made = log_normalised(values, target, everyone) if linear else values
        for mask in pca.masks(adata):
            some = made if mask.all() else made[:, mask]
            onto = None if pca.loadings is None else pca.loadings[mask]
            exact = onto is not None and difference_of(stored, np.asarray(some @ onto)) <= _ROUNDING
            projected = projected or exact
            for zero_center in _centrings(pca.params):
                if n_dims > min(some.shape) or not plausible(stored, some, zero_center=zero_center):
                    continue
                axes, _ = components(some, n_dims, zero_center=zero_center)
                difference = difference_of(stored, np.asarray(some @ axes))
                if difference <= (NEAR if exact else _SAME) and difference < nearest:
                    # Scaled genes do not tell any more which of them vary.
                    kept = values[:, mask] if scale.centred and not mask.all() else values
                    best = Refit(
                        kept, linear, int(mask.sum()), n_dims, scale.centred, target, zero_center
                    )
                nearest = min(nearest, difference)
                if nearest <= _SAME:
                    return best, nearest, projected
    return best, nearest, projected


def _centrings(params: Mapping[str, Any]) -> tuple[bool, ...]:
    recorded = params.get("zero_center")
    return (True, False) if recorded is None else (bool(recorded),)


def _as_asked(
    values: Any, scale: ValueScale, pca: StoredPCA, n_dims: int, what: str, where: str
) -> Refit:
    """The analysis of a requested layer of which the stored coordinates are no PCA."""
    done = "normalised to 10,000 a cell, logged" if scale.linear else "taken as it is"
    msg = (
        f"{what}. It is made again from {where} as asked ({done}), so that distances are in other"
        " coordinates than those that a fit uses. Pass the layer that it was made of, or"
        " leak_free=False for the coordinates as they are."
    )
    warn(msg, InputWarning)
    n_genes = _N_GENES if pca.loadings is None else int((pca.loadings != 0).any(axis=1).sum())
    refit = Refit(
        values, scale.linear, n_genes, n_dims, scale.centred, what=f"expression in {where}"
    )
    _warn_if_centred(refit, where)
    return replace(refit, note=", in other coordinates than a fit uses")


def _warn_if_centred(refit: Refit, where: str) -> None:
    if refit.centred:
        msg = (
            f"The genes of {where} have mean zero over all cells: they were scaled or centred with"
            " the held-out cells among them, which the PCA without these cells cannot undo. Make"
            " the PCA of log expression for a hold-out without that."
        )
        warn(msg, InputWarning)

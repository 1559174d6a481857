"""Mean derivatives of a fit as a table of regulators and targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.analysis.genes.regulation import (
    By,
    Cells,
    Quantity,
    derivatives,
    diffusion,
    variation,
)
from cellflow.analysis.genes.response import Kind, kinds_of, responses
from cellflow.analysis.members import spread_of
from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning
from cellflow.tl._groups import Groups
from cellflow.tl._regulation_table import named, scale_of, table_of

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.adapter.decoding import Genes
    from cellflow.core.decoder import Decoder
    from cellflow.model.base import FittedDynamics
    from cellflow.model.derivatives import Derivatives

__all__ = ["Asked", "regulation_of", "require_few_dims"]

#: Name of the group of all cells, and the target of a growth rate.
_ALL = "all"
_GROWTH = "growth"
#: Most dimensions whose Jacobians, of some cells at once, fit into memory.
_MOST_DIMS = 400


@dataclass(frozen=True)
class Asked:
    """Arguments of `cf.tl.jacobian`."""

    of: str
    by: By
    groupby: str | None
    sigma: float | None
    response: Kind
    level: float


@dataclass(frozen=True, eq=False)
class _Mapped:
    """Mean derivatives of all groups in terms of genes.

    Parameters
    ----------
    loadings
        Of the targets, shape `(t, d)`; of growth, the number one, `(1, 1)`.
    response
        Changes of the state for one unit of each regulator, by group, `(n_groups, r, d)`.
    """

    loadings: FloatArray
    response: FloatArray

    def __call__(self, mean: FloatArray) -> FloatArray:
        """From `(n_groups, k, d)` to `(n_groups, r, t)`."""
        return np.asarray(np.einsum("tk,gkd,grd->grt", self.loadings, mean, self.response))


def regulation_of(
    adata: AnnData, fitted: Fitted, sources: Genes, ends: Genes | None, asked: Asked
) -> dict[str, Any]:
    """The table, the words about it, and what was chosen."""
    if asked.by == "derivative":
        require_few_dims(fitted.x.shape[1])
    names, cells = _grouped(adata, fitted, asked)
    of = _quantity(fitted, cells, asked)
    regulators = _decoder(sources)
    every = cast("Decoder", fitted.flow.decoder).loadings
    kind: Kind = asked.response
    if of == "growth" and kind == "auto":
        kind = "covariance"
    changes = [
        responses(
            regulators.loadings,
            kind=kind,
            covariance=covariance,
            all_loadings=every,
        )
        for covariance in variation(cells, of)
    ]
    to_genes = _Mapped(
        np.ones((1, 1)) if ends is None else _decoder(ends).loadings, np.stack(changes)
    )

    def ask(flow: FittedDynamics) -> FloatArray:
        known = cast("Derivatives", flow)  # of a fit, every member is a Flow
        return to_genes(derivatives(known, cells, of, asked.by, sigma=asked.sigma))

    values = ask(fitted.flow)
    kinds = kinds_of(regulators.loadings, every, kind)
    scale = scale_of(adata, fitted, cells, sources, ends)
    table = table_of(values, spread_of(fitted.flow, ask), scale, asked.level)
    labels = [_GROWTH] if ends is None else _decoder(ends).genes.tolist()
    counts = [len(cells.rows(g)) for g in range(cells.n_groups)]
    table = named(table, names, regulators.genes.tolist(), labels, kinds, counts)
    sigma = asked.sigma
    if of == "drift" and sigma is None:
        sigma = diffusion(fitted.flow, cells)
    words = _words(cells, of, asked, kinds, sigma)
    return {"table": table, "words": words, "of": of, "by": asked.by, "sigma": sigma}


def require_few_dims(n_dims: int) -> None:
    """Refuse Jacobians that would take gigabytes."""
    if n_dims > _MOST_DIMS:
        msg = (
            f"The fit has {n_dims} dimensions, and the Jacobians of a few cells would take"
            f" gigabytes. Expected at most {_MOST_DIMS}."
        )
        raise InputError(msg)


def _decoder(genes: Genes) -> Decoder:
    assert genes.decoder is not None, "seen_genes returns genes that can be decoded"
    return genes.decoder


def _grouped(adata: AnnData, fitted: Fitted, asked: Asked) -> tuple[list[str], Cells]:
    """Names of the groups, and the cells in them; groups that are too small are left out."""
    read = fitted.cells
    weight = np.ones(adata.n_obs) if read.weight is None else read.weight
    weight = np.where(read.timed, weight, 0.0)
    if asked.groupby is None:
        of_cells = np.full(adata.n_obs, _ALL, dtype=object)
    else:
        of_cells = Groups.read(adata, asked.groupby).of_cells
    names = sorted(set(of_cells[of_cells != ""]))
    counts = {name: int(((of_cells == name) & (weight > 0)).sum()) for name in names}
    least = fitted.x.shape[1] + 2 if asked.by == "regression" else 2
    kept = [name for name in names if counts[name] >= least]
    small = {name: counts[name] for name in names if name not in kept}
    if small:
        _say_small(small, least, asked, any_left=bool(kept))
    number = {name: g for g, name in enumerate(kept)}
    group = np.array([number.get(name, -1) for name in of_cells])
    cells = Cells(fitted.x, fitted.times, weight, group, len(kept), read.context)
    return kept, replace(cells, are_whole=_are_whole(adata, fitted, cells))


def _say_small(small: dict[str, int], least: int, asked: Asked, *, any_left: bool) -> None:
    """Warn of groups with too few cells; raise where no other is left."""
    listed = ", ".join(f"{name!r} ({n})" for name, n in list(small.items())[:5])
    msg = (
        f"{len(small)} groups have fewer than {least} cells with a time, which by={asked.by!r}"
        f" needs: {listed}."
    )
    remedy = "Expected larger groups, or by='derivative'."
    if not any_left:
        msg = f"{msg} {remedy}"
        raise InputError(msg)
    warn(f"{msg} They are left out. {remedy}", InputWarning)


def _quantity(fitted: Fitted, cells: Cells, asked: Asked) -> Quantity:
    """What the derivative is of."""
    if asked.sigma is not None and asked.of in {"velocity", "growth"}:
        msg = (
            f"sigma={asked.sigma:g} with of={asked.of!r}, which has no diffusion. Expected"
            " sigma=None, or of='drift'."
        )
        raise InputError(msg)
    if asked.of in {"velocity", "growth"}:
        return cast("Quantity", asked.of)
    spreads = asked.sigma is not None or len(np.unique(cells.times[cells.weight > 0])) > 1
    has_score = "score" in fitted.flow.heads
    if spreads and (has_score or (asked.by == "regression" and cells.are_whole)):
        return "drift"
    if asked.of == "auto" and asked.sigma is None:
        return "velocity"
    if not spreads:
        msg = (
            "of='drift' of cells of a single time, which do not show how a population spreads."
            " Expected cells of several times, or sigma=, the diffusion in model coordinates."
        )
        raise InputError(msg)
    msg = (
        f"of={asked.of!r} with a drift, but the fit in adata.uns[{fitted.keys.uns!r}] has no score."
        " Without one, the drift needs by='regression' over whole snapshots: all cells of the fit,"
        " more of each time than dimensions, and groups that divide no time. Expected a fit with"
        " score=True, or of='velocity'."
    )
    raise InputError(msg)


def _are_whole(adata: AnnData, fitted: Fitted, cells: Cells) -> bool:
    """Whether the cells are whole snapshots, large enough, and each in one group."""
    if int(fitted.params.get("n_obs", -1)) != adata.n_obs:
        return False
    return all(
        len(rows) > fitted.x.shape[1] + 1 and len(np.unique(cells.group[rows])) == 1
        for rows in cells.snapshots
    )


def _words(cells: Cells, of: Quantity, asked: Asked, kinds: np.ndarray, sigma: float | None) -> str:
    """What was computed, in sentences."""
    named = {"drift": "the drift of single cells", "velocity": "the velocity of the population"}
    what = named.get(of, "the growth rate")
    how = "regression on the state" if asked.by == "regression" else "mean derivative"
    words = [f"Of {what}, by {how}, per unit of expression of each regulator."]
    if of == "drift":
        normal = "the score of normal populations"
        source = "as given"
        if asked.sigma is None:
            source = "with which it depends least on time"
            source += f" (by {normal})" if cells.are_whole and asked.by == "derivative" else ""
        is_normal = cells.are_whole and asked.by == "regression"
        score = normal if is_normal else "the score of the fit"
        words.append(
            f"The drift is that of a diffusion of {sigma:.3g} in model coordinates, {source}, by"
            f" {score}."
        )
    together = int((kinds == "covariance").sum())
    if together:
        words.append(
            f"Of {together} of {len(kinds)} regulators, values are effects of the regulator and all"
            " that varies with it (response 'covariance')."
        )
    alone = [g for g in range(cells.n_groups) if len(np.unique(cells.times[cells.rows(g)])) == 1]
    if of != "growth" and (alone or asked.by == "derivative"):
        words.append(
            "At one time velocities are close to a gradient: regulators and targets are hardly"
            " distinguished."
        )
    return " ".join(words)

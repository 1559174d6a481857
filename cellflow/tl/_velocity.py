"""Velocities of the cells: in the representation, of the genes, and in pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow import __version__
from cellflow._arguments import check_arguments
from cellflow._numbers import as_number
from cellflow._settings import guarded
from cellflow._typing import FloatArray, IntArray
from cellflow.adapter.components import first_column
from cellflow.adapter.fingerprint import rows_hash
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT, basis_of, find_basis, require_free, written
from cellflow.adapter.positions import read_positions
from cellflow.adapter.selection import Selection, gene_columns, shared_genes
from cellflow.adapter.store import amended
from cellflow.adapter.write import Staged, target_of, write
from cellflow.analysis.velocity import project
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["velocity"]

#: A dense layer above this many bytes is refused.
_LIMIT = 2 * 1024**3


@guarded
def velocity(
    adata: AnnData,
    *,
    basis: str | Sequence[str] | None = None,
    genes: Selection | None = None,
    kind: Literal["flow", "drift"] = "flow",
    sigma: float | None = None,
    n_neighbors: int = 30,
    extrapolate: bool = False,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Write the velocity of every cell at its own time, in data units per unit of time.

    Parameters
    ----------
    adata
        With a fit.
    basis
        Pictures to draw arrows in, for example `"umap"`: each cell's arrow points to where the neighbours lie that it moves
        towards (see `cellflow.analysis.velocity.project`). Column 0 of a diffusion map is its stationary state and gets zero.
    genes
        Genes to write velocities of: names, positions or a mask; all by default, as far as the layer stays below 2 GB. With a
        choice, the layers are sparse; with an empty one they are left out. `cf.get.velocity` computes any genes on demand.
    kind
        `"flow"`: how the population moves, the velocity :math:`v` of the probability flow. It answers where mass goes, and is
        what `cf.tl.push`, `cf.tl.predict` and the hold-out use. `"drift"`: how a single cell moves on average,
        :math:`v + \tfrac{\sigma^2}{2} \nabla \log p_t`, of a fit with a score. It answers what the cell's own regulation
        does: where noise and regulation balance, the population rests and the flow is near zero, but the drift is not.
        Compare it, not the flow, with RNA velocities and with the right-hand side of a gene circuit.
    sigma
        Of the drift: diffusion per square root of time, in model coordinates. Snapshots do not determine it, so that it is an
        assumption; by default that of the bridge which was fitted, or `0.5 / sqrt(median gap)`. The part of the drift that
        holds cells together grows with its square.
    n_neighbors
        Neighbours that an arrow in a picture is made from.
    extrapolate
        Answer for cells of any time. By default at most one mean interval between snapshots outside the times of the fit.
    key
        Where the fit is.
    overwrite
        Replace velocities that somebody else wrote (scVelo, say).
    copy
        Return a changed copy and leave `adata` alone.

    Returns
    -------
    None, or the copy. Written are

    - `obsm["velocity_pca"]`: velocity in the representation, here `X_pca`; dimensions that the fit does not use get zero;
    - `obsm["velocity_umap"]`: arrows in each picture;
    - `layers["velocity"]`, `var["velocity_genes"]`: velocity of the genes, and which of them the representation can decode;
    - `layers["Ms"]`: the decoded expression, unless somebody else wrote one;
    - `uns["velocity_params"]`: how they were made; `kind`, and of a drift `sigma`.

    With another key than the default, all of these names start with it. Never NaN: other tools drop every gene then.

    Raises
    ------
    InputError
        An unknown `kind`, a drift of a fit without a score, a `sigma` beside a flow; no fit, another representation, an
        unknown basis or gene, layers above 2 GB, cells more than one mean interval outside the times of the fit without
        `extrapolate`; `adata` is as it was.

    Warns
    -----
    IntegrationWarning
        Cells of a time outside the observed ones.
    """
    check_arguments(velocity, locals())
    fitted = read_fitted(adata, key)
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    width = _width(fitted, kind, sigma)
    keys, use_rep = fitted.keys, fitted.cells.use_rep
    several = not isinstance(basis, str) and isinstance(basis, Iterable)
    found = [find_basis(adata, name) for name in ([] if basis is None else basis if several else [basis])]
    pictures = {basis_of(name): read_positions(adata, use_rep=name) for name in found if name != use_rep}
    columns, rows = _genes(adata, fitted, genes)
    places = [("obsm", keys.velocity(name)) for name in (fitted.basis, *pictures)] + [("uns", keys.velocity_params)]
    if len(columns):
        places += [("layers", keys.velocity()), ("var", keys.velocity_genes)]
    require_free(adata, keys, places, overwrite=overwrite)
    with_expression = len(columns) > 0 and _may_write_expression(adata, fitted)
    target = target_of(adata, copy=copy)

    if width is None:
        latent = fitted.flow.velocity(fitted.x, fitted.times, context=fitted.cells.context)
    else:
        latent = fitted.flow.drift(fitted.x, fitted.times, sigma=width, context=fitted.cells.context)
    arrows = {keys.velocity(n): _drawn(fitted.x, latent, n, xy, n_neighbors) for n, xy in pictures.items()}
    made_for = {keys.velocity(n): rows_hash(xy, arrows[keys.velocity(n)]) for n, xy in pictures.items()}
    made_for[keys.velocity(fitted.basis)] = rows_hash(fitted.x, latent)
    staged: Staged = {"obsm": {keys.velocity(fitted.basis): _padded(adata, fitted, latent), **arrows}}
    if len(columns) and fitted.flow.decoder is not None:
        decoder, dense = fitted.flow.decoder.only(rows), genes is None
        layers = {keys.velocity(): _layer(adata, columns, decoder.velocities(latent), dense=dense)}
        if with_expression:
            layers[keys.expression] = _layer(adata, columns, decoder.positions(fitted.x), dense=dense)
            places.append(("layers", keys.expression))
        decodable = np.zeros(adata.n_vars, dtype=bool)
        decodable[columns] = decoder.decodable
        staged |= {"layers": layers, "var": {keys.velocity_genes: decodable}}
    params = _params(adata, fitted, list(pictures)) | {"kind": kind} | ({} if width is None else {"sigma": width})
    fitted.observed.warn(fitted.times)
    record = amended(adata, keys, places, {}, made_for=made_for)
    write(target, staged | {"uns": {keys.uns: record, keys.velocity_params: params}})
    return target if copy else None


def _drawn(x: FloatArray, velocity: FloatArray, basis: str, xy: FloatArray, n_neighbors: int) -> FloatArray:
    """Arrows in all columns of a picture; zero in those that are no component, which distances do not look at either."""
    first = first_column(basis)
    arrows = np.zeros(xy.shape)
    arrows[:, first:] = project(x, velocity, xy[:, first:], n_neighbors=n_neighbors)
    return arrows


def _width(fitted: Fitted, kind: str, sigma: float | None) -> float | None:
    """The diffusion of the drift; None for the flow, which has none."""
    if kind not in ("flow", "drift"):
        msg = f"kind={kind!r}; expected 'flow' (how the population moves) or 'drift' (how single cells move)."
        raise InputError(msg)
    if kind == "flow":
        if sigma is not None:
            msg = f"sigma={sigma!r} is of the drift; expected sigma=None beside kind='flow', or kind='drift'."
            raise InputError(msg)
        return None
    if fitted.flow.dynamics.score is None:
        msg = (
            f"kind='drift', but the fit in adata.uns[{fitted.keys.uns!r}] (method {fitted.params['method']!r}) has no score. "
            "Expected a fit by cf.tl.flow with score=True, or with method='sf2m'."
        )
        raise InputError(msg)
    return fitted.flow.sigma if sigma is None else as_number("sigma", sigma, above=0.0)


def _genes(adata: AnnData, fitted: Fitted, genes: Selection | None) -> tuple[IntArray, IntArray]:
    """Columns of `adata` to write, and the same genes' positions in the decoder."""
    decoder = fitted.flow.decoder
    if decoder is None:
        if genes is not None and np.size(genes):
            msg = (
                f"genes={genes!r}, but the fit in adata.uns[{fitted.keys.uns!r}] has no decoder. Expected expression in "
                "adata.X when cf.tl.flow was called; fit again with it."
            )
            raise InputError(msg)
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    columns, rows = shared_genes(adata, decoder.genes)
    if genes is None:
        size = adata.n_obs * adata.n_vars * 4
        if size > _LIMIT:
            msg = (
                f"layers['velocity'] of {adata.n_obs:,} cells by {adata.n_vars:,} genes takes {size / 1024**3:.1f} GB. "
                f"Expected at most {_LIMIT / 1024**3:.0f} GB: pass genes=[...] for some of them, or genes=[] for none."
            )
            raise InputError(msg)
        return columns, rows
    chosen = np.isin(columns, gene_columns(adata, genes))
    return columns[chosen], rows[chosen]


def _may_write_expression(adata: AnnData, fitted: Fitted) -> bool:
    """Whether the decoded expression is missing or ours; a smoothed expression of somebody else's is left in place."""
    place = ("layers", fitted.keys.expression)
    return place[1] not in adata.layers or place in written(adata, fitted.keys)


def _padded(adata: AnnData, fitted: Fitted, latent: FloatArray) -> FloatArray:
    """As wide as the representation, which is how other tools pair positions and velocities."""
    use_rep = fitted.cells.use_rep
    width = adata.n_vars if use_rep == "X" else adata.obsm[use_rep].shape[1]
    padded = np.zeros((len(latent), width), dtype=np.float32)
    padded[:, : latent.shape[1]] = latent
    return padded


def _layer(adata: AnnData, columns: IntArray, values: FloatArray, *, dense: bool) -> Any:
    """Values of some genes as a layer: dense where it is (nearly) all of them, sparse for a choice."""
    import scipy.sparse as sp

    if dense:
        layer = np.zeros(adata.shape, dtype=np.float32)
        layer[:, columns] = values
        return layer
    n, k = values.shape
    return sp.csr_matrix((values.ravel(), np.tile(columns, n), np.arange(n + 1) * k), shape=adata.shape)


def _params(adata: AnnData, fitted: Fitted, drawn: list[str]) -> dict[str, Any]:
    """How the velocities were made, in the form that scVelo reads."""
    key = fitted.keys.velocity_params
    before = adata.uns.get(key)
    if ("uns", key) in written(adata, fitted.keys) and isinstance(before, Mapping):
        known = np.ravel(np.asarray(before.get("embeddings", ()), dtype=object))
        # Names of arrows that are still there; anything else has been edited, or its arrows removed.
        kept = [name for name in known if isinstance(name, str) and fitted.keys.velocity(name) in adata.obsm]
        drawn = list(dict.fromkeys([*kept, *drawn]))
    return {
        "method": "cellflow",
        "model": str(fitted.params["method"]),
        "basis": fitted.basis,
        "time_key": str(fitted.params["time_key"]),
        "time_unit": fitted.cells.unit,
        "embeddings": np.array(drawn, dtype=object),
        "version": __version__,
    }

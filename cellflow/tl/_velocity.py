"""Velocities of the cells: in the representation, of the genes, and in embeddings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.bases import basis_of, find_basis
from cellflow.adapter.components import first_column
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.hashes import rows_hash
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.places import require_free, written
from cellflow.adapter.positions import read_positions
from cellflow.adapter.selection import Selection
from cellflow.adapter.store import amended
from cellflow.adapter.write import Staged, target_of, write
from cellflow.analysis.members import spread_of
from cellflow.analysis.velocity import project
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core._version import __version__
from cellflow.tl._directions import padded, sure_columns, sure_places
from cellflow.tl._other_tools import has_foreign_expression, warn_of_other_tools
from cellflow.tl._velocity_genes import (
    chosen_genes,
    gene_layers,
    gene_marks,
    outdated_layers,
)
from cellflow.tl._width import moved_by, width_of

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.base import FittedDynamics

__all__ = ["velocity"]


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
        Cells with a fit.
    basis
        Embeddings to project velocities onto, for example `"umap"`: the arrow of a cell points to
        the neighbours that it moves towards (see `cellflow.analysis.velocity.project`). Column 0 of
        a diffusion map is the stationary state; its arrows are zero.
    genes
        Genes to write velocities of. None by default: a layer takes as much space as dense
        expression, and `cf.get.velocity` computes any genes when they are asked for. Names,
        positions or a mask, such as `adata.var["cf_gene_r2"] >= 0.1`, give sparse layers of these
        genes; `"all"` gives dense layers of all genes, of at most 2 GB each. scVelo's velocity
        graph needs the layers, its stream plot does not.
    kind
        `"flow"`: the velocity :math:`v` of the probability flow, by which the population moves.
        `cf.tl.push`, `cf.tl.predict` and the hold-out use it. `"drift"`: the mean motion of single
        cells, :math:`v + \tfrac{\sigma^2}{2} \nabla \log p_t`, of a fit with a score. In a
        population at rest, where noise and regulation balance, the flow is near zero and the drift
        is not. Compare the drift, not the flow, with RNA velocities and with the right-hand side of
        a gene circuit.
    sigma
        Diffusion of the drift per square root of time, in model coordinates. Snapshots do not
        determine it: it is an assumption. By default that of the fitted bridge, or
        `0.5 / sqrt(median gap)`. The score part of the drift grows with its square.
    n_neighbors
        Number of neighbours that an arrow in an embedding is computed from.
    extrapolate
        Allow cells of any time; see `cf.tl.push`.
    key
        `key_added` of the fit.
    overwrite
        Replace velocities that another tool wrote (scVelo, for example), and its `Ms`.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written are, for the representation `X_pca` and `basis="umap"`,

    - `obsm["velocity_pca"]`: float32, shape (n_obs, n_pcs). Velocity in the representation; zero in
      dimensions that the fit does not use.
    - `obsm["velocity_umap"]`: float64, shape (n_obs, n_umap). Arrows in the embedding.
    - `uns["velocity_params"]`: dict. How the velocities were computed, as scVelo reads it, the
      `kind`, and `sigma` of a drift.

    with `genes`, too,

    - `layers["velocity"]`: float32, shape (n_obs, n_vars). Velocity of the genes; zero for genes
      that the fit does not have or that were not chosen.
    - `layers["Ms"]`: float32, shape (n_obs, n_vars). Decoded expression, of the same genes. It is
      left out where another tool wrote one and `overwrite` is False.
    - `var["velocity_genes"]`: bool, shape (n_vars,). Whether a gene was chosen and can be decoded:
      its held-out R2 is at least 0.1.
    - `var["cf_gene_r2"]`: float64, shape (n_vars,). That R2; NaN where it is not known.

    and of an ensemble (`n_members=` of `cf.tl.flow`), whose mean these are,

    - `obsm["cf_velocity_se"]`: float32, shape (n_obs, n_pcs). Standard error of each velocity, over
      the cells that might have been measured. `cf.get.velocity(interval=)` has intervals for genes.
    - `obs["cf_velocity_confidence"]`: float64, shape (n_obs,). How well the direction is known: the
      expected cosine between the velocity and the true one, :math:`\sqrt{\max(0, 1 - s_\perp^2 /
      \|v\|^2)}` with the standard error :math:`s_\perp` across it.

    Layers of an earlier call stay while the velocities are the same. If they are not (another
    `kind`, for example), a call without `genes` removes them.

    With another `key`, all of these names begin with it. Velocities are never NaN, because other
    tools drop every gene then.

    Raises
    ------
    InputError
        An unknown `kind`, a drift of a fit without a score, `sigma` for a flow; no fit, another
        representation, an unknown basis or gene, layers above 2 GB, or cells more than one mean
        interval outside the times of the fit without `extrapolate`; `adata` is unchanged.

    Warns
    -----
    IntegrationWarning
        Cells of a time outside the observed ones.
    InputWarning
        Results of another tool that stay and do not fit to the new velocities; genes that the fit
        does not have.

    See Also
    --------
    cellflow.get.velocity, cellflow.pl.stream

    References
    ----------
    La Manno et al., RNA velocity of single cells, Nature 2018, and Bergen et al., Generalizing RNA
    velocity to transient cell states through dynamical modeling, Nature Biotechnology 2020 (the
    projection onto an embedding); Tong et al., Simulation-free Schrödinger bridges via score and
    flow matching, AISTATS 2024 (the drift).

    Examples
    --------
    >>> cf.tl.velocity(adata, basis="umap")
    >>> ax = cf.pl.stream(adata, basis="umap")
    """
    check_arguments(velocity, locals())
    fitted = read_fitted(adata, key)
    keys = fitted.keys
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    width = width_of(fitted, kind, sigma)
    embeddings = _embeddings(adata, fitted, basis)
    chosen = chosen_genes(adata, fitted, genes)
    with_expression = chosen.decoder is not None and (
        overwrite or not has_foreign_expression(adata, keys)
    )
    marks = gene_marks(adata, fitted, chosen)
    positions = {fitted.basis: fitted.x} | embeddings
    places = _places(keys, positions, marks, with_expression=with_expression) + sure_places(fitted)
    require_free(adata, keys, places, overwrite=overwrite)
    target = target_of(adata, copy=copy)

    latent = _latent(fitted, fitted.flow, width)
    # Embeddings are of the measured positions, from which no offset of samples was removed.
    x = fitted.cells.as_read
    vectors = {fitted.basis: latent} | {
        name: _arrows(x, latent, name, xy, n_neighbors) for name, xy in embeddings.items()
    }
    made_for = {keys.velocity(n): rows_hash(positions[n], v) for n, v in vectors.items()}
    states = fitted.x if with_expression else None
    layers = gene_layers(adata, genes, chosen, latent, states, keys)
    params = _params(adata, fitted, list(embeddings), kind, width)
    fitted.observed.warn(fitted.times)
    # Before the writing: where warnings are errors, nothing is written.
    warn_of_other_tools(adata, keys, places, with_velocity=bool(layers))
    name = keys.velocity(fitted.basis)
    stale = outdated_layers(adata, keys, name, made_for[name]) - set(places)
    record = amended(adata, keys, places, {}, made_for=made_for, outdated=stale)
    vectors[fitted.basis] = padded(adata, fitted, latent)
    sure = spread_of(fitted.flow, lambda flow: _latent(fitted, flow, width))
    staged: Staged = sure_columns(adata, fitted, latent, sure)
    staged["obsm"] |= {keys.velocity(name): v for name, v in vectors.items()}
    staged |= {"layers": layers, "var": marks}
    staged["uns"] = {keys.uns: record, keys.velocity_params: params}
    write(target, staged, remove=stale)
    return target if copy else None


def _embeddings(
    adata: AnnData, fitted: Fitted, basis: str | Sequence[str] | None
) -> dict[str, FloatArray]:
    """Coordinates by name of the embeddings to project onto, the representation left out."""
    several = not isinstance(basis, str) and isinstance(basis, Iterable)
    names = [] if basis is None else basis if several else [basis]
    found = [find_basis(adata, name) for name in names]
    return {
        basis_of(name): read_positions(adata, use_rep=name)
        for name in found
        if name != fitted.cells.use_rep
    }


def _places(
    keys: Keys, names: Collection[str], marks: Collection[str], *, with_expression: bool
) -> list[tuple[str, str]]:
    """(slot, key) of everything that is written, the record of the fit left out."""
    places = [("obsm", keys.velocity(name)) for name in names] + [("uns", keys.velocity_params)]
    if marks:
        places += [("layers", keys.velocity()), *(("var", mark) for mark in marks)]
    return places + [("layers", keys.expression)] * with_expression


def _latent(fitted: Fitted, flow: FittedDynamics, width: float | None) -> FloatArray:
    """Velocity by a flow in the representation, or with a width the drift, `(n_obs, d)`."""
    return moved_by(flow, fitted.x, fitted.times, width, fitted.cells.context)


def _arrows(
    x: FloatArray, velocity: FloatArray, basis: str, xy: FloatArray, n_neighbors: int
) -> FloatArray:
    """Arrows in all columns of an embedding; zero in columns that are no component."""
    first = first_column(basis)
    arrows = np.zeros(xy.shape)
    arrows[:, first:] = project(x, velocity, xy[:, first:], n_neighbors=n_neighbors)
    return arrows


def _params(
    adata: AnnData, fitted: Fitted, embeddings: list[str], kind: str, width: float | None
) -> dict[str, Any]:
    """How the velocities were computed, in the form that scVelo reads."""
    key = fitted.keys.velocity_params
    before = adata.uns.get(key)
    if ("uns", key) in written(adata, fitted.keys) and isinstance(before, Mapping):
        known = np.ravel(np.asarray(before.get("embeddings", ()), dtype=object))
        # An edited list may hold anything.
        names = [name for name in known if isinstance(name, str)]
        kept = [name for name in names if fitted.keys.velocity(name) in adata.obsm]
        embeddings = list(dict.fromkeys([*kept, *embeddings]))
    return {
        "method": "cellflow",
        "model": str(fitted.params["method"]),
        "basis": fitted.basis,
        "time_key": str(fitted.params["time_key"]),
        "time_unit": fitted.cells.unit,
        "embeddings": np.array(embeddings, dtype=object),
        "version": __version__,
        "kind": kind,
        **({} if width is None else {"sigma": width}),
    }

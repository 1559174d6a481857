"""Velocities of the cells: in the representation, of the genes, and in pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.components import first_column
from cellflow.adapter.decoding import Genes, asked_genes
from cellflow.adapter.fingerprint import rows_hash
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT, Keys, basis_of, find_basis, require_free, written
from cellflow.adapter.positions import read_positions
from cellflow.adapter.selection import Selection, shared_genes
from cellflow.adapter.store import amended
from cellflow.adapter.write import Staged, target_of, write
from cellflow.analysis.velocity import project
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._version import __version__
from cellflow.core._warn import warn
from cellflow.core.decoder import MIN_R2, Decoder, require_room
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["velocity"]

#: Bytes of a value in one of two sparse layers: itself, and its share of the column numbers that
#: both have.
_SPARSE = 6
#: Rows that are written into a layer together.
_BLOCK = 512


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
        Pictures to draw arrows in, for example `"umap"`: each cell's arrow points to where the
        neighbours lie that it moves towards (see `cellflow.analysis.velocity.project`). Column 0 of
        a diffusion map is its stationary state and gets zero.
    genes
        Genes to write velocities of: names, positions or a mask, such as `adata.var["cf_gene_r2"]
        >= 0.1`; all by default, as far as the layer stays below 2 GB. With a choice, the layers are
        sparse; with an empty one they are left out. `cf.get.velocity` computes any genes on demand.
    kind
        `"flow"`: how the population moves, the velocity :math:`v` of the probability flow. It
        answers where mass goes, and is what `cf.tl.push`, `cf.tl.predict` and the hold-out use.
        `"drift"`: how a single cell moves on average,
        :math:`v + \tfrac{\sigma^2}{2} \nabla \log p_t`, of a fit with a score. It answers what the cell's own regulation
        does: where noise and regulation balance, the population rests and the flow is near zero, but the drift is not.
        Compare it, not the flow, with RNA velocities and with the right-hand side of a gene circuit.
    sigma
        Of the drift: diffusion per square root of time, in model coordinates. Snapshots do not
        determine it, so that it is an assumption; by default that of the bridge which was fitted,
        or `0.5 / sqrt(median gap)`. The part of the drift that holds cells together grows with its
        square.
    n_neighbors
        Neighbours that an arrow in a picture is made from.
    extrapolate
        Answer for cells of any time. By default at most one mean interval between snapshots outside
        the times of the fit.
    key
        Where the fit is.
    overwrite
        Replace velocities that another tool wrote (scVelo, say), its `Ms` included.
    copy
        Return a changed copy and leave `adata` alone.

    Returns
    -------
    None, or the copy. Written are

    - `obsm["velocity_pca"]`: velocity in the representation, here `X_pca`; dimensions that the fit
      does not use get zero;
    - `obsm["velocity_umap"]`: arrows in each picture;
    - `layers["velocity"]`: velocity of the genes;
    - `var["velocity_genes"]`, `var["cf_gene_r2"]`: which of them the representation can decode,
      those with a held-out R2 of at least 0.1, and that R2;
    - `layers["Ms"]`: the decoded expression, unless another tool wrote one and `overwrite` is
      False;
    - `uns["velocity_params"]`: how they were made; `kind`, and of a drift `sigma`.

    With another key than the default, all of these names start with it. Never NaN: other tools drop
    every gene then.

    Raises
    ------
    InputError
        An unknown `kind`, a drift of a fit without a score, a `sigma` beside a flow; no fit,
        another representation, an unknown basis or gene, layers above 2 GB, cells more than one
        mean interval outside the times of the fit without `extrapolate`; `adata` is as it was.

    Warns
    -----
    IntegrationWarning
        Cells of a time outside the observed ones.
    InputWarning
        Results of another tool that stay and do not belong to the new velocities; genes that the
        fit has not seen.
    """
    check_arguments(velocity, locals())
    fitted = read_fitted(adata, key)
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    width = _width(fitted, kind, sigma)
    keys = fitted.keys
    use_rep = fitted.cells.use_rep
    several = not isinstance(basis, str) and isinstance(basis, Iterable)
    found = [
        find_basis(adata, name) for name in ([] if basis is None else basis if several else [basis])
    ]
    pictures = {
        basis_of(name): read_positions(adata, use_rep=name) for name in found if name != use_rep
    }
    chosen = _chosen(adata, asked_genes(adata, fitted.flow.decoder, genes, key), genes, keys)
    ours = written(adata, keys)
    places = [("obsm", keys.velocity(name)) for name in (fitted.basis, *pictures)] + [
        ("uns", keys.velocity_params)
    ]
    marks: dict[str, Any] = {}
    if chosen.decoder is not None and fitted.flow.decoder is not None:
        marks[keys.velocity_genes] = _spread(
            adata, chosen.columns, chosen.decoder.decodable, fill=False
        )
        marks[keys.gene_r2] = _all_r2(adata, fitted.flow.decoder)
        places += [("layers", keys.velocity()), *(("var", mark) for mark in marks)]
    require_free(adata, keys, places, overwrite=overwrite)
    smoothed = ("layers", keys.expression)
    foreign = keys.expression in adata.layers and smoothed not in ours
    with_expression = chosen.decoder is not None and (overwrite or not foreign)
    if with_expression:
        places.append(smoothed)
    target = target_of(adata, copy=copy)

    if width is None:
        latent = fitted.flow.velocity(fitted.x, fitted.times, context=fitted.cells.context)
    else:
        latent = fitted.flow.drift(
            fitted.x, fitted.times, sigma=width, context=fitted.cells.context
        )
    arrows = {
        keys.velocity(n): _drawn(fitted.x, latent, n, xy, n_neighbors) for n, xy in pictures.items()
    }
    made_for = {
        keys.velocity(n): rows_hash(xy, arrows[keys.velocity(n)]) for n, xy in pictures.items()
    }
    made_for[keys.velocity(fitted.basis)] = rows_hash(fitted.x, latent)
    staged: Staged = {
        "obsm": {keys.velocity(fitted.basis): _padded(adata, fitted, latent), **arrows}
    }
    if chosen.decoder is not None:
        states = fitted.x if with_expression else None
        written_as = _dense if genes is None else _sparse
        layers = written_as(adata, chosen.columns, chosen.decoder, latent, states)
        named = dict(zip((keys.velocity(), keys.expression), layers, strict=False))
        staged |= {"layers": named, "var": marks}
    params = (
        _params(adata, fitted, list(pictures))
        | {"kind": kind}
        | ({} if width is None else {"sigma": width})
    )
    fitted.observed.warn(fitted.times)
    # Before the writing: where warnings are errors, it does not happen.
    _warn_of_others(adata, keys, places, with_velocity=chosen.decoder is not None)
    record = amended(adata, keys, places, {}, made_for=made_for)
    write(target, staged | {"uns": {keys.uns: record, keys.velocity_params: params}})
    return target if copy else None


def _drawn(
    x: FloatArray, velocity: FloatArray, basis: str, xy: FloatArray, n_neighbors: int
) -> FloatArray:
    """Arrows in all columns of a picture; zero in those that are no component, which distances do not look at either."""
    first = first_column(basis)
    arrows = np.zeros(xy.shape)
    arrows[:, first:] = project(x, velocity, xy[:, first:], n_neighbors=n_neighbors)
    return arrows


def _width(fitted: Fitted, kind: str, sigma: float | None) -> float | None:
    """The diffusion of the drift; None for the flow, which has none."""
    if kind not in ("flow", "drift"):
        msg = (
            f"kind={kind!r}; expected 'flow' (how the population moves) or 'drift' (how single"
            " cells move)."
        )
        raise InputError(msg)
    if kind == "flow":
        if sigma is not None:
            msg = (
                f"sigma={sigma!r} is of the drift; expected sigma=None beside kind='flow', or"
                " kind='drift'."
            )
            raise InputError(msg)
        return None
    if "score" not in fitted.flow.heads:
        msg = (
            f"kind='drift', but the fit in adata.uns[{fitted.keys.uns!r}] (method"
            f" {fitted.params['method']!r}) has no score. Expected a fit by cf.tl.flow with"
            " score=True, or with method='sf2m'."
        )
        raise InputError(msg)
    return fitted.flow.sigma if sigma is None else as_number("sigma", sigma, above=0.0)


def _chosen(adata: AnnData, asked: Genes, genes: Selection | None, keys: Keys) -> Genes:
    """Genes to write, each once, in the order of `adata`; made sure that their layers have room."""
    if asked.decoder is None:
        return asked
    columns, first = np.unique(asked.columns, return_index=True)
    remedy = "Pass genes=[...] for some of them, or genes=[] for none."
    if genes is None:
        if keys.gene_r2 in adata.var:
            decodable = (
                f"genes=adata.var[{keys.gene_r2!r}] >= {MIN_R2:g} for those that can be decoded"
            )
            remedy = f"Pass {decodable}, genes=[...] for others, or genes=[] for none."
        require_room(adata.n_obs, adata.n_vars, remedy)
    else:
        require_room(adata.n_obs, len(columns), remedy, bytes_per_value=_SPARSE)
    return Genes(columns, asked.decoder.only(first))


def _warn_of_others(
    adata: AnnData, keys: Keys, places: Sequence[tuple[str, str]], *, with_velocity: bool
) -> None:
    """Say which results of another tool stay beside the new velocities, although they do not belong to them."""
    ours = {*written(adata, keys), *places}
    if (
        with_velocity
        and keys.expression in adata.layers
        and ("layers", keys.expression) not in ours
    ):
        msg = (
            f"adata.layers[{keys.expression!r}] was not written by cellflow and stays beside the"
            f" new layers[{keys.velocity()!r}]; tools that pair the two (velocity graphs) would mix"
            " units. Expected the decoded expression there: pass overwrite=True to replace it, or"
            " delete or rename it first."
        )
        warn(msg, InputWarning)
    if ("layers", keys.velocity()) in written(adata, keys):
        return  # what another tool made from velocities, it made from ours
    made = [
        f"adata.{slot}[{name!r}]"
        for slot in ("uns", "obsp", "layers", "obsm")
        for name in getattr(adata, slot)
        if isinstance(name, str)
        and _made_from_velocities(adata, slot, name, keys)
        and (slot, name) not in ours
    ]
    if made:
        msg = (
            f"{', '.join(made)} stay, which another tool made from other velocities than the new"
            " ones. Expected results of one velocity: delete them, or compute them again."
        )
        warn(msg, InputWarning)


def _made_from_velocities(adata: AnnData, slot: str, name: str, keys: Keys) -> bool:
    """Whether a result is one that scVelo makes from `velocity`, by its name: arrows of a picture that is there, a graph."""
    base = keys.velocity()
    if slot == "obsm":
        return name.startswith(f"{base}_") and f"X_{name.removeprefix(f'{base}_')}" in adata.obsm
    graphs = {f"{base}_graph", f"{base}_graph_neg"}
    return name in (graphs if slot in {"uns", "obsp"} else {f"variance_{base}"})


def _all_r2(adata: AnnData, decoder: Decoder) -> FloatArray:
    """Held-out R2 of every gene of `adata`; NaN for those that the fit has not seen, or where it was not measured."""
    columns, positions = shared_genes(adata, decoder.genes)
    known = np.full(len(decoder.genes), np.nan) if decoder.gene_r2 is None else decoder.gene_r2
    return _spread(adata, columns, known[positions], fill=np.nan)


def _spread(
    adata: AnnData, columns: IntArray, values: np.ndarray, *, fill: float | bool
) -> np.ndarray:
    """Values of some genes for all genes of `adata`."""
    result = np.full(adata.n_vars, fill, dtype=values.dtype)
    result[columns] = values
    return result


def _padded(adata: AnnData, fitted: Fitted, latent: FloatArray) -> FloatArray:
    """As wide as the representation, which is how other tools pair positions and velocities."""
    use_rep = fitted.cells.use_rep
    width = adata.n_vars if use_rep == "X" else adata.obsm[use_rep].shape[1]
    padded = np.zeros((len(latent), width), dtype=np.float32)
    padded[:, : latent.shape[1]] = latent
    return padded


def _dense(
    adata: AnnData,
    columns: IntArray,
    decoder: Decoder,
    velocity: FloatArray,
    states: FloatArray | None,
) -> list[Any]:
    """Velocity, and with `states` expression, of (nearly) all genes: zero where the fit does not know a gene."""

    def layer(decode: Callable[[FloatArray], FloatArray], latent: FloatArray) -> np.ndarray:
        if len(columns) == adata.n_vars:
            return decode(latent)
        values = np.zeros(adata.shape, dtype=np.float32)
        for start in range(0, len(latent), _BLOCK):  # all at once would take the memory twice
            values[start : start + _BLOCK, columns] = decode(latent[start : start + _BLOCK])
        return values

    return [layer(decoder.velocities, velocity)] + (
        [] if states is None else [layer(decoder.positions, states)]
    )


def _sparse(
    adata: AnnData,
    columns: IntArray,
    decoder: Decoder,
    velocity: FloatArray,
    states: FloatArray | None,
) -> list[Any]:
    """The same of a choice of genes, as sparse layers; genes that do not move have no stored velocity."""
    import scipy.sparse as sp

    moving = np.flatnonzero((decoder.loadings != 0).any(axis=1))
    width = np.int64 if adata.n_obs * len(columns) > np.iinfo(np.int32).max else np.int32

    def pattern(stored: IntArray) -> tuple[np.ndarray, np.ndarray]:
        starts = np.arange(adata.n_obs + 1, dtype=width) * width(len(stored))
        return np.tile(stored.astype(width), adata.n_obs), starts

    def layer(values: FloatArray, indices: tuple[np.ndarray, np.ndarray]) -> Any:
        return sp.csr_matrix((values.reshape(-1), *indices), shape=adata.shape)

    shared = pattern(columns[moving])
    layers = [layer(decoder.only(moving).velocities(velocity), shared)]
    if states is not None:
        everywhere = shared if len(moving) == len(columns) else pattern(columns)
        layers.append(layer(decoder.positions(states), everywhere))
    return layers


def _params(adata: AnnData, fitted: Fitted, drawn: list[str]) -> dict[str, Any]:
    """How the velocities were made, in the form that scVelo reads."""
    key = fitted.keys.velocity_params
    before = adata.uns.get(key)
    if ("uns", key) in written(adata, fitted.keys) and isinstance(before, Mapping):
        known = np.ravel(np.asarray(before.get("embeddings", ()), dtype=object))
        # Names of arrows that are still there; anything else has been edited, or its arrows
        # removed.
        kept = [
            name
            for name in known
            if isinstance(name, str) and fitted.keys.velocity(name) in adata.obsm
        ]
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

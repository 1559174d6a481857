"""Computed cells as an AnnData: moved, generated or translated ones, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellflow.adapter.computed import Measured, colors_of, labels, places
from cellflow.adapter.decoding import Genes
from cellflow.adapter.fitted import Fitted
from cellflow.adapter.fitted_columns import columns_of
from cellflow.adapter.keys import PREDICTED, Keys
from cellflow.analysis.observed import Observed, growth
from cellflow.core._spread import Spread
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = [
    "Part",
    "about_condition",
    "about_extrapolation",
    "cell_bytes",
    "cells_of_fit",
    "grown",
    "made_cells",
    "moved_cells",
]


@dataclass(frozen=True, eq=False)
class Part:
    """Computed cells of one time, or of one time each.

    Parameters
    ----------
    time
        Time of each, shape `(m,)`.
    x
        States, shape `(m, d)`.
    obs
        Columns of `(m,)`.
    about
        Plain values for `uns` that belong to this part; those of several parts become arrays.
    rows
        The row of the AnnData that each state came from, shape `(m,)`; None for new cells.
    features
        Of the condition of each, shape `(m, c)`; None without conditions.
    sure
        Of an ensemble: how its members' states and weights spread, side by side, `(m, d + 1)`.
    """

    time: FloatArray
    x: FloatArray
    obs: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    rows: IntArray | None = None
    features: FloatArray | None = None
    sure: Spread | None = None


def moved_cells(
    adata: AnnData,
    fitted: Fitted,
    genes: Genes,
    parts: Sequence[Part],
    provenance: Mapping[str, Any],
    *,
    several: bool = False,
    cluster_key: str | None = None,
    place: bool = True,
) -> AnnData:
    """Return moved cells as an AnnData, decoded to genes where the fit has a decoder.

    Parameters
    ----------
    adata
        The cells that were moved.
    fitted
        The fit that moved them.
    genes
        Those to decode.
    parts
        States with the rows that they came from; their `obs` beside `source_cell` and
        `source_time`.
    provenance
        Plain values for `uns` that all parts share.
    several
        Whether several times were asked for, so that entries of the parts become arrays.
    cluster_key
        Column of `adata.obs` with labels that the cells get by their neighbours.
    place
        Whether they are placed in every embedding.

    Returns
    -------
    See `cells_of_fit`; `uns[prediction]` has the provenance.

    Raises
    ------
    InputError
        The decoded expression would take more than 2 GB.
    """
    rows = np.concatenate([part.rows for part in parts if part.rows is not None])
    names = adata.obs_names.to_numpy()[rows]
    columns = {"source_cell": names, "source_time": fitted.times[rows]}
    moved = cells_of_fit(
        adata, fitted, genes, parts, names, (fitted.keys.own("prediction"), provenance),
        several=several, cluster_key=cluster_key, columns=columns, place=place,
    )  # fmt: skip
    spreads = [part.sure.se for part in parts if part.sure is not None]
    if spreads:
        se = np.concatenate(spreads)
        moved.obs["weight_se"] = se[:, -1]
        moved.obsm[fitted.keys.se("state")] = se[:, :-1].astype(np.float32)
    return moved


def cells_of_fit(
    adata: AnnData,
    fitted: Fitted,
    genes: Genes,
    parts: Sequence[Part],
    names: np.ndarray | str,
    record: tuple[str, Mapping[str, Any]],
    *,
    several: bool = False,
    cluster_key: str | None = None,
    columns: Mapping[str, Any] | None = None,
    place: bool = True,
) -> AnnData:
    """Return states that come from a fit; see `made_cells`.

    Beside the columns of the parts, `obs` holds their time and condition in the form of the columns
    that the fit read, and the time as a number in its unit.

    Parameters
    ----------
    names
        Of the cells that they came from, shape `(m,)`, or one word for all; time and number follow.
    record
        Key in `uns`, and its values, to which the key of the fit and its unit of time are added.
    columns
        Of `obs`, for all parts together.
    """
    import pandas as pd

    time = np.concatenate([part.time for part in parts])
    own = dict(columns or {}) | _stacked([part.obs for part in parts])
    taken = columns_of(adata, fitted, parts, time, weight=own.get("weight"))
    every = own | {fitted.keys.own("predicted_time"): time} | taken
    shown = np.broadcast_to(names, len(time))
    index = [f"{name}-{at:g}-{i}" for i, (name, at) in enumerate(zip(shown, time, strict=True))]
    key, about = record
    about = {"key": fitted.keys.uns, "time_unit": fitted.cells.unit} | dict(about)
    about |= _merged([part.about for part in parts], several=several)
    cells = fitted.cells
    measured = Measured(adata, cells.use_rep, cells.x, cells.as_read, cells.time)
    return made_cells(
        measured, np.concatenate([part.x for part in parts]), pd.DataFrame(every, index=index),
        genes=genes, keys=fitted.keys, uns={key: about}, time=time, cluster_key=cluster_key,
        place=place,
    )  # fmt: skip


def _stacked(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of several parts, one after another."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _merged(about: Sequence[Mapping[str, Any]], *, several: bool) -> dict[str, Any]:
    """Entries of the parts: those of one as they are, those of several as arrays."""
    if not several:
        return dict(about[0])
    names = dict.fromkeys(name for entries in about for name in entries)
    merged = {}
    for name in names:
        values = [entries.get(name, np.nan) for entries in about]
        has_text = any(isinstance(value, str) for value in values)
        merged[name] = np.array(values, dtype=object if has_text else None)
    return merged


def about_condition(fitted: Fitted, features: FloatArray | None) -> dict[str, Any]:
    """The values of a condition with features `(c,)`, and whether the fit has cells of it."""
    if features is None:
        return {}
    return {"condition": fitted.values(features), "condition_measured": fitted.measured(features)}


def about_extrapolation(
    observed: Observed, times: npt.ArrayLike, states: FloatArray, measured: FloatArray
) -> dict[str, Any]:
    """Whether times are outside the observed ones, and if so the growth of the states there."""
    extrapolated = len(observed.outside(times)) > 0
    grown = growth(states, measured) if extrapolated else None
    return {"extrapolated": extrapolated} | ({} if grown is None else {"growth": grown})


def grown(parts: Sequence[Part]) -> float | None:
    """The largest growth of the states of parts that are extrapolated; None where none is."""
    return max((part.about["growth"] for part in parts if "growth" in part.about), default=None)


def cell_bytes(fitted: Fitted) -> int:
    """Bytes of the state and the row of `obs` of one computed cell, without its expression."""
    return 8 * fitted.flow.n_dims + 100


def made_cells(
    measured: Measured,
    x: FloatArray,
    obs: pd.DataFrame,
    *,
    genes: Genes,
    keys: Keys,
    uns: Mapping[str, Mapping[str, Any]],
    time: FloatArray | None = None,
    cluster_key: str | None = None,
    place: bool = True,
) -> AnnData:
    """Return computed states as an AnnData with the genes of the measured cells.

    Parameters
    ----------
    measured
        The measured cells.
    x
        States, shape `(m, d)`.
    obs
        One row for each.
    genes
        Those to decode.
    keys
        Names of what is added to `obs`.
    uns
        Provenance by key. To each are added the representation, the version, the names of the
        embeddings that neighbours gave, and the held-out R2 of each gene.
    time
        Of each state, shape `(m,)`, for the choice of the cells that vote on its label.
    cluster_key
        Column of labels, or None.
    place
        Whether states are placed in every embedding, or in the representation only.

    Raises
    ------
    InputError
        The decoded expression would take more than 2 GB.
    """
    import anndata as ad

    about: dict[str, Any] = {"use_rep": measured.use_rep, "cellflow_version": __version__}
    expression = var = None
    if genes.decoder is not None:
        expression = genes.decoder.positions(x)
        var = measured.adata.var.iloc[genes.columns]
        if genes.decoder.gene_r2 is not None:
            about["gene_r2"] = genes.decoder.gene_r2.astype(np.float32)
    more: dict[str, Any] = {PREDICTED: np.ones(len(x), dtype=bool)}
    if cluster_key is not None:
        about["cluster_key"] = cluster_key
        more[cluster_key], more[keys.own("label_confidence")] = labels(
            measured, cluster_key, x, time
        )
    obs = obs.assign(**more)
    obsm = {} if measured.use_rep == "X" else {measured.use_rep: x.astype(np.float32)}
    if place:
        obsm, by_neighbors = places(measured, x)
        about["placed"] = np.array(by_neighbors, dtype=object)
    records = {key: about | dict(value) for key, value in uns.items()}
    return ad.AnnData(
        expression,
        obs=obs,
        var=var,
        obsm=obsm,
        uns=records | colors_of(measured.adata, obs),
    )

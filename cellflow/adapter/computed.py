"""What computed cells take from the measured ones around them: labels, and places in embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.columns import column_of, read_labels
from cellflow.adapter.findings import settle
from cellflow.adapter.keys import PREDICTED
from cellflow.analysis.placement import affine_map, neighbors_of, placed, votes
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Measured", "colors_of", "labels", "places", "require_cluster_key"]

#: Columns that computed cells have of their own.
_OWN = (
    "source_cell", "source_time", "weight", "weight_se", "log_density", "translated_to",
    "displacement", PREDICTED,
)  # fmt: skip
#: Cells that vote on the label of a state, and those that its coordinates are a mean of.
_VOTERS = 30
_PLACERS = 15
#: Cells with a label, near in time, that are enough for a vote; with fewer, other times join.
_ENOUGH = 200


@dataclass(frozen=True, eq=False)
class Measured:
    """Measured cells around which computed ones lie.

    Parameters
    ----------
    adata
        The cells.
    use_rep
        Name of the representation.
    x
        Their states in it, shape `(n, d)`, in the coordinates of the computed cells.
    as_read
        The same as `adata` holds them, from which no offset of samples was removed.
    time
        Their times, shape `(n,)`, NaN where unknown; None where there is no time.
    """

    adata: AnnData
    use_rep: str
    x: FloatArray
    as_read: FloatArray
    time: FloatArray | None = None


def require_cluster_key(adata: AnnData, cluster_key: str | None, *taken: str) -> None:
    """Make sure, before any work, that computed cells can get labels of a column.

    Raises
    ------
    MissingKeyError
        No such column.
    InputError
        One without values or with fractions, or one of those that are `taken` by other content.
    """
    if cluster_key is None:
        return
    read_labels(adata, cluster_key)
    if cluster_key in {*_OWN, *taken}:
        msg = (
            f"cluster_key={cluster_key!r} is a column that the result fills otherwise (times,"
            " conditions, or its own). Expected a column of labels such as cell types."
        )
        raise InputError(msg)


def labels(
    measured: Measured, cluster_key: str, states: FloatArray, at: FloatArray | None
) -> tuple[Any, FloatArray]:
    """Label states by their nearest measured cells, those near in time.

    Voters are the cells of the snapshots before and after the time of a state, or of the snapshot
    at that very time; if these have fewer than 200 labelled cells, the next nearest snapshots join.
    Votes are weighted by a Gaussian kernel.

    Parameters
    ----------
    measured
        The cells.
    cluster_key
        Their labels; cells without one do not vote.
    states
        Shape `(m, d)`.
    at
        Their times, shape `(m,)`; None for votes of all cells.

    Returns
    -------
    Labels in the type of the column, and the share of the votes for each, shape `(m,)`.
    """
    import pandas as pd

    column = settle(column_of(measured.adata, cluster_key, "cluster_key"))
    codes, kinds = pd.factorize(column)
    labelled: IntArray = np.flatnonzero(codes >= 0)
    winner: IntArray = np.zeros(len(states), dtype=np.int64)
    share = np.zeros(len(states))
    for time, group in _by_time(at, len(states)):
        rows = labelled if time is None else _near_in_time(measured.time, labelled, time)
        near = neighbors_of(states[group], measured.x, rows, n_neighbors=_VOTERS)
        winner[group], share[group] = votes(near, codes, len(kinds))
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical(kinds.take(winner), dtype=column.dtype), share
    return pd.Series(kinds.take(winner)).astype(column.dtype).array, share


def _by_time(at: FloatArray | None, n: int) -> list[tuple[float | None, IntArray]]:
    """Rows of states by their time."""
    if at is None:
        return [(None, np.arange(n))]
    return [(float(time), np.flatnonzero(at == time)) for time in np.unique(at)]


def _near_in_time(times: FloatArray | None, labelled: IntArray, at: float) -> IntArray:
    """Labelled cells of the snapshots around a time; all where no time is known."""
    if times is None or not np.isfinite(times[labelled]).any():
        return labelled
    known = times[labelled]
    snapshots, counts = np.unique(known[np.isfinite(known)], return_counts=True)
    before = snapshots[snapshots <= at]
    after = snapshots[snapshots >= at]
    around = {*before[-1:].tolist(), *after[:1].tolist()}
    order = np.lexsort((np.abs(snapshots - at), ~np.isin(snapshots, list(around))))
    n = max(len(around), int(np.searchsorted(np.cumsum(counts[order]), _ENOUGH)) + 1)
    return labelled[np.isin(known, snapshots[order[:n]])]


def places(measured: Measured, states: FloatArray) -> tuple[dict[str, Any], list[str]]:
    """Place states in the representation and in every embedding of measured cells.

    An embedding is a matrix of finite numbers in `obsm` whose name begins with `X_`, positions in
    space left out. Where it is an
    affine function of the representation (its own components, another rotation), states are placed
    exactly; else around their nearest cells. Dimensions of the representation that the states do
    not have are filled by neighbours, too.

    Parameters
    ----------
    measured
        The cells.
    states
        Shape `(m, d)`.

    Returns
    -------
    Matrices of `m` rows by name, and the names of those that neighbours gave.
    """
    near = neighbors_of(states, measured.x, np.arange(len(measured.x)), n_neighbors=_PLACERS)
    found: dict[str, Any] = {}
    by_neighbors = []
    width = states.shape[1]
    for name, embedding in _embeddings(measured).items():
        if name == measured.use_rep:
            rest = placed(near, embedding[:, width:])
            found[name] = np.hstack([states, rest]).astype(np.float32)
            by_neighbors += [f"{name}[:, {width}:]"] * (rest.shape[1] > 0)
            continue
        exact = affine_map(measured.as_read, embedding)
        if exact is None:
            by_neighbors.append(name)
        matrix = placed(near, embedding) if exact is None else states @ exact[0] + exact[1]
        found[name] = matrix.astype(embedding.dtype)
    if measured.use_rep not in {"X", *found}:
        found[measured.use_rep] = states.astype(np.float32)
    return found, by_neighbors


def _embeddings(measured: Measured) -> dict[str, np.ndarray]:
    """The representation and the embeddings, by name."""
    found = {}
    for name, value in measured.adata.obsm.items():
        usable = isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind == "f"
        drawn = str(name).startswith("X_") and "spatial" not in str(name)
        if not usable or not (drawn or name == measured.use_rep):
            continue
        if value.shape[1] and np.isfinite(value).all():
            found[str(name)] = value
    return found


def colors_of(measured: AnnData, obs: pd.DataFrame) -> dict[str, Any]:
    """The colours of the categories that computed cells share with measured ones, for `uns`."""
    found = {}
    for name in obs.columns:
        colors = f"{name}_colors"
        if colors in measured.uns and name in measured.obs and hasattr(obs[name], "cat"):
            own = measured.obs[name]
            if hasattr(own, "cat") and own.cat.categories.equals(obs[name].cat.categories):
                found[colors] = measured.uns[colors]
    return found
